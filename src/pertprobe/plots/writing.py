"""Writing figures: laid out once, at their printed size, the same bytes every time."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from pertprobe.files import CAPTION, atomic
from pertprobe.plots.drawn import Drawn
from pertprobe.plots.page import EDGE, LETTER
from pertprobe.plots.words import MM, wrapped

FAMILIES = "Arial, Helvetica, Arimo, sans-serif"
"""Fonts of an SVG, all of the same metrics: whoever opens it has one of them."""
HASH = r"(?:C[0-9a-f]+_[0-9a-f]+_|[a-zA-Z]+)[0-9a-f]{10}"
HASHED = re.compile(rf'\bid="({HASH})"')
"""Ids that matplotlib makes of a hash of coordinates, to the last bit of a float."""


def write_figure(drawn: Drawn | Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure in the formats its paths name: .svg, .pdf, .png, and its caption as .caption.txt.

    Its width is exact, and no date goes into it. It is laid out once, for all formats. SVG and PNG hold the first page,
    the PDF all of them.
    """
    drawn = drawn if isinstance(drawn, Drawn) else Drawn(drawn, "")
    pages = [drawn.figure, *drawn.further]
    for each in pages:
        lay_out(each)
    for path in paths:
        with atomic(path) as temporary:
            _write(drawn.caption, pages, temporary)


def lay_out(figure: Figure) -> None:
    """Fit titles and labels into their panels, lay the figure out, and keep it so.

    The solver of the layout differs from run to run in the last bits of its floats: places are rounded, to less than a
    fiftieth of a millimetre.
    """
    figure.set_dpi(rcParams["savefig.dpi"])  # texts are measured as they will be drawn
    for axes in figure.axes:
        _fit_words(figure, axes)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(each, 4) for each in axes.get_position(original=True).bounds])
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # what stands in for one would have each format drawn twice
    _move_letters(figure)


def _write(caption: str, pages: Sequence[Figure], path: Path) -> None:
    first, exact = pages[0], {"bbox_inches": pages[0].bbox_inches}
    if path.name.endswith(CAPTION):
        path.write_text(f"{caption}\n", encoding="utf-8")
    elif path.suffix == ".pdf":
        with PdfPages(path, metadata={"CreationDate": None}) as pdf:
            for each in pages:
                each.savefig(pdf, format="pdf", bbox_inches=each.bbox_inches)
    elif path.suffix == ".svg":
        first.savefig(path, metadata={"Date": None}, **exact)
        path.write_text(_settled(path.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        first.savefig(path, **exact)


def _settled(svg: str) -> str:
    """Return an SVG with ids numbered in order of appearance, after a hash of its own text, and fonts that all have.

    Pages hold many figures in one document, where the same id may not mean two things.
    """
    svg = svg.replace("'Arimo'", FAMILIES)
    places = {old: str(place) for place, old in enumerate(dict.fromkeys(HASHED.findall(svg)))}
    name = hashlib.sha256(_renamed(svg, places).encode()).hexdigest()[:8]
    return _renamed(svg, {old: f"f{name}-{place}" for old, place in places.items()})


def _renamed(svg: str, ids: Mapping[str, str]) -> str:
    """Return an SVG with other ids, where they are given and where they are used."""
    return re.sub(rf'(?<=[#"])({HASH})(?=[")])', lambda found: ids.get(found[1], found[1]), svg)


def _fit_words(figure: Figure, axes: Axes) -> None:
    """Break the title and the labels of a panel where they are wider, or higher, than their share of the page."""
    spec = axes.get_subplotspec()
    if spec is None:
        return
    grid, (width, height) = spec.get_gridspec(), figure.get_size_inches() * MM
    shares = grid.get_height_ratios() or [1] * grid.nrows
    across = width * len(spec.colspan) / grid.ncols - 6 * EDGE
    up = height * sum(shares[row] for row in spec.rowspan) / sum(shares) - 4 * EDGE
    titles = [getattr(axes, name) for name in ("title", "_left_title", "_right_title")]
    for text, most in [*((title, across) for title in titles), (axes.xaxis.label, across), (axes.yaxis.label, up)]:
        text.set_text(wrapped(text.get_text(), most, text.get_fontsize(), text.get_fontweight()))


def _move_letters(figure: Figure) -> None:
    """Move panel letters to the left edge of what belongs to their panel."""
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        for text in [each for each in axes.texts if (each.get_gid() or "").startswith(LETTER)]:
            left = axes.get_tightbbox(renderer).x0 - text.get_window_extent(renderer).x0
            text.set_x(text.get_position()[0] + left / axes.bbox.width)
