"""Batch labels of cells among those that a model knows."""

import re
from collections.abc import Collection, Mapping

WHOLE = re.compile(r"(0|[1-9]\d*)(\.0+)?")
"""A whole number, as text or as a column of floats became text."""


def matched_labels(labels: Collection[str], known: Collection[str]) -> Mapping[str, str]:
    """Return for each label of cells that a model knows what the model calls it.

    A label is itself; "2.0" is "2" too, and the reverse, where the model knows only one that is that number.
    """
    exact, by_number = set(known), {}
    for name in known:
        if number := WHOLE.fullmatch(name):
            by_number.setdefault(number.group(1), []).append(name)
    found = {}
    for label in labels:
        number = WHOLE.fullmatch(label)
        alike = by_number.get(number.group(1), []) if number else []
        if label in exact:
            found[label] = label
        elif len(alike) == 1:
            found[label] = alike[0]
    return found
