"""Names in a config that nothing else in it has, and parts of it that cannot be had together. Opens no file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pertprobe.errors import listed, meant
from pertprobe.probes.declaration import all_declared, of_copies
from pertprobe.roles import KNOWN, NETWORK
from pertprobe.workflow.autoencoders import untrainable
from pertprobe.workflow.parts_of_config import Config, asked_probes, of_atlas, referred, section_of
from pertprobe.workflow.showing_values import shown


def check_references(config: Config, shapeless: bool = False) -> list[str]:
    """Return the faults that can be seen without opening a file: names that nothing in the config has.

    Imports nothing heavy, so that a Snakefile may call it while it is parsed. `shapeless`: the config breaks its
    schema, and of what cannot be looked up in it the faults of the schema say where.
    """
    faults: list[str] = []
    for check in CHECKS:
        try:
            faults += check(config)
        except (AttributeError, KeyError, TypeError, ValueError):
            if not shapeless:
                raise
    return faults


def _unknown_names(config: Config) -> Iterator[str]:
    """Yield the names that nothing in the config has."""
    models, contexts = section_of(config, "models"), section_of(config, "cells")
    able = [name for name, probe in all_declared().items() if probe.known_kinds]
    pairs = [(kind, pair) for kind, both in section_of(config, "pairs").items() for pair in both]
    named = [
        *((f"models.{name}.context", [entry.get("context")], contexts, "cells") for name, entry in models.items()),
        *((f"pairs.{kind}", pair, models, "models") for kind, pair in pairs),
        *((f"sae.{name}.models", sae["models"], models, "models") for name, sae in section_of(config, "sae").items()),
        ("atlas.models", of_atlas(config, "models"), models, "models"),
        *_probe_references(config),
        ("controls.known", _chosen_for_known(config), able, "the probes that can ask models of known kind"),
    ]
    for key, names, known, where in named:
        for name in names:
            if name not in known:
                yield f"{key}: {shown(name)} is not under {where} (found: {listed(known)}).{meant(name, known)}"


def _training_faults(config: Config) -> Iterator[str]:
    """Yield the models that the run is to train and cannot."""
    for name, entry in section_of(config, "models").items():
        kind = entry.get("kind", "state")
        if "train" not in entry:
            continue
        if kind not in ("state", *KNOWN):
            only = f"only state, {listed(KNOWN)} are trained here"
            yield f"models.{name}.kind: {shown(kind)} cannot be trained: {only}. Give its path in place of train"
        if kind in KNOWN and "steps" in entry["train"]:
            yield f"models.{name}.train.steps: a model of the kind {kind} is not trained in steps. Leave it out"
        if kind == NETWORK and not section_of(config, "controls").get("network"):
            yield f"models.{name}: the kind network needs controls.network, a table of regulators and targets"


def _untrainable(config: Config) -> Iterator[str]:
    """Yield the autoencoders that the run is to train and cannot."""
    return untrainable(section_of(config, "sae"))


def _probe_references(config: Config) -> Iterator[tuple[str, list[str], Mapping, str]]:
    """Yield (key, names, where they must be, its name) for what probes refer to."""
    for where in ("sae", "panels"):
        for key, value in referred(config, where):
            if value != "all":
                yield key, value if isinstance(value, list) else [value], section_of(config, where), where


def _chosen_for_known(config: Config) -> list[str]:
    """Return the probes beside whose subject the config wants models of known kind, where it names them."""
    wanted = section_of(config, "controls").get("known")
    return wanted if isinstance(wanted, list) else []


def _uncompared(config: Config) -> Iterator[str]:
    """Yield the probes that compare the models of pairs where there is no such pair."""
    for probe, _ in asked_probes(config):
        if probe.partners and not any(section_of(config, "pairs").get(kind) for kind in probe.pairs):
            kinds = " and ".join(f"pairs.{kind}" for kind in probe.pairs)
            yield f"probes.{probe.name}: {kinds} lists no two models to compare. Name two, or leave the probe out"


def _two_layers(config: Config) -> Iterator[str]:
    """Yield the probes that ask for another layer than the sparse autoencoder they are given reads."""
    for probe, settings in section_of(config, "probes").items():
        sae = section_of(config, "sae").get((settings or {}).get("sae"))
        read = (sae or {}).get("layer", "middle")
        if sae and "layer" in settings and settings["layer"] != read:
            reads = f"sae.{settings['sae']} reads layer {read}"
            yield f"probes.{probe}.layer: {settings['layer']}, but {reads}. Leave the layer out, or the autoencoder"


def _pair_faults(config: Config) -> Iterator[str]:
    """Yield the pairs that do not compare what their list compares, and those that stand twice."""
    models = section_of(config, "models")
    for kind, pairs in section_of(config, "pairs").items():
        for place, (model, reference) in enumerate(pairs):
            if [model, reference] in pairs[:place]:
                yield f"pairs.{kind}: [{model}, {reference}] stands twice. Name each pair once"
            if model not in models or reference not in models:
                continue
            same = models[model].get("context") == models[reference].get("context")
            if model == reference or same != (kind == "regimes"):
                wanted = "two models of one context" if kind == "regimes" else "models of two contexts"
                yield f"pairs.{kind}: [{model}, {reference}] are not {wanted}"
            elif kind == "regimes":
                yield from _turned_round(model, reference, models)


def _turned_round(model: str, reference: str, models: Mapping[str, Any]) -> Iterator[str]:
    """Yield a pair of regimes that does not begin with the few-shot model, as the words of readings take it to."""
    first, second = (models[name].get("regime", "unknown") for name in (model, reference))
    if first == "zeroshot" or second == "fewshot":
        yield (
            f"pairs.regimes: [{model}, {reference}] are {first} and {second}; the few-shot model stands first, the "
            "zero-shot model second. Turn them round, or correct models.<name>.regime"
        )


def _programs_missing(config: Config) -> Iterator[str]:
    """Yield a word where the config names no gene set, or an empty one: nothing could be asked."""
    programs = section_of(config, "programs")
    if "programs" in config and not any(programs.get(source) for source in ("gmt", "patterns", "lists")):
        yield "programs: names no gene set. Give gmt, patterns or lists"
    for name, genes in (programs.get("lists") or {}).items():
        if not genes:
            yield f"programs.lists.{name}: names no gene. Give it some, or leave it out"
    for path in sorted({path for path in programs.get("gmt") or () if programs["gmt"].count(path) > 1}):
        yield f"programs.gmt: {path} stands twice. Name each file once"


def control_faults(config: Config) -> Iterator[str]:
    """Yield the thresholds that ask for a control which the run does not have."""
    if section_of(config, "controls").get("redrawn", 1):
        return
    for probe in section_of(config, "probes"):
        for column, *_ in filter(of_copies, section_of(config, "thresholds").get(probe, [])):
            yield f"thresholds.{probe}: {column} is asked for, but controls.redrawn is 0. Set it to 5, or ask less"


def path_variable_faults(config: Config) -> Iterator[str]:
    """Yield what Snakemake, which reads its path variables before anything of ours, would fail on or misplace."""
    given = config.get("pathvars", {})
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        yield f"pathvars: {shown(given)} is no section of Snakemake's path variables, each with text. Leave it out"
    elif "results" in given:
        yield "pathvars.results: results go to results/<run>, which run alone decides. Leave pathvars.results out"


CHECKS: tuple[Callable[[Config], Iterable[str]], ...] = (
    _unknown_names,
    _training_faults,
    _untrainable,
    _pair_faults,
    _two_layers,
    _uncompared,
    _programs_missing,
    path_variable_faults,
)
"""What is looked for in a config without opening a file."""
