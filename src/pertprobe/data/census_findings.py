"""What a census says of one context: what stops a run, and what is only worth knowing."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pertprobe.data.cells import LOG1P_LIMIT, CellSource
from pertprobe.data.census import Census
from pertprobe.data.findings import Finding, Level
from pertprobe.data.scale import EXPECTED, UNDECIDED
from pertprobe.errors import listed

FEW = 5
"""Expressed genes from which a cell of whole numbers alone is not logged."""
MOST_ALIKE = 0.5
"""Share of cells that hold the same values as another above which a matrix is taken for damaged."""
SAME_SCALE, ONE_SCALE = 1.5, 2.0
"""How many times the mean expression of one group of cells may be that of another: more is odd, and more is wrong.

Groups of the real cells and of the simulated ones here differ by 1.04 at most (logged values)."""
ENOUGH_CELLS = 10
"""Cells from which a group's mean expression is compared."""


def cell_findings(key: str, census: Census, source: CellSource) -> Iterator[Finding]:
    """Yield what is to be said of single cells: `key` is the entry of the config, `source` where they are."""
    cells, expected, space = census.cells, source.normalisation, f"space '{source.space}'"
    n = len(cells)

    def found(what: str, level: Level, which: pd.Series, words: str) -> Finding:
        """Return a finding on the cells that are chosen; all is good where there are none."""
        some = cells[which]
        if not len(some):
            return Finding(key, what, "good", 0, n, "")
        return Finding(key, what, level, len(some), n, f"{words} in {len(some)} of {n} cells{_where(some, census)}")

    bad = f"{space}: NaN or infinite values (columns: {listed(np.array(census.genes)[census.n_bad > 0], 5)})"
    yield found("finite_values", "fault", cells["n_bad"] > 0, bad)
    if expected != "none":
        low = cells["smallest"].min() if n else 0
        yield found("no_negative_values", "fault", cells["smallest"] < 0, f"{space}: negative values (to {low:.3g})")
        yield found("scale_of_cells", "fault", *_off_scale(cells, expected, space))
    yield found("empty_cells", "note", cells["n_expressed"] == 0, f"{space}: nothing but zeros")
    alike = cells["code"].duplicated(keep=False) & (cells["n_expressed"] > 0)
    level: Level = "fault" if alike.mean() > MOST_ALIKE else "note"
    yield found("identical_cells", level, alike, f"{space}: the same values as another cell")
    unlabelled = f"cells of the context have no label in obs['{source.perturbation_column}']: nothing reads them"
    all_cells = n + census.n_unlabelled
    words = f"{census.n_unlabelled} of {all_cells} {unlabelled}" if census.n_unlabelled else ""
    yield Finding(key, "labelled_cells", "note" if words else "good", census.n_unlabelled, all_cells, words)


def _where(some: pd.DataFrame, census: Census) -> str:
    """Say which cells these are: the first, and what they have in common."""
    batches = [name for name in some["batch"].unique() if name]
    total = census.cells["batch"].nunique()
    kinds = {True: "perturbed", False: "control"}
    common = [f"all {kinds[some['perturbed'].iloc[0]]}"] if some["perturbed"].nunique() == 1 else []
    common += [f"in batches {listed(sorted(batches), 5)}"] if batches and len(batches) < total else []
    return f" (first: {some['cell'].iloc[0]}{''.join(f'; {each}' for each in common)})"


def _off_scale(cells: pd.DataFrame, expected: str, space: str) -> tuple[pd.Series, str]:
    """Return which cells are not on the scale that is expected, and what they hold."""
    whole = (cells["n_whole"] == cells["n_expressed"]) & (cells["n_expressed"] >= FEW)
    if expected == "counts":
        fractions = cells["n_whole"] < cells["n_expressed"]
        return fractions, f"{space}: fractions where counts are expected. Give raw counts, or normalisation 'log1p':"
    raw = whole | (cells["largest"] > LOG1P_LIMIT)
    most = cells["largest"].max() if len(cells) else 0
    return raw, f"{space}: values that are not logged (up to {most:.4g}) where log1p is expected. Log all cells alike:"


def group_findings(key: str, census: Census, scales: pd.DataFrame, source: CellSource) -> Iterator[Finding]:
    """Yield what is to be said of the scale of groups of cells: batches, perturbed and control cells.

    `scales` is what `scales_of_groups` returns.
    """
    yield _read_scale(key, scales, source)
    if source.normalisation == "none":
        return
    groups = census.groups["n_cells"].to_numpy() >= ENOUGH_CELLS
    names = [_name(row) for row in census.groups[groups].to_dict("records")]
    ratios = relative_scale(census.means[groups])
    low, high = (ratios.min(), ratios.max()) if len(ratios) else (1.0, 1.0)
    half, apart = np.sqrt(SAME_SCALE), high > SAME_SCALE * low
    odd = {name: r for name, r in zip(names, ratios, strict=True) if apart and not 1 / half <= r <= half}
    said = listed([f"{name} {ratio:.2f}" for name, ratio in odd.items()], 5)
    words = f"space '{source.space}': mean expression relative to all groups of cells: {said}. Bring them to one scale"
    logged = source.normalisation == EXPECTED
    level: Level = "good" if not odd else "fault" if high > ONE_SCALE * low and logged else "note"
    yield Finding(key, "scale_of_groups", level, len(odd), len(names), words if odd else _range(ratios))


def _range(ratios: np.ndarray) -> str:
    return f"mean expression of groups relative to all: {ratios.min():.2f} to {ratios.max():.2f}" if ratios.size else ""


def relative_scale(means: np.ndarray) -> np.ndarray:
    """Return by what each group's means [group, gene] are to be divided to lie upon those of all groups.

    The slope through 0 of the group's means on the median over groups, gene by gene; 1 where that is 0. Two groups are
    compared with each other.
    """
    middle = np.median(means, axis=0) if len(means) > 2 else means[:1].sum(axis=0)
    size = middle @ middle
    return means @ middle / size if size > 0 else np.ones(len(means))


def _name(group: dict) -> str:
    kind = "perturbed" if group["perturbed"] else "control"
    return f"{kind} cells of batch '{group['batch']}'" if group["batch"] else f"{kind} cells"


def _read_scale(key: str, scales: pd.DataFrame, source: CellSource) -> Finding:
    """Return what the counts behind the values say of the scale."""
    what, n = "log1p", len(scales)
    if source.normalisation != EXPECTED:
        words = f"not asked: normalisation is '{source.normalisation}'"
        return Finding(key, what, "uncheckable", n, n, words)
    wrong = scales[~scales["scale"].isin([EXPECTED, UNDECIDED])]
    if len(wrong):
        found = listed([f"{_name(row)}: {row['scale']}" for row in wrong.to_dict("records")], 5)
        remedy = "Give log1p values of all cells, or normalisation 'none' if the model was trained on these"
        words = f"space '{source.space}' is not log1p of what was counted, as normalisation says ({found}). {remedy}"
        return Finding(key, what, "fault", len(wrong), n, words)
    open_ = int((scales["scale"] == UNDECIDED).sum())
    if not open_:
        return Finding(key, what, "good", 0, n, "values are log1p of multiples of one molecule, in all groups")
    words = f"space '{source.space}': values of {open_} of {n} groups are no log1p of multiples of one molecule: "
    return Finding(key, what, "uncheckable", open_, n, words + "corrected, imputed or too few; their scale is not told")
