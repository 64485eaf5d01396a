"""knockout_linearity: is what a model answers to a silenced gene what its derivative at the cells foretells?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.probes.base import MeasureInputs, TableInputs, TestInputs, averaged, each_program, itself, stacked
from pertprobe.probes.knockout import (
    agreement_row,
    coexpression_profiles,
    correlations,
    expression_deciles,
    own_outputs,
    perturbation_of,
    program_agreements,
    shared,
    units,
    varying,
)
from pertprobe.roles import COEXPRESSION, OBSERVED, REDRAWN, SUBJECT
from pertprobe.statistics.fit import curvature, fit
from pertprobe.statistics.intervals import bootstrap_mean
from pertprobe.statistics.permutation import mean_score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs

__all__ = ["units"]

Row = dict[str, Any]

CONTROLLED = "agreement"
"""The statistic in which re-drawn copies and planted models are compared with the model."""
COPY_SETS = 1
"""Cell sets on which untrained copies are asked: of them only the agreement is."""
FITS = ["explained", "slope", "curvature"]
COLUMNS = ["model", "gene", "set", "lost", *FITS]


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return the shift of the mean output when a gene is silenced, and its first-order prediction; float32.

    shift, predicted [set, perturbation, gene]: the `perturbation` axis holds the knocked-out genes, as in knockout. Of
    the model itself also half, the shift when every cell loses half of what it loses, and lost [set, perturbation],
    its mean over cells.
    """
    from pertprobe.jacobian import cells_point  # torch, which tests do without
    from pertprobe.silencing import knockout_predictions, knockout_shifts, mean_lost

    model, genes = inputs.model, [inputs.model.genes.index(name) for name in names]
    values, batches = _cells(inputs)
    codes = model.encode_perturbations([perturbation_of(inputs)])
    asked = model, codes, cells_point(values, model.batch_indices(batches), codes), genes, inputs.settings["value"]
    memory = {"memory_gb": inputs.memory_gb}
    found = {"shift": knockout_shifts(*asked, **memory), "predicted": knockout_predictions(*asked, **memory)}
    if inputs.role == SUBJECT:
        found["half"] = knockout_shifts(*asked, share=0.5, **memory)
    coords = {"set": np.arange(len(values)), "perturbation": names, "gene": list(model.output_genes)}
    arrays = {name: each[0].swapaxes(0, 1).cpu().numpy().astype(np.float32) for name, each in found.items()}
    dataset = xr.Dataset({name: (("set", "perturbation", "gene"), each) for name, each in arrays.items()}, coords)
    if inputs.role == SUBJECT:
        dataset["lost"] = ("set", "perturbation"), mean_lost(values, genes, inputs.settings["value"]).T
    return dataset.reindex(set=np.arange(inputs.cells.n_sets))


def _cells(inputs: MeasureInputs) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the cells to run and their batches; for an untrained copy the first of their sets."""
    cells, n_sets = inputs.cells, COPY_SETS if inputs.role in REDRAWN else inputs.cells.n_sets
    return cells.values[:n_sets], None if cells.batches is None else cells.batches[:n_sets]


def test(inputs: TestInputs) -> Iterator[Row]:
    """Is a gene's knock-out what its own prediction says, more than what those of like genes say?"""
    if inputs.reference is not None:
        return
    yield from controlled(inputs)
    shift, predicted = _profiles(inputs)
    genes = shift.perturbation.values
    deciles, usable = expression_deciles(inputs.cells, genes), varying(shift) & varying(predicted)
    r = correlations(shift, predicted)
    yield _without_published(agreement_row(inputs, r, deciles, "agreement_all_genes", "", None, usable))
    yield from _fit_rows(inputs, genes, _fits(inputs.subject.measurement))


def controlled(inputs: TestInputs) -> Iterator[Row]:
    """Yield each program's agreement of knock-outs with their predictions: asked of copies and planted models too."""
    if inputs.reference is None:
        yield from _agreement_rows(inputs, *_profiles(inputs))


