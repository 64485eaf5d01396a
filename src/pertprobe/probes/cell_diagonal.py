"""cell_diagonal: targeted_jacobian within one cell, the others held fixed, and how much of it crosses cells."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pertprobe.data.programs import Panel
from pertprobe.probes import panels
from pertprobe.probes.base import NOT_EVALUABLE, Drawing, MeasureInputs, TestInputs, World, by_set, first_sets
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import Described, Number, Question
from pertprobe.probes.work import Sizes, Work
from pertprobe.roles import SUBJECT
from pertprobe.statistics.null_worlds import TOGETHER
from pertprobe.statistics.reliability import share_of_sums

if TYPE_CHECKING:
    from pertprobe.interpret.jacobian import DiagonalEstimate
    from pertprobe.plots import DrawInputs, Drawn

CROSSING = "crossing_share"
ANY = math.inf
"""The error of copies and planted models: one draw of signs. They give a null's mean and spread, and no p."""
RELIABLE = 0.8
"""Least reliability of scores from random signs that answers anything."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return (1/S) sum_s dY_s[target]/dX_s[regulator], other cells held fixed, open shares and gains (`panels`).

    By random signs over cells to the relative error of the settings. Of the model itself also: halves [half, set,
    perturbation, feature] of the draws; error, draws [perturbation]; within, across [set, perturbation, panel], squared
    norms of what of a panel's block stays in a cell and of what crosses cells. Its copies and planted models are
    measured in the first `copy_sets` sets, by one draw.
    """
    from pertprobe.interpret.jacobian import cells_point, hutchinson_diagonal
    from pertprobe.models.base import encode_each

    subject, model = inputs.role == SUBJECT, inputs.model
    genes = panels.measured_genes(inputs, with_controls=subject)
    if reason := panels.unmeasured(genes):
        return xr.Dataset(attrs={NOT_EVALUABLE: reason})
    cells = inputs.cells if subject else first_sets(inputs.cells, inputs.settings["copy_sets"])
    codes = encode_each(model, names)
    point = cells_point(cells.values, model.batch_indices(cells.batches), codes)
    error = inputs.settings["error"] if subject else ANY
    drawn = {"error": error, "seed": inputs.seed, "memory_gb": inputs.memory_gb, "probes": panels.PROBES}
    found = hutchinson_diagonal(model, codes, point, *genes.positions(model), **drawn)
    parts = (each.cpu().numpy().swapaxes(0, 1) for each in (found.values, found.open, found.gain))
    measured = panels.dataset(*parts, names, genes)
    return measured.assign(_beside(inputs, genes, found, measured)) if subject else measured


LEAST_ERROR = 0.4
"""Relative error of one draw of signs, roughly: what `work` counts draws by."""


def work(sizes: Sizes) -> Work:
    """Return the directions of every draw of signs, of either half as many as the error asks for at least."""
    error = sizes.settings["error"]
    draws = 2 * max(2, round(LEAST_ERROR / error)) if error and sizes.subject else 1
    each = min(sizes.regulators + panels.PROBES, sizes.targets) * sizes.copy_sets * sizes.perturbations
    entries = sizes.regulators * sizes.targets * sizes.copy_sets * sizes.perturbations
    return Work(sizes.copy_sets * sizes.perturbations, (draws + 1) * each, kept=entries * (3 if sizes.subject else 1))


def _beside(inputs: MeasureInputs, genes: panels.Genes, found: "DiagonalEstimate", measured: xr.Dataset) -> dict:
    """Return how well the derivatives are known, and what of each panel's block crosses cells."""
    halves = np.moveaxis(found.halves.cpu().numpy(), 0, 2).reshape(2, *measured["jacobian"].shape)
    spent = {name: ("perturbation", getattr(found, name).cpu().numpy()) for name in ("error", "draws")}
    return {"halves": _halves(halves, measured), **spent, **_norms(inputs, genes, found)}


def _halves(values: np.ndarray, measured: xr.Dataset) -> xr.DataArray:
    """Return the derivatives of either half of the draws, labelled as those of all."""
    return xr.DataArray(values, measured["jacobian"].coords, ("half", *measured["jacobian"].dims))


def _norms(inputs: MeasureInputs, genes: panels.Genes, found: "DiagonalEstimate") -> dict[str, xr.DataArray]:
    """Return the squared norms of each panel's block within cells and across them [set, perturbation, panel]."""
    from pertprobe.interpret.jacobian import block_norms

    norms = []
    for panel in inputs.panels.values():
        rows = [i for i, name in enumerate(genes.targets) if name in set(panel["targets"])]
        columns = [i for i, name in enumerate(genes.regulators) if name in set(panel["regulators"])]
        norms.append(block_norms(*(each.double()[..., rows, :][..., columns] for each in (found.halves, found.total))))
    within, across = (np.stack([each.T.cpu().numpy() for each in some], axis=-1) for some in zip(*norms, strict=True))
    return _by_panel({"within": within, "across": across}, list(inputs.panels))


