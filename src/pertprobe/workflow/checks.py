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
from pertprobe.workflow.agent_checks import label_faults, with_readable_agents
from pertprobe.workflow.autoencoders import check_autoencoders
from pertprobe.workflow.given_files import path_faults, program_files, readable, readable_entries, regulon_files
from pertprobe.workflow.parts_of_config import Config, asked_probes, of_atlas, referred, section_of
from pertprobe.workflow.references import check_references

if TYPE_CHECKING:
    from pertprobe.data.cells import ContextCells
    from pertprobe.data.findings import Finding
    from pertprobe.data.programs import Programs
    from pertprobe.models.base import Model
    from pertprobe.models.training_split import Split

TOLD = ("genes", "control", "ignore_options")
"""Keys of a model's entry that say what its directory does not."""


@cache
def _hash(path: str) -> str:
    """Return the SHA-256 of a given file, which is read whole only where it is not known from earlier."""
    return KnownFiles().sha256(path)


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
    files = {path: _hash(path) for path in program_files(config) if Path(path).is_file()}
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
    faults = [*check_references(config), *path_faults(config)]
    config = with_readable_agents(config, faults)
    models = _check_models(config, faults)
    cells = _check_cells(config, models, faults)
    notes = {name: _fit(config, name, model, cells, faults) for name, model in models.items()}
    splits = _check_splits(config, faults)
    programs = _check_programs(config, cells, models, faults)
    regulons = _check_regulons(config, models, faults)
    faults += [*_layer_faults(config, models), *_unknown_genes(config, models), *_unknown_perturbations(config, models)]
    faults += [*_without_levels(config, models, cells), *label_faults(config, models, cells)]
    saes, read = section_of(config, "sae"), dict(readable_entries(config, "sae"))
    trained = {name: entry for name, entry in saes.items() if "path" not in entry}
    for name, more in check_autoencoders(trained | read, read, models, faults).items():
        notes[name] += more
    census = _census(config, models, cells, programs, faults)
    if (sheet := config.get("style")) and readable(sheet):
        from pertprobe.workflow.style_check import check_style

        with gathering(faults, f"style: {sheet} "):
            check_style(sheet)
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
    asked = [(f"sae.{name}.layer", sae.get("layer"), sae["models"]) for name, sae in section_of(config, "sae").items()]
    asked += [(key, value, models) for key, value in referred(config, "layers")]
    for key, value, names in asked:
        for layer, model in product(value if isinstance(value, list) else [value], names):
            if isinstance(layer, int) and model in models and layer > models[model].n_layers:
                yield f"{key}: {layer}, but {model} has the layers 0 to {models[model].n_layers}"


def _unknown_genes(config: Config, models: Mapping[str, "Model"]) -> Iterator[str]:
    """Yield the genes that probes are to silence and that a model does not know."""
    for key, genes in referred(config, "genes"):
        for name, model in models.items():
            if isinstance(genes, list) and (missing := [gene for gene in genes if gene not in set(model.genes)]):
                yield f"{key}: not among the genes of {name}: {listed(missing)}"


def _without_levels(
    config: Config, models: Mapping[str, "Model"], cells: Mapping[str, "ContextCells"]
) -> Iterator[str]:
    """Yield the probes that silence genes to an observed level where a context has no cells of any knock-down."""
    asked = [probe.name for probe, settings in asked_probes(config) if "observed" in probe.reads_under(settings)]
    for probe, (name, model) in product(asked, models.items()):
        context = config["models"][name].get("context")
        comparable = "gene_space" in model.capabilities and context in cells
        if comparable and not set(model.genes) & set(cells[context].perturbations):
            without = f"no gene of {name} is knocked down in cells.{context}"
            yield f"probes.{probe}.value: observed, but {without}. Set it to zero"


