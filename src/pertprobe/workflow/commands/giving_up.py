"""A request carried out to its end: a job that fails costs its own cell of the tables, and all else goes on.

What such a job would have said is "not evaluable", with the error and the place of its log; where all that is asked of
a model depends on the job, the run goes on without the model. The next run tries again: that a job was given up is a
param of it, and a changed param is a reason for Snakemake to run it.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from pertprobe.errors import PertprobeError, listed
from pertprobe.files import atomic
from pertprobe.workflow.commands.carry_out import carry_out
from pertprobe.workflow.commands.ending import JobsFailed, tell
from pertprobe.workflow.commands.failures import MISTAKE, words_of
from pertprobe.workflow.commands.heard import Job
from pertprobe.workflow.commands.request import Request
from pertprobe.workflow.left_out import model_of

OWN_CELL = ("measure", "measure_derived", "test", "compare", "draw")
"""Rules whose jobs belong to one probe: others read them, and can do without."""
FIRST = ("train/", "seen/")
"""Beginnings of the names of jobs without which a model is not there, or cannot be read."""
TABLES = "tabulate_"
"""Beginning of the names of the rules of further tables, which do too."""
KEPT = Path("logs") / "given_up.yaml"
"""Below the results of a run: the config of its last part, job -> why it was given up."""
KEEP_GOING = "--keep-going"
"""Snakemake's own: one job that fails stops none that does without it."""
MOST = 200
"""Characters of an error that a table shows."""


def carry_through(request: Request, verbose: bool = False) -> dict[str, str]:
    """Carry out a request, as often as jobs fail that it can do without; return each of these and why it failed.

    Raises what `carry_out` does, where a job fails that belongs to no probe and no model, or one that was given up
    already, or where nothing can be asked without the models that failed.
    """
    given_up: dict[str, str] = {}
    attempt = replace(request, further=[*dict.fromkeys([*request.further, KEEP_GOING])])
    failure: JobsFailed | None = None
    while True:
        try:
            carry_out(attempt, verbose)
            return given_up
        except JobsFailed as failed:
            failure, found = failed, _done_without(failed.heard.failed.values(), request.results)
            if not found or found.keys() & given_up.keys():
                raise
        except PertprobeError as error:
            if failure is None:
                raise
            tell(f"Nothing can be asked without them: {error}", style="red")
            raise failure from error
        given_up |= found
        _keep(given_up, request.results / KEPT)
        tell(f"{_without(found)} The next run tries again.")
        attempt = replace(attempt, configs=[*request.configs, request.results / KEPT])


def _done_without(failed: Collection[Job], results: Path) -> dict[str, str]:
    """Return the jobs that a run can do without, and why each failed; none where one failed that it cannot.

    A card is read from all models: it says nothing about its own where another cannot be made or read.
    """
    jobs = [job for job in failed if job.log]
    named = {job_of(job, results): job for job in jobs}
    if len(jobs) < len(failed) or not all(model_of(name) or costs_its_own_cell(named[name]) for name in named):
        return {}
    first = {name for name in named if name.startswith(FIRST)}
    return {name: why(job) for name, job in named.items() if name in first or not (first and model_of(name))}


def _without(found: Iterable[str]) -> str:
    """Say what a run goes on without."""
    models = list(dict.fromkeys(filter(None, map(model_of, found))))
    if not models:
        return "Going on without them: what they would have said is not evaluable."
    them = "it" if len(models) == 1 else "them"
    return f"Going on without {listed(models)}: nothing can be asked of {them}."


def _keep(given_up: dict[str, str], path: Path) -> None:
    """Write the config of what goes on without these jobs."""
    import yaml  # help is shown without it

    with atomic(path) as temporary:
        temporary.write_text(yaml.safe_dump({"given_up": given_up}, allow_unicode=True), encoding="utf-8")


def costs_its_own_cell(job: Job) -> bool:
    """Return whether a job belongs to one probe, so that all others can be asked without it."""
    from pertprobe.probes.declaration import SPACE_OF_RESPONSES

    of_a_probe = job.rule in OWN_CELL or job.rule.startswith(TABLES)
    return of_a_probe and bool(job.log) and SPACE_OF_RESPONSES not in Path(job.log).parts  # which all probes read


def job_of(job: Job, results: Path) -> str:
    """Return the name of a job, which is that of its log."""
    return Path(job.log).relative_to(results / "logs").with_suffix("").as_posix()


def why(job: Job) -> str:
    """Return why a job failed, as tables show it: its last words in one line, and where its log lies."""
    words = " ".join(" ".join(words_of(job)).split()).removeprefix(MISTAKE).rstrip(".")
    return f"failed: {words if len(words) <= MOST else words[:MOST] + ' ...'} ({job.log})"
