"""The derivative engine and knock-outs on a GPU, at the published size, against the GPU's own rate and the CPU.

Writes gpu.json and gpu.md. Each work is run once to warm up on a few perturbations, then timed. `floor_ratio` is the
time over that of its matrix products alone at the rate measured in the same run; `agreement` the largest difference
from the CPU's float32, relative to the largest value, on a few perturbations. Where there is no GPU the table says so.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from published import (
    CELLS,
    GENES,
    PERTURBATIONS,
    backbone_operations,
    control_cells,
    forward_operations,
    points,
    published_model,
)
from torch import Tensor

from pertprobe.interpret.jacobian import hutchinson_diagonal, jacobian_cores, panel_jacobian, respond, routing_jacobian
from pertprobe.interpret.jacobian.points import Point
from pertprobe.interpret.knockouts import knocked_out, knockout_shifts
from pertprobe.models.state.model import StateModel

HERE = Path(__file__).parent
MEMORY_GB = 24.0
FEW = 4
"""Perturbations on which the CPU is asked too."""
ROUTED = 225
TOGETHER = 16
"""Perturbations whose knock-outs are run in one call: set up once, their results held together."""
TARGETS, REGULATORS = range(5, 12), range(20, 24)
"""A panel of the published size."""
HIDDEN = 328


class Bench:
    """One model and its cells on a device, and what is measured of it."""

    def __init__(self, device: str, seconds: float) -> None:
        """Draw the weights, and encode every perturbation; `seconds` bounds what is measured on a share alone."""
        self.device, self.seconds = device, seconds
        self.model = published_model(device)
        self.values = control_cells()
        self.mean, self.cells = points(self.model, self.values)
        with torch.no_grad():
            self.codes = self.model.encode_perturbations(self.model.perturbations)
        self.memory = MEMORY_GB if device == "cuda" else 1.0

    def atlas(self, codes: Tensor) -> Tensor:
        """Return every Jacobian at the mean cell, as cores."""
        return jacobian_cores(self.model, codes, self.mean, memory_gb=self.memory).core

    def routing(self, codes: Tensor) -> Tensor:
        """Return dY/dpert_repr at the cells."""
        return routing_jacobian(self.model, codes, self.cells, memory_gb=self.memory)

    def knockouts(self, codes: Tensor, point: Point, genes: int) -> Tensor:
        """Return the largest shifts of knocking out the first genes under each code; all of it would be 32 GB."""
        found = [
            knockout_shifts(self.model, each, point, range(genes), "zero", memory_gb=self.memory).abs().amax(-1)
            for each in codes.split(TOGETHER)
        ]
        return torch.cat(found)

    def panel(self, codes: Tensor) -> Tensor:
        """Return a panel's total derivative at the cells."""
        return panel_jacobian(self.model, codes, self.cells, TARGETS, REGULATORS, memory_gb=self.memory).values

    def diagonal(self, codes: Tensor, error: float) -> Tensor:
        """Return a panel's diagonal derivative at the cells, exact or to a standard error."""
        if not error:
            asked = (self.model, codes, self.cells, TARGETS, REGULATORS, "diagonal", self.memory)
            return panel_jacobian(*asked).values
        asked = (self.model, codes, self.cells, TARGETS, REGULATORS)
        return hutchinson_diagonal(*asked, error=error, seed=0, memory_gb=self.memory).values


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="longest time of works that are measured on a share")
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--perturbations", type=int, default=PERTURBATIONS)
    given = parser.parse_args()
    found = measured(given.seconds, given.perturbations) if torch.cuda.is_available() else none_there()
    (given.output / "gpu.json").write_text(json.dumps(found, indent=2) + "\n")
    (given.output / "gpu.md").write_text(markdown(found))
    print(markdown(found))


def none_there() -> dict[str, Any]:
    """Return the table of a machine without a GPU."""
    return {"device": "none: this machine has no GPU that torch can use", "torch": torch.__version__, "rows": []}


def measured(seconds: float, perturbations: int) -> dict[str, Any]:
    """Return all rows."""
    torch.backends.cuda.matmul.allow_tf32 = False
    bench, slow = Bench("cuda", seconds), Bench("cpu", seconds)
    rate = gemm_rate()
    rows = []
    for row in works(bench, perturbations):
        rows.append({**row, "floor_ratio": row["seconds"] * rate / row["operations"]})
        print(rows[-1], flush=True)
    with torch.no_grad():
        agreements = agreement(bench, slow)
    return {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "gemm_tflops": rate / 1e12,
        "rows": rows,
        "agreement": agreements,
        "one_at_a_time": one_at_a_time(bench),
    }


def gemm_rate(size: int = 8192, repeats: int = 10) -> float:
    """Return operations per second of float32 matrix products, tf32 not allowed."""
    a = torch.randn(size, size, device="cuda")
    a @ a
    with clock() as elapsed:
        for _ in range(repeats):
            a @ a
    return 2.0 * size**3 * repeats / elapsed()


@contextmanager
def clock() -> Iterator[Callable[[], float]]:
    """Give a function that says how many seconds the block took, the GPU's work included."""
    torch.cuda.synchronize()
    start, stop = time.perf_counter(), []
    yield lambda: stop[0] - start
    torch.cuda.synchronize()
    stop.append(time.perf_counter())


