"""Verdicts, levels and readings: three answers, and nothing that knows a probe by name."""

import inspect
import pkgutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pertprobe import evidence, probes
from pertprobe.files import write_table
from pertprobe.probes.declaration import declared
from pertprobe.stages import verdict
from pertprobe.stages.verdict import (
    CONTROL_WORDS,
    FAIL,
    INTEREST,
    OWN,
    VERDICT_COLUMNS,
    join,
    judge,
    planted_truth,
    read_verdicts,
    readings,
    verdicts,
)
from pertprobe.statistics.power import Null, bayes_absence, benjamini_hochberg, interval, power, smallest_effect

CONFIG = Path(__file__).resolve().parents[2] / "config"
WHO = {"probe": "one", "statistic": "s", "model": "m", "context": "c", "regime": "fewshot"}
Q = [["q", "<", 0.05]]


NUMBERS = {"p": 0.01, "p_min": 0.001, "p_used": "p", "estimate": 0.5, "effect": 0.3, "q": 0.02}
STRONG = {"unit_sd": 1.0, "null_sd": 0.2, "null_mean": 0.2}
WEAK = {"unit_sd": 1.0, "null_sd": 0.5, "null_mean": 0.2}
"""An effect of 0.3 is not shown to be smaller than one unit_sd: 0.3 + 1.64 x 0.5 is more."""


def evidence_row(**values):
    """Return a row that passes, of a question that would have found an effect of one unit_sd."""
    return {**evidence.row(WHO), "program": "P", **NUMBERS, **STRONG, **values}


def judged(*rows, thresholds=Q, primary="s", truth=None, **more):
    table = evidence.frame(rows)
    probes = table.probe.unique()
    return verdicts(table, dict.fromkeys(probes, thresholds), dict.fromkeys(probes, primary), truth, **more)


def verdict_row(probe, verdict, program="P", model="m", reference=""):
    who = {"probe": probe, "program": program, "model": model, "reference": reference}
    return {**who, "verdict": verdict, "d_low": np.nan, "d_high": np.nan}


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
    assert judge(evidence_row(**values), Q)[:2] == (verdict, reason)


def test_every_condition_must_hold_and_those_missed_are_named():
    conditions = [*Q, ["effect", ">", 0.4], ["estimate", ">=", 0.5]]
    assert judge(evidence_row(), conditions)[:2] == ("fail", "effect 0.3 > 0.4 does not hold")
    assert judge(evidence_row(effect=0.5), conditions)[0] == "pass"


def test_every_empty_column_is_named():
    conditions = [["excess_redrawn_low", ">", 0], ["ceiling", ">", 0.1]]
    assert judge(evidence_row(), conditions)[:2] == ("not evaluable", "excess_redrawn_low and ceiling not measured")
    asked = judged(evidence_row(), thresholds=conditions).iloc[0]
    assert (asked.verdict, asked.reason) == ("not evaluable", "excess_redrawn_low and ceiling not measured")
    noted = judge(evidence_row(reason="no architecture null: it has no redraw"), conditions).reason
    assert noted == "excess_redrawn_low and ceiling not measured; no architecture null: it has no redraw"


def test_the_smallest_p_is_that_of_the_p_which_q_was_made_of():
    unreachable = {"p_min_stratified": 0.2, "p_stratified": 0.2, "q": 0.2}
    assert judge(evidence_row(p_used="p_stratified", **unreachable), Q)[0] == "not evaluable"
    assert judge(evidence_row(p_used="p", **unreachable), Q)[0] == "fail"
    assert judge(evidence_row(p_min=0.05, q=0.05), Q)[0] == "not evaluable"
    assert judge(evidence_row(p_min=0.05, q=0.05), [["q", "<=", 0.05]])[0] == "pass"
    assert judge(evidence_row(p_min=0.2, p=0.2), [["p", "<", 0.05]])[0] == "not evaluable"
    assert judge(evidence_row(p_min=0.2, p=0.2), [["p", ">", 0.05]])[0] == "pass"


STRONG_NULL, WEAK_NULL = Null(1.0, 0.2), Null(1.0, 0.5)


