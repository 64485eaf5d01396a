"""Printed, a report is whole: what is folded is open, every row is there, and nothing is cut."""

import re

import pytest
from pages import unfold

SETTING = {"width": "297mm", "height": "210mm", "print_background": True, "prefer_css_page_size": True}
TEXTS = """() => [...document.querySelectorAll("#main :is(p, li, dd, dt, h1, h2, h3, td, th, caption, figcaption)")]
    .filter((each) => !each.closest("dialog, noscript, .who, svg") && !each.querySelector("p, li, dd, td, th"))
    .map((each) => each.textContent).filter((text) => text.trim())"""
"""Every text of the page by itself; columns whose heads stand on end are named in other ways too."""


def squeezed(text):
    """Return the letters and digits of a text: a PDF tells broken lines, hyphens and other scripts in its own way."""
    return re.sub(r"[^A-Za-z0-9_.]", "", text)


@pytest.fixture(scope="module")
def printed(browser, small, tmp_path_factory):
    """Return the PDF of a small report."""
    page = browser.new_page()
    page.goto(small.as_uri())
    path = tmp_path_factory.mktemp("printed") / "report.pdf"
    page.pdf(path=path, **SETTING)
    page.close()
    import pypdfium2  # optional, as the browser is

    with pypdfium2.PdfDocument(path) as found:
        yield found


def text_of(document):
    return squeezed("".join(page.get_textpage().get_text_range() for page in document))


def test_every_text_of_the_page_is_on_paper(opened, small, printed):
    page = opened(small)
    unfold(page)
    wanted = {squeezed(text) for text in page.evaluate(TEXTS)}
    assert len(wanted) > 200
    found = text_of(printed)
    assert sorted(text for text in wanted if text not in found) == []


def test_nothing_lies_beyond_the_edge_of_the_paper(printed):
    beyond = []
    for page in printed:
        width, height = page.get_size()
        texts = page.get_textpage()
        for number in range(texts.count_rects()):
            left, bottom, right, top = texts.get_rect(number)
            if left < 0 or bottom < 0 or right > width or top > height:
                beyond.append(texts.get_text_bounded(left, bottom, right, top))
    assert beyond == []


def test_printing_leaves_the_page_as_it_was(opened, small):
    page = opened(small)
    state = "[...document.querySelectorAll('details')].map((each) => each.open)"
    unfold(page)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = false; })")
    before = page.evaluate(state), page.locator("tbody tr").count()
    page.pdf(**SETTING)
    assert (page.evaluate(state), page.locator("tbody tr").count()) == before


def test_printing_from_the_dark_gives_dark_letters_on_white(opened, small):
    page = opened(small, dark=True)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") in (
        "rgb(255, 255, 255)",
        "rgba(0, 0, 0, 0)",
    )


def test_a_long_table_has_all_its_rows_when_it_is_printed(opened, large):
    page = opened(large)
    page.locator("#regimes summary").first.click()
    table = page.locator("#regimes table.dataTable").first
    table.wait_for()
    few = table.locator("tbody tr").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert table.locator("tbody tr").count() == 674
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert table.locator("tbody tr").count() == few
