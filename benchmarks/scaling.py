"""What a genome-wide run costs, by the rates that were measured: the tables of docs/scaling.md.

`python benchmarks/scaling.py` prints the costs. Nothing is run: operations of each work at the larger size, over the
rate at which the same work ran at the published size (gpu.json; table.json for disk). `--jobs 1 64` plans the demo with
two models in each of ten contexts, its measurements in so many shards, and prints jobs, seconds and memory of the plan.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from measure import once
from published import ARCHITECTURE, CELLS, PERTURBATIONS, backbone_operations, forward_operations

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
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
    head = ["work", "operations", "TFLOP/s", "GPU hours", "with its untrained copies", "on disk"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for cost in costs():
        hours = cost.operations / found[cost.like] / 3600
        times = 1 + COPIES if cost.copied else 1
        cells = [
            cost.work,
            f"{cost.operations:.1e}",
            f"{found[cost.like] / 1e12:.0f}",
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


def many_models(shards: int) -> dict[str, Any]:
    """Return the config of the demo with two models in each of ten contexts; of the simulated two, for the plan."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    few, zero = ([f"{regime}_{i}" for i in range(CONTEXTS)] for regime in ("fewshot", "zeroshot"))
    like = {"fewshot": config["models"]["a_fewshot"], "zeroshot": config["models"]["a_zeroshot"]}
    models = {name: like[name.partition("_")[0]] | {"context": f"line_{'ab'[i % 2]}"}
              for names in (few, zero) for i, name in enumerate(names)}  # fmt: skip
    both = {"contexts": pairwise(few), "regimes": zip(few, zero, strict=True)}
    pairs = {kind: [list(pair) for pair in each] for kind, each in both.items()}
    sae = {"joint": config["sae"]["joint"] | {"models": [*few, *zero]}}
    return config | {"shards": shards, "models": models, "pairs": pairs, "sae": sae}


def plan(shards: int) -> str:
    """Return the row of a dry run."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "many.yaml").write_text(yaml.safe_dump(many_models(shards)))
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", name]
        command += ["--cores", "1", "--dry-run", "--quiet", "rules", "--configfile", Path(name) / "many.yaml"]
        said, spent = once(lambda: subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    (jobs,) = set(re.findall(r"^total +(\d+)$", said, re.MULTILINE))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return f"| {shards} | {int(jobs):,} | {spent:.0f} | {peak:,.0f} |"


def planned(shards: Sequence[int]) -> str:
    """Return the table of dry runs, shards ascending: the peak never falls."""
    return (
        "\n".join(["| shards | jobs | seconds to plan | MB |", "|---|---|---|---|", *map(plan, sorted(shards))]) + "\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", metavar="SHARDS", help="plan a run, in so many shards")
    given = parser.parse_args()
    print(planned(given.jobs) if given.jobs else markdown(), end="")
