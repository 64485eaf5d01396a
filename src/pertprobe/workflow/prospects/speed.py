"""How fast this machine is at what runs are made of: one pass of each kind, a job's start, a product, a draw.

CPU seconds, not those on the clock: other work on the machine hardly changes them. A few seconds in all.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pertprobe.batching import one_thread
from pertprobe.seeding import generator

if TYPE_CHECKING:
    from torch import Tensor

    from pertprobe.interpret.jacobian import Point
    from pertprobe.models.base import Model

STARTED = """
import psutil, torch, pertprobe.models, pertprobe.stages.measuring, pertprobe.stages.testing
print(psutil.Process().memory_info().rss)
"""
"""What a job that measures imports before it begins, and the memory of that; psutil comes with Snakemake."""
CODES, ENDS, FEWEST, MOMENT = 8, 32, 12, 1.0
"""Perturbations and genes of the derivatives that are timed, at most; directions, at least; CPU seconds of them all."""
DRAWS, MEMBERS = 500, 8
"""Sets of so many units whose draws are timed."""


class Pace(NamedTuple):
    """CPU seconds of one model's passes of one cell set; nan for a derivative that it does not offer."""

    passes: float
    derivatives: float
    at_mean: float


class Machine(NamedTuple):
    """CPU seconds of what no model decides."""

    start: float
    """Of a job's Python and its imports."""
    start_gb: float
    """Memory of that."""
    products: float
    """Of one multiplication of a matrix product in float32."""
    draws: float
    """Of one drawn set of a permutation test."""


def timed(work: Callable[[], Any], repeats: int = 3) -> float:
    """Return the least CPU seconds of a function, called once before: other work on the machine only adds."""
    work()
    return min(_once(work) for _ in range(repeats))


@cache
def machine() -> Machine:
    """Return what this machine takes; measured once by each process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, "-c", STARTED], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with one_thread():
        return Machine(start, int(ran.stdout) / 1e9, _product(), _draw())


def _product(size: int = 512) -> float:
    import torch

    square = torch.ones(size, size)
    return timed(lambda: square @ square, 5) / size**3


def _draw(units: int = 100) -> float:
    """Return the CPU seconds of one draw of a test of pairs, strength held."""
    from pertprobe.statistics.moments import pair_means
    from pertprobe.statistics.permutation import permutation_test

    rng = generator(0, "speed")
    similarity, strength = rng.normal(size=(units, units)), rng.random(units)
    members = np.arange(MEMBERS)
    scores = partial(pair_means, similarity)
    return timed(lambda: permutation_test(scores, members, units, strength, DRAWS, rng)) / DRAWS


def pace(model: "Model", sets: int, cells: int) -> Pace:
    """Return what passes of a model take, on so many sets of cells of no meaning: as many as a job runs together."""
    import torch

    values = generator(0, "speed").random((sets, cells, len(model.genes)), dtype=np.float32)
    names = [name for name in model.perturbations if name != model.control][:CODES] or [model.control]
    with one_thread(), torch.no_grad():
        once = timed(lambda: model.predict(values, names[0], None)) / sets
        if not {"gradient", "stages"} <= model.capabilities:
            return Pace(once, float("nan"), float("nan"))
        return Pace(once, *_derivatives(model, values[:1], names, once))


def _derivatives(model: "Model", values: np.ndarray, names: list[str], once: float) -> tuple[float, float]:
    """Return the CPU seconds of a direction at all cells, and at the mean cell of a set function."""
    from pertprobe.interpret.jacobian import cells_point, mean_cell_point
    from pertprobe.models.base import encode_each

    codes, cells = encode_each(model, names), values.shape[1]
    at_cells = cells_point(values, None, codes)
    if "set_function" not in model.capabilities:
        return (_direction(model, codes, at_cells, once),) * 2
    at_mean = mean_cell_point(values, None, codes)
    return _direction(model, codes, at_cells, once), _direction(model, codes, at_mean, once / cells)


def _direction(model: "Model", codes: "Tensor", point: "Point", once: float) -> float:
    """Return the CPU seconds of a direction, of as many as take a moment: the more share a batch, the less each takes.

    `once`: those of a forward pass.
    """
    from pertprobe.interpret.jacobian import panel_jacobian

    ends = min(ENDS, len(model.genes), len(model.output_genes))
    number = min(max(int(MOMENT / (2 * once)), FEWEST), ends * len(codes))
    asked, each = codes[: max(1, number // ends)], range(min(number, ends))
    panel_jacobian(model, codes[:1], point, [0], [0])  # what torch makes ready once is no part of it
    return _once(lambda: panel_jacobian(model, asked, point, each, each)) / (len(asked) * len(each))


def _once(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
