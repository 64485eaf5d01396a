"""What the report says: every sentence from the numbers it is made of, and no claim beyond them."""

from math import nan

import pandas as pd
import pytest

from pertprobe.errors import in_a_row
from pertprobe.probes.declaration import probe_names
from pertprobe.report.cards import not_evaluable
from pertprobe.report.words import (
    agreement_with_truth,
    answer_sentence,
    control_answers,
    headline,
    kind,
    listed,
    remedy,
    summary,
    verdict_sentence,
)
from pertprobe.report.words.comparisons import comparison_sentence, program_sentence
from pertprobe.report.words.names import counted, interval, p_value, sentence, short
from pertprobe.report.words.remedies import OTHERWISE
from pertprobe.report.words.settings import condition
from pertprobe.report.words.verdicts import phrases
from pertprobe.stages.answer import Shares, answer
from pertprobe.stages.scorecard import COLUMNS as SCORE_COLUMNS
from pertprobe.stages.verdict import VERDICT_COLUMNS

MODELS = {"a": {"regime": "fewshot"}, "b": {"regime": "zeroshot"}, "c": {"regime": "unknown"}}
QUESTIONS = {"pert_embedding": "Close?", "new": "Is it so?"}
ROW = {
    **{"probe": "pert_embedding", "statistic": "coherence", "model": "a", "reference": "", "program": "P", "panel": ""},
    **{"verdict": "pass", "reason": "", "conditions": "q 0.003 < 0.05", "n": 4, "unit": "perturbation"},
    **{"estimate": 0.312, "null_mean": 0.021, "q": 0.003, "d_low": 0.4, "d_high": 2.0, "bayes_absence": 0.1},
    **{"smallest_effect": 0.9, "disattenuated": nan, "share_low": nan, "share_high": nan},
}


def said(**values):
    return verdict_sentence({**ROW, **values}, MODELS, QUESTIONS, 1.0)


def answered(mechanism, fidelity, accuracy, reach=1.0, n=6):
    """Return the sentence of an answer that is judged from these shares, and the answer."""
    shares = {"mechanism": Shares(*mechanism), "fidelity": Shares(*fidelity), "accuracy": Shares(*accuracy)}
    found = answer(shares, reach, n)
    row = {"answer": found.answer, "reason": found.reason, "n": n, "reach": reach}
    for name, each in shares.items():
        row |= {name: each.share, f"{name}_low": each.low, f"{name}_high": each.high}
    return found.answer, answer_sentence(row)


def test_a_pass_is_told_with_its_estimate_chance_and_q():
    assert said() == (
        "The few-shot model a groups the four perturbations in its own perturbation code (coherence 0.31, by chance "
        "0.021; q 0.003)."
    )
    assert said(model="c").startswith("The model c groups")


def test_a_share_is_told_with_its_interval():
    shares = {"disattenuated": 0.61, "share_low": 0.4, "share_high": 0.8, "conditions": "share_low 0.4 > 0.25"}
    assert "(share 0.61, 95 % 0.4 to 0.8; q 0.003)" in said(**shares)


def test_a_fail_says_what_is_excluded_and_by_which_numbers():
    missed = {"verdict": "fail", "reason": "q 0.9 < 0.05 does not hold", "d_low": -1.8, "d_high": 0.47, "q": 0.9}
    assert said(**missed).endswith("q 0.9; an effect of 1 sd is excluded: it lies between -1.8 and 0.47 sd).")
    by_bayes = {**missed, "d_high": 1.2, "bayes_absence": 3.4}
    assert said(**by_bayes).endswith("no effect is 3.4 times as likely as one of about 1 sd).")
    assert "is excluded" not in said(**by_bayes)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("excess_redrawn_low -0.2 > 0 does not hold", "no more than untrained copies of the model show"),
        ("excess_rivals_low -0.2 > 0 does not hold", "no more than co-variation alone shows"),
        ("share_low 0.01 > 0.25 does not hold", "a share above 0.25 is excluded"),
        ("effect 0.03 > 0.1 does not hold", "effect 0.03, asked for > 0.1"),
    ],
)
def test_a_missed_condition_is_told_in_words(reason, words):
    assert words in said(verdict="fail", reason=reason)


