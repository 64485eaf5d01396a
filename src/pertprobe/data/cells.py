"""Cells are read from an h5ad by name and checked: sets of controls are drawn, perturbations summed in halves."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.data.agent_table import agents_of
from pertprobe.data.agents import Counted
from pertprobe.data.cell_sets import CellSets, matched_genes, repeated
from pertprobe.data.h5ad import CellFile, Node, by_columns, chunks, group_sums, take
from pertprobe.data.label_forms import MISSING
from pertprobe.errors import PertprobeError, gathering, listed, meant, raise_together
from pertprobe.seeding import generator
from pertprobe.statistics.ranks import average_ranks

Normalisation = Literal["log1p", "counts", "none"]

LOG1P_LIMIT = 20.0
"""log1p(10^6) is 13.8: a larger value was not logged."""
SAME_GENES = 0.5
"""Mean rank correlation within cells above which two matrices may be of the same genes; shuffled names give about 0."""
SAMPLE = 256
"""Rows (of a matrix stored by columns: columns) whose values the cheap check looks at."""


@dataclass(frozen=True)
class CellSource:
    """Where cells are found in an h5ad: the keyword arguments all readers here share."""

    context: str
    """The one context to read, as written in the context column."""
    context_column: str
    """Column of obs that says which context a cell is of."""
    perturbation_column: str
    """Column of obs that names the cell's perturbation."""
    control: str
    """Label of control cells in the perturbation column."""
    batch_column: str | None = None
    """Column of obs that names the batch; None: the model's first label is used."""
    space: str = "X"
    """Matrix to read: "X", "layers/NAME" or a key of obsm."""
    gene_names: str | None = None
    """Where its columns' names are: None (automatic), "var", "var:COLUMN" or "uns:KEY"."""
    normalisation: Normalisation = "log1p"
    """What values must be; "none" asks for finite values only."""
    further_controls: Sequence[str] = ()
    """Further labels of control cells; `*` stands for any signs, `?` for one."""
    within: Mapping[str, str] | None = None
    """Further columns of obs -> the label that all cells must have there."""
    agents: Mapping[str, Any] | None = None
    """What the config says of labels (`agents_of`): cells are of agents, and those of labels that count as nothing are
    not read. None: each label is itself."""


def read_cells(
    path: str | Path,
    *,
    context: str,
    context_column: str,
    perturbation_column: str,
    control: str,
    set_size: int,
    n_sets: int,
    seed: int,
    batch_column: str | None = None,
    space: str = "X",
    genes: Sequence[str] | None = None,
    gene_names: str | None = None,
    normalisation: Normalisation = "log1p",
    further_controls: Sequence[str] = (),
    within: Mapping[str, str] | None = None,
    agents: Mapping[str, Any] | None = None,
) -> CellSets:
    """Draw `n_sets` disjoint sets of `set_size` control cells of one context, without replacement.

    Args:
        path: an h5ad; only obs, var and the rows drawn are read.
        context: what all cells must be, as in `context_column`.
        context_column: column of obs with the context; likewise the other columns (see `CellSource`).
        perturbation_column: column of obs with the perturbation.
        control: label of control cells in the perturbation column.
        set_size: cells per set, S.
        n_sets: number of sets.
        seed: the draw depends on it, the context and the names of the control cells, never on their order in the file.
        batch_column: column of obs with the batch label, or None.
        space: "X", "layers/NAME" or a key of obsm.
        genes: wanted genes in the wanted order; None takes all of the space.
        gene_names: where names of the space's columns come from (see `CellFile.gene_names`).
        normalisation: "log1p", "counts" or "none" (only finite values are asked for).
        further_controls: further labels of control cells, with * and ?.
        within: further columns of obs -> the label that all cells must have there.
        agents: what the config says of labels (`agent_table.agents_of`).

    Raises:
        Faults: everything that is wrong with the file or the request, together.
    """
    columns = context_column, perturbation_column, control, batch_column
    source = CellSource(context, *columns, space, gene_names, normalisation, further_controls, within, agents)
    with CellFile(path) as file:
        plan, faults = _plan(file, source, genes, n_sets, set_size)
        raise_together(faults, f"{path}: ")
        chosen = generator(seed, "cells", context).permutation(len(plan.controls))[: n_sets * set_size]
        drawn = plan.controls.iloc[chosen]
        values = take(plan.node, drawn.index.to_numpy(), plan.columns)
        faults = _value_faults(values, source, drawn["cell"].to_numpy(), plan.genes)
        raise_together(faults or _borrowed_name_faults(file, plan, source), f"{path}: ")
    grid = n_sets, set_size
    batches = drawn["batch"].to_numpy().astype(str).reshape(grid) if batch_column else None
    ids = drawn["cell"].to_numpy().astype(str).reshape(grid)
    return CellSets(values.reshape(*grid, -1), tuple(map(str, plan.genes)), batches, ids, context, notes=plan.notes)


