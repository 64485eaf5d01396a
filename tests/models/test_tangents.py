"""The written-out derivative of a llama block, held to torch's own of the same block."""

import pytest
import torch
from torch.func import vmap

from pertprobe.models.forward_mode import in_forward_mode, jvp
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.backbone import _llama_value, run_backbone
from pertprobe.models.state.initialise import initial_parameters

SIZES = {
    "input_dim": 12, "output_dim": 12, "pert_dim": 10, "hidden_dim": 16, "cell_set_len": 5, "n_layers": 2, "n_heads": 2,
    "n_kv_heads": 2, "head_dim": 8, "intermediate_dim": 20,
}  # fmt: skip
ATTENTIONS = ("bidirectional", "self", "causal", "causal_rope")
NAME = "transformer_backbone.layers.0"


def given(attention="bidirectional", biased=False, **changes):
    """A small random backbone, and states [2 points, 5 tokens, H] with directions [7, 2, 5, H]."""
    a = StateArchitecture(**{**SIZES, "attention": attention, **changes})
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    p = {name: 0.3 * drawn(*each.shape) + each.double() for name, each in initial_parameters(a, 0).items()}
    if biased:
        p |= {name.replace(".weight", ".bias"): drawn(each.shape[0]) for name, each in p.items()
              if "proj" in name and "layers" in name}  # fmt: skip
    return a, p, drawn(2, 5, a.hidden_dim), drawn(7, 2, 5, a.hidden_dim)


def derivatives(function, x, along, forward):
    return vmap(lambda direction: forward(function, (x,), (direction,))[1])(along)


@pytest.mark.parametrize("counted", [False, True], ids=["alone", "counted"])
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_it_is_torchs_derivative_of_the_block(attention, biased, counted):
    a, p, x, along = given(attention, biased)
    multiplicity = torch.tensor([1.0, 3.0, 2.0, 1.0, 5.0], dtype=torch.float64).expand(2, 5) if counted else None
    bias = None if multiplicity is None else multiplicity.log()
    a = StateArchitecture(**{**a.__dict__, "n_layers": 1})
    found = derivatives(lambda x: run_backbone(a, p, x, multiplicity)[-1], x, along, jvp)
    slow = derivatives(lambda x: _llama_value(a, p, NAME, x, bias), x, along, torch.func.jvp)
    torch.testing.assert_close(found, slow, rtol=1e-11, atol=1e-12)


def test_several_blocks_and_grouped_heads_are_central_differences():
    a, p, x, along = given(n_layers=2, n_heads=4, n_kv_heads=2)

    def function(x):
        return run_backbone(a, p, x)[-1]

    found, step = derivatives(function, x, along, jvp), 1e-5
    slow = torch.stack([(function(x + step * each) - function(x - step * each)) / (2 * step) for each in along])
    torch.testing.assert_close(found, slow, rtol=1e-6, atol=2e-7)


def test_points_that_differ_from_direction_to_direction_are_their_own():
    a, p, x, along = given()
    moved = torch.stack([x + 0.1 * n for n in range(7)])
    together = vmap(lambda at, direction: jvp(lambda x: run_backbone(a, p, x)[-1], (at,), (direction,))[1])(
        moved, along
    )
    alone = [jvp(lambda x: run_backbone(a, p, x)[-1], (at,), (each,))[1] for at, each in zip(moved, along, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-12, atol=1e-13)


def test_values_in_forward_mode_are_the_blocks_own_bit_for_bit():
    a, p, x, along = given()
    assert torch.equal(jvp(lambda x: run_backbone(a, p, x)[-1], (x,), (along[0],))[0], run_backbone(a, p, x)[-1])


def test_a_derivative_by_the_multiplicity_is_refused_rather_than_wrong():
    a, p, x, _ = given()
    counts = torch.full((2, 5), 2.0, dtype=torch.float64)
    with pytest.raises(NotImplementedError, match="holds fixed"):
        jvp(lambda counts: run_backbone(a, p, x, counts)[-1], (counts,), (counts,))


def test_reverse_mode_is_as_it_was():
    a, p, x, along = given()
    forward = jvp(lambda x: run_backbone(a, p, x)[-1], (x,), (along[0],))[1]
    _, back = torch.func.vjp(lambda x: run_backbone(a, p, x)[-1], x)
    torch.testing.assert_close((forward * along[1]).sum(), (back(along[1])[0] * along[0]).sum(), rtol=1e-11, atol=0)


def test_forward_mode_is_known_inside_alone_after_an_error_too():
    seen = []

    def failing(x):
        seen.append(in_forward_mode())
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        jvp(failing, (torch.ones(1),), (torch.ones(1),))
    assert seen == [True]
    assert not in_forward_mode()
