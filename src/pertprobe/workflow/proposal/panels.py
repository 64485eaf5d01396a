"""Panels for programs: which knocked-down genes of a program may regulate which of its measured genes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from pertprobe.workflow.proposal.contexts import bare

TARGETS = 10
"""Most targets of a panel: those that control cells express most."""
FEWEST_TARGETS = 3
"""Targets without which there is no panel."""


def askable(
    programs: Mapping[str, Collection[str]], perturbations: Collection[str], least: int
) -> dict[str, list[str]]:
    """Return program -> its knocked-down genes, of programs with at least so many, those with most first."""
    held = {name: sorted(set(genes) & set(perturbations)) for name, genes in programs.items()}
    enough = {name: genes for name, genes in held.items() if len(genes) >= least}
    return dict(sorted(enough.items(), key=lambda item: (-len(item[1]), item[0])))


def proposed_panels(
    programs: Mapping[str, Collection[str]],
    knocked: Mapping[str, Collection[str]],
    expression: pd.Series,
    targets_of: Mapping[str, Collection[str]],
) -> dict[str, dict[str, Any]]:
    """Return a panel for each program that has a measured knocked-down gene and three other measured genes.

    Args:
        programs: name -> genes.
        knocked: program -> its knocked-down genes (`askable`).
        expression: mean of each gene in control cells; genes that are not measured are not in it.
        targets_of: regulator -> its known targets; empty where no regulons were given. Where a program's regulators
            have known targets these are taken, whatever program they are of; otherwise the program's other genes.
    """
    found = {}
    for name, perturbed in knocked.items():
        regulators = [gene for gene in perturbed if gene in expression.index]
        known = {gene for regulator in regulators for gene in targets_of.get(regulator, ())}
        targets = _expressed(expression, set(known or programs[name]) - set(regulators))
        if len(targets) < FEWEST_TARGETS and known:
            targets = _expressed(expression, set(programs[name]) - set(regulators))
        if regulators and len(targets) >= FEWEST_TARGETS:
            found[_free(bare(name), found)] = {"program": name, "regulators": regulators, "targets": targets}
    return found


def _free(name: str, taken: Collection[str]) -> str:
    """Return a name that no other panel has."""
    others = [each for each in taken if each == name or each.startswith(f"{name}_")]
    return f"{name}_{len(others) + 1}" if name in taken else name


def _expressed(expression: pd.Series, genes: Collection[str]) -> list[str]:
    """Return those of the genes that are expressed most, sorted by name."""
    measured = expression[expression.index.isin(list(genes)) & (expression > 0)]
    return sorted(measured.sort_values(ascending=False, kind="stable").index[:TARGETS])


def mean_expression(found: Sequence[pd.Series]) -> pd.Series:
    """Return the mean over models of each gene's expression, of genes that all of them have."""
    return pd.concat(list(found), axis=1, join="inner").mean(axis=1)