def inspect_cells(
    path: str | Path, *, set_size: int, n_sets: int, genes: Sequence[str] | None = None, **source: Any
) -> list[str]:
    """Return every fault `read_cells` would raise, judging values by a bounded sample of control cells.

    `source` are the fields of `CellSource`.
    """
    faults: list[str] = []
    with gathering(faults), CellFile(path) as file:
        where = CellSource(**source)
        plan, found = _plan(file, where, genes, n_sets, set_size)
        faults += found
        if len(plan.controls) and len(plan.names):
            cells = plan.controls.iloc[np.unique(np.linspace(0, len(plan.controls) - 1, SAMPLE).astype(int))]
            columns = plan.columns if len(plan.columns) else np.arange(len(plan.names))
            if by_columns(plan.node):  # rows of all columns would cost the whole matrix
                columns = np.sort(columns)[:SAMPLE]
            values = take(plan.node, cells.index.to_numpy(), columns)
            wrong = _value_faults(values, where, cells["cell"].to_numpy(), plan.names[columns])
            faults += wrong or _borrowed_name_faults(file, plan, where)
    return faults


class ContextCells(NamedTuple):
    """What an h5ad holds of one context."""

    n_cells: int
    n_controls: int
    perturbations: tuple[str, ...]
    """All perturbations with a cell in this context, sorted, the control excluded."""
    n_perturbed: tuple[int, ...]
    """Number of cells of each."""
    batches: tuple[str, ...]
    """Batch labels of the control cells, sorted; empty without a batch column."""
    genes: tuple[str, ...]
    """Names of the space's columns."""
    notes: tuple[str, ...]
    counted: Mapping[str, Counted] = {}
    """What every label of the file counts as; none where nothing is said of labels."""


def describe_cells(path: str | Path, **source: Any) -> ContextCells:
    """Return what the context holds, from obs and var alone; `source` are the fields of `CellSource`.

    Raises `PertprobeError` where these cannot be read.
    """
    where = CellSource(**source)
    with CellFile(path) as file:
        asked = _asked_labels(file, where)
        counted = _counted(asked, where)
        labels = _of_agents(asked, counted)
        inside = labels[labels["context"] == where.context]
        names, notes = file.gene_names(where.space, where.gene_names)
    controls = inside[inside["perturbation"] == where.control]
    counts = inside["perturbation"].value_counts().drop([where.control, ""], errors="ignore").sort_index()
    batches = sorted(set(controls["batch"])) if where.batch_column else ()
    perturbed = tuple(counts.index), tuple(map(int, counts))
    return ContextCells(len(inside), len(controls), *perturbed, tuple(batches), tuple(map(str, names)), notes, counted)


def perturbed_labels(path: str | Path, **source: Any) -> pd.DataFrame:
    """Return context and perturbation of every cell of a file; `source` are the fields of `CellSource`."""
    with CellFile(path) as file:
        labels = _labels(file, CellSource(**source))
    return labels[labels["perturbation"] != ""][["context", "perturbation"]]


