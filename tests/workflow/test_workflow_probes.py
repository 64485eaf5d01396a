"""Every further probe, put into the config of a run that is finished."""

import pandas as pd
import pytest
from workflow_project import FURTHER

from pertprobe.roles import FITTED, KNOWN, LOOKUP

DESCRIBED = {"input_sensitivity"}
"""Probes that are not judged."""


@pytest.mark.parametrize("probe", FURTHER)
def test_every_probe_has_a_row_for_every_program_and_a_reason_where_it_has_no_answer(every, probe):
    table = pd.read_csv(every.results / f"evidence/{probe}.tsv", sep="\t", keep_default_na=False)
    asked = table[(table.role == "subject") & (table.program != "")]
    assert set(asked.program) == {f"program_{n}" for n in range(1, 5)}
    assert (asked.reason[~asked.evaluable] != "").all()


@pytest.mark.parametrize("probe", FURTHER)
def test_every_probe_has_its_figure(every, probe):
    assert all((every.results / f"figures/{probe}{suffix}").stat().st_size for suffix in (".svg", ".pdf", ".png"))


def test_every_probe_that_is_judged_has_verdicts_and_the_report_shows_it(every):
    verdicts = pd.read_csv(every.results / "verdicts.tsv", sep="\t", keep_default_na=False)
    assert set(FURTHER) - DESCRIBED <= set(verdicts.probe)
    page = (every.results / "report.html").read_text()
    assert [probe for probe in FURTHER if probe not in page] == []


def test_models_of_known_kind_have_answers_beside_every_model_and_stand_in_the_score_card(every):
    answers = pd.read_csv(every.results / "answers.tsv", sep="\t", keep_default_na=False)
    assert set(answers.role) == {"subject", *KNOWN}
    lookups = answers[(answers.role == LOOKUP) & (answers.program == "")]
    assert len(lookups) == answers.model.nunique() == 3
    assert (lookups.answer == "lookup").all()
    card = pd.read_csv(every.results / "scorecard.tsv", sep="\t", keep_default_na=False)
    assert {"representation", "routing", "causal", "intervention", "accuracy"} <= set(card.level)
    assert set(card[card.level == "intervention"].role) == {"subject", *KNOWN}


def test_models_of_known_kind_are_rivals_where_the_config_names_the_probe_and_nowhere_else(every):
    tables = {probe: pd.read_csv(every.results / f"evidence/{probe}.tsv", sep="\t") for probe in ("knockout", *FURTHER)}
    asked = {probe for probe, table in tables.items() if set(FITTED) <= set(table.role)}
    assert asked == {"knockout", "intervention_fidelity"}
    pair = tables["knockout"][tables["knockout"].statistic == "agreement"]
    assert {"planted", *FITTED} <= set(pair.role[pair.reference.notna()])
    answering = tables["intervention_fidelity"]
    mine = answering[(answering.role == "subject") & (answering.statistic == "fidelity") & answering.evaluable]
    assert len(mine)
    assert (mine.excess_rivals_low <= mine.excess_rivals).all()


def test_no_log_has_a_traceback(every):
    logs = every.results.glob("logs/**/*.log")
    assert [path.name for path in logs if "Traceback" in path.read_text()] == []
