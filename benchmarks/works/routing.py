"""dY/dpert_repr of one perturbation at 64 cells, beside whole-Jacobian calls and a loop over targets."""

import torch
from measure import Row, against_floor, once, peak_mb, seconds
from published import ARCHITECTURE, CELLS, GENES, backbone_operations, control_cells, points, published_model
from torch import Tensor

from pertprobe.interpret.jacobian import respond, routing_jacobian

TARGETS = 20
"""Targets of the loop that are measured."""


def rows() -> list[Row]:
    """Return one row for each rival."""
    model = published_model("cpu")
    _, cells = points(model, control_cells())
    code = model.encode_perturbations(["pert_1"]).detach()
    # Each direction of the code is pushed through the backbone of every cell, then through the last Linear.
    width = ARCHITECTURE.hidden_dim
    operations = width * (backbone_operations(CELLS) + 2.0 * CELLS * width * GENES)
    with torch.no_grad():  # as jobs measure
        spent, floor = against_floor(lambda: routing_jacobian(model, code, cells), operations)
    peak, found = peak_mb(), routing_jacobian(model, code, cells)[0, 0]

    def mean_output(pert: Tensor) -> Tensor:
        """Return the mean output of the cells [G]."""
        return respond(model, pert, cells)[0].mean(0)

    whole, rival = once(lambda: torch.autograd.functional.jacobian(mean_output, code[0], vectorize=True))
    apart = ((whole - found).abs().max() / whole.abs().max()).item()

    def single(target: int) -> None:
        """Predict and pull one target back, as attribution libraries do for each target."""
        pert = code[0].clone().requires_grad_()
        torch.autograd.grad(mean_output(pert)[target], pert)

    loop = seconds(lambda: [single(target) for target in range(TARGETS)]) * GENES / TARGETS
    work = "dY/dpert_repr, one perturbation, S = 64"
    limits = {"ratio": ("at least", 7.0), "floor_ratio": ("at most", 1.4), "peak_mb": ("at most", 1500.0)}
    return [
        Row(work, "torch.autograd.functional.jacobian(vectorize=True)", spent, rival / spent, floor, peak,
            limits=limits, note=f"median of 3; the rival once; largest relative difference {apart:.1e}"),
        Row(work, "a loop over targets, as captum's", spent, loop / spent, floor, peak, limits=limits,
            note=f"median of 3; the loop on {TARGETS} of {GENES} targets, scaled"),
    ]  # fmt: skip