def references(inputs: TestInputs) -> Iterator[Row]:
    """Yield how well predictions agree with observed responses, and how well co-expression foretells the shifts.

    observed: observed responses to a gene's knock-down against the model's predictions. coexpression: the model's
    shifts against the negative correlation of the silenced gene with each output in control cells.
    """
    observed = inputs.subject.observed
    if inputs.reference is not None or observed is None:
        return
    shift, predicted = _profiles(inputs)
    seen = observed["delta_y"].astype(np.float64).sortby("perturbation")
    yield from _agreement_rows(inputs.as_role(OBSERVED), *shared(seen, predicted))
    if "correlation" in observed:
        rival = -coexpression_profiles(observed, shift.perturbation.values.tolist())
        yield from _agreement_rows(inputs.as_role(COEXPRESSION), *shared(shift, rival))


def _profiles(inputs: TestInputs) -> tuple[xr.DataArray, xr.DataArray]:
    """Return shifts and predictions [perturbation, gene], mean over cell sets."""
    measurement = inputs.subject.measurement
    return averaged(measurement, "shift"), averaged(measurement, "predicted")


def _agreement_rows(inputs: TestInputs, shift: xr.DataArray, predicted: xr.DataArray) -> Iterator[Row]:
    """Yield for each program the agreement of profile i of `shift` with i, against j of `predicted`."""
    for row, *_ in program_agreements(inputs, shift, predicted):
        yield _without_published(row)


def _without_published(row: Row) -> Row:
    """Return the row with its mean r in words: no such statistic was published."""
    said = f"mean r {row['estimate_published']:.3f}" if row["evaluable"] else ""
    return {**row, "estimate_published": np.nan, "reason": evidence.joined(row["reason"], said)}


def _fits(measurement: xr.Dataset) -> pd.DataFrame:
    """Return how well each knock-out is foretold, mean over cell sets: FITS and lost, rows by gene."""
    found = _fits_by_set(measurement)
    return found.groupby("gene").mean()[["lost", *FITS]] if len(found) else pd.DataFrame(columns=["lost", *FITS])


def _fits_by_set(measurement: xr.Dataset) -> pd.DataFrame:
    """Return a row for each knocked-out gene and cell set: gene, set, lost and FITS; the gene's own output left out."""
    own = itself(measurement).sortby("perturbation").transpose("set", "perturbation", "gene")
    shift = _of_others(own["shift"])
    predicted, half = (own[name].values.astype(np.float64) for name in ("predicted", "half"))
    columns = {**fit(shift, predicted)._asdict(), "curvature": curvature(shift, half), "lost": own["lost"].values}
    sets, genes = own.sizes["set"], own.perturbation.values
    who = {"gene": np.tile(genes, sets), "set": np.repeat(own["set"].values, len(genes))}
    return pd.DataFrame(who | {name: each.ravel() for name, each in columns.items()})


def _of_others(shift: xr.DataArray) -> np.ndarray:
    """Return shifts [..., perturbation, gene] with nan where the output is the silenced gene itself."""
    own = own_outputs(shift)
    values = shift.values.astype(np.float64)
    values[..., np.flatnonzero(own >= 0), own[own >= 0]] = np.nan
    return values


def _fit_rows(inputs: TestInputs, genes: np.ndarray, fits: pd.DataFrame) -> Iterator[Row]:
    """Yield of each program the share that is explained, against genes that lose as much; slope and curvature."""
    fits = fits.reindex(genes)
    for program, found, short in each_program(inputs, genes, inputs.min_genes, "knocked-out genes"):
        if not short:
            yield _linearity_row(inputs, program, found, fits)
            yield from (_described(inputs, name, program, fits[name].to_numpy()[found]) for name in FITS[1:])


