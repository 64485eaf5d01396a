"""The search box: what is typed narrows what is shown, says how many there are, and leads there."""

import re

import pytest
from pages import PHONE


def typed(page, words):
    """Type into the search box; return the texts of what is found."""
    page.locator("#search").fill(words)
    page.wait_for_timeout(100)
    return [each.strip() for each in page.locator("#hits li").all_inner_texts()]


def programs(report):
    return [line.split("\t")[0] for line in report.with_name("programs.gmt").read_text(encoding="utf-8").splitlines()]


def counted(page):
    """Return how many things are found: links, and those that are told as a number."""
    links = page.locator("#hits a").count()
    more = re.findall(r"and ([\d,]+) more", page.locator("#hits").inner_text())
    return links + sum(int(each.replace(",", "")) for each in more)


@pytest.mark.parametrize("words", ["CHOLESTEROL", "notch1", "ÉRON β — 干", "<b>bold"])
def test_search_finds_every_program_of_a_name_and_says_how_many(words, opened, large):
    page = opened(large)
    found = typed(page, words)
    wanted = [name for name in programs(large) if words.lower() in name.lower()]
    assert wanted
    assert counted(page) == len(wanted)
    assert all(words.lower() in each.lower() for each in found if not each.startswith("and "))


def test_more_letters_find_less_and_none_find_nothing(opened, large):
    page = opened(large)
    numbers = []
    for words in ("reactome", "reactome_transport", "reactome_transport_of_notch1", "no such thing"):
        typed(page, words)
        numbers.append(counted(page))
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == len(numbers)
    assert numbers[-1] == 0
    assert page.locator("#hits").inner_text().strip() != ""
    assert typed(page, "") == []


def test_genes_models_and_probes_are_found_too(opened, small):
    page = opened(small)
    for words, kind in (("GENE0003", "gene"), ("k562_zeroshot", "model"), ("intervention", "probe")):
        assert any(kind in each for each in typed(page, words)), words


@pytest.mark.parametrize("width", [PHONE, 1440])
def test_enter_leads_to_what_is_found(width, opened, large):
    page = opened(large, width)
    name = programs(large)[-8]
    if width == PHONE:
        page.locator("#menu").click()
    typed(page, name)
    page.locator("#search").press("Enter")
    card = page.locator(".card:target")
    card.wait_for()
    assert name in card.inner_text()
    page.wait_for_timeout(200)
    box = card.bounding_box()
    assert box["y"] < 900
    assert box["y"] + box["height"] > 0


def test_the_box_has_a_name_and_tells_what_it_finds(opened, small):
    page = opened(small)
    assert page.get_by_role("searchbox").first.evaluate("(box) => box.labels.length") == 1
    assert page.locator("#hits").get_attribute("aria-live") == "polite"