def test_an_answer_carries_its_effect_its_power_and_the_smallest_effect_it_could_see():
    found = judge(evidence_row(), Q)
    assert (found.d, found.d_low, found.d_high) == pytest.approx((0.3, *interval(0.3, 0.2)))
    assert found.bayes_absence == pytest.approx(bayes_absence(0.3, 0.2, 1.0))
    assert found.power == pytest.approx(power(STRONG_NULL, 0.05, 1.0))
    assert found.smallest_effect == pytest.approx(smallest_effect(STRONG_NULL, 0.05, 0.8))
    wanted = judge(evidence_row(), Q, None, {"d": 0.3, "power": 0.9})
    assert wanted.power == pytest.approx(power(STRONG_NULL, 0.05, 0.3))
    assert wanted.smallest_effect == pytest.approx(smallest_effect(STRONG_NULL, 0.05, 0.9))
    row = judged(evidence_row(), interest={"d": 0.3, "power": 0.9}).iloc[0]
    assert (row.power, row.smallest_effect) == (pytest.approx(wanted.power), pytest.approx(wanted.smallest_effect))
    halved = judge(evidence_row(unit_sd=2.0), Q)
    assert (halved.d, halved.d_high) == pytest.approx((found.d / 2, found.d_high / 2))


@pytest.mark.parametrize("missed", [{"q": 0.2}, {"q": 0.2, "estimate": 0.05}], ids=str)
def test_no_significance_is_a_fail_only_where_the_effect_is_shown_to_be_small(missed):
    conditions = [*Q, ["estimate", ">", 0.1]]
    assert judge(evidence_row(**missed), conditions).verdict == "fail"
    open_ = judge(evidence_row(**WEAK, **missed), conditions)
    assert open_.verdict == "not evaluable"
    assert open_.reason.startswith("power: effect -0.52 to 1.1 sd, 1 sd found in 64%; q 0.2 < 0.05 does")
    assert judge(evidence_row(**WEAK, **missed), conditions, None, {"d": 1.3, "power": 0.8}).verdict == "fail"


def test_power_alone_settles_nothing():
    """One sd would have been found, and 0.9 sd is what was: missing q by a little is no absence."""
    found = judge(evidence_row(q=0.06, effect=0.9, null_sd=0.3), Q)
    assert (found.verdict, found.power > 0.9) == ("not evaluable", True)


@pytest.mark.parametrize("skewness", [0.0, 0.8])
def test_the_interval_decides_at_its_very_bound(skewness):
    bound = 1 - (interval(0.0, 0.5, skewness)[1])
    answers = [judge(evidence_row(**WEAK, q=0.2, null_skewness=skewness, effect=bound + by), Q) for by in (-1e-3, 1e-3)]
    assert [each.verdict for each in answers] == ["fail", "not evaluable"]


def test_a_bayes_factor_for_absence_settles_it_too():
    row = evidence_row(q=0.9, effect=-0.4, unit_sd=1.0, null_sd=1.0)
    assert judge(row, Q).verdict == "not evaluable"
    wide = judge({**row, "effect": -2.0, "null_sd": 1.5}, Q)
    assert (wide.verdict, wide.d_high < 1) == ("fail", True)
    many = judge({**row, "effect": 0.0}, Q, None, {"d": 3.5, "power": 0.8})
    assert (many.verdict, many.bayes_absence > 3) == ("fail", True)


def test_a_pass_stands_whatever_its_power():
    assert judge(evidence_row(**WEAK), Q).verdict == "pass"
    assert judge(evidence_row(unit_sd=np.nan), Q).verdict == "pass"


def test_without_a_score_per_unit_no_significance_is_no_answer():
    found = judge(evidence_row(q=0.2, unit_sd=np.nan), Q)
    assert found.verdict == "not evaluable"
    assert np.isnan(found.power)


def test_a_size_that_is_too_small_is_a_fail_where_the_effect_is_significant():
    assert judge(evidence_row(**WEAK), [*Q, ["effect", ">", 0.4]]).verdict == "fail"


