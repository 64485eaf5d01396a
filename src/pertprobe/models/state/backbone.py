"""State's transformer backbones as pure functions of a parameter dict.

Written out rather than taken from transformers: its versions disagree on the attention pattern, its norms and softmax
fall back to float32, and torch's fused attention has neither forward-mode derivatives nor, on CPU with State's mask,
right float64 values. Everything here runs in the dtype of its input.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pertprobe.models.base import Edit
from pertprobe.models.forward_mode import in_forward_mode
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.layers import (
    ORDINARY,
    OrdinaryNonlinearities,
    Parameters,
    attend,
    attention_weights,
    conv1d,
    heads,
    layer_norm,
    linear,
    queries_and_keys,
    rms_norm,
)
from pertprobe.models.state.tangents import llama_tangent, with_tangent


def run_backbone(
    architecture: StateArchitecture,
    parameters: Parameters,
    x: Tensor,
    multiplicity: Tensor | None = None,
    edit: Edit | None = None,
    start: int = 0,
    nonlinearities: OrdinaryNonlinearities = ORDINARY,
) -> tuple[Tensor, ...]:
    """Return the input [..., T, H] and the output of every block, before the final norm, each after its `edit`.

    `multiplicity` [..., T]: how many identical tokens each stands for. `x` are the states of layer `start`, the first
    that is returned: 0 = the input of the backbone. `nonlinearities`: how what is not linear is run.
    """
    edit = edit or (lambda _, states: states)
    block = _llama_block if architecture.backbone == "llama" else _gpt2_block
    bias = None if multiplicity is None else torch.log(multiplicity)
    layers = [edit(start, x)]
    for layer in range(start, architecture.n_layers):
        layers.append(edit(layer + 1, block(architecture, parameters, layer, layers[-1], bias, nonlinearities)))
    return tuple(layers)


def final_norm(
    architecture: StateArchitecture,
    parameters: Parameters,
    x: Tensor,
    nonlinearities: OrdinaryNonlinearities = ORDINARY,
) -> Tensor:
    """Return the normed states [..., T, H] that leave the backbone."""
    if architecture.backbone == "llama":
        return rms_norm(parameters, "transformer_backbone.norm", x, architecture.norm_eps, nonlinearities)
    return layer_norm(parameters, "transformer_backbone.ln_f", x, architecture.norm_eps, nonlinearities)


def _llama_block(
    a: StateArchitecture, p: Parameters, layer: int, x: Tensor, key_bias: Tensor | None, run: OrdinaryNonlinearities
) -> Tensor:
    name = f"transformer_backbone.layers.{layer}"
    if run is not ORDINARY or not in_forward_mode():
        return _llama_value(a, p, name, x, key_bias, run)
    return with_tangent(partial(_llama_value, a, p, name), partial(llama_tangent, a, p, name), x, key_bias)


def _llama_value(
    a: StateArchitecture,
    p: Parameters,
    name: str,
    x: Tensor,
    key_bias: Tensor | None,
    run: OrdinaryNonlinearities = ORDINARY,
) -> Tensor:
    normed = rms_norm(p, f"{name}.input_layernorm", x, a.norm_eps, run)
    weights = run.factor(
        f"{name}.self_attn", lambda: attention_weights(*queries_and_keys(a, p, name, normed), a.attention, key_bias)
    )
    v = heads(linear(p, f"{name}.self_attn.v_proj", normed), a.n_kv_heads)
    x = x + linear(p, f"{name}.self_attn.o_proj", attend(weights, v))
    inner = rms_norm(p, f"{name}.post_attention_layernorm", x, a.norm_eps, run)
    gate = run.factor(f"{name}.mlp", lambda: F.silu(linear(p, f"{name}.mlp.gate_proj", inner)))
    return x + linear(p, f"{name}.mlp.down_proj", gate * linear(p, f"{name}.mlp.up_proj", inner))


def _gpt2_block(
    a: StateArchitecture, p: Parameters, layer: int, x: Tensor, key_bias: Tensor | None, run: OrdinaryNonlinearities
) -> Tensor:
    name = f"transformer_backbone.h.{layer}"
    packed = conv1d(p, f"{name}.attn.c_attn", layer_norm(p, f"{name}.ln_1", x, a.norm_eps, run))
    q, k, v = (heads(part, a.n_heads) for part in packed.chunk(3, dim=-1))
    weights = run.factor(f"{name}.attn", lambda: attention_weights(q, k, a.attention, key_bias))
    x = x + conv1d(p, f"{name}.attn.c_proj", attend(weights, v))
    inner = conv1d(p, f"{name}.mlp.c_fc", layer_norm(p, f"{name}.ln_2", x, a.norm_eps, run))
    return x + conv1d(p, f"{name}.mlp.c_proj", run.activation(f"{name}.mlp", "gelu_tanh", inner))
