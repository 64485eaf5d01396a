"""Small parts of sentences, and how sentences are written to standard output."""

from rich.console import Console


def say(*sentences: str) -> None:
    """Write sentences to standard output: on a terminal broken between words, elsewhere a line each."""
    console = Console(highlight=False)
    for sentence in sentences:
        console.print(sentence, markup=False, soft_wrap=not console.is_terminal)
