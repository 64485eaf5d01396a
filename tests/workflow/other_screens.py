"""Screens as others write them, small: activations and pairs of genes, drugs at several doses, cytokines in donors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch

from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel
from pertprobe.models.state.write import write_state_directory

GENES = tuple(f"GENE{i}" for i in range(1, 31))
CELLS, CONTROLS, SETS = 12, 80, 10
PAIRS = ("GENE1+GENE2", "GENE1+GENE3", "GENE4+GENE5", "GENE2+GENE6")
DRUGS = tuple(f"Drug {i:02d}" for i in range(12))
CYTOKINES = tuple(f"IL-{i}" for i in range(1, 17))


def write_model(folder: Path, labels: Sequence[str], control: str, width: int = 16) -> None:
    """Write a State directory of random weights, whose perturbations have these names."""
    names = (*labels, control)
    architecture = StateArchitecture(
        input_dim=len(GENES), output_dim=len(GENES), pert_dim=len(names), hidden_dim=width, cell_set_len=SETS,
        n_layers=2, n_heads=2, n_kv_heads=2, head_dim=8, intermediate_dim=20,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    fresh = initial_parameters(architecture, 0)
    weights = {name: weight + 0.1 * torch.randn(weight.shape, generator=generator) for name, weight in fresh.items()}
    model = StateModel(
        architecture, weights, genes=GENES, output_genes=GENES, perturbations=names, control=control,
        perturbation_features=torch.eye(len(names)), batches=(), card={"cell_types": ["k562"], "kind": "state"},
    )  # fmt: skip
    write_state_directory(model, folder)


def write_cells(path: Path, obs: pd.DataFrame, lowered: dict[str, str] | None = None) -> None:
    """Write an h5ad of random expression; the gene `lowered` names by label is less expressed, or more by `+`."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.uniform(1, 5, len(GENES)), (len(obs), len(GENES))).astype(np.float32)
    for label, gene in (lowered or {}).items():
        rows = (obs["perturbation"] == label).to_numpy()
        counts[np.ix_(rows, [GENES.index(gene.strip("+"))])] *= 3 if gene.startswith("+") else 0.2
    obs.index = [f"cell{i}" for i in range(len(obs))]
    ad.AnnData(np.log1p(counts), obs=obs, var=pd.DataFrame(index=list(GENES))).write_h5ad(path)


def _obs(labels: Sequence[str], control: str, each: int = CELLS) -> pd.DataFrame:
    names = np.repeat([*labels, control], [each] * len(labels) + [CONTROLS])
    return pd.DataFrame({"perturbation": names, "cell_type": "k562"})


def _config(run: str, control: str, programs: dict[str, Any], **more: Any) -> dict[str, Any]:
    cells = {"path": "cells.h5ad", "context_column": "cell_type", "context": "k562", "control": control}
    cells |= {
        "perturbation_column": "perturbation",
        "space": "X",
        "set_size": SETS,
        "n_sets": 2,
        **more.pop("cells", {}),
    }
    model = {"path": "model", "context": "k562", "waive": ["under_control"]}
    return {
        "run": run, "cells": {"k562": cells}, "models": {"m": model}, "programs": programs,
        "probes": {"pert_embedding": {}, "output_clustering": {"umap": False}},
        "controls": {"redrawn": 2, "additive": False},
        "statistics": {"permutations": 99, "bootstrap": 99}, **more,
    }  # fmt: skip


def norman(folder: Path) -> dict[str, Any]:
    """Write a screen of activations with pairs of genes, as GEARS names them, and return its config."""
    singles = [f"{gene}+ctrl" for gene in GENES[:20]]
    write_model(folder / "model", [*singles, *PAIRS], "ctrl")
    raised = {label: f"+{label.partition('+')[0]}" for label in singles}
    write_cells(folder / "cells.h5ad", _obs([*singles, *PAIRS], "ctrl"), raised)
    programs = {"lists": {"first": list(GENES[:6]), "pairs": list(PAIRS)}}
    probes = {"pert_embedding": {}, "output_clustering": {"umap": False}, "intervention_fidelity": {}}
    return _config("norman", "ctrl", programs, perturbations={"direction": "activation"}) | {"probes": probes}


def tahoe(folder: Path) -> dict[str, Any]:
    """Write a screen of drugs at two doses, as Tahoe names them, with a table of targets, and return its config."""
    control = "[('DMSO_TF', 0.0, 'uM')]"
    labels = [f"[('{drug}', {dose}, 'uM')]" for drug in DRUGS for dose in (0.5, 5.0)]
    write_model(folder / "model", labels, control)
    write_cells(folder / "cells.h5ad", _obs(labels, control))
    rows = [{"label": label, "target": f"GENE{i // 2 % 6 + 1};GENE30", "group": f"group {i // 2 % 3}"}
            for i, label in enumerate(labels)]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "drugs.tsv", sep="\t", index=False)
    programs = {"lists": {"hit": ["GENE1", "GENE2"], "named": [*labels[:6], "Drug 04"]}, "groups": True}
    return _config("tahoe", control, programs, perturbations={"table": "drugs.tsv"})


def parse(folder: Path) -> dict[str, Any]:
    """Write cytokines given to cells of two donors, with controls in two wells, and return the config of one donor."""
    write_model(folder / "model", CYTOKINES, "PBS")
    obs = pd.concat([_obs(CYTOKINES, "PBS").assign(donor=donor) for donor in ("D1", "D2")], ignore_index=True)
    obs.loc[obs.index[obs["perturbation"] == "PBS"][::2], "perturbation"] = "PBS_well_2"
    write_cells(folder / "cells.h5ad", obs)
    programs = {"lists": {"some": list(CYTOKINES[:6]), "others": list(CYTOKINES[8:14])}}
    cells = {"within": {"donor": "D1"}, "further_controls": ["PBS_well_*"]}
    return _config("parse", "PBS", programs, cells=cells)


SCREENS = {"norman": norman, "tahoe": tahoe, "parse": parse}
