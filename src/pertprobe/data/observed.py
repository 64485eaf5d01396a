"""What the cells themselves say: observed delta_y, whole and in halves, and which genes vary together in controls."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pertprobe.data.cells import context_source, control_correlation, halved_sums, response_source
from pertprobe.errors import PertprobeError, listed
from pertprobe.statistics.similarity import centred, cosine_similarity

RESPONSES = "delta_y", "delta_y_half", "response"
"""Variables that hold responses to perturbations."""
NO_CORRELATION = "no_correlation"
"""Attribute that says why there is no `correlation`."""


def observe(path: str | Path, card: Mapping[str, Any], entry: Mapping[str, Any], *, seed: int) -> xr.Dataset:
    """Return what was observed in a model's context, in the model's output genes.

    Args:
        path: the h5ad.
        card: the model's: genes, output_genes (none where the model knows only its embedding), capabilities, and where
            it has any, activated: perturbations whose response is turned round.
        entry: the `cells` entry of the config.
        seed: of the halves, drawn over names of cells.

    Returns:
        delta_y [perturbation, gene]: mean over perturbed cells less mean over control cells. delta_y_half [half,
        perturbation, gene]: the same of two disjoint halves of the perturbed and of the control cells, so that their
        sampling errors are independent; nan where a half has no cell. n_cells [perturbation]. batch_share
        [perturbation, batch]: of its cells, where the config names a column of batches. left [perturbation]: the mean
        of the gene of that name in its own cells as a share of its mean in control cells, on the scale of the values
        that the model reads, from 0 to 1; nan where it is no gene, or no control cell expresses it. correlation
        [input_gene, input_gene_b]: Pearson over all control cells, 0 where a gene is constant; left out where inputs
        are no genes. float32; attrs: context, n_controls.

    Raises:
        Faults: the file does not hold what is asked for.
        PertprobeError: it holds values that are not finite.
    """
    source, genes = _responses(card, entry)
    found = halved_sums(path, seed=seed, genes=genes, **source)
    raised = card.get("activated", ())
    observed = turned(mean_shifts(found, source["control"]), raised)
    if raised:  # no gene that was activated is silenced to what is left of it
        observed["left"] = observed["left"].where(~observed["perturbation"].isin(list(raised)))
    _check_finite(observed["delta_y"], path)
    n_controls = int(found["counts"].sel(perturbation=source["control"]).sum())
    observed.attrs = {"context": source["context"], "n_controls": n_controls}
    if "gene_space" in card["capabilities"]:
        observed["correlation"] = _correlation(path, card["genes"], context_source(entry))
        _check_finite(observed["correlation"], path)
    else:
        observed.attrs[NO_CORRELATION] = "model has no gene_space: its inputs and outputs are not the same genes"
    return observed


def turned(measured: xr.Dataset, activated: Collection[str]) -> xr.Dataset:
    """Return measurements with the responses to these perturbations turned round, as those to knock-downs would be.

    What a gene does is asked of its loss everywhere: by its silencing in the cells, its regulons' signs, its program.
    """
    found = [name for name in RESPONSES if name in measured and "perturbation" in measured[name].dims]
    if not found or not len(activated):
        return measured
    signs = 1 - 2 * measured["perturbation"].isin(list(activated)).astype(np.float32)
    return measured.assign({name: (measured[name] * signs).transpose(*measured[name].dims) for name in found})


def _responses(card: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[dict[str, Any], Sequence[str]]:
    """Return where the responses are and their genes; without output genes, those of the model's own embedding."""
    if card["output_genes"]:
        return response_source(card, entry), card["output_genes"]
    return context_source(entry), card["genes"]


def mean_shifts(found: xr.Dataset, control: str) -> xr.Dataset:
    """Return delta_y, delta_y_half, n_cells, left and shares of batches of all perturbations but the control.

    `found` is what `halved_sums` returns.
    """
    with np.errstate(invalid="ignore"):  # a half without cells has no mean
        halves = found["sums"] / found["counts"]
    n_cells = found["counts"].sum("half")
    whole = found["sums"].sum("half", skipna=False) / n_cells
    of = {"perturbation": control, "drop": True}
    shifts = {
        "delta_y": (whole - whole.sel(**of)).astype(np.float32),
        "delta_y_half": (halves - halves.sel(**of)).astype(np.float32),
        "n_cells": n_cells,
        "left": ("perturbation", _left(whole, control)),
    }
    if "batches" in found:
        shifts["batch_share"] = found["batches"] / found["batches"].sum("batch")
    kept = xr.Dataset(shifts).isel(perturbation=found["perturbation"].values != control)
    return xr.Dataset({name: kept[name].variable for name in shifts}, kept.coords)  # in a file coordinates come last


def _left(means: xr.DataArray, control: str) -> np.ndarray:
    """Return the share of its own gene's expression that is left in the cells of each perturbation.

    More than in control cells counts as all of it: a knock-down does not raise its gene.
    """
    place = {gene: i for i, gene in enumerate(means["gene"].values)}
    left, usual = np.full(len(means), np.nan), means.sel(perturbation=control).values
    for row, name in enumerate(means["perturbation"].values):
        if name in place and usual[place[name]] > 0:
            left[row] = np.clip(means.values[row, place[name]] / usual[place[name]], 0, 1)
    return left


def _correlation(path: str | Path, genes: Sequence[str], source: Mapping[str, Any]) -> xr.DataArray:
    r, names = control_correlation(path, genes=genes, **source)
    coords = {"input_gene": list(names), "input_gene_b": list(names)}
    return xr.DataArray(r.astype(np.float32), coords, tuple(coords))


def _check_finite(values: xr.DataArray, path: str | Path) -> None:
    """Raise PertprobeError naming the genes (last axis) of values that are not finite."""
    wrong = values[values.dims[-1]].values[~np.isfinite(values.values).all(axis=0)]
    if wrong.size:
        raise PertprobeError(f"{path}: NaN or infinite values in {listed(wrong)}. Remove or impute them")


def of_known(observed: xr.Dataset, known: Collection[str]) -> xr.Dataset | None:
    """Return what was observed of the perturbations that a model knows; None where it knows none of them.

    Cells may have perturbations that the model never met: nothing of it can be compared with theirs.
    """
    names = observed.indexes["perturbation"]
    kept = names.isin(list(known))
    if kept.all() and len(names):
        return observed
    return observed.isel(perturbation=kept) if kept.any() else None


def similarity_reference(observed: xr.Dataset, perturbations: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return cosines [P, P] of observed delta_y, the mean over the kept perturbations removed, and the names kept.

    Kept are those of `perturbations` that were observed, in the order given.
    """
    names = [name for name in perturbations if name in observed.indexes["perturbation"]]
    return cosine_similarity(centred(observed["delta_y"].sel(perturbation=names).values)), names


def coexpression_similarity(observed: xr.Dataset, perturbations: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return Pearson's r [P, P] in control cells between the knocked genes, and the names kept.

    A perturbation stands for the input gene of its name; one without such a gene is left out. Where there is no
    correlation (`NO_CORRELATION` says why) none is kept.
    """
    if "correlation" not in observed:
        return np.zeros((0, 0)), []
    names = [name for name in perturbations if name in observed.indexes["input_gene"]]
    return observed["correlation"].sel(input_gene=names, input_gene_b=names).values.astype(np.float64), names
