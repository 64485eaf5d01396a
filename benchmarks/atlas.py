"""The atlas at the published size, random weights: seconds, disk and memory, beside pull-backs of single targets.

`python benchmarks/atlas.py --threads 2` writes all 2,024 perturbations. A cut run (`--perturbations 16`) is scaled:
time and disk are linear in perturbations, what all have in common apart. The rival: for each of a few perturbations one
forward pass at the mean cell and one pull-back a target, with `torch.autograd.grad`, on a share of the 2,000 targets,
scaled to all. Beside seconds stand those of the processor, summed over threads, and the ratio is theirs on a CPU: they
change less where other work shares the machine. It prints JSON.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from published import GENES, PERTURBATIONS, control_cells, points, published_model

from pertprobe.atlas import open_atlas, write_atlas
from pertprobe.cells import CellSets
from pertprobe.jacobian import respond
from pertprobe.models.state import StateModel


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--perturbations", type=int, default=PERTURBATIONS)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-gb", type=float, default=1.0)
    parser.add_argument("--pulled", type=int, default=2, help="perturbations of the rival")
    parser.add_argument("--targets", type=int, default=50, help="targets of each that the rival pulls back")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = published_model(given.device)
    with tempfile.TemporaryDirectory() as folder:  # warms up
        write_atlas(model, cells_of(model), Path(folder) / "atlas.zarr", model.perturbations[:8])
    print(json.dumps({**vars(given), **measured(model, given)}, indent=2))


def cells_of(model: StateModel) -> CellSets:
    """Return the control cells of the published size."""
    values = control_cells()
    ids = np.array([f"cell_{i}" for i in range(values.shape[1])])[None]
    return CellSets(values, model.genes, None, ids, "benchmark")


def measured(model: StateModel, given: argparse.Namespace) -> dict[str, Any]:
    """Return what writing and reading take, scaled to all perturbations, and the rival's time for the same."""
    names = sorted(model.perturbations)[: given.perturbations]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "atlas.zarr"
        start = clocks(model)
        write_atlas(model, cells_of(model), path, names, memory_gb=given.memory_gb)
        spent = clocks(model) - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # before anything is read or pulled back
        own, shared = (megabytes(path, parts) for parts in (("core", "open"), ("",)))
        read = reading(path, names)
    found = {"s": spent[0], "mb": shared, "peak_rss_mb": peak, **read}
    found["mb_for_all"] = shared - own + own * PERTURBATIONS / len(names)
    every, rival = (
        spent * PERTURBATIONS / len(names),
        pulled(model, names[: given.pulled], given.targets) * PERTURBATIONS,
    )
    found |= {"s_for_all": every[0], "processor_s_for_all": every[1]}
    found |= {"pull_backs_for_all_s": rival[0], "pull_backs_for_all_processor_s": rival[1]}
    return {**found, "ratio": (rival / every)[int(given.device == "cpu")]}


def clocks(model: StateModel) -> np.ndarray:
    """Return seconds by the clock and of the processor, the GPU's work done."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return np.array([time.perf_counter(), time.process_time()])


def megabytes(path: Path, parts: tuple[str, ...]) -> float:
    """Return what parts of an atlas take on disk."""
    return sum(each.stat().st_size for part in parts for each in (path / part).rglob("*") if each.is_file()) / 1e6


def reading(path: Path, names: list[str]) -> dict[str, float]:
    """Return the seconds of one perturbation whole, and of one pair of genes under every perturbation."""
    atlas, found = open_atlas(path), {}
    asked = {"read_one_s": {"perturbations": names[0]}, "read_pair_s": {"targets": "gene_1", "regulators": "gene_2"}}
    for name, each in asked.items():
        start = time.perf_counter()
        atlas.entries(**each)
        found[name] = time.perf_counter() - start
    return found


def pulled(model: StateModel, names: list[str], targets: int) -> np.ndarray:
    """Return the seconds of all pull-backs of one perturbation, from a share of the targets."""
    point, _ = points(model, control_cells())
    spent = np.zeros(2)
    for name in names:
        code, X = model.encode_perturbations([name])[0], point.X.clone().requires_grad_()
        start = clocks(model)
        output = respond(model, code, point, X)[0, 0]
        ready = clocks(model)
        for target in range(targets):
            torch.autograd.grad(output[target], X, retain_graph=True)[0].cpu()
        spent += ready - start + (clocks(model) - ready) * GENES / targets
    return spent / len(names)


if __name__ == "__main__":
    main()