def _linearity_row(inputs: TestInputs, program: str, found: np.ndarray, fits: pd.DataFrame) -> Row:
    scores, lost = fits["explained"].to_numpy(), fits["lost"].to_numpy()
    used = found[np.isfinite(scores[found])]
    who = {"statistic": "linearity", "program": program, "unit": "gene", "n": len(used)}
    who["n_background"] = int(np.isfinite(scores).sum())
    if len(used) < inputs.min_genes:
        return evidence.not_evaluable(inputs.identity, f"{len(used)} genes whose silencing moves an output", **who)
    test = mean_score(scores, used, lost, inputs.permutations, inputs.random("linearity", program))
    low, high = bootstrap_mean(scores[used], inputs.bootstrap, inputs.random("interval", "linearity", program))
    return evidence.row(inputs.identity, **who, **evidence.tested(test), ci_low=low, ci_high=high)


def _described(inputs: TestInputs, statistic: str, program: str, values: np.ndarray) -> Row:
    """Return a row without a test: a mean over genes with its interval."""
    values = values[np.isfinite(values)]
    who = {"statistic": statistic, "program": program, "unit": "gene", "n": len(values)}
    if not len(values):
        return evidence.not_evaluable(inputs.identity, "silencing these genes moves no output", **who)
    low, high = bootstrap_mean(values, inputs.bootstrap, inputs.random("interval", statistic, program))
    return evidence.row(inputs.identity, **who, estimate=float(values.mean()), ci_low=low, ci_high=high)


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return how well each knock-out is foretold, by gene and cell set.

    genes: model, gene, set, lost (what the cells lose of the gene, mean), explained, slope, curvature.
    """
    known = {name: each.measurement for name, each in inputs.subjects.items() if "shift" in each.measurement}
    return {"genes": stacked([_fits_by_set(each).assign(model=name) for name, each in known.items()], COLUMNS)}


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw how much of each gene's knock-out its prediction explains, by what the cells lose."""
    from pertprobe.figures import NOTHING_TESTED, nothing_to_draw, panels

    table = inputs.tables["genes"]
    models = [model for model in inputs.question["models"] if model in set(table.model)]
    if not models:
        return nothing_to_draw(NOTHING_TESTED)
    figure, axes = panels(len(models), 3.4, 3.0)
    for each, model in zip(axes, models, strict=True):
        _scatter(each, table[table.model == model].groupby("gene")[["lost", *FITS]].mean(), inputs.measurements[model])
        each.set_title(model)
    axes[0].legend(loc="lower left", fontsize=6)
    return figure


def _scatter(axes: "Axes", fits: pd.DataFrame, measurement: xr.Dataset) -> None:
    from pertprobe import figures

    copies = _copies_explained(measurement)
    if len(copies):
        axes.scatter(fits.lost, copies.reindex(fits.index), s=6, color=figures.NULL, label="untrained copies, mean")
    axes.scatter(fits.lost, fits.explained, s=8, color=figures.SUBJECT, label="the model")
    for gene, row in fits.nsmallest(3, "explained").iterrows():
        axes.annotate(gene, (row.lost, row.explained), (2, 2), textcoords="offset points", fontsize=6)
    axes.set_xlabel("what a cell loses of the silenced gene, mean")
    axes.set_ylabel("share of the shift explained")


def _copies_explained(measurement: xr.Dataset) -> pd.Series:
    """Return the mean share explained over untrained copies, by gene."""
    names = measurement.variant.values.tolist() if "variant" in measurement.dims else []
    names = [name for name in names if name.startswith(REDRAWN)]
    if not names:
        return pd.Series(dtype=float)
    mine = measurement.sel(variant=names, set=list(range(COPY_SETS)))
    mine = mine.transpose("variant", "set", "perturbation", "gene", missing_dims="ignore")
    shares = fit(_of_others(mine["shift"]), mine["predicted"].values).explained
    return pd.Series(shares.mean(axis=(0, 1)), index=mine.perturbation.values)
