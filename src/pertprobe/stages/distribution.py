"""How far from the control cells an intervention takes a cell, and how far training cells are from probed ones."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
from scipy.linalg import cholesky, solve_triangular

from pertprobe.batching import counted
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.cells import context_source, describe_cells, read_cells
from pertprobe.errors import listed
from pertprobe.evidence import joined
from pertprobe.interpret.knockouts import knocked_out
from pertprobe.models.training_split import Split, training_contexts
from pertprobe.probes.base import MeasureInputs
from pertprobe.probes.silenced_genes import chosen

if TYPE_CHECKING:
    from pertprobe.models.base import Model

VALUES = ("zero", "mean")
"""What a knocked-out gene may be set to."""
KNOCKOUT_COLUMNS = ["gene", "value", "expressed", "ks", "mahalanobis", "percentile", "note"]
DRIFT_COLUMNS = [
    *("context", "compared", "what", "n_cells", "n_compared"),
    *("ks_median", "ks_q90", "ks_above", "mahalanobis", "note"),
]
SAMPLE = 500
"""Cells on either side of a comparison at most; the probed context gives two such halves."""
LARGE_KS = 0.2
"""A gene whose distributions are further apart counts into `ks_above`."""
NO_STAGES = "model has no stages: no distance in its encoder's space"
HALVES, CONTEXT = "halves of its own control cells", "control cells it was trained with"


class Cloud(NamedTuple):
    """Where cells lie in the encoder's space."""

    mean: np.ndarray
    """[H]"""
    factor: np.ndarray
    """Lower Cholesky factor [H, H] of the shrunk covariance."""

    @classmethod
    def of(cls, points: np.ndarray) -> "Cloud | None":
        """Describe points [n, H]; None where they do not vary."""
        covariance = shrunk_covariance(points)
        return cls(points.mean(axis=0), cholesky(covariance, lower=True)) if covariance.any() else None

    def lengths(self, shifts: np.ndarray) -> np.ndarray:
        """Return the Mahalanobis length of shifts [..., H] -> [...]."""
        flat = solve_triangular(self.factor, shifts.reshape(-1, shifts.shape[-1]).T, lower=True)
        return np.linalg.norm(flat, axis=0).reshape(shifts.shape[:-1])

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Return the Mahalanobis distance from the mean of points [..., H] -> [...]."""
        return self.lengths(points - self.mean)


def shrunk_covariance(points: np.ndarray) -> np.ndarray:
    """Return the covariance [H, H] of points [n, H], shrunk towards a multiple of the identity.

    Ledoit & Wolf 2004, J Multivar Anal 88:365, section 3.3; the shrinkage is at least 1e-6, so that the inverse exists.
    """
    x = points - points.mean(axis=0)
    n, h = x.shape
    sample = x.T @ x / n
    level = np.trace(sample) / h
    spread = (sample**2).sum() - h * level**2
    noise = ((x**2).sum(axis=1) ** 2).sum() / n**2 - (sample**2).sum() / n
    share = np.clip(noise / spread, 1e-6, 1) if spread > 0 else 1.0
    return (1 - share) * sample + share * level * np.eye(h)


def encoded(model: "Model", values: np.ndarray, batches: np.ndarray | None = None) -> np.ndarray:
    """Return cells [..., S, G] after the model's encoder, before batch and perturbation are added: [..., S, H]."""
    import torch  # reading tables starts without it

    with torch.no_grad():
        cells = model.encode_cells(model.tensor(values), model.batch_indices(batches))
    return cells.residual.double().cpu().numpy()


