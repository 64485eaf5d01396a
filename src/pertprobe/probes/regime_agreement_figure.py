"""The figure of regime_agreement: how alike the responses of two regimes are, of all perturbations and by program."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pertprobe.plots import (
    BAD,
    SMALL,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    draw_abreast,
    foot,
    height_of,
    histograms,
    letters,
    nothing_to_draw,
    null_handles,
    paged,
    pages_said,
    row_words,
    sentences,
    share_rows,
)

PROGRAMS = 30
"""Most programs of a page."""
SPREAD = 48.0
"""Height in mm of the distributions."""
PAIRED = ["model", "reference"]


def draw(inputs: DrawInputs) -> Drawn:
    """Draw how alike a perturbation's responses are in the two regimes, and each program's beside its ceiling."""
    table = inputs.tables["perturbations"]
    pairs = {" vs ".join(pair): rows for pair, rows in table.groupby(PAIRED, sort=False) if rows.r.notna().any()}
    if not pairs:
        return nothing_to_draw()
    shared = share_rows({name: _programs(inputs, rows) for name, rows in pairs.items()}, PROGRAMS)
    shared = shared._replace(tables={name: shared.tables.get(name, inputs.evidence[:0]) for name in pairs})
    first, *further = paged(shared, lambda part: _page(inputs, part, pairs))
    caption = sentences(
        "(a) Pearson's r of the responses (delta_y, the mean response removed) of the few-shot and the zero-shot model "
        "to the same perturbation, and to others of its strength, never read on the same cells; below, what is "
        "tested: the mean difference of the two",
        "(b) The mean r of each program's members; grey is what members have with others of their strength, by the "
        "null; the ceiling is what disjoint sets of control cells allow"
        if shared.names
        else "",
        shared.said(inputs.filled, "perturbations", "evidence/regime_agreement.tsv") if shared.names else "",
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def _programs(inputs: DrawInputs, table: pd.DataFrame) -> pd.DataFrame:
    """Return evidence of a pair's agreement, moved by what members have with partners: the estimate is their mean r."""
    rows = inputs.answered("agreement")
    model, reference = table[PAIRED].iloc[0]
    mine = rows[(rows.adjustment == "centred") & (rows.model == model) & (rows.reference == reference)]
    r = np.array([table.r[table.perturbation.isin(list(inputs.programs[name]))].mean() for name in mine.program])
    by = r - mine.estimate
    moved = {name: (mine[name] + by).clip(-1, 1) for name in ("estimate", "ci_low", "ci_high")}
    return mine.assign(**moved, null_mean=mine.null_mean + by)


def _page(inputs: DrawInputs, shared: Shared, pairs: dict[str, pd.DataFrame]) -> Figure:
    columns, by_program = len(shared.tables), bool(shared.names)
    heights = [SPREAD, *([height_of(shared)] if by_program else [])]
    figure, axes = bands([columns] * len(heights), heights)
    for each, name in zip(axes[0], shared.tables, strict=True):
        _distributions(each, pairs[name], inputs, name)
    if by_program:
        draw_abreast(axes[1], shared, "mean Pearson's r of members", inputs.filled)
        for each, table in zip(axes[1], shared.tables.values(), strict=True):
            ceiling = table.set_index("program").ceiling.reindex(shared.names)
            each.plot(ceiling, np.arange(len(ceiling)), "|", color=BAD, markersize=6, markeredgewidth=1)
    letters([band[0] for band in axes])
    ceiling = Line2D([], [], marker="|", color=BAD, linestyle="", markersize=6, label="noise ceiling")
    foot(figure, [*null_handles(inputs.filled), ceiling] if by_program else [])
    return figure


def _distributions(axes: Axes, table: pd.DataFrame, inputs: DrawInputs, title: str) -> None:
    """Draw r of the same perturbation beside that of others of its strength, and what is tested of all together."""
    words = {"r_partners": "others of its strength", "r": "same perturbation"}
    values = {f"{each} (mean {table[column].mean():z.2f})": table[column].dropna() for column, each in words.items()}
    least = min(-0.5, *(each.min() for each in values.values() if len(each)))
    histograms(axes, values, np.linspace(max(-1, least), 1, 41))
    tested = inputs.answered("agreement_all")
    tested = tested[(tested.model == table.model.iloc[0]) & (tested.reference == table.reference.iloc[0])]
    below = "".join(f"\ndifference {row_words(row)}" for _, row in tested.head(1).iterrows())
    axes.set(xlabel=f"Pearson's r between regimes{below}", ylabel="perturbations", title=title)
    axes.legend(loc="upper left", fontsize=SMALL, title=f"n = {table.r.notna().sum()}", title_fontsize=SMALL)
