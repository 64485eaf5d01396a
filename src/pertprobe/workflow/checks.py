"""Job one: read every given file and report all faults together, each behind the key of the config it belongs to."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pertprobe.errors import PertprobeError, gathering, listed, meant, raise_together
from pertprobe.identity import KnownFiles
from pertprobe.models.batch_labels import matched_labels
from pertprobe.probes.declaration import Declaration, all_declared, declared, probe_names
from pertprobe.roles import KNOWN, NETWORK
from pertprobe.workflow.autoencoders import check_autoencoders, untrainable

if TYPE_CHECKING:
    from pertprobe.data.cells import ContextCells
    from pertprobe.data.findings import Finding
    from pertprobe.data.programs import Programs
    from pertprobe.models.base import Model
    from pertprobe.models.training_split import Split

Config = Mapping[str, Any]
TOLD = ("genes", "control", "waive")
"""Keys of a model's entry that say what its directory does not."""


@cache
def _hash(path: str) -> str:
    """Return the SHA-256 of a given file, which is read whole only where it is not known from earlier."""
    return KnownFiles().sha256(path)


def check_references(config: Config) -> list[str]:
    """Return the faults that can be seen without opening a file: names that nothing in the config has.

    Imports nothing heavy, so that a Snakefile may call it while it is parsed.
    """
    models, contexts = _section(config, "models"), _section(config, "cells")
    able = [name for name, probe in all_declared().items() if probe.known_kinds]
    pairs = [(kind, pair) for kind, both in _section(config, "pairs").items() for pair in both]
    named = [
        *((f"models.{name}.context", [entry.get("context")], contexts, "cells") for name, entry in models.items()),
        *((f"pairs.{kind}", pair, models, "models") for kind, pair in pairs),
        *((f"sae.{name}.models", sae["models"], models, "models") for name, sae in _section(config, "sae").items()),
        ("atlas.models", _of_atlas(config, "models"), models, "models"),
        *_probe_references(config),
        ("controls.known", _chosen_for_known(config), able, "the probes that can ask models of known kind"),
    ]
    unknown = [
        f"{key}: '{name}' is not under {section} (found: {listed(known)}).{meant(name, known)}"
        for key, names, known, section in named
        for name in names
        if name not in known
    ]
    found = [*unknown, *_training_faults(config), *untrainable(_section(config, "sae")), *_pair_faults(config)]
    return [*found, *_two_layers(config), *_uncompared(config)]


def _training_faults(config: Config) -> Iterator[str]:
    """Yield the models that the run is to train and cannot."""
    for name, entry in _section(config, "models").items():
        kind = entry.get("kind", "state")
        if "train" not in entry:
            continue
        if kind not in ("state", *KNOWN):
            here = f"state, {listed(KNOWN)}"
            yield f"models.{name}.kind: '{kind}' cannot be trained here, as {here} can. Give its path in place of train"
        if kind in KNOWN and "steps" in entry["train"]:
            yield f"models.{name}.train.steps: a model of the kind {kind} is not trained in steps. Leave it out"
        if kind == NETWORK and not _section(config, "controls").get("network"):
            yield f"models.{name}: the kind network needs controls.network, a table of regulators and targets"


def _section(config: Config, name: str) -> Mapping[str, Any]:
    """Return a part of a config in which defaults may not be filled in; empty where it is not there."""
    return config.get(name) or {}


