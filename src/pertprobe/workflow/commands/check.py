"""`pertprobe check`: every fault of a config and its files at once, then what can be asked, at what cost."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pertprobe.errors import PertprobeError, messages
from pertprobe.workflow.commands.app import WRONG, command, errors
from pertprobe.workflow.commands.reading import read
from pertprobe.workflow.commands.run import Configs
from pertprobe.workflow.commands.verifying import Verify, unlike
from pertprobe.workflow.commands.words import say

if TYPE_CHECKING:
    from pertprobe.workflow.prospects.cost import Cost
    from pertprobe.workflow.prospects.prospect import Prospect

ALL_AS_NOTED = "Every byte was read: no given file and no result differs from what was noted of it."
AsJson = Annotated[bool, typer.Option("--json", help="For machines: one JSON object, faults among it.")]


@command
def check(config: Configs, as_json: AsJson = False, verify: Verify = False) -> None:
    """Name every fault at once, then say what can be asked, at what power and cost. Runs nothing.

    What a run will cost is told from what the config asks and from a few seconds in which the models are timed; nearer,
    once there is a pilot (`run --pilot`).

    With --verify, what is no longer as it was when the run was made is named: given files, and results.

    Ends with status 0 where something can be asked, and 1 where there is a fault or nothing can be.
    """
    from pertprobe.workflow.commands.check_page import page

    try:
        with errors.status("reading models and cells, and timing models"):
            found = checked(config)
            differing = unlike(config) if verify else []
    except PertprobeError as error:
        if not as_json:
            raise
        print(json.dumps({"faults": messages(error)}, indent=2))
        raise typer.Exit(WRONG) from None
    if as_json:
        print(json.dumps(in_json(found) | ({"unlike": differing} if verify else {}), indent=2))
    else:
        page(found)
        say(*(differing or [ALL_AS_NOTED] * verify))
    raise typer.Exit(0 if found.anything else WRONG)


def checked(paths: list[Path]) -> "Prospect":
    """Return what the configs at these paths, merged, will allow; raises `Faults` of everything that is wrong."""
    found = read(paths)
    from pertprobe.workflow.prospects.prospect import prospect

    return prospect(*found)


def _cost(cost: "Cost") -> dict[str, Any]:
    """Return what is known of the cost, what is not as null."""
    told = cost.expected
    more = {"parts": dict(told.parts), "took": [each._asdict() for each in told.took]} if told else {}
    expected = told and told._asdict() | more
    return {**cost._asdict(), "expected": expected, "earlier": cost.earlier and cost.earlier._asdict()}


def in_json(found: "Prospect") -> dict[str, Any]:
    """Return what was found as a JSON object."""
    whole = found._asdict()
    questions = [{**each._asdict(), "why_not": dict(each.why_not)} for each in found.questions]
    answers = [each._asdict() for each in found.answers]
    more = {"questions": questions, "answers": answers, "cost": _cost(found.cost)}
    return {"faults": [], **whole, **more, "askable": found.askable, "answerable": found.answerable,
            "conclusion": found.conclusion}  # fmt: skip
