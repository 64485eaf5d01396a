"""Derivatives by the perturbation's code and by its features."""

import pytest
import torch
from slow_jacobian import STATES, at_cells, at_mean, close, codes_of, copies_of_the_mean, sets_of
from tiny import GENES, MeanShift, cell_sets, random_state

from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian import Factors, Point, cells_point, feature_jacobian, respond, routing_jacobian


@pytest.fixture(params=STATES, scope="module")
def model(request):
    return random_state(**STATES[request.param])


def slow(model, codes, point):
    """Return d mean_s Y_s / d code [P, n_sets, G_out, H], one code and set at a time."""

    def one(code, alone):
        return torch.autograd.functional.jacobian(lambda code: respond(model, code, alone)[0].mean(-2), code)

    return torch.stack([torch.stack([one(code, alone) for alone in sets_of(model, point)]) for code in codes])


def test_the_derivative_by_the_code_is_that_of_autograd(model):
    codes, point = codes_of(model), at_cells(model)
    wanted = slow(model, codes, point)
    close(routing_jacobian(model, codes, point), wanted)


def test_at_the_mean_cell_it_is_that_of_its_copies(model):
    codes = codes_of(model)
    close(routing_jacobian(model, codes, at_mean(model)), slow(model, codes, copies_of_the_mean(model)))


def test_it_is_how_the_mean_output_moves_by_central_differences(model):
    codes, point, step = codes_of(model), at_cells(model), 1e-6
    direction = torch.randn(codes.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    above, below = (respond(model, codes[0] + sign * step * direction, point).mean(-2) for sign in (1, -1))
    close(routing_jacobian(model, codes, point)[0] @ direction, (above - below) / (2 * step), 1e-7)


def test_it_does_not_depend_on_the_order_of_cells(model):
    codes, point, order = codes_of(model), at_cells(model), [3, 1, 4, 0, 2]
    turned = Point(point.X[:, order], None if point.batch is None else point.batch[:, order], None)
    close(routing_jacobian(model, codes, turned), routing_jacobian(model, codes, point))


@pytest.mark.parametrize("layers", [1, 3])
def test_by_the_features_it_is_how_the_output_moves_with_them(layers):
    model, step = random_state(n_encoder_layers=layers), 1e-6
    codes, point = codes_of(model), at_cells(model)
    found = Factors(routing_jacobian(model, codes, point).mean(1), feature_jacobian(model, ["x1", "g00", "x2"]))
    features = model.perturbation_features[model.perturbations.index("g00")]
    for column in (0, 6):
        moved = step * (torch.arange(len(features)) == column)
        above, below = (
            respond(model, model.encode_features(features + s * moved), point).mean((0, 1)) for s in (1, -1)
        )
        close(found.entries(range(12), [column])[1, :, 0], (above - below) / (2 * step), 1e-6)


def test_the_features_of_an_encoder_of_one_linear_have_its_weight():
    model = random_state(n_encoder_layers=1)
    weight = model.parameters["pert_encoder.0.weight"]
    close(feature_jacobian(model, ["x1", "x2"]), weight.expand(2, -1, -1))


def test_a_feature_that_the_encoder_does_not_read_has_no_derivative():
    model = random_state(n_encoder_layers=3)
    weights = {name: weight.clone() for name, weight in model.parameters.items()}
    weights["pert_encoder.0.weight"][:, 4] = 0.0
    found = feature_jacobian(model.with_parameters(weights), ["x1"])
    assert (found[..., 4] == 0).all()
    assert (found[..., 5] != 0).any()


def test_the_mean_shift_hands_its_code_on():
    model = MeanShift()
    point = cells_point(cell_sets().values, None, codes_of(model))
    close(routing_jacobian(model, codes_of(model), point), torch.eye(len(GENES)).double().expand(3, 2, -1, -1))
    with pytest.raises(PertprobeError, match="Ask for those by the code"):
        feature_jacobian(model, ["x1"])
