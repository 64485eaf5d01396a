"""Gathers what the page on prediction quality shows and fills its template."""

from pathlib import Path
from typing import Any

import pandas as pd

from pertprobe.files import read_table
from pertprobe.report.page import inline_svg, write_page
from pertprobe.report.quality_figure import GROUPS
from pertprobe.stages.quality import medians, read_program_quality, read_quality

WORST = 10
"""Knock-outs shown per model."""
LEVELS = ["fault", "waived", "note", "uncheckable"]
"""Of findings, the gravest first."""
TEXTS = {"gene", "value", "note", "context", "compared", "what"}


def write_quality_page(files: Any, params: Any, path: str | Path) -> None:
    """Write the page; `files` and `params` are those of the rule `quality_page`."""
    write_page("quality.html.j2", contents(files, params), path)


def contents(files: Any, params: Any) -> dict[str, Any]:
    """Return everything the template shows."""
    lists = (files.quality, files.programs, files.distribution, files.drift, files.figures)
    sides = zip(params.models, *lists, strict=True)
    models = [{"name": name, **_model(*each), **params.models[name]} for name, *each in sides]
    return {"run": params.run, "models": models, "census": _census(files.census)}


def _census(path: Path) -> dict[str, Any]:
    """Return the findings that are not simply good, the gravest first, and how many checks there were."""
    table = read_table(path, {"key", "what", "level", "words"})
    told = table[table.level != "good"].sort_values("level", key=lambda levels: levels.map(LEVELS.index), kind="stable")
    return {"checks": len(table), "good": len(table) - len(told), "rows": told.to_dict("records")}


def _model(quality: Path, programs: Path, distribution: Path, drift: Path, figure: Path) -> dict[str, Any]:
    table = read_quality(quality)
    return {
        "figure": inline_svg(figure),
        "medians": _medians(table),
        "perturbations": table.to_dict("records"),
        **_gate(read_program_quality(programs)),
        **_knockouts(read_table(distribution, TEXTS)),
        "drift": read_table(drift, TEXTS).to_dict("records"),
    }


def _medians(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the medians of all perturbations, and of those trained here, held out and unknown apart."""
    groups = {"all": table} | {name: table[table.seen.isin(statuses)] for name, (statuses, *_) in GROUPS.items()}
    return [
        {"seen": name, "n": len(rows), **medians(rows), "better": int((rows.r.fillna(0) > rows.r_mean_shift).sum())}
        for name, rows in groups.items()
        if len(rows)
    ]


def _gate(table: pd.DataFrame) -> dict[str, Any]:
    """Return the programs that could be judged, those below the gate first, and how many could not."""
    judged = table[table.beats.notna()]
    judged = judged.assign(answer=judged.beats.map({True: "pass", False: "below"}))
    judged = judged.sort_values(["beats", "program"], kind="stable")
    below = int((~judged.beats.astype(bool)).sum())
    return {"programs": judged.to_dict("records"), "below": below, "unjudged": len(table) - len(judged)}


def _knockouts(table: pd.DataFrame) -> dict[str, Any]:
    """Return medians of the knock-outs by value, those that take cells furthest, and the notes of the table."""
    columns = ["expressed", "ks", "mahalanobis", "percentile"]
    placed = table[table.gene != ""]
    summary = [
        {"value": value, "n": len(rows), "far": int((rows.percentile < 0.05).sum()), **rows[columns].median()}
        for value, rows in placed.groupby("value", sort=False)
    ]
    worst = placed.sort_values(["percentile", "ks", "gene"], ascending=[True, False, True], kind="stable")
    notes = [note for note in table.note.unique() if note]
    return {"knockouts": summary, "worst": worst.head(WORST).to_dict("records"), "notes": notes}
