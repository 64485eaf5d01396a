"""What a config says of labels, beside the labels that models and cells have: what matches nothing is said."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pertprobe.errors import gathering, listed, meant
from pertprobe.workflow.given_files import agent_files, readable
from pertprobe.workflow.parts_of_config import Config, section_of
from pertprobe.workflow.settled import without_agents

if TYPE_CHECKING:
    from pertprobe.data.agents import Counted
    from pertprobe.data.cells import ContextCells
    from pertprobe.models.base import Model


def with_readable_agents(config: Config, faults: list[str]) -> Config:
    """Return the config, without what it says of labels where that cannot be read: the fault is told once."""
    if section_of(config, "programs").get("agents") is None:
        return config
    from pertprobe.data.agent_table import agents_of

    if all(map(readable, agent_files(config))):
        with gathering(faults, "perturbations: "):
            agents_of(config["programs"]["agents"])
            return config
    return without_agents(config)


def label_faults(config: Config, models: Mapping[str, "Model"], cells: Mapping[str, "ContextCells"]) -> Iterator[str]:
    """Yield what `perturbations` says of labels that are nowhere, and models of which no label counts."""
    settings = section_of(config, "programs").get("agents")
    if settings is None or not models:
        return
    from pertprobe.data.agent_table import agents_of
    from pertprobe.models.by_agent import as_loaded

    agents, section = agents_of(settings), section_of(config, "perturbations")
    counted = {name: agents.counted(as_loaded(model).perturbations, model.control) for name, model in models.items()}
    counted |= {f"cells.{context}": found.counted for context, found in cells.items()}
    labels = {label for each in counted.values() for label in each}
    if agents.told and not agents.told & labels:
        told = sorted(agents.told)
        yield (
            f"perturbations: none of the {len(told)} labels it tells of ({listed(told, 3)}) is a label of models or "
            f"cells ({listed(sorted(labels), 3)}).{meant(told[0], labels)}"
        )
    if section.get("pattern") and not any(map(agents.matches, labels)):
        them = f"{len(labels)} labels ({listed(sorted(labels), 3)})"
        yield f"perturbations.pattern: '{section['pattern']}' matches none of {them}. It must match a whole label"
    doses = {each.meaning.dose for by in counted.values() for each in by.values()} - {None}
    if section.get("dose") and section["dose"] not in doses:
        found = listed([f"{dose:g}" for dose in sorted(doses)], 5) if doses else "none"
        yield f"perturbations.dose: no label is of the dose {section['dose']:g} (found: {found}). Set it to one of them"
    for name, model in models.items():
        if len(model.perturbations) == 1 and len(counted[name]) > 1:
            yield f"models.{name}: none of its {len(counted[name]) - 1} labels counts: {_reasons(counted[name])}"


def _reasons(counted: Mapping[str, "Counted"]) -> str:
    """Return why labels count as nothing, with how many."""
    reasons = [each.why for each in counted.values() if each.why]
    return ", ".join(f"{reasons.count(why)} are {why}" for why in sorted(set(reasons)))
