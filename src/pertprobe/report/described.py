"""The models of a run as the report describes them: cards, and how well they predict."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pertprobe.models.cards import read_card
from pertprobe.probes.base import SHARED
from pertprobe.report.page import number
from pertprobe.report.tables import Table, table
from pertprobe.report.words.names import REGIMES, counted
from pertprobe.stages.quality import read_quality


def models(files: Any, params: Any) -> list[dict[str, Any]]:
    """Return name, kind, context, regime, facts and warnings of each model, and its quality."""
    sides = zip(params.models, files.cards, files.quality, strict=True)
    return [_model(name, read_card(card), quality_rows(read_quality(quality))) for name, card, quality in sides]


def _model(name: str, card: Mapping[str, Any], quality: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "kind": card["kind"],
        "context": card["context"],
        "regime": REGIMES.get(card["regime"], card["regime"]),
        "facts": list(facts(card)),
        "warnings": list(warnings(card)),
        "quality": quality,
    }


def facts(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the card says that a reader of results must know."""
    if "perturbations" in card:
        perturbations, genes = counted(len(card["perturbations"]), "perturbation"), counted(len(card["genes"]), "gene")
        yield f"It knows {perturbations} and {genes}."
    if "attention" in card:
        error = number(card["equivariance_error"])
        yield f"Attention is {card['attention']} ({card['attention_source']})."
        yield f"The order of cells changes outputs by {error} of their scale."
    for other, codes in card["shared_initialisation"].items():
        if codes.get("difference") is not None:
            difference = number(codes["difference"])
            yield f"Perturbation codes shared with {other}: matched minus mismatched cosine {difference}."


def warnings(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands against a model."""
    if card.get("causal"):
        yield "Attention is causal: results depend on the order of cells."
    for other, codes in card["shared_initialisation"].items():
        if codes.get("difference") is not None and codes["difference"] > SHARED:
            yield f"It shares an initialisation with {other}: first-order agreement between the two shows the seed."
    yield from card.get("warnings", [])


def quality_rows(quality: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the median correlation of observed with predicted delta_y, by what the model has seen."""
    numbers = quality[["r", "r_mean_shift"]]
    groups = [("all", numbers), *numbers.groupby(quality.seen, sort=True)]
    return [{"seen": seen, "n": len(rows), **rows.median()} for seen, rows in groups]


def quality_table(described: list[dict[str, Any]]) -> Table:
    """Return how well each model predicts: medians over perturbations, beside the mean shift."""
    rows = [{"model": each["name"], **row} for each in described for row in each["quality"]]
    headings = {"model": "Model", "seen": "Perturbations trained", "n": "Number"}
    headings |= {"r": "Median r", "r_mean_shift": "Mean shift, median r"}
    shown = pd.DataFrame(rows, columns=list(headings))
    return table("quality-table", "Observed against predicted response, over genes", shown, headings, "quality.html")
