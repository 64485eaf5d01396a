"""The evidence table: the contract's columns, kept through writing and reading."""

import numpy as np
import pandas as pd
import pytest

from pertprobe import evidence, roles
from pertprobe.files import write_table
from pertprobe.statistics.permutation import Test as PermutationTest
from pertprobe.statistics.power import benjamini_hochberg
from pertprobe.statistics.reliability import Ceiling

CONTRACT = [
    *(
        "probe",
        "statistic",
        "adjustment",
        "model",
        "reference",
        "context",
        "regime",
        "role",
        "copy",
        "program",
        "panel",
    ),
    *("unit", "n", "n_background", "estimate", "null_mean", "null_sd", "null_skewness", "null_own", "null_own_sd"),
    *("unit_sd", "effect", "ci_low", "ci_high"),
    *("p", "p_min", "p_stratified", "p_min_stratified"),
    *("p_strength", "p_without_pair", "p_beyond", "explained_by", "p_used", "p_tail", "n_permutations", "q"),
    *("estimate_published", "p_published", "q_published", "ceiling", "disattenuated", "share_low", "share_high"),
    *("excess_redrawn", "excess_redrawn_low", "excess_redrawn_high"),
    *("excess_rivals", "excess_rivals_low", "excess_rivals_high"),
    *("evaluable", "reason"),
]
WHO = {"probe": "a", "statistic": "s", "model": "m", "context": "c", "regime": "fewshot"}


def with_p(program, p, **values):
    return evidence.row(WHO, program=program, p=p, p_used="p", **values)


def test_columns_and_their_order_are_the_contract():
    assert list(evidence.COLUMNS) == CONTRACT
    assert list(evidence.frame([evidence.row(WHO)]).columns) == CONTRACT
    assert list(evidence.frame([]).columns) == CONTRACT


def test_a_name_that_is_no_column_is_refused():
    with pytest.raises(KeyError, match="no evidence column called estimat, verdict"):
        evidence.row(WHO, estimat=1.0, verdict="pass")
    with pytest.raises(KeyError, match="threshold"):
        evidence.row({**WHO, "threshold": 0.05})


@pytest.mark.parametrize(
    ("column", "value"), [("adjustment", "centered"), ("role", "control"), ("unit", "pair"), ("p_used", "q")]
)
def test_a_value_outside_its_category_is_refused_and_named(column, value):
    with pytest.raises(ValueError, match=f"{column} holds \\['{value}'\\], not one of"):
        evidence.frame([evidence.row(WHO, **{column: value})])


def test_a_table_reads_back_with_its_types(tmp_path):
    table = evidence.frame(
        [
            evidence.row(
                WHO,
                program="NA",
                n=5,
                estimate=0.25,
                reason='a\ttab, a "quote"',
            ),
            evidence.row(WHO, program="none", excess_rivals=0.5),
            evidence.not_evaluable(WHO, "too few", program="untested"),
        ]
    )
    evidence.write(table, tmp_path / "e.tsv")
    again = evidence.read(tmp_path / "e.tsv")
    pd.testing.assert_frame_equal(again, table)
    assert again.excess_rivals.isna().tolist() == [True, False, True]
    assert again.evaluable.dtype == bool
    assert again.program.tolist() == ["NA", "none", "untested"]
    assert (again.panel == "").all()
    assert again.ceiling.isna().all()
    assert again.n.dtype.kind == "i"


def test_an_empty_table_reads_back_empty(tmp_path):
    evidence.write(evidence.frame([]), tmp_path / "e.tsv")
    again = evidence.read(tmp_path / "e.tsv")
    assert list(again.columns) == CONTRACT
    assert again.empty


def test_rows_are_sorted_by_who_and_what_whatever_their_order():
    rows = [
        evidence.row({**WHO, "model": model}, program=program, role=role, copy=copy)
        for model in ("m2", "m1")
        for program in ("z", "a")
        for role, copy in (("subject", 0), ("redrawn", 2), ("redrawn", 1))
    ]
    table = evidence.frame(rows)
    keys = table[evidence.KEYS].apply(tuple, axis=1).tolist()
    assert keys == sorted(keys)
    assert CONTRACT[:11] == evidence.KEYS
    pd.testing.assert_frame_equal(table, evidence.frame(rows[::-1]))


