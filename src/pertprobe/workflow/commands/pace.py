"""How fast a stage goes: jobs done, seconds in which any of its jobs ran, and the time that the rest will take."""

from dataclasses import dataclass


@dataclass
class Pace:
    """Counts of one stage. Times are seconds of any clock that only goes forward."""

    planned: int = 0
    """Jobs in all."""
    done: int = 0
    """Jobs that have ended well."""
    running: int = 0
    """Jobs that run now."""
    busy: float = 0.0
    """Seconds in which at least one job ran, until the last time that none did."""
    since: float = 0.0
    """Since when at least one has run; means nothing where none runs."""

    def start(self, now: float) -> None:
        """Count a job that begins."""
        self.since = self.since if self.running else now
        self.running += 1

    def end(self, now: float, well: bool = True) -> None:
        """Count a job that has ended, well or not."""
        self.done += well
        self.busy = self.seconds(now) if self.running == 1 else self.busy
        self.running = max(0, self.running - 1)

    def seconds(self, now: float) -> float:
        """Return the seconds in which at least one job ran."""
        return self.busy + (now - self.since if self.running else 0)

    def left(self, now: float) -> float | None:
        """Return the seconds that the jobs to come will take at the rate so far; None where no job has ended."""
        todo = max(0, self.planned - self.done)
        return todo * self.seconds(now) / self.done if self.done else None

    def rate(self, now: float) -> float | None:
        """Return jobs per minute; None where none has ended, or in no time."""
        seconds = self.seconds(now)
        return 60 * self.done / seconds if self.done and seconds > 0 else None


def in_words(seconds: float) -> str:
    """Return a time as people say it: 45 s, 12 min, 3 h 20 min."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes))
