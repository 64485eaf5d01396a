"""knockout: does silencing a gene in the input cells shift the output alike in two contexts, and alike in a program?"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.cells import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.probes.base import MeasureInputs, TestInputs, averaged, by_set, each_program, members
from pertprobe.probes.representation import similarity_rows
from pertprobe.progress import counted
from pertprobe.roles import COEXPRESSION, OBSERVED, SUBJECT
from pertprobe.statistics.ceiling import mean_noise_ceiling
from pertprobe.statistics.intervals import bootstrap_mean
from pertprobe.statistics.paired import PairedTest, paired_profile_test
from pertprobe.statistics.similarity import centred, cosine_similarity, spearman_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from pertprobe.figures import DrawInputs

CONTROLLED = "agreement"
"""The statistic in which re-drawn copies and planted models are compared with the model."""
CONTROL = "control"
"""Setting that stands for the model's own control perturbation, whatever its label."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return the genes to knock out: those listed, all, or the most expressed, mean over every context of the run."""
    wanted = inputs.settings["genes"]
    if isinstance(wanted, list):
        missing = sorted(set(wanted) - set(inputs.model.genes))
        if missing:
            raise PertprobeError(f"genes to knock out that are not among the model's genes: {', '.join(missing)}.")
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
    values = _shifts(inputs, names).cpu().numpy()
    coords = {"perturbation": names, "gene": list(inputs.model.output_genes)}
    return xr.Dataset({"shift": xr.DataArray(values, dims=("set", "perturbation", "gene"), coords=coords)})


def _shifts(inputs: MeasureInputs, names: Sequence[str]) -> "Tensor":
    """Return the shifts [n_sets, names, G_out]: all at once where the model has stages, else one `predict` for each."""
    import torch  # tests do without it

    from pertprobe.jacobian import cells_point
    from pertprobe.silencing import knockout_shifts, silenced

    model, cells, value = inputs.model, inputs.cells, inputs.settings["value"]
    perturbation, genes = perturbation_of(inputs), [model.genes.index(name) for name in names]
    if "stages" in model.capabilities:
        codes = model.encode_perturbations([perturbation])
        point = cells_point(cells.values, model.batch_indices(cells.batches), codes)
        return knockout_shifts(model, codes, point, genes, value, memory_gb=inputs.memory_gb)[0].swapaxes(0, 1)
    before = model.predict(cells.values, perturbation, cells.batches).mean(-2)
    edited = (silenced(cells.values, gene, value) for gene in counted(genes, "knock-outs"))
    return torch.stack([model.predict(each, perturbation, cells.batches).mean(-2) - before for each in edited], dim=1)


def perturbation_of(inputs: MeasureInputs) -> str:
    """Return the perturbation under which genes are silenced."""
    wanted = inputs.settings["perturbation"]
    return inputs.model.control if wanted == CONTROL else wanted


