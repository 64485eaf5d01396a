"""A request carried out, with what was found at the end."""

import typer

from pertprobe.errors import number_of
from pertprobe.workflow.commands.app import FAILED
from pertprobe.workflow.commands.carry_out import carry_out
from pertprobe.workflow.commands.ending import tell
from pertprobe.workflow.commands.found import found
from pertprobe.workflow.commands.giving_up import carry_through
from pertprobe.workflow.commands.request import Request
from pertprobe.workflow.commands.words import say

PAGE = "report.html"
"""The report, below the results of a run."""


def perform(request: Request, verbose: bool, strict: bool = False) -> None:
    """Run Snakemake, and say what was found and where the report is.

    Raises typer.Exit where jobs failed: at once if `strict`, else when all that can do without them is done.
    """
    given_up: dict[str, str] = {}
    if strict or request.dry_run:
        carry_out(request, verbose)
    else:
        given_up = carry_through(request, verbose)
    if is_whole(request) and not request.dry_run:
        say(*found(request.results), f"Report: {request.results / PAGE}")
    elif not request.dry_run:
        say(f"Results: {request.results}")
    if given_up:
        cost = "and cost their own cells of the tables, or their model"
        tell(f"{number_of(len(given_up), 'job')} failed, {cost}:", style="red")
        tell(*(f"  {job}: {reason}" for job, reason in given_up.items()))
        raise typer.Exit(FAILED)


def is_whole(request: Request) -> bool:
    """Return whether all that belongs to a run is asked for."""
    return not request.targets or not {"all", str(request.results / PAGE)}.isdisjoint(request.targets)
