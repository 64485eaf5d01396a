"""The score card: shares of what the data allow, ranks over what all models answer, known kinds beside the subjects."""

import numpy as np
import pandas as pd
import pytest

from pertprobe import evidence
from pertprobe.files import write_table
from pertprobe.report.scorecard_figure import LIMITS, scorecard_figure
from pertprobe.report.words import KINDS
from pertprobe.report.words.answers import answers, known_kinds, single_programs
from pertprobe.roles import KNOWN, LOOKUP, NETWORK
from pertprobe.stages.answer import COLUMNS as ANSWER_COLUMNS
from pertprobe.stages.scorecard import COLUMNS, read_scorecard, scorecard, shown

PROGRAMS = [f"program_{i}" for i in range(8)]
ANSWERING = {"fidelity_probe": {"mechanism": "beyond", "fidelity": "with", "accuracy": "codes", "reach": "reach"}}


def row(probe, statistic, model, program, effect, role="subject", **more):
    who = {"probe": probe, "model": model, "context": "line", "regime": "fewshot", "role": role}
    numbers = {"estimate": effect, "null_mean": 0.0, "effect": effect, "null_sd": 0.1, "unit_sd": 0.5}
    return evidence.row(who, statistic=statistic, program=program, n=5, **{**numbers, **more})


@pytest.fixture
def representation():
    """Return evidence in which "half" holds half of what the data show, and "whole" all of it."""
    data, noise = np.random.default_rng(0).normal([[1.0], [0.0]], [[0.2], [0.02]], (2, 8))
    noise -= noise.mean()
    rows = [
        row("coherence", "r", model, program, share * there + (role == "subject") * more, role=role)
        for model, own in (("half", 0.5), ("whole", 1.0))
        for role, share in (("subject", own), ("observed", 1.0))
        for program, there, more in zip(PROGRAMS, data, noise, strict=True)
    ]
    return evidence.frame(rows)


def card(tables, answers=None, levels=None, answering=None):
    known = pd.DataFrame(columns=ANSWER_COLUMNS) if answers is None else answers
    primary = {"coherence": "r", "fidelity_probe": "beyond"}
    levels = {"representation": ["coherence"]} if levels is None else levels
    return scorecard(tables, known, levels, primary, answering or {}, seed=0)


def test_a_level_is_the_share_of_what_the_same_probe_finds_in_the_data(representation):
    found = card({"coherence": representation}).set_index("model")
    assert list(found.reset_index().columns.sort_values()) == sorted(COLUMNS)
    assert found.estimate["half"] == pytest.approx(0.5)
    assert found.estimate["whole"] == pytest.approx(1.0)
    assert found.ci_low["half"] <= 0.5 <= found.ci_high["half"]
    assert (found.answered == 8).all()
    assert (found.asked == 8).all()
    assert found["rank"].to_dict() == {"half": 2, "whole": 1}
    assert (found.rank_low["half"], found.rank_high["half"]) == (2, 2)  # in every draw of programs
    assert (found.bayes_factor > 3).all()


def test_the_scale_of_a_probe_changes_nothing(representation):
    scaled = representation.copy()
    columns = ["estimate", "null_mean", "effect", "null_sd", "unit_sd"]
    scaled[columns] = 7 * scaled[columns]
    first, second = (card({"coherence": each}) for each in (representation, scaled))
    pd.testing.assert_frame_equal(first, second)


def test_programs_without_an_answer_are_counted_and_ranks_are_over_the_common_ones(representation):
    part = representation.copy()
    part.loc[(part.model == "half") & part.program.isin(PROGRAMS[:3]) & (part.role == "subject"), "evaluable"] = False
    found = card({"coherence": part}).set_index("model")
    assert found.answered.to_dict() == {"half": 5, "whole": 8}
    assert (found.asked == 8).all()
    assert found.reason.str.contains("ranked over 5 of 8 programs").all()


def test_without_data_beside_there_is_no_share_and_the_reason_says_which_probe(representation):
    alone = representation[representation.role == "subject"]
    found = card({"coherence": alone})
    assert found.estimate.isna().all()
    assert found["rank"].isna().all()
    assert found.reason.str.contains("not compared with data: coherence").all()


