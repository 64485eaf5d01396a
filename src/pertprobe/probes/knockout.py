"""knockout: does silencing a gene in the input cells shift the output alike in two contexts, and alike in a program?"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.cells import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.probes.base import MeasureInputs, TestInputs, averaged, dataset, each_program, members
from pertprobe.progress import counted
from pertprobe.statistics.intervals import bootstrap_coherence, bootstrap_mean
from pertprobe.statistics.paired import PairedTest, paired_profile_test
from pertprobe.statistics.permutation import coherence
from pertprobe.statistics.similarity import centred, cosine_similarity, spearman_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs

NEEDS = frozenset({"predict", "gene_space"})
LEVEL = "causal"
UNIT = "gene"
STATISTICS = ("agreement", "coherence", "agreement_all_genes")
SPACE = ("knockout", "shift", "gene")
CONTROL = "control"
"""Setting that stands for the model's own control perturbation, whatever its label."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return the genes to knock out: those listed, all, or the most expressed, mean over every context of the run."""
    wanted = inputs.settings["genes"]
    if isinstance(wanted, list):
        missing = sorted(set(wanted) - set(inputs.model.genes))
        if missing:
            raise PertprobeError(f"probes.knockout.genes: not among the model's genes: {', '.join(missing)}.")
        return sorted(wanted)
    genes = np.array(inputs.model.genes)
    if wanted == "all":
        return sorted(genes)
    # Contexts read in another space, as those of an embedding model, say nothing of these genes.
    measured = [each for each in inputs.contexts if set(inputs.model.genes) <= set(each.genes)]
    sets = [each.for_genes(inputs.model.genes) for each in measured]
    expression = np.mean([each.values.mean(axis=(0, 1), dtype=np.float64) for each in sets], axis=0)
    # Names break ties, so that the choice does not depend on the order of genes in a file.
    return sorted(genes[np.lexsort((genes, -expression))][:wanted])


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return the mean shift of the output when a gene is silenced in every cell, [set, perturbation, gene].

    The `perturbation` axis holds the knocked-out genes: a knock-out is an intervention too.
    """
    import torch  # tests do without it

    model, cells = inputs.model, inputs.cells
    perturbation = _perturbation(inputs)
    before = model.predict(cells.values, perturbation, cells.batches).mean(-2)
    shifts = []
    for name in counted(names, "knock-outs"):
        edited = silenced(cells.values, model.genes.index(name), inputs.settings["value"])
        shifts.append(model.predict(edited, perturbation, cells.batches).mean(-2) - before)
    values = torch.stack(shifts, dim=1).cpu().numpy()
    coords = {"perturbation": names, "gene": list(model.output_genes)}
    return dataset(shift=xr.DataArray(values, dims=("set", "perturbation", "gene"), coords=coords))


def silenced(values: np.ndarray, gene: int, value: str) -> np.ndarray:
    """Return a copy of the cells [n_sets, S, G] with one gene at zero, or at its mean over each set."""
    edited = values.copy()
    edited[..., gene] = 0.0 if value == "zero" else values[..., gene].mean(axis=-1, keepdims=True)
    return edited


def _perturbation(inputs: MeasureInputs) -> str:
    wanted = inputs.settings["perturbation"]
    return inputs.model.control if wanted == CONTROL else wanted


def test(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Do profiles of one gene agree between contexts more than those of like genes; are programs' profiles alike?"""
    identity = {**inputs.identity, "adjustment": "centred"}
    profiles = averaged(inputs.subject.measurement, "shift")
    if inputs.reference is None:
        yield from _coherence_rows(inputs, identity, profiles)
    elif inputs.comparison == "contexts":
        yield from _agreement_rows(inputs, identity, profiles, averaged(inputs.reference.measurement, "shift"))


def _coherence_rows(inputs: TestInputs, identity: dict[str, Any], profiles: xr.DataArray) -> Iterator[dict[str, Any]]:
    names = profiles.perturbation.values
    similarity = cosine_similarity(centred(profiles.values))
    strength = np.linalg.norm(profiles.values, axis=1)
    for program, found, short in each_program(inputs, names, inputs.min_genes, "knocked-out genes"):
        who = {"statistic": "coherence", "program": program, "unit": UNIT, "n": len(found), "n_background": len(names)}
        if short:
            yield evidence.not_evaluable(identity, short, **who)
            continue
        test = coherence(similarity, found, strength, inputs.permutations, inputs.random("coherence", program))
        interval = bootstrap_coherence(similarity, found, inputs.bootstrap, inputs.random("interval", program))
        yield evidence.row(identity, **who, **evidence.tested(test), ci_low=interval[0], ci_high=interval[1])


def _agreement_rows(
    inputs: TestInputs,
    identity: dict[str, Any],
    ours: xr.DataArray,
    theirs: xr.DataArray,
) -> Iterator[dict[str, Any]]:
    ours, theirs = shared(ours, theirs)
    genes, outputs = ours.perturbation.values, ours.gene.values
    deciles = expression_deciles(inputs.cells, genes)
    yield _agreement_row(inputs, identity, correlations(ours, theirs), deciles, "agreement_all_genes", "", None)
    for program, found, short in each_program(inputs, genes, inputs.min_genes, "knocked-out genes"):
        if short:
            who = {"statistic": "agreement", "program": program, "unit": UNIT, "n": len(found)}
            yield evidence.not_evaluable(identity, short, **who)
            continue
        r = correlations(ours, theirs, left_out=members(outputs, inputs.programs[program]))
        yield _agreement_row(inputs, identity, r, deciles, "agreement", program, found)


