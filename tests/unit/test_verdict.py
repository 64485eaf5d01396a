"""Verdicts, levels and readings: three answers, and nothing that knows a probe by name."""

import inspect
import pkgutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pertprobe import evidence, probes, verdict
from pertprobe.verdict import judge, planted_truth, readings, verdicts

CONFIG = Path(__file__).resolve().parents[2] / "config"
WHO = {"probe": "one", "statistic": "s", "model": "m", "context": "c", "regime": "fewshot"}
Q = [["q", "<", 0.05]]


def evidence_row(**values):
    good = {"program": "P", "p": 0.01, "p_min": 0.001, "p_used": "p", "estimate": 0.5, "effect": 0.3}
    return {**evidence.row(WHO), **good, "q": 0.02, **values}


def judged(*rows, thresholds=Q, primary="s", truth=None):
    table = evidence.frame(rows)
    probes = table.probe.unique()
    return verdicts(table, dict.fromkeys(probes, thresholds), dict.fromkeys(probes, primary), truth)


def verdict_row(probe, verdict, program="P", model="m", reference=""):
    return {"probe": probe, "verdict": verdict, "program": program, "model": model, "reference": reference}


def read(*rows, levels=None, pairs=None):
    levels = levels or {"representation": ["r1", "r2"], "causal": ["c1", "c2"]}
    return readings(pd.DataFrame(rows), levels, pairs or {})


def level(name, *answers, **who):
    return [verdict_row(f"{name}{i}", answer, **who) for i, answer in enumerate(answers, start=1)]


@pytest.mark.parametrize(
    ("values", "verdict", "reason"),
    [
        ({}, "pass", ""),
        ({"q": 0.2}, "fail", "q 0.2 < 0.05 does not hold"),
        ({"evaluable": False, "reason": "too few"}, "not evaluable", "too few"),
        ({"q": np.nan}, "not evaluable", "q not measured"),
        ({"p_min": 0.2, "q": 0.3}, "not evaluable", "power: the smallest p this size can reach is 0.2"),
    ],
)
def test_a_row_passes_fails_or_is_not_evaluable(values, verdict, reason):
    assert judge(evidence_row(**values), Q) == (verdict, reason)


def test_every_condition_must_hold_and_those_missed_are_named():
    conditions = [*Q, ["effect", ">", 0.4], ["estimate", ">=", 0.5]]
    assert judge(evidence_row(), conditions) == ("fail", "effect 0.3 > 0.4 does not hold")
    assert judge(evidence_row(effect=0.5), conditions)[0] == "pass"


def test_every_empty_column_is_named():
    conditions = [["exceeds_redrawn", "==", True], ["ceiling", ">", 0.1]]
    assert judge(evidence_row(), conditions) == ("not evaluable", "exceeds_redrawn and ceiling not measured")
    asked = judged(evidence_row(), thresholds=conditions).iloc[0]
    assert (asked.verdict, asked.reason) == ("not evaluable", "exceeds_redrawn and ceiling not measured")


@pytest.mark.parametrize(("exceeds", "verdict"), [(True, "pass"), (False, "fail")])
def test_a_true_or_false_column_can_be_a_condition(exceeds, verdict):
    row = evidence_row(exceeds_redrawn=exceeds)
    assert judged(row, thresholds=[["exceeds_redrawn", "==", True]]).verdict.tolist() == [verdict]


def test_power_is_that_of_the_p_which_q_was_made_of():
    unreachable = {"p_min_stratified": 0.2, "p_stratified": 0.2, "q": 0.2}
    assert judge(evidence_row(p_used="p_stratified", **unreachable), Q)[0] == "not evaluable"
    assert judge(evidence_row(p_used="p", **unreachable), Q)[0] == "fail"
    assert judge(evidence_row(p_min=0.05, q=0.05), Q)[0] == "not evaluable"
    assert judge(evidence_row(p_min=0.05, q=0.05), [["q", "<=", 0.05]])[0] == "pass"
    assert judge(evidence_row(p_min=0.2, p=0.2), [["p", "<", 0.05]])[0] == "not evaluable"
    assert judge(evidence_row(p_min=0.2, p=0.2), [["p", ">", 0.05]])[0] == "pass"


def test_conditions_are_told_with_their_values():
    asked = judged(evidence_row(), thresholds=[*Q, ["effect", ">", 0.1], ["p_used", "==", "p"]])
    assert asked.conditions.tolist() == ["q 0.02 < 0.05; effect 0.3 > 0.1; p_used p == p"]


def test_only_centred_subject_rows_of_the_primary_statistic_with_a_program_are_judged():
    table = judged(
        evidence_row(),
        evidence_row(program="raw", adjustment="raw"),
        evidence_row(program="copy", role="redrawn", copy=1),
        evidence_row(program="second", statistic="other"),
        evidence_row(program=""),
    )
    assert table.program.tolist() == ["P"]


def test_a_probe_without_thresholds_gets_no_verdict():
    assert verdicts(evidence.frame([evidence_row()]), {}, {"one": "s"}).empty


def test_verdicts_know_no_probe_by_name():
    source = inspect.getsource(verdict)
    names = {module.name for module in pkgutil.iter_modules(probes.__path__)} - {"base", "representation"}
    assert len(names) >= 4
    assert [name for name in names if name in source] == []


