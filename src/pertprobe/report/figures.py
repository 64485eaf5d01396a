"""Figures of a page: drawn as they are in a paper, each once, with its caption and where its other forms lie."""

import base64
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from pertprobe.files import CAPTION
from pertprobe.report.page import inline_svg

LARGEST = 400_000
"""Bytes of an SVG that a page holds; of a larger one it holds the PNG beside it, where there is one."""


class Shown(NamedTuple):
    """A figure as the template shows it."""

    name: str
    drawing: Markup
    caption: str
    path: str
    """Of the PDF, relative to the page."""


def shown(svg: str | Path, otherwise: str) -> Shown:
    """Return a figure that was drawn, with the caption that lies beside it; without one `otherwise` is said."""
    path = Path(svg)
    beside = path.with_suffix(CAPTION)
    caption = beside.read_text(encoding="utf-8").strip() if beside.is_file() else otherwise
    return Shown(path.stem, drawing(path, caption), caption, f"figures/{path.stem}.pdf")


def drawing(svg: Path, words: str) -> Markup:
    """Return the SVG as an element, or the PNG beside it where the SVG is larger than `LARGEST`."""
    png = svg.with_suffix(".png")
    if svg.stat().st_size <= LARGEST or not png.is_file():
        return inline_svg(svg)
    data = base64.b64encode(png.read_bytes()).decode()
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(words, data)
