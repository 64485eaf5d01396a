"""The diagonal derivative of a panel to 5 % by random signs, beside the exact one."""

import torch
from measure import Row, once, peak_mb, seconds
from published import control_cells, points, published_model

from pertprobe.interpret.jacobian import hutchinson_diagonal, panel_jacobian

TARGETS, REGULATORS = range(5, 12), range(20, 24)
PERTURBATIONS = 4


def rows() -> list[Row]:
    """Return the one row."""
    model = published_model("cpu")
    _, cells = points(model, control_cells())
    with torch.no_grad():
        codes = model.encode_perturbations(model.perturbations[1 : 1 + PERTURBATIONS])
    asked = model, codes, cells, TARGETS, REGULATORS
    torch.set_grad_enabled(False)  # as jobs measure
    spent = seconds(lambda: hutchinson_diagonal(*asked, error=0.05, seed=0), 3)
    peak, found = peak_mb(), hutchinson_diagonal(*asked, error=0.05, seed=0)
    exact, slow = once(lambda: panel_jacobian(*asked, "diagonal").values)
    apart = (found.values - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    note = (
        f"{PERTURBATIONS} perturbations, 7 x 4 pairs; draws {found.draws.tolist()}; relative error reported at most "
        f"{found.error.max():.3f}, found at most {apart.max():.3f}"
    )
    return [Row("cell_diagonal to 5 %, S = 64", "exact", spent, slow / spent, peak_mb=peak,
                limits={"ratio": ("at least", 4.0)}, note=note)]  # fmt: skip