def test_floats_are_written_with_ten_digits(tmp_path):
    evidence.write(evidence.frame([evidence.row(WHO, estimate=1 / 3, p=1.5e-12)]), tmp_path / "e.tsv")
    text = (tmp_path / "e.tsv").read_text()
    assert "\t0.3333333333\t" in text
    assert "\t1.5e-12\t" in text


def test_writing_that_fails_leaves_the_old_table_and_nothing_else(tmp_path):
    path = tmp_path / "e.tsv"
    path.write_text("old")

    class Broken(pd.DataFrame):
        def to_csv(self, target, **_):
            target.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_table(Broken(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_that_is_no_evidence_is_not_written_as_such(tmp_path):
    with pytest.raises(KeyError, match="estimate"):
        evidence.write(evidence.frame([]).drop(columns="estimate"), tmp_path / "e.tsv")
    assert not list(tmp_path.iterdir())


def test_q_is_benjamini_hochberg_over_the_family_alone():
    outside = [
        with_p("raw", 0.001, adjustment="raw"),
        with_p("copy", 0.001, role="redrawn", copy=1),
        with_p("copy", 0.001, role="shuffled", copy=1),
        evidence.row({**WHO, "statistic": "controlled"}, program="other", p=0.001, p_used="p"),
        {**with_p("unasked", 0.001), "evaluable": False},
        evidence.row(WHO, program="no test", p=0.001),
    ]
    p = [0.01, 0.04, 0.03, 0.5]
    inside = [with_p(f"in {i}", value) for i, value in enumerate(p)]
    table = evidence.with_q(evidence.frame(outside + inside), "s", "controlled")
    family = table.program.str.startswith("in ")
    np.testing.assert_allclose(table.q[family], benjamini_hochberg(p))
    assert table.q[~family].isna().all()


def test_the_family_holds_every_model_and_context():
    rows = [{**with_p("P", p), "model": model} for model, p in (("m1", 0.01), ("m2", 0.04), ("m3", 0.3))]
    table = evidence.with_q(evidence.frame(rows), "s", "s").set_index("model")
    np.testing.assert_allclose(table.q.loc[["m1", "m2", "m3"]], benjamini_hochberg([0.01, 0.04, 0.3]))


@pytest.mark.parametrize("role", evidence.CONTROLS)
def test_planted_models_and_references_are_families_of_their_own(role):
    subject, control = [0.01, 0.04, 0.03], [0.2, 0.002, 0.05]
    rows = [with_p(f"P{i}", p) for i, p in enumerate(subject)]
    rows += [with_p(f"P{i}", p, role=role) for i, p in enumerate(control)]
    table = evidence.with_q(evidence.frame(rows), "s", "s")
    for name, p in (("subject", subject), (role, control)):
        np.testing.assert_allclose(table.q[table.role == name], benjamini_hochberg(p))


def test_controls_have_a_q_in_the_statistic_they_are_compared_by():
    rows = [with_p("P", 0.01), {**with_p("P", 0.02, role="planted"), "statistic": "controlled"}]
    rows += [{**with_p("P", 0.02), "statistic": "controlled"}]  # of the model, in which verdicts do not read it
    rows += [{**with_p("P", 0.02, role="planted"), "statistic": "another"}]
    table = evidence.with_q(evidence.frame(rows), "s", "controlled")
    asked = table.q.notna()
    assert set(zip(table.role[asked], table.statistic[asked], strict=True)) == {
        ("subject", "s"),
        ("planted", "controlled"),
    }


def test_every_role_of_the_run_is_a_role_of_the_evidence():
    known = {roles.SUBJECT, roles.OBSERVED, roles.COEXPRESSION, *roles.REDRAWN, *roles.PLANTED, *roles.KNOWN}
    assert evidence.CATEGORIES["role"] == known
    assert set(evidence.CONTROLS) == known - {roles.SUBJECT, *roles.REDRAWN}


def test_q_reads_the_p_that_is_used():
    rows = [
        with_p("a", 0.001, p_stratified=0.4) | {"p_used": "p_stratified"},
        with_p("b", 0.02, p_stratified=0.0001),
    ]
    table = evidence.with_q(evidence.frame(rows), "s", "s")
    np.testing.assert_allclose(table.q, benjamini_hochberg([0.4, 0.02]))


def test_without_a_family_no_row_has_a_q():
    table = evidence.with_q(evidence.frame([evidence.not_evaluable(WHO, "too few")]), "s", "s")
    assert table.q.isna().all()
    assert table.q_published.isna().all()
    assert evidence.with_q(evidence.frame([]), "s", "s").empty


def test_the_published_q_is_over_the_programs_of_each_model_alone():
    published = {"m1": [0.01, 0.02, 0.5], "m2": [0.03, 0.04, 0.001]}
    rows = [
        {**evidence.row(WHO, program=f"P{i}", p_published=p), "model": model}
        for model, listed in published.items()
        for i, p in enumerate(listed)
    ]
    rows += [evidence.row(WHO, program="unsaid"), evidence.row(WHO, program="raw", adjustment="raw", p_published=1e-9)]
    rows += [evidence.row(WHO, program="planted", role="planted", p_published=1e-9)]
    rows += [{**evidence.row(WHO, program="refused", p_published=1e-9), "model": "m1", "evaluable": False}]
    table = evidence.with_q(evidence.frame(rows), "s", "s")
    asked = table.program.str.fullmatch(r"P\d")
    for model, listed in published.items():
        np.testing.assert_allclose(table.q_published[asked & (table.model == model)], benjamini_hochberg(listed))
    assert table.q_published[~asked].isna().all()


def test_a_row_that_could_not_be_asked_says_why_and_no_row_says_more_than_it_is_told():
    assert evidence.row(WHO)["reason"] == ""
    assert evidence.row(WHO, reason="noted")["reason"] == "noted"
    refused = evidence.not_evaluable(WHO, "too few", n=2)
    assert (refused["evaluable"], refused["reason"], refused["n"]) == (False, "too few", 2)


def test_an_effect_is_compared_in_standard_deviations_of_its_null_and_a_correlation_as_it_is():
    rows = [
        evidence.row(WHO, program="a", effect=3.0, null_sd=2.0),
        evidence.row(WHO, program="b", effect=0.0, null_sd=0.0),  # nothing moves: no effect
        evidence.row(WHO, program="c", effect=0.5, null_sd=0.0),  # certain: beyond every finite one
        evidence.row(WHO, program="d"),
        # Rounding of a constant score: neither the effect nor the spread is any.
        evidence.row(WHO, program="e", estimate=0.5, null_mean=0.5, effect=5.6e-17, null_sd=8.8e-17),
        evidence.row({**WHO, "statistic": "t"}, effect=0.25, null_sd=0.05),
        evidence.row({**WHO, "statistic": "t_cascade_mix"}, effect=0.5, null_sd=0.05),
        evidence.row({**WHO, "statistic": "t_other"}, effect=0.5, null_sd=0.25),
    ]
    found = evidence.comparable(evidence.frame(rows), ("t",))
    np.testing.assert_array_equal(found, [1.5, 0.0, np.inf, np.nan, 0.0, 0.25, 0.5, 2.0])


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ("", "ceiling: control-cell sampling only (disattenuated 0.75, 95 % interval 0.50 to 1.10)"),
        ("not evaluable: a reliability is too low", "not evaluable: a reliability is too low"),
    ],
)
def test_a_noise_ceiling_fills_its_columns_and_says_what_it_holds(note, said):
    values = dict.fromkeys(Ceiling._fields, np.nan) | {"ceiling": 0.8, "disattenuated": 0.75, "low": 0.5, "high": 1.1}
    columns, found = evidence.ceilinged(Ceiling(**{**values, "note": note}))
    assert columns == {"ceiling": 0.8, "disattenuated": 0.75, "share_low": 0.5, "share_high": 1.1}
    assert found == said


def test_a_permutation_test_fills_its_columns_and_the_effect():
    test = PermutationTest(
        estimate=0.5, null_mean=0.2, null_sd=0.1, null_skewness=0.7, effect=0.4, p=0.01, p_min=0.001,
        p_stratified=0.02, p_min_stratified=0.002, p_used="p_stratified", n_permutations=999, p_tail=0.015,
        p_tie=0.1, unit_sd=0.4, note="noted",
    )  # fmt: skip
    row = evidence.row(WHO, **evidence.tested(test, "", "more"))
    assert (row["effect"], row["null_skewness"], row["null_own"]) == (0.4, 0.7, 0.0)  # not against the null
    assert [row[name] for name in ("p", "p_min", "p_stratified", "p_min_stratified")] == [0.01, 0.001, 0.02, 0.002]
    assert (row["p_used"], row["n_permutations"], row["p_tail"], row["unit_sd"]) == ("p_stratified", 999, 0.015, 0.4)
    assert row["reason"] == "noted; more"
