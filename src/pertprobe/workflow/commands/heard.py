"""What Snakemake says, line by line -> what is planned, what runs, what is done, what failed.

Read tolerantly: a line that is not known here changes nothing. The forms are those of Snakemake 9.27.
"""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pertprobe.workflow.commands.pace import Pace
from pertprobe.workflow.commands.stages import OTHER, STAGES, stage_of

PLAN = re.compile(r"^Job stats:$")
COUNT = re.compile(r"^(\w+) +(\d+)$")
JOB = re.compile(r"^ *(?:local)?(?:rule|checkpoint) (\w+):$")
ERROR = re.compile(r"^ *Error in rule (\w+)(?:,.*)?:$")
GROUP = re.compile(r"^ {4}jobs:$")
"""Above the jobs of a group that failed."""
ENTRY = re.compile(r"^ +(jobid|log|wildcards): (.+)$")
FINISHED = re.compile(r"^Finished jobid: (\d+) \(Rule: (\w+)\)$")
AGAIN = re.compile(r"^Trying to restart job (\d+)\.$")
HOW = re.compile(r"^Command .* (?:(returned non-zero exit status \d+)|died with <Signals\.(\w+): \d+>)\.$")
FAULT = re.compile(r"^(\w*(?:Error|Exception))(?: in .*)?:$")
USAGE = re.compile(r"^\S+: error: (.+)$")
DAMAGED = re.compile(r"^(.+ damaged.+) It is made again, with all that was made of it\.$")
"""What rules/common.smk says of a result that is not as a job left it."""
IDLE = re.compile(r"^Nothing to be done")
OVER = re.compile(r"^(?:\[|Shutting down|Exiting because|Complete log|Will exit|Error in rule)")
"""What follows the text of a fault and is no part of it."""
TRACE = re.compile(r'^ +File ".*", line \d+')
OF_A_JOB = ("RuleException", "CalledProcessError")
"""Faults that the block of the failed job tells better."""
WRONG_ARGUMENTS = "usage"
"""Kind of the fault that Snakemake knows no such arguments."""
CHECKED = " (check log file(s) for error details)"


@dataclass
class Job:
    """A job that Snakemake has begun."""

    rule: str
    jobid: str = ""
    log: str = ""
    wildcards: str = ""
    how: str = ""
    """Of one that failed: the signal that killed it, or its exit status in words."""


@dataclass
class Heard:
    """All that was heard so far. `hear` takes one line."""

    clock: Callable[[], float] = time.monotonic
    planned: Counter[str] = field(default_factory=Counter)
    """Rule -> number of jobs."""
    jobs: dict[str, Job] = field(default_factory=dict)
    """jobid -> what was said when it began."""
    running: set[str] = field(default_factory=set)
    failed: dict[str, Job] = field(default_factory=dict)
    """jobid -> the job; one that is tried again is taken out."""
    fault: list[str] = field(default_factory=list)
    """Lines of an error that belongs to no job: a wrong config, a missing file."""
    kind: str = ""
    """What Snakemake calls that error."""
    idle: bool = False
    """Nothing was to be done."""
    damaged: list[str] = field(default_factory=list)
    """Results that are not as a job left them, in words."""
    paces: dict[str, Pace] = field(default_factory=dict)
    """Stage -> its counts; only those with jobs."""
    _reading: str = ""
    """What the lines that follow belong to: plan, job, error, group, fault, or nothing."""
    _block: Job = field(default_factory=lambda: Job(""))
    _how: str = ""

    @property
    def total(self) -> int:
        """Return the number of jobs that have work of their own."""
        return sum(pace.planned for pace in self.paces.values())

    @property
    def done(self) -> int:
        """Return how many of them have ended well."""
        return sum(pace.done for pace in self.paces.values())

    @property
    def begun(self) -> bool:
        """Return whether any job has begun."""
        return bool(self.jobs or self.failed)

    def hear(self, line: str) -> None:
        """Take in one line."""
        line = line.rstrip("\n")
        if self._in_block(line):
            return
        self._reading = ""
        if found := JOB.match(line):
            self._reading, self._block = "job", Job(found[1])
        elif found := ERROR.match(line):
            self._reading, self._block = "error", Job(found[1], how=self._how)
        elif found := FAULT.match(line):
            self._reading = "" if found[1] in OF_A_JOB else "fault"
            self.kind = found[1] if self._reading else self.kind
        else:
            self._single(line)

    def _in_block(self, line: str) -> bool:
        """Take in a line that belongs to what was begun; return whether it does."""
        if self._reading == "plan":
            return self._count(line)
        if self._reading in ("job", "error", "group"):
            return self._entry(line)
        if self._reading == "fault" and not OVER.match(line) and not FAULT.match(line):
            self.fault += [] if TRACE.match(line) else [line]
            return True
        return False

    def _count(self, line: str) -> bool:
        found = COUNT.match(line)
        if found and found[1] == "total":
            self._settle()
            return False
        if found:
            self.planned[found[1]] = int(found[2])
        return bool(found) or line.startswith(("job ", "---"))

    def _settle(self) -> None:
        """Sum the plan by stages, in the order of a run."""
        counts: Counter[str] = Counter()
        for rule, count in self.planned.items():
            counts[stage_of(rule)] += count
        for stage in (*STAGES, OTHER):
            if counts[stage]:
                self.paces.setdefault(stage, Pace()).planned = counts[stage]

    def _entry(self, line: str) -> bool:
        if self._reading == "group" and (found := JOB.match(line)):
            self._block = Job(found[1], how=self._how)
        elif found := ENTRY.match(line):
            setattr(self._block, found[1], found[2].removesuffix(CHECKED))
            if found[1] == "jobid":
                self._known()
        return line.startswith("    ")

    def _known(self) -> None:
        """Put a job, begun or failed, where its number says."""
        job = self._block
        if self._reading == "job":
            self.jobs[job.jobid] = job
            self._begin(job)
            return
        job.wildcards = self.jobs[job.jobid].wildcards if job.jobid in self.jobs else ""
        self.failed[job.jobid] = job
        self._how = ""
        self._end(job.jobid, job.rule, well=False)

    def _begin(self, job: Job) -> None:
        stage = stage_of(job.rule)
        if stage and job.jobid not in self.running:
            self.running.add(job.jobid)
            self.paces.setdefault(stage, Pace()).start(self.clock())

    def _end(self, jobid: str, rule: str, well: bool) -> None:
        if stage := stage_of(rule):
            self.paces.setdefault(stage, Pace()).end(self.clock(), well)
        self.running.discard(jobid)

    def _single(self, line: str) -> None:
        """Take in a line that says something by itself."""
        if PLAN.match(line):
            self._reading = "plan"
        elif GROUP.match(line):
            self._reading = "group"
        elif found := FINISHED.match(line):
            self._end(found[1], found[2], well=True)
        elif found := AGAIN.match(line):
            self.failed.pop(found[1], None)
        elif found := HOW.match(line):
            self._how = found[1] or f"killed by {found[2]}"
        elif found := USAGE.match(line):
            self.kind, self.fault = WRONG_ARGUMENTS, [found[1]]
        elif DAMAGED.match(line):
            self.damaged.append(line)
        elif IDLE.match(line):
            self.idle = True
