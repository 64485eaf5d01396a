"""Draws a figure twice, writes it in every format, and reports every fault of it with its place."""

from collections.abc import Callable, Sequence
from pathlib import Path

from drawn_figure import layout_faults
from matplotlib.figure import Figure
from written_figure import file_faults, sizes_agree

from pertprobe.files import CAPTION
from pertprobe.plots import Drawn, write_figure

FORMATS = (".svg", ".pdf", ".png")
MOST_WORDS = 300
"""Words that a journal prints under a figure, about."""


def figure_faults(
    draw: Callable[[], Drawn | Figure], folder: Path, formats: Sequence[str] = FORMATS, *, twice: bool = True
) -> list[str]:
    """Return every fault of what `draw` returns: of files, pages and caption, and whether two of it are the same.

    `twice`: it is drawn again, and the first of the formats compared.
    """
    drawn, paths = draw(), [folder / f"figure{suffix}" for suffix in formats]
    write_figure(drawn, [*paths, folder / f"figure{CAPTION}"])
    found = [fault for path in paths for fault in file_faults(path)]
    found += [*sizes_agree(paths), *caption_faults((folder / f"figure{CAPTION}").read_text(encoding="utf-8"))]
    pages = [drawn.figure, *drawn.further] if isinstance(drawn, Drawn) else [drawn]
    found += [f"page {number}: {fault}" for number, page in enumerate(pages, 1) for fault in layout_faults(page)]
    if twice:
        write_figure(draw(), [folder / f"again{formats[0]}"])
        if paths[0].read_bytes() != (folder / f"again{formats[0]}").read_bytes():
            found.append(f"{paths[0].name}: other bytes when it is drawn again")
    return found


def caption_faults(caption: str) -> list[str]:
    """Return what is wrong with a caption: it is whole sentences in one line, of numbers that are numbers."""
    found = []
    if not caption.strip():
        return ["no caption"]
    if not caption.strip().endswith("."):
        found.append("the caption does not end with a full stop")
    if len(caption.strip().splitlines()) > 1:
        found.append("the caption has more than one line")
    if len(caption.split()) > MOST_WORDS:
        found.append(f"the caption has {len(caption.split())} words, {MOST_WORDS} at most")
    if {"nan", "None"} & set(caption.replace(".", " ").replace(",", " ").split()):
        found.append("the caption has a number that is none")
    return found
