"""The report: one file that needs no other; sections in order, essentials as HTML, the rest as data of scripts."""

import base64
import gzip
import itertools
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
from pertprobe.report import cards, matrix, tables, write_report
from pertprobe.report.page import inline_svg, number
from pertprobe.report.verdict_matrix import verdict_matrix
from pertprobe.stages.answer import COLUMNS as ANSWER_COLUMNS
from pertprobe.stages.scorecard import COLUMNS as SCORE_COLUMNS
from pertprobe.stages.verdict import CONTROL_WORDS, VERDICT_COLUMNS, readings, verdicts

WHO = {"probe": "knockout", "statistic": "agreement", "context": "line_a", "regime": "fewshot"}
THRESHOLDS = {"knockout": [["q", "<", 0.05]], "pert_embedding": [["q", "<", 0.05]]}
LEVELS = {"representation": ["pert_embedding"], "routing": [], "causal": ["knockout"]}
NASTY = "a<script>alert(1)</script>&b"
SECTIONS = (
    *("answer", "scorecard", "programs", "matrix", "unasked", "regimes", "probes", "controls", "models", "methods"),
    *("provenance", "glossary"),
)
RECORD = {
    "seed": 7,
    "python": "3.11.7",
    "versions": {"pertprobe": "9.9", "torch": "2.0"},
    "inputs": {"programs": {"files": {"a.gmt": "f" * 64}}},
    "models": {"m": {"final.ckpt": "e" * 64}},
    "cells": {"line_a": "d" * 64},
    "code": {"commit": "abc123"},
    "machine": {"cores": "4"},
}


def asked(program, p, **values):
    strong = {"unit_sd": 1.0, "null_sd": 0.1, "effect": 0.2, "n": 4}  # an effect of one sd is excluded
    return evidence.row({**WHO, "model": "m"}, program=program, p=p, p_min=0.001, p_used="p", **strong | values)


def unasked(program, reason="2 knocked-out genes of the program, 3 needed"):
    return evidence.not_evaluable({**WHO, "model": "m"}, reason, program=program)


def judged(*rows, truth=None):
    table = evidence.with_q(evidence.frame(rows), "agreement", "agreement")
    return table, verdicts(table, THRESHOLDS, {"knockout": "agreement", "pert_embedding": "coherence"}, truth)


