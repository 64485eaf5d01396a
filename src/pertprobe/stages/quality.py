"""How well a model predicts: observed against predicted mean shifts, next to a baseline and the data's own ceiling."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.errors import PertprobeError
from pertprobe.files import read_table

HELD_OUT = ("elsewhere", "never")
"""What `seen` says of perturbations that the model was not trained with in its context."""
MEDIANS = ["r", "r_mean_shift", "ceiling"]
PROGRAM_COLUMNS = ["program", "n", "n_heldout", "which", *MEDIANS, "beats", "reason"]


def response_correlation(predicted: pd.DataFrame, observed: pd.DataFrame) -> pd.DataFrame:
    """Correlate predicted with observed delta_y over genes, perturbation by perturbation.

    Args:
        predicted: mean predicted shift [perturbation x gene].
        observed: mean observed shift [perturbation x gene]; genes in any order, more perturbations are welcome.

    Returns:
        Per perturbation found in both, in predicted's order: `r`, Pearson over all genes, the knocked one included,
        and `r_mean_shift`, that of the mean observed shift of the *other* observed perturbations. Constant profiles
        give nan, and so does the baseline of a single perturbation.

    Raises:
        PertprobeError: if the two do not have the same genes, or have no perturbation in common.
    """
    if predicted.columns.has_duplicates or set(predicted.columns) != set(observed.columns):
        odd = sorted(set(predicted.columns) ^ set(observed.columns))
        raise PertprobeError(f"quality: predicted and observed genes differ, or are not unique: {odd[:10]}.")
    names = [name for name in predicted.index if name in observed.index]
    if not names:
        raise PertprobeError("quality: no perturbation is both predicted and observed.")
    observed = observed[predicted.columns]
    seen = observed.loc[names].to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (observed.to_numpy(float).sum(axis=0) - seen) / (len(observed) - 1)
    r = _pearson(predicted.loc[names].to_numpy(float), seen)
    return pd.DataFrame({"r": r, "r_mean_shift": _pearson(others, seen)}, index=pd.Index(names, name="perturbation"))


def quality_table(predicted: pd.DataFrame, observed: xr.Dataset, *, seen: Mapping[str, str]) -> pd.DataFrame:
    """Return how well each perturbation that was observed is predicted, one row each.

    Args:
        predicted: mean predicted shift [perturbation x gene].
        observed: what `observed.observe` returns.
        seen: perturbation -> here, elsewhere, never or unknown.

    Returns:
        perturbation, seen; r and r_mean_shift (`response_correlation`); r_halves, Pearson over genes between the
        observed halves; ceiling (`split_half_ceiling`); r_disattenuated = r / ceiling, not clipped; n_cells observed.

    Raises:
        PertprobeError: as `response_correlation`.
    """
    table = response_correlation(predicted, observed["delta_y"].to_pandas()).reset_index()
    table.insert(1, "seen", [seen.get(name, "unknown") for name in table.perturbation])
    found = observed.sel(perturbation=table.perturbation.to_list())
    r_halves = _pearson(*found["delta_y_half"].values.astype(float))
    table = table.assign(r_halves=r_halves, ceiling=split_half_ceiling(r_halves))
    return table.assign(r_disattenuated=table.r / table.ceiling, n_cells=found["n_cells"].values)


def split_half_ceiling(r_halves: np.ndarray) -> np.ndarray:
    """Return the largest correlation that a noise-free prediction can have with the mean over all cells.

    The square root of the reliability of that mean, 2 r / (1 + r) from the correlation r of its halves (Spearman 1910,
    Brown 1910); nan where the halves do not correlate.
    """
    r = np.where(np.asarray(r_halves) > 0, r_halves, np.nan)
    return np.sqrt(2 * r / (1 + r))


def program_quality(table: pd.DataFrame, programs: Mapping[str, Sequence[str]], minimum: int = 1) -> pd.DataFrame:
    """Say for each program whether its perturbations are predicted better than by the mean shift.

    Args:
        table: what `quality_table` returns.
        programs: program -> its genes.
        minimum: fewest perturbations with a baseline that the question needs.

    Returns:
        `PROGRAM_COLUMNS`, a row per program: n, its perturbations that have a baseline; n_heldout of them held out;
        which are judged ("heldout" where there are any, otherwise "all"); their medians (`medians`); beats: whether
        the median r is larger than the median r_mean_shift, <NA> where it cannot be judged; reason, why not.
    """
    rows = [_program_row(name, table[table.perturbation.isin(genes)], minimum) for name, genes in programs.items()]
    return pd.DataFrame(rows, columns=PROGRAM_COLUMNS).astype({"beats": "boolean"})


def _program_row(program: str, rows: pd.DataFrame, minimum: int) -> dict[str, Any]:
    rows = rows[rows.r_mean_shift.notna()]
    held = rows[rows.seen.isin(HELD_OUT)]
    judged, which = (held, "heldout") if len(held) else (rows, "all")
    who = {"program": program, "n": len(rows), "n_heldout": len(held), "which": which, **medians(judged)}
    if len(rows) < max(minimum, 1):
        return {**who, "beats": None, "reason": f"observed perturbations: {len(rows)}, needed: {max(minimum, 1)}"}
    beats = bool(who["r"] > who["r_mean_shift"])
    return {**who, "beats": beats, "reason": "" if beats else _below(who, len(judged))}


def medians(rows: pd.DataFrame) -> dict[str, float]:
    """Return the medians of `MEDIANS` over the rows of a quality table that have a baseline.

    A constant prediction of a response that varies says nothing of it: its r counts as 0. Halves that do not correlate
    put the ceiling at 0; without halves it is left out.
    """
    rows = rows[rows.r_mean_shift.notna()]
    ceiling = rows.ceiling.fillna(0).where(rows.r_halves.notna())
    return rows.assign(r=rows.r.fillna(0), ceiling=ceiling)[MEDIANS].median().to_dict()


def _below(row: Mapping[str, Any], n: int) -> str:
    whose = ("held-out " if row["which"] == "heldout" else "") + ("perturbation" if n == 1 else "perturbations")
    return (
        f"quality gate: over {n} {whose} the median r of predicted with observed delta_y, {row['r']:.2f}, does not "
        f"beat the mean shift's {row['r_mean_shift']:.2f}"
    )


def gate(table: pd.DataFrame, program: str) -> str:
    """Return why a program of a `program_quality` table is below the gate; empty where it passes or is unknown.

    Raises:
        KeyError: the table does not have the program.
    """
    row = table.set_index("program").loc[program]
    return row.reason if pd.notna(row.beats) and not row.beats else ""


def read_quality(path: str | Path) -> pd.DataFrame:
    """Read a `quality_table` back with its types."""
    return read_table(path, ("perturbation", "seen"))


def read_program_quality(path: str | Path) -> pd.DataFrame:
    """Read a `program_quality` table back with its types."""
    table = read_table(path, ("program", "which", "beats", "reason"))
    return table.assign(beats=table.beats.map({"True": True, "False": False}).astype("boolean"))


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's r of matching rows; nan where one is constant (to rounding) or not finite."""
    x, y = (rows - rows.mean(axis=1, keepdims=True) for rows in (a, b))
    sizes = [(np.linalg.norm(centred, axis=1), np.linalg.norm(rows, axis=1)) for centred, rows in ((x, a), (y, b))]
    norms = [np.where(spread > 1e-12 * size, spread, np.nan) for spread, size in sizes]
    return np.clip((x * y).sum(axis=1) / (norms[0] * norms[1]), -1, 1)
