"""A config and its files, read for a command: every fault at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pertprobe.errors import Faults, PertprobeError, gathering, messages
from pertprobe.workflow.commands.place import workflow_folder

if TYPE_CHECKING:
    from pertprobe.workflow.checks import Inputs
    from pertprobe.workflow.parts_of_config import Config


def read(paths: list[Path]) -> tuple["Config", "Inputs"]:
    """Return the configs at these paths, merged and settled, and their files; raises `Faults` of all that is wrong."""
    from pertprobe.workflow.checks import read_inputs
    from pertprobe.workflow.config import whole_schema
    from pertprobe.workflow.config_files import lines_of, located
    from pertprobe.workflow.settled import read_configs, settled

    config, schema = read_configs(paths), whole_schema(workflow_folder() / "config" / "schema.yaml")
    try:
        try:
            whole = settled(config, schema)
        except PertprobeError as error:
            raise Faults([*messages(error), *_of_files(config, schema, error)]) from None
        return whole, read_inputs(whole)
    except PertprobeError as error:
        raise Faults(located(messages(error), lines_of(paths))) from None


NEEDED = "run", "cells", "models", "programs", "probes"
"""Sections without which no file is read; others are left out where they have faults."""


def _of_files(config: dict[str, Any], schema: dict[str, Any], known: PertprobeError) -> list[str]:
    """Return the faults of the files of a config that has faults itself, as far as it can be read."""
    from pertprobe.workflow.checks import read_inputs
    from pertprobe.workflow.settled import filled

    told, faults = messages(known), []
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
