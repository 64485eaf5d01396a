"""knockout_linearity: is what a model answers to a silenced gene what its derivative at the cells foretells?"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.probes.base import (
    COPY_SETS,
    Drawing,
    MeasureInputs,
    TableInputs,
    TestInputs,
    World,
    averaged,
    each_program,
    itself,
    labelled,
    tabulated,
)
from pertprobe.probes.knockout_questions import KNOCKED_OUT, agreement, coexpression_profiles, own_outputs, shared
from pertprobe.probes.knockout_worlds import drawn_knockouts
from pertprobe.probes.questions import Described, Number, Paired, Pool, Question, Score
from pertprobe.probes.silenced_genes import chosen, levels, notes, told, units
from pertprobe.probes.work import Sizes, Work
from pertprobe.roles import COEXPRESSION, OBSERVED, REDRAWN, SUBJECT
from pertprobe.statistics.matched import PairedTest
from pertprobe.statistics.reliability import bootstrap_mean, curvature, fit
from pertprobe.statistics.similarity import marks

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn

__all__ = ["units"]

FITS = ["explained", "slope", "curvature"]


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return the shift of the mean output when a gene is silenced, and its first-order prediction; float32.

    shift, predicted [set, perturbation, gene]: the `perturbation` axis holds the knocked-out genes, as in knockout. Of
    the model itself also half, the shift when every cell loses half of what it loses, and lost [set, perturbation],
    its mean over cells.
    """
    from pertprobe.interpret.jacobian import cells_point  # torch, which tests do without
    from pertprobe.interpret.knockouts import knockout_predictions, knockout_shifts, mean_removed

    model, genes = inputs.model, [inputs.model.genes.index(name) for name in names]
    values, batches, level = inputs.cells_measured.values, inputs.cells_measured.batches, levels(inputs, names)
    codes = model.encode_perturbations([inputs.perturbation(inputs.settings["perturbation"])])
    asked = model, codes, cells_point(values, model.batch_indices(batches), codes), genes, level
    memory = {"memory_gb": inputs.memory_gb}
    found = {"shift": knockout_shifts(*asked, **memory), "predicted": knockout_predictions(*asked, **memory)}
    if inputs.role == SUBJECT:
        found["half"] = knockout_shifts(*asked, share=0.5, **memory)
    shifts = {name: each[0].swapaxes(0, 1).cpu().numpy().astype(np.float32) for name, each in found.items()}
    arrays = {name: (("set", "perturbation", "gene"), each) for name, each in shifts.items()}
    if inputs.role == SUBJECT:
        arrays["lost"] = ("set", "perturbation"), mean_removed(values, genes, level).T
    dataset = labelled(arrays, perturbation=names, gene=list(model.output_genes))
    return dataset.reindex(set=np.arange(inputs.cells.n_sets)).assign_attrs(told(inputs, chosen(inputs)))


def work(sizes: Sizes) -> Work:
    """Return a pass for every gene (of the model itself two, at half and at full length) and one direction."""
    kinds, total = 2 if sizes.subject else 1, sizes.few * sizes.silenced
    return Work(kinds * (total + sizes.few), derivatives=total, kept=(kinds + 1) * total * sizes.outputs)


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Is a gene's knock-out what its own prediction says, more than what those of like genes say?"""
    measurement = inputs.subject.measurement
    shift, predicted = averaged(measurement, "shift"), averaged(measurement, "predicted")
    for together in (False, True):
        yield _agreement(inputs, shift, predicted, together=together, notes=notes(measurement))
    yield from _baselines(inputs, shift, predicted)
    if "half" in measurement:  # which copies lack
        yield from _fit_questions(inputs, fits_by_set(measurement).groupby("gene").mean())


def _agreement(inputs: TestInputs, ours: xr.DataArray, theirs: xr.DataArray, *role: str, **more: Any) -> Paired:
    """Return the agreement with the mean r in words: no such statistic was published."""
    return agreement(inputs, ours, theirs, *role, more=_mean_r, **more)


def _mean_r(result: PairedTest) -> list[str]:
    return [f"mean r {result.matched:.3f}"] if len(result.genes) else []


