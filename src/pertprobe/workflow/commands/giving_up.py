"""A request carried out to its end: a job that fails costs its own cell of the tables, and all else goes on.

What such a job would have said is "not evaluable", with the error and the place of its log. The next run tries again:
that it was given up is a param of the job, and a changed param is a reason for Snakemake to run it.
"""

from dataclasses import replace
from pathlib import Path

from pertprobe.files import atomic
from pertprobe.workflow.commands.carry_out import carry_out
from pertprobe.workflow.commands.ending import JobsFailed, tell
from pertprobe.workflow.commands.failures import MISTAKE, words_of
from pertprobe.workflow.commands.heard import Job
from pertprobe.workflow.commands.request import Request

OWN_CELL = ("measure", "measure_derived", "test", "compare", "draw")
"""Rules whose jobs belong to one probe: others read them, and can do without."""
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

    Raises what `carry_out` does, where a job fails on which others depend, or one that was given up already.
    """
    given_up: dict[str, str] = {}
    attempt = replace(request, further=[*dict.fromkeys([*request.further, KEEP_GOING])])
    while True:
        try:
            carry_out(attempt, verbose)
            return given_up
        except JobsFailed as failed:
            jobs = failed.heard.failed.values()
            found = {job_of(job, request.results): why(job) for job in jobs if costs_its_own_cell(job)}
            if len(found) < len(jobs) or found.keys() & given_up.keys():
                raise
        given_up |= found
        _keep(given_up, request.results / KEPT)
        tell("Going on without them: what they would have said is not evaluable. The next run tries them again.")
        attempt = replace(attempt, configs=[*request.configs, request.results / KEPT])


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
