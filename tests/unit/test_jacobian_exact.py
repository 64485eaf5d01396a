"""All four Jacobians and each cell's own, against whole ones by torch.autograd.functional and against differences."""

import numpy as np
import pytest
import torch
from slow_jacobian import (
    NAMES,
    SLOW,
    STATES,
    at_cells,
    at_mean,
    cell_jacobians,
    close,
    codes_of,
    copies_of_the_mean,
    diagonal,
    explicit_jacobian,
    factors_at_cells,
    own,
    total,
    whole,
)
from tiny import GENES, cell_sets, random_state

from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian import (
    Point,
    cells_point,
    check_multiplicity,
    jacobian_cores,
    mean_cell_point,
    panel_jacobian,
    respond,
)
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.seeding import seed_of

BLOCKS = {"reverse": ([1, 8], [0, 5, 7, 11]), "forward": ([1, 5, 8, 11], [7, 0])}
DERIVATIVES = ("total", "diagonal")


@pytest.fixture(params=STATES, scope="module")
def model(request):
    return random_state(**STATES[request.param])


@pytest.fixture(scope="module")
def pairs(model):
    return whole(model, codes_of(model), at_cells(model))


@pytest.fixture(scope="module")
def mean_pairs(model):
    return whole(model, codes_of(model), copies_of_the_mean(model))


def test_the_variants_are_what_they_are_called():
    models = {name: random_state(**changes) for name, changes in STATES.items()}
    assert not models["without_relu"].architecture.output_relu
    assert models["plain"].architecture.output_relu
    assert models["all"].linear_ends().input_weight.shape == (16 + 1, len(GENES))
    assert models["gpt2"].architecture.backbone == "GPT2"


def gain_slowly(J, regulators, number):
    """Return the root mean square of whole derivatives [..., target, gene] along signs drawn in the order of names."""
    others = sorted((name for i, name in enumerate(GENES) if i not in regulators))
    signs = np.random.default_rng(seed_of(0, "gain")).choice([-1.0, 1.0], (number, len(others)))
    moved = J[..., [GENES.index(name) for name in others]] @ torch.as_tensor(signs).T
    return moved.square().mean(-1).sqrt()


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("mode", [*BLOCKS, "forward, with probes"])
def test_the_gain_is_how_a_target_answers_to_the_other_genes(model, pairs, derivative, mode):
    targets, regulators = BLOCKS[mode] if mode in BLOCKS else (range(len(GENES)), [7, 0])
    asked = model, codes_of(model), at_cells(model), targets, regulators, derivative
    found, J = panel_jacobian(*asked, probes=6), SLOW[derivative](pairs)[..., targets, :]
    close(found.gain, gain_slowly(J, regulators, 6))
    close(found.values, J[..., regulators])
    assert panel_jacobian(*asked).gain.isnan().all()


def test_the_square_of_the_gain_is_the_squared_norm_on_average(model, pairs):
    asked = model, codes_of(model), at_cells(model), [1, 8], [0, 5, 7, 11]
    others = [i for i in range(len(GENES)) if i not in asked[-1]]
    wanted = SLOW["total"](pairs)[..., [1, 8], :][..., others].square().sum(-1)
    found = panel_jacobian(*asked, probes=4096).gain.square()
    torch.testing.assert_close(found, wanted, rtol=0.1, atol=1e-12)


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("mode", BLOCKS)
def test_a_panel_at_the_cells(model, pairs, derivative, mode):
    targets, regulators = BLOCKS[mode]
    found = panel_jacobian(model, codes_of(model), at_cells(model), targets, regulators, derivative)
    close(found.values, SLOW[derivative](pairs)[..., targets, :][..., regulators])


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("mode", BLOCKS)
def test_a_panel_at_the_mean_cell(model, mean_pairs, derivative, mode):
    targets, regulators = BLOCKS[mode]
    found = panel_jacobian(model, codes_of(model), at_mean(model, derivative), targets, regulators, derivative)
    close(found.values, SLOW[derivative](mean_pairs)[..., targets, :][..., regulators])


@pytest.mark.parametrize("mode", BLOCKS)
def test_each_cells_own_derivative(model, pairs, mode):
    targets, regulators = BLOCKS[mode]
    found = cell_jacobians(model, codes_of(model), at_cells(model), targets, regulators)
    close(found, own(pairs)[..., targets, :][..., regulators])


@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_whole_jacobians_at_the_cells(model, pairs, derivative):
    close(explicit_jacobian(model, codes_of(model), at_cells(model), derivative), SLOW[derivative](pairs))


def test_factors_at_the_cells(model, pairs):
    factors = factors_at_cells(model, codes_of(model), at_cells(model))
    close(factors.left @ factors.right, total(pairs))


@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_whole_jacobians_and_cores_at_the_mean_cell(model, mean_pairs, derivative):
    codes, point = codes_of(model), at_mean(model, derivative)
    cores = jacobian_cores(model, codes, point, derivative)
    found = cores.factors()
    close(found.left @ found.right, SLOW[derivative](mean_pairs))
    close(explicit_jacobian(model, codes, point, derivative), SLOW[derivative](mean_pairs))
    assert cores.open.dtype == torch.bool
    assert bool(cores.open.all()) or model.architecture.output_relu


def test_the_point_of_the_diagonal_gives_the_total_too(model):
    codes = codes_of(model)
    once, twice = (jacobian_cores(model, codes, at_mean(model, which), "total") for which in DERIVATIVES)
    close(twice.core, once.core)
    check_multiplicity(model, codes[0], at_mean(model, "diagonal"))


