"""`pertprobe run`: the workflow on a config, with what was found at the end."""

from pathlib import Path
from typing import Annotated

import typer

from pertprobe.workflow.commands.app import command
from pertprobe.workflow.commands.performing import perform
from pertprobe.workflow.commands.pilot import perform_pilot
from pertprobe.workflow.commands.request import Request, split
from pertprobe.workflow.commands.verifying import Verify, read_all_whole

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
Pilot = Annotated[
    bool,
    typer.Option("--pilot", help="All of it at a fraction that takes minutes, into results/NAME_pilot. No result."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the config and count the jobs; run none.")]
Strict = Annotated[bool, typer.Option("--strict", help="End at the first job that fails.")]
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
    pilot: Pilot = False,
    strict: Strict = False,
    verify: Verify = False,
) -> None:
    """Run the workflow: measure, test, judge, draw, and write the report.

    Results go to results/NAME OF THE RUN in the current folder; relative paths in the config are relative to it too. A
    run that was stopped goes on where it was: give the same command again.

    With --pilot everything is asked of few perturbations, in few cell sets, with few draws: it shows that the way to a
    result works, and what the whole run will cost. Results of the run itself are not touched.

    A job that fails costs its own cell of the tables, or its model: that is not evaluable, with the error, and all
    else goes on. The next run tries it again. With --strict the first failure ends the run.

    A given file that changed is noticed whatever its date, and a damaged result too; what depends on them is made anew.
    Large files are told by their times and a sample of blocks. With --verify all of each is read.

    Ends with 0; 1 where the config is wrong; 3 where jobs failed.
    """
    if verify:
        read_all_whole()
    targets, further = split(words)
    request = Request(config, targets, cores, profile, dry_run, further)
    perform_pilot(request, verbose) if pilot else perform(request, verbose, strict)
