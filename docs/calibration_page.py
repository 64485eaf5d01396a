"""Write docs/calibration.md from the parts that `make calibration` made."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from pertprobe.calibration import foreign, parts, planted, statelike, table, trained, untrained
from pertprobe.calibration.nulls import CEILING, RANDOMISED, SUPER
from pertprobe.workflow.config import fill_in, whole_schema

HERE = Path(__file__).parent
FOLDER = HERE.parent / "results" / "calibration"
SCHEMA = HERE.parent / "config" / "schema.yaml"
POOLED = ", all programs"
"""End of a setting in which programs of all sizes are counted together."""
WORLDS = [words for words, *_ in foreign.WORLDS.values()]
SHOWN = [(4, 1), (4, 2), (4, 3), (15, 1), (15, 2), (15, 3)]
"""Members and d of the power that is shown."""
TITLE = """# What the calibration found

*Written by `make calibration`, whose table `results/calibration/calibration.tsv` has every figure with its seeds.
What is counted, and the bounds: [methods](methods.md#calibration).*
"""


def page(rows: pd.DataFrame, missing: Sequence[str] = ()) -> str:
    """Return the page that tells a table of the calibration; `missing` are parts of it that were not made."""
    whole = rows[rows.seed == ""]
    sections = (_summary, _answers, _nulls, _power, _models)
    texts = [TITLE.rstrip(), *_missing(missing), *(text for section in sections for text in section(whole))]
    return "\n\n".join(texts) + "\n"


def _missing(names: Sequence[str]) -> Iterator[str]:
    """Yield which parts were not made, those of one kind together."""
    if names:
        kinds = Counter(name.partition("-")[0] for name in names)
        told = ", ".join(
            f"`{kind}`" + (f" ({times} seeds or worlds)" if times > 1 else "") for kind, times in kinds.items()
        )
        yield f"**Not made yet**, and without figures below: {told}."


def made(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the table of all parts in a folder of results, and the names of parts that are not there."""
    config: dict[str, Any] = {"calibration": {}}
    fill_in(config, whole_schema(SCHEMA))
    paths = {name: folder / "parts" / f"{name}.tsv" for name in parts.names(config["calibration"])}
    found = [table.read(path) for path in paths.values() if path.is_file()]
    return table.gathered(found), [name for name, path in paths.items() if not path.is_file()]


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
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    (HERE / "calibration.md").write_text(page(*made(results)), encoding="utf-8")
