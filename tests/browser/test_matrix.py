"""A cell of the matrix leads to what it rests on, by mouse and by keys, and back."""

import pandas as pd
import pytest
from pages import focus_is_kept

CELL = "button.cell[data-row]"
SHOWN = "(cells) => cells.map((cell) => [Number(cell.dataset.row), cell.innerText])"


@pytest.fixture(params=["small", "large"])
def report(request):
    return request.getfixturevalue(request.param)


def verdicts(report):
    return pd.read_csv(report.with_name("verdicts.tsv"), sep="\t", keep_default_na=False)


def evidence(report, row):
    table = pd.read_csv(report.with_name("evidence") / f"{row.probe}.tsv", sep="\t", keep_default_na=False)
    keys = ("statistic", "model", "reference", "program", "panel")
    for key in keys:
        table = table[table[key] == row[key]]
    return table[table.role == "subject"].squeeze()


def first_with(page, verdict):
    """Return a cell that says this."""
    return page.locator(CELL).filter(has_text=verdict).first


def numbers(dialog):
    """Return every number of the dialog's evidence."""
    cells = dialog.locator("td").all_inner_texts()
    return [float(each) for each in cells if each.replace(".", "").replace("-", "").replace("e", "").isdigit()]


def written(value, among):
    """Return whether a number is among others that have three digits."""
    return any(each == pytest.approx(float(value), rel=0.006) for each in among)


@pytest.mark.parametrize("verdict", ["pass", "fail", "n.e."])
def test_a_cell_opens_the_evidence_of_its_own_question(report, verdict, opened):
    page = opened(report)
    cell = first_with(page, verdict)
    row = verdicts(report).iloc[int(cell.get_attribute("data-row"))]
    cell.click()
    dialog = page.locator("#detail")
    assert dialog.is_visible()
    text = dialog.inner_text()
    assert [each for each in (row.program, row.probe, row.model, row.verdict) if each not in text] == []
    if row.verdict == "not evaluable" and not row.d:
        assert row.reason.split(" & ")[0].split(",")[0] in text
    else:
        found = evidence(report, row)
        shown, names = numbers(dialog), ("estimate", "null_mean", "p", "q", "ci_low", "ci_high")
        assert [name for name in names if not written(found[name], shown)] == []


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_keys_open_a_detail_and_escape_leads_back(key, opened, small):
    page = opened(small)
    cell = first_with(page, "pass")
    cell.focus()
    with focus_is_kept(page):
        page.keyboard.press(key)
        page.locator("#detail").wait_for(state="visible")
        assert page.evaluate("document.getElementById('detail').contains(document.activeElement)")
        page.keyboard.press("Escape")
        page.locator("#detail").wait_for(state="hidden")


def test_the_button_closes_the_detail_and_leads_back_too(opened, small):
    page = opened(small)
    cell = first_with(page, "fail")
    cell.focus()
    with focus_is_kept(page):
        cell.click()
        page.locator("#detail-close").click()
        assert not page.locator("#detail").is_visible()


def test_one_detail_after_the_other_shows_its_own(opened, small):
    page = opened(small)
    titles = []
    for number in (0, 5):
        page.locator(CELL).nth(number).click()
        titles.append(page.locator("#detail h2").inner_text())
        page.keyboard.press("Escape")
    assert titles[0] != titles[1]


def test_a_detail_shows_figure_and_null_and_the_figure_returns(opened, small):
    page = opened(small)
    figures = page.locator("main figure").count()
    first_with(page, "pass").click()
    dialog = page.locator("#detail")
    assert dialog.locator("figure svg, figure img").count() == 1
    assert dialog.locator("svg.null").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#detail figure").count() == 0
    assert page.locator("main figure").count() == figures


def test_files_of_a_detail_are_files_of_the_run(opened, small):
    page = opened(small)
    first_with(page, "pass").click()
    links = [each.get_attribute("href") for each in page.locator("#detail a[href]").all()]
    assert len(links) > 3
    assert [link for link in links if not (small.parent / link).is_file()] == []


def test_every_verdict_has_a_cell_or_shares_one(opened, small):
    page = opened(small)
    table = verdicts(small)
    keys = table[["program", "probe", "model", "reference"]].drop_duplicates()
    assert page.locator(CELL).count() == len(keys)
    shown = page.locator(CELL).evaluate_all(SHOWN)
    marks = {"pass": "pass", "fail": "fail", "not evaluable": "n.e."}
    alone = table.groupby(["program", "probe", "model", "reference"]).verdict.transform("nunique") == 1
    assert [row for row, mark in shown if alone[row] and marks[table.verdict[row]] != mark] == []
