"""All that can be said of a run before it runs, put together, in words and numbers that a machine can read too."""

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from pertprobe.errors import number_of
from pertprobe.stages.reasons import commonest
from pertprobe.workflow.prospects.answers import Reach, answers
from pertprobe.workflow.prospects.askable import Known, askable, known
from pertprobe.workflow.prospects.cost import Cost, cost
from pertprobe.workflow.prospects.reachable import summary, with_power
from pertprobe.workflow.prospects.remedies import remedies

if TYPE_CHECKING:
    from pertprobe.workflow.checks import Inputs
    from pertprobe.workflow.parts_of_config import Config


class Asked(NamedTuple):
    """What can be asked of one model, or of one pair, by one probe."""

    probe: str
    model: str
    asked: int
    """Programs of which the question can be put."""
    programs: int
    """All programs (of probes of panels: the panels of each, and programs without one)."""
    d_low: float | None
    """Smallest effect that is found, of the largest program; None: not known before a run, or never."""
    d_high: float | None
    """The same of the smallest program."""
    unreachable: int
    """Programs that can be asked and whose q can never meet the threshold."""
    only_together: int
    """Programs whose q can meet it only if other programs of the probe are found too."""
    why_not: tuple[tuple[str, int], ...]
    """(reason, programs), the commonest first."""


class Prospect(NamedTuple):
    """What a run will be able to ask."""

    questions: tuple[Asked, ...]
    answers: tuple[Reach, ...]
    cost: Cost
    remedies: tuple[str, ...]
    notes: tuple[str, ...]
    made: tuple[str, ...]
    """Inputs that the run makes itself, of which nothing is known yet."""
    power_d: float
    power: float
    probes: int
    """Probes of the config."""
    models: int
    """Models of the config."""

    @property
    def askable(self) -> int:
        """Return how many probes can ask anything."""
        return len({each.probe for each in self.questions if each.asked})

    @property
    def answerable(self) -> int:
        """Return of how many models an answer can be reached."""
        return sum(not each.missing for each in self.answers)

    @property
    def anything(self) -> bool:
        """Return whether anything can be asked, as far as is known."""
        return bool(self.askable or self.made)

    @property
    def conclusion(self) -> str:
        """Return the last word."""
        if self.made and not self.questions:
            return (
                f"No fault found. The run makes {', '.join(self.made)} itself: what can be asked is known after that."
            )
        later = (
            f" The run makes {', '.join(self.made)} itself: what these allow is known after that." if self.made else ""
        )
        return (
            f"{self.askable} of {number_of(self.probes, 'probe')} can be asked; an answer can be reached for "
            f"{self.answerable} of {number_of(len(self.answers), 'model')}.{later}"
        )


def prospect(config: "Config", inputs: "Inputs") -> Prospect:
    """Return what a checked config and its files will allow; inputs that the run makes itself are left out."""
    found, table = asked(config, inputs)
    made, table = _made(config, inputs), with_power(table, config) if found else table
    reached = answers(config, found) if found else []
    return Prospect(
        questions=tuple(_asked(str(probe), str(model), rows) for (probe, model), rows in _groups(table)),
        answers=tuple(reached),
        cost=cost(config, inputs, found, table),
        remedies=tuple(remedies(config, found, table, reached)) if found else (),
        notes=tuple(_notes(config, inputs)),
        made=tuple(made),
        power_d=config["power"]["d"],
        power=config["power"]["power"],
        probes=len(config["probes"]),
        models=len(config["models"]),
    )


def asked(config: "Config", inputs: "Inputs") -> tuple[Known | None, pd.DataFrame]:
    """Return what is known of a run's models, and what can be asked of each program (`askable`); None and no rows where
    the run makes its cells itself, or all its models."""
    if not _readable(config, inputs):
        return None, pd.DataFrame()
    found = known(config, inputs)
    return found, askable(config, found)


def _readable(config: "Config", inputs: "Inputs") -> bool:
    """Return whether there is a model and every program: of a run that simulates, there is not."""
    return bool(inputs.models) and "simulate" not in config


def _made(config: "Config", inputs: "Inputs") -> list[str]:
    """Return what the run makes itself, in words."""
    trained = [name for name in config["models"] if name not in inputs.models]
    cells = ["its cells and programs"] if "simulate" in config else []
    return cells + ([f"its models ({', '.join(trained)})"] if trained else [])


def _groups(table: pd.DataFrame) -> Any:
    return table.groupby(["probe", "model"], sort=False) if len(table) else ()


def _asked(probe: str, model: str, rows: pd.DataFrame) -> Asked:
    """Return what one probe can ask of one model."""
    why = tuple(commonest(rows.reason[~rows.enough]))
    return Asked(probe, model, int(rows.enough.sum()), len(rows), **summary(rows), why_not=why)


def _notes(config: "Config", inputs: "Inputs") -> list[str]:
    """Return what is worth knowing and no fault, each behind its key."""
    of_cells = [f"cells.{name}: {note}" for name, each in inputs.cells.items() for note in each.notes]
    of_models = [
        f"models.{name}: {note}"
        for name, model in inputs.models.items()
        for note in (*model.card.get("warnings", ()), *inputs.notes[name])
    ]
    of_sets = [f"programs: {note}" for note in inputs.programs.notes]
    of_sets += [f"regulons {name}: {note}" for name, each in inputs.regulons.items() for note in each["notes"]]
    chosen = [name for name, each in config["probes"].items() if isinstance((each or {}).get("genes"), int)]
    silenced = [f"{', '.join(chosen)}: which genes are silenced is known once cells are read; counts are at most"]
    return of_cells + of_models + of_sets + (silenced if chosen else [])
