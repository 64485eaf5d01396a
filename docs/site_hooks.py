"""Hooks of mkdocs: what pages link to outside of docs/ joins the site, so that links work in both places."""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)\s#]+)")
"""A relative link: its bracket and its target, without an anchor."""
PAGES = ("CHANGELOG.md",)
"""Pages outside of docs/ that the navigation names."""


def outside(page: str) -> list[str]:
    """Return the files outside of docs/ that a page links to, by their place in the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    places = (posixpath.normpath(posixpath.join(posixpath.dirname(page), link)) for _, link in LINK.findall(text))
    return sorted({place for place in places if not place.startswith("docs/") and (ROOT / place).is_file()})


def whole_site(pages: list[str]) -> list[str]:
    """Return the files outside of docs/ that pages link to, and those that these link to."""
    found: list[str] = list(PAGES)
    waiting = [*pages, *PAGES]
    while waiting:
        new = [place for place in outside(waiting.pop()) if place not in found]
        found += new
        waiting += [place for place in new if place.endswith(".md")]
    return found


def on_files(files: Any, config: Any) -> Any:
    """Add to the site what pages link to outside of docs/, at its place in the repository."""
    from mkdocs.structure.files import File, InclusionLevel

    pages = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    for place in whole_site(pages):
        # Not in the navigation, but for those that it names: a page that is linked to, not one to begin with.
        level = InclusionLevel.UNDEFINED if place in PAGES else InclusionLevel.NOT_IN_NAV
        content = (ROOT / place).read_bytes()
        files.append(File.generated(config, place, content=content, inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links to where their files lie in the site: docs/ is its root, all else keeps its place."""
    place = page.file.src_uri
    inside = not (ROOT / place).is_file() or (ROOT / "docs" / place).is_file()
    at = posixpath.dirname(f"docs/{place}" if inside else place)

    def moved(link: re.Match[str]) -> str:
        """Return a link as it is on the site."""
        target = posixpath.normpath(posixpath.join(at, link[2]))
        if not (ROOT / target).exists():
            return link[0]
        there = target.removeprefix("docs/")
        return link[1] + posixpath.relpath(there, posixpath.dirname(place) or ".")

    return LINK.sub(moved, markdown)
