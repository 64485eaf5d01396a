"""What a genome-wide run costs, by the rates that were measured: the tables of docs/scaling.md.

`python benchmarks/scaling.py` prints them. Nothing is run: operations of each work at the larger size, over the rate at
which the same work ran at the published size (gpu.json; table.json for disk).
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from published import ARCHITECTURE, CELLS, PERTURBATIONS, backbone_operations, forward_operations

HERE = Path(__file__).resolve().parent
GENES, CODES, CONTEXTS, SETS = 18_000, 10_000, 10, 4
"""Genes, perturbations, contexts, and cell sets of each context (the default)."""
COPIES = 10
"""Untrained copies that are measured beside a model (the default: five re-drawn, five shuffled)."""
SKETCH = 4096
"""Numbers in which one Jacobian is compared with others."""
LARGE = replace(ARCHITECTURE, input_dim=GENES, output_dim=GENES, pert_dim=CODES)
FLOAT = 4.0
"""Bytes."""


class Cost(NamedTuple):
    """One work at the large size."""

    work: str
    like: str
    """The work of gpu.json whose rate it has."""
    operations: float
    bytes: float
    """Kept on disk."""
    copied: bool
    """Whether untrained copies are measured too."""


def costs() -> list[Cost]:
    """Return what each work takes over all contexts."""
    every, width, sets = float(CODES * CONTEXTS), LARGE.hidden_dim, CONTEXTS * SETS
    forward, output = forward_operations(CELLS, LARGE), GENES * FLOAT
    pushed = width * (backbone_operations(CELLS, LARGE) + 2.0 * CELLS * width * GENES)
    atlas = every * (atlas_bytes() + GENES / 8) + CONTEXTS * 2 * width * output
    knocked, codes, cores = "2,000 knock-outs, S = 64", "dY/dpert_repr, S = 64", "atlas at the mean cell"
    return [
        Cost("delta_y of every perturbation", knocked, CODES * sets * forward, CODES * sets * output, True),
        Cost("atlas at the mean cell", cores, every * width * backbone_operations(1, LARGE), atlas, False),
        Cost("dY/dpert_repr at S = 64, one set, kept as sketches", codes, every * pushed, every * SKETCH * FLOAT, True),
        Cost("every gene knocked out under the control", knocked, GENES * sets * forward, GENES * sets * output, True),
        Cost("all under every perturbation, one set", knocked, every * GENES * forward, every * GENES * output, False),
    ]  # fmt: skip


def atlas_bytes() -> float:
    """Return what one perturbation takes in the atlas of the published size; its core is as large for any genes."""
    rows = json.loads((HERE / "table.json").read_text())["rows"]
    (disk,) = (row["value"] for row in rows if row["work"].endswith("on disk"))
    return disk * 1e6 / PERTURBATIONS


def rates() -> dict[str, float]:
    """Return work -> operations per second on the GPU."""
    rows = json.loads((HERE / "gpu.json").read_text())["rows"]
    return {row["work"]: row["operations"] / row["seconds"] for row in rows}


def markdown() -> str:
    """Return the table."""
    found = rates()
    lines = ["| work | operations | GPU hours | with its untrained copies | on disk |", "|---|---|---|---|---|"]
    for cost in costs():
        hours = cost.operations / found[cost.like] / 3600
        times = 1 + COPIES if cost.copied else 1
        cells = [
            cost.work,
            f"{cost.operations:.1e}",
            shown(hours),
            shown(hours * times) if cost.copied else "-",
            disk(cost.bytes * times),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(hours: float) -> str:
    """Return hours as people say them."""
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def disk(size: float) -> str:
    """Return bytes as people say them."""
    return f"{size / 1e12:,.1f} TB" if size >= 1e12 else f"{size / 1e9:,.0f} GB"


if __name__ == "__main__":
    print(markdown(), end="")
