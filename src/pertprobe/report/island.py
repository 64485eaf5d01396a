"""Data for the page's scripts: columns of numbers and of coded words, as JSON, gzipped, in base64."""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

DIGITS = 4
"""Significant digits of numbers; the tables beside the page have ten."""


def packed(value: Any) -> str:
    """Return a value as text that holds no character of HTML; the same value is the same text."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def columns(table: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Return columns of a table by name: {"words": [...], "codes": [...]} of texts, a list of the rest."""
    return {name: _column(table[name]) for name in names}


def _column(values: pd.Series) -> Any:
    if values.dtype == bool:
        return values.astype(int).tolist()
    if pd.api.types.is_numeric_dtype(values):
        return [_short(each) for each in values.tolist()]
    codes, words = pd.factorize(values, sort=False)
    return {"words": words.tolist(), "codes": codes.tolist()}


def _short(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    if not np.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
