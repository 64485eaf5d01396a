"""`pertprobe figures`: draws again without measuring."""

from pertprobe.errors import PertprobeError, listed
from pertprobe.workflow.commands.app import command
from pertprobe.workflow.commands.carry_out import carry_out
from pertprobe.workflow.commands.ending import MissingFiles
from pertprobe.workflow.commands.request import Request
from pertprobe.workflow.commands.run import Configs, Cores, Verbose
from pertprobe.workflow.commands.stages import FIGURES, RULES, VERDICTS
from pertprobe.workflow.commands.words import say


@command
def figures(config: Configs, cores: Cores = None, verbose: Verbose = False) -> None:
    """Draw all figures again, and judge again if thresholds changed. Nothing is measured or tested.

    The report shows the new figures once it is made again: `pertprobe report`.
    """
    request = redrawing(config, cores)
    try:
        carry_out(request, verbose)
    except MissingFiles as error:
        configs = " ".join(f"--config {path}" for path in config)
        raise PertprobeError(
            f"no figure was drawn: what they are drawn from is not there (first missing: {listed(error.files, 3)}). "
            f"Measure first: pertprobe run {configs}"
        ) from None
    say(f"Figures: {request.results / 'figures'}")


def redrawing(config: Configs, cores: int | None) -> Request:
    """Return the request that draws every figure anew, and may judge anew, but neither measure nor test."""
    allowed = [*RULES[VERDICTS], *FIGURES, "figures"]
    further = ["--allowed-rules", *allowed, "--forcerun", *FIGURES]
    return Request(config, ["figures"], cores, further=further)
