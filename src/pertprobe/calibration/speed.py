"""Time and memory of the coherence test of many gene sets, beside a plain loop over sets and permutations."""

import resource
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pertprobe.calibration.table import entry, frame
from pertprobe.seeding import generator
from pertprobe.statistics.coherence import coherence_tests
from pertprobe.statistics.similarity import cosine_similarity

FIGURE = "speed"
FEATURES = 50
LOOP_SETS = 30
"""Sets of the plain loop, evenly spread over all in order of size."""
LOOP_PERMUTATIONS = 100
"""Its permutations a set."""
SECONDS, RATIO, MEGABYTES = 60.0, 10.0, 2000.0
"""Bounds: of the unstratified null, of both nulls in units of that, of resident memory at its height."""
SINGLE = (
    *(48, 50, 54, 57, 60, 61, 62, 63, 65, 69, 70, 72, 73, 76, 84, 88, 94, 104, 109, 110, 123, 124, 135, 139, 141, 142),
    *(152, 171, 172, 181, 285, 287, 323),
)
"""Sizes that one set has."""
REACTOME = {
    2: 31, 3: 46, 4: 56, 5: 71, 6: 62, 7: 37, 8: 25, 9: 28, 10: 24, 11: 25, 12: 17, 13: 29, 14: 9, 15: 12, 16: 10,
    17: 7, 18: 10, 19: 8, 20: 7, 21: 3, 22: 7, 23: 9, 24: 6, 25: 5, 26: 9, 27: 4, 28: 6, 29: 6, 30: 6, 31: 1, 32: 9,
    33: 2, 34: 4, 35: 5, 36: 3, 37: 2, 38: 2, 39: 2, 40: 3, 41: 7, 42: 3, 43: 1, 45: 3, 46: 1, 51: 1, 52: 2, 58: 3,
    59: 3, 66: 3, 71: 2, 79: 2, 89: 2, **dict.fromkeys(SINGLE, 1),
}  # fmt: skip
"""Size -> sets: the 674 Reactome sets of MSigDB 6.0 among 2,024 of their genes; 12 with fewer than 2 count as 2."""


class Measured(NamedTuple):
    """What one run of the benchmark found."""

    unstratified: float
    """Seconds of the uniform null alone."""
    both: float
    """Seconds of the uniform null and the one with strength held."""
    processor_unstratified: float
    """Seconds of the processor, summed over threads, of the first."""
    processor_both: float
    """The same of the second."""
    megabytes: float
    """Largest resident memory of this process so far."""
    loop: float
    """Seconds that a plain loop would take for the uniform null, from a part of its sets and permutations."""


def speed(sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return seconds, memory and the ratio to a plain loop; sizes: units, permutations, threads."""
    found = measure(sizes["units"], reactome_sizes(), sizes["permutations"], seed, sizes["threads"])
    what = f"{sizes['permutations']:,} permutations x {len(reactome_sizes())} sets x {sizes['units']:,} perturbations"
    processor = f"processor {found.processor_unstratified:.0f} s, with strength held {found.processor_both:.0f} s"
    note = f"{sizes['threads']} threads; {processor}"
    ratio, faster = found.both / found.unstratified, found.loop / found.unstratified
    values = [
        ("seconds, strength not held", found.unstratified, "at most", SECONDS),
        ("times that with strength held", ratio, "at most", RATIO),
        ("peak memory, MB", found.megabytes, "at most", MEGABYTES),
        ("times faster than a plain loop", faster, "at least", 1.0),
    ]
    return frame(
        entry(FIGURE, "coherence", f"{what}: {name}", value, sizes["permutations"], sense=sense, bound=bound, note=note)
        for name, value, sense, bound in values
    )


def reactome_sizes() -> list[int]:
    """Return the sizes of the 674 sets, in order."""
    return [size for size, sets in sorted(REACTOME.items()) for _ in range(sets)]


def measure(units: int, sizes: Sequence[int], permutations: int, seed: int, threads: int) -> Measured:
    """Time both nulls of random sets of these sizes; a size is at most half of the units."""
    rng = generator(seed, "calibration", "speed")
    similarity = cosine_similarity(rng.normal(size=(units, FEATURES)))
    strength = rng.lognormal(size=units)
    sets = {f"set {i}": rng.choice(units, min(size, units // 2), replace=False) for i, size in enumerate(sizes)}

    def seconds(held: np.ndarray | None) -> np.ndarray:
        """Return wall and processor seconds of all tests, strength held by `held` where it is given [2]."""
        started = np.array([time.perf_counter(), time.process_time()])
        coherence_tests(similarity, sets, held, permutations, lambda name: generator(seed, name), threads=threads)
        return np.array([time.perf_counter(), time.process_time()]) - started

    unstratified, both = seconds(None), seconds(strength)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    loop = plain_loop(similarity, list(sets.values()), permutations, rng)
    return Measured(*np.transpose([unstratified, both]).ravel().tolist(), megabytes, loop)


def plain_loop(
    similarity: np.ndarray, sets: Sequence[np.ndarray], permutations: int, rng: np.random.Generator
) -> float:
    """Return the seconds that a loop over sets and permutations would take, from a part of both."""
    sample = sets[:: max(1, len(sets) // LOOP_SETS)]
    started = time.perf_counter()
    for members in sample:
        pairs = np.triu_indices(len(members), 1)
        for _ in range(LOOP_PERMUTATIONS):
            drawn = rng.choice(len(similarity), len(members), replace=False)
            similarity[np.ix_(drawn, drawn)][pairs].mean()
    return (time.perf_counter() - started) * len(sets) / len(sample) * permutations / LOOP_PERMUTATIONS
