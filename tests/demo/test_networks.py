"""Simulated networks: what a graph says is what cells show."""

import numpy as np
import pytest

from pertprobe.data.networks.graph import FREE, draw_graph, rewired
from pertprobe.data.networks.mechanisms import MOST, hill, linear, steady
from pertprobe.data.networks.screen import CONTROL, LEFT, Design, simulate_screen

SMALL = Design(genes=60, regulators=30, unmeasured=6, knockdowns=12, cells=200, controls=400)


@pytest.fixture(scope="module", params=[hill, linear])
def screen(request):
    return simulate_screen(request.param, SMALL, np.random.default_rng(1))


def test_parents_stand_before_children_and_paralogs_regulate_nothing():
    graph = draw_graph(np.random.default_rng(0), 60, 30, 6)
    assert all((own < min(gene, 30)).all() for gene, own in enumerate(graph.parents))
    idle = [g for g in range(FREE + 1, 30) if not graph.downstream(g)]
    assert len([g for g in idle if np.array_equal(graph.parents[g], graph.parents[g - 1])]) >= 3
    assert graph.unmeasured.sum() == 6


def test_what_is_downstream_is_what_moves_and_nothing_else():
    graph = draw_graph(np.random.default_rng(0), 60, 30, 6)
    for mechanism in (hill, linear):
        usual = steady(graph, mechanism, np.ones((1, 66)))
        np.testing.assert_allclose(usual, 1)
        for gene in (0, 3, 12):
            moved = steady(graph, mechanism, np.ones((1, 66)), lambda g, level, gene=gene: level * (g != gene))
            assert set(np.flatnonzero(np.abs(moved - 1) > 1e-9)[0:].tolist()) - {gene} <= graph.downstream(gene)
            assert (moved <= MOST).all()


def test_hill_lowers_and_raises_as_signs_say():
    graph = draw_graph(np.random.default_rng(0), 60, 30, 6)
    child = next(g for g in range(66) if graph.parents[g].size == 1)
    (parent,), (raises,) = graph.parents[child], graph.signs[child]
    levels = np.ones((2, 66))
    levels[1, parent] = 0.1
    for mechanism in (hill, linear):
        usual, less = mechanism(graph, child, levels)
        assert usual == pytest.approx(1)
        assert (less < 1) == raises


def test_a_context_has_other_regulators_of_a_share_of_the_genes():
    graph = draw_graph(np.random.default_rng(0), 300, 60, 10)
    other = rewired(graph, 0.3, np.random.default_rng(1))
    same = [np.array_equal(a, b) for a, b in zip(graph.parents, other.parents, strict=True)]
    assert 0.6 < np.mean(same) < 0.85
    assert all((own < max(gene, 1)).all() for gene, own in enumerate(other.parents))
    sizes = zip(other.parents, other.signs, other.strengths, other.steepness, strict=True)
    assert all(len({each.size for each in parts}) == 1 for parts in sizes)


def test_knocked_genes_are_low_and_the_truth_is_where_shifts_go(screen):
    context = str(screen.contexts[0])
    shifts, truth = screen.mean_shifts(context), screen.truth[context]
    own = [screen.genes.index(name) for name in screen.knocked]
    rows = np.arange(len(own))
    assert (truth[rows, own] < 0).all()
    assert (shifts[rows, own] < 0).all()
    shifts[rows, own] = truth[rows, own] = 0
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(shifts, truth, strict=True)]) > 0.3
    assert 0 < LEFT < 1


def test_halves_are_disjoint_and_make_the_whole(screen):
    context = str(screen.contexts[0])
    first, second = (screen.mean_shifts(context, half) for half in (0, 1))
    np.testing.assert_allclose((first + second) / 2, screen.mean_shifts(context), atol=1e-9)


def test_sizes_names_and_the_draw(screen):
    assert set(screen.perturbations) == {CONTROL, *screen.knocked}
    assert len(screen.genes) == 60
    assert screen.values.shape == (400 + 12 * 200, 60)
    again = simulate_screen(hill, SMALL, np.random.default_rng(1))
    assert again.genes == screen.genes
