"""jacobian_divergence: does what genes do to genes differ between two contexts more under a program's perturbations?

The whole Jacobian dY/dX under a perturbation is compared between two models. What differs alike under every one belongs
to the models and to no program: it is taken out of the primary statistic, and its share is reported.
"""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.probes.base import (
    NOT_EVALUABLE,
    Drawing,
    MeasureInputs,
    Subject,
    TableInputs,
    TestInputs,
    World,
    averaged,
    by_set,
    labelled,
    tabulated,
)
from pertprobe.probes.questions import Coherence, Described, Number, Question, Refused, Score
from pertprobe.probes.similarity_questions import centred_cosine
from pertprobe.probes.work import Sizes, Work
from pertprobe.probes.worlds import profiled_subject, world_of
from pertprobe.roles import OBSERVED, SUBJECT
from pertprobe.seeding import generator
from pertprobe.statistics.null_worlds import SPREAD, WIDTH
from pertprobe.statistics.published import rank_sum_triples
from pertprobe.statistics.reliability import Share, share_of_sums
from pertprobe.statistics.similarity import centred

if TYPE_CHECKING:
    from pertprobe.models.base import Model
    from pertprobe.plots import DrawInputs, Drawn

OWN = "own_divergence"
FEWEST = 4
"""Perturbations that two models must share."""
ROUNDING = 1e-5
"""A difference below this share of the Jacobians is none: models compute in float32."""
MOST = 15
"""Programs in the figure."""
GENERAL, COMMON = 2.0, 10.0
"""Of a null world: the difference that all perturbations have, and the Jacobian that both models have, beside what
differs under one perturbation alone."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return the perturbations: all with a trained code, or a number of them drawn by name, the same in every model."""
    known, wanted = inputs.trained, inputs.settings["perturbations"]
    if wanted == "all" or wanted >= len(known):
        return known
    return sorted(sorted(known, key=lambda name: generator(inputs.seed, "divergence", name).random())[:wanted])


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return sketches of dY/dX at the mean cell, causal [perturbation, feature], mean over cell sets; float32.

    Between the genes that the model reads and writes and every context of the run measures. Of the model itself also
    causal_by_set [set, perturbation, feature]. The attribute `basis` tells lists of genes apart.
    """
    from pertprobe.interpret.jacobian import place  # torch, which tests do without
    from pertprobe.interpret.sketches import Sketching, basis, causal_sketches

    if not (genes := shared_genes(inputs)):
        return xr.Dataset(attrs={NOT_EVALUABLE: "no gene is read, written and measured in every context"})
    at = place(inputs.model, inputs.cells, inputs.settings, inputs.role)
    how = Sketching(inputs.settings["sketch"], inputs.seed, inputs.memory_gb)
    parts = causal_sketches(inputs.model, names, at, genes, how)
    values = np.concatenate([part["causal"].detach().cpu().numpy() for part in parts]).astype(np.float32)
    axes = "perturbation", "feature"
    found = {"causal": (axes, values.mean(1))}
    if inputs.role == SUBJECT:
        found["causal_by_set"] = ("set", *axes), values.swapaxes(0, 1)
    return labelled(found, perturbation=names).assign_attrs(basis=basis(genes), genes=len(genes), batch=at.batch)


def work(sizes: Sizes) -> Work:
    """Return the directions of each perturbation's factors, and the products of which its Jacobian is made."""
    wanted = sizes.settings["perturbations"]
    runs = sizes.sets * (sizes.trained if wanted == "all" else min(wanted, sizes.trained))
    rank, entries = min(sizes.width, sizes.outputs), sizes.genes * sizes.outputs
    kept = min(sizes.settings["sketch"], entries) * runs * (1 + 1 / sizes.sets if sizes.subject else 1 / sizes.sets)
    return Work(at_mean=rank * runs, products=runs * entries * rank, kept=kept)


def shared_genes(inputs: MeasureInputs) -> list[str]:
    """Return the genes, sorted, that the model reads and writes and all contexts measure that measure any of them."""
    genes = set(inputs.model.genes) & set(inputs.model.output_genes)
    measured = [each for cells in inputs.contexts if (each := genes & set(cells.genes))]
    return sorted(genes.intersection(*measured))


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return the models that differ between contexts alike under every perturbation: nothing is to be found in them.

    No mechanism is planted: every perturbation has one divergence, in which not all programs can stand out at once.
    """
    context = inputs.cells.context
    return {kind: elsewhere(models[kind], context) for kind in ("lookup", "covariation") if kind in models}


def plant_first(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return the planted models whose first program alone acts on other genes in each context: that one stands out."""
    return {kind: elsewhere(model, inputs.cells.context, programs=1) for kind, model in models.items()}