def works(bench: Bench, perturbations: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of every work, its operations beside it."""
    every, routed = bench.codes[:perturbations], bench.codes[1 : 1 + ROUTED]
    single, together, spread = backbone_operations(), backbone_operations(CELLS), 2.0 * CELLS * HIDDEN * GENES
    panel_passes = min(len(TARGETS), len(REGULATORS)) * together * len(routed)
    yield timed("atlas at the mean cell", bench.atlas, every, HIDDEN * single * len(every))
    yield timed("dY/dpert_repr, S = 64", bench.routing, routed, len(routed) * HIDDEN * (together + spread))
    for point, cells, where in ((bench.mean, 1, "at the mean cell"), (bench.cells, CELLS, "S = 64")):
        yield shared_out(bench, f"2,000 knock-outs, {where}", point, GENES * forward_operations(cells))
    yield timed("cell_diagonal of a panel, exact", lambda codes: bench.diagonal(codes, 0), routed, CELLS * panel_passes)
    yield timed("cell_diagonal of a panel to 5 %", lambda codes: bench.diagonal(codes, 0.05), routed, panel_passes)


def timed(work: str, function: Callable[[Tensor], Tensor], codes: Tensor, operations: float) -> dict[str, Any]:
    """Return the row of one work, run on all its codes after a few have warmed it up."""
    function(codes[:FEW])
    torch.cuda.reset_peak_memory_stats()
    with clock() as elapsed:
        function(codes)
    peak = torch.cuda.max_memory_allocated() / 1e6
    return {
        "work": work,
        "perturbations": len(codes),
        "seconds": elapsed(),
        "operations": operations,
        "peak_mb": peak,
    }


def shared_out(bench: Bench, work: str, point: Point, operations: float) -> dict[str, Any]:
    """Return the row of knocking out every gene under as many perturbations as the time allows."""

    def knocked(codes: Tensor) -> Tensor:
        return bench.knockouts(codes, point, GENES)

    one = timed(work, knocked, bench.codes[:1], operations)
    n = max(1, min(len(bench.codes), int(bench.seconds / one["seconds"])))
    found = timed(work, knocked, bench.codes[:n], operations * n)
    return {**found, "of": len(bench.codes), "seconds_for_all": found["seconds"] * len(bench.codes) / n}


def agreement(fast: Bench, slow: Bench) -> dict[str, float]:
    """Return the largest relative difference from the CPU for each kind of work."""
    works: dict[str, Callable[[Bench], Tensor]] = {
        "atlas": lambda bench: bench.atlas(bench.codes[1 : 1 + FEW]),
        "dY/dpert_repr": lambda bench: bench.routing(bench.codes[1:2]),
        "knock-outs": lambda bench: bench.knockouts(bench.codes[1:2], bench.cells, 50),
        "panel": lambda bench: bench.panel(bench.codes[1:2]),
        "prediction": lambda bench: respond(bench.model, bench.codes[1], bench.cells),
    }
    return {name: difference(work(fast).cpu(), work(slow)) for name, work in works.items()}


def difference(a: Tensor, b: Tensor) -> float:
    """Return the largest difference over the largest value."""
    return ((a - b).abs().max() / b.abs().max()).item()


def one_at_a_time(bench: Bench, genes: int = 200) -> dict[str, float]:
    """Return how much faster 200 knock-outs at S = 64 are than one prediction after the other.

    Under one perturbation, and under each of several asked together.
    """
    alone, several = (
        timed("", lambda each: bench.knockouts(each, bench.cells, genes), codes, 1.0)["seconds"] / len(codes)
        for codes in (bench.codes[:1], bench.codes[:TOGETHER])
    )
    with torch.no_grad(), clock() as elapsed:
        single(bench.model, bench.values, genes)
    found = {"genes": genes, "together_s": alone, "several": TOGETHER, "of_several_s": several}
    return {**found, "one_by_one_s": elapsed(), "ratio": elapsed() / alone, "ratio_of_several": elapsed() / several}


def single(model: StateModel, values: Any, genes: int) -> Tensor:
    """Knock genes out one by one, as a loop over predictions does."""
    edited = (knocked_out(values, gene, "zero") for gene in range(genes))
    return torch.stack([model.predict(each, model.control).mean(-2) for each in edited])


def markdown(found: dict[str, Any]) -> str:
    """Return the tables as text."""
    lines = [f"# GPU\n\nDevice: {found['device']}; torch {found['torch']}.\n"]
    if not found["rows"]:
        return lines[0]
    lines.append(
        f"Matrix products in float32: {found['gemm_tflops']:.1f} TFLOP/s. `sh benchmarks/gpu.sh` makes this.\n"
    )
    lines += ["| work | perturbations | seconds | over the floor | peak MB |", "|---|---|---|---|---|"]
    for row in found["rows"]:
        whole = f" ({row['seconds_for_all']:.0f} for all {row['of']})" if "of" in row else ""
        cells = (row["work"], row["perturbations"], f"{row['seconds']:.2f}{whole}", f"{row['floor_ratio']:.1f}")
        lines.append(f"| {' | '.join(map(str, cells))} | {row['peak_mb']:.0f} |")
    words = ", ".join(f"{name} {value:.1e}" for name, value in found["agreement"].items())
    once = found["one_at_a_time"]
    lines.append(f"\nLargest relative difference from the CPU, float32: {words}.")
    lines.append(
        f"{once['genes']} knock-outs at S = 64 together {once['together_s']:.3f} s, one by one "
        f"{once['one_by_one_s']:.2f} s: {once['ratio']:.0f} times. Under {once['several']} perturbations "
        f"asked together {once['of_several_s']:.3f} s for each: {once['ratio_of_several']:.0f} times."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
