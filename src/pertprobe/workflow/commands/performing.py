"""A request carried out, with what was found at the end."""

from pertprobe.workflow.commands.carry_out import carry_out
from pertprobe.workflow.commands.found import found
from pertprobe.workflow.commands.request import Request
from pertprobe.workflow.commands.words import say

PAGE = "report.html"
"""The report, below the results of a run."""


def perform(request: Request, verbose: bool) -> None:
    """Run Snakemake, and say what was found and where the report is."""
    carry_out(request, verbose)
    if is_whole(request) and not request.dry_run:
        say(*found(request.results), f"Report: {request.results / PAGE}")
    elif not request.dry_run:
        say(f"Results: {request.results}")


def is_whole(request: Request) -> bool:
    """Return whether all that belongs to a run is asked for."""
    return not request.targets or not {"all", str(request.results / PAGE)}.isdisjoint(request.targets)