def test_planted_truth_stands_beside_representation_probes_only(tmp_path):
    (tmp_path / "truth.tsv").write_text("program\tcontext\tplanted\nP\tc\tshared\nP\td\tabsent\n")
    truth = planted_truth(tmp_path / "truth.tsv", ["one"])
    table = judged(evidence_row(), evidence_row(probe="two"), evidence_row(context="d", model="n"), truth=truth)
    found = {(row.probe, row.model): row.planted for row in table.itertuples()}
    assert found == {("one", "m"): "shared", ("two", "m"): "", ("one", "n"): "absent"}
    assert planted_truth([], ["one"]) == {}


def test_a_level_needs_two_evaluable_probes():
    table = read(*level("r", "pass", "not evaluable"), *level("c", "fail", "fail"))
    assert table.representation.item() == "not evaluable"
    assert table.causal.item() == "fail"
    assert table.reading.item() == "not evaluable"
    assert "representation not evaluable (1 probe evaluable, 2 needed)" in table.reason.item()


def test_two_rows_of_one_probe_are_one_probe():
    twice = [verdict_row("r1", "pass"), verdict_row("r1", "pass")]
    assert read(*twice).representation.item() == "not evaluable"


def test_a_mixed_level_names_its_probes():
    table = read(*level("r", "pass", "fail"), *level("c", "pass", "pass"))
    assert table.representation.item() == "mixed"
    assert table.reading.item() == "mixed"
    assert "passed: r1; failed: r2" in table.reason.item()


@pytest.mark.parametrize(
    ("representation", "causal", "reading"),
    [
        ("pass", "pass", "mechanistic"),
        ("pass", "fail", "representational, not mechanistic"),
        ("fail", "pass", "causal without representation"),
        ("fail", "fail", "none"),
        ("not evaluable", "pass", "not evaluable"),
        ("pass", "not evaluable", "not evaluable"),
    ],
)
def test_representation_and_causal_level_make_the_reading(representation, causal, reading):
    table = read(*level("r", *[representation] * 2), *level("c", *[causal] * 2))
    assert table.reading.item() == reading


def test_routing_makes_no_reading():
    levels = {"representation": ["r1", "r2"], "routing": ["t1", "t2"], "causal": ["c1", "c2"]}
    rows = [*level("r", "pass", "pass"), *level("t", "pass", "pass"), *level("c", "fail", "fail")]
    table = read(*rows, levels=levels)
    assert table.routing.item() == "pass"
    assert table.reading.item() == "representational, not mechanistic"


def test_a_verdict_on_a_pair_speaks_of_both_models():
    rows = [
        *(verdict_row("c1", "pass", model=model) for model in ("a", "b")),
        verdict_row("c2", "pass", model="a", reference="b"),
    ]
    table = read(*rows).set_index("model")
    assert table.causal.to_dict() == {"a": "pass", "b": "pass"}


def pair_reading(first, second, comparison):
    rows = [*level("r", *[first] * 2, model="few"), *level("r", *[second] * 2, model="zero")]
    table = read(*rows, pairs={comparison: [["few", "zero"]]})
    return table[table.comparison == comparison].reading.item()


@pytest.mark.parametrize(
    ("few", "zero", "reading"),
    [
        ("pass", "pass", "backbone"),
        ("pass", "fail", "fine-tune"),
        ("fail", "pass", "lost in fine-tune"),
        ("fail", "fail", "none"),
        ("not evaluable", "pass", "not evaluable"),
    ],
)
def test_regimes_say_where_a_program_comes_from(few, zero, reading):
    assert pair_reading(few, zero, "regimes") == reading


@pytest.mark.parametrize(
    ("first", "second", "reading"),
    [
        ("pass", "pass", "both_contexts"),
        ("pass", "fail", "one"),
        ("fail", "pass", "one"),
        ("fail", "fail", "none"),
        ("pass", "not evaluable", "not evaluable"),
    ],
)
def test_contexts_say_where_a_program_holds(first, second, reading):
    assert pair_reading(first, second, "contexts") == reading


def test_a_pair_with_a_mixed_level_reads_mixed():
    rows = [*level("r", "pass", "fail", model="few"), *level("r", "pass", "pass", model="zero")]
    table = read(*rows, pairs={"regimes": [["few", "zero"]]})
    assert table[table.comparison == "regimes"].reading.item() == "mixed"


def test_a_pair_whose_models_have_no_verdict_has_no_row():
    assert read(*level("r", "pass", "pass"), pairs={"contexts": [["m", "unknown"]]}).comparison.tolist() == [""]


def test_no_verdicts_no_readings():
    table = readings(judged(), {"representation": ["r1"], "causal": ["c1"]}, {"contexts": [["a", "b"]]})
    assert table.empty
    assert "reading" in table


def test_the_preset_published_judges_by_the_published_columns():
    thresholds = yaml.safe_load((CONFIG / "published.yaml").read_text())["thresholds"]
    used = {column for conditions in thresholds.values() for column, _, _ in conditions}
    assert used == {"p_published", "estimate_published"}
    valid = {"q": 0.9, "effect": -1.0, "p": 0.9, "p_min": 0.5}
    rows = [
        evidence_row(probe=probe, program=program, **valid, p_published=p, estimate_published=estimate)
        for probe in thresholds
        for program, p, estimate in (("yes", 0.01, 0.5), ("no", 0.2, 0.05), ("unsaid", np.nan, np.nan))
    ]
    table = verdicts(evidence.frame(rows), thresholds, dict.fromkeys(thresholds, "s"))
    answers = table.groupby("program").verdict.unique().map(list).to_dict()
    assert answers == {"yes": ["pass"], "no": ["fail"], "unsaid": ["not evaluable"]}
