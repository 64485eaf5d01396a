"""The models that a sparse autoencoder is trained on, read one at a time, and what jobs draw from them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from pertprobe.data.cell_sets import CellSets, cells_for
from pertprobe.errors import PertprobeError
from pertprobe.interpret.sae.activations import mean_readings, sampled_activations
from pertprobe.interpret.sae.autoencoder import SparseAutoencoder
from pertprobe.interpret.sae.stability import Dictionary
from pertprobe.models import load_model
from pertprobe.models.base import Model
from pertprobe.seeding import seed_of

Pool = Iterable[tuple[str, Model, CellSets]]
"""Names, models and their control cells, genes in the model's order."""


def pooled_models(
    names: Sequence[str], directories: Sequence[str | Path], loading: Sequence[Mapping[str, Any]], cells: Sequence[str]
) -> Iterator[tuple[str, Model, CellSets]]:
    """Yield each model with its cells; the next is read when it is asked for."""
    for name, directory, how, path in zip(names, directories, loading, cells, strict=True):
        model = load_model(directory, **how)
        yield name, model, cells_for(model, path)


def pooled_activations(pool: Pool, layer: int | str, limit: int, seed: int) -> dict[str, Tensor]:
    """Return the rows [n, H] by model that every autoencoder of the pool is trained and judged on."""
    return {
        name: sampled_activations(model, cells, layer, limit, seed_of(seed, "activations", name))
        for name, model, cells in pool
    }


def pooled_dictionaries(pool: Pool, layer: int | str, saes: Sequence[SparseAutoencoder]) -> list[Dictionary]:
    """Return the directions of each SAE, and its features' mean activation under every perturbation of every model."""
    readers = {str(i): sae.encode for i, sae in enumerate(saes)}
    tables = {i: [] for i in readers}
    for name, model, cells in pool:
        perturbations = sorted(set(model.perturbations) - {model.control})
        rows = pd.MultiIndex.from_product([[name], perturbations], names=["model", "perturbation"])
        for i, values in mean_readings(model, cells, perturbations, layer, readers).items():
            columns = [f"f{j}" for j in range(values.shape[-1])]
            tables[i].append(pd.DataFrame(values.mean(axis=0, dtype=float), index=rows, columns=columns))
    return [
        Dictionary(pd.concat(tables[i]), sae.W_dec.cpu().double().numpy()) for i, sae in zip(readers, saes, strict=True)
    ]


def width_of(model: Model) -> int:
    """Return how wide the hidden states of a model are: codes are added to them."""
    return model.encode_perturbations([model.control]).shape[-1]


def check_width(name: str, sae: SparseAutoencoder, model_name: str, model: Model) -> None:
    """Raise PertprobeError, naming both widths, where an autoencoder does not fit a model's hidden states."""
    width, wanted = width_of(model), len(sae.b_dec)
    if width != wanted:
        raise PertprobeError(
            f"sae.{name}: its input is {wanted} wide, the hidden states of {model_name} {width}. Give one that was "
            "trained on a layer of this model, or leave the model out"
        )


def sae_seed(seed: int, name: str, number: int) -> int:
    """Return the seed of one of the SAEs called `name`; number 0 is the one in use."""
    return seed_of(seed, "sae", name, *([number] if number else []))
