"""Small parts of sentences, and how sentences are written to standard output."""

from collections.abc import Sequence

from rich.console import Console


def in_a_row(names: Sequence[str]) -> str:
    """Return names as people list them: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def say(*sentences: str) -> None:
    """Write sentences to standard output: on a terminal broken between words, elsewhere a line each."""
    console = Console(highlight=False)
    for sentence in sentences:
        console.print(sentence, markup=False, soft_wrap=not console.is_terminal)