def knockout_distances(
    model: "Model", cells: CellSets, contexts: Sequence[CellSets], settings: Mapping[str, Any] | None
) -> pd.DataFrame:
    """Say for each gene the probe knocks out how far that takes the cells from control cells.

    Args:
        model: the model.
        cells: control cells of its context, genes in the model's order.
        contexts: control cells of every context of the run, which decide what is knocked out.
        settings: those of the knockout probe (`genes` is read); None where the run has no such probe.

    Returns:
        `KNOCKOUT_COLUMNS`, a row per gene and value (zero, mean of the set): expressed, share of control cells with the
        gene; ks, Kolmogorov-Smirnov distance between the gene's values in control cells and the one value it is set to,
        mean over sets; mahalanobis, length of the mean shift of encoded cells in units of the encoded control cells'
        spread; percentile, share of control cells further from their mean than the median knocked-out cell. One row
        with a note where nothing is knocked out.
    """
    if settings is None or "gene_space" not in model.capabilities:
        note = "the run knocks nothing out" if settings is None else "model has no gene_space: nothing is knocked out"
        return _table([{"note": note}], KNOCKOUT_COLUMNS)
    genes = chosen(MeasureInputs(model=model, cells=cells, settings=settings, contexts=tuple(contexts)))
    space, note = _space(model, cells)
    rows = [
        {"gene": gene, "value": value, "note": note, **_knockout(model, cells, gene, value, space)}
        for gene in counted(genes, "knock-outs placed among control cells")
        for value in VALUES
    ]
    return _table(rows, KNOCKOUT_COLUMNS)


def _knockout(model: "Model", cells: CellSets, gene: str, value: str, space: "_Space | None") -> dict[str, float]:
    position = model.genes.index(gene)
    edited, before = knocked_out(cells.values, position, value), cells.values[..., position]
    found = {"expressed": float((before > 0).mean()), "ks": knockout_ks(before, edited[:, 0, position])}
    return found | (space.placed(encoded(model, edited, cells.batches)) if space else {})


def knockout_ks(before: np.ndarray, after: np.ndarray) -> float:
    """Return the Kolmogorov-Smirnov distance of values [n_sets, S] from one value per set [n_sets], mean over sets.

    The distribution function of a single value c jumps from 0 to 1, so the distance is the larger of P(x < c) and
    P(x > c). Values within float32's rounding of c are equal to it.
    """
    difference, tie = before - after[:, None], 1e-6 * np.abs(after)[:, None]
    return float(np.maximum((difference < -tie).mean(axis=1), (difference > tie).mean(axis=1)).mean())


class _Space(NamedTuple):
    """Encoded control cells of the sets, and what their distances are measured by."""

    control: np.ndarray
    """[n_sets, S, H]"""
    whole: Cloud
    """All sets."""
    folds: tuple[Cloud, ...]
    """For each set the cloud of the other sets: a cell is closer to a cloud it belongs to than a new cell is."""

    def placed(self, after: np.ndarray) -> dict[str, float]:
        """Return mahalanobis and percentile of the same cells after an intervention [n_sets, S, H]."""
        median = np.median(self._distances(after))
        return {
            "mahalanobis": float(self.whole.lengths((after - self.control).mean(axis=(0, 1)))),
            "percentile": float((self._distances(self.control) > median).mean()),
        }

    def _distances(self, points: np.ndarray) -> np.ndarray:
        return np.stack([cloud.distances(each) for cloud, each in zip(self.folds, points, strict=True)])


def _space(model: "Model", cells: CellSets) -> tuple[_Space | None, str]:
    """Return the encoder's space, and a note on what it lacks."""
    if "stages" not in model.capabilities:
        return None, NO_STAGES
    control = encoded(model, cells.values, cells.batches)
    several = cells.n_sets > 1
    folds = [np.delete(control, i, axis=0) if several else control for i in range(cells.n_sets)]
    whole, *clouds = (Cloud.of(np.concatenate(each)) for each in (control, *folds))
    if whole is None or None in clouds:
        return None, "encoded control cells do not vary: no distance in the encoder's space"
    note = "" if several else "one cell set: percentile from the cells that the spread was taken from"
    return _Space(control, whole, tuple(clouds)), note