def _unknown_perturbations(config: Config, models: Mapping[str, "Model"]) -> Iterator[str]:
    """Yield the perturbations under which probes silence genes or take derivatives and that a model does not know."""
    in_atlas = [name for name in of_atlas(config, "models") or models if name in models]
    wanted = [(key, value, list(models)) for key, value in referred(config, "perturbations")]
    wanted.append(("atlas.perturbations", of_atlas(config, "perturbations"), in_atlas))
    for key, value, names in wanted:
        for perturbation, name in product(value if isinstance(value, list) else [value], names):
            if perturbation not in ("control", *models[name].perturbations):
                near = meant(perturbation, models[name].perturbations)
                yield f"{key}: '{perturbation}' is no perturbation of {name}.{near}"


def _check_models(config: Config, faults: list[str]) -> dict[str, "Model"]:
    """Load each given model once; return those that can be read."""
    from pertprobe.models import load_model

    found = {}
    for name, entry in readable_entries(config, "models"):
        attention = None if entry.get("attention", "flag") == "flag" else entry["attention"]
        with gathering(faults, f"models.{name}: "), _readable(entry["path"]):
            settings = {key: entry[key] for key in ("kind", "checkpoint", *TOLD) if key in entry}
            agents = section_of(config, "programs").get("agents")
            found[name] = load_model(entry["path"], attention=attention, agents=agents, **settings)
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
    found, damaged = {}, _unreadable_cells(config)
    for name, entry in readable_entries(config, "cells"):
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
    for _, entry in readable_entries(config, "cells"):
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
    for name, entry in readable_entries(config, "models", "split"):
        with gathering(faults, f"models.{name}.split: "):
            found[name] = read_split(entry["split"])
    return found


def _check_programs(
    config: Config, cells: Mapping[str, "ContextCells"], models: Mapping[str, "Model"], faults: list[str]
) -> "Programs":
    """Read programs and panels; return the programs."""
    from pertprobe.data.programs import Programs, read_panels, read_programs, sets_of

    section, paths = section_of(config, "programs"), list(filter(readable, program_files(config)))
    held = {name for found in cells.values() for name in (*found.perturbations, *found.genes)}
    perturbations = {name for model in models.values() for name in model.perturbations if name != model.control}
    programs = Programs({})
    before, complete = len(faults), len(paths) == len(section.get("gmt", []))
    with gathering(faults, "programs: "):
        programs = read_programs(*paths, **sets_of(section), known_names=held | perturbations)
    if complete and perturbations and len(faults) == before:
        with gathering(faults, "panels."):
            read_panels(section_of(config, "panels"), programs, perturbations)
    if complete and len(faults) == before:
        faults += _unknown_programs(config, programs)
    return programs


def _check_regulons(config: Config, models: Mapping[str, "Model"], faults: list[str]) -> dict[str, Any]:
    """Read the regulons; return name -> hash and counts."""
    if not (files := regulon_files(config)):
        return {}
    from pertprobe.data.findings import faults_among
    from pertprobe.data.regulons import read_regulons
    from pertprobe.workflow.census import regulon_findings, too_few_targets

    found, settings = {}, {probe.name: probe.default_settings | given for probe, given in asked_probes(config)}
    for key, path in files.items():
        if not readable(path):
            continue
        name = key.rpartition(".")[2]
        with gathering(faults, f"{key}: "):
            edges = read_regulons(path, name)
            counts = {"n_edges": len(edges.signs), "n_regulators": int(edges.signs.source.nunique())}
            least = settings.get(key.split(".")[1], {}).get("min_targets", 1)
            few = too_few_targets(edges.signs, models, least)
            found[name] = {"sha256": _hash(path), **counts, "notes": [*edges.notes, *few]}
            faults += faults_among(regulon_findings(key, {*edges.signs.source, *edges.signs.target}, models))
    return found


def _unknown_programs(config: Config, programs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the programs that probes name features for and nobody defined."""
    for key, features in referred(config, "programs"):
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
