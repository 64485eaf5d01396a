"""What axe-core finds on the pages: nothing serious, light and dark, wide and narrow, with a detail open."""

import pytest
from pages import DESKTOP, PHONE, unfold

GRAVE = ("serious", "critical")
VIEWS = [(DESKTOP, False), (DESKTOP, True), (PHONE, False), (PHONE, True)]


def grave(page):
    """Return rule and places of each grave finding."""
    from axe_playwright_python.sync_playwright import Axe  # optional, as the browser is

    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["target"] for node in each["nodes"][:3]]) for each in found if each["impact"] in GRAVE]


@pytest.mark.parametrize(("width", "dark"), VIEWS)
def test_nothing_grave_is_found_on_a_report(width, dark, opened, small):
    page = opened(small, width, dark=dark)
    unfold(page)
    assert grave(page) == []


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_grave_is_found_on_an_open_detail(dark, opened, small):
    page = opened(small, dark=dark)
    page.locator("button.cell").filter(has_text="pass").first.click()
    page.locator("#detail").wait_for(state="visible")
    assert grave(page) == []


def test_nothing_grave_is_found_in_the_menu_of_the_phone(opened, small):
    page = opened(small, PHONE)
    page.locator("#menu").click()
    page.locator("#search").fill("gene")
    page.wait_for_timeout(100)
    assert grave(page) == []


@pytest.mark.parametrize(("width", "dark"), VIEWS)
def test_nothing_grave_is_found_on_the_page_on_quality(width, dark, opened, small):
    page = opened(small.with_name("quality.html"), width, dark=dark)
    unfold(page)
    assert grave(page) == []


def test_a_grave_fault_is_seen(opened, tmp_path):
    path = tmp_path / "faulty.html"
    path.write_text("<!doctype html><html lang=en><title>x</title><main><p style='color: #bbb'>pale</p></main></html>")
    assert [rule for rule, _ in grave(opened(path))] == ["color-contrast"]
