"""`pertprobe run`: the workflow on a config, with what was found at the end."""

from pathlib import Path
from typing import Annotated

import typer

from pertprobe.workflow.commands.app import command
from pertprobe.workflow.commands.carry_out import carry_out
from pertprobe.workflow.commands.found import found
from pertprobe.workflow.commands.request import Request, split
from pertprobe.workflow.commands.words import say

PAGE = "report.html"
"""The report, below the results of a run."""
Configs = Annotated[
    list[Path],
    typer.Option("--config", "-c", metavar="FILE", help="Config of the run. Give it again to merge; later ones win."),
]
Cores = Annotated[
    int | None, typer.Option("--cores", min=1, help="Jobs at a time. All cores of the machine if not given.")
]
Profile = Annotated[
    str,
    typer.Option("--profile", help="default, gpu, slurm, kubernetes, or a folder: where jobs run.", show_default=False),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show all that Snakemake says.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the config and count the jobs; run none.")]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGETS",
        help="Probes or files to make; all if none is given. What follows -- is passed on to Snakemake as it is.",
        show_default=False,
    ),
]


@command
def run(
    config: Configs,
    words: Words = None,
    cores: Cores = None,
    profile: Profile = "",
    verbose: Verbose = False,
    dry_run: DryRun = False,
) -> None:
    """Run the workflow: measure, test, judge, draw, and write the report.

    Results go to results/NAME OF THE RUN in the current folder; relative paths in the config are relative to it too. A
    run that was stopped goes on where it was: give the same command again.

    Ends with 0; 1 where the config is wrong; 3 where jobs failed.
    """
    targets, further = split(words)
    perform(Request(config, targets, cores, profile, dry_run, further), verbose)


def perform(request: Request, verbose: bool) -> None:
    """Run Snakemake, and say what was found and where the report is."""
    results = request.results
    carry_out(request, verbose)
    whole = not request.targets or not {"all", str(results / PAGE)}.isdisjoint(request.targets)
    if whole and not request.dry_run:
        say(*found(results), f"Report: {results / PAGE}")
    elif not request.dry_run:
        say(f"Results: {results}")
