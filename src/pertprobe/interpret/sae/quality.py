"""How well a sparse autoencoder describes the activations of each model, and its rival beside it."""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

from pertprobe.interpret.sae.autoencoder import SparseAutoencoder
from pertprobe.interpret.sae.pca import PrincipalComponents

CHUNK = 8192
"""Rows encoded at a time."""


def quality(sae: SparseAutoencoder, activations: Mapping[str, Tensor]) -> pd.DataFrame:
    """Return a row per model, in the order of names: what the SAE leaves over and how sparse it is.

    Columns: model; n, rows; fvu, fraction of variance unexplained (nan where the activations are constant); l0, mean
    number of active features a row; dead, features that are active in no row of this model; dead_everywhere, in no row
    of any (the same in all rows).
    """
    table, alive = [], []
    for model in sorted(activations):
        x = activations[model].float()
        active, used = _usage(sae, x)
        table.append({"model": model, "n": len(x), "fvu": fraction_unexplained(sae, x), "l0": active / len(x)})
        alive.append(used)
    dead = [int((~used).sum()) for used in alive]
    return pd.DataFrame(table).assign(dead=dead, dead_everywhere=int((~torch.stack(alive).any(dim=0)).sum()))


def with_rival(table: pd.DataFrame, pca: PrincipalComponents, activations: Mapping[str, Tensor]) -> pd.DataFrame:
    """Add to `quality`'s table how many principal components there are (n_components) and what they leave (pca_fvu)."""
    left = [fraction_unexplained(pca, activations[model].float()) for model in table.model]
    return table.assign(n_components=len(pca.components), pca_fvu=left)


@torch.no_grad()
def fraction_unexplained(coder: SparseAutoencoder | PrincipalComponents, x: Tensor) -> float:
    """Return the squared error of rebuilt rows [n, H] over their squared distance from their mean; nan if constant."""
    mean, left, total = x.double().mean(dim=0), 0.0, 0.0
    for part in x.split(CHUNK):
        left += float((part - coder.decode(coder.encode(part))).double().square().sum())
        total += float((part.double() - mean).square().sum())
    return left / total if total > 0 else float("nan")


@torch.no_grad()
def _usage(sae: SparseAutoencoder, x: Tensor) -> tuple[int, Tensor]:
    """Return how many features are active over all rows [n, H] together, and which are in any [F]."""
    active, used = 0, torch.zeros(len(sae.b_enc), dtype=torch.bool)
    for part in x.split(CHUNK):
        features = sae.encode(part) > 0
        active += int(features.sum())
        used |= features.any(dim=0).cpu()
    return active, used
