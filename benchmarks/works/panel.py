"""A targeted panel and ranks over all perturbations, beside one forward and backward pass a triple at 64 cells."""

import torch
from measure import Row, peak_mb, seconds
from published import CELLS, PERTURBATIONS, control_cells, points, published_model

from pertprobe.batching import assigned
from pertprobe.interpret.jacobian import panel_jacobian, respond
from pertprobe.statistics.ranks import average_ranks

TARGETS, REGULATORS = range(5, 12), range(20, 24)
FEW = 5
"""Perturbations of the published panel: 5 x 28 triples and one pair under all 2,024 make 2,164 passes."""
PASSES = 5
"""Passes of the loop that are measured."""


def rows() -> list[Row]:
    """Return the panel as it was published, and every pair of it under every perturbation."""
    model = published_model("cpu")
    values = control_cells()
    mean, _ = points(model, values)
    same = mean.X.expand(-1, CELLS, -1)
    with torch.no_grad():
        codes = model.encode_perturbations(model.perturbations)

    def panel(codes: torch.Tensor, targets: range, regulators: range) -> torch.Tensor:
        """Return the total derivative at the mean cell."""
        with torch.no_grad(), assigned(len(codes)):  # as jobs measure
            return panel_jacobian(model, codes, mean, targets, regulators).values[:, 0]

    def published() -> None:
        """Do what was published: a panel of a few perturbations, and the ranks of one pair."""
        panel(codes[:FEW], TARGETS, REGULATORS)
        average_ranks(panel(codes, TARGETS[:1], REGULATORS[:1]).abs().flatten().numpy())

    def whole() -> None:
        """Rank every pair over all perturbations."""
        found = panel(codes, TARGETS, REGULATORS).abs().flatten(1).numpy()
        for column in found.T:
            average_ranks(column)

    triples = [FEW * len(TARGETS) * len(REGULATORS) + PERTURBATIONS, PERTURBATIONS * len(TARGETS) * len(REGULATORS)]
    spent, peaks = [], []
    for work in (published, whole):
        spent.append(seconds(work, 3))
        peaks.append(peak_mb())

    def single() -> None:
        """Predict S identical cells, and pull one target back to the cells."""
        X = same.clone().requires_grad_()
        output = respond(model, codes[1], mean._replace(multiplicity=None), X)
        torch.autograd.grad(output[0, :, 5].mean(), X)

    each = seconds(lambda: [single() for _ in range(PASSES)]) / PASSES
    works = ("targeted panel of 5 perturbations + ranks of a pair over all 2,024", "ranks of 28 pairs over all 2,024")
    return [
        Row(work, "forward + backward for each triple, S = 64", time, each * n / time, peak_mb=peak,
            limits={"ratio": ("at least", 40.0)},
            note=f"median of 3; {n:,} triples; the loop on {PASSES} of them, scaled: {each:.3f} s each")
        for work, time, peak, n in zip(works, spent, peaks, triples, strict=True)
    ]  # fmt: skip
