"""Gathers what the report shows and writes it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pertprobe import evidence
from pertprobe.data.programs import read_programs, sets_of
from pertprobe.files import AS_TEXT
from pertprobe.models.cards import read_card
from pertprobe.report import cards, words
from pertprobe.report.compared import pairs
from pertprobe.report.described import models, quality_table
from pertprobe.report.figures import shown
from pertprobe.report.island import columns, packed
from pertprobe.report.judged import KEYS, NUMBERS, further, judged
from pertprobe.report.matrix import Matrix, matrix
from pertprobe.report.origin import origin
from pertprobe.report.page import write_page
from pertprobe.report.tables import Table, table, tables_in
from pertprobe.report.unasked import asked, unasked
from pertprobe.report.words.names import REGIMES, short
from pertprobe.report.words.settings import conditions, settings
from pertprobe.stages.answer import read_answers
from pertprobe.stages.scorecard import read_scorecard
from pertprobe.stages.verdict import VERDICT_COLUMNS, read_verdicts

SCORES = {
    **{
        "model": "Model",
        "role": "Kind",
        "context": "Context",
        "level": "Level",
        "estimate": "Share",
        "interval": "95 %",
    },
    **{"answered": "Answered", "asked": "Asked", "rank": "Rank", "answer": "Answer", "reason": "Note"},
}
"""Columns of the score card that are shown; the file has all."""
VERDICTS = {
    **{"program": "Program", "probe": "Probe", "model": "Model", "reference": "Against", "verdict": "Verdict"},
    **{"d": "Effect, sd", "d_low": "Low", "d_high": "High", "q": "q", "power": "Power", "sentence": "In words"},
}


def write_report(files: Any, params: Any, path: str | Path) -> None:
    """Write the report; `files` and `params` are those of the rule `report`."""
    write_page("report.html.j2", contents(files, params), path)


def contents(files: Any, params: Any) -> dict[str, Any]:
    """Return everything the template shows."""
    verdicts, readings = read_verdicts(files.verdicts), _table(files.readings)
    measured = pd.concat([evidence.read(each) for each in files.evidence], ignore_index=True)
    card, answered = read_scorecard(files.scorecard), read_answers(files.answers)
    found = judged(verdicts, measured, params.models, params.questions, params.interest["d"])
    grid = matrix(verdicts, [*params.models, *params.left_out], params.levels)
    told = cards.cards(found, answered, readings, grid.programs, params)
    shown_tables, genes = _tables(found, card, files), program_genes(files, params)
    described = models(files, params)
    page = {
        "run": params.run,
        "pilot": params.pilot,
        "left_out": params.left_out,
        "params": params,
        "sizes": words.sizes(verdicts.program.nunique(), len(params.models), len(params.probes)),
        "headline": words.headline(readings),
        "summary": list(words.summary(verdicts, readings, card, list(params.levels))),
        "truth": words.agreement_with_truth(verdicts, params.levels.get("representation", [])),
        "whole": list(words.whole_answers(answered)),
        "scorecard": shown(files.figures[0], SCORECARD),
        "cards": told[: cards.MOST],
        "n_cards": len(told),
        "n_clear": sum(each["clear"] for each in told),
        "matrix": grid,
        "matrix_figure": shown(files.figures[1], MATRIX),
        "pairs": pairs(readings, params),
        "probes": _probes(found, files, params),
        "controls": [shown(files.controls, STANDARDISED), shown(files.cascade, CASCADE)],
        "control_answers": words.control_answers(verdicts),
        "models": described,
        "quality": quality_table(described),
        "sensitivity": "input_sensitivity" in params.probes,
        "sae": _autoencoders(files, params),
        "thresholds": {probe: conditions(given) for probe, given in params.thresholds.items()},
        "settings": list(settings(params)),
        "origin": origin(files),
        "tables": shown_tables,
        "genes": {name: len(each) for name, each in genes.items()},
    }
    return page | {"data": packed(_data(found, measured, grid, genes, told, list(tables_in(page)), params))}


SCORECARD = "Estimate and 95 % interval of each model, as a share of what the data allow."
"""Said below figures beside which no caption lies."""
MATRIX = "Every verdict: programs that any probe could evaluate, by probe and model."
STANDARDISED = "The same statistic of each model, of its untrained copies, of planted models and of the data."
CASCADE = "Copies of each model, re-drawn from the output down."


def _table(path: str | Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False, dtype=AS_TEXT)


def _scores(card: pd.DataFrame) -> pd.DataFrame:
    """Return the score card with kinds and intervals in words."""
    ends = zip(card.ci_low, card.ci_high, strict=True)
    written = [f"{short(low)} to {short(high)}" if low == low and high == high else "" for low, high in ends]
    kinds = [
        words.KINDS.get(role, REGIMES.get(regime, "")) for role, regime in zip(card.role, card.regime, strict=True)
    ]
    return card.assign(interval=written, role=kinds)


def _tables(found: pd.DataFrame, card: pd.DataFrame, files: Any) -> dict[str, Table]:
    """Return the tables that stand in sections of their own, by name."""
    return {
        "scorecard": table("scorecard-table", "Score card", _scores(card), SCORES, "scorecard.tsv"),
        "unasked": unasked(found),
        "asked": asked(_table(files.evaluability)),
        "verdicts": table("verdicts-table", "All verdicts", found, VERDICTS, "verdicts.tsv"),
    }


def _probes(found: pd.DataFrame, files: Any, params: Any) -> list[dict[str, Any]]:
    """Return each probe's question, level, figure and further table."""
    levels = {probe: level for level, probes in params.levels.items() for probe in probes}
    beside = dict(zip(params.reported, files.tables, strict=True))
    return [
        {
            "name": probe,
            "question": params.questions[probe],
            "level": levels.get(probe, ""),
            "verdicts": found[found.probe == probe].verdict.value_counts().to_dict(),
            "figure": shown(figure, params.questions[probe]),
            "further": _further(probe, beside[probe]) if probe in beside else None,
        }
        for probe, figure in zip(params.probes, files.figures[2:], strict=True)
    ]