@contextmanager
def _opened(path: str | Path, source: Mapping[str, Any], genes: Sequence[str] | None) -> Iterator["_Plan"]:
    """Open a file and yield where the context's cells and the wanted genes are in it; raises `Faults`."""
    with CellFile(path) as file:
        plan, faults = _plan(file, CellSource(**source), genes, 1, 1)
        raise_together(faults, f"{path}: ")
        yield plan


def halved_sums(path: str | Path, *, seed: int, genes: Sequence[str] | None = None, **source: Any) -> xr.Dataset:
    """Sum the cells of one context by perturbation and half, streamed in blocks.

    Which half a cell falls into depends on the seed, the context, and the names of the cells of its perturbation, never
    on their order in the file. `source` are the fields of `CellSource`. Raises `Faults`.

    Returns:
        sums over cells, float64 [half, perturbation, gene]; counts of cells [half, perturbation]: the halves differ by
        one at most, the first has the odd cell; perturbations sorted, the control among them. batches: number of cells
        [perturbation, batch], where there is a column of batches.
    """
    with _opened(path, source, genes) as plan:
        cells = plan.cells
        codes, names = pd.factorize(cells["perturbation"], sort=True)
        groups = _halves(cells, seed, source["context"]) * len(names) + codes
        sums = group_sums(plan.node, cells.index.to_numpy(), groups, plan.columns, 2 * len(names))
    counts = np.bincount(groups, minlength=2 * len(names)).reshape(2, len(names))
    axes = ("half", "perturbation", "gene")
    found = {"sums": (axes, sums.reshape(2, len(names), -1)), "counts": (axes[:2], counts)}
    if "batch" in cells:
        found["batches"] = xr.DataArray(pd.crosstab(cells["perturbation"], cells["batch"]))
    return xr.Dataset(found, {"perturbation": list(map(str, names)), "gene": list(map(str, plan.genes))})


class SampledCells(NamedTuple):
    """Cells of one context."""

    values: np.ndarray
    """float32 [cell, gene]."""
    perturbations: np.ndarray
    """Of each cell, str."""


def sampled_cells(
    path: str | Path, *, seed: int, controls: int, each: int, genes: Sequence[str] | None = None, **source: Any
) -> SampledCells:
    """Read at most so many control cells of one context, and at most `each` of every perturbation.

    Which they are depends on the seed, the context and the names of cells, never on their order in the file. `source`
    are the fields of `CellSource`. Raises `Faults`.
    """
    with _opened(path, source, genes) as plan:
        rows = []
        for name, cells in plan.cells.sort_values("cell", kind="stable").groupby("perturbation", sort=True):
            most = controls if name == source["control"] else each
            drawn = generator(seed, "sampled", source["context"], name).permutation(len(cells))[:most]
            rows.append(cells.index.to_numpy()[np.sort(drawn)])
        chosen = np.sort(np.concatenate(rows))
        values = take(plan.node, chosen, plan.columns).astype(np.float32)
    return SampledCells(values, plan.cells["perturbation"].loc[chosen].to_numpy().astype(str))


