"""Small parts of sentences."""

from collections.abc import Sequence


def in_a_row(names: Sequence[str]) -> str:
    """Return names as people list them: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