@pytest.mark.parametrize("column", ["excess_redrawn_low", "excess_rivals_low"])
@pytest.mark.parametrize("q", [0.02, 0.2])
def test_where_q_holds_a_control_that_wins_is_a_fail_and_settles_nothing_where_q_is_missed(column, q):
    found = judge(evidence_row(**WEAK, q=q, **{column: -0.5}), [*Q, [column, ">", 0]])
    assert found.verdict == ("fail" if q < 0.05 else "not evaluable")
    assert f"{column} -0.5 > 0 does not hold" in found.reason


@pytest.mark.parametrize("name", ["excess_redrawn", "excess_rivals"])
@pytest.mark.parametrize(("common", "size"), [(False, 1 / 0.5), (True, 1.0)])
def test_an_excess_that_is_neither_shown_nor_excluded_is_no_answer(name, common, size):
    conditions = [*Q, [f"{name}_low", ">", 0]]

    def answer(high, *more, **values):
        """Return the answer to an interval that begins at -0.5; `size` is one unit_sd on its scale."""
        row = evidence_row(**{**WEAK, f"{name}_low": -0.5, f"{name}_high": high, **values})
        return judge(row, [*conditions, *more], common=common)

    assert answer(size - 0.01).verdict == "fail"
    wide = answer(size + 0.01)
    assert wide.verdict == "not evaluable"
    assert wide.reason.startswith(f"power: {name} -0.5 to {size + 0.01:.2g}; {name}_low -0.5 > 0 does not hold")
    assert answer(size + 0.01, ["effect", ">", 0.4]).verdict == "fail", "what is missed for certain decides"
    assert answer(size + 0.01, unit_sd=np.nan).verdict == "fail"


@pytest.mark.parametrize(("high", "verdict"), [(0.24, "fail"), (0.26, "not evaluable"), (np.nan, "fail")])
def test_a_share_of_the_ceiling_fails_where_its_whole_interval_lies_below(high, verdict):
    row = evidence_row(share_low=0.1, share_high=high)
    assert judge(row, [*Q, ["share_low", ">", 0.25]]).verdict == verdict


def test_q_asks_for_the_next_step_of_benjamini_hochberg():
    q = {"a": 0.01, "b": 0.04, "c": 0.2, "d": 0.9}
    rows = [evidence_row(program=program, q=value) for program, value in q.items()]
    rows += [evidence_row(program="untested", q=np.nan), evidence_row(program="raw", q=0.001, adjustment="raw")]
    table = judged(*rows).set_index("program")
    alpha = 0.05 * 3 / 4  # two of four pass: the third would need this p
    assert table.power.drop("untested").tolist() == pytest.approx([power(STRONG_NULL, alpha, 1.0)] * 4)
    assert table.smallest_effect["c"] == pytest.approx(smallest_effect(STRONG_NULL, alpha, 0.8))
    everyone = judged(*(evidence_row(program=name, q=0.01) for name in "abc")).power
    assert everyone.tolist() == pytest.approx([power(STRONG_NULL, 0.05, 1.0)] * 3)


@pytest.mark.parametrize("seed", range(20))
def test_the_p_that_q_asks_for_would_have_passed(seed):
    p = np.random.default_rng(seed).beta(0.4, 1.5, size=8)
    q = benjamini_hochberg(p)
    family = pd.DataFrame({"q": q})
    asked = verdict._reachable(family, Q)["q"]
    for i in np.flatnonzero(q >= 0.05):
        changed = p.copy()
        changed[i] = asked * (1 - 1e-9)
        assert benjamini_hochberg(changed)[i] < 0.05


def planted_row(role="planted", **values):
    return evidence_row(role=role, **values)


FAILED = {"q": 0.2}


@pytest.mark.parametrize(("role", "words"), CONTROL_WORDS.items())
def test_planted_models_are_judged_by_the_same_conditions_in_their_own_words(role, words):
    for answer, values in (("pass", {}), ("fail", FAILED)):
        row = judged(evidence_row(), planted_row(role, **values)).iloc[0]
        assert row[f"{role}_control"] == words[answer]
        others = {f"{other}_control" for other in CONTROL_WORDS} - {f"{role}_control"}
        assert {row[column] for column in others} == {"absent"}
    assert set(CONTROL_WORDS) == {"planted", "lookup", "covariation"}


