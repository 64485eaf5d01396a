"""Does the interval of the disattenuated correlation hold the truth?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe.calibration.table import at_least, entry, frame
from pertprobe.seeding import generator
from pertprobe.statistics.ceiling import Ceiling, feature_weights, noise_ceiling

FIGURE = "interval of the disattenuated correlation"
SETS, GENES = 4, 200
NOISE = 1.0
"""Noise of one set's profile beside the true one: reliability 0.5."""
COVERS, ASKED = 0.93, 1000
"""Share of this many cases."""


def ceiling(sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return in how many cases the interval covers a true correlation of 0 and of 0.8."""
    rows = []
    for truth in (0.0, 0.8):
        rng = generator(seed, "calibration", "ceiling", truth)
        found = [case(rng, truth, sizes["bootstrap"]) for _ in range(sizes["cases"])]
        covers = np.array([each.low <= truth <= each.high for each in found])
        mean = np.mean([each.disattenuated for each in found])
        note = f"{SETS} cell sets a side, {GENES} genes, reliability of one set 0.5; mean estimate {mean:.3f}"
        bar = {"sense": "at least", "bound": at_least(len(covers), COVERS, ASKED), "level": COVERS}
        rows.append(entry(FIGURE, "noise ceiling", f"true r {truth:g}", covers.mean(), len(covers), note=note, **bar))
    return frame(rows)


def case(rng: Generator, truth: float, bootstrap: int) -> Ceiling:
    """Draw two true profiles with this correlation over genes, cell sets with noise of their own, and their ceiling."""
    first, second = rng.normal(size=(2, GENES))
    other = truth * first + np.sqrt(1 - truth**2) * second
    sides = [profile + NOISE * rng.normal(size=(SETS, GENES)) for profile in (first, other)]
    return noise_ceiling(*sides, feature_weights(GENES, bootstrap, rng))
