"""`pertprobe report`: the report of a run, made if it is not there or is out of date, and opened."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from pertprobe.workflow.commands.app import command
from pertprobe.workflow.commands.performing import PAGE, perform
from pertprobe.workflow.commands.request import Request
from pertprobe.workflow.commands.run import Configs, Cores, Profile, Verbose
from pertprobe.workflow.commands.words import say

Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


@command
def report(
    config: Configs, open_it: Open = False, cores: Cores = None, profile: Profile = "", verbose: Verbose = False
) -> None:
    """Make the report and what it needs, and nothing else of the run."""
    results = Request(config).results
    page = results / PAGE
    perform(Request(config, [str(page)], cores, profile), verbose)
    if open_it:
        open_in_browser(page)


def open_in_browser(page: Path) -> None:
    """Open a page; where there is no browser, say so."""
    if not webbrowser.open(page.resolve().as_uri()):
        say(f"No browser could be started here. Open {page.resolve()} in one.")
