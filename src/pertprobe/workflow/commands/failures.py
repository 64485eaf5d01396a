"""What failed, in words: the rule, what of, the end of its log without traceback, and where the log lies."""

from collections.abc import Iterator
from pathlib import Path

from pertprobe.errors import number_of
from pertprobe.workflow.commands.heard import Heard, Job

MISTAKE = "Error: "
"""Beginning of what a job says where the mistake is the user's; all that follows belongs to it."""
TRACEBACK = "Traceback (most recent call last):"
LINES = 12
"""Lines of a log that are shown."""
WIDTH = 300
"""Characters of a line that are shown."""
MOST = 5
"""Jobs, and different last words of jobs, that are told of one by one."""
KILLED = "killed by SIGKILL"


def failures(heard: Heard) -> Iterator[str]:
    """Yield the lines about all jobs that failed; what several say alike is said once."""
    failed = list(heard.failed.values())
    by_words: dict[tuple[str, ...], list[Job]] = {}
    for job in failed:
        by_words.setdefault(words_of(job), []).append(job)
    yield f"{number_of(len(failed), 'job')} failed:"
    for words, jobs in list(by_words.items())[:MOST]:
        yield from _told(jobs, words)
    if len(by_words) > MOST:
        yield f"  and others, {len(by_words) - MOST} with other words"


def _told(jobs: list[Job], words: tuple[str, ...]) -> Iterator[str]:
    for job in jobs[:MOST]:
        yield f"  {job.rule}{f' ({job.wildcards})' if job.wildcards else ''}"
    if len(jobs) > MOST:
        yield f"  and {len(jobs) - MOST} more"
    yield from (f"    {line}" for line in words)
    if logs := [job.log for job in jobs[:MOST] if job.log]:
        yield f"    The whole log: {', '.join(logs)}"


def words_of(job: Job) -> tuple[str, ...]:
    """Return the last words of a job, long lines cut; how it ended, where there are none."""
    last = last_words(Path(job.log.split(", ")[0])) if job.log else []
    return tuple(line if len(line) <= WIDTH else line[:WIDTH] + " ..." for line in last) or (_without_words(job),)


def _without_words(job: Job) -> str:
    """Say how a job ended that wrote nothing."""
    if job.how == KILLED:
        return "killed by the system, as it does when memory runs out. Give fewer --cores or a machine with more."
    return f"It wrote nothing ({job.how})." if job.how else "It wrote nothing."


def last_words(log: Path) -> list[str]:
    """Return the end of a log in plain words: the user's mistake, what was raised, or its last lines."""
    if not log.is_file():
        return []
    lines = [line.rstrip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    mistakes = [i for i, line in enumerate(lines) if line.startswith(MISTAKE)]
    if mistakes:
        return lines[mistakes[-1] :][:LINES]
    if TRACEBACK in lines:
        return _raised(lines)[:LINES]
    return lines[-3:]


def _raised(lines: list[str]) -> list[str]:
    """Return what was raised last: the lines behind the frames of the last traceback."""
    after = lines[max(i for i, line in enumerate(lines) if line == TRACEBACK) + 1 :]
    first = next((i for i, line in enumerate(after) if not line.startswith(" ")), len(after))
    return after[first:]
