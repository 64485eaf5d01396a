"""Tables of a page: real HTML up to a number of rows, beyond it data that a script shows by pages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pertprobe.report.island import columns

MOST = 300
"""Rows that a table holds as HTML; longer ones are data, and their file is named where scripts do not run."""
WORDY = {"reason", "why", "note", "sentence", "conditions", "remedy", "needed", "setting"}
"""Columns of sentences: they are wide, and wrap."""


class Table(NamedTuple):
    """A table as the template shows it."""

    name: str
    """Its id on the page."""
    caption: str
    columns: Mapping[str, str]
    """Column -> its heading."""
    rows: Sequence[Mapping[str, Any]]
    """None where it is data."""
    n: int
    file: str
    """Where all its rows are, with all their columns; relative to the page, or empty."""
    data: Mapping[str, Any] | None = None

    @property
    def wordy(self) -> set[str]:
        """Columns of sentences."""
        return WORDY


def table(
    name: str, caption: str, given: pd.DataFrame, headings: Mapping[str, str] | None = None, file: str = ""
) -> Table:
    """Return a table of the columns that `headings` names, of all where there are none."""
    shown = headings or {column: str(column).replace("_", " ") for column in given.columns}
    small = len(given) <= MOST
    rows = given[list(shown)].to_dict("records") if small else []
    data = None if small else columns(given, list(shown))
    return Table(name, caption, shown, rows, len(given), file, data)


def tables_in(shown: Any) -> Iterator[Table]:
    """Yield every table within what a template shows, however deep."""
    if isinstance(shown, Table):
        yield shown
    elif isinstance(shown, Mapping):
        yield from tables_in(list(shown.values()))
    elif isinstance(shown, list | tuple):
        for each in shown:
            yield from tables_in(each)
