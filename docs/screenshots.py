"""Pictures of a report as people see it, for these pages: on a desktop, on a phone, dark with a detail open, printed.

`make screenshots REPORT=results/demo/report.html` writes them into docs/figures.
"""

import argparse
import io
from pathlib import Path
from typing import Any

import pypdfium2
from chromium import chromium
from PIL import Image
from playwright.sync_api import Browser, Page

FIGURES = Path(__file__).resolve().parent / "figures"
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True}
DARK = {**DESKTOP, "color_scheme": "dark"}
COLOURS = 128
"""Of a PNG: pages are of few colours, and files of pages are kept small."""
PAPER_SCALE = 1.6
"""Pixels per point of the printed page."""


def opened(browser: Browser, report: Path, options: dict[str, Any]) -> Page:
    """Return the page of a report, with its tables made."""
    page = browser.new_context(**options, reduced_motion="reduce").new_page()
    page.goto(report.as_uri())
    page.locator("table.dataTable").first.wait_for()
    return page


def taken(page: Page) -> Image.Image:
    """Return what the window shows."""
    return Image.open(io.BytesIO(page.screenshot()))


def of_detail(page: Page) -> Image.Image:
    """Return the page with the detail of the first cell that passes, or of the first, before its matrix."""
    cells = page.locator("button.cell")
    passed = cells.filter(has_text="pass")
    (passed if passed.count() else cells).first.click()
    page.locator("#detail").wait_for(state="visible")
    return taken(page)


def of_print(page: Page) -> Image.Image:
    """Return the first page that is printed."""
    with pypdfium2.PdfDocument(page.pdf(prefer_css_page_size=True, print_background=True)) as document:
        return document[0].render(scale=PAPER_SCALE).to_pil()


def write(picture: Image.Image, name: str) -> None:
    """Write a picture as PNG with few colours."""
    small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(FIGURES / f"{name}.png", optimize=True)


def main() -> None:
    """Take the four pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="report.html of a run")
    report = parser.parse_args().report.resolve(strict=True)
    with chromium() as browser:
        write(taken(opened(browser, report, DESKTOP)), "report_desktop")
        write(taken(opened(browser, report, PHONE)), "report_phone")
        write(of_detail(opened(browser, report, DARK)), "report_dark")
        write(of_print(opened(browser, report, DESKTOP)), "report_print")


if __name__ == "__main__":
    main()
