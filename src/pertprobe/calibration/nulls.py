"""False positives: each probe's own test on worlds without signal, the published test beside it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.stats import kstest

from pertprobe.calibration.table import FALSE_POSITIVES, PUBLISHED, at_most, entry, false_positive_bar, frame
from pertprobe.probes.panels import pathway_scores
from pertprobe.probes.pert_embedding import within_reach
from pertprobe.seeding import generator
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.matched import PairedTest, paired_profile_test
from pertprobe.statistics.permutation import Test, coherence, mean_score, randomised
from pertprobe.statistics.published import random_sets_p, rank_sum_pairs, rank_sum_triples
from pertprobe.statistics.sets import pairs_without_strength
from pertprobe.statistics.similarity import centred, cosine_similarity, spearman_matrix

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
HIGH = "highly expressed programs"
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


def way(confounded: bool) -> str:
    """Return how programs are drawn, in words."""
    return "programs by strength" if confounded else "uniform programs"


def drawn_program(rng: Generator, n: int, strength: np.ndarray, confounded: bool) -> np.ndarray:
    """Draw a program of n units, uniformly or by strength."""
    return generators.by_strength(rng, n, strength) if confounded else generators.uniform(rng, n, strength.size)


def program_nulls(
    probe: str,
    make: Callable[[Generator], Any],
    test: Callable[[Any, np.ndarray, Generator], Test],
    sizes: Sizes,
    seed: int,
    *,
    confounded: bool,
    words: str = "",
    by: str = "strength",
    draws: str = "draws",
    exact: bool = True,
    said: Callable[[Any, np.ndarray, Generator], float] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a test of programs drawn uniformly or, where `confounded`, by strength.

    Args:
        probe: whose rows they are.
        make: draws a world without signal.
        test: given a world, the members of a program and a generator.
        sizes: of the part.
        seed: of the calibration.
        confounded: draw programs by strength; their p is bounded, not uniform.
        words: how programs are drawn; empty = as `way` says.
        by: name of the world's strengths.
        draws: name of the size that says how many worlds.
        exact: whether p of uniform programs is uniform.
        said: returns the p of the published test, where there is one.
    """

    def ask(made: Any, rng: Generator, n: int, published: bool) -> Draw:
        """Draw a program of n units and test it."""
        found = drawn_program(rng, n, getattr(made, by), confounded)
        tested = test(made, found, rng)
        return Draw(tested, rng.random(), said(made, found, rng) if published and said else None)

    exact = exact and not confounded
    yield from null_rows(probe, words or way(confounded), Question(make, ask), sizes[draws], sizes, seed, exact=exact)


class Similar(NamedTuple):
    """A representation as the coherence test sees it."""

    similarity: np.ndarray
    """Centred cosines, or who is near whom [units, units]."""
    strength: np.ndarray
    raw: np.ndarray | None = None
    """Cosines before the shared effect is removed, for a published test."""
    held: np.ndarray | None = None
    """What of the similarity strength does not explain, where it is not a trend that is removed."""


