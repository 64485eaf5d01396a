"""What planted models are made of: codes, gates, gene graphs, all in float64 and drawn by names.

Source: methods.md, Planted models.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pertprobe.seeding import generator

Floats = NDArray[np.float64]

NOISE = 16
"""Dimensions of a code's noise: the codes of trained models have about as many effective ones."""
ROUNDS = 100
EDGES = 8
"""Edges out of a gene that count."""
WEAK = 0.02
"""sd of all other edges, in those that count."""
GRAPH_SCALE = 0.5
"""sd of what the graph adds to a gene, in sd of its natural variation, where genes vary alike and independently."""
REGULATORS, TARGETS = 3, 10
"""Genes drawn for a program without a panel."""
EFFECT = 0.3
"""Weight of a target: its shift per unit of gate and of regulator expression."""
EXPRESSED = 0.25
"""A gene counts as expressed if more than this share of the cells has some of it."""


class Wiring(NamedTuple):
    """Which genes a program's perturbations act through."""

    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    signs: Mapping[str, int]
    """Sign of each target's effect; 1 where absent."""


def membership(names: Sequence[str], sets: Mapping[str, Collection[str]]) -> NDArray[np.bool_]:
    """Return which names belong to which sets [names, sets]."""
    columns = [np.isin(names, list(each)) for each in sets.values()]
    return np.stack([np.zeros(len(names), dtype=bool), *columns], axis=1)[:, 1:]


def noise_codes(names: Sequence[str], seed: int) -> Floats:
    """Return a direction for each name, uniform on the sphere of radius sqrt(NOISE) [names, NOISE]."""
    drawn = np.stack([generator(seed, "planted", "code", name).normal(size=NOISE) for name in names])
    return drawn * np.sqrt(NOISE) / np.linalg.norm(drawn, axis=1, keepdims=True)


def loadings(members: NDArray[np.bool_], d: float) -> Floats:
    """Return how far members [P, programs] must go along each program's own direction [programs].

    Codes are `noise_codes` + loadings. A perturbation's score for a program is its mean cosine with the members (other
    than itself), codes centred; members are to score d standard deviations of all others higher. With expected squared
    norms in place of drawn ones the expected shift and the sd (the spread through other programs, and that of n noise
    directions in NOISE dimensions) are sums over programs, solved for the loadings by iteration. A program of fewer
    than two members has no cosine, and loading 0.
    """
    P, sizes = len(members), members.sum(axis=0)
    enough = (sizes >= 2) & (sizes < P - 1) & (d > 0)
    squared = np.where(enough, 1.0, 0.0)
    for _ in range(ROUNDS):
        shift, sd = _expected(members, squared)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(shift > 0, d * sd / shift, 2.0)
        squared = np.where(enough, squared * np.clip(factor, 0.25, 4.0), 0.0)
    return np.sqrt(squared)


def loaded_codes(names: Sequence[str], members: NDArray[np.bool_], d: float, seed: int) -> Floats:
    """Return codes [P, NOISE + programs]: noise and, for members, the loading on each program's own direction."""
    return np.column_stack([noise_codes(names, seed), members * loadings(members, d)])


def orthonormal_readout(width: int, genes: int, seed: int) -> Floats:
    """Return a random readout [width, genes] whose rows are EFFECT long and orthogonal, as far as there are genes."""
    drawn = generator(seed, "planted", "readout").normal(size=(max(width, genes), width))
    return EFFECT * np.linalg.qr(drawn)[0].T[:, :genes]


def _expected(members: NDArray[np.bool_], squared: Floats) -> tuple[Floats, Floats]:
    """Return the expected shift of members and sd of others [programs] under squared loadings [programs]."""
    P, inside = len(members), members.astype(float)
    sizes = np.maximum(inside.sum(axis=0), 2)
    loaded = inside * np.sqrt(squared)
    loaded -= loaded.mean(axis=0)
    noise = NOISE * (1 - 1 / P)
    norms = np.sqrt(noise + (loaded**2).sum(axis=1, keepdims=True))
    loaded, share = loaded / norms, noise / norms**2
    own = inside * (loaded**2).sum(axis=1, keepdims=True)
    cosine = (loaded @ (loaded.T @ inside) - own) / (sizes - inside)
    outside = 1 - inside
    others = np.maximum(outside.sum(axis=0), 1)
    mean = (outside * cosine).sum(axis=0) / others
    spread = (outside * (cosine - mean) ** 2).sum(axis=0) / others
    # Centring makes noise directions add up to nothing: n of P of them are shorter together than n independent ones.
    together = (share * inside).sum(axis=0) * (1 - (sizes - 1) / (P - 1)) / sizes**2
    spread += (share * outside).sum(axis=0) / others * together / NOISE
    return (inside * cosine).sum(axis=0) / sizes - mean, np.sqrt(spread)


def gates(names: Sequence[str], programs: Sequence[str], members: NDArray[np.bool_], d: float, seed: int) -> Floats:
    """Return what opens each program's gate [names, programs]: N(d, 1) for members, N(0, 1) for all others."""
    drawn = [[generator(seed, "planted", "gate", program, name).normal() for program in programs] for name in names]
    return np.array(drawn).reshape(len(names), len(programs)) + d * members


