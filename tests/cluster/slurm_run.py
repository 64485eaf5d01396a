"""A run of the tiny demo through sbatch, and what Slurm says of its jobs."""

import re
import subprocess
from datetime import datetime
from typing import NamedTuple

from workflow_project import Project, tiny

SUBMITTED = re.compile(r"SLURM jobid (\d+) \(log: .*/slurm_logs/(\S+)/\d+\.log\)")
RECORD = re.compile(r"^JobId=(\d+) .*$", re.MULTILINE)
FIELD = re.compile(r"(\w+)=(\S*)")
HUNGRY = "inputs/cells/line_b.h5ad"
BROKEN = "pert_embedding/shards/b_fewshot/1-of-2.nc"
FAULTY = {"PERTPROBE_TEST_HUNGRY": HUNGRY, "PERTPROBE_TEST_BROKEN": BROKEN}
FAULTS = """
import os

def faulty(source, target, *, replace=os.replace, **options):
    name = os.fspath(target)
    if name.endswith(os.environ["PERTPROBE_TEST_HUNGRY"]):
        import time
        held = b"x" * (2600 * 1024**2)
        time.sleep(8)
    if name.endswith(os.environ["PERTPROBE_TEST_BROKEN"]):
        raise OSError("broken for a test")
    return replace(source, target, **options)

if "PERTPROBE_TEST_HUNGRY" in os.environ:
    os.replace = faulty
"""
"""Python reads sitecustomize.py when it starts: one job needs more memory than it first asks for, another fails."""
OF_THIS_NODE = (
    *("--cores", "2"),
    *("--slurm-status-command", "squeue"),  # there is no accounting
    *("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "5"),
)
"""What the profile cannot know of a node of two cores."""


class Job(NamedTuple):
    """What Slurm has to say of one finished job."""

    name: str
    """Of its rule or group, with its wildcards."""
    state: str
    """COMPLETED, FAILED, ..."""
    signal: int
    """That ended its step; 9 = killed."""
    memory: int
    """Asked for, MB."""
    minutes: int
    """Asked for."""
    gpus: int
    """Asked for."""
    start: datetime
    """When it began."""
    end: datetime
    """When it ended."""


class Run(NamedTuple):
    """A run that has ended."""

    status: int
    """Of Snakemake; 0 = all is made."""
    said: str
    """By Snakemake."""
    jobs: list[Job]
    """In the order of submission."""

    def of(self, name: str) -> list[Job]:
        """Return the jobs whose names begin so."""
        return [job for job in self.jobs if job.name.startswith(name)]


def run(project: Project, environment: dict[str, str] | None = None) -> Run:
    """Run the tiny demo in two shards with the Slurm profile."""
    arguments = ("--workflow-profile", "profiles/slurm", *OF_THIS_NODE, "--", "all", "pert_embedding")
    status, said = project.run(*arguments, config=tiny() | {"shards": 2}, environment=environment)
    return Run(status, said, jobs(said))


def jobs(said: str) -> list[Job]:
    """Return what became of every job that Snakemake says it submitted."""
    known = subprocess.check_output(["scontrol", "--details", "--oneliner", "show", "jobs"], text=True)
    records = {match.group(1): match.group() for match in RECORD.finditer(known)}
    return [job(name, records[number]) for number, name in SUBMITTED.findall(said)]


def job(name: str, record: str) -> Job:
    """Read the line that Slurm has of a finished job."""
    fields = dict(FIELD.findall(record))
    days, _, clock = fields["TimeLimit"].rpartition("-")
    hours, minutes, _ = map(int, clock.split(":"))
    return Job(
        name,
        fields["JobState"],
        signal=int(fields["DerivedExitCode"].split(":")[1]),
        memory=int(re.search(r"[=,]mem=(\d+)M", record).group(1)),
        minutes=1440 * int(days or 0) + 60 * hours + minutes,
        gpus=int(fields.get("TresPerJob", "gpu:0").rpartition(":")[2]),
        start=datetime.fromisoformat(fields["StartTime"]),
        end=datetime.fromisoformat(fields["EndTime"]),
    )
