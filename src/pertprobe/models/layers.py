"""The layers that State's backbones are made of, as pure functions of a parameter dict.

Everything here runs in the dtype of its input.
"""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from pertprobe.models.architecture import Attention, StateArchitecture
from pertprobe.models.primitives import LIVE, Live

Parameters = Mapping[str, Tensor]
Apply = Callable[[Parameters, str, Tensor], Tensor]


def linear(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    """Apply the nn.Linear called `name`, with its bias if it has one."""
    return F.linear(x, parameters[f"{name}.weight"], parameters.get(f"{name}.bias"))


def linear_part(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    """Apply the nn.Linear called `name` without its bias: what it does to a change of its input."""
    return F.linear(x, parameters[f"{name}.weight"])


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


def heads(x: Tensor, n: int) -> Tensor:
    """Return [..., T, n * D] as [..., n, T, D]."""
    return x.unflatten(-1, (n, -1)).transpose(-2, -3)


def rms_norm(p: Parameters, name: str, x: Tensor, eps: float, run: Live = LIVE) -> Tensor:
    """Apply the RMSNorm called `name`."""
    scale = run.factor(name, lambda: torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps))
    return p[f"{name}.weight"] * (x * scale)


def rotate(x: Tensor, theta: float) -> Tensor:
    """Apply rotary positions 0..T-1; angles are float32 in every dtype, as State computed them."""
    T, D = x.shape[-2:]
    exponents = torch.arange(0, D, 2, dtype=torch.int64, device=x.device).float() / D
    angles = torch.outer(torch.arange(T, device=x.device).float(), 1.0 / theta**exponents)
    cos, sin = (torch.cat((f, f), dim=-1).to(x.dtype) for f in (angles.cos(), angles.sin()))
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def queries_and_keys(
    a: StateArchitecture, p: Parameters, name: str, normed: Tensor, apply: Apply = linear
) -> tuple[Tensor, Tensor]:
    """Return queries [..., heads, T, D] and keys [..., kv_heads, T, D] of a llama block, rotated where it rotates."""
    q = heads(apply(p, f"{name}.self_attn.q_proj", normed), a.n_heads)
    k = heads(apply(p, f"{name}.self_attn.k_proj", normed), a.n_kv_heads)
    if a.attention == "causal_rope":
        return rotate(q, a.rope_theta), rotate(k, a.rope_theta)
    return q, k


def conv1d(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    """Apply the transposed Linear called `name`, as GPT2 has it."""
    return x @ parameters[f"{name}.weight"] + parameters[f"{name}.bias"]