def _baselines(inputs: TestInputs, shift: xr.DataArray, predicted: xr.DataArray) -> Iterator[Paired]:
    """Yield how well predictions agree with observed responses, and how well co-expression foretells the shifts.

    observed: observed responses to a gene's knock-down against the model's predictions. coexpression: the model's
    shifts against the negative correlation of the silenced gene with each output in control cells.
    """
    if (observed := inputs.subject.observed) is None:
        return
    seen = observed["delta_y"].astype(np.float64).sortby("perturbation")
    yield _agreement(inputs, *shared(seen, predicted), OBSERVED)
    if "correlation" in observed:
        rival = -coexpression_profiles(observed, shift.perturbation.values)
        yield _agreement(inputs, *shared(shift, rival), COEXPRESSION)


def fits_by_set(measurement: xr.Dataset) -> pd.DataFrame:
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
    return np.where(marks(own_outputs(shift), shift.sizes["gene"]), np.nan, shift.values.astype(np.float64))


def _fit_questions(inputs: TestInputs, fits: pd.DataFrame) -> Iterator[Question]:
    """Yield whether more of a program's knock-outs is explained than of genes that lose as much; slope and curvature.

    `fits`: how well each knock-out is foretold, rows by gene.
    """
    said = notes(inputs.subject.measurement)
    genes = {"names": fits.index.to_numpy(), "unit": "gene", "called": KNOCKED_OUT, "notes": said}
    yield Score(statistic="linearity", few=False, pool=partial(_pool, inputs, fits[fits.explained.notna()]), **genes)
    for program, found, short in each_program(inputs, genes["names"], inputs.min_genes, KNOCKED_OUT):
        for name in () if short else FITS[1:]:
            number = partial(_mean, fits[name].to_numpy()[found], inputs.bootstrap)
            yield Described(statistic=name, program=program, number=number, unit="gene", notes=said)


def _pool(inputs: TestInputs, fits: pd.DataFrame, program: str) -> Pool:
    """Return the genes whose knock-out moves an output; what cells lose of a gene is held."""
    own = inputs.programs[program]
    n = int(fits.index.isin(own).sum())
    short = f"{n} genes whose silencing moves an output" if n < inputs.min_genes else ""
    return Pool(fits.index.to_numpy(), fits.explained.to_numpy(), fits.lost.to_numpy(), own, short=short)


def _mean(values: np.ndarray, resamples: int, random: np.random.Generator) -> Number:
    """Return the mean over genes that have a number, with its interval."""
    values = values[np.isfinite(values)]
    if not len(values):
        return Number(np.nan, short="silencing these genes moves no output")
    return Number(float(values.mean()), *bootstrap_mean(values, resamples, random), n=len(values))


def null_world(draw: Drawing) -> World:
    """Draw predictions that say of a gene what they say of any, and foretell the better what cells lose most of.

    Linearity is confounded by what is lost, agreement by the shared profile, both by expression.
    """
    drawn = drawn_knockouts(draw)
    lost = drawn.expression.to_numpy()
    subject = drawn.subject(shift=drawn.ours, predicted=drawn.theirs, half=drawn.ours / 2, lost=lost)
    return World(drawn.expression, lambda _: {"subject": subject, "cells": drawn.cells})


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return how well each knock-out is foretold, by gene and cell set.

    genes: model, gene, set, lost (what the cells lose of the gene, mean), explained, slope, curvature.
    """
    fits = [fits_by_set(each.measurement).assign(model=name) for name, each in inputs.measured("shift").items()]
    return tabulated("knockout_linearity", genes=fits)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw how much of each gene's knock-out its prediction explains, by what the cells lose, and by program."""
    from pertprobe.probes import knockout_linearity_figure

    return knockout_linearity_figure.draw(inputs, copies_explained)


def copies_explained(measurement: xr.Dataset) -> pd.Series:
    """Return the mean share explained over untrained copies, by gene."""
    names = measurement.variant.values.tolist() if "variant" in measurement.dims else []
    names = [name for name in names if name.startswith(REDRAWN)]
    if not names:
        return pd.Series(dtype=float)
    mine = measurement.sel(variant=names, set=list(range(COPY_SETS)))
    mine = mine.transpose("variant", "set", "perturbation", "gene", missing_dims="ignore")
    shares = fit(_of_others(mine["shift"]), mine["predicted"].values).explained
    return pd.Series(shares.mean(axis=(0, 1)), index=mine.perturbation.values)