def page(
    tmp_path,
    *rows,
    truth=None,
    card=None,
    further=None,
    levels=LEVELS,
    scorecard=None,
    answered=None,
    pairs=None,
    pilot=False,
    left_out=None,
):
    """Write a report of these evidence rows; return its text."""
    table, verdict = judged(*rows, truth=truth)
    answered = pd.DataFrame(columns=ANSWER_COLUMNS) if answered is None else answered
    reading = readings(verdict, levels, pairs or {}, answers=answered)
    score = pd.DataFrame(columns=SCORE_COLUMNS) if scorecard is None else scorecard
    written = {"verdicts": verdict, "readings": reading, "scorecard": score, "answers": answered}
    for name, each in written.items():
        write_table(each, tmp_path / f"{name}.tsv")
    evidence.write(table, tmp_path / "knockout.tsv")
    (tmp_path / "evaluability.tsv").write_text(
        "probe\tmodel\tprogram\tenough\nknockout\tm\tP\tTrue\nknockout\tm\tQ\tFalse\n"
    )
    (tmp_path / "programs.gmt").write_text("P\t\tSTAT1\tJAK2\nQ\t\tJAK2\tUNKNOWN\n")
    (tmp_path / "provenance.json").write_text(json.dumps(RECORD))
    times = pd.DataFrame(
        {"rule": ["measure"] * 2, "job": ["a", "b"], "seconds": [3.0, 4.5], "max_rss_mb": [10.0, 20.0]}
    )
    write_table(times, tmp_path / "times.tsv")
    quality = pd.DataFrame({"perturbation": ["x", "y"], "seen": "here", "r": [0.5, np.nan], "r_mean_shift": [0.1, 0.2]})
    write_table(quality, tmp_path / "quality.tsv")
    known = {"kind": "state", "context": "line_a", "regime": "fewshot", "shared_initialisation": {}}
    known |= {"genes": ["STAT1", "JAK2"], "perturbations": ["STAT1"]}
    full = {"attention": "bidirectional", "attention_source": "flag", "equivariance_error": 1e-7, "causal": False}
    related = {"shared_initialisation": {"twin": {"difference": 0.9}, "other": {"difference": None}}}
    card = card or {**full, **related, "warnings": ["mind the <gap>"]}
    (tmp_path / "card.json").write_text(json.dumps({**known, **card}))
    write_table(pd.DataFrame({"model": ["m"], "explained": [0.87654]}), tmp_path / "sae.tsv")
    write_figure(verdict_matrix(verdict, ["m"], levels), [tmp_path / "verdict_matrix.svg"])
    for name in ("scorecard", "knockout", "controls", "cascade"):
        write_figure(nothing_to_draw(f"the figure {name}"), [tmp_path / f"{name}.svg"])
    paths = {name: tmp_path / f"{name}.tsv" for name in (*written, "evaluability", "times")}
    lists = {"evidence": ["knockout.tsv"], "cards": ["card.json"], "quality": ["quality.tsv"], "sae": ["sae.tsv"]}
    lists |= {"figures": ["scorecard.svg", "verdict_matrix.svg", "knockout.svg"], "programs": ["programs.gmt"]}
    lists |= {"stability": [], "tables": []}
    paths |= {name: tmp_path / f"{name}.svg" for name in ("controls", "cascade")}
    paths["provenance"] = tmp_path / "provenance.json"
    files = SimpleNamespace(**paths, **{key: [tmp_path / each for each in value] for key, value in lists.items()})
    where = {"context": "line_a", "regime": "fewshot"}
    params = SimpleNamespace(
        run="mine", models={"m": where, "n": {**where, "regime": "zeroshot"}} if pairs else {"m": where},
        probes=["knockout"], sae=["joint"], thresholds=THRESHOLDS, levels=levels, interest={"d": 0.75, "power": 0.9},
        questions={"knockout": "Alike in two contexts?"}, measured={"knockout": "knockout"}, reported=[], seed=7,
        pilot=pilot, left_out=left_out or {},
        statistics={"permutations": 9999, "bootstrap": 999, "hold": ["axes", "batch"]},
        answer={"delta": 0.25, "most": 0.5}, controls={"redrawn": 5, "planted": True, "known": False},
        programs={"patterns": {}, "lists": {}, "min_perturbations": 3, "min_genes": 4},
    )  # fmt: skip
    if pairs:
        files.cards, files.quality = files.cards * 2, files.quality * 2
    if further is not None:
        write_table(further, tmp_path / "further.tsv")
        files.tables, params.reported = [tmp_path / "further.tsv"], ["knockout"]
    write_report(files, params, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


class Checked(HTMLParser):
    """Collects ids, references to other files, and the tags of what is not script."""

    def __init__(self):
        super().__init__()
        self.ids, self.outside, self.tags, self.heads = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.heads += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.ids += [attrs["id"]] if "id" in attrs else []
        links = [attrs.get(key) for key in ("src", "href", "xlink:href")]
        self.outside += [link for link in links if link and not link.startswith(("#", "data:"))]


def test_a_pilot_says_above_all_that_it_is_no_result(tmp_path):
    text = page(tmp_path, asked("P", 0.001), pilot=True)
    assert text.index("A pilot: no result.") < text.index("the figure scorecard")
    assert "A pilot" not in page(tmp_path, asked("P", 0.001))


def test_a_model_that_the_run_goes_on_without_is_named_above_all_with_the_reason(tmp_path):
    text = page(tmp_path, asked("P", 0.001), left_out={"n": "failed: MemoryError: <8 GB>"})
    said = "Without the model n:</strong> failed: MemoryError: &lt;8 GB&gt;."
    assert text.index(said) < text.index("the figure scorecard")
    assert "Without the model" not in page(tmp_path, asked("P", 0.001))


def checked(text):
    found = Checked()
    found.feed(text)
    return found


def held(text):
    """Return the data that the scripts of a page read."""
    packed = re.search(r'id="data">([^<]*)<', text).group(1)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def section(text, name):
    """Return one section of the page, without its tags' line ends."""
    found = text[text.index(f'<section id="{name}"') :]
    return found[: found.index("</section>")]


def test_sections_come_in_their_order_and_headings_step_down_one_by_one(tmp_path):
    text = page(tmp_path, asked("P", 0.001), asked("Q", 0.5), unasked("R"))
    assert re.findall(r'<section id="(\w+)"', text) == list(SECTIONS)
    heads = checked(text).heads
    assert heads[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(heads))
    assert section(text, "scorecard").count("<svg") == 1
    assert re.findall(r'<li><a href="#(\w+)"', text) == list(SECTIONS)


def test_each_program_has_a_card_in_sentences(tmp_path):
    text = page(tmp_path, asked("P", 0.001), asked("Q", 0.5), unasked("R"))
    cards = re.findall(r'<article class="card" id="([^"]+)" data-program="([^"]+)">(.*?)</article>', text, re.S)
    assert [name for _, name, _ in cards] == ["P", "Q", "R"]  # those that pass come first
    assert len({ident for ident, *_ in cards}) == 3
    assert "shifts the outputs of the few-shot model" in cards[0][2]
    assert "2 knocked-out genes" not in cards[2][2]  # what differs from program to program is told in the detail
    assert "Not evaluable by knockout (all models): fewer than 3 knocked-out genes of the program." in cards[2][2]
    assert "It takes a model that has more of the program&#39;s genes among its inputs" in cards[2][2]
    assert text.index(cards[2][0]) > text.index('<details id="further-programs">')


def test_cells_of_the_matrix_are_buttons_that_name_their_row_and_say_their_verdict(tmp_path):
    text = page(tmp_path, asked("P", 0.001), unasked("R"))
    cells = re.findall(
        r'<button type="button" class="cell ([\w-]+)" data-row="(\d+)" aria-label="([^"]+)">([^<]+)', text
    )
    assert cells == [
        ("pass", "0", "P, knockout, m: pass", "pass"),
        ("not-evaluable", "1", "R, knockout, m: not evaluable", "n.e."),
    ]
    found = held(text)["verdicts"]
    assert [found["program"]["words"][each] for each in found["program"]["codes"]] == ["P", "R"]
    assert found["null_sd"] == [0.1, None]
    assert found["sentence"]["words"][1].startswith("Not evaluable: 2 knocked-out genes of the program, 3 needed.")


def test_panels_that_disagree_make_a_mixed_cell(tmp_path):
    text = page(tmp_path, asked("P", 0.001, panel="one"), asked("P", 0.9, panel="two"))
    assert re.findall(r'class="cell (\w+)" data-row="0"', text) == ["mixed"]


def test_a_matrix_or_table_that_is_too_large_is_made_of_the_data_and_the_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "MOST", 1)
    monkeypatch.setattr(tables, "MOST", 1)
    text = page(tmp_path, asked("P", 0.001), unasked("R"))
    assert 'class="cell ' not in text
    assert held(text)["matrix"]["programs"] == ["P", "R"]
    assert 'data-held="verdicts-table"' in text
    assert 'These 2 rows are shown by a script; all of them are in <a href="verdicts.tsv">' in text