@pytest.mark.parametrize(
    "control",
    [
        planted_row(program="another"),
        planted_row(panel="another"),
        planted_row(model="another"),
        planted_row(statistic="another"),
        planted_row(evaluable=False),
        planted_row(q=np.nan),
        planted_row(adjustment="raw"),
    ],
)
def test_a_control_that_was_not_asked_the_same_is_absent(control):
    assert judged(evidence_row(), control).planted_control.tolist() == ["absent"]


def test_controls_are_not_asked_for_controls_of_their_own():
    conditions = [*Q, *([column, ">", 0] for column in OWN)]
    row = evidence_row(**dict.fromkeys(OWN, 1.0))
    assert judged(row, planted_row(), thresholds=conditions).planted_control.tolist() == ["found"]


def test_controls_are_read_in_the_statistic_they_have():
    rows = [evidence_row(), planted_row(statistic="other"), planted_row(statistic="s", **FAILED)]
    assert judged(*rows, controlled={"one": "other"}).planted_control.tolist() == ["found"]
    assert judged(*rows).planted_control.tolist() == ["missed"]


@pytest.mark.parametrize(("values", "verdict"), [({}, "pass"), (FAILED, "fail")], ids=["pass", "fail"])
def test_a_planted_control_that_is_missed_is_one_draw_and_decides_nothing(values, verdict):
    row = judged(evidence_row(**values), planted_row(**WEAK, **FAILED)).iloc[0]
    assert (row.verdict, row.planted_control) == (verdict, "missed")
    assert row.reason.endswith("the planted control, one draw, is missed; 64% of such programs would be found")
    found = judged(evidence_row(**values), planted_row(**WEAK)).iloc[0]
    assert (found.verdict, found.planted_control) == (verdict, "found")
    assert "planted" not in found.reason


def test_the_share_of_planted_programs_that_would_be_found_is_that_of_the_planted_model():
    row = judged(evidence_row(), planted_row(**WEAK), interest={"d": 2.0, "power": 0.8}).iloc[0]
    assert row.planted_found == pytest.approx(power(WEAK_NULL, 0.05, 2.0))
    assert row.power == pytest.approx(power(STRONG_NULL, 0.05, 2.0))
    assert np.isnan(judged(evidence_row()).planted_found.item())


FLOOR = {"p": 1e-4, "p_min": 1e-4, "n_permutations": 9999, "effect": 0.3}


def test_a_p_that_no_draw_reached_and_that_is_too_large_for_its_family_is_no_fail():
    """One of 500 rows: q = 0.0001 x 500 = 0.05, and 9999 draws can give no less."""
    family = [evidence_row(program=f"P{i}", p=0.5, q=0.6, p_min=1e-4, n_permutations=9999) for i in range(499)]
    table = judged(evidence_row(**FLOOR, q=0.05), *family).set_index("program")
    assert table.verdict["P"] == "not evaluable"
    assert table.reason["P"] == (
        "power: no one of 9999 draws reached it, 10000 draws would do; q 0.05 < 0.05 does not hold"
    )
    assert set(table.verdict.drop("P")) == {"fail"}


def test_a_p_as_small_as_so_few_arrangements_allow_says_so():
    row = evidence_row(p=0.01, p_min=0.01, q=0.2, n_permutations=0)
    found = judge(row, Q, {"q": 0.005})
    assert found.verdict == "not evaluable"
    assert found.reason.startswith("power: the smallest p this size can reach is 0.01, 0.005 is needed; q 0.2 < 0.05")
    assert judge(row, Q, {"q": 0.02}).verdict == "fail"
    assert judge({**row, "p": 0.03}, Q, {"q": 0.005}).verdict == "fail"


def test_models_without_a_mechanism_change_no_verdict():
    for values in ({}, FAILED):
        alone = judged(evidence_row(**values)).iloc[0]
        beside = judged(evidence_row(**values), planted_row("lookup"), planted_row("covariation", **FAILED)).iloc[0]
        assert (alone.verdict, alone.reason) == (beside.verdict, beside.reason)


