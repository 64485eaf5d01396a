"""Checks that derivatives are those of the model: against central differences, forwards and backwards."""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from pertprobe.interpret.jacobian.points import respond
from pertprobe.models.base import Model
from pertprobe.models.forward_mode import jvp
from pertprobe.testing.given import Given

STEPS = {torch.float64: (1e-6, 1e-4), torch.float32: (1e-2, 5e-2)}
"""Step of the differences, and the largest error of a derivative relative to its size."""


def gradient(given: Given) -> Iterator[str]:
    """Yield where torch.func fails on the model, or gives other derivatives than differences do."""
    model = in_float64(given.model)
    respond_to, inputs = _function(given, model)
    generator = torch.Generator().manual_seed(0)
    along = tuple(torch.randn(each.shape, generator=generator).to(each) for each in inputs)
    step, allowed = STEPS.get(inputs[0].dtype, STEPS[torch.float32])
    ends = [respond_to(*(x + sign * step * v for x, v in zip(inputs, along, strict=True))) for sign in (1, -1)]
    expected = ((ends[0] - ends[1]) / (2 * step)).double()
    try:
        output, forwards = jvp(respond_to, inputs, along)
        weights = torch.randn(output.shape, generator=generator).to(output)
        _, pull = torch.func.vjp(respond_to, *inputs)
        pulled = pull(weights)
    except Exception as fault:
        yield (
            f"torch.func cannot differentiate it: {type(fault).__name__}: {_first_line(fault)}. Use tensor operations "
            "throughout: no numpy, .item(), .detach(), no_grad or writing in place"
        )
        return
    yield from _compared(forwards.double(), expected, allowed)
    sides = [
        float((forwards * weights).sum()),
        sum(float((p * v).sum()) for p, v in zip(pulled, along, strict=True)),
    ]
    if abs(sides[0] - sides[1]) > allowed * max(map(abs, sides)):
        yield f"forwards and backwards derivatives differ ({sides[0]:.4g}, {sides[1]:.4g}): a rule of its own is wrong"


def _compared(found: Tensor, expected: Tensor, allowed: float) -> Iterator[str]:
    """Yield in words how a derivative differs from the differences."""
    off = float((found - expected).norm() / expected.norm().clamp_min(1e-30))
    if not found.any() and expected.norm() > 0:
        yield "the derivative is 0 where the output moves: something on the way is detached (.detach(), no_grad, data)"
    elif expected.norm() > 0 and not off <= allowed:
        yield f"the derivative differs from central differences by {off:.2g} of its size: a part is detached"


def _function(given: Given, model: Model) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """Return the model as a function of cells (and of a code, where it has stages), and where it is differentiated.

    Cells are moved a little, off the zeros where a ReLU has no derivative.
    """
    X = model.tensor(given.cells.values)
    X = X + 0.05 * torch.rand(X.shape, generator=torch.Generator().manual_seed(1)).to(X)
    name = given.names[-1]
    if not given.can("stages"):
        return lambda cells: model.predict(cells, name, given.labels), (X,)
    code = model.encode_perturbations([name])[0].to(X)
    return lambda cells, pert: respond(model, pert, given.point._replace(X=cells)), (X, code)


def in_float64(model: Model) -> Model:
    """Return the model in float64 where it can be had, else as it is."""
    if "parameters" in model.capabilities:
        return model.with_parameters({name: each.double() for name, each in model.parameters.items()}, model.card)
    return copy.deepcopy(model).double() if isinstance(model, nn.Module) else model


def _first_line(fault: Exception) -> str:
    return str(fault).strip().partition("\n")[0][:120]
