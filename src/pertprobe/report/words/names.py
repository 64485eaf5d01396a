"""How numbers, models and lists of names are written in sentences."""

from collections.abc import Iterable, Mapping
from math import isnan

from pertprobe.roles import AUTOENCODER, COMPONENTS, LOOKUP, NETWORK

KINDS = {
    LOOKUP: "a lookup",
    COMPONENTS: "co-variation (components)",
    AUTOENCODER: "co-variation (autoencoder)",
    NETWORK: "a mechanism (network)",
}
"""Role of a model of known kind -> what pages and figures call it."""
MANY = 8
"""Longer lists of names are cut, and the rest counted."""
REGIMES = {"fewshot": "few-shot", "zeroshot": "zero-shot"}
"""Regime of the config -> as it is written; of an unknown one nothing is said."""
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def listed(names: Iterable[str]) -> str:
    """Return names joined by commas, at most `MANY`, with a count of the rest."""
    names = list(dict.fromkeys(names))
    rest = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(names[:MANY]) + rest


def counted(n: int, noun: str) -> str:
    """Return "four genes", "1 gene" as "one gene", "25 genes"."""
    word = NUMBERS[n] if n < len(NUMBERS) else f"{n:,}"
    return f"{word} {noun}" + ("" if n == 1 else "s")


def times(n: int) -> str:
    """Return "once", "twice", "13 times"."""
    return {1: "once", 2: "twice"}.get(n, f"{n:,} times")


def short(value: float) -> str:
    """Return a number with two significant digits, and none lost before the point; nothing for nan."""
    if isnan(value):
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.2g}"
    return f"{value:.1e}" if "e" in text else text


def p_value(name: str, value: float) -> str:
    """Return "q 0.003", or "q < 0.0001"; nothing for nan."""
    if isnan(value):
        return ""
    return f"{name} < 0.0001" if value < 0.0001 else f"{name} {short(value)}"


def interval(share: float, low: float, high: float, name: str = "share") -> str:
    """Return "share 0.03, 95 % -0.1 to 0.2", as far as the numbers are known."""
    if isnan(share):
        return f"{name} not known"
    ends = "" if isnan(low) or isnan(high) else f", 95 % {short(low)} to {short(high)}"
    return f"{name} {short(share)}{ends}"


def the_model(name: str, models: Mapping[str, Mapping[str, str]]) -> str:
    """Return "the few-shot model NAME"; of an unknown regime "the model NAME"."""
    return f"{the_kind(name, models)} {name}"


def the_kind(name: str, models: Mapping[str, Mapping[str, str]]) -> str:
    """Return "the few-shot model", or "the model" where its regime is unknown."""
    regime = REGIMES.get(models.get(name, {}).get("regime", ""), "")
    return f"the {regime} model" if regime else "the model"


def sentence(text: str) -> str:
    """Return a text with a capital and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
