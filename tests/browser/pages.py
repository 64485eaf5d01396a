"""A page as people open it: at a width, light or dark, with or without scripts; and what went wrong meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PHONE, DESKTOP = 390, 1440
"""Widths, in CSS pixels."""
PATIENCE = 180_000
"""Milliseconds: machines that run other tests beside these are slow, and no test is of time."""
MADE = """() => [...document.querySelectorAll("table.sortable, #matrix-table")]
    .filter((table) => !table.closest("details:not([open])")).every((table) => table.classList.contains("dataTable"))"""
"""Whether every table that is not folded away has been made sortable."""
WIDE = """() => [...document.querySelectorAll("body *")]
    .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((each) => `${each.tagName}#${each.id}.${each.className}`).slice(0, 5)"""
"""What reaches beyond the right edge, or would if nothing scrolled around it."""


class Opener:
    """Opens pages and keeps every fault of theirs."""

    def __init__(self, browser):
        self.browser, self.contexts, self.faults = browser, [], []

    def __call__(self, path, width=DESKTOP, *, dark=False, scripts=True):
        """Open a file; return its page with all tables made."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        page = context.new_page()
        address = Path(path).as_uri()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", lambda request: self._request(request, address))
        page.goto(address)
        if scripts:
            ready(page)
        return page

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _request(self, request, address):
        if request.url.partition("#")[0] != address and not request.url.startswith(("data:", "blob:")):
            self.faults.append(f"request: {request.url}")

    def close(self):
        """Close all pages; a name that became code is a fault too."""
        for context in self.contexts:
            for page in context.pages:
                if page.evaluate("typeof window.hostile") != "undefined":
                    self.faults.append("a name of the data was run as code")
            context.close()


def ready(page):
    """Wait until every table in sight has been made sortable."""
    page.wait_for_function(MADE)


def unfold(page):
    """Open everything that is folded away."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    ready(page)


def overflow(page):
    """Return by how many pixels the document is wider than its window, and what reaches that far."""
    beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return (beyond, page.evaluate(WIDE)) if beyond > 0 else (0, [])


@contextmanager
def focus_is_kept(page) -> Iterator[None]:
    """The element that has the focus before has it after."""
    page.evaluate("window.before = document.activeElement")
    yield
    assert page.evaluate("document.activeElement === window.before"), page.evaluate("document.activeElement.outerHTML")
