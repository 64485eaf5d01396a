"""Fresh weights, drawn as State, torch and transformers draw them before training."""

import math

import torch
from torch import Tensor

from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.shapes import Shapes, weight_shapes
from pertprobe.seeding import seed_of

BACKBONE_SD = 0.02
"""`initializer_range` of LlamaConfig and GPT2Config."""


def initial_parameters(architecture: StateArchitecture, seed: int) -> dict[str, Tensor]:
    """Return float32 weights for every name in `weight_shapes`.

    Each is drawn from its own generator, seeded by `seed` and its name, so that two architectures draw the same
    weights wherever their names and shapes agree.
    """
    shapes = weight_shapes(architecture)
    seeds = {name: seed_of(seed, "initial_parameters", name) for name in shapes}
    return {name: _draw(architecture, name, shapes, torch.Generator().manual_seed(seeds[name])) for name in shapes}


def _draw(a: StateArchitecture, name: str, shapes: Shapes, generator: torch.Generator) -> Tensor:
    shape, kind = shapes[name], name.rsplit(".", 1)[-1]
    weight_shape = shapes.get(name.removesuffix("bias") + "weight", shape)
    if kind == "weight" and len(shape) == 1:  # norms
        return torch.ones(shape)
    if name.startswith("transformer_backbone."):
        # GPT2 shrinks what is added to the residual stream by its number of additions, two a block.
        sd = BACKBONE_SD / (math.sqrt(2 * a.n_layers) if name.endswith("c_proj.weight") else 1.0)
        return torch.zeros(shape) if kind == "bias" else torch.randn(shape, generator=generator) * sd
    if name in ("batch_encoder.weight", "batch_token", "confidence_token.confidence_token"):
        return torch.randn(shape, generator=generator)
    if len(weight_shape) == 1:
        return torch.zeros(shape)
    # nn.Linear draws weight and bias alike from [-1, 1) over the root of its fan-in.
    return (torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(weight_shape[1])
