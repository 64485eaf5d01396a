"""The page of a figure in millimetres: its panels, their letters, and the foot with legend and notes."""

from collections.abc import Iterable, Sequence
from string import ascii_lowercase
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import ScaledTranslation

from pertprobe.plots.drawn import Drawn
from pertprobe.plots.style import SMALL, TITLE
from pertprobe.plots.words import MM, wrapped

SINGLE, DOUBLE, HIGHEST = 89.0, 183.0, 170.0
"""Width of one column and of two, and the greatest height, in mm."""
NOTHING_TESTED = "Nothing could be tested: the evidence table says why, row by row."
LETTER = "letter-"
"""How the ids of panel letters begin, which are moved to the left edge of their panel once all is laid out."""
EDGE = 1.5
"""Between text and the edge of the page, in mm."""


def page(width: float, height: float) -> Figure:
    """Return an empty figure of this size in mm; higher than a page is a page."""
    figure = Figure(figsize=(width / MM, min(height, HIGHEST) / MM), layout="constrained")
    FigureCanvasAgg(figure)  # not one of pyplot, which keeps every figure until it is told to let go
    edge = EDGE / MM
    figure.get_layout_engine().set(w_pad=edge, h_pad=edge, wspace=0.02, hspace=0.02)
    return figure


def columns_of(n: int, width: float, columns: int = 3) -> int:
    """Return how many panels, each at least `width` mm wide, stand side by side on a page: at most `columns`."""
    return max(1, min(columns, n, int(DOUBLE // width)))


def parted(columns: Sequence[Any], most: int = 4) -> list[list[Any]]:
    """Return columns in parts of at most `most`, one for each page."""
    return [list(columns[start : start + most]) for start in range(0, len(columns), most)]


def panels(n: int, width: float, height: float | Sequence[float], columns: int = 3) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` axes in a grid, each at least `width` mm wide; `height` in mm of all rows, or of each.

    The page is 89 mm wide where that is enough, 183 mm otherwise. Rows that together are higher than a page are
    squeezed: who may have more shows what fits and says what is left out. Of no axes: `nothing_to_draw`.
    """
    if not n:
        return nothing_to_draw().figure, []
    columns = columns_of(n, width, columns)
    rows = -(-n // columns)
    heights = ([height] * rows if isinstance(height, int | float) else [*height, *[height[-1]] * rows])[:rows]
    figure = page(SINGLE if columns * width <= SINGLE else DOUBLE, sum(heights))
    axes = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    flat = list(axes.ravel())
    for spare in flat[n:]:
        spare.axis("off")
    return figure, flat[:n]


def nothing_to_draw(text: str = NOTHING_TESTED) -> Drawn:
    """Return a figure that says why it is empty, as its caption does."""
    figure, (axes,) = panels(1, SINGLE, 18)
    axes.axis("off")
    axes.text(0, 0.5, wrapped(text, SINGLE - 4 * EDGE, 6), va="center")
    return Drawn(figure, text)


def letters(axes: Sequence[Axes]) -> None:
    """Write a, b, c before the titles of panels; a single one needs none."""
    for letter, each in zip(ascii_lowercase, axes if len(axes) > 1 else (), strict=False):
        place = each.transAxes + ScaledTranslation(-9 / 72, 4 / 72, each.figure.dpi_scale_trans)
        each.text(0, 1, letter, transform=place, fontsize=TITLE, fontweight="bold", gid=LETTER + letter)


def logarithmic(axes: Axes) -> None:
    """Give the horizontal axis a scale of powers, and round numbers: more in a decade where there are few decades."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    decades = LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,), numticks=6)
    axes.xaxis.set_major_locator(decades if high > 5 * low else MaxNLocator(4))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def foot(figure: Figure, handles: Iterable[Artist] = (), notes: Sequence[str] = (), **legend: Any) -> None:
    """Put a legend and notes below the panels, on a strip of their own; the page grows by it as far as it may.

    `notes` are sentences; `legend` what else matplotlib's legend is told, such as `ncols`. Once for each figure.
    """
    width, height = (each * MM for each in figure.get_size_inches())
    text = wrapped(" ".join(filter(None, notes)), width - 2 * EDGE, SMALL)
    note = 2.2 * len(text.splitlines()) + EDGE if text else 0.0
    handles = list(handles)
    strip = note + (_legend_height(figure, handles, legend) if handles else 0.0)
    whole = min(height + strip, HIGHEST)
    figure.set_size_inches(width / MM, whole / MM)
    figure.get_layout_engine().set(rect=(0, strip / whole, 1, 1 - strip / whole))
    figure.text(EDGE / width, EDGE / whole, text, fontsize=SMALL, va="bottom", linespacing=1.25)
    for each in figure.legends:
        each.set_bbox_to_anchor((EDGE / width, note / whole))


def _legend_height(figure: Figure, handles: list[Artist], legend: dict[str, Any]) -> float:
    """Add the legend in as many columns as fit the page, and return its height in mm."""
    width = figure.get_size_inches()[0] * MM
    for columns in range(min(legend.pop("ncols", len(handles)), len(handles)), 0, -1):
        for old in list(figure.legends):
            old.remove()
        settings = {"loc": "lower left", "borderaxespad": 0, "alignment": "left"} | legend
        made = figure.legend(handles=handles, ncols=columns, **settings)
        box = made.get_window_extent(figure.canvas.get_renderer())
        if box.width * MM / figure.dpi <= width - 2 * EDGE:
            break
    return box.height * MM / figure.dpi + 1
