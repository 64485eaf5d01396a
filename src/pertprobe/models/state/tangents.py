"""How the output of a llama block moves with its input, in as few operations as it takes.

Forward mode as torch has it adds a zero to what every weight makes, since the weight is not moved, and takes longer for
it. Here the derivative is written out once for a whole block; the tests hold it to torch's.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.layers import (
    Parameters,
    attend,
    attention_weights,
    heads,
    linear,
    linear_part,
    queries_and_keys,
    rms_norm,
)

Value = Callable[[Tensor, Tensor | None], Tensor]
"""Input of a block [..., T, H] and what is held -> its output."""
Tangent = Callable[[Tensor, Tensor | None, Tensor], Tensor]
"""The input, what is held, and how the input moves -> how the output moves."""


class _Known(torch.autograd.Function):
    """A function of one tensor, and of one that is held, whose derivative in forward mode is given."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, held: Tensor | None, value: Value, tangent: Tangent) -> Tensor:
        """Return the value."""
        return value(x, held)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the derivative needs."""
        x, held, _, ctx.tangent = inputs
        ctx.save_for_forward(x, held)
        ctx.set_materialize_grads(False)

    @staticmethod
    def jvp(ctx: Any, moved: Tensor | None, moved_held: Tensor | None, *_: None) -> Tensor:
        """Return how the value moves."""
        if moved_held is not None:
            raise NotImplementedError("no derivative by what a block holds fixed")
        x, held = ctx.saved_tensors
        return ctx.tangent(x, held, moved)


def with_tangent(value: Value, tangent: Tangent, x: Tensor, held: Tensor | None) -> Tensor:
    """Return value(x, held), whose derivative by x in forward mode is `tangent`; it has none in reverse mode.

    Neither function may hold a tensor that was computed on the way: only their arguments pass a transform's border.
    """
    return _Known.apply(x, held, value, tangent)


def norm_tangent(x: Tensor, weight: Tensor, eps: float, moved: Tensor) -> Tensor:
    """Return how weight * x / sqrt(mean x^2 + eps) moves."""
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    along = (x * scale.square() * moved).mean(-1, keepdim=True)
    return (weight * scale) * (moved - x * along)


def attention_tangent(q: Tensor, k: Tensor, weights: Tensor, moved_q: Tensor, moved_k: Tensor) -> Tensor:
    """Return how softmax(q k' / sqrt(D)) = `weights` moves, shapes as in `layers.attention_weights`."""
    groups = k.shape[-3]
    q, moved_q = (each.unflatten(-3, (groups, -1)) for each in (q, moved_q))
    k, moved_k = (each.unsqueeze(-3).mT for each in (k, moved_k))
    logits = (moved_q @ k + q @ moved_k) / math.sqrt(q.shape[-1])
    scaled = weights * logits
    return scaled - weights * scaled.sum(-1, keepdim=True)


def gated_tangent(gate: Tensor, up: Tensor, moved_gate: Tensor, moved_up: Tensor) -> Tensor:
    """Return how silu(gate) * up moves."""
    sigmoid = torch.sigmoid(gate)
    slope = sigmoid * (1 + gate * (1 - sigmoid)) * up
    return torch.addcmul(moved_gate * slope, moved_up, F.silu(gate))


def llama_tangent(
    a: StateArchitecture, p: Parameters, name: str, x: Tensor, key_bias: Tensor | None, moved: Tensor
) -> Tensor:
    """Return how the output of the llama block called `name` moves with its input [..., T, H]."""
    after, moved_after = _after_attention(a, p, name, x, key_bias, moved)
    norm, mlp = f"{name}.post_attention_layernorm", f"{name}.mlp"
    inner = rms_norm(p, norm, after, a.norm_eps)
    moved_inner = norm_tangent(after, p[f"{norm}.weight"], a.norm_eps, moved_after)
    gate, up = (linear(p, f"{mlp}.{part}", inner) for part in ("gate_proj", "up_proj"))
    moved_gate, moved_up = (linear_part(p, f"{mlp}.{part}", moved_inner) for part in ("gate_proj", "up_proj"))
    return moved_after + linear_part(p, f"{mlp}.down_proj", gated_tangent(gate, up, moved_gate, moved_up))


def _after_attention(
    a: StateArchitecture, p: Parameters, name: str, x: Tensor, key_bias: Tensor | None, moved: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the states after the attention of a block, and how they move."""
    norm, attention = f"{name}.input_layernorm", f"{name}.self_attn"
    normed, moved_normed = rms_norm(p, norm, x, a.norm_eps), norm_tangent(x, p[f"{norm}.weight"], a.norm_eps, moved)
    q, k = queries_and_keys(a, p, name, normed)
    moved_q, moved_k = queries_and_keys(a, p, name, moved_normed, linear_part)
    weights = attention_weights(q, k, a.attention, key_bias)
    moved_weights = attention_tangent(q, k, weights, moved_q, moved_k)
    v = heads(linear(p, f"{attention}.v_proj", normed), a.n_kv_heads)
    moved_v = heads(linear_part(p, f"{attention}.v_proj", moved_normed), a.n_kv_heads)
    mixed, moved_mixed = attend(weights, v), attend(moved_weights, v) + attend(weights, moved_v)
    output = f"{attention}.o_proj"
    return x + linear(p, output, mixed), moved + linear_part(p, output, moved_mixed)
