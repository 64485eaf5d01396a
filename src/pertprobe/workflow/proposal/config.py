"""The text of a config: short, commented, and in the order in which it is read."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from pertprobe.workflow.proposal.contexts import bare, found_pairs
from pertprobe.workflow.proposal.finding import Found

LINES = 25
"""Most lines of a config that is written for someone to read; programs with fewest knocked-down genes get no panel."""
WIDTH = 10**6
"""No line is broken."""


class Asked(NamedTuple):
    """What is to be asked of the models."""

    programs: Sequence[str]
    """Files."""
    n_programs: int
    knocked: Mapping[str, Sequence[str]]
    """Program that can be asked about -> its knocked-down genes."""
    least: int
    panels: Mapping[str, Mapping[str, Any]]
    regulons: str
    """File; empty without one."""


def flow(value: Any) -> str:
    """Return a value as YAML of one line."""
    return yaml.safe_dump([value], default_flow_style=True, width=WIDTH, allow_unicode=True, sort_keys=False).strip()[
        1:-1
    ]


def config_text(run: str, found: Mapping[str, Found], asked: Asked) -> str:
    """Return a config of at most `LINES` lines that can reach an answer."""
    cells = _cells(found)
    head = [
        "# Written by `pertprobe init` from what the models and the cells say. Every key: docs/configuration.md.",
        f"run: {run}",
        "cells:",
        *_contexts(cells),
        "models:",
        *(_model(name, each, cells) for name, each in found.items()),
        *_pairs(found),
        f"# {len(asked.knocked)} of {asked.n_programs} programs have {asked.least} or more knocked-down genes.",
        f"programs: {flow({'gmt': list(asked.programs), 'min_perturbations': asked.least})}",
    ]
    tail = [*_probes(found, asked), *_controls(asked), *_power(found)]
    room = max(1, LINES - len(head) - len(tail) - 2)
    return "\n".join([*head, *_panels(asked, room), *tail]) + "\n"


def _cells(found: Mapping[str, Found]) -> dict[str, dict[str, Any]]:
    """Return the entries of cells by name; models that read the same share one."""
    entries: dict[str, dict[str, Any]] = {}
    for each in found.values():
        if each.cells not in entries.values():
            name, number = bare(each.cells["context"]), 1
            while name in entries:
                number += 1
                name = f"{bare(each.cells['context'])}_{number}"
            entries[name] = each.cells
    return entries


def _contexts(cells: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each entry of cells: after the first, what is different."""
    (first, shared), *others = cells.items()
    lines = [f"  {first}: &cells {flow(shared)}"]
    for name, entry in others:
        different = {key: value for key, value in entry.items() if shared.get(key) != value}
        same = shared.keys() <= entry.keys()
        lines.append(f"  {name}: {{<<: *cells, {flow(different)[1:]}" if same else f"  {name}: {flow(entry)}")
    return lines


def _model(name: str, found: Found, cells: Mapping[str, Mapping[str, Any]]) -> str:
    context = next(entry for entry, each in cells.items() if each == found.cells)
    entry = {"path": found.path, "context": context, "regime": found.regime}
    entry |= {"split": found.split} if found.split else {}
    number = f"{len(found.perturbations)} of {len(found.model.perturbations) - 1} perturbations have cells here"
    return f"  {name}: {flow(entry)}  # {'; '.join([number, *found.notes])}"


def _compared(found: Mapping[str, Found]) -> dict[str, list[list[str]]]:
    told = {name: (each.cells["context"], each.regime, each.cells["space"]) for name, each in found.items()}
    return found_pairs(told)


def _pairs(found: Mapping[str, Found]) -> list[str]:
    pairs = _compared(found)
    return [f"pairs: {flow(pairs)}"] if pairs else []


def _panels(asked: Asked, room: int) -> list[str]:
    """Return a line for each panel, of as many as there is room for."""
    if not asked.panels:
        return ["# No panel: no program has a measured knocked-down gene and measured others."]
    shown = dict(list(asked.panels.items())[:room])
    more = f"; {len(asked.panels) - len(shown)} more programs could have one" if len(shown) < len(asked.panels) else ""
    said = "their known targets" if asked.regulons else "the other genes that control cells express most"
    lines = [f"  {name}: {flow(panel)}" for name, panel in shown.items()]
    return [f"panels:  # knocked-down genes of a program, and {said}{more}", *lines]


def _probes(found: Mapping[str, Found], asked: Asked) -> list[str]:
    """Return the probes that these models and cells can be asked by, without those that train autoencoders."""
    pairs = _compared(found)
    in_genes = any("gene_space" in each.model.capabilities for each in found.values())
    largest = max(len(each.model.genes) for each in found.values())
    genes: dict[str, Any] = {"genes": "all" if largest <= MANY else SILENCED}
    wanted = {
        "pert_embedding": {},
        "output_clustering": {},
        "routing_coherence": {},
        **({"targeted_jacobian": {}} if asked.panels else {}),
        **({"knockout": genes} if in_genes and "contexts" in pairs else {}),
        **({"intervention_fidelity": {}} if in_genes else {}),
        **({"regulon_recovery": {"regulons": {"given": asked.regulons}, **genes}} if asked.regulons else {}),
        **({"regime_agreement": {}} if "regimes" in pairs else {}),
    }
    return ["probes:  # intervention_fidelity makes the answer; all probes: docs/concepts.md", *_by_line(wanted)]


MANY, SILENCED = 500, 200
"""Genes of a model above which not every one is silenced, and how many then, beside those that are knocked down."""


def _by_line(wanted: Mapping[str, Any]) -> list[str]:
    """Return settings three a line, in the braces of one mapping."""
    parts = [f"{name}: {flow(settings)}" for name, settings in wanted.items()]
    rows = [", ".join(parts[start : start + 4]) for start in range(0, len(parts), 4)]
    return [f"  {'{' if not i else ' '}{row}{'}' if i == len(rows) - 1 else ','}" for i, row in enumerate(rows)]


def _controls(asked: Asked) -> list[str]:
    return [f"controls: {flow({'network': asked.regulons})}"] if asked.regulons else []


FEW = 100
"""Perturbations below which an effect of 1 sd is often neither found nor excluded."""


def _power(found: Mapping[str, Found]) -> list[str]:
    most = max(len(each.perturbations) for each in found.values())
    if most >= FEW:
        return []
    return [f"power: {{d: 2}}  # among {most} perturbations an effect of 1 sd is often neither found nor excluded"]