def gene_graph(n: int, seed: int, *what: object) -> Floats:
    """Return a signed graph without loops [from, to] of n genes in the order of their names.

    Each gene has EDGES edges that count, and a WEAK one to every other gene: a sum that is zero but for rounding would
    have no rank among others like it.
    """
    rng, k = generator(seed, "planted", "graph", *what), min(EDGES, n - 1)
    if k < 1:
        return np.zeros((n, n))
    graph = rng.normal(size=(n, n)) * (1 - np.eye(n)) * WEAK * GRAPH_SCALE / np.sqrt(k)
    into = np.argpartition(rng.random((n, n)) + 2.0 * np.eye(n), k - 1, axis=1)[:, :k]
    weights = rng.uniform(0.5, 1.5, into.shape) * rng.choice([-1.0, 1.0], into.shape)
    np.put_along_axis(graph, into, weights * GRAPH_SCALE / np.sqrt(k), axis=1)
    return graph


def relabelled(graph: Floats, seed: int, context: str) -> Floats:
    """Return the same graph between other genes: which takes whose place is drawn for each context by itself."""
    places = generator(seed, "planted", "relabel", context).permutation(len(graph))
    return graph[np.ix_(places, places)]


def ridge(X: Floats) -> Floats:
    """Return the ridge regression of each gene on all others over cells [n, G]: C [from, to], 0 on the diagonal.

    Column j minimises |x_j - X_-j c|^2 / n + penalty |c|^2 for centred X, with the genes' mean variance as penalty. All
    columns come from one inverse: with Q = (X'X / n + penalty)^-1, c_ij = -q_ij / q_jj.
    """
    centred = X - X.mean(axis=0)
    covariance = centred.T @ centred / len(X)
    penalty = max(np.trace(covariance) / len(covariance), 1e-12)
    inverse = np.linalg.inv(covariance + penalty * np.eye(len(covariance)))
    coefficients = -inverse / np.diagonal(inverse)
    np.fill_diagonal(coefficients, 0.0)
    return coefficients


def expressed_genes(X: Floats, genes: Sequence[str]) -> frozenset[str]:
    """Return the genes that more than a quarter of the cells [n, G] express."""
    return frozenset(np.asarray(genes)[(X > 0).mean(axis=0) > EXPRESSED].tolist())


def wiring(
    programs: Iterable[str],
    panels: Mapping[str, Mapping[str, object]],
    *,
    genes: Collection[str],
    expressed: Collection[str],
    seed: int,
) -> dict[str, Wiring]:
    """Return the regulators and targets of each program: those of its panels, or drawn by the program's name.

    Drawn genes are measured and in no panel, expressed ones first. The order in which they are tried is that of the
    program alone, so that two contexts differ only in genes that one of them does not express.
    """
    taken = {name for panel in panels.values() for part in ("regulators", "targets") for name in panel[part]}
    names = sorted(set(genes))
    pool = {name: 2 * (name in taken) + (name not in expressed) for name in names}
    found = {}
    for program in programs:
        given = _given([panel for panel in panels.values() if panel["program"] == program], set(genes))
        order = sorted(generator(seed, "planted", "wiring", program).permutation(names).tolist(), key=pool.__getitem__)
        found[program] = given if given.regulators and given.targets else _drawn(order)
    return found


def _given(panels: Sequence[Mapping[str, object]], genes: set[str]) -> Wiring:
    """Join the panels of one program; a target's sign is that of most of its expected signs."""
    regulators = {name for panel in panels for name in panel["regulators"]} & genes
    targets = {name for panel in panels for name in panel["targets"]} & genes
    votes: Counter[str] = Counter()
    for panel in panels:
        for pair, sign in (panel.get("signs") or {}).items():
            votes[pair.split(">", 1)[1]] += sign
    return Wiring(tuple(sorted(regulators)), tuple(sorted(targets)), {t: -1 for t, vote in votes.items() if vote < 0})


def _drawn(order: Sequence[str]) -> Wiring:
    """Take the first genes of an order: at most half of them, so that small gene lists are not used up."""
    n_regulators, n_targets = (min(most, max(1, len(order) // 4)) for most in (REGULATORS, TARGETS))
    return Wiring(tuple(order[:n_regulators]), tuple(order[n_regulators : n_regulators + n_targets]), {})


def weights(wired: Mapping[str, Wiring], genes: Sequence[str], seed: int) -> tuple[Floats, Floats]:
    """Return u [genes, programs], positive with sum about 1, and w [programs, genes], by program and gene."""
    places = {name: place for place, name in enumerate(genes)}
    u, w = np.zeros((len(genes), len(wired))), np.zeros((len(wired), len(genes)))

    def drawn(*names: str) -> float:
        """Draw one weight by its names."""
        return generator(seed, "planted", "weight", *names).uniform(0.5, 1.5)

    for k, (program, wire) in enumerate(wired.items()):
        for name in wire.regulators:
            u[places[name], k] = drawn(program, "regulator", name) / len(wire.regulators)
        for name in wire.targets:
            w[k, places[name]] = EFFECT * wire.signs.get(name, 1) * drawn(program, "target", name)
    return u, w