def test_the_diagonal_holds_the_other_cells_fixed_by_central_differences(model):
    codes, point, step = codes_of(model), at_cells(model), 1e-6
    found = cell_jacobians(model, codes, point, [1, 8], [5])[..., 0]
    for s in range(point.X.shape[1]):
        moved = torch.zeros_like(point.X)
        moved[:, s, 5] = step
        above, below = (respond(model, codes[1], point, point.X + sign * moved)[:, s] for sign in (1, -1))
        close(found[1, :, s], ((above - below) / (2 * step))[:, [1, 8]], 1e-6)


def test_products_from_either_side_are_the_models_own(model):
    """J v by forward mode, and u (J v) = (u J) v with u J by reverse mode."""
    codes, point = codes_of(model), at_cells(model)
    generator = torch.Generator().manual_seed(0)
    v, u = (torch.randn(n, generator=generator, dtype=torch.float64) for n in (len(GENES), len(GENES)))
    forward = factors_at_cells(model, codes, point).times(v)
    for i, code in enumerate(codes):
        mean = lambda X, code=code: respond(model, code, point, X).mean(-2)  # noqa: E731
        moved = torch.func.jvp(mean, (point.X,), (v.expand_as(point.X),))[1]
        outputs, pull = torch.func.vjp(mean, point.X)
        close(forward[i], moved)
        close((forward[i] * u).sum(-1), (pull(u.expand_as(outputs))[0].sum(-2) * v).sum(-1))


@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_a_gene_that_no_cell_shows_the_model_has_no_derivative(derivative):
    model = random_state(output_space="all")
    weights = {name: weight.clone() for name, weight in model.parameters.items()}
    for name in ("basal_encoder.0.weight", "final_down_then_up.0.weight"):
        weights[name][:, 7] = 0.0
    deaf = model.with_parameters(weights)
    for point in (at_cells(deaf), at_mean(deaf, derivative)):
        assert (explicit_jacobian(deaf, codes_of(deaf), point, derivative)[..., 7] == 0).all()
    cores = jacobian_cores(deaf, codes_of(deaf), at_mean(deaf, derivative), derivative)
    for factors in (cores, factors_at_cells(deaf, codes_of(deaf), at_cells(deaf))):
        assert (factors.entries(range(12), [7]) == 0).all()
        assert (factors.entries(range(12), [0]) != 0).any()


def test_jacobians_do_not_depend_on_the_order_of_cells(model):
    codes, point = codes_of(model), at_cells(model)
    order = [3, 1, 4, 0, 2]
    turned = Point(point.X[:, order], None if point.batch is None else point.batch[:, order], None)
    for derivative in DERIVATIVES:
        a, b = (panel_jacobian(model, codes, each, [1, 8], [0, 5, 7], derivative) for each in (point, turned))
        close(b.values, a.values)
        close(b.open, a.open)
    a, b = (cell_jacobians(model, codes, each, [1, 8], [0, 5, 7]) for each in (point, turned))
    close(b, a[:, :, order])


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("kind", ["planted", "lookup", "covariation"])
@pytest.mark.parametrize("at", ["cells", "mean_cell"])
@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_planted_models_have_the_jacobians_they_were_given(kind, relu, at, derivative):
    cells = cell_sets()
    model = planted_models(
        genes=GENES, perturbations=[*NAMES, "g01", "g02"], control="ctrl", cells=cells, programs={"P": NAMES},
        relu=relu, set_term=0.7, dtype=torch.float64,
    )[kind]  # fmt: skip
    codes, values = codes_of(model), cells.values - 0.3
    point = cells_point(values, None, codes) if at == "cells" else mean_cell_point(values, None, codes, derivative)
    same = values if at == "cells" else np.broadcast_to(values.mean(-2, keepdims=True), values.shape)
    wanted = torch.stack([model.jacobian(same, name, derivative=derivative) for name in NAMES])
    close(explicit_jacobian(model, codes, point, derivative), wanted)
    close(
        panel_jacobian(model, codes, point, [2, 3, 5], [1, 4], derivative).values, wanted[:, :, [2, 3, 5]][..., [1, 4]]
    )


def test_a_causal_model_is_differentiated_at_its_cells():
    model = random_state(attention="causal")
    pairs = whole(model, codes_of(model), at_cells(model))
    for derivative, slow in (("total", total), ("diagonal", diagonal)):
        close(explicit_jacobian(model, codes_of(model), at_cells(model), derivative), slow(pairs))


def test_a_set_of_one_cell_has_no_others():
    model = random_state()
    values = cell_sets(set_size=1).values
    point = mean_cell_point(values, 1, codes_of(model), "diagonal")
    assert point.X.shape == (2, 1, len(GENES))
    a, b = (panel_jacobian(model, codes_of(model), point, [1, 8], [0, 5], each).values for each in DERIVATIVES)
    assert torch.equal(a, b)


def test_the_mean_cell_of_the_diagonal_stands_apart_from_those_that_stay():
    point = mean_cell_point(cell_sets().values, 1, torch.zeros(1, dtype=torch.float64), "diagonal")
    assert point.multiplicity.tolist() == [[1.0, 4.0]] * 2
    assert point.weight.tolist() == [[1.0, 0.0]] * 2
    assert point.batch.tolist() == [[1, 1]] * 2
    np.testing.assert_allclose(point.X[:, 0], cell_sets().values.astype(float).mean(1))


def test_a_cell_that_stands_for_several_has_no_diagonal():
    model = random_state()
    with pytest.raises(PertprobeError, match=r"mean_cell_point\(..., derivative='diagonal'\)"):
        panel_jacobian(model, codes_of(model), at_mean(model), [1], [0], "diagonal")