def test_cards_beyond_a_number_are_data(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "MOST", 1)
    text = page(tmp_path, asked("P", 0.001), asked("Q", 0.5), unasked("R"))
    assert re.findall('data-program="([^"]+)"', section(text, "programs")) == ["P"]
    found = held(text)
    assert found["cards"] == ["P", "Q", "R"]
    assert [(each["program"], each["place"]) for each in found["further_cards"]] == [("Q", 1), ("R", 2)]
    assert "2 of 3 programs have at least one clear answer" in text
    assert "Cards of 2 programs are made by a script" in text


def test_a_small_table_is_html_and_not_data_a_second_time(tmp_path):
    text = page(tmp_path, asked("P", 0.001))
    assert held(text)["tables"] == {}
    assert 'data-held="verdicts-table"' not in text


def test_a_table_that_a_probe_makes_beside_its_evidence_stands_below_its_figure(tmp_path):
    table = pd.DataFrame({"program": ["P", NASTY], "share": [0.123456, np.nan]})
    text = section(page(tmp_path, asked("P", 0.001), further=table), "probes")
    assert text.index("the figure knockout") < text.index(">share</th>") < text.index('data-order="0.123456">0.123<')
    assert NASTY not in text
    assert ">share</th>" not in page(tmp_path, asked("P", 0.001), further=table.iloc[:0])


