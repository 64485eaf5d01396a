"""What marks of rows are, and how a legend says it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pertprobe.plots.drawn import Filled
from pertprobe.plots.page import foot
from pertprobe.plots.style import BAND, NULL, SUBJECT

ALIKE = Filled()
"""Marks that nothing tells apart."""


def name_of_pair(row: Any) -> str:
    """Return "model" or "model vs reference"."""
    return f"{row.model} vs {row.reference}" if row.reference else row.model


def faces(filled: Filled, rows: pd.DataFrame) -> np.ndarray:
    """Return the colour inside each mark: full or white by the test, grey where there is none that tells them apart."""
    return np.where(filled.of(rows), SUBJECT, "white") if filled.known(rows) else np.full(len(rows), NULL)


def without_q() -> Line2D:
    """Return what a legend says of grey marks: that there is no q is neither a large one nor a small one."""
    return Line2D([], [], marker="o", linestyle="", color=NULL, markeredgecolor=SUBJECT, label="without a q")


def null_handles(filled: Filled = ALIKE) -> list[Any]:
    """Return what points, lines and grey ranges of `draw_abreast` are, as entries of a legend."""
    dot = {"marker": "o", "linestyle": "", "markeredgecolor": SUBJECT}
    points = [
        Line2D([], [], markerfacecolor=SUBJECT, **dot, label=filled.words),
        Line2D([], [], markerfacecolor="white", **dot, label=f"not {filled.words}"),
    ] if filled.column else [Line2D([], [], markerfacecolor=NULL, **dot, label="estimate")]  # fmt: skip
    return [
        *points,
        Line2D([], [], color=SUBJECT, label="95 % interval"),
        Patch(color=BAND, label="null, mean and 2 sd"),
    ]


def null_legend(figure: Figure, filled: Filled = ALIKE, further: Sequence[Any] = ()) -> None:
    """Say at the foot what points, lines and grey ranges of `draw_abreast` are, and `further` marks."""
    foot(figure, [*null_handles(filled), *further], ["In brackets: n."])
