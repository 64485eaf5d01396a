"""How a run ended: what is said where it did not end well, and the exit status."""

import re
from collections.abc import Sequence
from pathlib import Path

import typer

from pertprobe.errors import PertprobeError, listed, meant
from pertprobe.workflow.commands.app import FAILED, errors
from pertprobe.workflow.commands.child import Ended
from pertprobe.workflow.commands.failures import failures
from pertprobe.workflow.commands.heard import WRONG_ARGUMENTS, Heard
from pertprobe.workflow.commands.stages import TARGETS

BY_SIGNAL = 128
"""Exit status of a command that a signal ended, less the signal's number, as shells have it."""
MISSING, LOCKED, UNKNOWN = "MissingInputException", "LockException", "MissingRuleException"
"""Errors of Snakemake's whose remedy is known."""
AFFECTED = "affected files:"
"""Heading of the files that one of them names."""

NOTHING_MAKES = re.compile(r"No rule to produce (.+?)(?: \(if you use input functions|$)")


class MissingFiles(PertprobeError):
    """Files that are needed and that no rule makes."""

    def __init__(self, text: str, files: Sequence[str]) -> None:
        """Keep the files beside the text."""
        super().__init__(text)
        self.files = files


class JobsFailed(typer.Exit):
    """Jobs failed, and what is to be said of that is said."""

    def __init__(self, heard: Heard) -> None:
        """Keep what was heard beside the exit status."""
        super().__init__(FAILED)
        self.heard = heard


def judge(ended: Ended, heard: Heard, log: Path | None) -> None:
    """Return where all went well; else say what did not, and raise what ends the command.

    Args:
        ended: how Snakemake ended.
        heard: what it said.
        log: where all of that is kept; None where it is not.
    """
    if ended.stopped:
        tell("Stopped, as you asked.", *_kept(heard, log))
        raise typer.Exit(BY_SIGNAL + ended.stopped)
    if heard.failed:
        tell(*failures(heard), *_kept(heard, log), style="red")
        raise JobsFailed(heard)
    if ended.status and not heard.begun:
        raise _fault(heard)
    if ended.status:
        tell("Snakemake ended early.", *heard.fault, *_kept(heard, log), style="red")
        raise typer.Exit(FAILED)


def _fault(heard: Heard) -> PertprobeError:
    """Return the error that came before any job, in Snakemake's words, with the remedy where it is known."""
    if heard.kind == MISSING:
        files = [line.strip() for line in _after(heard.fault, AFFECTED)]
        return MissingFiles(f"files are needed that are not there, and that no rule makes: {listed(files)}", files)
    text = "\n".join(heard.fault).strip() or "Snakemake ended without a word. Try --verbose."
    if heard.kind == UNKNOWN and (found := NOTHING_MAKES.match(text)):
        return unmade(found[1])
    if heard.kind == WRONG_ARGUMENTS:
        text = f"Snakemake's arguments, behind --: {text}"
    if heard.kind == LOCKED:
        text = f"{text.partition('If you are sure')[0]}If none does, put `-- --unlock` behind this command, once."
    return PertprobeError(text)


def unmade(target: str) -> PertprobeError:
    """Return the error for a target that nothing makes."""
    from pertprobe.probes.declaration import probe_names

    known = [*TARGETS, *probe_names()]
    what = f"a probe of the config, {', '.join(TARGETS)}, or a file below the results of the run"
    return PertprobeError(f"target '{target}': nothing makes it. Give {what}.{meant(target, known)}")


def _after(lines: list[str], heading: str) -> list[str]:
    """Return the lines behind a heading; all where there is none."""
    places = [i for i, line in enumerate(lines) if line.strip() == heading]
    return lines[places[0] + 1 :] if places else lines


def _kept(heard: Heard, log: Path | None) -> list[str]:
    """Say what is done and kept, and where all that Snakemake said lies."""
    kept = f"{heard.done} of {heard.total} jobs are done and kept: the same command goes on from there."
    return [kept] * bool(heard.total) + [f"All that Snakemake said: {log}"] * bool(log)


def tell(*lines: str, style: str = "") -> None:
    """Write lines to standard error, the first in a style."""
    for i, line in enumerate(lines):
        errors.print(line, markup=False, style=style if i == 0 else "")
