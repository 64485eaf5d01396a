"""State's transformer backbones as pure functions of a parameter dict.

Written out rather than taken from transformers: its versions disagree on the attention pattern, its norms and softmax
fall back to float32, and torch's fused attention has neither forward-mode derivatives nor, on CPU with State's mask,
right float64 values. Everything here runs in the dtype of its input.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from pertprobe.models.architecture import Attention, StateArchitecture
from pertprobe.models.base import Edit
from pertprobe.models.primitives import LIVE, Live

Parameters = Mapping[str, Tensor]


def run_backbone(
    architecture: StateArchitecture,
    parameters: Parameters,
    x: Tensor,
    multiplicity: Tensor | None = None,
    edit: Edit | None = None,
    start: int = 0,
    primitives: Live = LIVE,
) -> tuple[Tensor, ...]:
    """Return the input [..., T, H] and the output of every block, before the final norm, each after its `edit`.

    `multiplicity` [..., T]: how many identical tokens each stands for. `x` are the states of layer `start`, the first
    that is returned: 0 = the input of the backbone. `primitives`: how what is not linear is run.
    """
    edit = edit or (lambda _, states: states)
    block = _llama_block if architecture.backbone == "llama" else _gpt2_block
    bias = None if multiplicity is None else torch.log(multiplicity)
    layers = [edit(start, x)]
    for layer in range(start, architecture.n_layers):
        layers.append(edit(layer + 1, block(architecture, parameters, layer, layers[-1], bias, primitives)))
    return tuple(layers)


def final_norm(architecture: StateArchitecture, parameters: Parameters, x: Tensor, primitives: Live = LIVE) -> Tensor:
    """Return the normed states [..., T, H] that leave the backbone."""
    if architecture.backbone == "llama":
        return _rms_norm(parameters, "transformer_backbone.norm", x, architecture.norm_eps, primitives)
    return layer_norm(parameters, "transformer_backbone.ln_f", x, architecture.norm_eps, primitives)


def linear(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    """Apply the nn.Linear called `name`, with its bias if it has one."""
    return F.linear(x, parameters[f"{name}.weight"], parameters.get(f"{name}.bias"))


def layer_norm(parameters: Parameters, name: str, x: Tensor, eps: float = 1e-5, primitives: Live = LIVE) -> Tensor:
    """Apply the LayerNorm called `name`."""
    return primitives.layer_norm(name, x, parameters[f"{name}.weight"], parameters[f"{name}.bias"], eps)


def attention_weights(q: Tensor, k: Tensor, attention: Attention, key_bias: Tensor | None = None) -> Tensor:
    """Return softmax(q k' / sqrt(D) + key_bias), [..., kv_heads, heads / kv_heads, T, T].

    q is [..., heads, T, D], k is [..., kv_heads, T, D] and shared by consecutive heads. `key_bias` [..., T] is added to
    every logit of its key: with log n, n identical cells are one cell of multiplicity n, exactly.
    """
    grouped = q.unflatten(-3, (k.shape[-3], -1))
    logits = grouped @ k.unsqueeze(-3).mT / math.sqrt(q.shape[-1])
    if key_bias is not None:
        logits = logits + key_bias[..., None, None, None, :]
    if attention != "bidirectional":
        logits = logits.masked_fill(_hidden(attention, q.shape[-2], q.device), -math.inf)
    return torch.softmax(logits, dim=-1)


def attend(weights: Tensor, v: Tensor) -> Tensor:
    """Return the values [..., kv_heads, T, D] weighted by `attention_weights`, [..., T, heads * D]."""
    mixed = (weights @ v.unsqueeze(-3)).flatten(-4, -3)
    return mixed.transpose(-2, -3).flatten(-2)


def _hidden(attention: Attention, T: int, device: torch.device) -> Tensor:
    everyone = torch.ones(T, T, dtype=torch.bool, device=device)
    return ~torch.eye(T, dtype=torch.bool, device=device) if attention == "self" else everyone.triu(1)


def _heads(x: Tensor, n: int) -> Tensor:
    return x.unflatten(-1, (n, -1)).transpose(-2, -3)


def _rms_norm(p: Parameters, name: str, x: Tensor, eps: float, run: Live) -> Tensor:
    scale = run.factor(name, lambda: torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps))
    return p[f"{name}.weight"] * (x * scale)


def _rotate(x: Tensor, theta: float) -> Tensor:
    """Apply rotary positions 0..T-1; angles are float32 in every dtype, as State computed them."""
    T, D = x.shape[-2:]
    exponents = torch.arange(0, D, 2, dtype=torch.int64, device=x.device).float() / D
    angles = torch.outer(torch.arange(T, device=x.device).float(), 1.0 / theta**exponents)
    cos, sin = (torch.cat((f, f), dim=-1).to(x.dtype) for f in (angles.cos(), angles.sin()))
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _llama_block(
    a: StateArchitecture, p: Parameters, layer: int, x: Tensor, key_bias: Tensor | None, run: Live
) -> Tensor:
    name = f"transformer_backbone.layers.{layer}"
    normed = _rms_norm(p, f"{name}.input_layernorm", x, a.norm_eps, run)
    weights = run.factor(f"{name}.self_attn", lambda: _llama_attention(a, p, name, normed, key_bias))
    v = _heads(linear(p, f"{name}.self_attn.v_proj", normed), a.n_kv_heads)
    x = x + linear(p, f"{name}.self_attn.o_proj", attend(weights, v))
    inner = _rms_norm(p, f"{name}.post_attention_layernorm", x, a.norm_eps, run)
    gate = run.factor(f"{name}.mlp", lambda: F.silu(linear(p, f"{name}.mlp.gate_proj", inner)))
    return x + linear(p, f"{name}.mlp.down_proj", gate * linear(p, f"{name}.mlp.up_proj", inner))


def _llama_attention(a: StateArchitecture, p: Parameters, name: str, normed: Tensor, key_bias: Tensor | None) -> Tensor:
    q = _heads(linear(p, f"{name}.self_attn.q_proj", normed), a.n_heads)
    k = _heads(linear(p, f"{name}.self_attn.k_proj", normed), a.n_kv_heads)
    if a.attention == "causal_rope":
        q, k = _rotate(q, a.rope_theta), _rotate(k, a.rope_theta)
    return attention_weights(q, k, a.attention, key_bias)


def _gpt2_block(
    a: StateArchitecture, p: Parameters, layer: int, x: Tensor, key_bias: Tensor | None, run: Live
) -> Tensor:
    name = f"transformer_backbone.h.{layer}"
    packed = _conv1d(p, f"{name}.attn.c_attn", layer_norm(p, f"{name}.ln_1", x, a.norm_eps, run))
    q, k, v = (_heads(part, a.n_heads) for part in packed.chunk(3, dim=-1))
    weights = run.factor(f"{name}.attn", lambda: attention_weights(q, k, a.attention, key_bias))
    x = x + _conv1d(p, f"{name}.attn.c_proj", attend(weights, v))
    inner = _conv1d(p, f"{name}.mlp.c_fc", layer_norm(p, f"{name}.ln_2", x, a.norm_eps, run))
    return x + _conv1d(p, f"{name}.mlp.c_proj", run.activation(f"{name}.mlp", "gelu_tanh", inner))


def _conv1d(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    return x @ parameters[f"{name}.weight"] + parameters[f"{name}.bias"]
