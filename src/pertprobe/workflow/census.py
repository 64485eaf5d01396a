"""The census of a run's inputs: what is checked over all cells, and of all files that name the same thing."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pertprobe.data.findings import Finding, faults_among
from pertprobe.errors import PertprobeError, gathering, listed
from pertprobe.probes.declaration import declared, probe_names

if TYPE_CHECKING:
    import pandas as pd

    from pertprobe.data.cells import ContextCells
    from pertprobe.data.programs import Programs
    from pertprobe.models.base import Model

Config = Mapping[str, Any]
SETS = 4
"""Sets of control cells that a model is asked under its control."""


def census_of(
    config: Config,
    models: Mapping[str, "Model"],
    cells: Mapping[str, "ContextCells"],
    programs: "Programs",
    faults: list[str],
) -> list[Finding]:
    """Return all findings on the inputs that could be read, and add those that stop the run to `faults`.

    A context or model that has faults already is left to them: what is counted of it would say the same again.
    """
    sound = {name: each for name, each in cells.items() if not _faulty(f"cells.{name}", faults)}
    found: dict[str, list[Finding]] = {}
    for name in sound:
        genes = {gene for key, model in models.items() if _context(config, key) == name for gene in model.genes}
        with gathering(faults, f"cells.{name}: "):
            found[f"cells.{name}"] = context_findings(config, name, genes)
    for name, model in models.items():
        key, context = f"models.{name}", _context(config, name)
        scale = found.get(f"cells.{context}", [])
        broken = any(each.level == "fault" and each.what in BROKEN for each in scale)
        shown = context in sound and not broken and not _faulty(key, faults)
        found[key] = model_findings(config, name, model, cells.get(context), scale if shown else None)
    if not _faulty("programs", faults):
        found["programs"] = [*program_findings(config, programs, models), *panel_findings(config, models)]
    every = [each for part in found.values() for each in part]
    faults += faults_among(every)
    return every


BROKEN = ("finite_values", "no_negative_values")
"""What leaves no cells to hold a model against."""


def _context(config: Config, model: str) -> str | None:
    return config["models"][model].get("context")


def _faulty(key: str, faults: Iterable[str]) -> bool:
    return any(fault.startswith((f"{key}:", f"{key}.")) for fault in faults)


def context_findings(config: Config, context: str, genes: Collection[str]) -> list[Finding]:
    """Return what one pass over all cells of a context finds; `genes` are those that models read, none for all."""
    from pertprobe.data.cells import CellSource, context_source
    from pertprobe.data.census import take_census
    from pertprobe.data.census_findings import cell_findings, group_findings
    from pertprobe.data.columns import column_findings
    from pertprobe.data.scale import scales_of_groups

    entry, key = config["cells"][context], f"cells.{context}"
    source = context_source(entry)
    census, where = take_census(entry["path"], list(genes) or None, **source), CellSource(**source)
    found = [*cell_findings(key, census, where)]
    if not any(each.level == "fault" for each in found):
        found += group_findings(key, census, scales_of_groups(entry["path"], census, **source), where)
        found += column_findings(key, entry["path"], census.genes, **source)
    return [waived(each, entry) for each in found]


def model_findings(
    config: Config, name: str, model: "Model", cells: "ContextCells | None", scale: Collection[Finding] | None
) -> list[Finding]:
    """Return where a model's files, its split and its cells disagree.

    `scale` is what was found of its cells; None where these or the model have faults, of which more would follow.
    """
    entry, key = config["models"][name], f"models.{name}"
    found = [*_readable(key, _of_directory(key, entry, model))]
    context = entry.get("context")
    if cells is not None:
        from pertprobe.models.names_in_cells import agent_findings, name_findings

        source = config["cells"][context]
        found += agent_findings(key, model, context, cells)
        found += name_findings(key, model, context, cells, source)
        if scale is not None:
            found += _readable(key, _of_split(key, entry, model, source))
            found += _readable(key, _under_control(key, model, context, source, scale))
    return [waived(each, entry) for each in found]


def _readable(key: str, found: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings; what cannot be read on the way to them is one more."""
    try:
        yield from found
    except PertprobeError as error:
        for message in getattr(error, "messages", (str(error),)):
            yield Finding(key, "readable", "fault", 1, 1, message)


