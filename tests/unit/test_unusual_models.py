"""Models that torch trips over: those that ignore the cell or the perturbation, and those with fused attention."""

import pytest
import torch
from tiny import GENES, MeanShift, cell_sets, random_state
from torch import nn
from torch.func import vjp

from pertprobe.interpret import jacobian
from pertprobe.interpret.jacobian import cells_point
from pertprobe.interpret.jacobian.linear_ends import factorised
from pertprobe.interpret.jacobian.passes import jvp_code
from pertprobe.interpret.sensitivity import layer_sizes
from pertprobe.interpret.spectrum import layer_jacobian
from pertprobe.models.base import Encoded, Mixed
from pertprobe.models.forward_mode import jvp
from pertprobe.models.state.load import load_state
from pertprobe.models.state.write import write_state_directory


class IgnoresCells(MeanShift):
    """Answers with the perturbation's code, whatever the cell."""

    def encode_cells(self, X, batch=None, multiplicity=None):
        return Encoded(torch.zeros(X.shape).double(), torch.zeros(X.shape).double(), multiplicity)


class IgnoresPerturbations(MeanShift):
    """Answers with the cell, whatever the perturbation."""

    def mix(self, pert, encoded, edit=None):
        h = encoded.tokens.expand(torch.broadcast_shapes(encoded.tokens.shape, pert[..., None, :].shape))
        return Mixed(h, (h,))


@pytest.mark.parametrize(("targets", "regulators"), [([0, 1, 2], [3]), ([0], [1, 2, 3])])
def test_a_model_that_ignores_its_cells_has_no_derivative(targets, regulators):
    model = IgnoresCells()
    point = cells_point(cell_sets().values, None, model.codes)
    found = jacobian.panel_jacobian(model, model.codes[:2], point, targets, regulators, probes=2)
    assert found.values.shape == (2, 2, len(targets), len(regulators))
    assert not found.values.any()


def test_a_model_that_ignores_the_perturbation_has_no_derivative_by_it():
    model = IgnoresPerturbations()
    at = factorised(model, cells_point(cell_sets().values, None, model.codes))
    found = jvp_code(at, model.codes[:2], lambda state: at.ends.decode_linear(state, [0, 1]), 5)
    assert found.shape == (2, 2, 2, len(GENES))
    assert not found.any()


def test_a_layer_that_nothing_reads_has_no_derivative():
    class Deaf(MeanShift):
        n_layers = 1

        def mix(self, pert, encoded, edit=None):
            h = encoded.tokens + pert[..., None, :]
            if edit is not None:
                edit(0, h)
            return Mixed(h, (h, h))

    model = Deaf()
    found = layer_jacobian(model, model.codes[0], cells_point(cell_sets().values, None, model.codes), 0)
    assert found.shape == (2, len(GENES), len(GENES))
    assert not found.any()


@pytest.mark.parametrize("kind", ["scaled dot product", "multihead", "encoder"])
def test_fused_attention_is_differentiated_in_forward_mode(kind):
    torch.manual_seed(0)
    layers = {
        "scaled dot product": lambda x: nn.functional.scaled_dot_product_attention(x, x * 2, x + 1),
        "multihead": nn.MultiheadAttention(4, 2, batch_first=True),
        "encoder": nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
    }
    layer = layers[kind]
    if isinstance(layer, nn.Module):
        layer = layer.eval().requires_grad_(False).double()

    def function(x):
        return layer(x, x, x)[0] if kind == "multihead" else layer(x)

    x, along = torch.rand(2, 2, 5, 4, dtype=torch.float64)
    value, moved = jvp(function, (x,), (along,))
    torch.testing.assert_close(value, function(x))
    seed = torch.rand_like(value)
    torch.testing.assert_close((seed * moved).sum(), (vjp(function, x)[1](seed)[0] * along).sum())
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(("width", "genes_out"), [(len(GENES), GENES), (7, ())])
def test_genes_in_and_an_embedding_out(tmp_path, width, genes_out):
    """Outputs of another width than the genes are called by their place, and are no genes."""
    made = random_state(output_space="embedding", output_dim=width, dtype=torch.float32)
    made.output_genes = genes_out
    write_state_directory(made, tmp_path / "model")
    model = load_state(tmp_path / "model")
    assert len(model.output_genes) == len(genes_out)
    assert len(model.output_features) == width
    assert ("gene_space" in model.capabilities) == bool(genes_out)
    assert model.predict(cell_sets().values, "ctrl").shape == (2, 5, width)


class Narrowing(MeanShift):
    """Its second layer is narrower than its first."""

    n_layers = 1

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.down, self.up = (
            torch.rand(shape, generator=generator, dtype=torch.float64) for shape in ((12, 7), (7, 12))
        )

    def mix(self, pert, encoded, edit=None):
        edit = edit or (lambda layer, states: states)
        first = edit(0, encoded.tokens + pert[..., None, :])
        second = edit(1, (first @ self.down).tanh())
        return Mixed(second, (first, second))

    def decode(self, mixed, encoded, X):
        return mixed.h @ self.up


def test_layers_of_unequal_width_have_sizes():
    model = Narrowing()
    cells = cell_sets()
    point = cells_point(cells.values, None, model.codes)
    activation, gradient = layer_sizes(model, model.codes[0], point, torch.ones(3, 2, len(GENES)).double())
    states = model.mix(model.codes[0], model.encode_cells(point.X)).layers
    wanted = torch.stack([each.square().mean((-2, -1)).sqrt() for each in states], dim=1)
    torch.testing.assert_close(activation, wanted)
    assert gradient.shape == (2, 2)
    assert (gradient > 0).all()
