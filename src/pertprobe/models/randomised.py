"""Copies of a model without its training: what an untrained network of this shape gives.

Source: methods.md, Untrained copies: the architecture null.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pertprobe.models.base import Model
from pertprobe.roles import CASCADE
from pertprobe.seeding import generator, seed_of

STAGES_FROM_OUTPUT = ("decode", "mix", "encode_cells", "encode_perturbations")
"""The order in which a cascade re-draws."""


def randomised_controls(
    model: Model,
    n: int,
    keep: Sequence[str] = (),
    seed: int = 0,
    *,
    cascade: bool = False,
) -> Iterator[tuple[str, Model]]:
    """Yield (variant, copy), one in memory at a time: those the model can give, see the two functions `*_obstacle`.

    "redrawn_1" to "redrawn_n" have the weights of a model before training, "shuffled_1" to "shuffled_n" the trained
    numbers at other places; the stages in `keep` are the model's own. With `cascade` follow copies re-drawn from the
    output down, each one stage more: "cascade_decode", "cascade_mix", "cascade_encode_cells",
    "cascade_encode_perturbations". They have the weights of "redrawn_1" wherever they are re-drawn, and heed no `keep`.

    No draw depends on the model's name or weights: copies of two models of a pair share theirs
    (methods.md, Untrained copies: the architecture null).
    """
    if redraw_obstacle(model):
        return
    weights_known = not permutation_obstacle(model)
    for number in range(1, n + 1):
        yield f"redrawn_{number}", model.redraw(_seed(seed, number), keep=tuple(keep))
        if weights_known:
            yield f"shuffled_{number}", permuted_weights(model, seed, number, keep)
    if cascade and weights_known:
        for depth, stage in enumerate(STAGES_FROM_OUTPUT, start=1):
            yield f"{CASCADE}_{stage}", model.redraw(_seed(seed, 1), keep=STAGES_FROM_OUTPUT[depth:])


def redraw_obstacle(model: Model) -> str:
    """Return why a model has no architecture null, in words; empty where it has one.

    A model without the capability `redraw` may say why in its card.
    """
    if "redraw" in model.capabilities:
        return ""
    return model.card.get("no_redraw", "model cannot be re-drawn: it has no redraw")


def permutation_obstacle(model: Model) -> str:
    """Return why a model has neither shuffled copies nor a cascade, in words; empty where it has both."""
    return "" if "parameters" in model.capabilities else "model's weights cannot be shuffled: it has no parameters"


def permuted_weights(model: Model, seed: int, number: int, keep: Sequence[str] = ()) -> Model:
    """Return the model with the entries of each weight permuted within it, the stages in `keep` untouched.

    Vectors are permuted as matrices are: a bias left in place would keep what was learned gene by gene, the decoder's
    the mean expression of every output.

    Raises:
        PertprobeError: a stage in `keep` is unknown.
    """
    kept = model.parameters_of(keep)
    weights = {
        name: weight if name in kept else _permuted(weight, seed, number, name)
        for name, weight in model.parameters.items()
    }
    return model.with_parameters(weights, model.card | {"shuffled": {"seed": seed, "copy": number, "keep": list(keep)}})


def _permuted(weight: Tensor, seed: int, number: int, name: str) -> Tensor:
    order = generator(seed, "shuffled", number, name).permutation(weight.numel())
    return weight.detach().flatten()[torch.from_numpy(order).to(weight.device)].reshape(weight.shape)


def _seed(seed: int, number: int) -> int:
    return seed_of(seed, "redrawn", number)
