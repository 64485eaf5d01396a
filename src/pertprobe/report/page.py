"""Gathers what the page shows and fills the template."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pertprobe import evidence
from pertprobe.files import atomic
from pertprobe.models.cards import read_card
from pertprobe.probes.base import SHARED
from pertprobe.report import words
from pertprobe.roles import SUBJECT
from pertprobe.stages.quality import read_quality
from pertprobe.stages.scorecard import read_scorecard
from pertprobe.stages.verdict import MIXED, NOT_EVALUABLE, read_verdicts


def write_report(files: Any, params: Any, path: str | Path) -> None:
    """Write the report; `files` and `params` are those of the rule `report`."""
    write_page("page.html.j2", contents(files, params), path)


def write_page(template: str, shown: Mapping[str, Any], path: str | Path) -> None:
    """Fill a template of this folder and write it, all or nothing."""
    environment = Environment(loader=PackageLoader("pertprobe", "report"), autoescape=True, undefined=StrictUndefined)
    environment.filters["number"] = number
    text = environment.get_template(template).render(**shown)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def contents(files: Any, params: Any) -> dict[str, Any]:
    """Return everything the template shows."""
    verdicts = read_verdicts(files.verdicts)
    readings = _table(files.readings)
    tables = pd.concat([evidence.read(each) for each in files.evidence], ignore_index=True)
    card = read_scorecard(files.scorecard)
    figures = dict(zip(["scorecard", "verdict_matrix", *params.probes], map(inline_svg, files.figures), strict=True))
    further = dict(zip(getattr(params, "reported", []), map(_further, getattr(files, "tables", [])), strict=True))
    return {
        "params": params,
        "figures": figures,
        "controls": inline_svg(files.controls),
        "cascade": inline_svg(files.cascade),
        "control_answers": words.control_answers(verdicts),
        "answers": list(words.answers(readings, card)),
        "scorecard": card.to_dict("records"),
        "found": list(words.found(verdicts, readings)),
        "not_evaluable": list(words.not_evaluable(verdicts)),
        "truth": words.agreement_with_truth(verdicts, params.levels["representation"]),
        "verdicts": verdicts.to_dict("records"),
        "readings": readings.sort_values("dual_reading", key=_unclear, kind="stable").to_dict("records"),
        "evaluability": _evaluability(files.evaluability),
        "probes": {name: {"rows": _shown(tables, name), "further": further.get(name, [])} for name in params.probes},
        "models": _models(files, params),
        "sae": {name: _records(each) for name, each in zip(params.sae, files.sae, strict=True)},
        "stability": {Path(each).parent.name: _records(each) for each in getattr(files, "stability", [])},
        "shared": SHARED,
    }


def inline_svg(path: str | Path) -> Markup:
    """Return an SVG file as an element: without XML head, ids made unique by the file's name."""
    text = Path(path).read_text(encoding="utf-8")
    body = text[text.index("<svg") :]
    stem = Path(path).stem
    body = re.sub(r'(id="|url\(#|href="#)', lambda match: f"{match.group(1)}{stem}-", body)
    return Markup(body)


def number(value: Any) -> str:
    """Return a value as the page shows it: three digits, nothing for nan."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3g}"
    return "" if value is None or value is pd.NA else str(value)


def _table(path: str | Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False)


def _records(path: str | Path) -> list[dict[str, Any]]:
    return _table(path).to_dict("records")


def _further(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a table that a probe makes beside its evidence."""
    return pd.read_csv(path, sep="\t").to_dict("records")


def _shown(tables: pd.DataFrame, probe: str) -> list[dict[str, Any]]:
    """Return the rows with a q first, then the other tested ones; untested rows are on the page as sentences."""
    kept = (tables.probe == probe) & tables.evaluable & (tables.adjustment == "centred") & (tables.role == SUBJECT)
    rows = tables[kept].sort_values(["q", "statistic", "p"], kind="stable", na_position="last")
    return rows.to_dict("records")


def _unclear(readings: pd.Series) -> pd.Series:
    """Return what sorts clear readings before mixed ones, and those before the rest."""
    return readings.map({MIXED: 1, "none": 2, NOT_EVALUABLE: 3}).fillna(0)


def _evaluability(path: str | Path) -> list[dict[str, Any]]:
    """Return how many programs each probe can ask about each model."""
    table = _table(path)
    asked = table.assign(enough=table.enough.astype(str) == "True").groupby(["probe", "model"], sort=False).enough
    return asked.agg(evaluable="sum", programs="size").reset_index().to_dict("records")


def _models(files: Any, params: Any) -> list[dict[str, Any]]:
    sides = zip(params.models, files.cards, files.quality, strict=True)
    return [
        {**read_card(card), "name": name, "quality": _quality(read_quality(quality))} for name, card, quality in sides
    ]


def _quality(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the median correlation of observed with predicted delta_y, by what the model has seen."""
    numbers = table[["r", "r_mean_shift"]]
    groups = [("all", numbers), *numbers.groupby(table.seen, sort=True)]
    return [{"seen": seen, "n": len(rows), **rows.median()} for seen, rows in groups]
