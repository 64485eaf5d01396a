"""What the calibrations of probes share that test another probe's measurement."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator

from pertprobe.calibration.nulls import ALPHA, used
from pertprobe.calibration.table import FALSE_POSITIVES, entry, false_positive_bar
from pertprobe.calibration.world import Measured, question
from pertprobe.data.programs import Programs
from pertprobe.probes.base import TestInputs
from pertprobe.seeding import generator
from pertprobe.statistics.permutation import Test

Sizes = Mapping[str, Any]


def asked(
    name: str, source: str, mine: Measured, other: Measured | None, programs: Programs, sizes: Sizes, seed: int,
    **more: Any,
) -> TestInputs:  # fmt: skip
    """Return what a probe is asked that tests the measurement of `source`; `more` replaces what the inputs hold."""
    inputs = question(source, mine, other, programs, sizes, seed)
    return replace(inputs, identity={**inputs.identity, "probe": name}, **more)


def whole_rows(
    probe: str, setting: str, draw: Callable[[Generator], Test], draws: int, seed: int, *, held: bool
) -> Iterator[dict[str, Any]]:
    """Yield the false positives of a test of all perturbations together; `held`: of the p that holds strength."""
    rng = generator(seed, "calibration", "nulls", probe, setting)
    tests = [draw(rng) for _ in range(draws)]
    p = np.array([used(test) if held else test.p for test in tests])
    bound = false_positive_bar(draws)
    yield entry(FALSE_POSITIVES, probe, setting, (p < ALPHA).mean(), draws, sense="at most", bound=bound, level=ALPHA)
