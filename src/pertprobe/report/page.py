"""Fills a template of a page and writes one file that needs no other: styles, scripts and figures lie within it."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pertprobe.files import atomic
from pertprobe.report.glossary import glossary

FOLDER = Path(__file__).parent


def write_page(template: str, shown: Mapping[str, Any], path: str | Path) -> None:
    """Fill a template of the folder `templates` and write it, all or nothing."""
    text = environment().get_template(template).render(**shown)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@cache
def environment() -> Environment:
    """Return what templates are filled with: every value is escaped, and a name that is not given is an error."""
    loader = PackageLoader("pertprobe.report", "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"number": number, "slug": slug}
    made.globals |= {"asset": asset, "glossary": glossary()}
    return made


def asset(name: str) -> Markup:
    """Return a file of `assets/` or `vendor/`, as it is."""
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


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


def slug(text: str) -> str:
    """Return a text as part of an id: what ids do not hold becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text)
