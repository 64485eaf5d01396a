"""Conditions of a pass: what each column of the evidence holds, and so which signs and numbers can be asked of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pertprobe.errors import listed, meant
from pertprobe.probes.declaration import Declaration, declared, probe_names
from pertprobe.workflow.showing_values import kind_of, shown

BELOW, ABOVE, EQUAL = ("<", "<="), (">", ">="), ("==",)
FORM = 'a condition is [column, sign, number], and each stands in the list of its probe: [[q, "<", 0.05]]'


class Kind(NamedTuple):
    """What a column holds."""

    meaning: str
    signs: tuple[str, ...] = (*BELOW, *ABOVE)
    least: float = -math.inf
    most: float = math.inf
    whole: bool = False


KINDS = {
    "count": Kind("a number of units or draws", (*BELOW, *ABOVE, *EQUAL), 0, whole=True),
    "chance": Kind("a chance, which is small where something is found", BELOW, 0, 1),
    "smallest chance": Kind("the smallest chance that can be reached", least=0, most=1),
    "statistic": Kind("on the scale of the probe's statistic"),
    "difference": Kind("a difference of two values of the probe's statistic"),
    "spread": Kind("a standard deviation", least=0),
    "number": Kind("a number"),
}
"""Kinds of columns in config/schema.yaml. A chance above a threshold is no finding: absence is judged by `power.d`."""
NO_NUMBERS = {
    "evaluable": "true or false",
    **dict.fromkeys(("probe", "statistic", "adjustment", "model", "reference", "context", "regime"), "text"),
    **dict.fromkeys(("role", "program", "panel", "unit", "explained_by", "p_used", "reason"), "text"),
    "copy": "the number of a copy",
}
"""Columns of the evidence that hold nothing to compare with a number -> what they hold."""


def condition_faults(config: Mapping[str, Any], kinds: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what is wrong with the conditions of a config, each behind its key.

    `kinds` maps each kind of column to its columns, as the schema does. What is no list of lists is left to the schema.
    """
    thresholds = config.get("thresholds")
    for probe, conditions in thresholds.items() if isinstance(thresholds, Mapping) else ():
        if probe not in probe_names() or not isinstance(conditions, list):
            continue
        if conditions and not any(isinstance(each, list) for each in conditions):
            yield f"thresholds.{probe}: {shown(conditions)} is no list of conditions: {FORM}"
            continue
        for place, condition in enumerate(conditions):
            key = f"thresholds.{probe}.{place}"
            if isinstance(condition, list) and len(condition) == 3:
                yield from _faults(key, condition, declared(probe), kinds)
            else:
                yield f"{key}: {shown(condition)} is no condition: {FORM}"


def _faults(key: str, condition: list[Any], probe: Declaration, kinds: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what is wrong with one condition of three parts."""
    column, sign, value = condition
    of_column = {name: kind for kind, names in kinds.items() for name in names}
    if not isinstance(column, str) or column not in of_column:
        yield f"{key}.0: {_no_column(column, list(of_column))}"
        return
    kind = _of_probe(of_column[column], probe)
    allowed = [*BELOW, *ABOVE, *EQUAL]
    if not isinstance(sign, str) or sign not in allowed:
        near = {"=<": "<=", "=>": ">=", "=": "=="}.get(str(sign))
        advice = f" Did you mean '{near}'?" if near in kind.signs else ""
        yield f"{key}.1: {shown(sign)} is no sign (known: {listed(allowed)}).{advice}"
    elif sign not in kind.signs:
        yield f"{key}.1: {column} is {kind.meaning}: it can be asked by {listed(kind.signs)}, not by {sign}"
    if fault := _no_value(column, sign, value, kind):
        yield f"{key}.2: {fault}"


def _no_column(column: Any, known: list[str]) -> str:
    """Say why something is no column that a condition can read."""
    if isinstance(column, str) and column in NO_NUMBERS:
        numbers = listed(known, len(known))
        return f"'{column}' holds {NO_NUMBERS[column]}; a condition reads a measured number (known: {numbers})"
    near = meant(column, known) if isinstance(column, str) else ""
    return f"{shown(column)} is no measured column of the evidence." + (near or f" Known: {listed(known, len(known))}")


def _of_probe(name: str, probe: Declaration) -> Kind:
    """Return the kind of a column, with the range of a probe's statistic where it is on that scale."""
    kind = KINDS[name]
    least, most = probe.ranges.get(probe.primary, (None, None)) if probe.statistics else (None, None)
    least, most = -math.inf if least is None else least, math.inf if most is None else most
    if name == "statistic":
        return kind._replace(least=least, most=most)
    return kind._replace(least=least - most, most=most - least) if name == "difference" else kind


def _no_value(column: str, sign: Any, value: Any, kind: Kind) -> str:
    """Return why a value can be no threshold of a column; empty where it can."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        advice = ". Write it without quotes" if _is_number(value) else ""
        return f"{shown(value)} is {kind_of(value)}; {column} is compared with a number{advice}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{shown(value)} is no finite number, and nothing can be compared with it"
    if kind.whole and value != int(value):
        return f"{shown(value)} is no whole number; {column} is {kind.meaning}"
    if not kind.least <= value <= kind.most:
        return f"{shown(value)} is out of range: {column}, {kind.meaning}, {_range(kind)}"
    if (sign == "<" and value == kind.least) or (sign == ">" and value == kind.most):
        return f"nothing can pass: {column}, {kind.meaning}, {_range(kind)}, and is never {sign} {value:g}"
    return ""


def _is_number(value: Any) -> bool:
    """Return whether a value is a number written as text."""
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def _range(kind: Kind) -> str:
    if math.isinf(kind.most):
        return f"is {kind.least:g} or more"
    return f"is {kind.most:g} or less" if math.isinf(kind.least) else f"lies between {kind.least:g} and {kind.most:g}"
