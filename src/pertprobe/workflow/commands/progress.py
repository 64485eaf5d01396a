"""A line per stage while Snakemake runs: bars on a terminal, plain lines now and then where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pertprobe.errors import number_of
from pertprobe.workflow.commands.heard import Heard
from pertprobe.workflow.commands.pace import Pace, in_words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task

EVERY = 30.0
"""Seconds between plain lines at least, but for those that say that a stage is done."""
PLANNING = "reading the config, planning the jobs"


@contextmanager
def shown(heard: Heard, console: "Console") -> Iterator[Callable[[], None]]:
    """Yield what is to be called after each line of Snakemake's; it shows how far each stage is."""
    if not console.is_terminal:
        console.print(PLANNING + " ...")
        yield PlainLines(heard, lambda line: console.print(line, markup=False)).look
        return
    with _bars(heard, console) as progress:
        bars = Bars(heard, progress)
        yield bars.look
        bars.end()


def said(pace: Pace, now: float) -> str:
    """Return how far a stage is: jobs done of all, their rate, and the time left."""
    if pace.done >= pace.planned:
        return f"{number_of(pace.done, 'job')} in {in_words(pace.seconds(now))}"
    counts = f"{pace.done} of {number_of(pace.planned, 'job')}"
    return ", ".join([counts, *(each for each in (rate(pace, now), left(pace, now)) if each)])


def rate(pace: Pace, now: float) -> str:
    """Return jobs a minute, or an hour where they are fewer than one; empty where none is done."""
    per_minute = pace.rate(now)
    if per_minute is None:
        return ""
    return f"{per_minute:.0f} a minute" if per_minute >= 1 else f"{60 * per_minute:.0f} an hour"


def left(pace: Pace, now: float) -> str:
    """Return the time left in words; empty where it is not known."""
    seconds = pace.left(now)
    return "" if seconds is None else f"about {in_words(seconds)} left"


class PlainLines:
    """Lines for a log: now and then, and when a stage is done."""

    def __init__(self, heard: Heard, write: Callable[[str], None]) -> None:
        """Say what is heard by `write`, which takes a line."""
        self.heard, self.write = heard, write
        self.last, self.finished = heard.clock(), set[str]()
        self.plan = ""

    def look(self) -> None:
        """Write the lines that are due."""
        if self.heard.total and not self.plan:
            self.plan = f"{number_of(self.heard.total, 'job')} to do"
            self.write(self.plan)
        now = self.heard.clock()
        due = now - self.last >= EVERY
        for stage, pace in self.heard.paces.items():
            ended = pace.planned and pace.done >= pace.planned and stage not in self.finished
            if ended or (due and pace.running):
                self.write(f"{stage}: {said(pace, now)}")
            if ended:
                self.finished.add(stage)
        self.last = now if due else self.last


class Bars:
    """A bar per stage, in the order of a run."""

    def __init__(self, heard: Heard, progress: "Progress") -> None:
        """Show what is heard in `progress`, which knows no stage yet."""
        self.heard, self.progress = heard, progress
        self.waiting = progress.add_task(PLANNING, total=None, pace=None)
        self.tasks: dict[str, int] = {}

    def end(self) -> None:
        """Take away what says that there is no plan yet, if it is there."""
        self.progress.update(self.waiting, visible=False)

    def look(self) -> None:
        """Bring the bars up to date."""
        if self.heard.total and not self.tasks:
            self.end()
            for stage, pace in self.heard.paces.items():
                self.tasks[stage] = self.progress.add_task(stage, total=pace.planned, pace=pace)
        for stage, task in self.tasks.items():
            self.progress.update(task, completed=self.heard.paces[stage].done)


def _bars(heard: Heard, console: "Console") -> "Progress":
    from rich.console import RenderableType
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn
    from rich.text import Text

    class Said(ProgressColumn):
        """Counts, rate and time left, anew at every drawing: time passes though no job ends."""

        def render(self, task: "Task") -> Text:
            """Return the words of one stage."""
            pace = task.fields["pace"]
            if pace is None:
                return Text("")
            return Text(said(pace, heard.clock()), style="default" if pace.running else "dim")

    class Mark(SpinnerColumn):
        """What turns while a stage runs, and a tick when it is done; nothing where it waits."""

        def render(self, task: "Task") -> RenderableType:
            """Return the mark of one stage."""
            pace = task.fields["pace"]
            waits = pace is not None and not pace.running and not task.finished
            return Text(" ") if waits else super().render(task)

    columns = Mark(finished_text="[green]✓"), TextColumn("{task.description}"), BarColumn(bar_width=24), Said()
    return Progress(*columns, console=console, refresh_per_second=2)