def test_not_evaluable_says_why_and_what_it_takes():
    few = said(verdict="not evaluable", reason="2 perturbations of the program, 3 needed")
    assert few == (
        "Not evaluable: 2 perturbations of the program, 3 needed. It takes a screen with more perturbations of the "
        "program, or a larger program."
    )
    power = {"reason": "power: effect -1.8 to 1.5 sd, 1 sd found in 2%; q 0.4 < 0.05 does not hold", "d_low": -1.8}
    open_ = said(verdict="not evaluable", **power, d_high=1.5, smallest_effect=2.6)
    assert "neither found nor excluded (it lies between -1.8 and 1.5 sd)" in open_
    assert open_.endswith("as it is, effects from 2.6 sd would be found.")


def test_every_probe_that_is_judged_has_its_words_and_another_is_told_by_its_question():
    judged = set(probe_names()) - {"input_sensitivity"}
    assert judged == set(phrases())
    for each in phrases().values():
        assert set(each) == {"pass", "fail"}
        assert each["pass"] != each["fail"]
        for words in each.values():
            words.format(model="x", reference="y", n="z")
    assert said(probe="new").startswith("Yes, to the question of new: Is it so? (")
    assert said(probe="new", verdict="fail").startswith("No, to the question")


def test_the_answers_are_told_by_the_shares_they_rest_on():
    assert answered((0.6, 0.4, 0.8), (0.7, 0.5, 0.9), (0.9, 0.7, 1.1)) == (
        "mechanism",
        "silencing six genes in the cells changes its prediction as the real knock-downs do, beyond what co-variation "
        "foretells (share 0.6, 95 % 0.4 to 0.8)",
    )
    word, words = answered((0.02, -0.1, 0.15), (0.03, -0.1, 0.2), (0.9, 0.7, 1.1))
    assert word == "lookup"
    assert "does not change its prediction as the real knock-downs do (share 0.03, 95 % -0.1 to 0.2)" in words
    word, words = answered((0.1, -0.1, 0.3), (0.6, 0.4, 0.8), (0.9, 0.7, 1.1))
    assert word == "co-variation"
    assert "nothing beyond what co-variation foretells was shown (share 0.1, 95 % -0.1 to 0.3)" in words
    word, words = answered((0.0, -0.1, 0.1), (0.0, -0.1, 0.1), (0.0, -0.1, 0.1))
    assert word == "not predicted"
    assert "neither by the perturbation's name" in words


def test_an_answer_by_construction_and_open_ones_claim_nothing():
    word, words = answered((0, 0, 0), (0, 0, 0), (0.5, 0.3, 0.7), reach=0)
    assert word == "lookup"
    assert "moves no other output" in words
    word, words = answered((0.2, -0.4, 0.8), (0.3, -0.4, 0.9), (0.5, 0.3, 0.7))
    assert word == "unresolved"
    assert "the intervals allow more than one answer" in words
    assert "of 41 like these the intervals would be narrow enough" in words
    word, words = answered((nan, nan, nan), (nan, nan, nan), (nan, nan, nan))
    assert words.startswith("whether it holds the mechanism is open: two halves of the observed cells do not agree")


@pytest.mark.parametrize(
    ("reason", "needed"),
    [
        ("power: no one of 199 draws reached it, 4000 draws would do", "statistics.permutations of 4000 or more"),
        ("power: the smallest p this size can reach is 0.1", "larger programs"),
        ("1 perturbation of the program (2 more never trained), 3 needed", "trained with more of the program"),
        ("model has no gradient", "docs/custom_model.md"),
        ("no panel for this program", "pertprobe init proposes them"),
        (
            "quality gate: over 3 held-out perturbations the median r ... does not beat the mean shift's 0.4",
            "quality.html",
        ),
        ("two halves of the observed cells do not agree enough", "more cells"),
        ("1 measured gene of the program, 3 needed", "among its inputs"),
        ("excess_redrawn_low not measured", "controls.redrawn"),
        ("something else", OTHERWISE),
    ],
)
def test_every_reason_has_a_remedy(reason, needed):
    assert needed in remedy(reason)


def test_reasons_of_one_kind_are_one_whatever_their_numbers():
    assert kind("0 genes of the program, 3 needed") == kind("2 genes of the program, 3 needed")
    assert kind("power: effect -1 to 2 sd, 1 sd found in 2%") == kind("power: effect 0 to 3 sd, 1 sd found in 9%")
    assert kind("model has no gradient") != kind("model has no stages")


def test_what_is_not_evaluable_is_told_once_for_probes_and_models():
    rows = [{**ROW, "verdict": "not evaluable", "reason": "no panel for this program", "model": each} for each in "abc"]
    rows += [{**rows[0], "probe": "knockout", "reference": "b"}]
    (found,) = not_evaluable(rows, "abc")
    assert found.startswith(
        "Not evaluable by pert_embedding (all models) and knockout (a against b): no panel for this program. It takes"
    )