@pytest.mark.parametrize("role", ["redrawn", "shuffled"])
def test_a_pass_of_a_model_without_copies_says_so(role):
    rows = evidence_row(), evidence_row(model="n"), evidence_row(program="F", **FAILED), evidence_row(role=role, copy=1)
    found = judged(*rows, with_copies=["one"]).set_index(["model", "program"]).reason
    assert found["n", "P"] == "not compared with untrained copies, of which there is none"
    assert found["m", "P"] == ""
    assert "copies" not in found["m", "F"]
    assert not judged(*rows).reason.str.contains("copies").any()


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
    names = {module.name for module in pkgutil.iter_modules(probes.__path__)} - {"base", "panels", "representation"}
    assert len(names) >= 4
    assert [name for name in names if name in source] == []


def test_planted_truth_stands_beside_every_probe(tmp_path):
    (tmp_path / "truth.tsv").write_text("program\tcontext\tplanted\nP\tc\tshared\nP\td\tabsent\n")
    truth = planted_truth(tmp_path / "truth.tsv")
    table = judged(evidence_row(), evidence_row(probe="two"), evidence_row(context="d", model="n"), truth=truth)
    found = {(row.probe, row.model): row.planted for row in table.itertuples()}
    assert found == {("one", "m"): "shared", ("two", "m"): "shared", ("one", "n"): "absent"}
    assert planted_truth([]) == {}


def test_a_level_pools_the_evaluable_probes_there_are():
    table = read(*level("r", "pass", "not evaluable"), *level("c", "fail", "fail"))
    assert table.representation.item() == "pass"
    assert table.dual_reading.item() == "representational, not mechanistic"
    assert table.reason.item() == "representation pass (one probe spoke: r1)"


def test_a_level_of_one_probe_says_how_wide_its_interval_is():
    known = {**verdict_row("r1", "fail"), "d_low": -0.21, "d_high": 0.93}
    table = read(known, *level("c", "pass", "pass"))
    assert table.reason.item() == "representation fail (one probe spoke: r1; effect -0.21 to 0.93 sd)"


def test_a_level_without_an_evaluable_probe_is_not_evaluable():
    table = read(*level("r", "not evaluable", "not evaluable"), *level("c", "pass", "pass"))
    assert (table.representation.item(), table.dual_reading.item()) == ("not evaluable", "not evaluable")
    assert "representation not evaluable (no probe evaluable)" in table.reason.item()


def test_two_rows_of_one_probe_are_one_probe():
    twice = [verdict_row("r1", "pass"), verdict_row("r1", "pass")]
    assert "one probe spoke: r1" in read(*twice).reason.item()


def test_a_mixed_level_names_its_probes():
    table = read(*level("r", "pass", "fail"), *level("c", "pass", "pass"))
    assert table.representation.item() == "mixed"
    assert table.dual_reading.item() == "mixed"
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
    assert table.dual_reading.item() == reading


def test_routing_makes_no_reading():
    levels = {"representation": ["r1", "r2"], "routing": ["t1", "t2"], "causal": ["c1", "c2"]}
    rows = [*level("r", "pass", "pass"), *level("t", "pass", "pass"), *level("c", "fail", "fail")]
    table = read(*rows, levels=levels)
    assert table.routing.item() == "pass"
    assert table.dual_reading.item() == "representational, not mechanistic"


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
    table = table[table.comparison == comparison]
    return table[table.probe == ""].dual_reading.item()


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
    compared = table[table.comparison == "regimes"]
    assert compared[compared.probe == ""].dual_reading.item() == "mixed"


def by_probe(table, comparison="contexts"):
    """Return probe -> reading of the rows that compare one probe's verdicts."""
    rows = table[(table.comparison == comparison) & (table.probe != "")]
    return dict(zip(rows.probe, rows.dual_reading, strict=True))