def elsewhere(model: "Model", context: str, programs: int | None = None) -> "Model":
    """Return the planted model whose first programs (None: all) act on other genes, drawn by the context's name."""
    from pertprobe.models.planted.closed_form import BACKGROUND

    places = generator(model.card["seed"], "divergence", "targets", context).permutation(len(model.output_genes))
    effects = model.parts.effects.clone()
    moved = slice(len(effects) - len(BACKGROUND) if programs is None else programs)
    effects[moved] = effects[moved, places]
    other = copy(model)
    other.parts = model.parts._replace(effects=effects)
    return other


@dataclass(frozen=True)
class Differences:
    """What differs between two models, perturbation by perturbation."""

    names: np.ndarray
    values: np.ndarray
    """Differences [P, F] in units of the Jacobians' norms (geometric mean of both)."""
    cosine: np.ndarray
    """Of both Jacobians [P]."""
    strength: np.ndarray
    """Geometric mean of both models' [P]."""

    @cached_property
    def whole(self) -> np.ndarray:
        """Norm of each difference [P]: 1 = as large as the Jacobians."""
        return np.linalg.norm(self.values, axis=1)

    @cached_property
    def own(self) -> np.ndarray:
        """Norm of what each difference has beside the mean over perturbations [P]."""
        found = np.linalg.norm(centred(self.values), axis=1)
        return np.where(found < ROUNDING, 0.0, found)