def control_correlation(
    path: str | Path, *, genes: Sequence[str] | None = None, **source: Any
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return Pearson's r float64 [gene, gene] over all control cells of one context, and the genes; read in chunks.

    A gene that is constant correlates with nothing: its row, its own entry included, is 0. `source` are the fields of
    `CellSource`. Raises `Faults`.
    """
    with _opened(path, source, genes) as plan:
        rows = np.sort(plan.controls.index.to_numpy())
        # Less the first cell, constant genes are exactly 0, and sums of squares lose no digits to a common level.
        first = take(plan.node, rows[:1], plan.columns).astype(np.float64)
        total, squares = np.zeros(len(plan.columns)), np.zeros((len(plan.columns),) * 2)
        for values in chunks(plan.node, rows, plan.columns):
            values -= first
            total += values.sum(axis=0)
            squares += values.T @ values
    return _correlation(squares - np.outer(total, total) / len(rows)), tuple(map(str, plan.genes))


def _correlation(products: np.ndarray) -> np.ndarray:
    """Return r from sums of centred products [G, G]; 0 where a variance is 0."""
    scale = np.sqrt(products.diagonal().clip(min=0))
    scale = np.outer(scale, scale)
    return np.clip(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0), -1, 1)


def _halves(cells: pd.DataFrame, seed: int, context: str) -> np.ndarray:
    """Return 0 or 1 for every cell: each perturbation's cells, sorted by name, are dealt out at random."""
    half = pd.Series(0, index=cells.index)
    for name, rows in cells.sort_values("cell", kind="stable").groupby("perturbation", sort=True).groups.items():
        half.loc[rows] = generator(seed, "observed", context, name).permutation(len(rows)) % 2
    return half.to_numpy()


class _Plan(NamedTuple):
    cells: pd.DataFrame
    """Cells of the context that have a perturbation; the index is their row in the file."""
    controls: pd.DataFrame
    """Control cells of the context sorted by name; the index is their row in the file."""
    node: Node | None
    columns: np.ndarray
    """Wanted columns of the space, in the wanted order; empty if they cannot be told."""
    names: np.ndarray
    """Names of all columns of the space."""
    notes: tuple[str, ...]

    @property
    def genes(self) -> np.ndarray:
        """Names of the wanted columns."""
        return self.names[self.columns]


def _plan(
    file: CellFile, source: CellSource, genes: Sequence[str] | None, n_sets: int, set_size: int
) -> tuple[_Plan, list[str]]:
    """Find rows and columns without reading a value; return them with all faults found on the way."""
    faults: list[str] = []
    cells = controls = pd.DataFrame()
    node, columns, names, notes = None, np.array([], int), np.array([]), ()
    with gathering(faults):
        labels = _labels(file, source)
        cells = labels[(labels["context"] == source.context) & (labels["perturbation"] != "")]
        controls, found = _controls(labels, source, n_sets, set_size)
        faults += found
    with gathering(faults):
        node = file.space(source.space)
        names, notes = file.gene_names(source.space, source.gene_names)
        columns, found = matched_genes(names, genes, f"space '{source.space}'")
        faults += found + (_hint(file, names, genes) if found and genes is not None else [])
    return _Plan(cells, controls, node, columns, names, notes), faults


def _labels(file: CellFile, source: CellSource) -> pd.DataFrame:
    """Return cell, context, perturbation and batch of all cells that are asked for; the index is their row."""
    asked = _asked_labels(file, source)
    return _of_agents(asked, _counted(asked, source))


def _counted(labels: pd.DataFrame, source: CellSource) -> dict[str, Counted]:
    """Return what each label counts as; nothing where nothing is said of labels."""
    agents = agents_of(source.agents)
    return agents.counted(set(labels["perturbation"]) - {""}, source.control) if agents else {}


def _of_agents(labels: pd.DataFrame, counted: Mapping[str, Counted]) -> pd.DataFrame:
    """Return cells under the names of their agents, without those whose label counts as nothing."""
    if not counted:
        return labels
    names = {label: each.agent for label, each in counted.items() if each.agent} | {"": ""}
    found = labels[labels["perturbation"].isin([*names])]
    return found.assign(perturbation=found["perturbation"].map(names))


def _asked_labels(file: CellFile, source: CellSource) -> pd.DataFrame:
    """Return what `_labels` does, before labels are counted as agents."""
    found = _written_labels(file, source)
    if source.further_controls:
        also = _further_controls(set(found["perturbation"]) - {""}, source)
        found["perturbation"] = found["perturbation"].where(~found["perturbation"].isin(also), source.control)
    return found


def _further_controls(labels: Collection[str], source: CellSource) -> list[str]:
    """Return the labels that are like those of `further_controls`; PertprobeError for one that none is like."""
    like = {each: [label for label in labels if fnmatchcase(label, each)] for each in source.further_controls}
    if without := [each for each, found in like.items() if not found]:
        where = f"no label of obs['{source.perturbation_column}'] is like {listed(without)}"
        raise PertprobeError(
            f"{where} (found: {listed(sorted(labels), 5)}). Set further_controls to labels of controls"
        )
    return [label for found in like.values() for label in found]


def _written_labels(file: CellFile, source: CellSource) -> pd.DataFrame:
    """Return what `_labels` does, with labels as they are written."""
    wanted = {name: getattr(source, f"{name}_column") for name in ("context", "perturbation", "batch")}
    wanted = {name: column for name, column in wanted.items() if column is not None}
    known, within = file.columns("obs"), source.within or {}
    absent = {name: column for name, column in wanted.items() if column not in known}
    faults = [
        f"obs has no column '{each}' (found: {listed(known)}). Set {name}_column to one of them.{meant(each, known)}"
        for name, each in absent.items()
    ]
    faults += [f"obs has no column '{each}', which `within` names.{meant(each, known)}"
               for each in within if each not in known]  # fmt: skip
    raise_together(faults)
    missing = {*MISSING} - {source.control, source.context}
    columns = {name: file.column("obs", column) for name, column in wanted.items()}
    columns = {name: np.where(np.isin(each, [*missing]), "", each) for name, each in columns.items()}
    found = pd.DataFrame({"cell": file.index("obs"), **columns}, dtype=object)
    for column, label in within.items():
        held = file.column("obs", column)
        if not (inside := held == label).any():
            words = f"obs['{column}'] has no '{label}' (found: {listed(sorted(set(held)))}).{meant(label, set(held))}"
            raise PertprobeError(f"{words} Set within.{column} to one of them")
        found = found[inside[found.index]]
    return found


def labelled_cells(file: CellFile, source: CellSource) -> tuple[pd.DataFrame, int]:
    """Return the cells of the context that have a perturbation, and the number of those that have none.

    Columns: cell, perturbation, batch (empty without a column of batches), perturbed; the index is the row in the file.
    Raises `PertprobeError` where obs does not have the columns.
    """
    labels = _labels(file, source)
    inside = labels[labels["context"] == source.context].drop(columns="context")
    cells = inside[inside["perturbation"] != ""]
    batch = cells["batch"] if source.batch_column else ""
    return cells.assign(batch=batch, perturbed=cells["perturbation"] != source.control), len(inside) - len(cells)


def _controls(labels: pd.DataFrame, source: CellSource, n_sets: int, set_size: int) -> tuple[pd.DataFrame, list[str]]:
    """Return the control cells of the context, sorted by name, and what is wrong with them."""
    faults = []
    inside = labels[labels["context"] == source.context]
    if inside.empty:
        found = sorted(set(labels["context"]) - {""})
        faults.append(
            f"context '{source.context}' is not in obs['{source.context_column}'] (found: {listed(found)}). "
            f"Set context to one of them.{meant(source.context, found)}"
        )
    where = inside if len(inside) else labels
    if twice := repeated(where["cell"].to_numpy()):
        faults.append(f"{len(twice)} names of cells occur twice: {listed(twice)}. Make obs_names unique")
    controls = where[where["perturbation"] == source.control].sort_values("cell", kind="stable")
    if controls.empty:
        frequent = where["perturbation"].value_counts().index
        several = [label for label in frequent if label.startswith(source.control)]
        near = meant(source.control, frequent)
        if len(several) > 1:
            near = f" {len(several)} labels begin with it: of controls, set further_controls to [{source.control}*]"
        faults.append(
            f"control label '{source.control}' is not in obs['{source.perturbation_column}'] (most frequent: "
            f"{listed(frequent, 5)}). Set control to the label of control cells.{near}"
        )
    elif len(inside):
        faults += _count_faults(controls, source, n_sets, set_size)
    return (controls if len(inside) else controls.iloc[:0]), faults


def _count_faults(controls: pd.DataFrame, source: CellSource, n_sets: int, set_size: int) -> list[str]:
    faults = []
    if len(controls) < n_sets * set_size:
        fit = len(controls) // set_size
        remedy = f"Set n_sets to {fit}" if fit else f"Set set_size to at most {len(controls)}"
        faults.append(
            f"context '{source.context}' has {len(controls)} control cells ('{source.control}' in "
            f"obs['{source.perturbation_column}']), {n_sets} sets x {set_size} = {n_sets * set_size} needed. {remedy}"
        )
    if source.batch_column and (controls["batch"] == "").any():
        n = int((controls["batch"] == "").sum())
        faults.append(
            f"obs['{source.batch_column}'] is empty for {n} control cells. Fill it, or set batch_column to null"
        )
    return faults


def _hint(file: CellFile, names: np.ndarray, genes: Sequence[str]) -> list[str]:
    """Return a remedy where another column of var knows more of the wanted genes."""
    held = {column: len(set(file.column("var", column)) & set(genes)) for column in file.columns("var")}
    best = max(held, key=held.get, default=None)
    if best is None or held[best] <= len(set(names) & set(genes)):
        return []
    return [f"var['{best}'] holds {held[best]} of the {len(genes)} genes: set genes to 'var:{best}'"]


def _value_faults(values: np.ndarray, source: CellSource, cells: np.ndarray, genes: np.ndarray) -> list[str]:
    """Return what is wrong with values [cells, genes] under the normalisation that is expected."""
    finite = np.isfinite(values)
    if finite.all():
        wrong = _wrong_scale(values, source.normalisation) if values.size and source.normalisation != "none" else ""
    else:
        row, column = np.argwhere(~finite)[0]
        wrong = f"NaN or infinite values (first: cell {cells[row]}, gene {genes[column]}). Remove or impute them"
    return [f"space '{source.space}' holds {wrong}"] if wrong else []


def _wrong_scale(values: np.ndarray, expected: Normalisation) -> str:
    low, high = values.min(), values.max()
    whole = (values == np.round(values)).all()
    if low < 0:
        return f"negative values (smallest: {low:.3g}). Give unscaled data; for an embedding, normalisation 'none'"
    if high == 0:
        return "nothing but zeros in the control cells. Give another space"
    if expected == "counts":
        return "" if whole else "fractions where counts are expected. Give raw counts, or normalisation 'log1p'"
    if whole:
        return f"raw counts (up to {high:.0f}) where log1p is expected. Give a log1p space, or normalisation 'counts'"
    unlogged = f"values up to {high:.4g}; log1p is expected, which stays below {LOG1P_LIMIT:.0f}"
    return unlogged if high > LOG1P_LIMIT else ""


def _borrowed_name_faults(file: CellFile, plan: _Plan, source: CellSource) -> list[str]:
    """Return a fault where an obsm under names borrowed from var or uns does not agree with X under the same names.

    Normalising and taking logarithms keep the ranks within a cell; names of other columns do not.
    """
    x = file.spaces().get("X")
    if not plan.notes or x is None or by_columns(x) or by_columns(plan.node) or source.normalisation == "none":
        return []
    x_names = file.gene_names("X")[0]
    known = set(x_names)
    shared = [name for name in plan.genes if name in known]
    ranks = []
    for node, names in ((plan.node, plan.names), (x, x_names)):
        place = {name: i for i, name in enumerate(names)}
        values = take(node, plan.controls.index.to_numpy()[:64], np.array([place[name] for name in shared], int))
        ranks.append(average_ranks(values, axis=1))
    varied = [(a, b) for a, b in zip(*ranks, strict=True) if len(shared) > 1 and np.ptp(a) and np.ptp(b)]
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in varied]
    if not agreement or np.mean(agreement) >= SAME_GENES:
        return []
    return [
        f"{plan.notes[0]}, but its values and X's correlate at {np.mean(agreement):.2f} under these names. Set genes"
    ]


SOURCE_KEYS = (
    "context", "context_column", "perturbation_column", "control", "batch_column", "space", "normalisation",
    "further_controls", "within", "agents",
)  # fmt: skip


def context_source(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `cells` entry of the config as the keyword arguments that say where cells are: its one reader."""
    return {**{key: entry[key] for key in SOURCE_KEYS if key in entry}, "gene_names": entry.get("genes")}


def response_source(card: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the observed responses of a model are: in its own space, or in X where that is an embedding."""
    source = context_source(entry)
    if "gene_space" in card["capabilities"]:
        return source
    return {**source, "space": "X", "gene_names": None, "normalisation": "log1p"}
