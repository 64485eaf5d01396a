"""What a check of a model found: promises kept and broken, and what each probe will make of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

KEPT, BROKEN, ABSENT, OPEN = "kept", "broken", "not declared", "not checked"


class Promise(NamedTuple):
    """One promise of the protocol, and whether the model keeps it."""

    name: str
    promise: str
    """What is promised, in words."""
    state: str
    """kept, broken, not declared (the model does not make it), or not checked (another must be mended first)."""
    words: str = ""
    """What is wrong and what to do, or why it was not checked."""


class Asked(NamedTuple):
    """What one probe will make of the model."""

    probe: str
    asked: bool
    words: str
    """Why it is not asked, or what its verdict will lack; empty where nothing is in the way."""


@dataclass(frozen=True, repr=False)
class ModelReport:
    """What `check_model` found."""

    kind: str
    promises: tuple[Promise, ...]
    probes: tuple[Asked, ...]
    notes: tuple[str, ...] = ()
    """What is no fault and worth knowing."""

    @property
    def ok(self) -> bool:
        """Whether no promise is broken."""
        return not self.broken

    @property
    def broken(self) -> tuple[str, ...]:
        """The names of the promises that are broken."""
        return tuple(each.name for each in self.promises if each.state == BROKEN)

    @property
    def conclusion(self) -> str:
        """Say in one line how it ended."""
        asked = sum(each.asked for each in self.probes)
        kept = sum(each.state == KEPT for each in self.promises)
        state = f"all {kept} promises kept" if self.ok else f"broken: {', '.join(self.broken)}"
        probes = f"{asked} of {len(self.probes)} probes can be asked" if self.probes else "no probe can be asked"
        return f"{self.kind}: {state}; {probes}"

    def __repr__(self) -> str:
        """Return everything as plain text."""
        promises = [(each.state, each.name, each.words or each.promise) for each in self.promises]
        probes = [("asked" if each.asked else "not evaluable", each.probe, each.words) for each in self.probes]
        notes = [f"note: {note}" for note in self.notes]
        return "\n".join([self.conclusion, "", *_aligned(promises), "", *_aligned(probes), *notes])

    def _repr_html_(self) -> str:
        """Return the same for a notebook."""
        promises = [(each.name, each.promise, each.state, each.words) for each in self.promises]
        probes = [(each.probe, "asked" if each.asked else "not evaluable", each.words) for each in self.probes]
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        tables = _table(("promise", "in words", "state", "what to do"), promises)
        tables += _table(("probe", "state", "why"), probes)
        return f"<p><b>{escape(self.conclusion)}</b></p>{tables}{notes}"


def _aligned(rows: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return rows as lines whose first two columns are as wide as their widest entry."""
    rows = list(rows)
    first, second = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    return [f"{a:<{first}}  {b:<{second}}  {c}".rstrip() for a, b, c in rows]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return an HTML table."""
    titles = "".join(f"<th>{escape(each)}</th>" for each in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(each)}</td>" for each in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