def _agreement_row(
    inputs: TestInputs,
    identity: dict[str, Any],
    r: np.ndarray,
    deciles: np.ndarray,
    statistic: str,
    program: str,
    found: np.ndarray | None,
) -> dict[str, Any]:
    result = paired_profile_test(r, deciles, inputs.permutations, inputs.random(statistic, program), members=found)
    who = {
        "statistic": statistic,
        "program": program,
        "unit": UNIT,
        "n": len(result.genes),
        "n_background": int((~np.isnan(np.diagonal(r))).sum()),
    }
    notes = _left_out(result)
    enough = inputs.min_genes if found is not None else 2
    if len(result.genes) < enough:
        short = f"{len(result.genes)} genes with a varying profile and a partner, {enough} needed"
        return evidence.not_evaluable(identity, evidence.joined(short, *notes), **who)
    columns = evidence.tested(result.test, *notes)
    diagonal = r[result.genes, result.genes]
    if inputs.sharing:
        # The numbers stand, but nothing here can tell the seed from biology: no pass, no fail.
        columns |= {"evaluable": False, "reason": evidence.joined(inputs.sharing, *notes)}
    low, high = bootstrap_mean(diagonal - result.partners, inputs.bootstrap, inputs.random("interval", program))
    return evidence.row(identity, **who, **columns, ci_low=low, ci_high=high, estimate_published=result.matched)


def _left_out(result: PairedTest) -> list[str]:
    notes = []
    if result.n_constant:
        notes.append(f"{result.n_constant} constant profiles left out")
    if result.n_without_partner:
        notes.append(f"{result.n_without_partner} genes without a partner of like expression left out")
    return notes


def shared(ours: xr.DataArray, theirs: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return both measurements on the knocked-out genes and the outputs that they have in common."""
    genes, outputs = (sorted(set(ours[dim].values) & set(theirs[dim].values)) for dim in ("perturbation", "gene"))
    return ours.sel(perturbation=genes, gene=outputs), theirs.sel(perturbation=genes, gene=outputs)


def correlations(ours: xr.DataArray, theirs: xr.DataArray, left_out: Sequence[int] | None = None) -> np.ndarray:
    """Return Spearman r [n, n] of profile i in one context with profile j in the other, without outputs i and j."""
    outputs = {name: position for position, name in enumerate(ours.gene.values)}
    own = np.array([outputs.get(name, -1) for name in ours.perturbation.values])
    return spearman_matrix(ours.values, theirs.values, own, own, left_out=left_out)


def expression_deciles(cells: CellSets, genes: Sequence[str]) -> np.ndarray:
    """Return the decile 0-9 of each gene's mean expression over the control cells, among `genes`."""
    expression = cells.for_genes(tuple(genes)).values.mean(axis=(0, 1), dtype=np.float64)
    ranks = pd.Series(expression).rank(method="first").to_numpy() - 1
    return (ranks * 10 // len(genes)).astype(int)


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw how alike a gene's knock-out is in two contexts, beside pairs of different genes."""
    from pertprobe.figures import NOTHING_TESTED, nothing_to_draw, panels

    rows = inputs.evidence[inputs.evidence.statistic == "agreement_all_genes"]
    kept = rows[rows.estimate.notna()]  # also where a shared initialisation leaves the verdict open
    if kept.empty:
        return nothing_to_draw(NOTHING_TESTED)
    figure, axes = panels(len(kept), 4.4, 3.0)
    for each, row in zip(axes, kept.itertuples(), strict=True):
        ours, theirs = shared(*(averaged(inputs.measurements[name], "shift") for name in (row.model, row.reference)))
        _histogram(each, correlations(ours, theirs), row)
    return figure


def _histogram(axes: "Axes", r: np.ndarray, row: Any) -> None:
    from pertprobe.figures import NULL, SUBJECT

    own = np.diagonal(r)[~np.isnan(np.diagonal(r))]
    other = r[~np.eye(len(r), dtype=bool)]
    other = other[~np.isnan(other)]
    bins = np.linspace(min(-0.2, own.min(), other.min()), 1, 41)
    axes.hist(other, bins, density=True, color=NULL, alpha=0.6, label=f"different genes (mean {other.mean():.2f})")
    axes.hist(own, bins, density=True, color=SUBJECT, alpha=0.75, label=f"same gene (mean {own.mean():.2f})")
    axes.axvline(0.4, color="black", linewidth=0.6, linestyle=":")
    axes.annotate("published threshold", (0.4, axes.get_ylim()[1]), (2, -4), textcoords="offset points", fontsize=6)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)  # room for the legend above the bars
    axes.legend(loc="upper left", fontsize=6)
    axes.set_xlabel("Spearman r of knock-out profiles between contexts")
    axes.set_ylabel("density")
    axes.set_title(f"{row.model} vs {row.reference} ({len(own)} genes)")
    if not row.evaluable:
        axes.text(1, 0.5, "not evaluable:\nshared initialisation", transform=axes.transAxes, ha="right", fontsize=7)
