"""The answer: what shares of the ceiling make mechanism, co-variation, lookup, not predicted, unresolved."""

import numpy as np
import pandas as pd
import pytest

from pertprobe import evidence
from pertprobe.files import write_table
from pertprobe.stages.answer import ANSWERS, Shares, answer, answers, read_answers

HIGH, MIDDLE, NONE, WIDE = Shares(0.8, 0.6, 1.0), Shares(0.3, 0.1, 0.45), Shares(0.0, -0.1, 0.1), Shares(0.3, -0.4, 1.0)
UNKNOWN = Shares()
STATISTICS = {"mechanism": "beyond", "fidelity": "fidelity", "accuracy": "accuracy", "reach": "reach"}


def said(mechanism, fidelity, accuracy, reach=1.0, **limits):
    return answer({"mechanism": mechanism, "fidelity": fidelity, "accuracy": accuracy}, reach, 6, limits)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((HIGH, HIGH, HIGH), "mechanism"),
        ((Shares(0.6, 0.05, 1.2), HIGH, NONE), "mechanism"),
        ((NONE, HIGH, HIGH), "co-variation"),
        ((MIDDLE, HIGH, HIGH), "co-variation"),
        ((NONE, NONE, HIGH), "lookup"),
        ((NONE, Shares(0.08, 0.01, 0.15), HIGH), "lookup"),
        ((NONE, Shares(0.08, 0.01, 0.15), NONE), "co-variation"),
        ((NONE, NONE, NONE), "not predicted"),
        ((WIDE, WIDE, HIGH), "unresolved"),
        ((NONE, NONE, WIDE), "unresolved"),
        ((NONE, NONE, UNKNOWN), "unresolved"),
        ((UNKNOWN, HIGH, HIGH), "unresolved"),
    ],
)
def test_answers(shares, expected):
    assert said(*shares).answer == expected
    assert expected in ANSWERS


def test_what_cannot_depend_on_the_cell_is_a_lookup_whatever_else_is_known():
    found = said(UNKNOWN, UNKNOWN, UNKNOWN, reach=0.0)
    assert found.answer == "lookup"
    assert found.reason.startswith("by construction")
    assert said(HIGH, HIGH, HIGH, reach=0.0).answer == "lookup"
    assert said(HIGH, HIGH, HIGH, reach=np.nan).answer == "mechanism"


def test_limits_are_those_of_the_config():
    assert said(Shares(0.4, 0.3, 0.49), HIGH, HIGH).answer == "mechanism"
    assert said(Shares(0.4, 0.3, 0.49), HIGH, HIGH, delta=0.35).answer == "co-variation"
    assert said(Shares(0.4, 0.1, 0.7), HIGH, HIGH, most=0.35).answer == "mechanism"


def test_an_unresolved_answer_says_how_many_genes_would_do():
    assert "6 genes; of 48 like these the intervals would be narrow enough" in said(WIDE, WIDE, HIGH).reason


def row(statistic, program, share=(np.nan,) * 3, **more):
    values = dict(zip(("disattenuated", "share_low", "share_high"), share, strict=True))
    who = {"probe": "p", "model": "m", "context": "c", "regime": "fewshot", "unit": "gene", "n": 6}
    return evidence.row(who, statistic=statistic, program=program, **values, **more)


def test_every_program_and_the_model_are_answered():
    rows = [row("reach", each, estimate=1.0) for each in ("", "P", "Q")]
    rows += [row(f"{name}_all_genes", "", HIGH) for name in ("beyond", "fidelity", "accuracy")]
    rows += [row(name, "P", NONE if name == "beyond" else HIGH) for name in ("beyond", "fidelity", "accuracy")]
    rows += [row("beyond", "Q", evaluable=False, reason="2 genes, 3 needed")]
    table = answers(evidence.frame(rows), STATISTICS).set_index("program")
    assert table.answer.to_dict() == {"": "mechanism", "P": "co-variation", "Q": "unresolved"}
    assert table.reason["Q"] == "2 genes, 3 needed"
    assert table.loc["P", ["fidelity", "fidelity_low", "fidelity_high"]].tolist() == list(HIGH)


def test_a_model_that_could_not_be_asked_has_the_reason():
    refused = evidence.not_evaluable({"probe": "p", "model": "m", "context": "c", "regime": "x"}, "no cells",
                                     statistic="beyond", program="P", unit="gene")  # fmt: skip
    table = answers(evidence.frame([refused]), STATISTICS)
    assert table.answer.tolist() == ["unresolved", "unresolved"]
    assert table.reason[table.program == "P"].item() == "no cells"


def test_copies_planted_models_and_pairs_have_no_answer_models_of_known_kind_have():
    rows = [row("reach", "", estimate=1.0, role=role) for role in ("planted", "redrawn", "observed", "lookup")]
    table = answers(evidence.frame([*rows, row("reach", "", estimate=1.0, reference="n")]), STATISTICS)
    assert table.role.tolist() == ["lookup"]
    alone = answers(evidence.frame(rows[:3]), STATISTICS)
    assert isinstance(alone, pd.DataFrame)
    assert alone.empty


def test_answers_come_back_from_their_file_and_a_run_without_them_has_a_table_without_rows(tmp_path):
    table = answers(evidence.frame([row("reach", "NA", estimate=1.0)]), STATISTICS)
    write_table(table, tmp_path / "answers.tsv")
    again = read_answers(tmp_path / "answers.tsv")
    assert set(again.program) == {"", "NA"}
    assert again.mechanism.isna().all()
    assert read_answers(None).columns.tolist() == again.columns.tolist()
