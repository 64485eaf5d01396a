"""A function of one direction carried out for many at once, also where its answer does not depend on the direction."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap


def by_directions(function: Callable[[Tensor], Tensor], directions: Tensor, axis: int, chunk: int) -> Tensor:
    """Return what a function gives for each of `directions` [R, ...], side by side along a new axis of its answer.

    vmap's own `out_dims` would do, but for a model that ignores its cells or the perturbation: its derivative does not
    depend on the direction, and torch 2.13 ends the process where such an answer is to be put anywhere but in front.

    Args:
        function: one direction -> an array of any shape.
        directions: what it is called with.
        axis: where the directions stand in the result, counted from the end.
        chunk: directions that are carried out at once.
    """
    return torch.cat([vmap(function)(some).movedim(0, axis) for some in directions.split(chunk)], axis)
