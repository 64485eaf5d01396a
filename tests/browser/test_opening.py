"""Opening a report: no fault, no request, no sideways scrolling, at most ten megabytes at the published size."""

import pytest
from pages import DESKTOP, PHONE, overflow, unfold

LARGEST = 10_000_000
"""Bytes of a report that can still be sent by mail."""
SECTIONS = (
    "answer", "scorecard", "programs", "matrix", "unasked", "regimes", "models", "methods", "provenance", "glossary",
)  # fmt: skip


def test_a_report_of_the_published_size_is_a_file_that_can_be_sent(large):
    assert large.stat().st_size < LARGEST


def test_the_same_run_makes_the_same_bytes(small, tmp_path):
    from made_run import write_made_report
    from made_shape import SMALL

    again = write_made_report(tmp_path, SMALL)
    assert again.read_bytes() == small.read_bytes()


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_a_report_opens_without_a_fault_and_is_no_wider_than_its_window(size, width, opened, request):
    page = opened(request.getfixturevalue(size), width)
    assert overflow(page) == (0, [])
    assert [name for name in SECTIONS if not page.locator(f"#{name}").is_visible()] == []


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_no_folded_part_is_wider_than_its_window(width, opened, small):
    page = opened(small, width)
    unfold(page)
    assert overflow(page) == (0, [])


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_on_quality_opens_without_a_fault(width, opened, small):
    page = opened(small.with_name("quality.html"), width)
    unfold(page)
    assert overflow(page) == (0, [])


def test_names_are_shown_as_they_are(opened, small):
    from made_names import HOSTILE

    page = opened(small)
    names = page.locator("#matrix-table tbody th").all_inner_texts()
    assert set(HOSTILE) <= {name.strip() for name in names}


def test_a_fault_is_seen(opened, tmp_path):
    """The other tests could be blind."""
    path = tmp_path / "faulty.html"
    path.write_text("<!doctype html><title>x</title><img src='absent.png'><script>nothing()</script>")
    opened(path)
    kinds = {fault.partition(":")[0] for fault in opened.faults}
    assert kinds == {"error", "request", "console"}
    opened.faults.clear()


def test_what_is_too_wide_is_seen(opened, tmp_path):
    path = tmp_path / "wide.html"
    path.write_text("<!doctype html><meta name=viewport content='width=device-width'><div id=w style='width: 2000px'>.")
    assert overflow(opened(path, PHONE)) == (2000 + 8 - PHONE, ["DIV#w."])
