"""Draws a figure twice, writes it in every format, and reports every fault of it with its place."""

from collections.abc import Callable, Sequence
from pathlib import Path

from drawn_figure import layout_faults
from matplotlib.figure import Figure
from written_figure import file_faults, sizes_agree

from pertprobe.plots import write_figure

FORMATS = (".svg", ".pdf", ".png")


def figure_faults(draw: Callable[[], Figure], folder: Path, formats: Sequence[str] = FORMATS) -> list[str]:
    """Return every fault of what `draw` returns: of its files, of its layout, and whether two of it are the same.

    The first of the formats is compared.
    """
    figure, again = draw(), draw()
    paths = [folder / f"figure{suffix}" for suffix in formats]
    write_figure(figure, paths)
    write_figure(again, [folder / f"again{formats[0]}"])
    found = [fault for path in paths for fault in file_faults(path)]
    found += [*sizes_agree(paths), *layout_faults(figure)]
    if paths[0].read_bytes() != (folder / f"again{formats[0]}").read_bytes():
        found.append(f"{paths[0].name}: other bytes when it is drawn again")
    return found