def test_each_probe_is_compared_by_itself_on_a_pair():
    rows = [*level("r", "pass", "fail", model="a"), *level("r", "pass", "pass", model="b")]
    rows += [*level("c", "not evaluable", "fail", model="a"), *level("c", "pass", "fail", model="b")]
    rows += [verdict_row("c3", "pass", model="a")]  # without a verdict on b
    table = read(*rows, pairs={"contexts": [["a", "b"]]})
    assert by_probe(table) == {"r1": "both_contexts", "r2": "one", "c1": "not evaluable", "c2": "none"}
    compared = table[table.probe != ""]
    assert set(zip(compared.model, compared.reference, compared.program, strict=True)) == {("a", "b", "P")}
    assert set(compared.representation) == {""}
    alone = table[table.comparison == ""]
    assert set(alone.probe) == {""}


def test_panels_that_differ_are_mixed_and_those_that_agree_are_one_answer():
    rows = [verdict_row("c1", answer, model="a") for answer in ("pass", "fail")]
    rows += [verdict_row("c2", "pass", model="a"), verdict_row("c2", "pass", model="a")]
    rows += [verdict_row(probe, "pass", model="b") for probe in ("c1", "c2")]
    assert by_probe(read(*rows, pairs={"contexts": [["a", "b"]]})) == {"c1": "mixed", "c2": "both_contexts"}


def test_verdicts_on_pairs_alone_compare_no_probe():
    rows = level("c", "pass", "pass", model="a", reference="b")
    table = read(*rows, pairs={"contexts": [["a", "b"]]})
    assert by_probe(table) == {}
    assert set(table[table.comparison == "contexts"].causal) == {"both_contexts"}


def test_readings_of_pairs_take_other_words_and_those_of_models_keep_theirs():
    words = {"one": "marginal", "none": "null"}
    rows = [*level("r", "pass", "fail", model="a"), *level("r", "fail", "fail", model="b")]
    rows += [*level("c", "fail", "fail", model="a"), *level("c", "fail", "fail", model="b")]
    levels = {"representation": ["r1", "r2"], "causal": ["c1", "c2"]}
    table = readings(pd.DataFrame(rows), levels, {"contexts": [["a", "b"]]}, words)
    assert by_probe(table) == {"r1": "marginal", "r2": "null", "c1": "null", "c2": "null"}
    assert table[(table.comparison == "") & (table.model == "b")].dual_reading.item() == "none"
    assert table[(table.comparison == "contexts") & (table.probe == "")].causal.item() == "null"


def test_a_pair_whose_models_have_no_verdict_has_no_row():
    assert read(*level("r", "pass", "pass"), pairs={"contexts": [["m", "unknown"]]}).comparison.tolist() == [""]


def test_no_verdicts_no_readings():
    table = readings(judged(), {"representation": ["r1"], "causal": ["c1"]}, {"contexts": [["a", "b"]]})
    assert table.empty
    assert "dual_reading" in table


PRESET = yaml.safe_load((CONFIG / "published.yaml").read_text())


def test_the_preset_published_judges_by_the_published_columns():
    thresholds = PRESET["thresholds"]
    used = {column for conditions in thresholds.values() for column, _, _ in conditions}
    assert used == {"p_published", "q_published", "estimate_published"}
    valid = {"q": 0.9, "effect": -1.0, "p": 0.9, "p_min": 0.5}
    answers = (("yes", 0.01, 0.5), ("no", 0.2, 0.05), ("unsaid", np.nan, np.nan))
    rows = [
        evidence_row(probe=probe, program=program, **valid, p_published=p, q_published=p, estimate_published=estimate)
        for probe in thresholds
        for program, p, estimate in answers
    ]
    table = verdicts(evidence.frame(rows), thresholds, dict.fromkeys(thresholds, "s"))
    answers = table.groupby("program").verdict.unique().map(list).to_dict()
    assert answers == {"yes": ["pass"], "no": ["fail"], "unsaid": ["not evaluable"]}


