"""Write what pages of docs/ say of the config, of probes and of words from where it is declared: `make contracts`."""

from collections.abc import Callable
from pathlib import Path

import concepts_page
import configuration_page
import glossary_page

HERE = Path(__file__).parent
BEGIN, END = "<!-- made by `make contracts` -->\n", "<!-- end of what is made -->\n"
MADE: dict[str, Callable[[], str]] = {
    "configuration.md": configuration_page.body,
    "concepts.md": concepts_page.body,
    "glossary.md": glossary_page.body,
}
"""Page -> what makes the part between its two marks."""


def page(name: str, text: str) -> str:
    """Return a page with what stands between the two marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{MADE[name]()}\n{END}{after}"


if __name__ == "__main__":
    for each in MADE:
        path = HERE / each
        path.write_text(page(each, path.read_text(encoding="utf-8")), encoding="utf-8")
