"""Hidden states of control cells run under each perturbation: what a sparse autoencoder is trained on and reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pertprobe.batching import counted
from pertprobe.data.cell_sets import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.models.base import Model, encode_each

Reader = Callable[[Tensor], Tensor]
"""Given hidden states [..., H], returns what is read in them [..., F]."""


def layer_number(model: Model, layer: int | str) -> int:
    """Return the number of a layer; "middle" is the output of the middle block.

    Raises PertprobeError for a layer that the model does not have.
    """
    number = model.n_layers // 2 if layer == "middle" else int(layer)
    if not 0 <= number <= model.n_layers:
        raise PertprobeError(
            f"layer {number}, but the model has the layers 0 to {model.n_layers}. Ask for one of these"
        )
    return number


def hidden_states(model: Model, cells: CellSets, names: Sequence[str], layer: int | str) -> Iterator[Tensor]:
    """Yield for each perturbation the hidden states of the cells [n_sets, S, H] at a layer, extra tokens left out."""
    number = layer_number(model, layer)
    encoded = model.encode_cells(model.tensor(cells.values), model.batch_indices(cells.batches))
    for code in counted(list(encode_each(model, names)), "hidden states of perturbations"):
        mixed = model.mix(code.expand(cells.n_sets, -1), encoded)
        yield mixed.layers[number][..., model.cell_positions, :]


@torch.no_grad()
def sampled_activations(model: Model, cells: CellSets, layer: int | str, limit: int, seed: int) -> Tensor:
    """Return hidden states [n, H] of control cells under every perturbation, at most about `limit`, evenly drawn.

    Every perturbation gives the same number of cells, so that none weighs more.
    """
    names = sorted(model.perturbations)
    generator = torch.Generator().manual_seed(seed)
    each = max(1, min(cells.n_sets * cells.set_size, limit // len(names)))
    drawn = []
    for states in hidden_states(model, cells, names, layer):
        flat = states.reshape(-1, states.shape[-1]).cpu()
        drawn.append(flat[torch.randperm(len(flat), generator=generator)[:each]])
    return torch.cat(drawn)


@torch.no_grad()
def mean_readings(
    model: Model, cells: CellSets, names: Sequence[str], layer: int | str, readers: Mapping[str, Reader]
) -> dict[str, np.ndarray]:
    """Return what each reader finds in the hidden states, mean over the cells of a set: float32 [n_sets, P, F] each.

    One run of the model serves all readers. Each perturbation is read by itself, so that its numbers do not depend on
    those beside it.
    """
    means = {name: [] for name in readers}
    for states in hidden_states(model, cells, names, layer):
        for name, read in readers.items():
            means[name].append(read(states.float()).mean(-2).cpu().numpy())
    return {name: np.stack(each, axis=1) for name, each in means.items()}