def _given(config: Config, section: str, key: str = "path") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the entries of a section that name a file or folder which the run does not make itself."""
    for name, entry in _section(config, section).items():
        if entry.get(key) and not _made_by_run(config, entry[key]):
            yield name, entry


def _asked(config: Config) -> Iterator[tuple[Declaration, Mapping[str, Any]]]:
    """Yield the probes of the config that there are, each with its settings."""
    for probe, settings in _section(config, "probes").items():
        if probe in probe_names():
            yield declared(probe), settings or {}


def _referred(config: Config, to: str) -> Iterator[tuple[str, Any]]:
    """Yield (key of the config, value) of every setting of a probe that names something; defaults are not filled in."""
    for probe, settings in _asked(config):
        for setting in probe.referring(to):
            value = settings.get(setting, probe.settings[setting].get("default"))
            if value is not None:
                yield f"probes.{probe.name}.{setting}", value


def _probe_references(config: Config) -> Iterator[tuple[str, list[str], Mapping, str]]:
    """Yield (key, names, where they must be, its name) for what probes refer to."""
    for section in ("sae", "panels"):
        for key, value in _referred(config, section):
            if value != "all":
                yield key, value if isinstance(value, list) else [value], _section(config, section), section


def _chosen_for_known(config: Config) -> list[str]:
    """Return the probes beside whose subject the config wants models of known kind, where it names them."""
    wanted = _section(config, "controls").get("known")
    return wanted if isinstance(wanted, list) else []


def _uncompared(config: Config) -> Iterator[str]:
    """Yield the probes that compare the models of pairs where there is no such pair."""
    for probe, _ in _asked(config):
        if probe.partners and not any(_section(config, "pairs").get(kind) for kind in probe.pairs):
            kinds = " and ".join(f"pairs.{kind}" for kind in probe.pairs)
            yield f"probes.{probe.name}: {kinds} lists no two models to compare. Name two, or leave the probe out"


def _two_layers(config: Config) -> Iterator[str]:
    """Yield the probes that ask for another layer than the sparse autoencoder they are given reads."""
    for probe, settings in _section(config, "probes").items():
        sae = _section(config, "sae").get((settings or {}).get("sae"))
        read = (sae or {}).get("layer", "middle")
        if sae and "layer" in settings and settings["layer"] != read:
            reads = f"sae.{settings['sae']} reads layer {read}"
            yield f"probes.{probe}.layer: {settings['layer']}, but {reads}. Leave the layer out, or the autoencoder"


class Inputs(NamedTuple):
    """Every file that a config names, read once; what the run makes itself is not in it."""

    models: Mapping[str, "Model"]
    cells: Mapping[str, "ContextCells"]
    splits: Mapping[str, "Split"]
    programs: "Programs"
    regulons: Mapping[str, Any]
    """Name -> counts and hash, JSON-able."""
    notes: Mapping[str, list[str]]
    """Model -> what is only worth knowing of it beside its cells."""
    census: "list[Finding]"
    """What was checked over all cells and of all files that name the same thing."""


def check_inputs(config: Config) -> dict[str, Any]:
    """Read every file the config names and check that they fit each other.

    Files that the run makes itself (simulated cells, trained models) are left to the jobs that make them.

    Returns:
        JSON-able summary: per cells entry, model and program file its hash, counts and notes; and warnings.

    Raises:
        Faults: everything that is wrong, together, each message behind its key (`cells.line_a: ...`).
    """
    found = read_inputs(config)
    files = {path: _hash(path) for path in _program_files(config) if Path(path).is_file()}
    return {
        "cells": {name: _cells_summary(config["cells"][name]["path"], each) for name, each in found.cells.items()},
        "models": {name: _model_summary(model, found.notes[name]) for name, model in found.models.items()},
        "programs": {
            "files": files,
            "sizes": {name: len(genes) for name, genes in found.programs.items()},
            "notes": list(found.programs.notes),
        },
        "regulons": found.regulons,
        "census": [each._asdict() for each in found.census],
        "splits": {name: _hash(config["models"][name]["split"]) for name in found.splits},
    }


def read_inputs(config: Config) -> Inputs:
    """Return every file the config names, read and checked as `check_inputs` says; raises `Faults` of all together."""
    faults = check_references(config)
    models = _check_models(config, faults)
    cells = _check_cells(config, models, faults)
    notes = {name: _fit(config, name, model, cells, faults) for name, model in models.items()}
    splits = _check_splits(config, faults)
    programs = _check_programs(config, cells, models, faults)
    regulons = _check_regulons(config, models, faults)
    faults += [*_layer_faults(config, models), *_unknown_genes(config, models), *_unknown_perturbations(config, models)]
    faults += _without_levels(config, models, cells)
    saes = _section(config, "sae")
    for name, more in check_autoencoders(saes, dict(_given(config, "sae")), models, faults).items():
        notes[name] += more
    census = _census(config, models, cells, programs, faults)
    raise_together(faults)
    return Inputs(models, cells, splits, programs, regulons, _with_census(notes, census), census)


def _census(
    config: Config,
    models: Mapping[str, "Model"],
    cells: Mapping[str, "ContextCells"],
    programs: "Programs",
    faults: list[str],
) -> "list[Finding]":
    """Check all cells, and all files that name the same thing; nothing heavy is imported where there is neither."""
    if not models and not cells:
        return []
    from pertprobe.workflow.census import census_of

    return census_of(config, models, cells, programs, faults)


def _with_census(notes: Mapping[str, list[str]], census: "list[Finding]") -> dict[str, list[str]]:
    """Return the notes on each model, those of the census among them."""
    from pertprobe.data.findings import notes_among

    return {name: [*told, *notes_among(census, f"models.{name}")] for name, told in notes.items()}


def _layer_faults(config: Config, models: Mapping[str, "Model"]) -> Iterator[str]:
    """Yield the sparse autoencoders and the probes whose layer a model does not have."""
    asked = [(f"sae.{name}.layer", sae.get("layer"), sae["models"]) for name, sae in _section(config, "sae").items()]
    asked += [(key, value, models) for key, value in _referred(config, "layers")]
    for key, value, names in asked:
        for layer, model in product(value if isinstance(value, list) else [value], names):
            if isinstance(layer, int) and model in models and layer > models[model].n_layers:
                yield f"{key}: {layer}, but {model} has the layers 0 to {models[model].n_layers}"


def _unknown_genes(config: Config, models: Mapping[str, "Model"]) -> Iterator[str]:
    """Yield the genes that probes are to silence and that a model does not know."""
    for key, genes in _referred(config, "genes"):
        for name, model in models.items():
            if isinstance(genes, list) and (missing := [gene for gene in genes if gene not in set(model.genes)]):
                yield f"{key}: not among the genes of {name}: {listed(missing)}"


def _without_levels(
    config: Config, models: Mapping[str, "Model"], cells: Mapping[str, "ContextCells"]
) -> Iterator[str]:
    """Yield the probes that silence genes to an observed level where a context has no cells of any knock-down."""
    asked = [probe.name for probe, settings in _asked(config) if "observed" in probe.reads_under(settings)]
    for probe, (name, model) in product(asked, models.items()):
        context = config["models"][name].get("context")
        comparable = "gene_space" in model.capabilities and context in cells
        if comparable and not set(model.genes) & set(cells[context].perturbations):
            without = f"no gene of {name} is knocked down in cells.{context}"
            yield f"probes.{probe}.value: observed, but {without}. Set it to zero"


def _unknown_perturbations(config: Config, models: Mapping[str, "Model"]) -> Iterator[str]:
    """Yield the perturbations under which probes silence genes or take derivatives and that a model does not know."""
    of_atlas = [name for name in _of_atlas(config, "models") or models if name in models]
    wanted = [(key, value, list(models)) for key, value in _referred(config, "perturbations")]
    wanted.append(("atlas.perturbations", _of_atlas(config, "perturbations"), of_atlas))
    for key, value, names in wanted:
        for perturbation, name in product(value if isinstance(value, list) else [value], names):
            if perturbation not in ("control", *models[name].perturbations):
                near = meant(perturbation, models[name].perturbations)
                yield f"{key}: '{perturbation}' is no perturbation of {name}.{near}"


def _of_atlas(config: Config, key: str) -> list[str]:
    """Return the names that the atlas lists; none where it asks for all."""
    found = _section(config, "atlas").get(key, "all")
    return [] if found == "all" else found


def control_faults(config: Config) -> Iterator[str]:
    """Yield the thresholds, defaults filled in, that ask for a control which the run does not have."""
    if _section(config, "controls").get("redrawn", 1):
        return
    for probe in _section(config, "probes"):
        for column, *_ in _section(config, "thresholds").get(probe, []):
            if column.startswith("excess_redrawn"):
                yield f"thresholds.{probe}: {column} is asked for, but controls.redrawn is 0. Set it to 5, or ask less"


def _pair_faults(config: Config) -> Iterator[str]:
    """Yield the pairs that do not compare what their list compares."""
    models = _section(config, "models")
    for kind, pairs in _section(config, "pairs").items():
        for model, reference in (pair for pair in pairs if len(pair) == 2):
            if model not in models or reference not in models:
                continue
            same = models[model].get("context") == models[reference].get("context")
            if model == reference or same != (kind == "regimes"):
                wanted = "two models of one context" if kind == "regimes" else "models of two contexts"
                yield f"pairs.{kind}: [{model}, {reference}] are not {wanted}"


def given_paths(config: Config) -> list[str]:
    """Return the files and folders that the config names and the run does not make itself, each once."""
    named = [entry["path"] for entry in config["cells"].values()]
    named += [entry[key] for entry in config["models"].values() for key in ("path", "split", "genes") if key in entry]
    named += [entry["path"] for entry in _section(config, "sae").values() if "path" in entry]
    named += [*config["programs"].get("gmt", []), *_regulon_files(config).values()]
    named += [config["style"]] if config.get("style") else []
    return list(dict.fromkeys(path for path in named if not _made_by_run(config, path)))


def _made_by_run(config: Config, path: str) -> bool:
    """Return whether a file lies in the results of a run that simulates its own input."""
    return "simulate" in config and (path.startswith("<results>") or f"results/{config.get('run')}/" in path)


def _check_models(config: Config, faults: list[str]) -> dict[str, "Model"]:
    """Load each given model once; return those that can be read."""
    from pertprobe.models import load_model

    found = {}
    for name, entry in _given(config, "models"):
        attention = None if entry.get("attention", "flag") == "flag" else entry["attention"]
        with gathering(faults, f"models.{name}: "), _readable(entry["path"]):
            settings = {key: entry[key] for key in ("kind", "checkpoint", *TOLD) if key in entry}
            found[name] = load_model(entry["path"], attention=attention, **settings)
    return found


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Say in words that a kind of model could not open its file."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename or path} cannot be read ({error.strerror or error})"
        raise PertprobeError(f"{what}. Set path to what this kind reads, or kind to what lies there") from error


def _check_cells(config: Config, models: Mapping[str, "Model"], faults: list[str]) -> dict[str, "ContextCells"]:
    """Inspect each given context; return what was found in those that can be read."""
    found = {}
    damaged = _unreadable_cells(config)
    for name, entry in _given(config, "cells"):
        if fault := damaged.get(entry["path"]):
            faults.append(f"cells.{name}: {fault}")
            continue
        readers = [model for key, model in models.items() if config["models"][key].get("context") == name]
        description, fresh = _inspected(entry, {gene for model in readers for gene in model.genes})
        faults += [f"cells.{name}: {text}" for text in fresh]
        found |= {name: description} if description else {}
    return found


def _unreadable_cells(config: Config) -> dict[str, str]:
    """Return path -> fault of the files that a process of its own cannot read through: before any other opens them."""
    from pertprobe.readers.apart import check_apart

    spaces, found = {}, {}
    for _, entry in _given(config, "cells"):
        space = entry.get("space", "X")
        spaces.setdefault(entry["path"], {"X"} if "/" not in space else set()).add(space)
    for path, wanted in spaces.items():
        try:
            check_apart(path, wanted)
        except PertprobeError as error:
            found[path] = str(error)
    return found


def _inspected(entry: Mapping[str, Any], wanted: set[str]) -> tuple["ContextCells | None", list[str]]:
    """Return what a context holds and its faults; genes no model reads may be ambiguous."""
    from pertprobe.data.cells import context_source, describe_cells, inspect_cells

    path, source = entry["path"], context_source(entry)
    sizes = {key: entry[key] for key in ("set_size", "n_sets")}
    try:
        description = describe_cells(path, **source)
    except PertprobeError:
        return None, inspect_cells(path, **sizes, **source)
    genes = list(dict.fromkeys(gene for gene in description.genes if gene in wanted))
    return description, inspect_cells(path, **sizes, **source, genes=genes or None)


def _fit(
    config: Config, name: str, model: "Model", cells: Mapping[str, "ContextCells"], faults: list[str]
) -> list[str]:
    """Add to `faults` where a model does not fit its cells; return notes on what is only worth knowing."""
    context = config["models"][name].get("context")
    if context not in cells:
        return []
    found, entry, notes = cells[context], config["cells"][context], []
    if missing := sorted(set(model.genes) - set(found.genes)):
        faults.append(
            f"models.{name}: {len(missing)} of {len(model.genes)} genes of the model are missing from space "
            f"'{entry.get('space', 'X')}' of cells.{context}: {listed(missing)}. Set cells.{context}.space or .genes"
        )
    # Another package's model may know its labels by their letters alone.
    own = model.card.get("kind") == "state"
    matched = matched_labels(found.batches, model.batches) if own else {label: label for label in model.batches}
    if model.batches and (unknown := sorted(set(found.batches) - set(matched))):
        faults.append(
            f"models.{name}: batch labels of cells.{context} are unknown to the model: {listed(unknown)} (it knows "
            f"{listed(model.batches)}). Set cells.{context}.batch_column, or null for the model's first label"
        )
    if model.set_size and entry["set_size"] != model.set_size:
        faults.append(
            f"models.{name}: was trained on sets of {model.set_size} cells, cells.{context}.set_size is "
            f"{entry['set_size']}. Set it to {model.set_size}, or give the model a cells entry of its own"
        )
    if renamed := [f"{label} as {known}" for label, known in matched.items() if label != known]:
        notes.append(f"batch labels of cells.{context} are read as the model's: {listed(renamed)}")
    if len(model.batches) > 1 and not found.batches:
        notes.append(f"cells.{context} has no batch_column: all cells get the label '{model.batches[0]}'")
    if not set(model.perturbations) & set(found.perturbations):
        notes.append(f"no perturbation of the model has cells in {context}: no observed reference")
    return notes


def _check_splits(config: Config, faults: list[str]) -> dict[str, "Split"]:
    """Read each model's split file."""
    from pertprobe.models.split_file import read_split

    found = {}
    for name, entry in _given(config, "models", "split"):
        with gathering(faults, f"models.{name}.split: "):
            found[name] = read_split(entry["split"])
    return found


