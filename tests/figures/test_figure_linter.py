"""The linter finds nothing on a figure as it should be, and each fault on one that was made wrong."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawn_figure import overlap
from figure_linter import caption_faults, figure_faults
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from written_figure import file_faults, sizes_agree

from pertprobe.plots import Drawn, write_figure

MM = 25.4


@pytest.fixture(autouse=True)
def closed():
    """Close what a test has drawn."""
    yield
    plt.close("all")


def right(width: float = 89, height: float = 60) -> Drawn:
    """Return a figure of two panels with nothing wrong."""
    figure, axes = plt.subplots(1, 2, figsize=(width / MM, height / MM), layout="constrained")
    for letter, each in zip("ab", axes, strict=True):
        each.plot([0, 1, 2], [0, 1, 4])
        each.set(xlabel="dose", ylabel="response", title=letter)
    axes[1].text(0.2, 3, "slanted", rotation=30)
    return Drawn(figure, "Responses to doses. Lines: one cell each, n = 2.")


def changed(change: Callable[[Figure], object]) -> Callable[[], Drawn]:
    """Return what draws the right figure and then does something to it."""

    def draw() -> Drawn:
        """Draw it, wrong."""
        drawn = right()
        change(drawn.figure)
        return drawn

    return draw


def two_texts(figure: Figure, angle: float = 0) -> None:
    for x in (0.6, 0.8):
        figure.axes[0].text(x, 3, "one over the other", rotation=angle)


def emptied(figure: Figure) -> None:
    for each in [*figure.axes[0].lines]:
        each.remove()
    figure.axes[0].axvline(0)


def out_of_view(figure: Figure) -> None:
    figure.axes[0].set(xlim=(10, 11), ylim=(10, 11))


def many_shapes(figure: Figure) -> None:
    figure.axes[0].scatter(*np.random.default_rng(0).normal(size=(2, 21_000)), s=1)


def by_chance(figure: Figure) -> None:
    figure.axes[0].scatter([1], np.random.default_rng().normal(size=1))


BROKEN = {
    "120.0 mm wide, not 89 or 183": lambda: right(120),
    "200.0 mm high, 170 at most": lambda: right(height=200),
    "text of 4 pt, not 5 to 7, 'tiny'": changed(lambda figure: figure.axes[0].text(0.5, 3, "tiny", fontsize=4)),
    "text of 9 pt, not 5 to 7, in the page": changed(lambda figure: figure.axes[0].set_title("large", fontsize=9)),
    "'one over the other'": changed(two_texts),
    "leaves the page": changed(lambda figure: figure.text(0.9, 0.5, "further than the page reaches")),
    "pt over the right edge": changed(lambda figure: figure.add_artist(Line2D([0.9, 1.1], [0.5, 0.5]))),
    "panel 1 (a) is empty": changed(emptied),
    "figure.svg: other bytes when it is drawn again": changed(by_chance),
    "shows markup": changed(lambda figure: figure.axes[0].loglog([1, 10], [1, 10])),
    "'p nan'": changed(lambda figure: figure.axes[0].set_title("p nan")),
    "shapes, 20000 at most": changed(many_shapes),
    "is none of Arimo": changed(lambda figure: figure.axes[0].set_title("a", family="DejaVu Sans")),
}
"""Fault -> what draws a figure that has it."""
CAPTIONS = {
    "no caption": "",
    "does not end with a full stop": "Responses to doses",
    "more than one line": "Responses to doses.\nOf cells.",
    "301 words, 300 at most": "word " * 300 + "end.",
    "has a number that is none": "Responses, n = nan.",
}
"""Fault -> a caption that has it."""
BADLY_WRITTEN = {
    "is Type3, not TrueType (Type 42)": {"pdf.fonttype": 3},
    "no text that can be searched or edited": {"svg.fonttype": "path"},
    "100 dpi, not 300": {"savefig.dpi": 100},
}
"""Fault -> settings under which figures are written that have it."""


def test_nothing_is_wrong_with_a_right_figure(tmp_path):
    assert figure_faults(right, tmp_path) == []


def test_nothing_is_wrong_with_one_of_two_columns(tmp_path):
    assert figure_faults(lambda: right(183, 170), tmp_path) == []


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_of_a_figure_is_found(tmp_path, fault):
    assert any(fault in each for each in figure_faults(BROKEN[fault], tmp_path))


@pytest.mark.parametrize("fault", BADLY_WRITTEN)
def test_each_fault_of_the_files_is_found(tmp_path, fault):
    with plt.rc_context(BADLY_WRITTEN[fault]):
        assert any(fault in each for each in figure_faults(right, tmp_path))


@pytest.mark.parametrize("fault", CAPTIONS)
def test_each_fault_of_a_caption_is_found(fault):
    assert [each for each in caption_faults(CAPTIONS[fault]) if fault in each]


def test_a_fault_of_a_further_page_is_found(tmp_path):
    further = lambda: (right(120, 60).figure, changed(emptied)().figure)  # noqa: E731
    faults = figure_faults(lambda: right()._replace(further=further()), tmp_path)
    assert "figure.pdf: 120.0 mm wide, not 89 or 183" in faults
    assert "page 3: panel 1 (a) is empty" in faults


def test_what_is_out_of_view_fills_no_panel(tmp_path):
    assert "page 1: panel 1 (a) is empty" in figure_faults(changed(out_of_view), tmp_path)


def test_turned_texts_lie_over_each_other_only_where_their_letters_do(tmp_path):
    faults = figure_faults(changed(lambda figure: two_texts(figure, 60)), tmp_path)
    assert not any("lies over" in each for each in faults), faults
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], dtype=float)
    turned = (square - 1) @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    assert overlap(square, square + np.array([1.5, 0])) == pytest.approx(0.5)
    assert overlap(turned, turned + 1.5) < 0  # their boxes that stand upright would cross


def test_a_file_of_another_size_than_its_brothers_is_found(tmp_path):
    paths = [tmp_path / f"figure{suffix}" for suffix in (".svg", ".png")]
    write_figure(right(), paths)
    assert not [*sizes_agree(paths)]
    Image.new("RGB", (2161, 700)).save(paths[1], dpi=(300, 300))
    assert not [*file_faults(paths[1])]
    assert "figure.png is 183.0 x 59.3 mm, figure.svg 89.0 x 60.0" in [*sizes_agree(paths)]


def test_a_font_that_is_not_in_the_file_is_found(tmp_path):
    write_figure(right(), [tmp_path / "figure.pdf"])
    whole = (tmp_path / "figure.pdf").read_bytes()
    (tmp_path / "figure.pdf").write_bytes(whole.replace(b"/FontFile2", b"/FontFileX"))
    assert any("not embedded as TrueType" in each for each in file_faults(tmp_path / "figure.pdf"))
