"""What checks of the inputs found, a row each: what stops the run, is only worth knowing, or is as it should be."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["fault", "waived", "note", "uncheckable", "good"]
"""fault = stops the run; waived = would, but the config says go on; note = odd but possible; uncheckable = nothing in
the files decides it; good = checked and as it should be."""


class Finding(NamedTuple):
    """One row of `census.tsv`."""

    key: str
    """The part of the config that it is said of, as `cells.hepg2`."""
    what: str
    """What was checked, in a word or two."""
    level: Level
    n: int
    """How many cells, columns or names are concerned; 0 where all is good."""
    of: int
    """Out of how many."""
    words: str
    """What was found, which value, and the remedy where one is needed."""


def census_table(rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return findings as the table `census.tsv`: its columns are their fields, in their order."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=Finding._fields)


def faults_among(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield the messages of those that stop the run, each behind its key."""
    return (f"{each.key}: {each.words}" for each in findings if each.level == "fault")


def notes_among(findings: Iterable[Finding], key: str) -> list[str]:
    """Return what is worth knowing of one part of the config."""
    return [each.words for each in findings if each.key == key and each.level in ("note", "waived", "uncheckable")]
