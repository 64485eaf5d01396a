"""The healthy project that is spoilt: simulated cells, two small trained models, programs, regulons, an autoencoder."""

import shutil
from pathlib import Path
from typing import Any

import torch
from fault import write_config

from pertprobe.data.simulate import simulate, write_simulation
from pertprobe.interpret.sae import write_saelens
from pertprobe.interpret.sae.autoencoder import SparseAutoencoder
from pertprobe.models.state.train import train

SIZES = {"genes": 66, "perturbations": 18, "programs": 4, "cells_per_perturbation": 20, "control_cells": 60}
CONTROL = "non-targeting"
COLUMNS = {"context_column": "cell_line", "perturbation_column": "gene", "batch_column": "batch"}
STEPS = 300
"""Of training: enough that a model under its control code answers the cells' own mean within a tenth."""
HIDDEN, FEATURES, ACTIVE = 64, 96, 4
"""Width of the models, and the features of the autoencoder: all of them, and those active at once."""


def make_healthy(folder: Path) -> Path:
    """Write the project into a new folder, and return it."""
    made = folder / "made"
    write_simulation(simulate(**SIZES, seed=0), made)
    for name in ("cells.h5ad", "programs.gmt", "regulons.tsv"):
        shutil.move(made / name, folder / name)
    shutil.rmtree(made)
    for line in "ab":
        asked = {"context": f"line_{line}", "regime": "fewshot", "seed": 0, "control": CONTROL, "steps": STEPS}
        train(folder / "cells.h5ad", output=folder / f"models/{line}", set_size=8, **COLUMNS, **asked)
    write_saelens(_autoencoder(), folder / "sae", {"models": ["a", "b"], "layer": 1})
    write_config(folder, config())
    return folder


def _autoencoder() -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(FEATURES, HIDDEN, generator=generator), dim=1)
    encoder, biases = directions.T.contiguous(), (torch.zeros(FEATURES), torch.zeros(HIDDEN))
    return SparseAutoencoder(encoder, biases[0], directions, biases[1], ACTIVE)


def config() -> dict[str, Any]:
    """Return the healthy config: every section that names a file, and a probe that reads each."""
    cells = {"path": "cells.h5ad", **COLUMNS, "control": CONTROL, "space": "X_hvg", "genes": "var"}
    cells |= {"set_size": 8, "n_sets": 2}
    model = {"kind": "state", "regime": "fewshot"}
    return {
        "run": "faults",
        "seed": 0,
        "cells": {name: {**cells, "context": name} for name in ("line_a", "line_b")},
        "models": {
            name: {**model, "path": f"models/{name}", "context": f"line_{name}", "split": f"models/{name}/split.toml"}
            for name in "ab"
        },
        "pairs": {"contexts": [["a", "b"]]},
        "programs": {"gmt": ["programs.gmt"], "min_perturbations": 3},
        "panels": {
            "first": {"program": "program_1", "regulators": ["g019", "g020"], "targets": ["g022", "g023", "g024"]}
        },
        "sae": {"joint": {"models": ["a", "b"], "layer": 1, "path": "sae"}},
        "probes": {
            "sae_features": {"sae": "joint"},
            "pert_embedding": {"neighbours": 3},
            "targeted_jacobian": {},
            "knockout": {"genes": 10},
            "regulon_recovery": {"genes": 10, "regulons": {"simulated": "regulons.tsv"}},
        },
        "statistics": {"permutations": 199, "bootstrap": 99},
        "controls": {"redrawn": 2, "network": "regulons.tsv"},
        "thresholds": {
            "sae_features": [["q", "<", 0.05], ["effect", ">", 0.1]],
            "pert_embedding": [["q", "<", 0.05]],
            "targeted_jacobian": [["q", "<", 0.05], ["effect", ">", 0]],
        },
    }
