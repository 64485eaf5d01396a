"""False positives: each probe's own test on worlds without signal, the published test beside it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.stats import kstest

from pertprobe.calibration import generators
from pertprobe.calibration.table import FALSE_POSITIVES, PUBLISHED, at_most, entry, false_positive_bar, frame
from pertprobe.probes.panels import pathway_scores
from pertprobe.probes.pert_embedding import within_reach
from pertprobe.seeding import generator
from pertprobe.statistics.paired import paired_profile_test
from pertprobe.statistics.permutation import Test, coherence, mean_score, randomised
from pertprobe.statistics.published import random_sets_p, rank_sum_pairs, rank_sum_triples
from pertprobe.statistics.similarity import centred, cosine_similarity, spearman_matrix
from pertprobe.statistics.strength import pairs_without_strength

MEMBERS = (5, 10, 30, 80)
"""Members of programs, and perturbations of panels."""
ALPHA = 0.05
LEVELS = (0.01, 0.05, 0.1)
"""Where the reported p must be super-uniform."""
NOT_UNIFORM = 0.001
"""Smallest Kolmogorov-Smirnov p of randomised p values."""
NEIGHBOURS = 5
ESTIMATED = 0.05
"""Standard error of cell_diagonal's derivatives, relative to their block."""
AGREES = 0.4
"""The published threshold on the mean correlation of matched knock-out profiles."""
SUPER, RANDOMISED = "reported p, super-uniform", "randomised p, Kolmogorov-Smirnov"

Sizes = Mapping[str, Any]


class Draw(NamedTuple):
    """One program tested in one world without signal."""

    test: Test
    u: float
    """What ties are broken by in a randomised p."""
    published: float | None
    """p of the published test, or 0 and 1 for a threshold that is exceeded or not; None = not asked in this draw."""


class Drawn(NamedTuple):
    """All draws of one cell of the table."""

    used: np.ndarray
    """The p that a verdict uses."""
    randomised: np.ndarray
    published: np.ndarray


class Question(NamedTuple):
    """How worlds without signal are made, and how a program of one is tested; each world is asked for every size."""

    make: Callable[[Generator], Any]
    ask: Callable[[Any, Generator, int, bool], Draw]
    """Given a world, a generator, a number of members, and whether the published test is asked too."""


