"""The page: the score card first, then the verdict matrix, answers in words, one file that needs no other."""

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tiny import MeanShift

from pertprobe import evidence
from pertprobe.files import write_table
from pertprobe.plots import nothing_to_draw, write_figure
from pertprobe.report import write_report
from pertprobe.report.page import inline_svg, number
from pertprobe.report.verdict_matrix import verdict_matrix
from pertprobe.report.words import agreement_with_truth, answers, control_answers, found, listed, not_evaluable
from pertprobe.stages.scorecard import COLUMNS as SCORE_COLUMNS
from pertprobe.stages.verdict import CONTROL_WORDS, VERDICT_COLUMNS, readings, verdicts

WHO = {"probe": "knockout", "statistic": "agreement", "context": "line_a", "regime": "fewshot"}
THRESHOLDS = {"knockout": [["q", "<", 0.05]], "pert_embedding": [["q", "<", 0.05]]}
LEVELS = {"representation": ["pert_embedding"], "routing": [], "causal": ["knockout"]}
NASTY = "a<script>alert(1)</script>&b"


def asked(program, p, **values):
    strong = {"unit_sd": 1.0, "null_sd": 0.1, "effect": 0.2}  # an effect of one sd is excluded
    return evidence.row({**WHO, "model": "m"}, program=program, p=p, p_min=0.001, p_used="p", **strong | values)


def unasked(program, reason="2 knocked-out genes of the program, 3 needed"):
    return evidence.not_evaluable({**WHO, "model": "m"}, reason, program=program)


def judged(*rows, truth=None):
    table = evidence.with_q(evidence.frame(rows), "agreement", "agreement")
    return table, verdicts(table, THRESHOLDS, {"knockout": "agreement", "pert_embedding": "coherence"}, truth)


def page(tmp_path, *rows, truth=None, card=None, further=None, levels=LEVELS, scorecard=None, pilot=False):
    """Write a report of these evidence rows; return its text."""
    table, verdict = judged(*rows, truth=truth)
    reading = readings(verdict, levels, {})
    score = pd.DataFrame(columns=SCORE_COLUMNS) if scorecard is None else scorecard
    for name, each in (("verdicts", verdict), ("readings", reading), ("scorecard", score)):
        write_table(each, tmp_path / f"{name}.tsv")
    evidence.write(table, tmp_path / "knockout.tsv")
    (tmp_path / "evaluability.tsv").write_text(
        "probe\tmodel\tprogram\tenough\nknockout\tm\tP\tTrue\nknockout\tm\tQ\tFalse\n"
    )
    quality = pd.DataFrame({"perturbation": ["x", "y"], "seen": "here", "r": [0.5, np.nan], "r_mean_shift": [0.1, 0.2]})
    write_table(quality, tmp_path / "quality.tsv")
    known = {"kind": "state", "context": "line_a", "regime": "fewshot", "shared_initialisation": {}}
    full = {"attention": "bidirectional", "attention_source": "flag", "equivariance_error": 1e-7, "causal": False}
    related = {"shared_initialisation": {"twin": {"difference": 0.9}, "other": {"difference": None}}}
    card = card or {**known, **full, **related, "warnings": ["mind the <gap>"]}
    (tmp_path / "card.json").write_text(json.dumps({**known, **card}))
    write_table(pd.DataFrame({"model": ["m"], "explained": [0.87654]}), tmp_path / "sae.tsv")
    write_figure(verdict_matrix(verdict, ["m"], levels), [tmp_path / "verdict_matrix.svg"])
    for name in ("scorecard", "knockout", "controls", "cascade"):
        write_figure(nothing_to_draw(f"the figure {name}"), [tmp_path / f"{name}.svg"])
    paths = {name: tmp_path / f"{name}.tsv" for name in ("verdicts", "readings", "scorecard", "evaluability")}
    lists = {"evidence": ["knockout.tsv"], "cards": ["card.json"], "quality": ["quality.tsv"], "sae": ["sae.tsv"]}
    lists |= {"figures": ["scorecard.svg", "verdict_matrix.svg", "knockout.svg"]}
    paths |= {name: tmp_path / f"{name}.svg" for name in ("controls", "cascade")}
    files = SimpleNamespace(**paths, **{key: [tmp_path / each for each in value] for key, value in lists.items()})
    params = SimpleNamespace(
        run="mine", models={"m": {}}, probes=["knockout"], sae=["joint"], thresholds=THRESHOLDS, levels=levels,
        interest={"d": 0.75, "power": 0.9}, pilot=pilot,
    )  # fmt: skip
    if further is not None:
        write_table(further, tmp_path / "further.tsv")
        files.tables, params.reported = [tmp_path / "further.tsv"], ["knockout"]
    write_report(files, params, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


class Checked(HTMLParser):
    """Collects ids, references to other files, and tags left open."""

    def __init__(self):
        super().__init__()
        self.ids, self.outside, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        links = [attrs.get(key) for key in ("src", "href", "xlink:href")]
        self.outside += [link for link in links if link and not link.startswith(("#", "data:"))]


def test_a_pilot_says_above_all_that_it_is_no_result(tmp_path):
    text = page(tmp_path, asked("P", 0.001), pilot=True)
    assert text.index("A pilot: no result.") < text.index("the figure scorecard")
    assert "A pilot" not in page(tmp_path, asked("P", 0.001))


def test_the_score_card_comes_first_then_the_matrix_and_answers_are_in_words(tmp_path):
    text = page(tmp_path, asked("P", 0.001), asked("Q", 0.5), unasked("R"))
    assert text.index("the figure scorecard") < text.index("What was found")
    assert "No probe of this run answers" in text
    assert text.index("<svg") < text.index("What was found") < text.index("What was not evaluable")
    assert "knockout on m found P, of 2 programs that could be tested." in text
    assert "knockout: 1 program (R) - 2 knocked-out genes of the program, 3 needed." in text
    assert "a pass needs" in text
    assert "q &lt; 0.05" in text
    assert "0.877" in text


def test_a_table_that_a_probe_makes_beside_its_evidence_stands_below_its_figure(tmp_path):
    table = pd.DataFrame({"program": ["P", NASTY], "share": [0.123456, np.nan]})
    text = page(tmp_path, asked("P", 0.001), further=table)
    assert text.index("the figure knockout") < text.index("<th>share</th>") < text.index("tested rows")
    assert "<td>0.123</td>" in text
    assert NASTY not in text
    assert "<th>share</th>" not in page(tmp_path, asked("P", 0.001), further=table.iloc[:0])


def test_names_are_escaped(tmp_path):
    text = page(tmp_path, asked(NASTY, 0.001), unasked(NASTY + "2", reason="<i>why</i>"))
    assert "<script" not in text
    assert "<i>" not in text
    assert "a&lt;script&gt;alert(1)&lt;/script&gt;&amp;b" in text
    assert "mind the &lt;gap&gt;" in text


def test_the_page_needs_no_other_file(tmp_path):
    checked = Checked()
    checked.feed(page(tmp_path, asked("P", 0.001)))
    assert checked.outside == ["quality.html"]  # a link, made by the same run; nothing is loaded from it
    assert not {"script", "link", "img", "iframe"} & set(checked.tags)
    assert len(checked.ids) == len(set(checked.ids))


def test_every_link_of_the_page_leads_somewhere(tmp_path):
    text = page(tmp_path, asked("P", 0.001))
    checked = Checked()
    checked.feed(text)
    assert set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text)) <= set(checked.ids)


