"""detached_jacobian calibrated: parts of responses without signal, power, its planted models, and untrained weights."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration.nulls import Similar, coherence_nulls
from pertprobe.calibration.planted import FOUND, NOMINAL, STRONG, WORDS, beside_random, models_of, random_programs
from pertprobe.calibration.power_curves import UNITS, WHY, loaded, power_rows
from pertprobe.calibration.table import frame
from pertprobe.calibration.untrained import both_nulls, fresh_tables
from pertprobe.calibration.world import CONTEXTS, World, inputs_of, question_of, world
from pertprobe.measuring import measure_derived
from pertprobe.probes import detached_jacobian as probe
from pertprobe.probes.base import Subject
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.permutation import Test, coherence

NAME = "detached_jacobian"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0.05), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with what the probe declares."""
SETTINGS = {"at": ["control"], "vectors": 4, "copy_sets": 1}
THROUGH = 0.3
"""Share of a response that comes through the cells where nothing is to be found."""

Sizes = Mapping[str, Any]


class Parts(NamedTuple):
    """Responses, and as much of them as comes through the cells."""

    whole: np.ndarray
    """[units, outputs]."""
    cells: np.ndarray
    """[units, outputs]."""

    @property
    def similarity(self) -> np.ndarray:
        """What the cells add to the cosines of responses [units, units]."""
        return probe.shared_part(self.cells, self.whole)

    @property
    def strength(self) -> np.ndarray:
        """Norm of each response [units]."""
        return np.linalg.norm(self.whole, axis=1)


def parts(rng: Generator) -> Parts:
    """Draw responses that hold a shared direction in proportion to strength, and parts that are a share of them.

    A part is THROUGH of its response and as much again of its own, which grows with strength too.
    """
    codes, strength = generators.dense(rng)
    whole = codes @ (rng.normal(size=(codes.shape[1], generators.OUTPUTS)) / np.sqrt(codes.shape[1]))
    own = (strength[:, None] / strength.mean()) * rng.normal(size=whole.shape) * whole.std()
    return Parts(whole, THROUGH * (whole + own))


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly, or by strength, which responses share (methods.md, Calibration)."""
    return frame(coherence_nulls(NAME, _similar, sizes, seed, confounded=confounded))


def _similar(rng: Generator) -> Similar:
    """Draw parts as the coherence test sees them."""
    made = parts(rng)
    return Similar(made.similarity, made.strength)


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found where all of a response comes through the cells, by d."""
    return frame(power_rows(NAME, _planted_test, sizes, seed, note=WHY))


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    """Test what codes with a planted program add to their own cosines; strength is drawn apart."""
    codes, strength = loaded(rng, n, d), rng.lognormal(0, generators.SPREAD, UNITS)
    return coherence(Parts(codes, codes).similarity, np.arange(n), strength, permutations, rng)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs found in a mechanism, and in a lookup and co-variation, which answer by themselves.

    Judged under the default thresholds without exceeds_redrawn, which a closed form does not have.
    """
    with world(sizes["simulate"], seed) as made:
        rows = [row for d in (sizes["d"], STRONG) for row in _planted_rows(made, d, sizes, seed)]
    return frame(rows)


def _planted_rows(made: World, d: float, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    random = random_programs(made, seed, NAME)
    tables = pd.concat([_planted_table(made, context, random, d, sizes, seed) for context in CONTEXTS])
    for kind, words in WORDS.items():
        table = tables[tables.role == kind].assign(role="subject")
        mechanism = FOUND if d == STRONG else {}
        settings = tuple(f"{programs} programs, {words}, d = {d:g}" for programs in ("planted", "random"))
        bar = mechanism if kind == "planted" else NOMINAL
        yield from beside_random(NAME, table, declared(NAME).compared_in, CONDITIONS, random, bar, settings, seed)


def _planted_table(made: World, context: str, random: Programs, d: float, sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of all planted models of one context, matched by the strength of the mechanism."""
    models = models_of(made, context, d, seed)
    inputs = inputs_of(made, context, models["planted"], SETTINGS, seed)
    found = measure_derived(NAME, inputs, models)
    whole = found["delta_y"].sel(variant="planted").to_pandas()
    strength = pd.Series(np.linalg.norm(whole, axis=1), whole.index)
    programs = made.programs | random
    rows = []
    for kind in WORDS:
        subject = Subject(found.sel(variant=kind, drop=True), strength, pd.Series(dtype=object))
        asked = question_of(NAME, context, subject, inputs, programs, sizes, seed)
        rows += list(probe.controlled(asked.as_role(kind)))
    return evidence.frame(rows)


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        return frame(
            row
            for words, table in fresh_tables(NAME, made, SETTINGS, sizes, seed)
            for row in both_nulls(NAME, table, declared(NAME).compared_in, words, seed)
        )
