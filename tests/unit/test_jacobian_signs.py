"""The diagonal by random signs: unbiased, with the error that it states, and the error that was asked for."""

import itertools

import pytest
import torch
from slow_jacobian import NAMES, close, codes_of
from tiny import GENES, MeanShift, cell_sets, random_state

from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian import block_norms, cells_point, hutchinson_diagonal, mean_cell_point, panel_jacobian
from pertprobe.interpret.jacobian.hutchinson import correlation, probing_vectors
from pertprobe.interpret.jacobian.panel import block, one
from pertprobe.interpret.jacobian.passes import probing_weights
from pertprobe.models.base import Mixed
from pertprobe.models.planted.closed_form import planted_models

TARGETS, REGULATORS = [1, 5, 8, 11], [0, 5, 7]
ERROR, SEEDS = 0.1, 150
CELLS = cell_sets(set_size=24)


class Pairs(MeanShift):
    """Each cell reads every other with a weight of its own, the louder the larger the code: no mean says it all."""

    def __init__(self, cells=24, size=15.0):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.read = size * torch.randn(cells, cells, generator=generator, dtype=torch.float64)
        self.genes_read = torch.randn(len(GENES), len(GENES), generator=generator, dtype=torch.float64) / 3

    def mix(self, pert, encoded, edit=None):
        heard = pert.mean(-1)[..., None, None] * (self.read @ encoded.tokens) @ self.genes_read
        h = encoded.tokens @ self.genes_read + heard / self.read.shape[-1] + pert[..., None, :]
        return Mixed(h, (h,))


def planted(set_term, **more):
    """Return models in which a known part crosses cells: all of it by the mean of the others."""
    return planted_models(genes=GENES, perturbations=[*NAMES, "g01", "g02"], control="ctrl", cells=CELLS,
                          programs={"P": NAMES}, set_term=set_term, dtype=torch.float64, **more)  # fmt: skip


def at(model, cells=CELLS):
    return cells_point(cells.values, model.batch_indices(cells.batches), codes_of(model))


def estimated(model, error, seed, cells=CELLS):
    return hutchinson_diagonal(model, codes_of(model), at(model, cells), TARGETS, REGULATORS, error=error, seed=seed)


def exact(model, derivative="diagonal", cells=CELLS):
    return panel_jacobian(model, codes_of(model), at(model, cells), TARGETS, REGULATORS, derivative).values


@pytest.fixture(scope="module")
def model():
    return Pairs()


@pytest.fixture(scope="module")
def many(model):
    """Many estimates that stopped at different numbers of draws."""
    return [estimated(model, ERROR, seed) for seed in range(SEEDS)]


def spread(found, wanted):
    """Return the relative error of estimates over seeds [P]."""
    values = torch.stack([each.values for each in found])
    return (values - wanted).flatten(2).square().sum(2).mean(0).sqrt() / wanted.flatten(1).norm(dim=1)


def scores(values, true):
    """Return how far the mean over seeds [seeds, ...] lies from the truth, in its own standard errors."""
    return (values.mean(0) - true) / (values.std(0) / len(values) ** 0.5)


@pytest.mark.parametrize("cells", [2, 3, 4, 5, 6])
def test_the_mean_over_all_draws_that_there_are_is_the_diagonal(cells):
    """Every assignment of as many +1 as -1, or one more."""
    model, given = Pairs(cells), cell_sets(n_sets=1, set_size=cells)
    point, codes, r = at(model, given), codes_of(model), correlation(cells)
    asked, whole = block(model, point, codes[0], TARGETS, REGULATORS, 1.0), exact(model, "total", given)
    rows = [torch.tensor([row]).double() for row in itertools.product((1, -1), repeat=cells) if sum(row) == cells % 2]
    drawn = [(one(asked, codes, probing_weights(point, row)).derivative - r * whole) / (1 - r) for row in rows]
    close(torch.stack(drawn).mean(0), exact(model, cells=given), 1e-12)