def pert_embedding_uniform(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly from dense codes (inference.md 17 a)."""
    return _coherence("pert_embedding", generators.dense, sizes, seed, confounded=False)


def pert_embedding_confounded(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn by strength from dense codes (b)."""
    return _coherence("pert_embedding", generators.dense, sizes, seed, confounded=True)


def sae_features_uniform(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly from sparse features (a)."""
    return _coherence("sae_features", generators.sparse, sizes, seed, confounded=False)


def sae_features_confounded(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn by strength from sparse features (b)."""
    return _coherence("sae_features", generators.sparse, sizes, seed, confounded=True)


class Similar(NamedTuple):
    """A representation as the coherence test sees it."""

    similarity: np.ndarray
    """Centred cosines, or who is near whom [units, units]."""
    raw: np.ndarray
    """Cosines before the shared effect is removed."""
    strength: np.ndarray
    held: np.ndarray | None = None
    """What of the similarity strength does not explain, where it is not a trend that is removed."""


def _coherence(
    probe: str, world: Callable[[Generator], generators.Profiles], sizes: Sizes, seed: int, *, confounded: bool
) -> pd.DataFrame:
    def make(rng: Generator) -> Similar:
        """Draw a representation."""
        values, strength = world(rng)
        return Similar(cosine_similarity(centred(values)), cosine_similarity(values), strength)

    def said(raw: np.ndarray, found: np.ndarray, rng: Generator) -> float:
        """Ask the published test."""
        return _published(probe, raw, found, sizes, rng)

    question = Question(make, _asking(sizes, confounded, said))
    return frame(null_rows(probe, way(confounded), question, sizes["draws"], sizes, seed, exact=not confounded))


def _asking(
    sizes: Sizes, confounded: bool, said: Callable[[np.ndarray, np.ndarray, Generator], float] | None
) -> Callable[[Similar, Generator, int, bool], Draw]:
    """Return what draws a program and asks the coherence test of it, and the published one where there is one."""

    def ask(made: Similar, rng: Generator, n: int, published: bool) -> Draw:
        """Draw a program of n units and test it."""
        found = drawn_program(rng, n, made.strength, confounded)
        test = coherence(made.similarity, found, made.strength, sizes["permutations"], rng, held=made.held)
        return Draw(test, rng.random(), said(made.raw, found, rng) if published and said else None)

    return ask


def way(confounded: bool) -> str:
    """Return how programs are drawn, in words."""
    return "programs by strength" if confounded else "uniform programs"


def _published(probe: str, raw: np.ndarray, found: np.ndarray, sizes: Sizes, rng: Generator) -> float:
    if probe == "pert_embedding":
        return rank_sum_pairs(raw, found).p
    return random_sets_p(raw, found, rng, sizes["permutations"]).p


def nearest_neighbours(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of the share of nearest neighbours within a program, in dense codes."""

    def make(rng: Generator) -> Similar:
        values, strength = generators.dense(rng)
        similarity = cosine_similarity(centred(values))
        held = within_reach(pairs_without_strength(similarity, strength), NEIGHBOURS)
        return Similar(within_reach(similarity, NEIGHBOURS), similarity, strength, held)

    probe, draws = "pert_embedding, neighbours", sizes["draws_dear"]
    return frame(
        row
        for confounded in (False, True)
        for row in null_rows(
            probe,
            way(confounded),
            Question(make, _asking(sizes, confounded, None)),
            draws,
            sizes,
            seed,
            exact=not confounded,
        )
    )


class Scored(NamedTuple):
    """A panel as its test sees it."""

    values: np.ndarray
    """|J| [units, pairs]."""
    scores: np.ndarray
    """Mean rank of each unit."""
    strength: np.ndarray


def targeted_jacobian(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of rank scores: of any panels, and of those whose derivatives grow with strength (b)."""
    settings = {"uniform panels": (False, 0.0), "panels by strength, |J| grows with it": (True, 0.3)}
    return _rank_scores(settings, sizes, seed)


def targeted_jacobian_co_expressed(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of rank scores of panels whose genes vary together (c)."""
    settings = {
        "uniform panels of co-expressed genes": (False, generators.TOGETHER),
        "panels by strength of co-expressed genes": (True, generators.TOGETHER),
    }
    return _rank_scores(settings, sizes, seed)


def cell_diagonal(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of rank scores of derivatives that are known to the error which cell_diagonal asks for."""
    settings = {
        "uniform panels, estimated": (False, 0.0),
        "panels by strength of co-expressed genes, estimated": (True, generators.TOGETHER),
    }
    return _rank_scores(settings, sizes, seed, "cell_diagonal", ESTIMATED)


def _rank_scores(
    settings: Mapping[str, tuple[bool, float]],
    sizes: Sizes,
    seed: int,
    probe: str = "targeted_jacobian",
    error: float = 0.0,
) -> pd.DataFrame:
    def asking(confounded: bool, together: float) -> Question:
        def make(rng: Generator) -> Scored:
            values, strength = generators.derivatives(rng, by_strength=confounded, together=together)
            if error:
                values = np.abs(values + error * np.sqrt((values**2).mean()) * rng.normal(size=values.shape))
            names = [f"p{i}" for i in range(len(values))]
            scores, _ = pathway_scores(pd.DataFrame(values, names, [f"r>t{k}" for k in range(values.shape[1])]))
            return Scored(values, scores.to_numpy(), strength)

        def ask(made: Scored, rng: Generator, n: int, published: bool) -> Draw:
            found = drawn_program(rng, n, made.strength, confounded)
            test = mean_score(made.scores, found, made.strength, sizes["permutations"], rng)
            others = np.setdiff1d(np.arange(len(made.values)), found)
            said = rank_sum_triples(made.values[found], made.values[others]).p if published else None
            return Draw(test, rng.random(), said)

        return Question(make, ask)

    return frame(
        row
        for setting, (confounded, together) in settings.items()
        for row in null_rows(
            probe,
            setting,
            asking(confounded, together),
            sizes["draws"],
            sizes,
            seed,
            exact=not confounded,
        )
    )


def knockout(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of knock-out profiles that share one profile (d)."""

    def make(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        ours, theirs, deciles = generators.knockouts(rng)
        own = np.full(len(deciles), -1)
        return spearman_matrix(ours, theirs, own, own), deciles

    def asking(confounded: bool) -> Question:
        draw = generators.of_one_decile if confounded else _of_all

        def ask(made: tuple[np.ndarray, np.ndarray], rng: Generator, n: int, published: bool) -> Draw:
            r, deciles = made
            result = paired_profile_test(r, deciles, sizes["permutations"], rng, members=draw(rng, n, deciles))
            return Draw(result.test, rng.random(), float(result.matched <= AGREES) if published else None)

        return Question(make, ask)

    settings = {"uniform programs": asking(False), "highly expressed programs": asking(True)}
    return frame(
        row
        for setting, question in settings.items()
        for row in null_rows(
            "knockout", setting, question, sizes["draws_dear"], sizes, seed, exact=setting.startswith("u")
        )
    )


def _of_all(rng: Generator, n: int, deciles: np.ndarray) -> np.ndarray:
    return generators.uniform(rng, n, deciles.size)


def drawn_program(rng: Generator, n: int, strength: np.ndarray, confounded: bool) -> np.ndarray:
    """Draw a program of n units, uniformly or by strength."""
    return generators.by_strength(rng, n, strength) if confounded else generators.uniform(rng, n, strength.size)


def null_rows(
    probe: str, setting: str, question: Question, draws: int, sizes: Sizes, seed: int, *, exact: bool
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one probe and setting for each number of members; every draw is a world of its own."""
    rng = generator(seed, "calibration", "nulls", probe, setting)
    found: dict[int, list[Draw]] = {n: [] for n in MEMBERS}
    for i in range(draws):
        made = question.make(rng)
        for n, drawn in found.items():
            drawn.append(question.ask(made, rng, n, i < sizes["published"]))
    for n, drawn in found.items():
        yield from _cell(probe, f"{setting}, {n} members", _joined(drawn), exact)


def _joined(found: Sequence[Draw]) -> Drawn:
    return Drawn(
        np.array([used(draw.test) for draw in found]),
        np.array([randomised(draw.test, draw.u) for draw in found]),
        np.array([draw.published for draw in found if draw.published is not None]),
    )


def used(test: Test) -> float:
    """Return the p that a verdict uses."""
    return getattr(test, test.p_used)


def _cell(probe: str, setting: str, drawn: Drawn, exact: bool) -> Iterator[dict[str, Any]]:
    """Yield a cell's false positives, the published test's, and where programs are uniform how its p is spread."""
    n, bar = drawn.used.size, false_positive_bar(drawn.used.size)
    yield entry(
        FALSE_POSITIVES, probe, setting, (drawn.used < ALPHA).mean(), n, sense="at most", bound=bar, level=ALPHA
    )
    if drawn.published.size:
        yield _published_entry(probe, setting, drawn.published)
    if not exact:
        return
    for level in LEVELS:
        value, bound = (drawn.used <= level).mean(), at_most(n, level)
        yield entry(SUPER, probe, f"{setting}, p <= {level:g}", value, n, sense="at most", bound=bound, level=level)
    p = float(kstest(drawn.randomised, "uniform").pvalue)
    yield entry(RANDOMISED, probe, setting, p, n, sense="at least", bound=NOT_UNIFORM)


def _published_entry(probe: str, setting: str, p: np.ndarray) -> dict[str, Any]:
    """Return the row of the published test: without a bound, for it is not ours; `note` says whether it fails."""
    value = float((p < ALPHA).mean())
    fails = value > at_most(p.size, ALPHA)
    test = {"knockout": "mean r > 0.4", "targeted_jacobian": "rank sum over triples", "sae_features": "random sets",
            "output_clustering": "enrichment of clusters",
            "regulon_recovery": "hypergeometric over edges"}  # fmt: skip
    words = f"{test.get(probe, 'rank sum over pairs')}; {'fails' if fails else 'is not seen to fail'}"
    return entry(PUBLISHED, probe, setting, value, p.size, level=ALPHA, note=words)