def _program_files(config: Config) -> list[str]:
    """Return the files of programs that the run does not make itself."""
    return [path for path in _section(config, "programs").get("gmt", []) if not _made_by_run(config, path)]


def _check_programs(
    config: Config, cells: Mapping[str, "ContextCells"], models: Mapping[str, "Model"], faults: list[str]
) -> "Programs":
    """Read programs and panels; return the programs."""
    from pertprobe.data.programs import Programs, read_panels, read_programs, sets_of

    section, paths = _section(config, "programs"), _program_files(config)
    held = {name for found in cells.values() for name in (*found.perturbations, *found.genes)}
    perturbations = {name for model in models.values() for name in model.perturbations if name != model.control}
    programs = Programs({})
    before, complete = len(faults), len(paths) == len(section.get("gmt", []))
    with gathering(faults, "programs: "):
        programs = read_programs(*paths, **sets_of(section), known_names=held | perturbations)
    if complete and perturbations and len(faults) == before:
        with gathering(faults, "panels."):
            read_panels(_section(config, "panels"), programs, perturbations)
    if complete and len(faults) == before:
        faults += _unknown_programs(config, programs)
    return programs


def _regulon_files(config: Config) -> dict[str, str]:
    """Return key of the config -> table of signed edges that it names and the run does not make itself."""
    files = [(f"{key}.{name}", path) for key, named in _referred(config, "regulons") for name, path in named.items()]
    files += [("controls.network", path) for path in [_section(config, "controls").get("network")] if path]
    return {key: path for key, path in files if not _made_by_run(config, path)}