def _by_panel(values: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, xr.DataArray]:
    """Name the panels of values [set, perturbation, panel]."""
    axes = "set", "perturbation", "panel"
    return {name: xr.DataArray(each, {"panel": names}, axes) for name, each in values.items()}


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Are derivatives within a cell larger under a panel's pathway, and how much of them crosses cells?

    How exact they are is known, and asked, of the model itself alone.
    """
    if inputs.identity.get("role", SUBJECT) != SUBJECT:
        yield from panels.questions(inputs)
        return
    estimated = _estimated(inputs.subject.measurement)
    yield from panels.questions(inputs, partial(_doubt, halves_of(inputs.subject.measurement)), estimated)
    for panel in inputs.panels.values():
        who = {"statistic": CROSSING, "panel": panel.name, "program": panel.program}
        yield Described(**who, number=partial(_crossing, inputs.subject.measurement, panel, estimated))


def _estimated(measurement: xr.Dataset) -> str:
    """Say how exact the derivatives are."""
    error, draws = (measurement[name].values for name in ("error", "draws"))
    exact = int((draws == 0).sum())
    if exact == draws.size:
        return "derivatives exact"
    size = f"{np.median(error[draws > 0]):.1%} of the block, at most {error.max():.1%}"
    return f"derivatives by random signs over cells, standard error {size}; {exact} of {draws.size} perturbations exact"


def halves_of(measurement: xr.Dataset) -> list[panels.Means]:
    """Return the measurement as either half of the draws has it."""
    halves = measurement["halves"].transpose("half", ...)
    return [panels.means_of(measurement.assign(jacobian=half)) for half in halves]


def _doubt(halves: Sequence[panels.Means], panel: Panel, statistic: str) -> tuple[str, str]:
    """Refuse scores that are those of the draws: what signs leave over is no chance between perturbations.

    A perturbation that opens outputs lets other cells' remainders in, so that even a derivative which knows no
    perturbation would rank those of one pathway alike.
    """
    agreement = reliability(halves, panel, statistic)
    if agreement >= RELIABLE:
        return f"reliability of scores {agreement:.2f}", ""
    return "", (
        f"scores of the two halves of the draws do not agree: reliability {agreement:.2f}, {RELIABLE} needed. Set "
        "probes.cell_diagonal.error lower, or 0 for exact derivatives"
    )


def reliability(halves: Sequence[panels.Means], panel: Panel, statistic: str = panels.PRIMARY) -> float:
    """Return that of the scores of all draws, from their correlation between the halves (Spearman 1910, Brown 1910).

    1 where both halves have the same scores, as exact derivatives have, also where they are all the same.
    """
    each = [panels.scored(half, panel, statistic).values for half in halves]
    ours, theirs = (scores[each[0].index.intersection(each[1].index)].to_numpy() for scores in each)
    if np.array_equal(ours, theirs):
        return 1.0
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return 0.0
    r = float(np.corrcoef(ours, theirs)[0, 1])
    return 2 * r / (1 + r) if r > 0 else 0.0


def _crossing(measurement: xr.Dataset, panel: Panel, estimated: str, _: np.random.Generator) -> Number:
    """Return the share of a panel's block that crosses cells, under its pathway's perturbations, and its interval."""
    within, across = (by_set(measurement, each).sel(panel=panel.name) for each in ("within", "across"))
    mine = within.perturbation.isin(list(panel.perturbations)).values
    found = share_of_sums(*(each[:, mine].sum("perturbation") for each in (across, within)))
    counts = {"n": int(mine.sum()), "background": within.sizes["perturbation"]}
    if np.isnan(found.estimate):
        short = "the derivatives of the panel are 0" if mine.any() else "no pathway perturbation"
        return Number(np.nan, **counts, short=short)
    every = share_of_sums(*(each.sum("perturbation") for each in (across, within))).estimate
    note = f"interval over {within.sizes['set']} cell sets; {every:.2f} over all perturbations"
    return Number(found.estimate, found.low, found.high, **counts, notes=[note, estimated])


def known(inputs: MeasureInputs) -> dict[str, dict[str, float]]:
    """Return statistic -> panel -> what it is in a planted model, whose Jacobian is known: the share across cells.

    Of the panel's block, under the perturbations of its program.
    """
    model, found = inputs.model, {}
    for name, panel in inputs.panels.items():
        rows, columns = ([inputs.cells.genes.index(gene) for gene in panel[part]] for part in ("targets", "regulators"))
        within = across = 0.0
        for perturbation in inputs.programs[panel["program"]]:
            jacobian = partial(model.jacobian, inputs.cells.values, perturbation)
            own, total = (jacobian(derivative=which)[:, rows][..., columns] for which in ("diagonal", "total"))
            within, across = within + float(own.square().sum()), across + float((total - own).square().sum())
        found[name] = across / (within + across)
    return {CROSSING: found}


def null_world(draw: Drawing) -> World:
    """Draw derivatives that grow with strength and with no pathway, of co-expressed pairs, known to an error."""
    made = panels.null_derivatives(draw, TOGETHER)
    error = declared("cell_diagonal").settings["error"]["default"]
    noise = draw.rng.normal(size=(2, *made.values.shape))
    halves = made.values + error * np.sqrt(2 * (made.values**2).mean()) * noise

    def beside(measured: xr.Dataset, programs: Sequence[str]) -> dict[str, Any]:
        """Return the halves, how exact they are, and panels of which nothing crosses cells."""
        within = np.ones((1, draw.units, len(programs)))
        norms = {"within": within, "across": 0 * within}
        spent = {name: ("perturbation", np.full(draw.units, value)) for name, value in (("error", error), ("draws", 2))}
        return {"halves": _halves(halves[:, None], measured), **spent, **_by_panel(norms, programs)}

    return panels.null_world(made._replace(values=halves.mean(axis=0)), beside)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw what panels of derivatives have, and the share of each panel that crosses cells."""
    from pertprobe.probes.panels_figure import Further

    said = "Share of a panel's derivative that crosses cells, with its 95 % interval over cell sets"
    return panels.draw(inputs, Further(CROSSING, "share that crosses cells", said))
