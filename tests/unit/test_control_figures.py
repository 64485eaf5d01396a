"""Figures of controls: every role beside the model, stages re-drawn one after the other, and what cannot be drawn."""

from types import SimpleNamespace

import numpy as np
import pytest

from pertprobe import evidence
from pertprobe.plots import NOTHING_TESTED, write_figure
from pertprobe.report.controls_figure import CASCADE_WORDS, MARKS, MOST, cascade_figure, controls_figure
from pertprobe.roles import FITTED

PROBES = {
    "one": SimpleNamespace(primary="coherence", compared_in="coherence_hidden", common_scale=()),
    "two": SimpleNamespace(primary="agreement", compared_in="agreement", common_scale=("agreement",)),
}
STAGES = ["decode", "mix", "encode_cells", "encode_perturbations"]


def row(z, probe="one", role="subject", copy=0, program="P", model="m", statistic=None, **more):
    """Return a row whose effect is `z` standard deviations of its null, in the statistic that its controls have."""
    who = {"probe": probe, "model": model, "context": "c", "role": role, "copy": copy}
    numbers = {"estimate": 1.0 + 2.0 * z, "null_mean": 1.0, "null_sd": 2.0, "effect": 2.0 * z}
    named = {"statistic": statistic or PROBES[probe].compared_in, "program": program, "reference": ""}
    return evidence.row(who, **{**named, **numbers, **more})


def everything(probe="one"):
    rows = [row(3.0, probe), row(1.0, probe, program="Q")]
    rows += [row(z, probe, role, copy) for role in ("redrawn", "shuffled") for copy, z in ((1, 0.5), (2, -1.0))]
    rows += [row(z, probe, role) for role, z in (("planted", 60.0), ("lookup", 0.1), ("covariation", -0.2))]
    rows += [row(0.3, probe, role) for role in FITTED]
    primary = PROBES[probe].primary
    rows += [row(2.0, probe, role, statistic=primary) for role in ("observed", "coexpression")]
    return [*rows, row(1.0, probe, "additive")]


def cascade(probe="one", program="P"):
    start = PROBES[probe].compared_in
    return [row(3.0 - i, probe, "redrawn", program=program, statistic=f"{start}_cascade_{stage}")
            for i, stage in enumerate(STAGES)]  # fmt: skip


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def points(axes):
    """Return z of all points, by marker size and order of drawing: one collection per role."""
    return {role: each.get_offsets()[:, 0].tolist() for role, each in zip(MARKS, axes.collections, strict=True)}


def test_every_role_stands_beside_the_model(tmp_path):
    figure, caption, _ = controls_figure(evidence.frame(everything()), PROBES, ["m"])
    assert "standard deviations of their own null" in caption
    (axes,) = figure.axes
    found = {role: sorted(values) for role, values in points(axes).items()}
    assert found == {
        "redrawn": [-1.0, 0.5], "shuffled": [-1.0, 0.5], "observed": [2.0], "coexpression": [2.0],
        "covariation": [-0.2], "lookup": [0.1], "planted": [60.0], "subject": [1.0, 3.0],
        **{role: [0.3] for role in FITTED},
    }  # fmt: skip
    assert axes.get_title(loc="left") == "one\nm"
    assert axes.get_xlabel() == "effect in sd of its own null"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Q", "P"]  # the largest above
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named == {mark["label"] for mark in MARKS.values()}
    write_figure(figure, [tmp_path / "f.svg"])
    low, high = axes.get_xlim()
    assert low < -1.0
    assert high > 60.0


def test_correlations_are_drawn_as_they_are():
    figure = controls_figure(evidence.frame(everything("two")), PROBES, ["m"]).figure
    assert points(figure.axes[0])["subject"] == [2.0, 6.0] or sorted(points(figure.axes[0])["subject"]) == [2.0, 6.0]
    assert figure.axes[0].get_xlabel() == "effect, on its own scale"


def test_models_stand_in_the_order_of_the_config_and_pairs_behind_their_model():
    rows = [row(1.0, model=model) for model in ("a", "b")] + [row(1.0, model="b", reference="a")]
    figure = controls_figure(evidence.frame(rows), PROBES, ["b", "a"]).figure
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["one\nb", "one\nb vs a", "one\na"]