def test_a_share_of_what_is_not_told_from_nothing_is_no_number(representation):
    unsure = representation.copy()
    data = unsure.role == "observed"
    unsure.loc[data, "effect"] = 0.01 + np.tile([-1.0, 1.0], data.sum() // 2)
    found = card({"coherence": unsure})
    assert found[["estimate", "ci_low", "ci_high", "rank", "bayes_factor"]].isna().all(axis=None)
    assert found.reason.str.contains("too uncertain, to be a ceiling").all()


def test_data_that_show_nothing_are_no_ceiling(representation):
    nothing = representation.copy()
    nothing.loc[nothing.role == "observed", "effect"] = [-0.1, 0.1] * 8
    found = card({"coherence": nothing})
    assert found.ci_low.isna().all()
    assert found.reason.str.contains("too little, or too uncertain").all()


def answers_table():
    def line(model, role, answer, share):
        numbers = {f"{aspect}{end}": share + more for aspect in ("mechanism", "fidelity", "accuracy")
                   for end, more in (("", 0.0), ("_low", -0.1), ("_high", 0.1))}  # fmt: skip
        who = {"program": "", "model": model, "role": role, "context": "line", "regime": "fewshot"}
        return {**who, "answer": answer, "reason": "because", "n": 40, "n_asked": 50, "reach": 1.0, **numbers}

    kinds = [line("mine", LOOKUP, "lookup", np.nan), line("mine", NETWORK, "mechanism", 0.7)]
    return pd.DataFrame([line("mine", "subject", "lookup", 0.05), *kinds], columns=ANSWER_COLUMNS)


@pytest.fixture
def answered():
    rows = [
        row("fidelity_probe", statistic, "mine", program, share * 0.2, role=role, ceiling=0.2)
        for role, share in (("subject", 0.05), (NETWORK, 0.7))
        for statistic in ("beyond", "codes")
        for program in PROGRAMS
    ]
    return card({"fidelity_probe": evidence.frame(rows)}, answers_table(), {}, ANSWERING)


def test_answers_become_levels_of_their_own_and_known_kinds_stand_beside(answered):
    found = answered.set_index(["level", "role"])
    assert found.estimate["intervention", "subject"] == pytest.approx(0.05)
    assert found.answer["intervention", NETWORK] == "mechanism"
    assert found.answer["accuracy", NETWORK] == ""
    assert found["rank"].isna().all()  # there is one model, and those of known kind are not ranked
    assert (found.answered["intervention", "subject"], found.asked["intervention", "subject"]) == (40, 50)


def test_a_card_comes_back_from_its_file_and_words_are_no_missing_numbers(answered, tmp_path):
    named = answered.assign(model="NA", reason="")
    write_table(named, tmp_path / "scorecard.tsv")
    again = read_scorecard(tmp_path / "scorecard.tsv")
    assert (again.model == "NA").all()
    assert (again.reason == "").all()
    np.testing.assert_allclose(again.estimate.astype(float), answered.estimate.astype(float))


def test_a_known_kind_is_shown_once_for_a_context(answered):
    second = answered.assign(model="other")
    ((context, rows),) = list(shown(pd.concat([answered, second])))
    assert context == "line"
    assert set(rows[rows.role == "subject"].model) == {"mine", "other"}
    assert set(rows[rows.role.isin(KNOWN)].model) == {"mine"}


WRITTEN = ["40", "n.e.", "40", "n", "", "lookup", "lookup", "mechanism", "answer"]
"""n of each model in the last column, and the answers beside it."""


def test_the_figure_shows_every_model_with_its_answer_and_what_lies_beyond_as_an_arrow(answered):
    answered.loc[(answered.role == "subject") & (answered.level == "accuracy"), "estimate"] = 4.4
    figure, caption, _ = scorecard_figure(answered, answers_table(), 0.25)
    assert "shares above 0.25" in caption
    labels = [each.get_text() for each in figure.axes[0].get_yticklabels()]
    assert labels == ["line", "mine", KINDS[LOOKUP], KINDS[NETWORK]]
    assert [each.get_text() for each in figure.axes[-1].texts] == WRITTEN
    arrows = [line for line in figure.axes[-1].lines if line.get_marker() == ">"]
    assert [line.get_xdata()[0] for line in arrows] == [LIMITS[1]]
    assert figure.get_size_inches()[0] <= 183 / 25.4


def test_a_run_without_answers_has_a_figure_that_says_so():
    figure = scorecard_figure(pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=ANSWER_COLUMNS), 0.25).figure
    assert "Nothing could be tested" in figure.axes[0].texts[0].get_text()


def test_sentences_name_the_answer_of_each_model_and_of_the_kinds_beside_it(answered):
    readings = pd.DataFrame({"program": ["", "program_1", "program_2"], "model": "mine",
                             "answer": ["lookup", "lookup", "unresolved"]})  # fmt: skip
    assert list(answers(readings)) == ["Asked of all perturbed genes together, the answer is lookup for mine."]
    assert single_programs(readings).endswith("it is lookup once and unresolved once.")
    assert "a mechanism (network) is called mechanism" in known_kinds(answered)
