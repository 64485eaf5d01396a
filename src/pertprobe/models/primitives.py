"""What of a forward pass is not linear: run as it is, or as factors that multiply, recorded at one input and held.

A factor is a number that multiplies what passes linearly: attention weights; silu(gate(x)) as a whole; f(x) / x of an
activation; the scale of a norm (of a LayerNorm only the sd: centring is linear); the mask of a ReLU
(methods.md, Detached Jacobian). Every place of a model where one arises has a name, its site.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leakyrelu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
}
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""Klambauer et al. 2017, as torch has them."""


class Live:
    """Every primitive as it is."""

    def factor(self, site: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the factor of a site."""
        return compute()

    def activation(self, site: str, kind: str, x: Tensor) -> Tensor:
        """Return the activation called `kind` (a key of FUNCTIONS) of x."""
        return FUNCTIONS[kind](x)

    def layer_norm(self, site: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Return x [..., H] centred, scaled, weighted and shifted."""
        return F.layer_norm(x, weight.shape, weight, bias, eps)


LIVE = Live()


class Factored(Live):
    """The same values, written as a factor times what passes linearly."""

    def activation(self, site: str, kind: str, x: Tensor) -> Tensor:
        """Return f(x) / x times x."""
        return self.factor(site, lambda: ratio(kind, x)) * x

    def layer_norm(self, site: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Return the centred x times 1 / sd, weighted and shifted."""
        centred = x - x.mean(-1, keepdim=True)
        scale = self.factor(site, lambda: torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps))
        return weight * (centred * scale) + bias


class Recording(Factored):
    """Keeps every factor of the run, by its site."""

    def __init__(self) -> None:
        """Start with none."""
        self.factors: dict[str, Tensor] = {}

    def factor(self, site: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the factor of a site, and keep it."""
        self.factors[site] = compute()
        return self.factors[site]


class Frozen(Factored):
    """Uses factors of another run: what is left of the model is affine in its inputs."""

    def __init__(self, factors: Mapping[str, Tensor]) -> None:
        """Take the factors by site, as `Recording` keeps them."""
        self.factors = factors

    def factor(self, site: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the factor that was recorded; nothing is computed."""
        return self.factors[site]


def ratio(kind: str, x: Tensor) -> Tensor:
    """Return f(x) / x of an activation (a key of FUNCTIONS), in closed form, at 0 its limit (of SELU: from below)."""
    return _RATIOS[kind](x)


def _exponential(x: Tensor) -> Tensor:
    """Return (exp(x) - 1) / x below 0, 1 at 0."""
    safe = torch.where(x < 0, x, -1.0)
    return torch.where(x < 0, torch.expm1(safe) / safe, 1.0)


_RATIOS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: (x > 0).to(x),
    "leakyrelu": lambda x: torch.where(x > 0, torch.ones_like(x), 0.01),
    "elu": lambda x: torch.where(x > 0, 1.0, _exponential(x)),
    "selu": lambda x: SELU_SCALE * torch.where(x > 0, 1.0, SELU_ALPHA * _exponential(x)),
    "gelu": lambda x: (1 + torch.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
}
