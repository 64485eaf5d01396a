"""knockout: does silencing a gene in the input cells shift the output alike in two contexts, and alike in a program?"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.data.programs import Programs
from pertprobe.probes.base import (
    NOT_EVALUABLE,
    Drawing,
    Subject,
    TableInputs,
    TestInputs,
    World,
    averaged,
    by_set,
    holders,
    members,
    over_sets,
    tabulated,
)
from pertprobe.probes.knockout_questions import (
    BEYOND,
    KNOCKED_OUT,
    agreement,
    beyond_rivals,
    coexpression_profiles,
    correlations,
    shared,
)
from pertprobe.probes.knockout_worlds import drawn_knockouts
from pertprobe.probes.questions import ONE_SET, Coherence, Paired, Question, Refused, per_set
from pertprobe.probes.silenced_genes import measure, notes, units
from pertprobe.probes.similarity_questions import centred_cosine
from pertprobe.probes.work import silencing as work
from pertprobe.roles import COEXPRESSION, OBSERVED
from pertprobe.statistics.matched import PairedTest
from pertprobe.statistics.reliability import Ceiling, mean_noise_ceiling

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn

__all__ = ["measure", "units", "work"]


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Do profiles of one gene agree between contexts more than those of like genes; are programs' profiles alike?"""
    if inputs.reference is None:
        yield _coherence(inputs.subject)
        return
    sides = shared(*(by_set(each.measurement, "shift") for each in (inputs.subject, inputs.reference)))
    said = notes(inputs.subject.measurement, inputs.reference.measurement)
    for together in (False, True):
        ceiling = partial(_ceiling, inputs, *sides)
        yield _agreement(inputs, *map(over_sets, sides), together=together, ceiling=ceiling, notes=said)
    yield from _beyond(inputs, *map(over_sets, sides), said)
    yield from _baselines(inputs, sides[0].perturbation.values)


def _coherence(subject: Subject) -> Coherence:
    """Return whether a program's genes shift the output alike."""
    profiles = averaged(subject.measurement, "shift")
    genes = {"names": profiles.perturbation.values, "unit": "gene", "called": KNOCKED_OUT}
    genes["notes"] = notes(subject.measurement)
    strength, similarity = np.linalg.norm(profiles.values, axis=1), partial(centred_cosine, profiles.values)
    return Coherence(statistic="coherence", strength=strength, similarity=similarity, **genes)


def _agreement(inputs: TestInputs, ours: xr.DataArray, theirs: xr.DataArray, *role: str, **more: Any) -> Paired:
    """Return the agreement between contexts; published is the mean r of genes with themselves."""
    return agreement(inputs, ours, theirs, *role, published=lambda result: (result.matched, np.nan), **more)


def _beyond(
    inputs: TestInputs, ours: xr.DataArray, theirs: xr.DataArray, said: Sequence[str]
) -> Iterator[Paired | Refused]:
    """Yield the agreement that is left beyond what rivals of both sides answer to the same genes."""
    answered = inputs.rivals, inputs.reference_rivals
    if any(each is None for each in answered):
        return
    if any("knockout" not in each for each in answered):
        why = evidence.joined(*dict.fromkeys(each.attrs.get(NOT_EVALUABLE, "") for each in answered))
        yield Refused(statistic=BEYOND, unit="gene", reason=f"rivals are not asked: {why}")
        return
    known = [each["knockout"].rename(silenced="perturbation") for each in answered]
    axes = ("perturbation", "gene")
    place = {axis: sorted(set.intersection(*(set(each[axis].values) for each in (ours, *known)))) for axis in axes}
    sides = [each.sel(place) for each in (ours, theirs)]
    how = {"statistic": BEYOND, "correlated": partial(beyond_rivals, known), "notes": said}
    for together in (False, True):
        yield agreement(inputs, *sides, together=together, **how)


