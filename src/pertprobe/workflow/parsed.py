"""A config as a Snakefile takes it in: settled, or refused with every fault at once, each with its file and line."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from pertprobe.errors import Faults, PertprobeError, messages
from pertprobe.workflow.checks import check_inputs
from pertprobe.workflow.config_files import lines_of, located
from pertprobe.workflow.given_files import path_faults
from pertprobe.workflow.settled import settled


def parsed(config: Mapping[str, Any], schema: dict[str, Any], files: Iterable[str]) -> dict[str, Any]:
    """Return a config with defaults and paths filled in; `files` are those that it was read from.

    Raises `Faults`. Where a given file cannot be read the run cannot start: all others are read, to name every fault
    together.
    """
    lines: dict[str, Any] = {}
    try:
        lines = lines_of(path for path in files if os.path.isfile(path))
        found = settled(config, schema)
        if path_faults(found):
            check_inputs(found)
    except PertprobeError as error:
        raise Faults(located(messages(error), lines)) from error
    return found
