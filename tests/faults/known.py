"""Cases that are not good and are known: the table that must shrink."""

from collections.abc import Collection
from pathlib import Path

import damage
from judge import GOOD, Judged

TABLE = Path(__file__).with_name("known.tsv")
"""Case, outcome: of every group, not only of the short form's draw."""


def known() -> dict[str, str]:
    """Return case -> outcome."""
    rows = (line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if line)
    return {name: outcome for outcome, name in rows}


def surprises(judged: Collection[Judged]) -> list[str]:
    """Return what the table does not say: new faults, and known ones that are mended."""
    table, found = known(), []
    for each in judged:
        expected = table.get(each.name, GOOD)
        if each.outcome != expected and not _unguarded(each):
            mended = ": mended, take it out of known.tsv" if each.outcome == GOOD else f" ({each.words})"
            found.append(f"{each.name} is {each.outcome}, not {expected}{mended}")
    return found


def _unguarded(judged: Judged) -> bool:
    """Return whether other content was read from a damaged file whose format has no checksum."""
    return judged.outcome in ("silent", "noted", GOOD) and judged.name.startswith(
        tuple(f"damaged {each}/" for each in damage.UNGUARDED)
    )


def rewrite(judged: Collection[Judged]) -> None:
    """Write the table anew for the cases that were judged, and leave the others."""
    table = known() | {each.name: each.outcome for each in judged if not _unguarded(each)}
    rows = (f"{outcome}\t{name}\n" for name, outcome in sorted(table.items(), key=lambda row: row[::-1]))
    kept = (row for row in rows if not row.startswith(f"{GOOD}\t"))
    TABLE.write_text("".join(kept), encoding="utf-8")
