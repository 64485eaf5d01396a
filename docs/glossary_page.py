"""The body of docs/glossary.md: the words of the package's glossary."""

from pertprobe.report.glossary import Term, terms


def body() -> str:
    """Return a table of all terms."""
    rows = "".join(_row(name, term) for name, term in terms().items())
    return f"| word | meaning |\n|---|---|\n{rows}"


def _row(name: str, term: Term) -> str:
    others = [each for each in term.also if not each.startswith(name)]  # its plural is no news
    also = f" *Also: {', '.join(others)}.*" if others else ""
    return f"| **{name}** | {term.means}{also} |\n"
