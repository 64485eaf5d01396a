"""The model between its outermost Linears, at one point: what every derivative runs through."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian.points import TOLERANCE, Point, respond
from pertprobe.models.base import Encoded, Model, Narrow


class Between(NamedTuple):
    """A model that narrows, or any other taken as it is, at one point."""

    narrow: Narrow
    point: Point
    projected: Tensor
    """What the model reads of each cell [n_sets, cells, K]; of models that do not narrow, the cells themselves."""
    outputs: int
    """Number of outputs of a cell."""


def between(model: Model, point: Point) -> Between:
    """Return the model at a point, its outermost Linears apart where it narrows.

    Raises PertprobeError where the model's `narrow` is not the model.
    """
    narrows = hasattr(model, "narrow")
    narrow = model.narrow() if narrows else _whole(model)
    with torch.no_grad():
        control = model.encode_perturbations([model.control])
        whole = respond(model, control[0], point)
    found = Between(narrow, point, narrow.project(point.X).contiguous(), whole.shape[-1])
    if narrows:
        _check(found, control, whole)
    return found


def _whole(model: Model) -> Narrow:
    """Return a model that does not narrow as if it did: between the cells themselves and the outputs themselves."""
    return Narrow(
        None,
        None,
        False,
        lambda X: X,
        model.encode_cells,
        lambda pert, encoded, X: model.decode(model.mix(pert, encoded), encoded, X),
        lambda outputs, rows: outputs if rows is None else outputs[..., list(rows)],
    )


def _check(found: Between, control: Tensor, whole: Tensor) -> None:
    """Compare the composition of the parts with the model's own output [n_sets, cells, G_out]."""
    with torch.no_grad():
        parts = found.narrow.expand(hidden(found, control), None)[0]
    error = ((whole - parts).abs().max() / whole.abs().max().clamp_min(1e-12)).item()
    if not error <= TOLERANCE:
        raise PertprobeError(
            f"model: `narrow` gives another output than the model itself (relative error {error:.2g}). Its outputs "
            "must be one Linear of the hidden state and at most a ReLU; a model that ends otherwise has no `narrow`"
        )


def encode(at: Between, projected: Tensor, perturbations: int) -> Encoded:
    """Return the encoded cells for so many perturbations, each tensor [P, n_sets, cells, ...].

    `projected` is [n_sets, cells, K], encoded once for all perturbations, or [P, n_sets, cells, K].
    """
    batch, multiplicity = (
        None if each is None else each.expand(projected.shape[:-1]) for each in (at.point.batch, at.point.multiplicity)
    )
    encoded = at.narrow.encode(projected, batch, multiplicity)
    if projected.ndim == 4:
        return encoded
    return Encoded(*(None if each is None else each.expand(perturbations, *each.shape) for each in encoded))


def hidden(at: Between, codes: Tensor, projected: Tensor | None = None) -> Tensor:
    """Return what the last Linear reads [P, n_sets, cells, D] under codes [P, H]; `projected` replaces the point's."""
    projected = at.projected if projected is None else projected
    return read(at, codes, encode(at, projected, len(codes)), projected)


def read(at: Between, codes: Tensor, encoded: Encoded, projected: Tensor) -> Tensor:
    """Return the same from cells that are encoded already (`encode`)."""
    each_set = codes[:, None].expand(-1, len(at.point.X), -1)
    return at.narrow.hidden(each_set, encoded, projected.expand(len(codes), *projected.shape[-3:]))


def directions(at: Between, regulators: Sequence[int] | None = None) -> Tensor:
    """Return how each gene moves what is read of a cell [genes, K], of some genes or of all."""
    weight = at.narrow.input_weight
    if weight is None:
        weight = torch.eye(at.projected.shape[-1]).to(at.projected)
    return weight.T if regulators is None else weight.T[list(regulators)]
