"""Can an answer be reached for each model: are knocked-down genes among its inputs, and enough of them?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pertprobe.errors import listed
from pertprobe.probes.declaration import all_declared
from pertprobe.workflow.prospects.askable import Known, knocked_down

if TYPE_CHECKING:
    from pertprobe.workflow.parts_of_config import Config

FEW = 20
"""Genes below which most answers were unresolved in simulated screens, of mechanisms too (answer.md)."""


class Reach(NamedTuple):
    """Whether a model's answer can be reached."""

    model: str
    genes: tuple[str, ...]
    """Knocked-down genes that are inputs, sorted."""
    needed: int
    programs: int
    """Programs that have enough of these genes for an answer of their own."""
    missing: str
    """Why no answer can be reached; empty where it can."""

    @property
    def few(self) -> bool:
        """Return whether an answer is likely to be unresolved for want of genes."""
        return not self.missing and len(self.genes) < FEW


def answers(config: "Config", found: Known) -> list[Reach]:
    """Return what can be reached for each model that was read."""
    return [_reach(config, found, name, model) for name, model in found.models.items()]


def _reach(config: "Config", found: Known, name: str, model: Mapping[str, Any]) -> Reach:
    from pertprobe.probes.intervention_fidelity import FEWEST

    genes, least = knocked_down(model), config["programs"]["min_genes"]
    programs = sum(len(genes & set(members)) >= least for members in found.programs.values())
    missing = _missing(config, model, len(genes), FEWEST)
    return Reach(name, tuple(sorted(genes)), FEWEST, 0 if missing else programs, missing)


def _missing(config: "Config", model: Mapping[str, Any], n: int, needed: int) -> str:
    """Return why there can be no answer; empty where there can."""
    answering = [probe for name, probe in all_declared().items() if probe.answers]
    asked = [probe for probe in answering if probe.name in config["probes"]]
    if not asked:
        return f"no probe that answers is asked. Add {listed(probe.name for probe in answering)}: {{}} under probes"
    if lacking := sorted(asked[0].needs - set(model["capabilities"])):
        return f"the model has no {listed(lacking)}: silencing a gene in its input needs genes as input"
    if n >= needed:
        return ""
    held_out = " that it was not trained with (its encoder saw perturbed cells)"
    of_those = held_out if model.get("encoder_saw") == "perturbed" else ""
    where = f"are inputs of the model and have cells in {model['context']}"
    return f"{n} knocked-down genes{of_those} {where}, {needed} needed"
