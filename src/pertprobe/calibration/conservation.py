"""conserved_features calibrated: contexts without common features, power, planted models, and untrained weights."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration.borrowed import asked, whole_rows
from pertprobe.calibration.nulls import program_nulls
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, models_of, random_programs
from pertprobe.calibration.power_curves import UNITS, power_rows
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, both_nulls, drawn, fresh
from pertprobe.calibration.world import CONTEXTS, Measured, World, family, measured, passing, world
from pertprobe.probes import conserved_features as probe
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.seeding import seed_of
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.conserved import conservation, conserved_features, halves, ranked
from pertprobe.statistics.permutation import Test
from pertprobe.statistics.similarity import centred
from pertprobe.testing import Asked, run_test
from pertprobe.verdict import of_planted

NAME, FEATURES = "conserved_features", "conserved_features, all features"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with what the probe declares."""
STRONG = 8.0
"""Strength at which planted codes must be found: half of a program names, and only the other half is scored."""
BOUND = 0.5
SETTINGS = {"conserved": BOUND, "partners": [], "pooled": [*CONTEXTS, "same"]}
APART = "coherent programs in unrelated features"
COHERENT = 3.0
"""Size of what members of a coherent program share in either model, in sd of the noise of one dimension."""
HALF = "half of the members names features, the other half is scored: weaker than coherence"

Sizes = Mapping[str, Any]


class Contexts:
    """Sparse features of one space in two contexts that agree in their shared direction and in strength alone."""

    def __init__(self, rng: Generator, units: int = generators.UNITS) -> None:
        """Draw them."""
        self.size = size = rng.lognormal(0, generators.SPREAD, units)
        basis = rng.normal(size=(generators.NOISE + 1, generators.WIDTH)) / np.sqrt(generators.WIDTH)
        self.codes = [
            np.column_stack([rng.normal(size=(units, generators.NOISE)), generators.SHARED * size]) @ basis
            for _ in range(2)
        ]
        strengths = [np.linalg.norm(each, axis=1) for each in self.codes]
        self.strength = np.sqrt(strengths[0] * strengths[1])
        self._read = rng.normal(size=(generators.WIDTH, generators.FEATURES)) / np.sqrt(generators.WIDTH)

    def features(self, members: np.ndarray | None = None, pushes: tuple[np.ndarray, ...] = ()) -> list[np.ndarray]:
        """Return centred features of both contexts, members pushed along a direction of each."""
        found = []
        for side, codes in enumerate(self.codes):
            pushed = codes.copy()
            if members is not None:
                pushed[members] += pushes[side]
            seen = pushed @ self._read / codes.std()
            found.append(centred(np.logaddexp(0, 4 * (seen - 0.5)) / 4))  # a mean over cells is never quite 0
        return found


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly (methods.md, Calibration), of coherent ones, and of all features.

    Where `confounded`, of programs drawn by strength, and of features that follow strength in both contexts.
    """

    def test(made: Contexts, found: np.ndarray, rng: Generator) -> Test:
        """Test a program as the probe does."""
        return conservation(*made.features(), found, made.strength, sizes["permutations"], rng)

    def test_coherent(made: Contexts, found: np.ndarray, rng: Generator) -> Test:
        """Test a program that is coherent in either context by itself."""
        pushes = COHERENT * rng.normal(size=(2, generators.WIDTH)) / np.sqrt(generators.WIDTH)
        return conservation(*made.features(found, tuple(pushes)), found, made.strength, sizes["permutations"], rng)

    few = {"draws": "draws_dear"}
    rows = [*program_nulls(NAME, Contexts, test, sizes, seed, confounded=confounded, **few)]
    if not confounded:
        apart = {"confounded": False, "words": APART, "exact": False, **few}
        rows += program_nulls(NAME, Contexts, test_coherent, sizes, seed, **apart)
    setting = "contexts that share strength" if confounded else "unrelated contexts"
    draw = partial(_all, sizes["permutations"], confounded)
    rows += whole_rows(FEATURES, setting, draw, sizes["draws_dear"], seed, held=confounded)
    return frame(rows)


def _all(permutations: int, alike: bool, rng: Generator) -> Test:
    """Test how many features are conserved between contexts that share nothing, or what strength tells alone.

    Strength is the size of the shared effect itself: what a norm does not tell of it would be conserved, and no null.
    """
    made = Contexts(rng)
    x, y = made.features()
    order = np.arange(len(x)) if alike else rng.permutation(len(x))
    return conserved_features(x, y[order], made.size if alike else None, BOUND, permutations, rng).test


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found: scored members' cosine with what the others name is d sd higher."""
    return frame(power_rows(NAME, _planted_test, sizes, seed, note=HALF))


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    made, members = Contexts(rng, UNITS), generators.uniform(rng, n, UNITS)
    x, y = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in made.features())
    naming, scored = halves(members, ranked(UNITS, made.strength))
    named = x[naming].mean(axis=0) / np.linalg.norm(x[naming].mean(axis=0))
    y[scored] += d * np.delete(y @ named, members).std(ddof=1) * named
    return conservation(x, y, members, made.strength, permutations, rng)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of planted programs, and of random ones, that pass between planted models of two contexts."""
    with world(sizes["simulate"], seed) as made:
        rows = [row for d in (sizes["d"], STRONG) for row in _planted_rows(made, d, sizes, seed)]
    return frame(rows)


def _planted_rows(made: World, d: float, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    models = {context: models_of(made, context, d, seed)["planted"] for context in CONTEXTS}
    found = [measured(context, model, made, context, ("sae_features",)) for context, model in models.items()]
    for words, programs, bar in (
        ("planted programs, ", made.programs, FOUND if d == STRONG else {}),
        ("random programs beside ", random_programs(made, seed), NOMINAL),
    ):
        passed = _passed(found, programs, sizes, seed)
        yield share(PLANTED_FIGURE, NAME, f"{words}d = {d:g}", passed, seed=seed, **bar)


def _passed(found: list[Measured], programs: Programs, sizes: Sizes, seed: int) -> np.ndarray:
    inputs = asked(NAME, "sae_features", *found, programs, sizes, seed, settings=SETTINGS)
    table = evidence.frame(probe.controlled(inputs))
    return passing(family([table], declared(NAME).compared_in, declared(NAME).compared_in), of_planted(CONDITIONS))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of the same fresh weights in two contexts.

    The same, because only models of one initialisation have features that correspond; their copies share seeds too.
    """
    with world(sizes["simulate"], seed) as made:
        model, copies = fresh(made, "both", sizes["hidden"], seed), {"redrawn": COPIES, "seed": seed_of(seed, "copies")}
        found = [measured(context, model, made, context, ("sae_features",), **copies) for context in CONTEXTS]
        rows: list[dict[str, Any]] = []
        for words in WAYS:
            programs = drawn(found[0].strength, words, sizes, seed)
            inputs = asked(NAME, "sae_features", *found, programs, sizes, seed, settings=SETTINGS,
                           shared_initialisation=1.0)  # fmt: skip
            rows += both_nulls(NAME, run_test(NAME, Asked(inputs)), declared(NAME).compared_in, words, seed)
    return frame(rows)