def _check_regulons(config: Config, models: Mapping[str, "Model"], faults: list[str]) -> dict[str, Any]:
    """Read the regulons; return name -> hash and counts."""
    if not (files := _regulon_files(config)):
        return {}
    from pertprobe.data.findings import faults_among
    from pertprobe.data.regulons import read_regulons
    from pertprobe.workflow.census import regulon_findings

    found = {}
    for key, path in files.items():
        name = key.rpartition(".")[2]
        with gathering(faults, f"{key}: "):
            edges = read_regulons(path, name)
            faults += faults_among(regulon_findings(key, {*edges.signs.source, *edges.signs.target}, models))
            counts = {"n_edges": len(edges.signs), "n_regulators": int(edges.signs.source.nunique())}
            found[name] = {"sha256": _hash(path), **counts, "notes": list(edges.notes)}
    return found


def _unknown_programs(config: Config, programs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the programs that probes name features for and nobody defined."""
    for key, features in _referred(config, "programs"):
        for name in features:
            if name not in programs:
                yield f"{key}: program '{name}' is not defined (found: {listed(programs)}).{meant(name, programs)}"


def _cells_summary(path: str, found: "ContextCells") -> dict[str, Any]:
    counts = {"n_cells": found.n_cells, "n_controls": found.n_controls, "n_genes": len(found.genes)}
    names = {"perturbations": len(found.perturbations), "batches": list(found.batches), "notes": list(found.notes)}
    return {"path": path, "sha256": _hash(path), **counts, **names}


def _model_summary(model: "Model", notes: list[str]) -> dict[str, Any]:
    parts = ("genes", "output_genes", "perturbations", "batches")
    counts = {f"n_{part}": len(getattr(model, part)) for part in parts}
    facts = {"set_size": model.set_size, "capabilities": sorted(model.capabilities), "sha256": model.card.get("sha256")}
    return counts | facts | {"notes": [*model.card.get("warnings", ()), *notes]}
