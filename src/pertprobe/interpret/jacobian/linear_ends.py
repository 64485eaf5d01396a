"""The model between its outermost Linears, at one point: what every derivative runs through."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian.points import TOLERANCE, Point, respond
from pertprobe.models.base import Encoded, LinearEnds, Model


class FactorisedModel(NamedTuple):
    """A model taken apart at its linear ends, or any other taken as it is, at one point."""

    ends: LinearEnds
    point: Point
    projected: Tensor
    """What the model reads of each cell [n_sets, cells, K]; of models without linear ends, the cells themselves."""
    outputs: int
    """Number of outputs of a cell."""


def factorised(model: Model, point: Point) -> FactorisedModel:
    """Return the model at a point, its outermost Linears apart where it says them.

    Raises PertprobeError where the model's `linear_ends` is not the model.
    """
    has_ends = "linear_ends" in model.capabilities
    ends = model.linear_ends() if has_ends else _whole(model)
    with torch.no_grad():
        control = model.encode_perturbations([model.control])
        whole = respond(model, control[0], point)
    found = FactorisedModel(ends, point, ends.encode_linear(point.X).contiguous(), whole.shape[-1])
    if has_ends:
        _check(found, control, whole)
    return found


def _whole(model: Model) -> LinearEnds:
    """Return a model without linear ends as if it had some: between the cells themselves and the outputs themselves."""
    return LinearEnds(
        None,
        None,
        False,
        lambda X: X,
        model.encode_cells,
        lambda pert, encoded, X: model.decode(model.mix(pert, encoded), encoded, X),
        lambda outputs, rows: outputs if rows is None else outputs[..., list(rows)],
    )


def _check(found: FactorisedModel, control: Tensor, whole: Tensor) -> None:
    """Compare the composition of the parts with the model's own output [n_sets, cells, G_out]."""
    with torch.no_grad():
        parts = found.ends.decode_linear(hidden(found, control), None)[0]
    error = ((whole - parts).abs().max() / whole.abs().max().clamp_min(1e-12)).item()
    if not error <= TOLERANCE:
        raise PertprobeError(
            "model: `linear_ends` gives another output than the model itself (relative error "
            f"{error:.2g}). Its outputs must be one Linear of the hidden state and at most a ReLU; a model that ends "
            "otherwise has no `linear_ends`"
        )


def encode(at: FactorisedModel, projected: Tensor, perturbations: int) -> Encoded:
    """Return the encoded cells for so many perturbations, each tensor [P, n_sets, cells, ...].

    `projected` is [n_sets, cells, K], encoded once for all perturbations, or [P, n_sets, cells, K].
    """
    given = (at.point.batch, at.point.multiplicity)
    batch, multiplicity = (None if each is None else each.expand(projected.shape[:-1]) for each in given)
    encoded = at.ends.encode(projected, batch, multiplicity)
    if projected.ndim == 4:
        return encoded
    return Encoded(*(None if each is None else each.expand(perturbations, *each.shape) for each in encoded))


def hidden(at: FactorisedModel, codes: Tensor, projected: Tensor | None = None) -> Tensor:
    """Return what the last Linear reads [P, n_sets, cells, D] under codes [P, H]; `projected` replaces the point's."""
    projected = at.projected if projected is None else projected
    return read(at, codes, encode(at, projected, len(codes)), projected)


def read(at: FactorisedModel, codes: Tensor, encoded: Encoded, projected: Tensor) -> Tensor:
    """Return the same from cells that are encoded already (`encode`)."""
    each_set = codes[:, None].expand(-1, len(at.point.X), -1)
    return at.ends.hidden(each_set, encoded, projected.expand(len(codes), *projected.shape[-3:]))


def directions(at: FactorisedModel, regulators: Sequence[int] | None = None) -> Tensor:
    """Return how each gene moves what is read of a cell [genes, K], of some genes or of all."""
    weight = at.ends.input_weight
    if weight is None:
        weight = torch.eye(at.projected.shape[-1]).to(at.projected)
    return weight.T if regulators is None else weight.T[list(regulators)]