@pytest.mark.parametrize("cells", [5, 24])
def test_signs_are_balanced_in_each_set_and_drawn_by_seed_half_and_number(cells):
    point = at(Pairs(cells), cell_sets(n_sets=3, set_size=cells))
    drawn = probing_vectors(point, 0, 0, 0)
    assert drawn.sum(-1).tolist() == [cells % 2] * 3
    assert set(drawn.flatten().tolist()) == {1.0, -1.0}
    assert torch.equal(drawn, probing_vectors(point, 0, 0, 0))
    others = (probing_vectors(point, *names) for names in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    assert not any(torch.equal(drawn, other) for other in others)


def test_estimates_stop_at_different_numbers_of_draws(many):
    draws = torch.stack([each.draws for each in many])
    assert len(draws.unique()) > 4
    assert (draws <= CELLS.values.shape[1]).all()


def test_estimates_are_unbiased_wherever_they_stop(model, many):
    values, wanted = torch.stack([each.values for each in many]), exact(model)
    assert scores(values, wanted).abs().max() < 4  # of 72 entries


def test_the_stated_error_is_the_spread_over_seeds(model, many):
    stated = torch.stack([each.error for each in many]).square().mean(0).sqrt()
    assert ((stated / spread(many, exact(model)) - 1).abs() < 0.2).all()


def test_the_error_that_was_asked_for_is_reached(model, many):
    assert (spread(many, exact(model)) < 1.15 * ERROR).all()


def test_norms_from_two_halves_are_unbiased(model, many):
    wanted = exact(model)
    norms = [block_norms(each.halves, each.total) for each in many]
    for found, true in zip(zip(*norms, strict=True), (wanted, exact(model, "total") - wanted), strict=True):
        values = torch.stack(found)
        assert scores(values, true.square().sum((-2, -1))).abs().max() < 4


def test_the_norm_of_the_mean_would_be_too_large_by_its_variance(model, many):
    wanted = exact(model)
    naive = torch.stack([each.values.square().sum((1, 2, 3)) for each in many])
    halves = torch.stack([(each.halves[:, 0] * each.halves[:, 1]).sum((1, 2, 3)) for each in many])
    variance = spread(many, wanted).square() * wanted.square().sum((1, 2, 3))
    assert (((naive - halves).mean(0) / variance - 1).abs() < 0.4).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_state_models_diagonal_is_found_within_its_error(seed):
    model = random_state(confidence_token=True)
    found, wanted = estimated(model, 0.05, seed), exact(model)
    error = (found.values - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    assert (error < 4 * found.error).all()
    assert (found.error < 0.05).all()
    close(found.total, exact(model, "total"), 1e-12)
    assert torch.equal(found.open, panel_jacobian(model, codes_of(model), at(model), TARGETS, REGULATORS).open)


def test_without_an_error_the_diagonal_is_exact():
    model = random_state()
    found = estimated(model, 0.0, seed=0)
    close(found.values, exact(model), 1e-12)
    assert found.error.tolist() == [0.0] * 3
    assert found.draws.tolist() == [0] * 3


def test_one_draw_is_the_first_of_the_first_half(model):
    found = estimated(model, float("inf"), seed=0)
    point, codes, r = at(model), codes_of(model), correlation(24)
    asked = block(model, point, codes[0], TARGETS, REGULATORS, 1.0)
    wanted = (
        one(asked, codes, probing_weights(point, probing_vectors(point, 0, 0, 0))).derivative
        - r * exact(model, "total")
    ) / (1 - r)
    close(found.values, wanted, 1e-12)
    assert torch.equal(found.halves[:, 0], found.halves[:, 1])
    assert found.error.isnan().all()
    assert found.draws.tolist() == [1] * 3


def test_the_gain_is_that_of_the_diagonal_and_changes_no_draw(model):
    asked = model, codes_of(model), at(model), TARGETS, REGULATORS
    exactly = panel_jacobian(*asked, "diagonal", probes=8).gain
    close(hutchinson_diagonal(*asked, error=0, seed=0, probes=8).gain, exactly, 1e-12)
    alone, beside = (hutchinson_diagonal(*asked, error=ERROR, seed=0, probes=probes) for probes in (0, 8))
    close(beside.values, alone.values, 1e-12)
    assert torch.equal(beside.draws, alone.draws)
    assert alone.gain.isnan().all()
    torch.testing.assert_close(beside.gain, exactly, rtol=0.5, atol=1e-9)


def test_more_draws_than_cells_are_not_made_but_the_exact_derivative(model):
    found = estimated(model, 1e-3, seed=0)
    close(found.values, exact(model), 1e-12)
    assert found.draws.tolist() == [0] * 3


@pytest.mark.parametrize("size", [1, 2])
def test_one_or_two_cells_are_exact(size):
    model, cells = Pairs(size), cell_sets(set_size=size)
    close(estimated(model, 0.5, 0, cells).values, exact(model, cells=cells), 1e-12)


def test_perturbations_that_are_exact_do_not_change_the_others():
    """Draws are settled for each perturbation by itself, whatever shares its batch."""
    model = Pairs()
    model.codes[0] = 3000.0  # which hears others so loudly that draws do not do
    names = [*model.perturbations]
    asked = {"point": at(model), "targets": TARGETS, "regulators": REGULATORS, "error": ERROR, "seed": 3}
    every = hutchinson_diagonal(model, codes_of(model, names), **asked)
    assert every.draws[0] == 0
    assert len(every.draws.unique()) > 2
    for i in range(len(names)):
        alone = hutchinson_diagonal(model, codes_of(model, names[i : i + 1]), **asked)
        assert torch.equal(alone.draws, every.draws[i : i + 1])
        close(alone.halves, every.halves[i : i + 1], 1e-12)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("set_term", [0.0, 2.0])
def test_what_all_cells_do_alike_to_all_others_cancels_in_every_draw(set_term, relu):
    """As a set term, also behind a ReLU that is open in other cells under each perturbation."""
    model = planted(set_term, relu=relu)["lookup"]
    cells = cell_sets(set_size=24, seed=1)
    found = estimated(model, 0.05, seed=0, cells=cells)
    close(found.values, exact(model, cells=cells), 1e-12)
    assert found.draws.tolist() == [4] * 3
    assert found.error.max() < 1e-9


@pytest.mark.parametrize("set_term", [0.5, 2.0])
def test_what_crosses_has_the_size_that_was_planted(set_term):
    model = planted(set_term)["planted"]
    within, across = block_norms(estimated(model, 0.0, seed=0).halves, exact(model, "total"))
    part = model.parts.between_cells[REGULATORS][:, TARGETS].T
    close(across, part.square().sum().expand(3, 2))
    diagonal = torch.stack([model.jacobian(CELLS.values, name)[:, TARGETS][..., REGULATORS] for name in NAMES])
    close(within, diagonal.square().sum((-2, -1)))


def test_signs_are_for_cells_that_stand_for_themselves():
    model = random_state()
    point = mean_cell_point(CELLS.values, 1, codes_of(model))
    with pytest.raises(PertprobeError, match="mean_cell_point"):
        hutchinson_diagonal(model, codes_of(model), point, TARGETS, REGULATORS, error=0.1, seed=0)
