"""Lets a child process meet a fault, under limits of time and memory, and judges how it ended."""

import faulthandler
import json
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fault import Fault

from pertprobe.errors import PertprobeError

GOOD = "good"
OUTCOMES = {
    GOOD: "as expected, and before any long job",
    "late": "refused in words, but after job one",
    "noted": "should have been refused, and only a note says so",
    "silent": "nothing is said, or other content is read as if it were right",
    "unclear": "refused, but the message names neither file nor key nor value, or speaks Python",
    "refused": "valid, and refused",
    "needless": "nothing that is read has changed, and jobs run again",
    "traceback": "an error of Python",
    "executed": "code that the file holds was run",
    "crash": "a signal ended the process",
    "hang": "not ended within the time limit",
    "memory": "took more than the memory limit",
    "harness": "the case could not be made: a mistake of the harness, which counts for nothing",
}
"""Outcome -> what it means, best first."""
SECONDS = 10.0
"""Least time that a fault is given."""
TIMES = 15
"""How many times as long as the healthy project it may take, on a machine that is busy or slow."""
MEMORY = 2**30
"""Bytes that a fault may cost beyond what the process had before."""
UNCLEAR = ("Traceback", "NoneType", " object at 0x", "weights_only", "argument of type", "unhashable", "HDF5-DIAG")
"""Words of Python, and torch's advice to unpickle: nothing that a user can act upon."""
NO_MEMORY = ("allocate memory", "Unable to allocate", "MemoryError")
EXECUTED = "executed"
"""Folder that the code in hostile files makes, if it is run."""


class Readers(NamedTuple):
    """What meets the fault."""

    gate: Callable[[Path], list[str]]
    """All that is read before any long job; returns what it says."""
    use: Callable[[Path], str]
    """All that is read after it; returns a hash of the content."""


class Ended(NamedTuple):
    """How a child ended."""

    steps: dict[str, Any]
    """gate, use -> what they returned; error, message -> what they raised."""
    signal: int
    """That ended it, 0 where none did."""
    hung: bool
    memory: int
    """Bytes of its peak beyond what it began with."""


class Judged(NamedTuple):
    """The judgement of one fault."""

    name: str
    outcome: str
    words: str
    """What was said, in one line."""


class HarnessError(AssertionError):
    """The harness itself failed: no outcome of any reader."""


def judge_all(
    faults: Iterable[Fault], healthy: Path, readers: Readers, workers: int = 1, seconds: float | None = None
) -> Iterator[Judged]:
    """Yield the judgement of every fault, each met by a child of its own; `healthy` is never changed."""
    normal, took = _normal(healthy, readers)
    seconds = seconds or max(SECONDS, TIMES * took)
    waiting, running = list(faults)[::-1], {}
    with tempfile.TemporaryDirectory() as scratch:
        while waiting or running:
            while waiting and len(running) < workers:
                fault = waiting.pop()
                child = Child(Path(scratch) / str(len(waiting)), healthy, fault, readers)
                running[child] = fault
            for child in [each for each in running if each.over(seconds)]:
                yield judged(running.pop(child), child.ended, normal)
            time.sleep(0.004)


