"""Can each question be put? Per probe, model and program: how many units there are, and whether that is enough."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from pertprobe.data.programs import Panel, Programs, measured_pairs
from pertprobe.errors import number_of
from pertprobe.models.names_in_cells import one_member_each
from pertprobe.probes.declaration import Declaration

COLUMNS = [
    *("probe", "model", "context", "regime", "program", "panel", "n_members", "n_perturbations"),
    *("seen_here", "seen_elsewhere", "seen_never", "seen_unknown", "n_genes", "n_pairs", "enough", "reason"),
]


def evaluability_table(
    models: Mapping[str, Mapping[str, Any]],
    programs: Programs,
    panels: Mapping[str, Panel],
    probes: Mapping[str, Declaration],
    min_perturbations: int,
    min_genes: int,
) -> pd.DataFrame:
    """Return one row per probe, model and program (and panel, for probes that ask about panels).

    Args:
        models: name -> {perturbations, genes, output_genes, context, regime, capabilities, seen}; `seen` maps each
            perturbation to here, elsewhere, never or unknown (`seen_status`).
        programs: all programs.
        panels: all panels.
        probes: name -> what it declares. For probes at the level "representation" perturbations trained nowhere do not
            count: their code is an untrained column.
        min_perturbations: fewest perturbations that make a program evaluable.
        min_genes: fewest measured genes that do.

    Returns:
        Columns `COLUMNS`: counts of the program's members, of those (or of the panel's) that are perturbations of the
        model, of how these were seen in training, of measured genes and pairs; `enough`, and `reason` in words.
    """
    as_sets = ("perturbations", "genes", "output_genes", "capabilities")
    models = {
        name: {**model, **{key: set(model[key]) for key in as_sets}, "seen": dict(model["seen"])}
        for name, model in models.items()
    }
    rows = [
        {"probe": probe, "model": name, "context": model["context"], "regime": model["regime"], "program": program}
        | _row(programs[program], panel, model, declaration, min_perturbations, min_genes)
        for probe, declaration in probes.items()
        for name, model in models.items()
        for program in programs
        for panel in _panels_of(program, panels if declaration.of_panels else {})
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _panels_of(program: str, panels: Mapping[str, Panel]) -> list[Panel | None]:
    """Return the panels that serve a program, or one empty place."""
    return [panel for panel in panels.values() if panel.program == program] or [None]


def _row(
    members: Collection[str],
    panel: Panel | None,
    model: Mapping[str, Any],
    probe: Declaration,
    min_perturbations: int,
    min_genes: int,
) -> dict[str, Any]:
    """Return the counts of one program (or panel) in one model, whether they are enough, and why not."""
    asked = one_member_each({"": panel.perturbations if panel else members}, model.get("same_input", ()))[""]
    status = {name: model["seen"].get(name, "unknown") for name in asked}
    status = {name: seen for name, seen in status.items() if name in model["perturbations"]}
    untrained = sum(seen == "never" for seen in status.values()) if probe.level == "representation" else 0
    counts = {f"seen_{word}": list(status.values()).count(word) for word in ("here", "elsewhere", "never", "unknown")}
    pairs, _ = measured_pairs(panel, model["genes"], model["output_genes"]) if panel else ((), ())
    genes = panel.regulators if panel and probe.unit == "regulator" else members
    counts |= {"n_members": len(members), "n_genes": len(model["genes"] & set(genes))}
    counts |= {"n_perturbations": len(status) - untrained, "n_pairs": len(pairs)}
    reasons = [f"not evaluable: model has no {need}" for need in sorted(probe.needs - model["capabilities"])]
    reasons += _shortages(counts, probe, panel, min_perturbations, min_genes, untrained)
    return {"panel": panel.name if panel else "", **counts, "enough": not reasons, "reason": "; ".join(reasons)}


def _shortages(
    counts: Mapping[str, int],
    probe: Declaration,
    panel: Panel | None,
    min_perturbations: int,
    min_genes: int,
    untrained: int,
) -> list[str]:
    """Return what is too little, in words."""
    if probe.of_panels and panel is None:
        return ["no panel for this program"]
    reasons, whose = [], "panel" if panel else "program"
    if probe.of_genes:
        if counts["n_genes"] < min_genes:
            reasons.append(
                f"{number_of(counts['n_genes'], f'measured {probe.unit}')} of the {whose}, {min_genes} needed"
            )
    elif counts["n_perturbations"] < min_perturbations:
        left_out = f" ({untrained} more never trained)" if untrained else ""
        many = number_of(counts["n_perturbations"], "perturbation")
        reasons.append(f"{many} of the {whose}{left_out}, {min_perturbations} needed")
    if panel and not counts["n_pairs"]:
        reasons.append("no pair of regulator and target is measured")
    return reasons
