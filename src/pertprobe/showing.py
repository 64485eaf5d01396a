"""How things show themselves where they are looked at: a title and facts, as text and, for notebooks, as HTML."""

from collections.abc import Mapping

from markupsafe import Markup, escape

CELL = "text-align:left;vertical-align:top"


class Shown:
    """Shows its `facts`: as lines of text, and as a table of HTML in which every name is escaped."""

    def facts(self) -> tuple[str, Mapping[str, object]]:
        """Return a title, and what is to be known: word -> fact; empty facts are left out."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return title and facts, one a line."""
        return as_text(*self.facts())

    def _repr_html_(self) -> str:
        """Return the same for a notebook."""
        return as_html(*self.facts())


def as_text(title: str, facts: Mapping[str, object]) -> str:
    """Return a title and facts in lines, facts in one column."""
    told = {word: str(fact) for word, fact in facts.items() if str(fact)}
    width = max(map(len, told), default=0)
    return "\n".join([title, *(f"  {word:<{width}}  {fact}" for word, fact in told.items())])


def as_html(title: str, facts: Mapping[str, object]) -> str:
    """Return a title and facts as a table; whatever is no `Markup` is escaped."""
    row = Markup('<tr><th scope="row" style="{}">{}</th><td style="{}">{}</td></tr>')
    told = [row.format(CELL, word, CELL, fact) for word, fact in facts.items() if str(fact)]
    return str(Markup("<div><b>{}</b><table>{}</table></div>").format(title, Markup("").join(told)))


def paragraph(text: object) -> str:
    """Return a paragraph of HTML, its text escaped."""
    return f"<p>{escape(text)}</p>"