def coherence_nulls(
    probe: str, make: Callable[[Generator], Similar], sizes: Sizes, seed: int, **how: Any
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the coherence test; `how` as `program_nulls` takes it."""

    def test(made: Similar, found: np.ndarray, rng: Generator) -> Test:
        """Test the coherence of a program."""
        return coherence(made.similarity, found, made.strength, sizes["permutations"], rng, adjusted=made.held)

    yield from program_nulls(probe, make, test, sizes, seed, **how)


def pert_embedding(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of dense codes, of programs drawn uniformly or by strength (methods.md, Calibration)."""

    def said(made: Similar, found: np.ndarray, _: Generator) -> float:
        """Ask the published test."""
        return rank_sum_pairs(made.raw, found).p

    make = partial(_similar, generators.dense)
    return frame(coherence_nulls("pert_embedding", make, sizes, seed, confounded=confounded, said=said))


def sae_features(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of sparse features, of programs drawn uniformly or by strength."""

    def said(made: Similar, found: np.ndarray, rng: Generator) -> float:
        """Ask the published test."""
        return random_sets_p(made.raw, found, rng, sizes["permutations"]).p

    make = partial(_similar, generators.sparse)
    return frame(coherence_nulls("sae_features", make, sizes, seed, confounded=confounded, said=said))


def _similar(world: Callable[[Generator], generators.Profiles], rng: Generator) -> Similar:
    """Draw a representation."""
    values, strength = world(rng)
    return Similar(cosine_similarity(centred(values)), strength, cosine_similarity(values))


def nearest_neighbours(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of the share of nearest neighbours within a program, in dense codes."""
    name = "pert_embedding, neighbours"
    return frame(
        row
        for confounded in (False, True)
        for row in coherence_nulls(name, _near, sizes, seed, confounded=confounded, draws="draws_dear")
    )


def _near(rng: Generator) -> Similar:
    """Draw who is near whom among dense codes."""
    values, strength = generators.dense(rng)
    similarity = cosine_similarity(centred(values))
    held = within_reach(pairs_without_strength(similarity, strength), NEIGHBOURS)
    return Similar(within_reach(similarity, NEIGHBOURS), strength, held=held)


class Scored(NamedTuple):
    """A panel as its test sees it."""

    values: np.ndarray
    """|J| [units, pairs]."""
    scores: np.ndarray
    """Mean rank of each unit."""
    strength: np.ndarray


def targeted_jacobian(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of rank scores: of any panels, and of those whose derivatives grow with strength."""
    settings = {"uniform panels": (False, 0.0), "panels by strength, |J| grows with it": (True, 0.3)}
    return _rank_scores(settings, sizes, seed)


def targeted_jacobian_co_expressed(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of rank scores of panels whose genes vary together."""
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
    """Return the rows of settings: words -> whether panels are by strength, and how much their pairs vary together."""

    def test(made: Scored, found: np.ndarray, rng: Generator) -> Test:
        """Test the rank scores of a panel."""
        return mean_score(made.scores, found, made.strength, sizes["permutations"], rng)

    rows: list[dict[str, Any]] = []
    for words, (confounded, together) in settings.items():
        make = partial(_scored, confounded, together, error)
        rows += program_nulls(probe, make, test, sizes, seed, confounded=confounded, words=words, said=_triples)
    return frame(rows)


def _scored(by_strength: bool, together: float, error: float, rng: Generator) -> Scored:
    """Draw a panel whose derivatives are known to an error, relative to their block."""
    values, strength = generators.derivatives(rng, by_strength=by_strength, together=together)
    if error:
        values = np.abs(values + error * np.sqrt((values**2).mean()) * rng.normal(size=values.shape))
    names = [f"p{i}" for i in range(len(values))]
    scores, _ = pathway_scores(pd.DataFrame(values, names, [f"r>t{k}" for k in range(values.shape[1])]))
    return Scored(values, scores.to_numpy(), strength)


def _triples(made: Scored, found: np.ndarray, _: Generator) -> float:
    """Ask the published test of a panel."""
    others = np.setdiff1d(np.arange(len(made.values)), found)
    return rank_sum_triples(made.values[found], made.values[others]).p


class Agreements(NamedTuple):
    """Profiles of knocked-out genes in two contexts that agree in nothing but what all genes share."""

    r: np.ndarray
    """Correlation of profile i in one context with profile j in the other [genes, genes]."""
    deciles: np.ndarray
    """Of expression."""


def agreements(rng: Generator, genes: int = generators.KNOCKED) -> Agreements:
    """Draw profiles of knocked-out genes and correlate them."""
    ours, theirs, deciles = generators.knockouts(rng, genes)
    own = np.full(genes, -1)
    return Agreements(spearman_matrix(ours, theirs, own, own), deciles)


def knockout(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of knock-out profiles that share one profile."""

    def said(made: Agreements, found: np.ndarray, result: PairedTest) -> float:
        """Return 0 where the published threshold is exceeded, else 1."""
        return float(result.matched <= AGREES)

    return frame(
        row for high in (False, True) for row in paired_nulls("knockout", agreements, sizes, seed, high=high, said=said)
    )


def paired_nulls(
    probe: str,
    make: Callable[[Generator], Any],
    sizes: Sizes,
    seed: int,
    *,
    high: bool,
    words: str = "",
    said: Callable[[Any, np.ndarray, PairedTest], float] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the test against genes of like expression, in worlds that have what `Agreements` has.

    Programs are drawn uniformly or, where `high`, of highly expressed genes; `words` say so where it is not enough.
    """

    def ask(made: Agreements, rng: Generator, n: int, published: bool) -> Draw:
        """Draw a program of n genes and test it."""
        deciles = made.deciles
        found = generators.of_one_decile(rng, n, deciles) if high else generators.uniform(rng, n, deciles.size)
        result = paired_profile_test(made.r, deciles, sizes["permutations"], rng, members=found)
        return Draw(result.test, rng.random(), said(made, found, result) if published and said else None)

    words = words or (HIGH if high else way(False))
    yield from null_rows(probe, words, Question(make, ask), sizes["draws_dear"], sizes, seed, exact=not high)


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
