"""What is read off thin factors equals what is read off the whole matrix."""

import pytest
import torch
from slow_jacobian import at_cells, at_mean, close, codes_of, explicit_jacobian, factors_at_cells
from tiny import GENES, MeanShift, cell_sets, random_state

from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian import Core, Factors, cells_point, cosines, gram, jacobian_cores, panel_jacobian

FORMS = ("factors", "cores")
TARGETS, REGULATORS = [8, 1, 11], [0, 7]


@pytest.fixture(params=FORMS, scope="module")
def formed(request):
    """Jacobians of many perturbations in one form [P, ...], and the same as whole matrices [P, G_out, G]."""
    model = random_state(n_decoder_layers=2, output_space="all")
    codes = codes_of(model, model.perturbations)
    if request.param == "cores":
        cores = jacobian_cores(model, codes, at_mean(model))
        cores = cores._replace(core=cores.core[:, 1], open=cores.open[:, 1])
        return cores, explicit_jacobian(model, codes, at_mean(model))[:, 1]
    factors = factors_at_cells(model, codes, at_cells(model))
    whole = explicit_jacobian(model, codes, at_cells(model)).mean(1)
    return Factors(factors.left.mean(1), factors.right), whole


def test_entries_and_rows_are_those_of_the_matrix(formed):
    jacobians, whole = formed
    for targets, regulators in ((TARGETS, REGULATORS), (range(len(GENES)), [4]), ([4], range(len(GENES)))):
        close(jacobians.entries(targets, regulators), whole[:, list(targets)][..., list(regulators)])
    close(jacobians.outputs(TARGETS).rows(range(3)), whole[:, TARGETS])
    factors = jacobians.outputs(range(len(GENES)))
    close(factors.rows(TARGETS), whole[:, TARGETS])
    close(factors.entries(TARGETS, REGULATORS), whole[:, TARGETS][..., REGULATORS])


def test_norms_and_inner_products_are_those_of_the_matrix(formed):
    jacobians, whole = formed
    factors = jacobians.outputs(range(len(GENES)))
    close(factors.squared_norms(), whole.square().sum((-2, -1)))
    flipped = Factors(whole.flip(0), torch.eye(len(GENES)).double())
    close(factors.inner_products(flipped), (whole * whole.flip(0)).sum((-2, -1)))
    close(flipped.inner_products(factors), (whole * whole.flip(0)).sum((-2, -1)))


@pytest.mark.parametrize("memory_gb", [1.0, 1e-9])
@pytest.mark.parametrize("formed", ["cores"], indirect=True)
def test_similarities_of_all_pairs_are_those_of_the_flattened_matrices(formed, memory_gb):
    jacobians, whole = formed
    flat = whole.flatten(1)
    close(gram(jacobians, memory_gb), flat @ flat.T)
    unit = flat / flat.norm(dim=1, keepdim=True)
    close(cosines(jacobians, memory_gb), unit @ unit.T)


def test_the_largest_singular_values_and_vectors_are_those_of_the_matrix(formed):
    jacobians, whole = formed
    found, k = jacobians.outputs(range(len(GENES))).svd(3), 3
    U, s, V = torch.linalg.svd(whole)
    close(found.values, s[:, :k])
    close(found.outputs * found.values[:, None] @ found.inputs, U[..., :k] * s[:, None, :k] @ V[:, :k])


def test_a_jacobian_of_zeros_is_like_no_other():
    core = torch.ones(3, 4, 2, dtype=torch.float64)
    core[1] = 0.0
    ends = torch.eye(4, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    wanted = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    close(cosines(Core(core, torch.ones(3, 4, dtype=torch.bool), *ends)), wanted)


def test_factors_of_an_output_space_all_are_as_thin_as_the_encoder_and_its_own_narrow_layer():
    model = random_state(output_space="all")
    codes = codes_of(model)
    factors, cores = factors_at_cells(model, codes, at_cells(model)), jacobian_cores(model, codes, at_mean(model))
    assert factors.right.shape == (16 + len(GENES) // 8, len(GENES))
    assert cores.core.shape == (3, 2, len(GENES) // 8, 16 + len(GENES) // 8)


def test_a_mean_over_cells_has_no_core():
    model = random_state()
    with pytest.raises(PertprobeError, match="a mean over different cells has no core"):
        jacobian_cores(model, codes_of(model), at_cells(model))


def test_a_model_without_factors_is_told_what_it_can_be_asked():
    model = MeanShift()
    point = cells_point(cell_sets().values, None, codes_of(model))
    with pytest.raises(PertprobeError, match=r"takes `linear_ends\(\)`.*panel_jacobian"):
        jacobian_cores(model, codes_of(model), point)
    close(explicit_jacobian(model, codes_of(model), point), torch.eye(len(GENES)).double().expand(3, 2, -1, -1))


def test_linear_ends_that_are_not_the_model_are_refused():
    """As where the outputs are not one Linear of the hidden state: a softplus at the end, say."""

    class Ends(type(random_state())):
        def decode(self, mixed, encoded, X):
            return torch.nn.functional.softplus(super().decode(mixed, encoded, X))

    model = random_state()
    model.__class__ = Ends
    with pytest.raises(PertprobeError, match="`linear_ends` gives another output than the model itself"):
        panel_jacobian(model, codes_of(model), at_cells(model), TARGETS, REGULATORS)
