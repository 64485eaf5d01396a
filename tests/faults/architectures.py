"""Random State architectures, of random sizes too, through the reader: each against the slow reference, in float64."""

import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import torch
from judge import GOOD, Judged

from pertprobe.models.state.load import load_state

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import slow_state as slow

CASES = 60
FIRST = 1000
"""The tests of models draw their own from 0."""
LIMIT = 1e-10
"""Largest difference, beside the largest number, that rounding explains."""


def judge_architectures(done: Collection[str] = (), cases: int = CASES) -> Iterator[Judged]:
    """Yield the judgement of every drawn architecture."""
    for seed in range(FIRST, FIRST + cases):
        name = f"architecture/{seed}"
        if name in done:
            continue
        try:
            off = difference(seed)
        except Exception as error:  # whatever the reader raises is the finding
            yield Judged(name, "traceback", f"{type(error).__name__}: {error}"[:300])
            continue
        yield Judged(name, GOOD if off <= LIMIT else "silent", f"largest difference {off:.1e}")


def difference(seed: int) -> float:
    """Return the largest difference between reader and reference, beside the largest number of the reference."""
    rng = np.random.default_rng(seed)
    kept = {size: getattr(slow, size) for size in ("GENES", "PERTURBATIONS", "BATCHES", "CELLS")}
    slow.GENES, slow.PERTURBATIONS, slow.BATCHES, slow.CELLS = (
        int(n) for n in rng.integers([8, 3, 2, 1], [24, 9, 6, 9])
    )
    try:
        return _difference(seed, rng)
    finally:
        vars(slow).update(kept)


def _difference(seed: int, rng: np.random.Generator) -> float:
    case, options = slow.random_case(seed)
    weights = slow.random_weights(options, seed)
    features = torch.randn(slow.PERTURBATIONS, slow.PERTURBATIONS, generator=torch.Generator().manual_seed(seed))
    told = case["pattern"] if case["backbone"] == "GPT2" or case["pattern"] == "causal" else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = slow.write_directory(Path(scratch) / "model", options, weights, features)
        model = load_state(folder, attention=told, dtype=torch.float64)
    cells, batch = rng.random((slow.CELLS, slow.GENES)), rng.integers(slow.BATCHES, size=slow.CELLS)
    pattern = model.architecture.attention
    wanted = slow.forward(options, weights, pattern, features[2].double().numpy(), cells, batch)
    found = model.predict(cells, "p2", batch).detach().numpy()
    return float(np.abs(found - wanted.preds).max() / max(1.0, np.abs(wanted.preds).max()))