def waived(finding: Finding, entry: Mapping[str, Any]) -> Finding:
    """Return a fault as waived where the config says so, and otherwise with the words that say how."""
    if finding.level != "fault" or finding.what not in WAIVABLE[finding.key.partition(".")[0]]:
        return finding
    if finding.what in (entry.get("waive") or ()):
        return finding._replace(level="waived", words=f"waived ({finding.what}): {finding.words}")
    stop = "" if finding.words.endswith(("?", ".")) else "."
    return finding._replace(words=f"{finding.words}{stop} If it is meant: {finding.key}.waive: [{finding.what}]")


WAIVABLE = {
    "cells": ("log1p", "scale_of_groups", "identical_cells", "genes_of_columns"),
    "models": ("directory", "known_labels", "split_contexts", "split_names", "regime", "under_control"),
    "programs": (),
}
"""Section of the config -> checks that its entries may waive."""


def _of_directory(key: str, entry: Mapping[str, Any], model: "Model") -> Iterator[Finding]:
    if entry.get("kind", "state") == "state":
        from pertprobe.models.by_agent import as_loaded
        from pertprobe.models.state.directory_checks import directory_findings

        yield from directory_findings(key, entry["path"], as_loaded(model))


def _of_split(key: str, entry: Mapping[str, Any], model: "Model", source: Mapping[str, Any]) -> Iterator[Finding]:
    from pertprobe.data.cells import context_source, perturbed_labels
    from pertprobe.models.by_agent import as_loaded
    from pertprobe.models.cards import own_split
    from pertprobe.models.split_checks import beside_own_split, split_findings
    from pertprobe.models.split_file import read_split

    path = entry.get("split") or own_split(entry["path"])
    try:
        split = read_split(path) if path else None
    except PertprobeError:
        return  # said where splits are read
    contexts = perturbed_labels(source["path"], **context_source(source))["context"].unique()
    regime = entry.get("regime", "unknown")
    written = as_loaded(model)
    yield from split_findings(key, written, split, source["context"], regime, [str(name) for name in contexts])
    if split and split.rows is None and entry.get("split"):
        yield beside_own_split(key, own_split(entry["path"]), split, source["context"])


def _under_control(
    key: str, model: "Model", context: str, source: Mapping[str, Any], scale: Collection[Finding]
) -> Iterator[Finding]:
    """Yield how far the model's answer to its control is from the control cells."""
    from pertprobe.data.cells import context_source, read_cells
    from pertprobe.models.under_control import CLOSE, FAR, comparable, under_control

    if not comparable(model):
        words = "its inputs and outputs are not the same genes: under its control it cannot be held against cells"
        yield Finding(key, "under_control", "uncheckable", 0, 0, words)
        return
    size = model.set_size or source["set_size"]
    n_sets = min(SETS, source["n_sets"])
    given = {**context_source(source), "genes": model.genes, "set_size": size, "n_sets": n_sets, "seed": 0}
    cells = read_cells(source["path"], **given)
    try:
        found = under_control(model, cells)
    except Exception as error:  # a user's model can raise anything; its own jobs will say so
        words = f"its prediction under the control failed: {type(error).__name__}: {error}"
        yield Finding(key, "under_control", "uncheckable", 1, 1, words)
        return
    away = f"under its control the model is {found.distance:.2f} away from the mean control cell of cells.{context}"
    told = any(each.what == "log1p" and each.level == "good" for each in scale)
    if found.scale:
        nearer = f"{found.at_scale:.2f} if they are taken for {found.scale}"
        words = f"{away}, {nearer}: are they on the scale that it was trained on? Give cells on that scale"
        yield Finding(key, "under_control", "fault", 1, 1, words)
    elif found.distance > FAR and not told:
        words = f"{away} (a trained model on its own cells: below {CLOSE}): are these the cells it was trained on?"
        yield Finding(key, "under_control", "fault", 1, 1, words)
    elif found.distance > CLOSE:
        words = (
            f"{away} (a well trained model on its own cells: below {CLOSE}): little trained, or cells unlike its own"
        )
        yield Finding(key, "under_control", "note", 1, 1, words)
    else:
        yield Finding(key, "under_control", "good", 0, 1, f"{away} (relative to its length)")