def test_names_are_escaped_in_html_and_are_no_html_in_the_data(tmp_path):
    text = page(tmp_path, asked(NASTY, 0.001), unasked(NASTY + "2", reason="<i>why</i>"))
    assert "<script>alert" not in text
    assert "<i>" not in text
    assert "a&lt;script&gt;alert(1)&lt;/script&gt;&amp;b" in text
    assert "mind the &lt;gap&gt;" in text


def test_nothing_is_loaded_from_elsewhere_and_ids_are_unique(tmp_path):
    text = page(tmp_path, asked("P", 0.001))
    found = checked(text)
    assert not {"link", "img", "iframe", "object"} & set(found.tags)
    unscripted = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r"@import|url\((?!#)| src=", unscripted)
    assert all(re.fullmatch(r"[\w/.-]+\.(tsv|json|html|pdf)", each) for each in found.outside)
    assert len(found.ids) == len(set(found.ids))


def test_every_link_of_the_page_leads_somewhere(tmp_path):
    text = re.sub(r"<script>.*?</script>", "", page(tmp_path, asked("P", 0.001), unasked("R")), flags=re.S)
    found = checked(text)
    inside = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    assert inside <= set(found.ids)
    labels = {each for group in re.findall(r'aria-(?:labelledby|controls)="([^"]+)"', text) for each in group.split()}
    assert labels <= set(found.ids)


@pytest.mark.parametrize("rows", [[unasked("P"), unasked("Q")], []])
def test_a_run_that_could_ask_nothing_says_so(tmp_path, rows):
    text = page(tmp_path, *rows)
    assert "No program could be tested." in text
    assert ("Every question could be put." in text) == (not rows)
    assert ("No question about a program was put." in section(text, "answer")) == (not rows)


def test_what_could_not_be_asked_is_told_once_with_its_remedy(tmp_path):
    rows = [
        unasked("P"),
        unasked("Q", "0 knocked-out genes of the program, 3 needed"),
        unasked("R", "model has no stages"),
    ]
    text = section(page(tmp_path, *rows), "unasked")
    assert text.count("fewer than 3 knocked-out genes of the program") == 1
    assert re.search(r"fewer than 3.*?</td>.*?a model that has more.*?</td>.*?>2</td>.*?P, Q", text, re.S)
    assert "docs/custom_model.md says how" in text
    assert 'href="verdicts.tsv"' in text


def test_models_that_share_an_initialisation_or_the_order_of_cells_are_marked(tmp_path):
    text = section(page(tmp_path, asked("P", 0.001)), "models")
    assert "twin: matched minus mismatched cosine 0.9" in text
    assert "It shares an initialisation with twin" in text
    assert "other: matched" not in text
    assert "depend on the order of cells" not in text
    causal = {"attention": "causal", "attention_source": "given", "equivariance_error": 0.3, "causal": True}
    assert "Attention is causal: results depend on the order of cells." in page(
        tmp_path, asked("P", 0.001), card=causal
    )


def test_a_model_that_is_no_state_model_has_a_card_too(tmp_path):
    text = section(page(tmp_path, asked("P", 0.001), card={**MeanShift.card, "kind": "mean shift"}), "models")
    assert "mean shift, line_a, few-shot" in text
    assert "Attention" not in text


