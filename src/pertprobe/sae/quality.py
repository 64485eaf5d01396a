"""How well a sparse autoencoder describes the activations of each model."""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

from pertprobe.sae.autoencoder import SparseAutoencoder

CHUNK = 8192
"""Rows encoded at a time."""


def quality(sae: SparseAutoencoder, activations: Mapping[str, Tensor]) -> pd.DataFrame:
    """Return a row per model, in the order of names: what the SAE leaves over and how sparse it is.

    Columns: model; n, rows; fvu, fraction of variance unexplained: squared error over squared distance from the model's
    own mean (nan where the activations are constant); l0, mean number of active features a row; dead, features that are
    active in no row of this model; dead_everywhere, in no row of any (the same in all rows).
    """
    used = {}
    table = []
    for model in sorted(activations):
        table.append({"model": model, **_measures(sae, activations[model], used.setdefault(model, []))})
    alive = {model: torch.stack(parts).any(dim=0) for model, parts in used.items()}
    dead = [int((~features).sum()) for features in alive.values()]
    dead_everywhere = int((~torch.stack(list(alive.values())).any(dim=0)).sum())
    return pd.DataFrame(table).assign(dead=dead, dead_everywhere=dead_everywhere)


@torch.no_grad()
def _measures(sae: SparseAutoencoder, activations: Tensor, used: list[Tensor]) -> dict[str, float]:
    """Return n, fvu and l0 of one model's rows [n, H]; append which features were used [F]."""
    x = activations.to(sae.W_enc.dtype)
    mean, left, total, active = x.double().mean(dim=0), 0.0, 0.0, 0
    for part in x.split(CHUNK):
        features = sae.encode(part)
        left += float((part - sae.decode(features)).double().square().sum())
        total += float((part.double() - mean).square().sum())
        active += int((features > 0).sum())
        used.append((features > 0).any(dim=0))
    return {"n": len(x), "fvu": left / total if total > 0 else float("nan"), "l0": active / len(x)}
