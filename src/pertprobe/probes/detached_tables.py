"""Tables of what the frozen maps say: where each response comes from, and what their singular vectors hold."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import mannwhitneyu

from pertprobe.statistics.power import benjamini_hochberg
from pertprobe.statistics.ranks import average_ranks

TOP = 5
"""Genes by which a singular vector is named."""
SIDES = {"input": ("input_vectors", "feature"), "output": ("output_vectors", "gene")}


def responses(measurement: xr.Dataset, strength: pd.Series) -> pd.DataFrame:
    """Return per perturbation its strength, the share of each source in delta_y, and two checks of the split."""
    shares = measurement["shares"].mean("set").to_pandas()
    checks = measurement[["agreement", "error"]].to_dataframe()[["agreement", "error"]]
    table = shares.join(checks).assign(strength=strength.reindex(shares.index))
    return table.rename_axis(index="perturbation", columns=None).reset_index()


def maps(measurement: xr.Dataset) -> pd.DataFrame:
    """Return, for each map that was decomposed, how its detached and ordinary Jacobian compare."""
    at = measurement["at"].values
    sides = {f"{side}_overlap": measurement["overlap"].sel(side=side).values for side in SIDES}
    numbers = {name: measurement[name].values for name in ("cosine", "lanczos_error")}
    return pd.DataFrame({"at": at, **numbers, **sides})


def ranks(measurement: xr.Dataset) -> pd.DataFrame:
    """Return the effective rank of the map from the cells, and from each layer on, of both Jacobians."""
    whole = measurement["effective_rank"].expand_dims({"begins": ["cells"]})
    layers = measurement["layer_rank"].rename(layer="begins")
    layers = layers.assign_coords(begins=[f"layer {i}" for i in range(layers.sizes["begins"])])
    joined = xr.concat([whole.rename("rank"), layers.rename("rank")], "begins")
    return joined.to_series().unstack("map").rename_axis(columns=None).reset_index()


def decoded(measurement: xr.Dataset, programs: Mapping[str, Sequence[str]], min_genes: int = 3) -> pd.DataFrame:
    """Return for each singular vector and side its leading genes and every program's rank in it.

    score: mean rank of |loading| of the program's genes, in (0, 1); p: rank sum of these genes against all others, one-
    sided greater, the unit is the gene; q: Benjamini-Hochberg over the table.
    """
    rows = [row for at in measurement["at"].values for row in _of_map(measurement.sel(at=at), at, programs, min_genes)]
    table = pd.DataFrame(rows, columns=["at", "rank", "value", "side", "genes", "program", "n", "score", "p"])
    return table.assign(q=benjamini_hochberg(table.p.to_numpy(dtype=float)))


def _of_map(
    measurement: xr.Dataset, at: str, programs: Mapping[str, Sequence[str]], min_genes: int
) -> Iterator[dict[str, Any]]:
    for side, (name, dim) in SIDES.items():
        for number, vector in enumerate(measurement[name].transpose("rank", dim).values, start=1):
            genes = measurement[dim].values
            value = float(measurement["values"][number - 1])
            who = {"at": at, "rank": number, "value": value, "side": side, "genes": named(vector, genes)}
            yield from ({**who, **found} for found in _programs(np.abs(vector), genes, programs, min_genes))


def _programs(
    sizes: np.ndarray, genes: np.ndarray, programs: Mapping[str, Sequence[str]], min_genes: int
) -> Iterator[dict[str, Any]]:
    scores = (average_ranks(sizes) - 0.5) / len(sizes)
    for program, listed in programs.items():
        inside = np.isin(genes, list(listed))
        if min_genes <= inside.sum() < len(genes):
            p = mannwhitneyu(sizes[inside], sizes[~inside], alternative="greater").pvalue
            yield {"program": program, "n": int(inside.sum()), "score": scores[inside].mean(), "p": p}


def named(vector: np.ndarray, genes: np.ndarray, top: int = TOP) -> str:
    """Return the genes with the largest loadings and their signs, the largest of them taken as positive."""
    order = np.argsort(-np.abs(vector), kind="stable")[:top]
    signs = np.sign(vector[order]) * np.sign(vector[order[0]])
    return " ".join(f"{'+' if sign > 0 else '-'}{gene}" for gene, sign in zip(genes[order], signs, strict=True))