def test_a_row_that_is_not_evaluable_is_hollow_and_one_without_numbers_is_not_drawn():
    rows = [row(1.0), row(2.0, program="open", evaluable=False), row(np.nan, program="untested", evaluable=False)]
    (axes,) = controls_figure(evidence.frame(rows), PROBES, ["m"]).figure.axes
    assert sorted(label.get_text() for label in axes.get_yticklabels()) == ["P", "open"]
    subject = axes.collections[list(MARKS).index("subject")]
    filled = dict(zip(subject.get_offsets()[:, 0].tolist(), subject.get_facecolors()[:, :3].tolist(), strict=True))
    assert filled[2.0] == [1.0, 1.0, 1.0]
    assert filled[1.0] != [1.0, 1.0, 1.0]


def test_the_strongest_programs_are_drawn_and_controls_of_others_are_not():
    rows = [each for i in range(MOST + 5) for each in (row(float(i), program=f"P{i:02d}"),
                                                       row(9.0, role="planted", program=f"P{i:02d}"))]  # fmt: skip
    figure, caption, _ = controls_figure(evidence.frame(rows), PROBES, ["m"])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"P{i:02d}" for i in range(5, MOST + 5)]
    assert axes.get_xlabel().endswith(f"({MOST} of {MOST + 5})")
    assert f"Drawn are the {MOST} programs with the largest effects" in caption
    assert len(points(axes)["planted"]) == MOST


def test_raw_variants_and_rows_of_no_program_are_not_drawn():
    rows = [row(1.0), row(9.0, adjustment="raw"), row(9.0, program=""), row(9.0, statistic="another")]
    (axes,) = controls_figure(evidence.frame(rows), PROBES, ["m"]).figure.axes
    assert points(axes)["subject"] == [1.0]


@pytest.mark.parametrize("rows", [[], [row(np.nan, evaluable=False)], [row(1.0, role="planted")]])
def test_where_nothing_was_tested_the_figure_says_so(rows):
    assert texts(controls_figure(evidence.frame(rows), PROBES, ["m"]).figure) == [NOTHING_TESTED]


def test_a_cascade_goes_from_the_trained_model_to_one_re_drawn_whole(tmp_path):
    table = evidence.frame([row(4.0), row(6.0, program="Q"), *cascade(), *cascade(program="Q")])
    figure = cascade_figure(table, PROBES, ["m"]).figure
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CASCADE_WORDS.values())
    *programs, median = (line.get_ydata().tolist() for line in axes.lines[:3])
    assert sorted(programs) == [[4.0, 3.0, 2.0, 1.0, 0.0], [6.0, 3.0, 2.0, 1.0, 0.0]]
    assert median == [5.0, 3.0, 2.0, 1.0, 0.0]
    write_figure(figure, [tmp_path / "f.svg"])


def test_a_cascade_of_some_stages_has_these_alone():
    table = evidence.frame([row(4.0), *cascade()[:2]])
    (axes,) = cascade_figure(table, PROBES, ["m"]).figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CASCADE_WORDS.values())[:3]


def test_stages_are_those_that_copies_re_draw():
    from pertprobe.models.randomised import STAGES_FROM_OUTPUT

    assert tuple(CASCADE_WORDS) == ("trained", *STAGES_FROM_OUTPUT)


@pytest.mark.parametrize("rows", [[], [row(1.0), row(0.5, role="redrawn", copy=1)]])
def test_without_a_cascade_the_figure_says_why_it_may_be(rows):
    (text,) = texts(cascade_figure(evidence.frame(rows), PROBES, ["m"]).figure)
    assert "controls.cascade is off" in text


@pytest.mark.parametrize("draw", [controls_figure, cascade_figure])
def test_a_figure_has_the_same_bytes_every_time(tmp_path, draw):
    table = evidence.frame([*everything(), *cascade()])
    for name in ("one.svg", "two.svg"):
        write_figure(draw(table, PROBES, ["m"]), [tmp_path / name])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_what_does_not_fit_a_page_has_medians_first_and_panels_on_further_pages():
    models = [f"model_{i}" for i in range(20)]
    rows = [row(z, model=model, program=f"P{z:.0f}") for model in models for z in (1.0, 2.0, 6.0)]
    rows += [row(9.0, role="planted", model=model) for model in models]
    figure, caption, further = controls_figure(evidence.frame(rows), PROBES, models)
    assert len(further) == 2
    assert "further pages of the PDF" in caption
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", *(f"{model} (3)" for model in models)]
    medians = {each.get_offsets()[0, 0] for each in axes.collections if len(each.get_offsets()) == 1}
    assert 2.0 in medians  # of 1, 2 and 6
    assert sum(len(page.axes) for page in further) >= len(models)
    assert max(page.get_size_inches()[1] for page in (figure, *further)) <= 170 / 25.4
