"""How well do scores of edges recover known ones: average precision, early precision and signs, ties and all.

Every function scores regulator i's known targets by the profile of gene j, for all i and j: what i's own profile does
is compared with what other genes' profiles do for the same targets. Candidates of (i, j) are all background genes
but i and j themselves: a gene's own output answers to its knock-out whatever the model knows.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hypergeom

from pertprobe.shapes import Array, Float, Integer, Like, Num, Shaped
from pertprobe.statistics.arrays import Floats, Integers
from pertprobe.statistics.similarity import marks

Bools = NDArray[np.bool_]
_Ranked = tuple[Bools, Bools, Integers, Integers]


def average_precision(
    edges: Shaped[Like, "regulator gene"], scores: Num[Like, "regulator gene"], own: Integer[Like, " regulator"]
) -> Float[Array, "regulator regulator"]:
    """Return AUPRC [n, n]: the average precision at which profile j finds the known targets of regulator i.

    Mean over known targets of the precision among all candidates that score at least as much: ties share one threshold,
    as in scikit-learn. nan where no known target is a candidate.

    Args:
        edges: known targets of each regulator, bool [n, U].
        scores: of each gene's profile, larger = rather an edge [n, U].
        own: place of each gene among the background genes [n], -1 where it is not one.
    """

    def one(known: Bools, candidates: Bools, _: Integers, ends: Integers) -> Floats:
        """Return the precision averaged over the known edges of one profile, against each regulator."""
        found, seen = (np.cumsum(each, axis=1)[:, ends] for each in (known, candidates))
        precision = np.divide(found, seen, out=np.zeros(found.shape), where=seen > 0)
        return _ratio((precision * known).sum(axis=1), known.sum(axis=1))

    return _columns([one(*ranked) for ranked in _each_profile(edges, scores, own)])


def early_precision_ratio(
    edges: Shaped[Like, "regulator gene"], scores: Num[Like, "regulator gene"], own: Integer[Like, " regulator"]
) -> Float[Array, "regulator regulator"]:
    """Return the early-precision ratio [n, n] of BEELINE (Pratapa et al. 2020): 1 = no better than chance.

    Share of known targets among the k candidates that score highest, k = number of known targets, over their share
    among all candidates. Of candidates tied at the k-th place as many are expected as their share gives. nan where no
    known target is a candidate.
    """

    def one(known: Bools, candidates: Bools, starts: Integers, ends: Integers) -> Floats:
        """Return the ratio of one profile, against each regulator."""
        k, n = known.sum(axis=1), candidates.sum(axis=1)
        return _ratio(_expected_hits(known, candidates, starts, ends), k**2 / np.maximum(n, 1))

    return _columns([one(*ranked) for ranked in _each_profile(edges, scores, own)])


def _expected_hits(known: Bools, candidates: Bools, starts: Integers, ends: Integers) -> Floats:
    """Return how many of k known targets are expected among the first k candidates [n], ties in random order."""
    k = known.sum(axis=1)
    found, seen = (np.pad(np.cumsum(each, axis=1), ((0, 0), (1, 0))) for each in (known, candidates))
    at = np.array([np.searchsorted(row[1:], wanted) for row, wanted in zip(seen, k, strict=True)], dtype=np.intp)
    at = np.minimum(at, known.shape[1] - 1)
    rows, first, last = np.arange(len(k)), starts[at], ends[at] + 1
    above, until = (each[rows, first] for each in (found, seen))
    tied_known, tied = found[rows, last] - above, seen[rows, last] - until
    return above + (k - until) * _ratio(tied_known, tied, empty=0.0)


def sign_agreement(
    signs: Num[Like, "regulator gene"], predicted: Num[Like, "regulator gene"], own: Integer[Like, " regulator"]
) -> Float[Array, "regulator regulator"]:
    """Return the share [n, n] of regulator i's signed targets whose sign profile j predicts; none predicted = a half.

    Args:
        signs: of known edges [n, U], 0 where there is none or its sign is not known.
        predicted: signed profile of each gene [n, U], positive = activation.
        own: place of each gene among the background genes [n], -1 where it is not one.
    """
    signs, predicted, own = np.sign(np.asarray(signs, dtype=float)), np.sign(predicted), np.asarray(own)
    signs = signs * ~marks(own, signs.shape[1])
    hits, asked = signs @ predicted.T, np.abs(signs).sum(axis=1, keepdims=True) * np.ones(len(own))
    inside = np.flatnonzero(own >= 0)
    hits[:, inside] -= signs[:, own[inside]] * predicted[inside, own[inside]]
    asked[:, inside] -= np.abs(signs[:, own[inside]])
    return (1 + np.divide(hits, asked, out=np.full(hits.shape, np.nan), where=asked > 0)) / 2


def pooled_early_precision(
    edges: Shaped[Like, "regulator gene"], scores: Num[Like, "regulator gene"], own: Integer[Like, " regulator"]
) -> tuple[float, float]:
    """Return the published ratio and p: all edges ranked together, pairs as replicates (BEELINE).

    The k edges that score highest of all regulators' candidates, k = number of known ones; p of as many known edges or
    more among them by the hypergeometric distribution. Of edges tied at the k-th place the share of known ones is
    expected. nan without known edges.
    """
    edges, scores = np.asarray(edges, dtype=bool), np.asarray(scores, dtype=np.float64)
    asked = ~marks(np.asarray(own), edges.shape[1])
    known, values = edges[asked], scores[asked]
    k, n = int(known.sum()), known.size
    if not k:
        return np.nan, np.nan
    cut = np.partition(values, n - k)[n - k]
    above, tied = values > cut, values == cut
    hits = known[above].sum() + (k - above.sum()) * known[tied].mean()
    return float(hits / k / (k / n)), float(hypergeom.sf(np.floor(hits + 1e-9) - 1, n, k, k))


def _each_profile(edges: ArrayLike, scores: ArrayLike, own: ArrayLike) -> Iterator[_Ranked]:
    """Yield, for each profile, its genes, best first: which are known targets of each regulator, and candidates [n, U].

    Then the places of the first and of the last of those tied with each [U].
    """
    edges, scores, own = np.asarray(edges, dtype=bool), np.asarray(scores, dtype=np.float64), np.asarray(own)
    itself = marks(own, edges.shape[1])
    for j, profile in enumerate(scores):
        order = np.argsort(-profile, kind="stable")
        ordered = profile[order]
        new = np.r_[True, ordered[1:] != ordered[:-1]]
        group, first = np.cumsum(new) - 1, np.flatnonzero(new)
        last = np.r_[first[1:], len(ordered)] - 1
        kept = ~itself[:, order] & ~itself[j, order]
        yield edges[:, order] & kept, kept, first[group], last[group]


def _columns(columns: list[Floats]) -> Floats:
    return np.stack(columns, axis=1) if columns else np.zeros((0, 0))


def _ratio(above: ArrayLike, below: ArrayLike, empty: float = np.nan) -> Floats:
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full(above.shape, empty), where=below > 0)
