"""What is seen to be wrong on a figure as it is laid out: texts over each other or off the page, empty panels."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine
from matplotlib.text import Text
from matplotlib.transforms import Transform

TOUCH = 0.3
"""Points by which boxes of two texts may lie over each other: letters do not fill the height of their line."""
OFF = 0.5
"""Points by which something may reach over the edge of the page: half the width of a line."""
POINT, MM = 72, 25.4
MARKUP = re.compile(r"\$\\|\bnan\b|\bNone\b")
"""What nobody meant to print: formulas, of which the style makes none, and numbers that are none."""


class Written(NamedTuple):
    """A text as it was drawn."""

    text: str
    corners: np.ndarray
    """[4, 2] in points from the lower left corner of the page."""

    def __str__(self) -> str:
        """Show the text, and where it stands in mm from the upper left corner."""
        x, y = self.corners.mean(axis=0) / POINT * MM
        return f"'{self.text}' ({x:.0f}, {y:.0f} mm)"


def layout_faults(figure: Figure) -> Iterator[str]:
    """Yield what is wrong with a figure as it is drawn."""
    yield from text_faults(drawn_texts(figure), figure.get_size_inches() * POINT)
    yield from _off_page(figure)
    yield from empty_panels(figure)


def text_faults(texts: list[Written], page: np.ndarray) -> Iterator[str]:
    """Yield faults of the texts of a page of that size [2] in points: markup, off the page, over each other."""
    for each in texts:
        if MARKUP.search(each.text):
            yield f"{each} shows markup"
        if (each.corners < -OFF).any() or (each.corners > page + OFF).any():
            yield f"{each} leaves the page"
    for one, other in _near(texts):
        if overlap(texts[one].corners, texts[other].corners) > TOUCH:
            yield f"{texts[one]} lies over {texts[other]}"


def drawn_texts(figure: Figure) -> list[Written]:
    """Return every text that is drawn: not those of ticks out of view, or of what is not visible."""
    drawn: dict[Text, None] = {}
    usual = Text.draw

    def seen(self: Text, renderer: object) -> None:
        """Draw a text and remember it."""
        if self.get_visible() and self.get_text().strip():
            drawn[self] = None
        usual(self, renderer)

    with patch.object(Text, "draw", seen):
        figure.draw_without_rendering()
    return [Written(each.get_text().strip(), _corners(each, figure)) for each in drawn]


def _corners(text: Text, figure: Figure) -> np.ndarray:
    """Return the corners of the box of a text, turned as the text is: about the middle, which turning does not move."""
    around, angle = text.get_window_extent(), text.get_rotation()
    middle = np.array([(around.x0 + around.x1) / 2, (around.y0 + around.y1) / 2])
    text.set_rotation(0)
    level = text.get_window_extent()
    text.set_rotation(angle)
    half = np.array([level.width, level.height]) / 2
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    corners = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ np.array([[cos, sin], [-sin, cos]])
    return (middle + corners) / figure.dpi * POINT


def _near(texts: list[Written]) -> np.ndarray:
    """Return pairs of texts whose upright boxes cross [pairs, 2]: of hundreds of texts few do."""
    corners = np.array([each.corners for each in texts]).reshape(-1, 4, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    crossing = (low[:, None] < high[None]).all(axis=-1)
    return np.argwhere(np.triu(crossing & crossing.T, 1))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return by how much two turned boxes [4, 2] must move to lie beside each other; negative where they do."""
    sides = np.concatenate([one[1:3] - one[:2], other[1:3] - other[:2]])
    lengths = np.linalg.norm(sides, axis=1, keepdims=True)
    axes = sides / np.where(lengths > 0, lengths, 1)
    mine, theirs = one @ axes.T, other @ axes.T
    return float(np.min(np.minimum(mine.max(0), theirs.max(0)) - np.maximum(mine.min(0), theirs.min(0))))


def _off_page(figure: Figure) -> Iterator[str]:
    """Say so where anything else reaches over the edge: axes, legends, marks."""
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    off = np.array([-box.x0, -box.y0, box.x1 - width, box.y1 - height]) * POINT
    for side, by in zip(("left", "lower", "right", "upper"), off, strict=True):
        if by > OFF:
            yield f"something reaches {by:.1f} pt over the {side} edge"


def empty_panels(figure: Figure) -> Iterator[str]:
    """Yield visible axes in whose view nothing is: no mark, bar, image or text."""
    for place, axes in enumerate(figure.axes):
        named = axes.get_title() or axes.get_title("left") or axes.get_xlabel() or "without a title"
        if axes.get_visible() and axes.axison and not any(_in_view(each, axes) for each in axes.get_children()):
            yield f"panel {place + 1} ({named}) is empty"


def _in_view(artist: object, axes: Axes) -> bool:
    """Return whether an artist shows something in the view of its axes; lines across all of them show no data."""
    if not artist.get_visible() or artist is axes.patch or isinstance(artist, Spine):
        return False
    if isinstance(artist, AxesImage):
        return artist.get_array() is not None and artist.get_array().size > 0
    if isinstance(artist, Text):
        return bool(artist.get_text().strip()) and artist not in (axes.title, axes._left_title, axes._right_title)
    return _points_in_view(artist, axes)


def _points_in_view(artist: object, axes: Axes) -> bool:
    if isinstance(artist, Collection):
        offsets = np.ma.getdata(artist.get_offsets())
        paths = [each.vertices for each in artist.get_paths()]
        if artist.get_offset_transform() == axes.transData:
            return _inside(offsets, axes.transData, axes)
        return bool(paths) and _inside(np.concatenate(paths), artist.get_transform(), axes)
    if isinstance(artist, Line2D):
        return artist.get_transform() == axes.transData and _inside(artist.get_xydata(), axes.transData, axes)
    if isinstance(artist, Patch):
        box = artist.get_window_extent()
        return box.width > 0 and box.height > 0 and axes.bbox.overlaps(box)
    return False


def _inside(points: np.ndarray, transform: Transform, axes: Axes) -> bool:
    shown = transform.transform(points[np.isfinite(points).all(axis=1)])
    return bool(len(shown) and ((shown >= axes.bbox.min - 1) & (shown <= axes.bbox.max + 1)).all(axis=1).any())