BELOW_0_001, NS = "<0.001", "ns"
PUBLISHED_TABLE = {
    # program: (HepG2 z, p; Jurkat z, p; verdict), as the published analysis states them; None = not stated.
    "mitoribosome": (5.58, BELOW_0_001, 5.71, BELOW_0_001, "backbone-level"),
    "oxphos": (2.23, 0.004, 1.89, 0.016, "backbone-level"),
    "cytoplasmic_ribosome": (1.64, 0.045, 1.96, 0.018, "marginal"),
    "er_secretory": (0.19, 0.45, 0.49, 0.33, "null"),
    "proteasome": (None, NS, None, NS, "null"),
    "splicing": (None, NS, None, NS, "null"),
}
PUBLISHED_WORDS = {"backbone-level": "both_contexts", "marginal": "marginal", "null": "null"}
"""The published verdict -> ours: that both lines agree is no proof of a backbone, so it is called what it is."""


def published_evidence(below, ns):
    """Return the published table as evidence of two models, `below` for p < 0.001 and `ns` for unstated p."""
    stated = {BELOW_0_001: below, NS: ns}
    rows = []
    for program, numbers in PUBLISHED_TABLE.items():
        for model, p in (("hepg2", numbers[1]), ("jurkat", numbers[3])):
            who = {"probe": "sae_features", "statistic": "coherence", "model": model, "context": model}
            rows.append(evidence.row(who, program=program, p_published=stated.get(p, p)))  # effect sizes: not stated
    return evidence.frame(rows)


@pytest.mark.parametrize("below", [0.00099, 0.0002, 0.0])
@pytest.mark.parametrize("ns", [0.0501, 0.2, 0.5, 1.0])
def test_the_preset_published_reproduces_the_published_verdicts_of_probe_1(below, ns):
    probe = declared("sae_features")
    table = evidence.with_q(published_evidence(below, ns), probe.primary, probe.compared_in)
    for model in ("hepg2", "jurkat"):
        mine = table[table.model == model]
        np.testing.assert_allclose(mine.q_published, benjamini_hochberg(mine.p_published))
        assert len(mine) == 6
    assert table.estimate_published.isna().all()
    primary = {"sae_features": probe.primary}
    verdict = verdicts(table, PRESET["thresholds"], primary, controlled={"sae_features": probe.compared_in})
    assert "not evaluable" not in set(verdict.verdict)
    levels = {"representation": ["sae_features", "pert_embedding"], "causal": ["targeted_jacobian", "knockout"]}
    found = readings(verdict, levels, {"contexts": [["hepg2", "jurkat"]]}, PRESET["reading_words"])
    found = found[found.probe == "sae_features"].set_index("program").dual_reading.to_dict()
    assert found == {program: PUBLISHED_WORDS[numbers[4]] for program, numbers in PUBLISHED_TABLE.items()}


def test_with_the_raw_published_p_the_marginal_program_would_have_passed_in_both_lines():
    """Why the preset asks for q: 0.045 and 0.018 are both below 0.05."""
    table = published_evidence(0.0005, 0.5)
    table = evidence.with_q(table, "coherence", "coherence_hidden")
    by_p = verdicts(table, {"sae_features": [["p_published", "<", 0.05]]}, {"sae_features": "coherence"})
    assert set(by_p[by_p.program == "cytoplasmic_ribosome"].verdict) == {"pass"}


def test_the_preset_changes_nothing_but_the_judgement():
    assert set(PRESET) == {"thresholds", "reading_words"}
    assert PRESET["reading_words"] == {"one": "marginal", "none": "null"}
    assert INTEREST == {"d": 1.0, "power": 0.8}


def test_verdicts_come_back_from_their_file_with_numbers_where_some_are_missing(tmp_path):
    who = dict.fromkeys(VERDICT_COLUMNS, "") | {"probe": "one", "model": "m", "program": "P", "verdict": FAIL}
    table = pd.DataFrame([who | {"d_low": -0.5, "d_high": 0.25}, who | {"program": "NA", "verdict": "not evaluable"}])
    write_table(table, tmp_path / "verdicts.tsv")
    again = read_verdicts(tmp_path / "verdicts.tsv")
    assert again.program.tolist() == ["P", "NA"]
    assert join(again) == (FAIL, "one probe spoke: one; effect -0.5 to 0.25 sd")
