"""Tables are sorted by a click or by keys, numbers as numbers, and what is missing comes last either way."""

import re

import pytest
from made_shape import PUBLISHED
from pages import unfold

from pertprobe.stages.verdict import read_verdicts

NUMBER = re.compile(r"[-\u2212]?\d+(\.\d+)?(e[-+]?\d+)?")
SORTED = """(table) =>
    [...table.querySelectorAll("thead th[aria-sort]")].map((each) => each.getAttribute("aria-sort"))"""
FOCUS = """(head) => {
    (head.matches("[tabindex]") ? head : head.querySelector("[tabindex], button")).focus();
    return head.contains(document.activeElement);
}"""
AWAITED = """(table) => {
    table.drawn = new Promise((resolve) => new DataTable.Api(table).one("draw", () => setTimeout(resolve)));
}"""
CELLS = """([table, place]) => [...table.tBodies[0].rows].map((row) => row.cells[place].innerText.trim())"""


def column(table, place):
    """Return the texts of a column, as they stand."""
    return table.page.evaluate(CELLS, [table.element_handle(), place])


def as_numbers(texts):
    """Return texts as numbers, None for empty ones; None instead where not all others are numbers."""
    given = [text for text in texts if text]
    if not given or not all(NUMBER.fullmatch(text) for text in given):
        return None
    return [float(text.replace("\u2212", "-")) if text else None for text in texts]


def order_of(values):
    """Return ascending, descending or neither, of numbers with the missing ones last; both where all are equal."""
    known = [value for value in values if value is not None]
    if None in values[: len(known)]:
        return "missing first"
    wanted = {"ascending": sorted(known), "descending": sorted(known, reverse=True)}
    found = [name for name, values in wanted.items() if known == values]
    return " ".join(found) or "none"


def numeric_columns(table):
    """Return the places of the columns that hold different numbers."""
    heads = table.locator("thead tr").last.locator("th").count()
    columns = {place: as_numbers(column(table, place)) for place in range(heads)}
    return [place for place, values in columns.items() if values and len(set(values) - {None}) > 1]


def head(table, place):
    return table.locator("thead tr").last.locator("th").nth(place)


def sort_by(table, place):
    """Click a heading and wait for the rows: DataTables orders them after the click has returned."""
    table.evaluate(AWAITED)
    head(table, place).click()
    table.evaluate("(table) => table.drawn")


@pytest.fixture
def tables(opened, small):
    """Return the sortable tables of a small report, all in sight."""
    page = opened(small)
    unfold(page)
    found = page.locator("table.sortable")
    return [found.nth(number) for number in range(found.count())]


def test_numbers_are_sorted_as_numbers_and_missing_ones_come_last(tables):
    columns = [(table, place) for table in tables for place in numeric_columns(table)]
    assert len(columns) > 10
    for table, place in columns:
        orders = set()
        for _ in range(2):
            sort_by(table, place)
            texts = column(table, place)
            orders.add((head(table, place).get_attribute("aria-sort"), order_of(as_numbers(texts))))
        where = (table.get_attribute("id"), head(table, place).inner_text(), texts)
        assert orders == {("ascending", "ascending"), ("descending", "descending")}, where


def test_some_numbers_are_negative_tiny_or_missing(tables):
    """Sorting could be easy."""
    texts = [text for table in tables for place in numeric_columns(table) for text in column(table, place)]
    assert any(text.startswith(("-", "\u2212")) for text in texts)
    assert any("e-" in text for text in texts)
    assert "" in texts


def test_words_are_sorted_and_the_table_says_how(tables):
    table = next(each for each in tables if each.get_attribute("id") == "scorecard-table")
    sort_by(table, 0)
    assert table.evaluate(SORTED) == ["ascending"]
    ascending = column(table, 0)
    assert ascending == sorted(ascending)
    sort_by(table, 0)
    assert table.evaluate(SORTED) == ["descending"]
    assert column(table, 0) == ascending[::-1]


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_keys_sort_a_table(key, tables):
    table = next(each for each in tables if each.get_attribute("id") == "scorecard-table")
    place = numeric_columns(table)[0]
    before = column(table, place)
    reached = head(table, place).evaluate(FOCUS)
    assert reached
    table.evaluate(AWAITED)
    table.page.keyboard.press(key)
    table.evaluate("(table) => table.drawn")
    assert table.evaluate(SORTED) in (["ascending"], ["descending"])
    assert column(table, place) != before


def test_every_table_names_what_it_holds(tables):
    nameless = [table.get_attribute("id") for table in tables if not table.locator("caption").inner_text().strip()]
    assert nameless == []


def test_a_long_table_is_sorted_over_all_its_pages(opened, large):
    page = opened(large)
    page.locator("details", has=page.locator("#verdicts-table")).locator("summary").click()
    table = page.locator("#verdicts-table.dataTable")
    table.wait_for()
    names = [each.strip() for each in table.locator("thead th").all_inner_texts()]
    sort_by(table, names.index("Effect, sd"))
    shown = as_numbers(column(table, names.index("Effect, sd")))
    wanted = read_verdicts(large.with_name("verdicts.tsv")).d.dropna().sort_values()
    assert shown == pytest.approx(wanted.head(len(shown)).tolist(), rel=0.01)
    sort_by(table, names.index("Effect, sd"))
    shown = as_numbers(column(table, names.index("Effect, sd")))
    assert shown == pytest.approx(wanted[::-1].head(len(shown)).tolist(), rel=0.01)


def test_a_long_table_says_which_rows_of_how_many_it_shows(opened, large):
    page = opened(large)
    section = page.locator("#regimes")
    section.locator("summary").first.click()
    table = section.locator("table.dataTable").first
    table.wait_for()
    info = section.locator(".dt-info").first.inner_text()
    shown = table.locator("tbody tr").count()
    assert re.findall(r"[\d,]+", info) == ["1", str(shown), str(PUBLISHED.programs)]
