"""What a made run holds beside its tables: cards of models, their quality, figures, provenance."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from made_names import gene_names
from made_shape import Run

from pertprobe.files import write_json, write_table
from pertprobe.stages.distribution import DRIFT_COLUMNS, KNOCKOUT_COLUMNS
from pertprobe.stages.quality import PROGRAM_COLUMNS, split_half_ceiling

SEEN = ("here", "elsewhere", "never", "unknown")
FIGURE = """<svg xmlns="http://www.w3.org/2000/svg" width="518pt" height="{height}pt" viewBox="0 0 518 {height}">
<defs><clipPath id="frame"><rect width="518" height="{height}"/></clipPath></defs>
<g clip-path="url(#frame)"><rect width="518" height="{height}" fill="#fff"/>
<text x="8" y="20" font-size="7">{name}, a made figure</text>{marks}</g></svg>
"""


def place(folder: Path, name: str) -> Path:
    """Return a path below a folder, whose own folder is there."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_models(folder: Path, run: Run) -> None:
    """Write the card and the quality of each model, of its perturbations and of the programs."""
    for name in run.models:
        quality = _quality(run)
        write_json(_card(run, name), place(folder, f"models/{name}/card.json"))
        write_table(quality, place(folder, f"models/{name}/quality.tsv"))
        write_table(_gate(run), place(folder, f"models/{name}/program_quality.tsv"))
        write_table(_knockouts(run), place(folder, f"models/{name}/distribution.tsv"))
        drift = [{"context": "x", "compared": "y", "what": "cells", "n_cells": 30, "n_compared": 30, "ks_median": 0.1}]
        write_table(pd.DataFrame(drift, columns=DRIFT_COLUMNS), place(folder, f"models/{name}/drift.tsv"))


def _card(run: Run, name: str) -> dict[str, Any]:
    genes, twins = gene_names(run.size.genes), [other for other in run.models if other != name]
    return {
        **run.models[name], "name": name, "genes": genes, "output_genes": genes, "perturbations": [*genes, "control"],
        "attention": "bidirectional", "attention_source": "flag", "equivariance_error": 3e-8, "causal": False,
        "set_size": 64, "sizes": {"hidden_dim": 328, "n_layers": 8}, "training_contexts": list(run.size.contexts),
        "sha256": {"config.yaml": "0" * 64}, "cells": "1" * 64, "generation": "State 0.9.32 or later",
        "capabilities": ["gradient", "predict"], "warnings": ["mind the <gap> & the \"label\" of batch 'β'"],
        "shared_initialisation": {twins[0]: {"difference": 0.9, "matched": 0.9, "mismatched": 0.0}},
    }  # fmt: skip


def _quality(run: Run) -> pd.DataFrame:
    size, random = run.size.genes, run.random
    halves = random.uniform(-0.2, 0.9, size)
    r, ceiling = random.uniform(-0.3, 0.9, size), split_half_ceiling(halves)
    return pd.DataFrame({
        "perturbation": gene_names(size), "seen": random.choice(SEEN, size), "r": r, "r_mean_shift": r - 0.1,
        "r_halves": halves, "ceiling": ceiling, "r_disattenuated": r / ceiling, "n_cells": 20,
    })  # fmt: skip


def _gate(run: Run) -> pd.DataFrame:
    beats = run.random.choice(["True", "False", ""], len(run.programs))
    r = run.random.uniform(-0.3, 0.9, len(run.programs))
    return pd.DataFrame({
        "program": run.programs, "n": 5, "n_heldout": 2, "which": "heldout", "r": r, "r_mean_shift": 0.1,
        "ceiling": 0.8, "beats": beats, "reason": np.where(beats == "True", "", "does not beat the mean shift's 0.10"),
    })[PROGRAM_COLUMNS]  # fmt: skip


def _knockouts(run: Run) -> pd.DataFrame:
    rows = [
        {"gene": gene, "value": "zero", "expressed": 0.5, "ks": 0.1, "mahalanobis": 2.0, "percentile": 0.5, "note": ""}
        for gene in gene_names(12)
    ]
    return pd.DataFrame(rows, columns=KNOCKOUT_COLUMNS)


def write_programs(folder: Path, run: Run) -> None:
    """Write the programs of the run: each has five genes, of which neighbours share some."""
    genes = gene_names(run.size.genes)
    members = {name: genes[number % 20 : number % 20 + 5] for number, name in enumerate(run.programs)}
    lines = ["\t".join([name, "made", *each]) for name, each in members.items()]
    (folder / "programs.gmt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def touch_measured(folder: Path, run: Run) -> None:
    """Make the files, empty, of measurements and of the evidence of each model and pair."""
    pairs = [f"{model}-vs-{reference}" for listed in run.pairs.values() for model, reference in listed]
    for name, probe in run.probes.items():
        for model in run.models:
            place(folder, f"measurements/{probe.measurement}/{model}.nc").touch()
        for side in (*run.models, *pairs):
            place(folder, f"evidence/{name}/{side}.tsv").touch()


def write_further(folder: Path, run: Run) -> None:
    """Write the tables that probes report beside their evidence, the autoencoder's quality and the run's times."""
    for probe in reported(run):
        keys = pd.DataFrame(product(run.programs, run.models), columns=["program", "model"])
        table = keys.assign(share=run.random.normal(0, 1, len(keys)), reason="")
        write_table(table, place(folder, f"tables/{probe}/{run.probes[probe].tables['reported']}.tsv"))
    sae = pd.DataFrame({"model": list(run.models), "n": 190, "fvu": 0.13, "l0": 4, "dead": 10})
    write_table(sae, place(folder, "sae/joint/quality.tsv"))
    times = pd.DataFrame({"rule": ["measure", "test"], "job": ["knockout/k562", "knockout"], "seconds": [93.5, 4.0]})
    write_table(times.assign(max_rss_mb=310.5), folder / "run_times.tsv")


def reported(run: Run) -> list[str]:
    """Return the probes whose further table the report shows."""
    return [name for name, each in run.probes.items() if "reported" in each.tables]


def write_figures(folder: Path, run: Run) -> None:
    """Write each figure in the three formats of a run; the two that nothing opens are empty."""
    whole = ("scorecard", "verdict_matrix", "controls", "cascade")
    for name in [*run.probes, *whole, *(f"quality/{model}" for model in run.models)]:
        marks = "".join(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="2"/>' for x, y in run.random.uniform(30, 190, (40, 2)))
        text = FIGURE.format(name=name, height=200, marks=marks)
        place(folder, f"figures/{name}.svg").write_text(text, encoding="utf-8")
        for suffix in ("pdf", "png"):
            place(folder, f"figures/{name}.{suffix}").touch()


def write_provenance(folder: Path, run: Run, seed: int) -> None:
    """Write where the numbers are said to come from."""
    record = {
        "seed": seed, "python": "3.11.7", "versions": {"pertprobe": "0.0.0", "torch": "2.13.0"},
        "inputs": {"cells": {}, "models": {}, "programs": {"files": {}, "sizes": {}}, "regulons": {}, "splits": {}},
        "models": {name: {"config.yaml": "0" * 64} for name in run.models},
        "cells": {context: "1" * 64 for context in run.size.contexts},
    }  # fmt: skip
    write_json(record, folder / "provenance.json")
