"""The layers that State's backbones are made of, as pure functions of a parameter dict; and what is not linear.

Everything here runs in the dtype of its input.

A factor is a number that multiplies what passes linearly: attention weights; silu(gate(x)) as a whole; f(x) / x of an
activation; the scale of a norm (of a LayerNorm only the sd: centring is linear); the mask of a ReLU
(methods.md, Detached Jacobian). Every place of a model where one arises is a hook point, and has a name.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.options import Attention

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""Klambauer et al. 2017, as torch has them."""


def _exponential(x: Tensor) -> Tensor:
    """Return (exp(x) - 1) / x below 0, 1 at 0."""
    safe = torch.where(x < 0, x, -1.0)
    return torch.where(x < 0, torch.expm1(safe) / safe, 1.0)


class Activation(NamedTuple):
    """An activation and its factor, both of the same x."""

    value: Callable[[Tensor], Tensor]
    """f(x)."""
    ratio: Callable[[Tensor], Tensor]
    """f(x) / x in closed form, at 0 its limit (of SELU: from below)."""


_gelu_tanh = partial(F.gelu, approximate="tanh")
FUNCTIONS = {
    "relu": Activation(F.relu, lambda x: (x > 0).to(x)),
    "leakyrelu": Activation(F.leaky_relu, lambda x: torch.where(x > 0, torch.ones_like(x), 0.01)),
    "elu": Activation(F.elu, lambda x: torch.where(x > 0, 1.0, _exponential(x))),
    "selu": Activation(F.selu, lambda x: SELU_SCALE * torch.where(x > 0, 1.0, SELU_ALPHA * _exponential(x))),
    "gelu": Activation(F.gelu, lambda x: (1 + torch.erf(x / math.sqrt(2))) / 2),
    "gelu_tanh": Activation(_gelu_tanh, lambda x: (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2),
}


class OrdinaryNonlinearities:
    """What is not linear, as it is."""

    def factor(self, hook_point: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the factor of a hook point."""
        return compute()

    def activation(self, hook_point: str, kind: str, x: Tensor) -> Tensor:
        """Return the activation called `kind` (a key of FUNCTIONS) of x."""
        return FUNCTIONS[kind].value(x)

    def layer_norm(self, hook_point: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Return x [..., H] centred, scaled, weighted and shifted."""
        return F.layer_norm(x, weight.shape, weight, bias, eps)


ORDINARY = OrdinaryNonlinearities()


class FactorisedNonlinearities(OrdinaryNonlinearities):
    """The same values, written as a factor times what passes linearly."""

    def activation(self, hook_point: str, kind: str, x: Tensor) -> Tensor:
        """Return f(x) / x times x."""
        return self.factor(hook_point, lambda: FUNCTIONS[kind].ratio(x)) * x

    def layer_norm(self, hook_point: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Return the centred x times 1 / sd, weighted and shifted."""
        centred = x - x.mean(-1, keepdim=True)
        scale = self.factor(hook_point, lambda: torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps))
        return weight * (centred * scale) + bias


class RecordedNonlinearities(FactorisedNonlinearities):
    """Keeps every factor of the run, by its hook point."""

    def __init__(self) -> None:
        """Start with none."""
        self.factors: dict[str, Tensor] = {}

    def factor(self, hook_point: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the factor of a hook point, and keep it."""
        self.factors[hook_point] = compute()
        return self.factors[hook_point]


class DetachedNonlinearities(FactorisedNonlinearities):
    """Uses factors of another run: what is left of the model is affine in its inputs."""

    def __init__(self, factors: Mapping[str, Tensor]) -> None:
        """Take the factors by hook point, as `RecordedNonlinearities` keeps them."""
        self.factors = factors

    def factor(self, hook_point: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the factor that was recorded; nothing is computed."""
        return self.factors[hook_point]


Parameters = Mapping[str, Tensor]
Apply = Callable[[Parameters, str, Tensor], Tensor]


def linear(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    """Apply the nn.Linear called `name`, with its bias if it has one."""
    return F.linear(x, parameters[f"{name}.weight"], parameters.get(f"{name}.bias"))


def linear_part(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    """Apply the nn.Linear called `name` without its bias: what it does to a change of its input."""
    return F.linear(x, parameters[f"{name}.weight"])


def layer_norm(
    parameters: Parameters, name: str, x: Tensor, eps: float = 1e-5, nonlinearities: OrdinaryNonlinearities = ORDINARY
) -> Tensor:
    """Apply the LayerNorm called `name`."""
    return nonlinearities.layer_norm(name, x, parameters[f"{name}.weight"], parameters[f"{name}.bias"], eps)


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


def rms_norm(p: Parameters, name: str, x: Tensor, eps: float, run: OrdinaryNonlinearities = ORDINARY) -> Tensor:
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
