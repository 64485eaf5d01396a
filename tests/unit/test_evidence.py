"""The evidence table: the contract's columns, kept through writing and reading."""

import numpy as np
import pandas as pd
import pytest

from pertprobe import evidence
from pertprobe.statistics import benjamini_hochberg
from pertprobe.statistics.permutation import Test as PermutationTest

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
    *("unit", "n", "n_background", "estimate", "null_mean", "null_sd", "effect", "ci_low", "ci_high", "p", "p_min"),
    *("p_stratified", "p_min_stratified", "p_used", "p_tail", "n_permutations", "q", "estimate_published"),
    *("p_published", "ceiling", "disattenuated", "redrawn_max", "p_redrawn", "exceeds_redrawn", "evaluable", "reason"),
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
            evidence.row(WHO, program="NA", exceeds_redrawn=True, n=5, estimate=0.25, reason='a\ttab, a "quote"'),
            evidence.row(WHO, program="none", exceeds_redrawn=False),
            evidence.not_evaluable(WHO, "too few", program="untested"),
        ]
    )
    evidence.write(table, tmp_path / "e.tsv")
    again = evidence.read(tmp_path / "e.tsv")
    pd.testing.assert_frame_equal(again, table)
    assert str(again.exceeds_redrawn.dtype) == "boolean"
    assert again.exceeds_redrawn.isna().tolist() == [False, False, True]
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
        evidence.write(Broken(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_q_is_benjamini_hochberg_over_the_family_alone():
    outside = [
        with_p("raw", 0.001, adjustment="raw"),
        with_p("copy", 0.001, role="redrawn", copy=1),
        evidence.row({**WHO, "statistic": "other"}, program="other", p=0.001, p_used="p"),
        {**with_p("unasked", 0.001), "evaluable": False},
        evidence.row(WHO, program="no test", p=0.001),
    ]
    p = [0.01, 0.04, 0.03, 0.5]
    inside = [with_p(f"in {i}", value) for i, value in enumerate(p)]
    table = evidence.with_q(evidence.frame(outside + inside), "s")
    family = table.program.str.startswith("in ")
    np.testing.assert_allclose(table.q[family], benjamini_hochberg(p))
    assert table.q[~family].isna().all()


def test_q_reads_the_p_that_is_used():
    rows = [
        with_p("a", 0.001, p_stratified=0.4) | {"p_used": "p_stratified"},
        with_p("b", 0.02, p_stratified=0.0001),
    ]
    table = evidence.with_q(evidence.frame(rows), "s")
    np.testing.assert_allclose(table.q, benjamini_hochberg([0.4, 0.02]))


def test_without_a_family_no_row_has_a_q():
    table = evidence.with_q(evidence.frame([evidence.not_evaluable(WHO, "too few")]), "s")
    assert table.q.isna().all()


def test_a_row_says_which_controls_were_not_measured():
    assert evidence.row(WHO)["reason"] == evidence.NOT_MEASURED
    assert evidence.row(WHO, reason="noted")["reason"] == f"noted; {evidence.NOT_MEASURED}"
    refused = evidence.not_evaluable(WHO, "too few", n=2)
    assert (refused["evaluable"], refused["reason"], refused["n"]) == (False, "too few", 2)


def test_a_permutation_test_fills_its_columns_and_the_effect():
    test = PermutationTest(0.5, 0.2, 0.1, 0.01, 0.001, 0.02, 0.002, "p_stratified", 999, np.nan, "noted")
    row = evidence.row(WHO, **evidence.tested(test))
    assert row["effect"] == pytest.approx(0.3)
    assert [row[name] for name in ("p", "p_min", "p_stratified", "p_min_stratified")] == [0.01, 0.001, 0.02, 0.002]
    assert (row["p_used"], row["n_permutations"]) == ("p_stratified", 999)
    assert row["reason"].startswith("noted")
