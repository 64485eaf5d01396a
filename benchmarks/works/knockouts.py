"""200 knock-outs at 64 cells, beside one prediction after the other."""

import torch
from measure import Row, against_floor, peak_mb, seconds
from published import CELLS, control_cells, forward_operations, points, published_model

from pertprobe.batching import assigned
from pertprobe.interpret.knockouts import knocked_out, knockout_shifts

GENES = 200
SINGLE = 20
"""Predictions of the loop that are measured."""


def rows() -> list[Row]:
    """Return the one row."""
    model, values = published_model("cpu"), control_cells()
    _, cells = points(model, values)
    codes = model.encode_perturbations([model.control])
    expressed = [gene for gene in range(values.shape[-1]) if values[..., gene].any()][:GENES]
    operations = GENES * forward_operations(CELLS)
    with torch.no_grad(), assigned(len(model.genes)):  # as jobs measure
        spent, floor = against_floor(lambda: knockout_shifts(model, codes, cells, expressed, "zero"), operations)
    peak = peak_mb()

    def one_by_one() -> None:
        """Predict with one gene silenced after the other."""
        for gene in expressed[:SINGLE]:
            model.predict(knocked_out(values, gene, "zero"), model.control).mean(-2)

    slow = seconds(one_by_one) * GENES / SINGLE
    note = f"median of 3; all of them expressed; the loop on {SINGLE}, scaled"
    return [Row("200 knock-outs, S = 64", "one at a time", spent, slow / spent, floor, peak,
                limits={"floor_ratio": ("at most", 1.2)}, note=note)]  # fmt: skip
