"""Lints the figures that a run has written: this file with their folder, such as results/demo/figures."""

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from drawn_figure import Written, text_faults
from figure_linter import FORMATS, caption_faults
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from written_figure import SVG, file_faults, sizes_agree, svg_points

from pertprobe.files import CAPTION
from pertprobe.plots import use_style

BESIDE = {"start": 0.0, "middle": -0.5, "end": -1.0}
"""text-anchor -> where a text begins, in its lengths from the point that it is written at."""
LINE = "lp"
"""As high, and as deep, as a line is at least, whatever letters it has: so matplotlib lays them out."""


def run_faults(folder: Path) -> list[str]:
    """Return every fault of every figure below a folder, as its files show it."""
    found = [
        f"{path.relative_to(folder)}: {fault}" for path in sorted(folder.rglob("*.svg")) for fault in _faults(path)
    ]
    return found if any(folder.rglob("*.svg")) else [f"{folder}: no figure"]


def _faults(svg: Path) -> Iterator[str]:
    """Yield the faults of one figure: of its files, of its caption, and of its texts as they stand in the SVG."""
    paths = [svg.with_suffix(suffix) for suffix in FORMATS]
    for path in paths:
        yield from file_faults(path)
    yield from sizes_agree(paths)
    yield from caption_faults(svg.with_suffix(CAPTION).read_text(encoding="utf-8"))
    yield from text_faults(*written_texts(svg))


def written_texts(path: Path) -> tuple[list[Written], np.ndarray]:
    """Return every text of an SVG as a reader sees it, and the size of its page [2] in points."""
    root = ET.parse(path).getroot()
    page = svg_points(root)
    texts = [each for each in root.iter(SVG + "text") if (each.text or "").strip()]
    return [Written(each.text.strip(), _corners(each, page[1])) for each in texts], page


def _corners(text: ET.Element, height: float) -> np.ndarray:
    """Return the corners [4, 2] of the box of a text in points from the lower left corner of a page of that height."""
    style = dict(part.split(": ", 1) for part in text.get("style").split("; "))
    placed = text.get("transform", "")
    at = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", placed)
    x, y = map(float, at.groups() if at else (text.get("x"), text.get("y")))
    turned = re.search(r"rotate\(([-\d.]+)", placed)
    angle = np.deg2rad(-float(turned[1])) if turned else 0.0
    size = float(style["font-size"].removesuffix("px"))
    font = FontProperties(
        family="Arimo", style=style.get("font-style"), weight=int(style.get("font-weight", 400)), size=size
    )
    long, *own = text_to_path.get_text_width_height_descent(text.text, font, False)
    high, below = np.maximum(own, text_to_path.get_text_width_height_descent(LINE, font, False)[1:])
    left = BESIDE[style.get("text-anchor", "start")] * long
    level = np.array([[left, -below], [left + long, -below], [left + long, high - below], [left, high - below]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.array([x, height - y]) + level @ turn


if __name__ == "__main__":
    use_style()
    faults = run_faults(Path(sys.argv[1]))
    print("\n".join(faults) or "No fault.")
    sys.exit(bool(faults))