def _ceiling(
    inputs: TestInputs,
    ours: xr.DataArray,
    theirs: xr.DataArray,
    _: PairedTest,
    program: str,
    random: np.random.Generator,
) -> Ceiling | str:
    """Return the noise ceiling of the mean agreement, from profiles of disjoint cell sets.

    Source: methods.md, Noise ceilings.
    """
    if not per_set(ours, theirs):
        return ONE_SET
    own = inputs.programs[program] if program else ()
    genes = members(ours.perturbation.values, own) if program else slice(None)
    kept = ~np.isin(ours.gene.values, own)
    profiles = [each.transpose("set", "perturbation", "gene").values[:, genes][:, :, kept] for each in (ours, theirs)]
    return mean_noise_ceiling(*profiles, inputs.bootstrap, random, correlation="spearman")


def _baselines(inputs: TestInputs, knocked_out: Sequence[str]) -> Iterator[Paired]:
    """Yield the same agreement of observed responses to a gene's knock-down, and of its co-expression profiles.

    The co-expression profile of a gene is its correlation with every other in control cells: what a model that
    remembers co-variation would answer.
    """
    sides = inputs.subject.observed, inputs.reference.observed
    if any(each is None for each in sides):
        return
    shifts = [each["delta_y"].astype(np.float64).sortby("perturbation") for each in sides]
    known = [each.sel(perturbation=np.isin(each.perturbation.values, inputs.cells.genes)) for each in shifts]
    yield _agreement(inputs, *shared(*known), OBSERVED)
    if all("correlation" in each for each in sides):
        profiles = [coexpression_profiles(each, knocked_out) for each in sides]
        yield _agreement(inputs, *shared(*profiles), COEXPRESSION)


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return how each knocked-out gene agrees with itself between two contexts.

    genes: model, reference, gene, r (Spearman of the mean shift over outputs, the silenced gene left out), r_others
    (its mean with all other genes of the reference), programs that hold the gene, with semicolons between.
    """
    parts = []
    for names, sides in inputs.paired("shift"):
        profiles = shared(*(averaged(each.measurement, "shift") for each in sides))
        parts.append(
            of_genes(correlations(*profiles), profiles[0].perturbation.values, inputs.programs).assign(**names)
        )
    return tabulated("knockout", genes=parts)


def of_genes(r: np.ndarray, genes: np.ndarray, programs: Programs) -> pd.DataFrame:
    """Return r of every gene with itself and the mean of its others of a matrix r [gene, gene], nan where constant."""
    known, own = ~np.isnan(r), np.diagonal(r)
    known[np.diag_indices_from(known)] = False
    sums, n = np.where(known, r, 0.0).sum(axis=1), known.sum(axis=1)
    others = np.divide(sums, n, out=np.full(len(r), np.nan), where=n > 0)
    held = holders(programs)
    listed = [";".join(held.get(gene, ())) for gene in genes]
    return pd.DataFrame({"gene": genes, "r": own, "r_others": others, "programs": listed})


def null_world(draw: Drawing) -> World:
    """Draw two contexts in which silencing a gene does what silencing any does, the more the higher it is expressed.

    What rivals answer has nothing to do with it.
    """
    drawn = drawn_knockouts(draw)
    subject, reference = (drawn.subject(shift=each) for each in (drawn.ours, drawn.theirs))
    axes = {"rival": ["a", "b", "c"], "silenced": drawn.expression.index, "gene": subject.measurement.gene.values}
    answers = tuple(axes), draw.rng.normal(size=(3, *drawn.ours.shape))
    rivals = dict.fromkeys(("rivals", "reference_rivals"), xr.Dataset({"knockout": answers}, axes))
    given = {"subject": subject, "reference": reference, "cells": drawn.cells, "comparison": "contexts", **rivals}
    return World(drawn.expression, lambda _: given)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw knock-outs of the same gene in two contexts, and each program's agreement and coherence."""
    from pertprobe.probes import knockout_figure

    return knockout_figure.draw(inputs)