def test_two_models_are_compared_in_counts_and_in_words():
    pairs = [("pass", "pass"), ("pass", "fail"), ("fail", "not evaluable"), ("fail", "fail")]
    assert comparison_sentence("causal", pairs, "x", "y") == (
        "At the causal level 3 programs could be asked of both: 1 pass in both, 1 only in x, 0 only in y, 1 in neither."
    )
    assert "no program could be asked" in comparison_sentence("causal", [("pass", "mixed")], "x", "y")
    levels = {"causal": ("fail", "pass"), "routing": ("pass", "mixed")}
    assert program_sentence(levels, "x", "y") == "at the causal level y passes and x does not"


READINGS = ["program", "model", "reference", "probe", "answer", "representation", "causal"]


def test_the_first_words_are_answers_then_levels_and_what_is_open():
    rows = [("", "a", "", "", "lookup", "", ""), ("P", "a", "", "", "lookup", "pass", "fail"),
            ("Q", "a", "", "", "unresolved", "fail", "not evaluable")]  # fmt: skip
    readings = pd.DataFrame(rows, columns=READINGS)
    verdicts = pd.DataFrame({"verdict": ["pass", "not evaluable"], "reason": ["", "no panel for this program"]})
    found = list(summary(verdicts, readings, pd.DataFrame(columns=SCORE_COLUMNS), ["representation", "causal"]))
    assert found == [
        "Asked of single programs, 2 in all, it is lookup once and unresolved once.",
        "At the representation level, of the programs that could be asked, these pass: 1 of 2 in a.",
        "At the causal level, of the programs that could be asked, these pass: 0 of 1 in a.",
        "1 of 2 questions about programs could not be answered; the commonest reason (once): no panel for this "
        "program.",
    ]
    assert headline(readings) == "Asked of all perturbed genes together, the answer is lookup for a."
    both = pd.concat([readings, readings.assign(model="b")])
    assert headline(both) == "Asked of all perturbed genes together, the answer is lookup for a and b."
    none = list(summary(verdicts.iloc[:1], readings.assign(answer=""), pd.DataFrame(columns=SCORE_COLUMNS), []))
    assert headline(readings.assign(answer="")).startswith(
        "No model has an answer: the config asks no intervention_fidelity"
    )
    assert none[-1] == "All 1 questions about programs could be answered."


def test_models_of_known_kind_stand_beside():
    card = pd.DataFrame([{"model": "a", "role": "lookup", "answer": "lookup"}], columns=SCORE_COLUMNS).fillna("")
    readings = pd.DataFrame([("", "a", "", "", "lookup", "", "")], columns=READINGS)
    assert next(summary(pd.DataFrame({"verdict": []}), readings, card, [])).endswith(
        "models whose kind is known: a lookup is called lookup."
    )


def test_controls_that_were_not_asked_are_none_of_none():
    controls = {f"{role}_control": "absent" for role in ("planted", "lookup", "covariation")}
    (row,) = control_answers(pd.DataFrame([{**dict.fromkeys(VERDICT_COLUMNS, ""), "probe": "knockout", **controls}]))
    assert row == {"probe": "knockout", "planted": "0 of 0", "lookup": "0 of 0", "covariation": "0 of 0"}


def test_no_truth_no_sentence():
    assert agreement_with_truth(pd.DataFrame({"planted": [""], "probe": ["one"], "verdict": ["pass"]}), ["one"]) == ""


def test_conditions_are_told_in_words_and_unknown_ones_by_name():
    assert condition("q", "<", 0.05) == "a false discovery rate q below 0.05"
    assert condition("excess_redrawn_low", ">", 0).startswith("more than untrained copies have")
    assert condition("n", ">=", 3) == "n at least 3"


def test_numbers_and_lists_are_written_as_people_write_them():
    assert [short(each) for each in (0.031, -0.1, 12.34, 1234.5, nan, 0)] == ["0.031", "-0.1", "12", "1,234", "", "0"]
    assert [p_value("q", each) for each in (0.003, 0.00001, nan)] == ["q 0.003", "q < 0.0001", ""]
    assert [counted(each, "gene") for each in (1, 4, 13)] == ["one gene", "four genes", "13 genes"]
    assert interval(nan, nan, nan) == "share not known"
    assert interval(0.5, nan, nan) == "share 0.5"
    assert [in_a_row(list(each)) for each in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert listed(["a", "b", "a"]) == "a, b"
    assert listed(str(each) for each in range(10)) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
    assert sentence("it is so") == "It is so."
