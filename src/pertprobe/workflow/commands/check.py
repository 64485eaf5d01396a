"""`pertprobe check`: every fault of a config and its files at once, then what can be asked, at what cost."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pertprobe.errors import Faults, PertprobeError, gathering
from pertprobe.workflow.commands.app import WRONG, command, errors
from pertprobe.workflow.commands.place import workflow_folder
from pertprobe.workflow.commands.run import Configs

if TYPE_CHECKING:
    from pertprobe.workflow.prospects.prospect import Prospect

AsJson = Annotated[bool, typer.Option("--json", help="For machines: one JSON object, faults among it.")]


@command
def check(config: Configs, as_json: AsJson = False) -> None:
    """Name every fault at once, then say what can be asked, at what power and cost. Runs nothing.

    Ends with status 0 where something can be asked, and 1 where there is a fault or nothing can be.
    """
    from pertprobe.workflow.commands.check_page import page

    try:
        with errors.status("reading models and cells"):
            found = checked(config)
    except PertprobeError as error:
        if not as_json:
            raise
        print(json.dumps({"faults": list(getattr(error, "messages", (str(error),)))}, indent=2))
        raise typer.Exit(WRONG) from None
    print(json.dumps(in_json(found), indent=2)) if as_json else page(found)
    raise typer.Exit(0 if found.anything else WRONG)


def checked(paths: list[Path]) -> "Prospect":
    """Return what the configs at these paths, merged, will allow; raises `Faults` of everything that is wrong."""
    from pertprobe.workflow.checks import read_inputs
    from pertprobe.workflow.config import whole_schema
    from pertprobe.workflow.settled import read_configs, settled

    config, schema = read_configs(paths), whole_schema(workflow_folder() / "config" / "schema.yaml")
    try:
        whole = settled(config, schema)
    except PertprobeError as error:
        raise Faults([*getattr(error, "messages", (str(error),)), *_of_files(config, schema, error)]) from None
    from pertprobe.workflow.prospects.prospect import prospect

    return prospect(whole, read_inputs(whole))


NEEDED = "run", "cells", "models", "programs", "probes"
"""Sections without which no file is read; others are left out where they have faults."""


def _of_files(config: dict[str, Any], schema: dict[str, Any], known: PertprobeError) -> list[str]:
    """Return the faults of the files of a config that has faults itself, as far as it can be read."""
    from pertprobe.workflow.checks import read_inputs
    from pertprobe.workflow.settled import filled

    told, faults = getattr(known, "messages", ()), []
    broken = {_section(fault) for fault in told} & {*config}
    whole = {key: section for key, section in config.items() if key not in broken or key in NEEDED}
    whole |= {"run": "unnamed"} | ({"probes": {}} if "probes" in broken else {})
    try:
        with gathering(faults):
            read_inputs(filled(whole, schema))
    except (AttributeError, KeyError, TypeError):
        return ["config: its files were not all read. Mend the faults above, then check again"]
    of_files = ("cells", "models", "programs") if broken else {_section(fault) for fault in faults}
    return [fault for fault in faults if fault not in told and _section(fault) in of_files]


def _section(fault: str) -> str:
    """Return the section of the config that a fault is of."""
    return fault.partition(":")[0].partition(".")[0]


def in_json(found: "Prospect") -> dict[str, Any]:
    """Return what was found as a JSON object."""
    whole = found._asdict()
    questions = [{**each._asdict(), "why_not": dict(each.why_not)} for each in found.questions]
    answers = [each._asdict() for each in found.answers]
    more = {"questions": questions, "answers": answers, "cost": found.cost._asdict()}
    return {"faults": [], **whole, **more, "askable": found.askable, "answerable": found.answerable,
            "conclusion": found.conclusion}  # fmt: skip
