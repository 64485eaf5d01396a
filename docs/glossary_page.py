"""The body of docs/glossary.md: the words of the package's glossary, in the order of the alphabet."""

from pertprobe.report.glossary import Term, glossary


def body() -> str:
    """Return a table of all terms."""
    terms = sorted(glossary().items(), key=lambda entry: entry[0].lower())
    return "| word | meaning |\n|---|---|\n" + "".join(_row(name, term) for name, term in terms)


def _row(name: str, term: Term) -> str:
    also = f" *Also: {', '.join(term.also)}.*" if term.also else ""
    return f"| **{name}** | {term.means}{also} |\n"
