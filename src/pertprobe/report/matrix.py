"""The verdict matrix: a row for each program, a column for each probe and model or pair."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pertprobe.stages.verdict import FAIL, MIXED, NOT_EVALUABLE, PASS

MOST = 3000
"""Cells that the page holds as HTML; a larger matrix is made of the data, a page of rows at a time."""
MARKS = {PASS: "pass", MIXED: "mixed", FAIL: "fail", NOT_EVALUABLE: "n.e."}
"""Verdict -> what its cell says; the best first, as columns are sorted."""


class Matrix(NamedTuple):
    """A matrix as the template shows it."""

    columns: Sequence[Mapping[str, str]]
    """probe, who: in the order of levels, probes and models."""
    groups: Sequence[tuple[str, int]]
    """Probe, and how many columns it has."""
    rows: Sequence[Mapping[str, Any]]
    """program, cells: one for each column. None where the matrix is made of the data."""
    programs: Sequence[str]


def matrix(verdicts: pd.DataFrame, models: Sequence[str], levels: Mapping[str, Sequence[str]]) -> Matrix:
    """Return the matrix of verdicts; programs that pass most come first."""
    who = verdicts.model.where(verdicts.reference == "", verdicts.model + " vs " + verdicts.reference)
    shown = verdicts.assign(who=who, place=range(len(verdicts)))
    found = _columns(shown, models, levels)
    programs = _order(verdicts)
    groups: dict[str, int] = {}
    for probe, _ in found:
        groups[probe] = groups.get(probe, 0) + 1
    rows = _rows(shown, programs, found) if len(programs) * len(found) <= MOST else []
    return Matrix([{"probe": probe, "who": name} for probe, name in found], list(groups.items()), rows, programs)


def _order(verdicts: pd.DataFrame) -> list[str]:
    """Return programs, those with most passes first, then those with most answers, then by name."""
    passed = (verdicts.verdict == PASS).groupby(verdicts.program).sum()
    clear = (verdicts.verdict != NOT_EVALUABLE).groupby(verdicts.program).sum()
    return sorted(passed.index, key=lambda name: (-passed[name], -clear[name], name))


def _columns(shown: pd.DataFrame, models: Sequence[str], levels: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    order = [probe for probes in levels.values() for probe in probes]
    rank = {model: position for position, model in enumerate(models)}

    def place(column: tuple[str, str]) -> tuple[int, str, int, str]:
        """Return what columns are sorted by; probes of no level stand one after the other."""
        probe, name = column
        return order.index(probe) if probe in order else len(order), probe, rank.get(name.split(" vs ")[0], 0), name

    return sorted(set(zip(shown.probe, shown.who, strict=True)), key=place)


def _rows(shown: pd.DataFrame, programs: Sequence[str], columns: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    asked = {key: rows for key, rows in shown.groupby(["program", "probe", "who"], sort=False)}
    return [
        {"program": program, "cells": [_cell(asked.get((program, *column))) for column in columns]}
        for program in programs
    ]


def _cell(rows: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return verdict, mark, order and the place of the first row of a cell; None where nothing was asked."""
    if rows is None:
        return None
    verdict = rows.verdict.iloc[0] if rows.verdict.nunique() == 1 else MIXED
    return {
        "verdict": verdict,
        "mark": MARKS[verdict],
        "order": list(MARKS).index(verdict),
        "row": int(rows.place.iloc[0]),
    }
