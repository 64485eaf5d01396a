"""Power: how often is an effect of d standard deviations found, by the size of the panel?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe.calibration.nulls import ALPHA, used
from pertprobe.calibration.table import POWER, at_least, entry, frame
from pertprobe.models.planted.materials import loaded_codes
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics.null_worlds import SPREAD, derivatives
from pertprobe.statistics.permutation import Test, coherence, mean_score
from pertprobe.statistics.ranks import rank_scores
from pertprobe.statistics.similarity import centred, cosine_similarity

UNITS = 80
"""Perturbations in all, as in the demo."""
NAMES = [f"p{i}" for i in range(UNITS)]
MEMBERS = (3, 4, 7, 15, 30)
EFFECTS = (0.5, 1.0, 2.0, 3.0)
ASKED = (4, 2.0)
"""Members and d at which an effect must be found in 95 %."""
WHY = "of n members only n (n - 1) / 2 pairs speak, and noise is shared between them: weaker than a rank score"


Ask = Callable[[Generator, int, float, int], Test]
"""Tests a planted effect: given a generator, members, d and draws of the null."""


def power_curves(sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return the share of planted effects found: by rank scores of a panel, and by coherence of codes.

    d is the shift of members in sd of all others on the probe's per-unit score: the rank score itself, and a unit's
    mean cosine with the members.
    """
    return frame(
        [
            *power_rows("targeted_jacobian", _rank_score, sizes, seed, must=True),
            *power_rows("pert_embedding", coherent, sizes, seed, note=WHY),
        ]
    )


def power_rows(
    probe: str, ask: Ask, sizes: Mapping[str, Any], seed: int, note: str | Callable[[int], str] = "", *,
    must: bool = False,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield how often members shifted by d are found, by their number; `must`: with a bound where it is ASKED.

    `note` may depend on the number of members.
    """
    for members in MEMBERS:
        for d in EFFECTS:
            rng = generator(seed, "calibration", "power", probe, members, d)
            tests = [ask(rng, members, d, sizes["permutations"]) for _ in range(sizes["draws"])]
            words = note if isinstance(note, str) else note(members)
            bound = must and (members, d) == ASKED
            yield power_row(probe, f"{members} of {UNITS}, d = {d:g}", tests, words, must=bound)


def power_row(probe: str, setting: str, tests: Sequence[Test], note: str = "", *, must: bool = False) -> dict[str, Any]:
    """Return the share of tests that find what was planted; `must`: 95 % of them have to."""
    found = np.array([used(test) < ALPHA for test in tests])
    bar = {"sense": "at least", "bound": at_least(len(found), 0.95), "level": 0.95} if must else {}
    return entry(POWER, probe, setting, found.mean(), len(found), note=note, **bar)


def _rank_score(rng: Generator, members: int, d: float, permutations: int) -> Test:
    """Test rank scores of a panel whose pairs vary together, members shifted by d sd of all others."""
    world = derivatives(rng, by_strength=False, together=0.5, units=UNITS)
    pairs = [("r", f"t{k}") for k in range(world.values.shape[1])]
    scores = rank_scores(world.values, NAMES, pairs).scores.copy()
    scores[:members] += d * scores[members:].std(ddof=1)
    return mean_score(scores, np.arange(members), world.strength, permutations, rng)


def coherent(rng: Generator, members: int, d: float, permutations: int) -> Test:
    """Test codes in which the members' loading is what gives a shift of d in mean cosine, as planted models have it."""
    codes, strength = loaded(rng, members, d), rng.lognormal(0, SPREAD, UNITS)
    return coherence(cosine_similarity(centred(codes)), np.arange(members), strength, permutations, rng)


def loaded(rng: Generator, members: int, d: float) -> np.ndarray:
    """Return the codes of UNITS perturbations: noise, and a loading of the first ones on a direction of their own."""
    return loaded_codes(NAMES, np.arange(UNITS)[:, None] < members, d, codes_seed(rng))


def codes_seed(rng: Generator) -> int:
    """Draw the seed of a draw's codes."""
    return seed_of(int(rng.integers(2**31)), "power")