@pytest.mark.parametrize("rows", [[unasked("P"), unasked("Q")], []])
def test_a_run_that_could_ask_nothing_says_so(tmp_path, rows):
    text = page(tmp_path, *rows)
    assert "No program could be tested." in text
    assert "Nothing could be tested" in text
    assert ("Every question could be put." in text) == (not rows)


def test_models_that_share_an_initialisation_or_the_order_of_cells_are_marked(tmp_path):
    text = page(tmp_path, asked("P", 0.001))
    assert "twin: matched minus mismatched cosine 0.9" in text
    assert "they share an initialisation" in text
    assert "other: matched" not in text
    assert "order of cells</li>" not in text
    causal = {"attention": "causal", "attention_source": "given", "equivariance_error": 0.3, "causal": True}
    assert "causal: results depend on the order of cells" in page(tmp_path, asked("P", 0.001), card=causal)


def test_a_model_that_is_no_state_model_has_a_card_too(tmp_path):
    text = page(tmp_path, asked("P", 0.001), card={**MeanShift.card, "kind": "mean shift"})
    assert "mean shift, line_a, fewshot" in text
    assert "attention" not in text


def test_the_page_is_the_same_every_time(tmp_path):
    assert page(tmp_path, asked("P", 0.001)) == page(tmp_path, asked("P", 0.001))


def test_known_truth_is_compared_in_words(tmp_path):
    truth = {("P", "line_a"): "shared", ("Q", "line_a"): "decoy"}
    levels = {"representation": ["knockout"], "causal": []}
    text = page(tmp_path, asked("P", 0.001), asked("Q", 0.5), truth=truth, levels=levels)
    assert "1 of 1 rows with a planted effect here, 0 of 1 rows of decoys" in text
    assert "Truth is known here" not in page(tmp_path, asked("P", 0.001))


def test_readings_are_told():
    rows = [
        ("mechanistic", "m", "", "P"),
        ("mechanistic", "m", "", "Q"),
        ("none", "m", "", "R"),
        ("one", "m", "n", "P"),
    ]
    table = pd.DataFrame(rows, columns=["dual_reading", "model", "reference", "program"]).assign(probe="", answer="")
    sentences = list(found(judged()[1], table))
    assert sentences == ["Reading of m: P, Q are mechanistic.", "Reading of m against n: P is one."]


def test_answers_stand_apart_and_programs_that_differ_are_named():
    rows = [("m", "", "lookup", ""), ("m", "P", "lookup", "none"), ("m", "Q", "unresolved", "mechanistic")]
    table = pd.DataFrame(rows, columns=["model", "program", "answer", "dual_reading"]).assign(probe="", reference="")
    assert list(answers(table, pd.DataFrame(columns=SCORE_COLUMNS))) == [
        "m, all perturbed genes together: lookup. Programs by themselves: Q: unresolved."
    ]
    assert list(found(judged()[1], table)) == ["Reading of m: Q is mechanistic."]


