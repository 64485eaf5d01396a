"""The models planted beside each model of a run as its controls, of its own genes, perturbations and cells."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.programs import run_programs
from pertprobe.models.cards import known_gene_names
from pertprobe.stages.measuring import read_measurement

if TYPE_CHECKING:
    from pertprobe.models.base import Model


def derived_models(
    card: Mapping[str, Any],
    cells: CellSets,
    program_files: Sequence[str | Path],
    observed: str | Path,
    contexts: Sequence[CellSets],
    *,
    programs: Mapping[str, Any],
    panels: Mapping[str, Mapping[str, Any]],
    controls: Mapping[str, Any],
    seed: int,
) -> dict[str, "Model"]:
    """Return kind -> model: planted, lookup and co-variation (methods.md, Planted models), and the mean shift.

    Args:
        card: the model's card: its genes, perturbations, control and batches.
        cells: the very cells that are probed, genes in the model's order.
        program_files: GMT files of the run.
        observed: measured responses of the context, for the mean shift.
        contexts: control cells of every context of the run: genes that act are drawn among those expressed in all, so
            that the planted models of a pair have the same graph.
        programs: the config's other programs and limits.
        panels: panels that serve the programs.
        controls: what is wanted: `planted` with the smallest effect of interest d, `additive`.
        seed: of the run.
    """
    from pertprobe.models.planted.closed_form import planted_models
    from pertprobe.models.planted.materials import expressed_genes

    found = run_programs(program_files, programs, known_gene_names([card]))
    names = set(card["perturbations"]) - {card["control"]}
    asked = {name: sorted(names & set(members)) for name, members in found.items()}
    enough = {name: members for name, members in asked.items() if len(members) >= programs["min_perturbations"]}
    alike = [each.for_genes(card["genes"]) for each in contexts if set(card["genes"]) <= set(each.genes)]
    expressed = [expressed_genes(each.values.reshape(-1, len(each.genes)), each.genes) for each in alike]
    models: dict[str, Model] = planted_models(
        genes=card["genes"],
        perturbations=sorted(names),
        control=card["control"],
        cells=cells,
        programs=enough,
        panels={name: panel for name, panel in panels.items() if panel["program"] in enough},
        expressed=frozenset.intersection(*expressed),
        seed=seed,
        **controls["planted"],
    )
    if controls["additive"] and card["output_genes"] == card["genes"]:
        models["additive"] = _mean_shift(card, observed)
    return models


def with_known(planted: Mapping[str, "Model"], path: str | Path | None) -> dict[str, "Model"]:
    """Return planted models and behind them those of known kind in a file (methods.md, Models of known kind).

    A planted lookup stands in the place of theirs.
    """
    from pertprobe.models.known.model import read_known

    known = read_known(path) if path else {}
    return {**planted, **known, **planted}


def _mean_shift(card: Mapping[str, Any], observed: str | Path) -> "Model":
    """Return the model that adds each perturbation's observed mean change; zero where none was observed."""
    from pertprobe.models.additive import AdditiveModel
    from pertprobe.models.known.fitting import observed_table

    shifts = observed_table(read_measurement(observed)["delta_y"].to_pandas(), card)
    names = {key: card[key] for key in ("genes", "control", "batches", "set_size")}
    return AdditiveModel(dict(zip(shifts.index, shifts.to_numpy(), strict=True)), **names)
