"""What a run whose jobs start on this machine does before the first of them."""

from typing import Any

from pertprobe.workflow.warm import keep_warm


def ready_this_machine(workflow: Any) -> None:
    """Keep a Python with all libraries for the jobs, and let cores alone limit how many start.

    With its limit of starts a second, Snakemake asks every ready job anew a second after each start, and from then on
    every second, once more for every job that has ended. `workflow` is Snakemake's, whose scheduler is there by the
    time its handler `onstart` is called; jobs of a cluster keep the limit.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
        keep_warm()