def test(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Do profiles of one gene agree between contexts more than those of like genes; are programs' profiles alike?"""
    profiles = averaged(inputs.subject.measurement, "shift")
    if inputs.reference is None:
        similarity, strength = cosine_similarity(centred(profiles.values)), np.linalg.norm(profiles.values, axis=1)
        who = {"statistic": "coherence", "adjustment": "centred"}
        names = profiles.perturbation.values
        yield from similarity_rows(inputs, similarity, names, strength, who, genes="knocked-out genes")
        return
    yield from controlled(inputs)
    if inputs.comparison == "contexts":
        sides = [by_set(each.measurement, "shift") for each in (inputs.subject, inputs.reference)]
        yield _all_genes_row(inputs, *shared(*sides))


def controlled(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield the agreement of each program's genes between contexts: asked of copies and planted models too."""
    if inputs.reference is not None and inputs.comparison == "contexts":
        sides = [by_set(each.measurement, "shift") for each in (inputs.subject, inputs.reference)]
        yield from _agreement_rows(inputs, *shared(*sides))


def references(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield the same agreement of observed responses to a gene's knock-down, and of its co-expression profiles.

    The co-expression profile of a gene is its correlation with every other in control cells: what a model that
    remembers co-variation would answer.
    """
    if inputs.reference is None or inputs.comparison != "contexts":
        return
    sides = inputs.subject.observed, inputs.reference.observed
    if any(each is None for each in sides):
        return
    shifts = [each["delta_y"].astype(np.float64).sortby("perturbation") for each in sides]
    measured = set(inputs.cells.genes)
    known = [each.sel(perturbation=np.isin(each.perturbation.values, sorted(measured))) for each in shifts]
    yield from _agreement_rows(inputs.as_role(OBSERVED), *shared(*known))
    if all("correlation" in each for each in sides):
        genes = [each.measurement.perturbation.values for each in (inputs.subject, inputs.reference)]
        knocked = sorted(set(genes[0]) & set(genes[1]))
        profiles = [coexpression_profiles(each, knocked) for each in sides]
        yield from _agreement_rows(inputs.as_role(COEXPRESSION), *shared(*profiles))


def _agreement_rows(inputs: TestInputs, ours: xr.DataArray, theirs: xr.DataArray) -> Iterator[dict[str, Any]]:
    for row, found, left_out in program_agreements(inputs, over_sets(ours), over_sets(theirs)):
        yield _with_ceiling(inputs, row, ours, theirs, found, left_out)


def program_agreements(
    inputs: TestInputs, ours: xr.DataArray, theirs: xr.DataArray
) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    """Yield each program's agreement of profile i of `ours` with i, against j of `theirs` [perturbation, gene].

    With the positions of its genes, and those of the outputs that are left out as its own.
    """
    genes, outputs = ours.perturbation.values, ours.gene.values
    deciles = expression_deciles(inputs.cells, genes) if len(genes) else np.array([], dtype=int)
    # Of copies and references only the program's own rows are needed: the others tell the spread of the subject's.
    whole = inputs.identity.get("role", SUBJECT) == SUBJECT
    for program, found, short in each_program(inputs, genes, inputs.min_genes, "knocked-out genes"):
        left_out = members(outputs, inputs.programs[program])
        if short:
            who = {"statistic": CONTROLLED, "program": program, "unit": "gene", "n": len(found)}
            yield evidence.not_evaluable(inputs.identity, short, **who), found, left_out
            continue
        r = correlations(ours, theirs, left_out=left_out, rows=None if whole else found)
        usable = varying(ours, left_out) & varying(theirs, left_out)
        yield agreement_row(inputs, r, deciles, CONTROLLED, program, found, usable), found, left_out


def _all_genes_row(inputs: TestInputs, ours: xr.DataArray, theirs: xr.DataArray) -> dict[str, Any]:
    """Ask of all knocked-out genes together, one with another."""
    genes = ours.perturbation.values
    sides = over_sets(ours), over_sets(theirs)
    deciles, usable = expression_deciles(inputs.cells, genes), varying(sides[0]) & varying(sides[1])
    row = agreement_row(inputs, correlations(*sides), deciles, "agreement_all_genes", "", None, usable)
    return _with_ceiling(inputs, row, ours, theirs, np.arange(len(genes)), np.array([], dtype=int))


def _with_ceiling(
    inputs: TestInputs,
    row: dict[str, Any],
    ours: xr.DataArray,
    theirs: xr.DataArray,
    genes: np.ndarray,
    left_out: np.ndarray,
) -> dict[str, Any]:
    """Add the noise ceiling of the mean agreement, from profiles of disjoint cell sets (methods.md, Noise ceilings)."""
    if inputs.identity.get("role", SUBJECT) != SUBJECT or not row["evaluable"]:
        return row
    if min(ours.sizes.get("set", 1), theirs.sizes.get("set", 1)) < 2:
        return {**row, "reason": evidence.joined(row["reason"], "no noise ceiling: one cell set")}
    kept = np.setdiff1d(np.arange(ours.sizes["gene"]), left_out)
    profiles = [each.transpose("set", "perturbation", "gene").values[:, genes][:, :, kept] for each in (ours, theirs)]
    random = inputs.random("ceiling", row["statistic"], row["program"])
    found = mean_noise_ceiling(*profiles, inputs.bootstrap, random, correlation="spearman")
    columns, note = evidence.ceilinged(found)
    return {**row, **columns, "reason": evidence.joined(row["reason"], note)}


def over_sets(profiles: xr.DataArray) -> xr.DataArray:
    """Return the mean over cell sets."""
    return profiles.mean("set") if "set" in profiles.dims else profiles


def coexpression_profiles(observed: xr.Dataset, genes: Sequence[str]) -> xr.DataArray:
    """Return the correlation of each gene with all others in control cells, as a knock-out would be measured."""
    names = {"input_gene": "perturbation", "input_gene_b": "gene"}
    table = observed["correlation"].astype(np.float64).rename(names)
    return table.sel(perturbation=[name for name in genes if name in table.perturbation.values])


def agreement_row(
    inputs: TestInputs,
    r: np.ndarray,
    deciles: np.ndarray,
    statistic: str,
    program: str,
    found: np.ndarray | None,
    usable: np.ndarray,
) -> dict[str, Any]:
    """Return the row of one program (`found`: positions of its genes; None = all genes) by `paired_profile_test`.

    Args:
        inputs: what is tested.
        r: correlations [n, n] of profile i on one side with profile j on the other.
        deciles: expression decile of each gene [n].
        statistic: the row's.
        program: the row's.
        found: positions of its genes.
        usable: which profiles vary on both sides [n].
    """
    random = inputs.random(statistic, program)
    result = paired_profile_test(r, deciles, inputs.permutations, random, members=found, usable=usable)
    who = {
        "statistic": statistic,
        "program": program,
        "unit": "gene",
        "n": len(result.genes),
        "n_background": int(usable.sum()),
    }
    notes = _left_out(result)
    enough = inputs.min_genes if found is not None else 2
    if len(result.genes) < enough:
        short = f"{len(result.genes)} genes with a varying profile and a partner, {enough} needed"
        return evidence.not_evaluable(inputs.identity, evidence.joined(short, *notes), **who)
    columns = evidence.tested(result.test, inputs.sharing, *notes)
    diagonal = r[result.genes, result.genes]
    low, high = bootstrap_mean(diagonal - result.partners, inputs.bootstrap, inputs.random("interval", program))
    return evidence.row(inputs.identity, **who, **columns, ci_low=low, ci_high=high, estimate_published=result.matched)


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


def correlations(
    ours: xr.DataArray,
    theirs: xr.DataArray,
    left_out: Sequence[int] | None = None,
    rows: Sequence[int] | None = None,
) -> np.ndarray:
    """Return Spearman r [n, n] of profile i in one context with profile j in the other, without outputs i and j.

    `left_out` leaves outputs out of every pair; with `rows` only these i are correlated, the others are nan.
    """
    own, n = own_outputs(ours), ours.sizes["perturbation"]
    rows = np.arange(n) if rows is None else np.asarray(rows, dtype=np.intp)
    r = np.full((n, n), np.nan)
    r[rows] = spearman_matrix(ours.values[rows], theirs.values, own[rows], own, left_out=left_out)
    return r


def own_outputs(profiles: xr.DataArray) -> np.ndarray:
    """Return the output [n] that is the knocked gene of each profile; -1 where it is not an output."""
    outputs = {name: position for position, name in enumerate(profiles.gene.values)}
    return np.array([outputs.get(name, -1) for name in profiles.perturbation.values], dtype=np.intp)


def varying(profiles: xr.DataArray, left_out: Sequence[int] = ()) -> np.ndarray:
    """Return which profiles [n] vary over outputs, their own gene and those in `left_out` aside."""
    kept = np.ones(profiles.shape, dtype=bool)
    kept[:, np.asarray(left_out, dtype=np.intp)] = False
    own = own_outputs(profiles)
    kept[np.flatnonzero(own >= 0), own[own >= 0]] = False
    high = np.where(kept, profiles.values, -np.inf).max(axis=1)
    low = np.where(kept, profiles.values, np.inf).min(axis=1)
    return high > low


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
