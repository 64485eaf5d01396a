"""On which scale values are, told from the counts behind them: the ladder that one, two, three molecules leave."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pertprobe.data.cells import CellSource
from pertprobe.data.census import GROUP, Census
from pertprobe.data.h5ad import CellFile, take
from pertprobe.seeding import generator

EXPECTED = "log1p"
UNDECIDED = ""
NOT_LOGGED = "not logged"
SHARES = "shares of a total, so small that a logarithm changes nothing"
READINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    EXPECTED: np.expm1,
    NOT_LOGGED: lambda values: values,  # before log2: of counts both are whole numbers
    "log2(1 + x)": lambda values: np.expm1(values * np.log(2)),
    "log10(1 + x)": lambda values: np.expm1(values * np.log(10)),
    "log1p taken twice": lambda values: np.expm1(np.expm1(values)),
}
"""Scale -> what makes multiples of one molecule of it."""
FACTORS = np.exp(np.linspace(np.log(0.1), np.log(10), 693))
"""By which log1p values may have been multiplied, in steps of 0.7 %."""
RUNGS = 1.5, 8.5
"""Ratios that are looked at: above the first rung, and as far as rungs are far apart beside rounding."""
NEAR = 0.03
"""How near a whole number a ratio must be; 6 % of those of any other scale are."""
FITS, MISSES = 0.85, 0.4
"""Share of ratios on the ladder from which a scale is taken for the right one, and below which it is not."""
ENOUGH = 60
"""Fewest ratios that decide."""
CELLS = 24
"""Cells of a group that are looked at."""
MOST_CELLS = 6000
"""Cells looked at in all, as far as every group has at least 3."""


def scale_of(values: np.ndarray) -> str:
    """Return the scale of values [cell, gene]: a key of `READINGS`, `SHARES`, "1.50 times log1p", or `UNDECIDED`.

    Within a cell that was divided by its total, what stands behind the values are whole multiples of what one molecule
    gives. Undoing the right scale, and no other, the ratios of values to the smallest are whole numbers; batch
    correction, imputation and z scores leave no ladder.
    """
    with np.errstate(over="ignore"):
        shares = {name: _on_ladder(undo(values)) for name, undo in READINGS.items()}
    if shares[EXPECTED] >= FITS:
        return SHARES if shares[NOT_LOGGED] >= FITS else EXPECTED
    if max(shares.values()) < 0:
        return UNDECIDED
    best = max(shares, key=shares.get)
    if shares[best] >= FITS:
        return best if shares[EXPECTED] <= MISSES else UNDECIDED
    few = values[: CELLS // 3]
    found = [_on_ladder(np.expm1(np.minimum(few / factor, 50))) for factor in FACTORS]
    at = int(np.argmax(found))
    fits = found[at] >= FITS and shares[EXPECTED] <= MISSES
    return f"{FACTORS[at]:.2f} times {EXPECTED}" if fits else UNDECIDED


def _on_ladder(linear: np.ndarray) -> float:
    """Return the share of ratios to each cell's smallest value that are near whole numbers; -1 where they are few."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        positive = np.where(np.isfinite(linear) & (linear > 0), linear, np.nan)
        kept = positive[np.isfinite(positive).any(axis=1)]
        ratios = kept / np.nanmin(kept, axis=1, keepdims=True) if len(kept) else kept
    ratios = ratios[(ratios > RUNGS[0]) & (ratios < RUNGS[1])]
    return float((np.abs(ratios - np.rint(ratios)) < NEAR).mean()) if ratios.size >= ENOUGH else -1.0


def scales_of_groups(path: str | Path, census: Census, **source: Any) -> pd.DataFrame:
    """Return `census.groups` with the `scale` of each, of a sample of its cells drawn by name."""
    where, rows = CellSource(**source), []
    most = max(3, min(CELLS, MOST_CELLS // max(1, len(census.groups))))
    for _, cells in census.cells.sort_values("cell", kind="stable").groupby(GROUP, sort=True):
        drawn = generator(0, "scale", where.context).permutation(len(cells))[:most]
        rows.append(cells.index.to_numpy()[np.sort(drawn)])
    with CellFile(path) as file:
        node, wanted = file.space(where.space), set(census.genes)
        names, _ = file.gene_names(where.space, where.gene_names)
        columns = np.array([i for i, name in enumerate(names) if name in wanted], int)
        values = take(node, np.concatenate(rows), columns).astype(np.float64) if rows else np.zeros((0, 0))
    cuts = np.cumsum([len(each) for each in rows])[:-1]
    return census.groups.assign(scale=[scale_of(each) for each in np.split(values, cuts)])
