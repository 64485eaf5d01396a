"""`pertprobe run --pilot`: the whole config at a fraction, and what the whole run will cost by its times."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pertprobe.errors import PertprobeError
from pertprobe.workflow.commands.app import errors
from pertprobe.workflow.commands.carry_out import carry_out
from pertprobe.workflow.commands.found import found
from pertprobe.workflow.commands.performing import PAGE, is_whole
from pertprobe.workflow.commands.reading import read
from pertprobe.workflow.commands.request import Request
from pertprobe.workflow.commands.words import say

if TYPE_CHECKING:
    import pandas as pd

    from pertprobe.workflow.checks import Inputs
    from pertprobe.workflow.parts_of_config import Config
    from pertprobe.workflow.prospects.askable import Known
    from pertprobe.workflow.prospects.cost import Expected

NO_RESULT = "In a pilot, which is no result:"
"""Before each sentence about what one found."""


def perform_pilot(request: Request, verbose: bool) -> None:
    """Run the pilot of a request; say what it found and, where all was asked for, what the run will cost.

    Raises `Faults` of everything that is wrong with the config, as `pertprobe check` does.
    """
    from pertprobe.workflow.prospects.pilot import write_pilot
    from pertprobe.workflow.prospects.prospect import asked

    with errors.status("reading models and cells"):
        config, inputs = read(list(request.configs))
    if config["pilot"]:
        raise PertprobeError(f"run: {config['run']} is a pilot itself. Give the run's own config")
    known, table = asked(config, inputs)
    small = replace(request, configs=[write_pilot(config, inputs, known, table)])
    say(f"The pilot's config: {small.configs[0]}. Its results: {small.results}; those of the run are not touched.")
    carry_out(small, verbose)
    if request.dry_run:
        return
    if not is_whole(small):
        say(f"Results: {small.results}")
        return
    say(*(f"{NO_RESULT} {each[0].lower()}{each[1:]}" for each in found(small.results)))
    say(f"Report: {small.results / PAGE}", *cost_of_run(config, inputs, known, table))


def cost_of_run(config: "Config", inputs: "Inputs", known: "Known | None", table: "pd.DataFrame") -> list[str]:
    """Return what the whole run will take, by the times of its pilot."""
    from pertprobe.workflow.commands.check_page import expected_in_words
    from pertprobe.workflow.prospects.cost import expected

    with errors.status("timing models"):
        told = expected(config, inputs, known, table)
    if told is None:
        return []
    return [*took_in_words(told), "The whole run:", *(f"  {line}" for line in expected_in_words(told))]


def took_in_words(told: "Expected") -> Iterator[str]:
    """Yield what each probe took in the pilot, and will take in the run."""
    from pertprobe.workflow.commands.check_page import amount

    parts = dict(told.parts)
    if told.took:
        yield "CPU time of each probe, here and in the run:"
    for each in told.took:
        unit = f"{each.per_unit:.2g} s a {each.unit} and model" if each.per_unit else "little beside its jobs' starts"
        yield f"  {each.probe}: {each.seconds:.2g} s here ({unit}), {amount(parts[each.probe])} in the run"
