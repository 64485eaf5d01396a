"""Figures that a run has written are read back as they are seen, and each fault of one is found in its files."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawn_figure import drawn_texts
from figure_linter import FORMATS
from run_figures import run_faults, written_texts
from test_figure_linter import changed, right, two_texts

from pertprobe.files import CAPTION
from pertprobe.plots import Drawn, logarithmic, write_figure

TEXTS = {
    "lies over": changed(two_texts),
    "lies over 'one over the other'": changed(lambda figure: two_texts(figure, 20)),
    "leaves the page": changed(lambda figure: figure.text(0.9, 0.5, "further than the page reaches")),
    "shows markup": changed(lambda figure: figure.axes[0].loglog([1, 10], [1, 10])),
    "does not end with a full stop": lambda: Drawn(right().figure, "Responses to doses"),
}
"""Fault -> what draws a figure that has it."""


def write(drawn, folder):
    folder.mkdir(exist_ok=True)
    write_figure(drawn, [folder / f"figure{suffix}" for suffix in (*FORMATS, CAPTION)])


def test_texts_are_read_where_they_were_drawn(tmp_path):
    drawn = right()
    write(drawn, tmp_path)
    told, (read, page) = drawn_texts(drawn.figure), written_texts(tmp_path / "figure.svg")
    assert np.allclose(page, drawn.figure.get_size_inches() * 72, atol=0.01)
    assert sorted(each.text for each in read) == sorted(each.text for each in told)
    for one in read:
        nearest = min(np.abs(one.corners - other.corners).max() for other in told if one.text == other.text)
        assert nearest < 1.5, one  # points: one is laid out in pixels of 1/100 inch


def test_nothing_is_wrong_with_a_right_figure_in_any_folder(tmp_path):
    write(right(), tmp_path)
    write(right(), tmp_path / "quality")
    assert run_faults(tmp_path) == []


@pytest.mark.parametrize("fault", TEXTS)
def test_each_fault_of_a_written_figure_is_found(tmp_path, fault):
    write(TEXTS[fault](), tmp_path)
    assert any(each.startswith("figure.svg: ") and fault in each for each in run_faults(tmp_path))


def test_no_figure_at_all_is_a_fault(tmp_path):
    assert run_faults(tmp_path) == [f"{tmp_path}: no figure"]


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.7), (0.5, 4), (0.02, 7), (1e-6, 3e5)])
def test_a_logarithmic_axis_has_a_few_round_numbers(low, high):
    figure, axes = plt.subplots()
    axes.plot([low, high], [0, 1])
    logarithmic(axes)
    figure.draw_without_rendering()
    shown = [label.get_text() for label in axes.get_xticklabels(which="both") if label.get_text()]
    within = [text for text in shown if low * 0.8 <= float(text.replace("\u2212", "-")) <= high * 1.25]
    assert 2 <= len(within) <= 8
    assert not any("$" in text for text in shown)
