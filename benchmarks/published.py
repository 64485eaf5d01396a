"""The model and the cells of the published size, with random weights: what benchmarks of derivatives run on."""

import numpy as np
import torch

from pertprobe.interpret.jacobian import Point, cells_point, mean_cell_point
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel
from pertprobe.seeding import generator

GENES, PERTURBATIONS, CELLS = 2000, 2024, 64
ARCHITECTURE = StateArchitecture(
    input_dim=GENES,
    hidden_dim=328,
    output_dim=GENES,
    pert_dim=PERTURBATIONS,
    cell_set_len=CELLS,
    n_encoder_layers=1,
    n_decoder_layers=1,
    n_layers=8,
    n_heads=12,
    n_kv_heads=12,
    head_dim=64,
    intermediate_dim=3072,
)


def published_model(device: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> StateModel:
    """Return a State model of ST-HVG-Replogle's shape: 2,000 genes, 2,024 perturbations, hidden 328, 8 llama layers."""
    genes = [f"gene_{i}" for i in range(GENES)]
    perturbations = ["non-targeting", *(f"pert_{i}" for i in range(1, PERTURBATIONS))]
    weights = {name: each.to(device, dtype) for name, each in initial_parameters(ARCHITECTURE, seed).items()}
    return StateModel(
        ARCHITECTURE,
        weights,
        genes=genes,
        output_genes=genes,
        perturbations=perturbations,
        perturbation_features=torch.eye(PERTURBATIONS),
        control="non-targeting",
    )


def control_cells(sets: int = 1, cells: int = CELLS, seed: int = 0) -> np.ndarray:
    """Return cells [sets, cells, genes] as sparse as log1p counts of droplets: two in three values are zero."""
    rng = generator(seed, "cells")
    counts = rng.poisson(rng.gamma(0.5, 1.5, (sets, cells, GENES)))
    return np.log1p(counts).astype(np.float32)


def points(model: StateModel, values: np.ndarray) -> tuple[Point, Point]:
    """Return the mean cell and the cells of sets [sets, S, genes] on the model's device."""
    like = model.encode_perturbations([model.control])
    return mean_cell_point(values, None, like), cells_point(values, None, like)


def forward_operations(cells: int = 1, architecture: StateArchitecture = ARCHITECTURE) -> float:
    """Return the multiplications and additions of one forward pass of a set of so many cells."""
    a = architecture
    return backbone_operations(cells, a) + 2.0 * cells * a.hidden_dim * (a.input_dim + a.output_dim)


def backbone_operations(cells: int = 1, architecture: StateArchitecture = ARCHITECTURE) -> float:
    """Return the same of the backbone alone, which is what one direction of a derivative is pushed through."""
    a = architecture
    heads = a.n_heads * a.head_dim
    block = 4 * a.hidden_dim * heads + 3 * a.hidden_dim * a.intermediate_dim + 2 * cells * heads
    return 2.0 * cells * a.n_layers * block