def program_findings(config: Config, programs: "Programs", models: Mapping[str, "Model"]) -> list[Finding]:
    """Return how many programs and panels have members that a model knows, and under which spelling more would."""
    from pertprobe.data.spelling import best_spelling, hint

    known = _known_names(models.values())
    if not models or not programs:
        return []
    members = {name: set(genes) for name, genes in programs.items() if genes}
    spelled, of = best_spelling(members, known), len(programs)
    n, more = spelled.as_written, spelled.words if spelled.best > spelled.as_written else ""
    written = sorted({gene for genes in members.values() for gene in genes})
    told = more or f"{hint(written, known) or 'no spelling of them would'}. Give a map of names: programs.names"
    words = f"{n} of {of} programs have a member among perturbations and genes of the models; {told}"
    if not n:
        return [Finding("programs", "members", "fault", of, of, words)]
    level = "good" if n == of else "note"
    without = f": {listed([name for name, genes in programs.items() if not known & {*genes}], 5)}"
    words = f"{of - n} of {of} programs have no member among the models' names{without}" + (f"; {more}" if more else "")
    found = Finding("programs", "members", level, of - n, of, words if n < of else "")
    return [found, _perturbed(members, written, models.values())]


def _perturbed(members: Mapping[str, set[str]], written: Sequence[str], models: Iterable["Model"]) -> Finding:
    """Return how many programs have a member that was perturbed; of the others only their genes can be asked about."""
    from pertprobe.data.spelling import hint

    labels = {name for model in models for name in model.perturbations if name != model.control}
    n, of = sum(bool(genes & labels) for genes in members.values()), len(members)
    words = f"{of - n} of {of} programs have no member among the perturbations of the models"
    near = "" if n else hint(written, labels)
    words += f": {near}. programs.names maps names of gene sets to labels" if near else ""
    return Finding("programs", "perturbed_members", "good" if n == of else "note", of - n, of, words if n < of else "")


def _known_names(models: Iterable["Model"]) -> set[str]:
    """Return every perturbation and gene of the models."""
    return {name for model in models for names in (model.perturbations, model.genes, model.output_genes)
            for name in names if name != model.control}  # fmt: skip


def regulon_findings(key: str, names: Iterable[str], models: Mapping[str, "Model"]) -> Iterator[Finding]:
    """Yield whether a table of regulators and targets names any gene or perturbation of the models."""
    from pertprobe.data.spelling import hint

    names, known = {*names}, _known_names(models.values())
    n = len(names & known)
    if models and not n:
        words = f"none of its {len(names)} regulators and targets is a gene or perturbation of the models: "
        words += (
            f"{hint(sorted(names), known) or 'they are written in another way'}. Give names as the models have them"
        )
        yield Finding(key, "members", "fault", len(names), len(names), words)
    elif models:
        yield Finding(key, "members", "good", len(names) - n, len(names), "")


def too_few_targets(signs: "pd.DataFrame", models: Mapping[str, "Model"], least: int) -> list[str]:
    """Return a note where no model could be asked of a table of edges: who has as many targets as are needed.

    `signs`: edges with the columns source and target; `least`: known targets that a regulator needs.
    """
    for model in models.values():
        known = signs[signs.source.isin(model.genes) & signs.target.isin(model.output_genes)]
        if (known.groupby("source").target.nunique() >= least).any():
            return []
    words = f"nothing can be asked of these regulons: none of {signs.source.nunique()} regulators has {least} targets "
    return [f"{words}that a model knows. Give more edges, or lower min_targets"] if models else []


def panel_findings(config: Config, models: Mapping[str, "Model"]) -> list[Finding]:
    """Return the panels that are asked and have no pair that any model measures: a fault where all are like that."""
    asking = [probe for probe in config.get("probes") or () if probe in probe_names()]
    panels = config.get("panels") or {}
    if not models or not any(declared(probe).referring("panels") for probe in asking):
        return []
    found = {name: _outside(f"panels.{name}", entry, models.values()) for name, entry in panels.items()}
    outside = [each for each in found.values() if each]
    level = "fault" if len(outside) == len(panels) else "note"
    return [each._replace(level=level) for each in outside]


def _outside(key: str, panel: Mapping[str, Any], models: Iterable["Model"]) -> Finding | None:
    """Return what is wrong with a panel none of whose regulators, or targets, is a gene of a model."""
    from pertprobe.data.spelling import hint

    sides = {"regulators": "genes", "targets": "output_genes"}
    for part, of in sides.items():
        names, known = panel.get(part, ()), {name for model in models for name in getattr(model, of)}
        if names and not {*names} & known:
            near = hint(sorted(names), known)
            words = f"none of its {part} ({listed(names, 5)}) is a gene of the models{f': {near}' if near else ''}"
            return Finding(key, "members", "note", len(names), len(names), f"{words}. Set {key}.{part}")
    return None
