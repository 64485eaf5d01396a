"""Pairs of models beside each other: few-shot against zero-shot, and one context against another."""

from typing import Any, NamedTuple

import pandas as pd

from pertprobe.report.tables import Table, table
from pertprobe.report.words.comparisons import comparison_sentence
from pertprobe.report.words.names import the_model


class Pair(NamedTuple):
    """Two models, and how they compare."""

    model: str
    reference: str
    comparison: str
    sentences: list[str]
    table: Table


def pairs(readings: pd.DataFrame, params: Any) -> list[Pair]:
    """Return the pairs of the config, those of regimes first; `params` are those of the rule `report`."""
    alone = readings[(readings.reference == "") & (readings.probe == "") & (readings.program != "")]
    found = readings[(readings.reference != "") & (readings.probe == "")]
    named = found[["comparison", "model", "reference"]].drop_duplicates().sort_values("comparison", ascending=False)
    return [_pair(found, alone, *who, params) for who in named.itertuples(index=False, name=None)]


def _pair(found: pd.DataFrame, alone: pd.DataFrame, comparison: str, model: str, reference: str, params: Any) -> Pair:
    rows = found[(found.model == model) & (found.reference == reference)]
    first, second = (alone[alone.model == name].set_index("program").loc[rows.program] for name in (model, reference))
    names = (the_model(name, params.models) for name in (model, reference))
    one, other = names
    said = [
        comparison_sentence(level, list(zip(first[level], second[level], strict=True)), one, other)
        for level in params.levels
    ]
    shown = pd.DataFrame({"program": rows.program.to_numpy()})
    headings = {"program": "Program"}
    for level in params.levels:
        for name, side in ((model, first), (reference, second)):
            shown[f"{level} {name}"] = side[level].to_numpy()
            headings[f"{level} {name}"] = f"{level.capitalize()}: {name}"
        shown[f"{level} word"] = rows[level].to_numpy()
        headings[f"{level} word"] = f"{level.capitalize()}: together"
    ident = f"pair-{model}-{reference}"
    return Pair(
        model, reference, comparison, said, table(ident, f"{model} beside {reference}", shown, headings, "readings.tsv")
    )
