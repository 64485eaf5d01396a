"""Reading a report: light and dark, terms explained, links that lead somewhere, and what matters without scripts."""

from urllib.parse import unquote

import pandas as pd
import pytest
from pages import PHONE, unfold

from pertprobe.stages.scorecard import read_scorecard

BACKGROUND = "getComputedStyle(document.body).backgroundColor"


def table_of(report, name):
    return pd.read_csv(report.with_name(name), sep="\t", keep_default_na=False)


def brightness(page):
    """Return the brightness of the page's background, 0 to 255."""
    colour = page.evaluate(BACKGROUND)
    return sum(int(each) for each in colour.strip("rgb()").split(",")[:3]) / 3


@pytest.mark.parametrize("dark", [False, True])
def test_the_theme_is_the_system_s_until_it_is_changed_and_is_kept(dark, opened, small):
    page = opened(small, dark=dark)
    assert (brightness(page) < 80) == dark
    page.locator("#theme").click()
    assert (brightness(page) < 80) != dark
    assert page.locator("#theme").inner_text() == ("Dark" if dark else "Light")
    page.reload()
    assert (brightness(page) < 80) != dark


def test_a_term_is_explained_while_it_has_the_focus(opened, small):
    page = opened(small)
    term = page.locator("a.term").first
    term.focus()
    tip = page.get_by_role("tooltip")
    assert tip.is_visible()
    ident = term.get_attribute("href").lstrip("#")
    assert tip.inner_text() == page.locator(f"#{ident} + dd").inner_text()
    assert term.get_attribute("aria-describedby") == tip.get_attribute("id")
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_a_term_is_explained_under_the_mouse(opened, small):
    page = opened(small)
    page.locator("a.term").nth(1).hover()
    assert page.get_by_role("tooltip").is_visible()
    page.mouse.move(0, 0)
    assert not page.get_by_role("tooltip").is_visible()


def test_an_explanation_stays_on_the_screen_of_a_phone(opened, small):
    page = opened(small, PHONE)
    for term in page.locator("#answer a.term, #matrix a.term").all():
        term.focus()
        box = page.get_by_role("tooltip").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE


@pytest.mark.parametrize("size", ["small", "large"])
def test_every_link_within_the_page_leads_somewhere(size, opened, request):
    page = opened(request.getfixturevalue(size))
    wanted = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map((each) => each.getAttribute('href'))")
    names = set(page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)"))
    assert len(wanted) > 10
    assert {unquote(link[1:]) for link in wanted} - names == set()


def test_no_name_within_the_page_is_given_twice(opened, small):
    page = opened(small)
    unfold(page)
    names = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert [name for name in names if names.count(name) > 1] == []


@pytest.mark.parametrize("name", ["report.html", "quality.html"])
def test_every_link_to_a_file_names_a_file_of_the_run(name, opened, small):
    page = opened(small.with_name(name))
    links = page.evaluate("[...document.querySelectorAll('a[href]')].map((each) => each.getAttribute('href'))")
    files = {unquote(link.partition("#")[0]) for link in links if not link.startswith(("#", "http"))}
    assert [link for link in links if link.startswith("http:")] == []
    assert name == "quality.html" or len(files) > 10
    assert [file for file in sorted(files) if not (small.parent / file).is_file()] == []


def test_a_link_into_a_folded_part_opens_it(opened, small):
    page = opened(small)
    hidden = page.evaluate("document.querySelector('details:not([open]) [id]').id")
    page.evaluate("(name) => { location.hash = name; }", hidden)
    page.locator(f"[id='{hidden}']").wait_for(state="visible")


def test_the_menu_of_the_phone_opens_leads_and_closes(opened, small):
    page = opened(small, PHONE)
    menu, link = page.locator("#menu"), page.locator("nav a[href='#glossary']")
    assert not link.is_visible()
    menu.click()
    assert menu.get_attribute("aria-expanded") == "true"
    link.click()
    assert not link.is_visible()
    top = page.locator("#glossary").bounding_box()["y"]
    assert page.locator("#sidebar").bounding_box()["height"] - 5 <= top < 450


def test_the_first_key_leads_past_the_sidebar(opened, small):
    page = opened(small)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("size", ["small", "large"])
def test_without_scripts_the_answer_the_score_card_and_every_reason_can_be_read(size, opened, request):
    report = request.getfixturevalue(size)
    page = opened(report, scripts=False)
    answers, verdicts = table_of(report, "answers.tsv"), table_of(report, "verdicts.tsv")
    text = page.locator("#answer").inner_text()
    whole = answers[(answers.program == "") & (answers.role == "subject")]
    assert [row.model for row in whole.itertuples() if row.model not in text or row.answer not in text] == []
    assert page.locator("#scorecard tbody tr").count() == len(read_scorecard(report.with_name("scorecard.tsv")))
    names = page.locator("#programs .card h3").all_text_contents()
    others = [name for name in set(verdicts.program) if not any(each.startswith(name) for each in names)]
    assert others == [] or page.locator("#programs a[href='verdicts.tsv']").count() == 1
    unasked = page.locator("#unasked").inner_text()
    assert "not evaluable" in unasked.lower()
    assert page.locator("#unasked table").first.is_visible()


def test_without_scripts_a_small_matrix_can_be_read(opened, small):
    page = opened(small, scripts=False)
    verdicts = table_of(small, "verdicts.tsv")
    rows = page.locator("#matrix-table tbody tr")
    assert rows.count() == verdicts.program.nunique()
    assert rows.first.is_visible()
    marks = page.locator("#matrix-table tbody button").all_inner_texts()
    assert sorted(set(marks)) == ["fail", "n.e.", "pass"]


def test_without_scripts_a_large_matrix_says_where_it_is(opened, large):
    page = opened(large, scripts=False)
    link = page.locator("#matrix a[href='verdicts.tsv']").first
    assert link.is_visible()


def test_without_scripts_nothing_is_offered_that_needs_them(opened, small):
    page = opened(small, PHONE, scripts=False)
    assert [name for name in ("search", "theme", "menu") if page.locator(f"#{name}").is_visible()] == []
