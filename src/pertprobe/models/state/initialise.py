"""Fresh weights, drawn as State, torch and transformers draw them before training."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.shapes import weight_shapes
from pertprobe.seeding import seed_of

BACKBONE_SD = 0.02
"""`initializer_range` of LlamaConfig and GPT2Config."""


def initial_parameters(architecture: StateArchitecture, seed: int) -> dict[str, Tensor]:
    """Return float32 weights for every name in `weight_shapes`.

    Each is drawn from its own generator, seeded by `seed` and its name, so that two architectures draw the same
    weights wherever their names and shapes agree.
    """
    shapes = weight_shapes(architecture)
    return {name: _draw(architecture, name, shapes, _normal(seed, name), _uniform(seed, name)) for name in shapes}


def _draw(a: StateArchitecture, name: str, shapes: dict, normal: Callable, uniform: Callable) -> Tensor:
    shape, kind = shapes[name], name.rsplit(".", 1)[-1]
    weight_shape = shapes.get(name.removesuffix("bias") + "weight", shape)
    if kind == "weight" and len(shape) == 1:  # norms
        return torch.ones(shape)
    if name.startswith("transformer_backbone."):
        # GPT2 shrinks what is added to the residual stream by its number of additions, two a block.
        shrink = math.sqrt(2 * a.n_layers) if name.endswith("c_proj.weight") else 1.0
        return torch.zeros(shape) if kind == "bias" else normal(shape) * (BACKBONE_SD / shrink)
    if name in ("batch_encoder.weight", "batch_token", "confidence_token.confidence_token"):
        return normal(shape)
    if len(weight_shape) == 1:
        return torch.zeros(shape)
    return uniform(shape) / math.sqrt(weight_shape[1])


def _generator(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of(seed, "initial_parameters", name))


def _normal(seed: int, name: str) -> Callable[[tuple[int, ...]], Tensor]:
    return lambda shape: torch.randn(shape, generator=_generator(seed, name))


def _uniform(seed: int, name: str) -> Callable[[tuple[int, ...]], Tensor]:
    """Return a draw from [-1, 1), which nn.Linear divides by the root of its fan-in, for weight and bias alike."""
    return lambda shape: torch.rand(shape, generator=_generator(seed, name)) * 2 - 1