def drift_table(
    model: "Model", path: str | Path, entry: Mapping[str, Any], split: Split | None, *, seed: int
) -> pd.DataFrame:
    """Compare control cells of each context the model was trained with to those of the context it is probed in.

    Args:
        model: the model; its card may name its cell types.
        path: the h5ad.
        entry: the `cells` entry of the probed context.
        split: what the model's split file says, None without one.
        seed: of the cells drawn, by their names.

    Returns:
        `DRIFT_COLUMNS`. The first row compares two disjoint halves of the probed context's own control cells, the level
        of sampling; each other row the first of these halves with as many cells of a training context (`SAMPLE` at
        most). ks_median, ks_q90: over genes, of the Kolmogorov-Smirnov distance; ks_above: share of genes where it is
        above `LARGE_KS`; mahalanobis: distance of the mean encoded cells by the spread of both probed halves. One row
        with a note where it is not known what the model was trained with.
    """
    here, trained = entry["context"], training_contexts(model.card, split)
    if not trained:
        note = "not known: neither a split file nor the model names the contexts it was trained with"
        return _table([{"context": here, "note": note}], DRIFT_COLUMNS)
    size = min(SAMPLE, _n_controls(path, entry, here) // 2)
    if size < 2:
        return _table([{"context": here, "note": f"fewer than 4 control cells of {here} in the file"}], DRIFT_COLUMNS)
    first, second = _controls(model, path, entry, here, (2, size), seed)
    points = np.concatenate(encoded(model, np.stack([first, second]))) if "stages" in model.capabilities else None
    cloud = None if points is None else Cloud.of(points)
    notes = _drift_notes(model, split, trained, here, cloud)
    rows = [{"context": here, "compared": here, "what": HALVES, "note": notes, **_drift(model, first, second, cloud)}]
    for other in (context for context in trained if context != here):
        rows.append({"context": here, "compared": other, "what": CONTEXT})
        rows[-1] |= _drift_from(model, path, entry, other, first, cloud, seed)
    return _table(rows, DRIFT_COLUMNS)


def _drift_notes(model: "Model", split: Split | None, trained: Collection[str], here: str, cloud: Cloud | None) -> str:
    """Return what the reader of the first row must know."""
    no_distance = "encoded control cells do not vary" if "stages" in model.capabilities else NO_STAGES
    return joined(
        f"trained with {listed(trained)}" + (", this context among them" if here in trained else ""),
        "" if split else "no split file: contexts kept from training may be among them",
        "" if cloud else no_distance,
    )


def _drift_from(
    model: "Model",
    path: str | Path,
    entry: Mapping[str, Any],
    other: str,
    first: np.ndarray,
    cloud: Cloud | None,
    seed: int,
) -> dict[str, Any]:
    """Return the row of one training context, or why it has none."""
    size = min(len(first), _n_controls(path, entry, other))
    if size < 2:
        return {"note": f"fewer than 2 control cells of {other} in the file"}
    (cells,) = _controls(model, path, entry, other, (1, size), seed)
    return _drift(model, first, cells, cloud)


def _drift(model: "Model", first: np.ndarray, second: np.ndarray, cloud: Cloud | None) -> dict[str, Any]:
    """Compare two samples of cells [n, G] and [m, G]."""
    ks = scipy.stats.ks_2samp(first, second, method="asymp").statistic
    found = {"n_cells": len(first), "n_compared": len(second), "ks_median": np.median(ks)}
    found |= {"ks_q90": np.quantile(ks, 0.9), "ks_above": (ks > LARGE_KS).mean()}
    if cloud is None:
        return found
    means = [encoded(model, cells).mean(axis=0) for cells in (first, second)]
    return found | {"mahalanobis": float(cloud.lengths(means[1] - means[0]))}


def _n_controls(path: str | Path, entry: Mapping[str, Any], context: str) -> int:
    return describe_cells(path, **_source(entry, context)).n_controls


def _controls(
    model: "Model", path: str | Path, entry: Mapping[str, Any], context: str, shape: tuple[int, int], seed: int
) -> np.ndarray:
    """Return disjoint samples of control cells [n_sets, S, G] in the model's genes; `shape` is (n_sets, S)."""
    n_sets, size = shape
    where = _source(entry, context)
    return read_cells(path, **where, genes=model.genes, n_sets=n_sets, set_size=size, seed=seed).values


def _source(entry: Mapping[str, Any], context: str) -> dict[str, Any]:
    """Return where control cells of a context are; what is compared comes before batches are added."""
    return {**context_source(entry), "context": context, "batch_column": None}


def _table(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns).fillna({"note": ""})
