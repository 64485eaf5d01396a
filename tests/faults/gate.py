"""What a run does with the files that it is given: the gate (config, then job one), and then their first use."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pertprobe.data.cells import context_source, halved_sums, read_cells
from pertprobe.data.programs import read_panels, run_programs
from pertprobe.data.regulons import read_regulons
from pertprobe.errors import PertprobeError
from pertprobe.interpret.sae import read_sae, sae_arguments
from pertprobe.models import load_model
from pertprobe.models.split_file import read_split
from pertprobe.models.training_split import seen_status
from pertprobe.workflow.checks import check_inputs
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.given_files import given_paths
from pertprobe.workflow.settled import read_configs, settled

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = re.compile(r"\w+\W+\w+\W+\w+")
"""What is a word to the user in the record of job one: three words at least."""


def gate(folder: Path) -> list[str]:
    """Read config and files as a run does before any long job; return the sentences that it says of them."""
    config = settled(read_configs([folder / "run.yaml"]), whole_schema(ROOT / "config/schema.yaml"))
    found = json.loads(json.dumps(check_inputs(config)))
    if missing := [path for path in given_paths(config) if not Path(path).exists()]:
        raise PertprobeError(f"Missing input files: {missing}")  # as Snakemake does before the first job
    return sorted(set(_sentences(found)))


def _sentences(found: Any) -> Iterator[str]:
    """Yield every sentence in a JSON-able record."""
    if isinstance(found, dict):
        for each in found.values():
            yield from _sentences(each)
    elif isinstance(found, list):
        for each in found:
            yield from _sentences(each)
    elif isinstance(found, str) and SENTENCE.search(found):
        yield found


def use(folder: Path) -> str:
    """Read what the jobs after the gate read, and return a hash of it all: equal where the content is equal."""
    config = settled(read_configs([folder / "run.yaml"]), whole_schema(ROOT / "config/schema.yaml"))
    digest = hashlib.sha256()
    for part in _parts(config):
        values = np.ascontiguousarray(part) if isinstance(part, np.ndarray) else repr(part).encode()
        digest.update(values)
    return digest.hexdigest()


def _parts(config: dict[str, Any]) -> Iterator[Any]:
    """Yield names as Python's own values, numbers as arrays."""
    models = {name: load_model(entry["path"], kind=entry["kind"]) for name, entry in config["models"].items()}
    for name, model in models.items():
        yield from _of_model(model)
        yield from _of_cells(config["cells"][config["models"][name]["context"]], model)
        yield from _of_split(config["models"][name], model)
    names = {each for model in models.values() for each in (*model.genes, *model.perturbations)}
    programs = run_programs(config["programs"]["gmt"], config["programs"], names)
    yield sorted(programs.items())
    for model in models.values():
        yield read_panels(config["panels"], programs, model.perturbations, model.control)
    for path in config["probes"].get("regulon_recovery", {}).get("regulons", {}).values():
        yield read_regulons(path).signs.to_csv()
    for entry in config["sae"].values():
        sae = read_sae(**sae_arguments(entry))
        yield from (sae.W_enc.numpy(), sae.b_enc.numpy(), sae.W_dec.numpy(), sae.b_dec.numpy(), sae.k)


def _of_model(model: Any) -> Iterator[Any]:
    yield model.genes, model.output_genes, model.perturbations, model.control, model.batches, model.set_size
    yield model.encode_perturbations(list(model.perturbations)).detach().numpy()
    for name, weight in sorted(model.parameters.items()):
        yield name
        yield weight.detach().numpy()


def _of_cells(entry: dict[str, Any], model: Any) -> Iterator[Any]:
    source = context_source(entry)
    sizes = {key: entry[key] for key in ("set_size", "n_sets")}
    drawn = read_cells(entry["path"], seed=0, genes=model.genes, **sizes, **source)
    yield drawn.cell_ids.tolist()
    yield drawn.values
    if drawn.batches is not None:
        yield model.batch_indices(drawn.batches[0])
    observed = halved_sums(entry["path"], seed=0, genes=model.genes, **source)
    yield observed.perturbation.values.tolist()
    yield observed["sums"].values
    yield observed["counts"].values


def _of_split(entry: dict[str, Any], model: Any) -> Iterator[Any]:
    split = read_split(entry["split"]) if "split" in entry else None
    contexts = list(model.card.get("cell_types") or ())
    yield seen_status(split, model.perturbations, entry["context"], contexts, control=model.control).to_dict()
