"""Checks of what a model predicts: shapes, numbers, repetition, order of cells, batches, perturbations."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.models.state.card import EQUIVARIANCE_TOLERANCE
from pertprobe.testing.given import Given, error, shape_of


def shapes(given: Given) -> Iterator[str]:
    """Yield where responses are no tensors of the shape that was promised."""
    wanted = (*given.cells.values.shape[:2],)
    for name, columns in (("predict", _columns(given)), ("predict_genes", len(given.model.output_genes) or None)):
        if columns is None:
            continue
        call = getattr(given.model, name)
        for values, labels, sets in ((given.cells.values, given.labels, wanted), (*_one_set(given), wanted[1:])):
            found = call(values, given.names[-1], labels)
            if not isinstance(found, Tensor) or tuple(found.shape) != (*sets, columns):
                asked = f"{name} of cells {tuple(values.shape)}"
                yield f"{asked} gives {shape_of(found)}. Return a torch tensor {(*sets, columns)}"


def _columns(given: Given) -> int:
    """Return how many columns `predict` gives: output genes, where outputs are no embedding."""
    model = given.model
    if given.can("gene_space"):
        return len(model.output_genes)
    return len(getattr(model, "output_features", ())) or given.predict(given.names[0]).shape[-1]


def _one_set(given: Given) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the first set alone, without an axis for sets, and its batch labels."""
    return given.cells.values[0], None if given.labels is None else given.labels[0]


def finite(given: Given) -> Iterator[str]:
    """Yield perturbations whose response holds nan or infinity."""
    for name in given.names:
        if bad := int((~torch.isfinite(given.predict(name))).sum()):
            yield f"the response to '{name}' has {bad} numbers that are nan or infinite. Check weights and logarithms"


def repeatable(given: Given) -> Iterator[str]:
    """Yield where the same question gives another answer, or the question itself is changed."""
    before, name = given.cells.values.copy(), given.names[-1]
    cells, first = given.model.tensor(given.cells.values), given.predict(name)
    kept = cells.clone()
    for other in given.names:
        given.predict(other)
    again = given.predict(name)
    if not (torch.equal(first, again) or (first.is_cuda and error(again, first) <= given.alike)):
        yield (
            f"the same question twice gives answers that differ by {error(again, first):.2g} of their size. Put the "
            "network into eval mode (no dropout), draw nothing, keep no state between calls"
        )
    given.model.predict(cells, name, given.labels)
    if not torch.equal(kept, cells) or not np.array_equal(before, given.cells.values):
        yield "predict changes the cells that it is given. Do not write into its input (+=, relu_, ...)"


def sets_apart(given: Given) -> Iterator[str]:
    """Yield where the answer to one set depends on the other sets it is asked with."""
    whole = given.predict(given.names[-1])
    for i in range(given.cells.n_sets):
        labels = None if given.labels is None else given.labels[i]
        alone = given.model.predict(given.cells.values[i], given.names[-1], labels)
        if not (off := error(alone, whole[i])) <= given.alike:
            yield (
                f"a set asked alone and the same set asked beside others differ by {off:.2g} of the answer. Let "
                "nothing reach over the first axis (batch norm in training mode, a mean over all cells, a reshape)"
            )
            return


def order_of_cells(given: Given) -> Iterator[str]:
    """Yield where cells in another order give other answers, though the order was said not to matter."""
    off = reordered(given)
    if off > EQUIVARIANCE_TOLERANCE:
        yield (
            f"cells in another order change the answer by {off:.2g} of its size. Take 'set_function' out of the "
            "capabilities, or let the model attend to all cells alike (no causal mask, no positions)"
        )


def reordered(given: Given) -> float:
    """Return how much the order of cells changes the response, relative to its size."""
    order = np.random.default_rng(1).permutation(given.cells.set_size)
    labels = None if given.labels is None else given.labels[:, order]
    moved = given.model.predict(given.cells.values[:, order], given.names[-1], labels)
    return error(moved, given.predict(given.names[-1])[:, torch.as_tensor(order)])


def batches(given: Given) -> Iterator[str]:
    """Yield where batch labels are not taken as promised."""
    model = given.model
    if model.batch_indices(None) is not None:
        yield "batch_indices(None) must be None"
    if not len(model.batches):
        return
    known = np.array(model.batches)[None]
    found = model.batch_indices(known)
    if not isinstance(found, Tensor) or found.flatten().tolist() != list(range(len(model.batches))):
        yield "batch_indices(labels) must give the place of each label in `batches`, as a tensor of the labels' shape"
    try:
        model.batch_indices(np.array([["no such batch"]]))
    except PertprobeError:
        return
    except Exception as fault:
        yield f"an unknown batch label ends in {type(fault).__name__}. Raise pertprobe.errors.PertprobeError"
    else:
        yield "an unknown batch label is taken. Raise pertprobe.errors.PertprobeError"


def perturbations(given: Given) -> Iterator[str]:
    """Yield where the response is the same whatever the perturbation."""
    responses = given.responses()
    if not (responses != responses[0]).any():
        yield f"{', '.join(given.names)} all give the same response. Is the name used?"
