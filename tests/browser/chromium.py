"""The Chromium that pages are tried in, the machine's own: none is downloaded."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""Commands that are one, where PERTPROBE_CHROMIUM names none."""
QUIET = ("--disable-background-networking", "--disable-gpu", "--no-first-run")


def found_chromium() -> str | None:
    """Return the path of a Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, [os.environ.get("PERTPROBE_CHROMIUM", ""), *NAMES])), None)


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Yield a running headless Chromium.

    Raises:
        FileNotFoundError: there is none on this machine.
    """
    from playwright.sync_api import sync_playwright

    path = found_chromium()
    if path is None:
        raise FileNotFoundError(f"No Chromium: set PERTPROBE_CHROMIUM, or install one of {', '.join(NAMES)}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()
