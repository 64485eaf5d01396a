"""Write docs/calibration.md from the table that `make calibration` made."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from pertprobe.calibration import foreign, planted, statelike, table, trained, untrained
from pertprobe.calibration.nulls import CEILING, RANDOMISED, SUPER

HERE = Path(__file__).parent
TABLE = HERE.parent / "results" / "calibration" / "calibration.tsv"
POOLED = ", all programs"
"""End of a setting in which programs of all sizes are counted together."""
WORLDS = [words for words, *_ in foreign.WORLDS.values()]
SHOWN = [(4, 1), (4, 2), (4, 3), (15, 1), (15, 2), (15, 3)]
"""Members and d of the power that is shown."""
TITLE = """# What the calibration found

*Written by `make calibration` from its table `results/calibration/calibration.tsv`, which has every figure with its
seeds. What is counted, and the bounds: [methods](methods.md#calibration).*
"""


def page(rows: pd.DataFrame) -> str:
    """Return the page that tells a table of the calibration."""
    whole = rows[rows.seed == ""]
    parts = (_summary, _answers, _nulls, _power, _models)
    return "\n\n".join([TITLE.rstrip(), *(text for part in parts for text in part(whole))]) + "\n"


def _table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    ruled = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(str(each).replace('|', '&#124;') for each in line)} |" for line in ruled)


def _number(value: float, digits: int = 3) -> str:
    return "-" if pd.isna(value) else f"{value:.{digits}g}"


def _judged(row: Any) -> list[str]:
    """Return a figure's value, its bound, and what it counts."""
    return [_number(row.value), f"{row.sense} {_number(row.bound)}" if row.sense else "-", str(row.n)]


def _summary(rows: pd.DataFrame) -> Iterator[str]:
    """Yield how many figures keep their bounds, and those that do not."""
    judged = rows[rows.holds.notna()]
    missed = judged[~judged.holds.astype(bool)]
    yield (
        f"pertprobe {version('pertprobe')}: of {len(judged):,} figures with a bound "
        f"{len(judged) - len(missed):,} keep it. "
        "A bound is the 99.9 % quantile of chance: of a thousand right figures one is expected outside of its own."
    )
    if len(missed):
        yield "Outside of their bounds:"
        lines = ([row.figure, row.probe, row.setting, *_judged(row)] for row in missed.itertuples())
        yield _table(["figure", "probe", "setting", "value", "bound", "n"], lines)


def _answers(rows: pd.DataFrame) -> Iterator[str]:
    """Yield how models of every family are answered, over all foreign worlds."""
    yield "## Answers in worlds that no probe was made for"
    asked = rows[rows.figure.isin([foreign.RIGHT, foreign.TAKEN])]
    family = asked.setting.replace({rf"^{world}, ": "" for world in WORLDS}, regex=True)
    lines = []
    for name, group in asked.groupby(family, sort=False):
        asked_of = (group[group.figure == figure] for figure in (foreign.RIGHT, foreign.TAKEN))
        lines.append([name, *(f"{(each.value * each.n).sum():.0f} of {each.n.sum()}" for each in asked_of)])
    yield _table(["family", "models answered right", "programs called mechanism"], lines)


def _nulls(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the false positives of every question in every world without signal."""
    yield "## False positives where nothing is to be found"
    yield (
        "Share of programs, or of worlds where all units are asked together, with p < 0.05. *Worst size*: of programs "
        "of one size. *Published*: the test that was published, on the same draws, of its worst size."
    )
    size = r", (\d+ members|all programs)$"
    rows = rows.assign(world=rows.setting.str.replace(size, "", regex=True), pooled=rows.setting.str.endswith(POOLED))
    published = rows[rows.figure == table.PUBLISHED].groupby(["probe", "world"]).value.max()
    lines = []
    for key, group in rows[rows.figure == table.FALSE_POSITIVES].groupby(["probe", "world"], sort=False):
        several = group.pooled.any()
        whole = group[group.pooled == several].iloc[0]
        worst = group[~group.pooled].value.max() if several else nan
        lines.append([*key, _number(whole.value), whole.n, _number(worst), _number(published.get(key, nan))])
    yield _table(["question", "world", "share", "n", "worst size", "published"], lines)
    spread = rows[rows.figure.isin([SUPER, RANDOMISED])]
    kept = int(spread.holds.astype(bool).sum())
    yield f"Of {len(spread)} figures of how p is spread where it is exact, {kept} keep their bounds."


def _power(rows: pd.DataFrame) -> Iterator[str]:
    """Yield how often a planted program is found."""
    yield "## Power"
    yield "Share of planted programs with p < 0.05 among 80 units: members shifted by d sd of all other units."
    found = rows[rows.figure == table.POWER]
    lines = []
    for probe, group in found.groupby("probe", sort=False):
        shares = group.set_index(group.setting.str.replace(r" of \d+", "", regex=True)).value
        lines.append([probe, *(_number(shares.get(f"{members}, d = {d}", nan), 2) for members, d in SHOWN)])
    yield _table(["probe", *(f"{members} members, d = {d}" for members, d in SHOWN)], lines)


def _models(rows: pd.DataFrame) -> Iterator[str]:
    """Yield what is said of whole models: planted, untrained, trained; and the coverage of intervals."""
    for title, figures in (
        ("Planted models", [planted.FIGURE]),
        ("Untrained weights as the model", [untrained.FIGURE]),
        ("Trained models", [trained.FIGURE, statelike.LEARNED]),
        ("Intervals", [CEILING]),
    ):
        yield f"## {title}"
        mine = rows[rows.figure.isin(figures)]
        lines = ([row.probe, row.setting, *_judged(row)] for row in mine.itertuples())
        yield _table(["probe", "setting", "share", "bound", "n"], lines)


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else TABLE
    (HERE / "calibration.md").write_text(page(table.read(path)), encoding="utf-8")