def differences(ours: xr.DataArray, theirs: xr.DataArray, sides: tuple[Subject, Subject]) -> Differences:
    """Compare profiles [perturbation, F] of two models on the perturbations that both have with a trained code.

    Perturbations whose Jacobian is 0 in a model are left out.
    """
    names = np.intersect1d(ours.perturbation.values, theirs.perturbation.values)
    names = names[sides[0].trained(names) & sides[1].trained(names)]
    a, b = (each.sel(perturbation=names).values.astype(np.float64) for each in (ours, theirs))
    scale = np.sqrt(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    kept = scale > 0
    names, a, b, scale = names[kept], a[kept], b[kept], scale[kept]
    strength = np.sqrt(np.prod([side.strengths(names) for side in sides], axis=0))
    return Differences(names, (a - b) / scale[:, None], (a * b).sum(axis=1) / scale**2, strength)


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Do two contexts differ more under a program's perturbations than under others of the same strength?"""
    if inputs.reference is None:
        return
    sides = inputs.subject, inputs.reference
    found = _of_models(sides)
    shared = 0 if found is None else len(found.names)
    if len(_bases(sides)) > 1:
        yield Refused(statistic=OWN, reason="the models' Jacobians were measured between different genes")
    elif shared < FEWEST:
        yield Refused(statistic=OWN, reason=f"{shared} shared perturbations, {FEWEST} needed")
    else:
        yield from _of_pair(inputs, sides, found)
        yield from _observed(sides)


def _bases(sides: tuple[Subject, Subject]) -> set[str]:
    """Return which lists of genes the Jacobians of two models were measured between."""
    return {side.measurement.attrs.get("basis", "") for side in sides}


def _of_models(sides: tuple[Subject, Subject]) -> Differences | None:
    """Return how two models differ; None where they cannot be compared."""
    if len(_bases(sides)) > 1 or any("causal" not in side.measurement for side in sides):
        return None
    return differences(*(averaged(side.measurement, "causal") for side in sides), sides)


def _of_pair(inputs: TestInputs, sides: tuple[Subject, Subject], found: Differences) -> Iterator[Question]:
    """Yield what is asked of two models: of each program, and of all perturbations together."""
    notes, n = [], len(found.names)
    if inputs.identity.get("role", SUBJECT) == SUBJECT:
        share = f"share of the difference that all perturbations have: {shared_share(found).estimate:.2f}"
        notes = [share, reliability(sides)]
    yield _score(found, OWN, found.own, notes=notes)
    yield _score(found, "divergence", found.whole)
    similarity = partial(centred_cosine, found.values)
    yield Coherence(statistic="coherence", names=found.names, strength=found.strength, similarity=similarity)
    yield Described(statistic="shared_share", number=lambda _: Number(*shared_share(found), n, n))
    by_strength = lambda _: Number(_by_strength(found), n=n, background=n)  # noqa: E731
    yield Described(statistic="divergence_and_strength", number=by_strength)


def _score(found: Differences, statistic: str, scores: np.ndarray, **more: Any) -> Score:
    """Return the question whether a program's scores are higher; published: the ratio of whole divergences."""

    def published(inside: np.ndarray, _: np.random.Generator) -> tuple[float, float]:
        """Return the mean of members over that of all others, and the p of a rank sum."""
        mine, others = found.whole[inside], np.delete(found.whole, inside)
        ratio = float(mine.mean() / others.mean()) if others.mean() > 0 else np.nan
        return ratio, rank_sum_triples(mine, others).p

    more |= {"names": found.names, "strength": found.strength, "called": "shared perturbations"}
    return Score(statistic=statistic, scores=scores, published=published, **more)


def _observed(sides: tuple[Subject, Subject]) -> Iterator[Score]:
    """Yield the same of the observed responses, by their own strength: do they differ more between the contexts?"""
    if any(side.observed is None for side in sides):
        return
    shifts = [side.observed["delta_y"].astype(np.float64) for side in sides]
    genes = sorted(set(shifts[0].gene.values) & set(shifts[1].gene.values))
    strengths = [pd.Series(np.linalg.norm(each, axis=1), index=each.perturbation.values) for each in shifts]
    observed = tuple(replace(side, strength=own) for side, own in zip(sides, strengths, strict=True))
    found = differences(*(each.sel(gene=genes) for each in shifts), observed)
    if len(found.names) >= FEWEST:
        yield _score(found, OWN, found.own, role=OBSERVED)


def shared_share(found: Differences) -> Share:
    """Return the share of all squared differences that their mean explains, with its jackknife interval."""
    own = found.own**2
    return share_of_sums(found.whole**2 - own, own)


def _by_strength(found: Differences) -> float:
    """Return Spearman's r of divergence and strength; nan where one of them does not vary."""
    from scipy.stats import spearmanr

    flat = np.ptp(found.own) == 0 or np.ptp(found.strength) == 0
    return np.nan if flat else float(spearmanr(found.own, found.strength).statistic)


def reliability(sides: tuple[Subject, Subject]) -> str:
    """Say how the scores of disjoint cell sets correlate over perturbations; empty where there is one set."""
    if any("causal_by_set" not in side.measurement for side in sides):
        return ""
    sets = [by_set(side.measurement, "causal_by_set") for side in sides]
    number = min(each.sizes["set"] for each in sets)
    if number < 2:
        return "one cell set: no reliability"
    scores = [differences(*(each.isel(set=i) for each in sets), sides).own for i in range(number)]
    if any(np.ptp(each) == 0 for each in scores):
        return ""
    r = np.corrcoef(scores)[np.triu_indices(number, 1)].mean()
    return f"scores of disjoint cell sets correlate {r:.2f}"


def null_world(draw: Drawing) -> World:
    """Draw Jacobians of two contexts that differ under every perturbation alike, and more under stronger ones.

    Members' own differences are `d` sd of all others' longer.
    """
    rng = draw.rng
    strength = rng.lognormal(0, SPREAD, draw.units)
    own = np.sqrt(strength)[:, None] * rng.normal(size=(draw.units, WIDTH))
    chosen, size = list(draw.members), np.linalg.norm(own, axis=1, keepdims=True)
    own[chosen] *= 1 + draw.d * np.delete(size, chosen).std(ddof=1) / size[chosen]
    differ = own + GENERAL * rng.normal(size=WIDTH)
    common = COMMON * rng.normal(size=WIDTH)
    measured = [{"causal": (("perturbation", "feature"), common + half)} for half in (differ / 2, -differ / 2)]
    return world_of(*(profiled_subject(each, strength) for each in measured), settings={})


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return every perturbation's divergence, and each program's beside that of the others.

    perturbations: model, reference, perturbation, divergence and own_divergence (in norms of the Jacobians), cosine of
    the two Jacobians, strength. programs: model, reference, program, n, mean own_divergence of its members, of all
    others, of the members of other programs, and the ratio to the latter: 1 where it is no more than any program's.
    """
    places, programs = [], []
    for pair, sides in inputs.paired("causal"):
        if (found := _of_models(sides)) is None:
            continue
        columns = {"divergence": found.whole, "own_divergence": found.own, "cosine": found.cosine}
        places.append(pd.DataFrame({**pair, "perturbation": found.names, **columns, "strength": found.strength}))
        programs.append(_beside_others(inputs, found).assign(**pair))
    return tabulated("jacobian_divergence", perturbations=places, programs=programs)


def _beside_others(inputs: TableInputs, found: Differences) -> pd.DataFrame:
    """Return each program's mean own divergence beside that of all others, and of members of other programs."""
    inside = {program: np.isin(found.names, listed) for program, listed in inputs.programs.items()}
    rows = []
    for program, mine in inside.items():
        elsewhere = np.any([each for name, each in inside.items() if name != program] or [~mine], axis=0) & ~mine
        if mine.sum() < inputs.min_perturbations:
            continue
        means = [found.own[chosen].mean() if chosen.any() else np.nan for chosen in (mine, ~mine, elsewhere)]
        rows.append((program, int(mine.sum()), *means, means[0] / means[2] if means[2] else np.nan))
    return pd.DataFrame(rows, columns=["program", "n", "own_divergence", "others", "other_programs", "ratio"])


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw each program's own divergence beside its null, and every perturbation's against its strength."""
    from pertprobe.probes import jacobian_divergence_figure

    return jacobian_divergence_figure.draw(inputs)