def _normal(healthy: Path, readers: Readers) -> tuple[dict[str, Any], float]:
    """Return what the healthy project gives, and the seconds it takes; raises HarnessError where it is not read."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        child = Child(Path(scratch) / "healthy", healthy, Fault("healthy/unchanged", lambda folder: None), readers)
        while not child.over(30 * SECONDS):
            time.sleep(0.01)
    if "use" not in child.ended.steps:
        raise HarnessError(f"the healthy project is not read: {child.ended}")
    return child.ended.steps, time.monotonic() - began


class Child:
    """A process that spoils a copy of the project and reads it."""

    def __init__(self, folder: Path, healthy: Path, fault: Fault, readers: Readers) -> None:
        """Start it."""
        self.folder, self.began, self.hung, self.ended = folder, time.monotonic(), False, None
        self.made = False
        folder.mkdir(parents=True)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                faulthandler.disable()  # pytest's would print the stack of a crash that is expected
                _meet(folder, healthy, fault, readers)
            finally:
                os._exit(0)

    def over(self, seconds: float) -> bool:
        """Return whether it has ended; kills it and its own children after so many seconds."""
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if not self.made and len(_lines(self.folder / "steps")) > 1:  # to make a fault may take longer than to meet it
            self.made, self.began = True, time.monotonic()
        if pid == 0 and time.monotonic() - self.began > seconds:
            self.hung = True
            os.killpg(self.pid, signal.SIGKILL)
            pid, status, used = os.wait4(self.pid, 0)
        if pid == 0:
            return False
        steps = [json.loads(line) for line in _lines(self.folder / "steps")]
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        told = {key: value for step in steps for key, value in step.items()}
        grown = max(0, 1024 * used.ru_maxrss - told.pop("held", 0))
        self.ended = Ended(told, ended, self.hung, grown)
        shutil.rmtree(self.folder, ignore_errors=True)
        return True


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _meet(folder: Path, healthy: Path, fault: Fault, readers: Readers) -> None:
    """Spoil a copy of the project, read it, and write down each step; in the child."""
    project = folder / "project"
    with open(folder / "steps", "w", buffering=1) as steps, open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)

        def tell(**step: Any) -> None:
            steps.write(json.dumps(step) + "\n")

        tell(held=_held())  # not what its parent holds: of the files that one has read a child begins with few pages
        try:
            shutil.copytree(healthy, project, symlinks=True)
            os.chdir(project)
            fault.make(project)
            tell(made=True)
        except BaseException:
            tell(harness=traceback.format_exc())
            return
        _limit_memory()
        try:
            _read(readers, tell)
        finally:
            if (project / EXECUTED).exists():
                tell(executed=True)


def _read(readers: Readers, tell: Callable[..., None]) -> None:
    """Let the readers meet the project in the working directory."""
    for step, read in (("gate", readers.gate), ("use", readers.use)):
        try:
            tell(**{step: read(Path("."))})
        except PertprobeError as error:
            return tell(refused=step, message=str(error))
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            return tell(raised=step, error=type(error).__name__, message=words[:2000])


def _held() -> int:
    """Return the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _limit_memory() -> None:
    """Let this process map half as much again as a fault may cost, beyond what it maps now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY + MEMORY // 2
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def judged(fault: Fault, ended: Ended, normal: dict[str, Any]) -> Judged:
    """Return the judgement of one fault; `normal` are the steps of the healthy project."""
    steps = ended.steps
    if "harness" in steps:
        return Judged(fault.name, "harness", steps["harness"])
    outcome = _violent(ended) or (_refused(fault, steps) if "refused" in steps else _accepted(fault, steps, normal))
    news = sorted(set(steps.get("gate", ())) - set(normal["gate"]))
    said = steps.get("message") or (f"signal {ended.signal}" if ended.signal else "; ".join(news))
    return Judged(fault.name, outcome, " ".join(said.split())[:300])


def _violent(ended: Ended) -> str:
    """Return the outcome of what did not end in words, or nothing."""
    if "executed" in ended.steps:
        return "executed"
    if ended.hung:
        return "hang"
    # A refusal that owes its words to the limit here is none where there is no limit.
    if any(words in ended.steps.get("message", "") for words in NO_MEMORY):
        return "memory"
    if ended.memory > MEMORY or ended.steps.get("error") == "MemoryError" or ended.signal == signal.SIGKILL:
        return "memory"
    if ended.signal:
        return "crash"
    if "raised" in ended.steps:
        return "traceback"
    # It ended by itself and said nothing of it: no reader may do that either.
    return "" if {"refused", "use"} & ended.steps.keys() else "crash"


def _refused(fault: Fault, steps: dict[str, Any]) -> str:
    if fault.expected == "read":
        return "refused"
    if steps["refused"] != "gate":
        return "late"
    return GOOD if is_clear(steps["message"], fault.mentions) else "unclear"


def is_clear(message: str, mentions: tuple[str, ...]) -> bool:
    """Return whether a message names what it is about, in words for people."""
    named = not mentions or any(word.lower() in message.lower() for word in mentions)
    return named and bool(message.strip()) and not any(word in message for word in UNCLEAR)


def _accepted(fault: Fault, steps: dict[str, Any], normal: dict[str, Any]) -> str:
    news = " ".join(sorted(set(steps["gate"]) - set(normal["gate"])))
    told = bool(news) and is_clear(news, fault.mentions)
    same = steps["use"] == normal["use"]
    if fault.expected == "any":
        return GOOD
    if fault.expected == "noted":
        return GOOD if told else "silent"
    if fault.expected in ("read", "either") and same:
        return GOOD
    return "noted" if told else "silent"
