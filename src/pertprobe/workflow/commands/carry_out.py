"""Carry out a request: run Snakemake, keep what it says, show how far it is, and say how it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pertprobe.workflow.commands.app import errors
from pertprobe.workflow.commands.child import run_snakemake
from pertprobe.workflow.commands.ending import judge, tell
from pertprobe.workflow.commands.heard import Heard
from pertprobe.workflow.commands.keeping import Log
from pertprobe.workflow.commands.pace import in_words
from pertprobe.workflow.commands.progress import shown
from pertprobe.workflow.commands.request import Request
from pertprobe.workflow.commands.words import say

LOG = Path("logs") / "snakemake.log"
"""Below the results of a run: all that Snakemake said."""


def carry_out(request: Request, verbose: bool = False) -> Heard:
    """Run Snakemake and return what it said.

    Raises PertprobeError where it could not begin, and typer.Exit where jobs failed or it was stopped; what is to be
    said of that is said.
    """
    heard, log = Heard(), Log(None if request.dry_run else request.results / LOG)
    errors.print(f"$ {request.in_words}", style="dim", markup=False)
    began = heard.clock()
    with _looking(heard, verbose) as look:

        def hear(line: str) -> None:
            """Take in, keep and show one line of Snakemake's."""
            heard.hear(line)
            log.write(line, planned=bool(heard.total))
            look(line)

        ended = run_snakemake(request.arguments, hear)
    log.close()
    judge(ended, heard, log.path if log.file else None)
    _close(request, heard, in_words(heard.clock() - began))
    return heard


@contextmanager
def _looking(heard: Heard, verbose: bool) -> Iterator[Callable[[str], None]]:
    """Yield what is called with each line once it is heard: it shows the line, or how far the run is."""
    if verbose:
        yield lambda line: errors.out(line, end="", highlight=False)
        return
    with shown(heard, errors) as look:
        yield lambda line: look()


def _close(request: Request, heard: Heard, time: str) -> None:
    """Say what was done, or would be, and which results were damaged."""
    tell(*heard.damaged)
    if request.dry_run:
        counts = ", ".join(f"{stage} {pace.planned}" for stage, pace in heard.paces.items())
        say(f"{heard.total} jobs to do: {counts}." if heard.total else "Nothing to do: all is there.")
    else:
        tell(f"{heard.done} jobs done in {time}." if heard.total else "Nothing to do: all is there.")