def test_readings_of_one_probe_are_told_apart_from_those_of_levels():
    rows = [("one", "m", "n", "P", ""), ("one", "m", "n", "P", "knockout"), ("none", "m", "n", "Q", "knockout")]
    table = pd.DataFrame(rows, columns=["dual_reading", "model", "reference", "program", "probe"]).assign(answer="")
    assert list(found(judged()[1], table)) == [
        "Reading of m against n: P is one.",
        "Reading of m against n by knockout alone: P is one.",
    ]


def test_reasons_are_told_once_with_their_counts():
    _, table = judged(
        unasked("P", "0 genes of the program, 3 needed"), unasked("Q", "2 genes of the program, 3 needed")
    )
    assert list(not_evaluable(table)) == ["knockout: 2 programs (P, Q) - 0 to 2 genes of the program, 3 needed."]
    many = [unasked(f"P{i}", "no way") for i in range(12)]
    assert list(not_evaluable(judged(*many)[1])) == ["knockout: 12 programs - no way."]


def test_long_lists_are_cut_and_counted():
    assert listed(["a", "b", "a"]) == "a, b"
    assert listed([str(i) for i in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_no_truth_no_sentence():
    assert agreement_with_truth(judged(asked("P", 0.001))[1], ["one"]) == ""


def test_numbers_have_three_digits_and_gaps_are_empty():
    assert [number(each) for each in (0.12345, np.nan, None, pd.NA, 3, "x", True)] == [
        "0.123", "", "", "", "3", "x", "True",
    ]  # fmt: skip


def test_ids_of_figures_are_their_own(tmp_path):
    (tmp_path / "fig.svg").write_text('<?xml?><svg><g id="a"/><use href="#a" clip-path="url(#b)"/></svg>')
    found = inline_svg(tmp_path / "fig.svg")
    assert found == '<svg><g id="fig-a"/><use href="#fig-a" clip-path="url(#fig-b)"/></svg>'


def control(role, q, program="P"):
    return {**asked(program, q), "role": role}


def test_controls_have_a_section_with_their_figures_and_answers(tmp_path):
    rows = [asked("P", 0.001), control("planted", 0.001), control("lookup", 0.001), control("covariation", 0.6)]
    rows += [asked("Q", 0.6), control("planted", 0.6, "Q")]
    text = page(tmp_path, *rows)
    section = text[text.index('<h2 id="controls">') : text.index('<h2 id="models">')]
    assert section.index("the figure controls") < section.index("the figure cascade")
    assert "<td>knockout</td><td>1 of 2</td><td>1 of 1</td><td>0 of 1</td>" in section
    assert '<a href="#controls">' in text
    verdict = text[text.index("All 2 verdicts") :]
    assert re.search(r"<td>found</td><td>passes</td><td>fails</td>", verdict)
    assert re.search(r"<td>missed</td><td>absent</td><td>absent</td>", verdict)


def test_controls_that_were_not_asked_are_none_of_none():
    (row,) = control_answers(judged(asked("P", 0.001))[1])
    assert row == {"probe": "knockout", "planted": "0 of 0", "lookup": "0 of 0", "covariation": "0 of 0"}


def test_controls_are_no_evidence_rows_of_the_page(tmp_path):
    text = page(tmp_path, asked("P", 0.001), control("planted", 0.001), control("redrawn", 0.001))
    assert "Evidence: 1 tested rows" in text


def test_what_a_fail_and_power_mean_is_said_with_the_numbers_of_the_config(tmp_path):
    text = page(tmp_path, asked("P", 0.001))
    assert "An effect counts as absent where it is shown to be smaller than 0.75 sd of all others" in text
    assert re.search(r"the smallest effect that which is found in 0\.9\b", text)
    assert "A fail is said only where an effect worth finding is excluded" in text
    assert "not measured" not in text


def test_missing_power_is_told_once_for_all_programs(tmp_path):
    weak = {"unit_sd": 1.0, "effect": 0.3}
    _, table = judged(*(asked(name, 0.5, **weak, null_sd=sd) for name, sd in (("P", 0.5), ("Q", 0.6))))
    (sentence,) = not_evaluable(table)
    assert sentence == "knockout: 2 programs (P, Q) - an effect of interest is neither found nor excluded."


def test_readings_name_the_probe_they_are_of(tmp_path):
    text = page(tmp_path, asked("P", 0.001))
    section = text[text.index('<h2 id="readings">') : text.index('<h2 id="knockout">')]
    heads = re.findall("<th>([^<]*)</th>", section[: section.index("</tr>")])
    assert heads[:4] == ["program", "model", "reference", "probe"]


def test_every_role_has_a_place_in_the_answers():
    assert {f"{role}_control" for role in CONTROL_WORDS} <= set(VERDICT_COLUMNS)