def test_the_page_is_the_same_every_time(tmp_path):
    assert page(tmp_path, asked("P", 0.001)) == page(tmp_path, asked("P", 0.001))


def test_known_truth_is_compared_in_words(tmp_path):
    truth = {("P", "line_a"): "shared", ("Q", "line_a"): "decoy"}
    levels = {"representation": ["knockout"], "causal": []}
    text = page(tmp_path, asked("P", 0.001), asked("Q", 0.5), truth=truth, levels=levels)
    assert "1 of 1 rows with a planted effect here, 0 of 1 rows of decoys" in text
    assert "Truth is known here" not in page(tmp_path, asked("P", 0.001))


def test_few_shot_and_zero_shot_are_compared_and_where_they_are_not_it_is_said_what_to_do(tmp_path):
    rows = [asked("P", 0.001), asked("P", 0.9, model="n"), asked("Q", 0.9), asked("Q", 0.9, model="n")]
    text = page(tmp_path, *rows, pairs={"regimes": [["m", "n"]]})
    assert "1 only in the few-shot model m, 0 only in the zero-shot model n, 1 in neither." in section(text, "regimes")
    assert "At the causal level the few-shot model m passes and the zero-shot model n does not." in section(
        text, "programs"
    )
    assert "under <code>pairs.regimes</code>" in section(page(tmp_path, asked("P", 0.001)), "regimes")


def test_methods_say_the_settings_of_this_run(tmp_path):
    text = section(page(tmp_path, asked("P", 0.001)), "methods")
    for words in (
        *(
            "9,999 permutations",
            "999 resamples",
            "seeded by the number 7",
            "axes that all perturbations share and batches",
        ),
        *("smaller than 0.75 standard deviations", "found in 90% of cases", "a share of 0.25"),
        *("5 re-drawn and 5 shuffled", "no models of known kind", "at least 3 of its perturbations, or 4"),
        "a false discovery rate q below 0.05",
    ):
        assert words in text


def test_provenance_shows_versions_hashes_machine_and_times(tmp_path):
    text = section(page(tmp_path, asked("P", 0.001)), "provenance")
    for words in ("9.9", "abc123", "f" * 64, "e" * 64, "d" * 64, ">7.5<", ">20<", 'href="provenance.json"'):
        assert words in text


def test_genes_are_found_by_the_search_in_the_programs_that_models_know_them_in(tmp_path):
    assert held(page(tmp_path, asked("P", 0.001)))["genes"] == {"P": ["JAK2", "STAT1"], "Q": ["JAK2"]}


def test_a_figure_says_the_caption_that_lies_beside_it(tmp_path):
    (tmp_path / "knockout.caption.txt").write_text("Points: <estimates>.\n")
    text = section(page(tmp_path, asked("P", 0.001)), "probes")
    assert "<figcaption>Points: &lt;estimates&gt;. <a" in text


def test_a_figure_too_large_for_the_page_is_shown_as_its_png(tmp_path, monkeypatch):
    monkeypatch.setattr("pertprobe.report.figures.LARGEST", 10)
    (tmp_path / "knockout.png").write_bytes(b"\x89PNG")
    text = section(page(tmp_path, asked("P", 0.001)), "probes")
    assert 'src="data:image/png;base64,iVBORw=="' in text
    assert "<svg" not in text


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
    found = section(text, "controls")
    assert found.index("the figure controls") < found.index("the figure cascade")
    assert '<th scope="row">knockout</th><td>1 of 2</td><td>1 of 1</td><td>0 of 1</td>' in found
    assert held(text)["verdicts"]["planted_control"]["words"] == ["found", "missed"]


def test_controls_are_no_evidence_rows_of_the_page(tmp_path):
    found = held(page(tmp_path, asked("P", 0.001), control("planted", 0.001), control("redrawn", 0.001)))
    assert len(found["verdicts"]["estimate"]) == 1
    assert found["further"]["estimate"] == []


def test_every_role_has_a_place_in_the_answers():
    assert {f"{role}_control" for role in CONTROL_WORDS} <= set(VERDICT_COLUMNS)
