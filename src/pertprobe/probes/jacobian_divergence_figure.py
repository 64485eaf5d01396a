"""The figure of jacobian_divergence: programs beside their nulls, and every perturbation against its strength."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.evidence import used_p
from pertprobe.plots import (
    NULL,
    SUBJECT,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    draw_abreast,
    height_of,
    letters,
    logarithmic,
    nothing_to_draw,
    null_legend,
    paged,
    pages_said,
    points_or_density,
    scatter,
    sentences,
    share_rows,
    shortened,
)

OWN, BY_STRENGTH = "own_divergence", "divergence_and_strength"
PROGRAMS, SQUARE = 24, 52.0
"""Most programs of a page; height in mm of the panels below."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw each program's own divergence beside its null, and every perturbation's against its strength."""
    shared = share_rows(_by_pair(inputs.answered(OWN)), PROGRAMS)
    if not shared.names:
        return nothing_to_draw()
    first, *further = paged(shared, lambda part: _page(inputs, part))
    caption = sentences(
        "(a) How far the Jacobians of two contexts lie apart under a program's perturbations, beside what differs "
        "under all perturbations alike, in norms of the Jacobians; one column per pair of models",
        shared.said(inputs.filled, "perturbations", "evidence/jacobian_divergence.tsv"),
        "(b) Every perturbation's own divergence against its strength, the norm of delta_y (geometric mean of both "
        "models); large points: the members of the program with the smallest p of the pair",
        pages_said(shared).replace("models", "pairs"),
    )
    return Drawn(first, caption, tuple(further))


def _by_pair(rows: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """Return "model vs reference" -> its rows, in the order of the evidence."""
    return {
        f"{model} vs {reference}": each for (model, reference), each in rows.groupby(["model", "reference"], sort=False)
    }


def _page(inputs: DrawInputs, shared: Shared) -> Figure:
    columns, table = len(shared.tables), _by_pair(inputs.tables["perturbations"])
    figure, (above, below) = bands([columns] * 2, [height_of(shared), SQUARE])
    draw_abreast(above, shared, "own divergence", inputs.filled)
    said = _by_pair(inputs.answered(BY_STRENGTH))
    for axes, (pair, rows) in zip(below, shared.tables.items(), strict=True):
        _against_strength(axes, table[pair], _best(rows), inputs.programs)
        for row in said.get(pair, rows[:0]).itertuples():
            axes.set_title(
                f"Spearman r = {row.estimate:z.2f}, n = {row.n:.0f}", loc="right", fontsize=6, fontweight="normal"
            )
    letters([above[0], below[0]])
    null_legend(figure, inputs.filled)
    return figure


def _best(rows: pd.DataFrame) -> str:
    """Return the program with the smallest p; of equals the one that exceeds its null most."""
    order = rows.assign(used=used_p(rows), z=rows.effect / rows.null_sd).sort_values(
        ["used", "z", "program"], ascending=[True, False, True]
    )
    return order.program.iloc[0]


def _against_strength(axes: Axes, table: pd.DataFrame, best: str, programs: Mapping[str, object]) -> None:
    """Draw divergence against strength, the members of a program in colour."""
    inside = table.perturbation.isin(list(programs[best])).to_numpy()
    points_or_density(axes, table.strength[~inside], table.own_divergence[~inside], s=3, color=NULL, label="all others")
    style = {"s": 9, "color": SUBJECT, "zorder": 3, "label": shortened(best, 40, 6)}
    scatter(axes, table.strength[inside], table.own_divergence[inside], **style)
    if (table.strength > 0).all():
        logarithmic(axes)
    top = np.nanmax(table.own_divergence)
    axes.set(xlabel="strength", ylabel="own divergence", ylim=(0, 1.3 * top if top > 0 else 1))
    axes.legend(loc="upper left")