def _further(probe: str, path: str | Path) -> Table | None:
    """Return the table that a probe makes beside its evidence; None where it has no rows."""
    rows = pd.read_csv(path, sep="\t", dtype=AS_TEXT)
    file = f"tables/{probe}/{Path(path).name}"
    return table(f"{probe}-table", f"{probe}: {Path(path).stem}", rows, file=file) if len(rows) else None


def _autoencoders(files: Any, params: Any) -> list[Table]:
    """Return quality and stability of each sparse autoencoder."""
    quality = [
        table(f"sae-{name}", f"Sparse autoencoder {name}", _table(each), file=f"sae/{name}/quality.tsv")
        for name, each in zip(params.sae, files.sae, strict=True)
    ]
    stable = {Path(each).parent.name: each for each in files.stability}
    caption = "{}: features of two seeds matched one-to-one"
    return quality + [
        table(f"stability-{name}", caption.format(name), _table(each), COMPARED, f"sae/{name}/stability.tsv")
        for name, each in stable.items()
    ]


COMPARED = {
    **{
        "trained": "Trained",
        "seed": "Seed",
        "other": "Other seed",
        "features": "Features",
        "estimate": "Mean correlation",
    },
    **{"null_mean": "Of permuted", "p": "p", "share_alike": "Share alike", "decoder_cosine": "Cosine of decoders"},
    "stable": "Stable",
}


def program_genes(files: Any, params: Any) -> dict[str, list[str]]:
    """Return program -> those of its genes that any model knows, as a perturbation or as a gene."""
    every = [read_card(each) for each in files.cards]
    known = {
        name for card in every for key in ("perturbations", "genes", "output_genes") for name in card.get(key) or ()
    }
    given = params.programs
    programs = read_programs(*files.programs, known_names=known, **sets_of(given))
    return {name: [gene for gene in programs[name] if gene in known] for name in programs}


def _data(
    found: pd.DataFrame,
    measured: pd.DataFrame,
    grid: Matrix,
    genes: Mapping[str, list[str]],
    told: list[dict[str, Any]],
    tables: Sequence[Table],
    params: Any,
) -> dict[str, Any]:
    """Return what the scripts of the page read."""
    others = further(found, measured)
    return {
        "verdicts": columns(found, [*VERDICT_COLUMNS, *NUMBERS, "sentence"]),
        "further": columns(others, [*KEYS, *NUMBERS]),
        "cards": [each["program"] for each in told],
        "further_cards": told[cards.MOST :],
        "matrix": {"columns": grid.columns, "programs": grid.programs},
        "genes": genes,
        "models": {name: [params.models[name][key] for key in ("context", "regime")] for name in params.models},
        "probes": {
            name: {"question": params.questions[name], "measured": params.measured[name]} for name in params.probes
        },
        "tables": {each.name: each.data for each in tables if each.data and each.name != "verdicts-table"},
    }
