"""routing_coherence: do perturbations that change the output alike reach it by like routes through the model?

The route of a perturbation is the derivative of the mean output with respect to its code. It is the same in a mechanism
and in a memorised answer (methods.md, Routing coherence): this probe never shows a mechanism.
"""

from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.errors import PertprobeError
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
    members,
    tabulated,
)
from pertprobe.probes.questions import Question, Row, Whole, coherence_baselines, per_set
from pertprobe.probes.similarity_questions import coherences, consistency, second_order_ceiling, trained_profiles
from pertprobe.probes.work import Sizes, Work, directions
from pertprobe.probes.worlds import profiled_subject, world_of
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator
from pertprobe.statistics.clusters import same_cluster, ward_clusters
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.null_worlds import pushed, routes
from pertprobe.statistics.permutation import Test, mean_score
from pertprobe.statistics.power import benjamini_hochberg
from pertprobe.statistics.reliability import Ceiling
from pertprobe.statistics.similarity import centred, cosine_similarity, without_shared

if TYPE_CHECKING:
    from pertprobe.models.base import Model
    from pertprobe.plots import DrawInputs, Drawn


CORRELATION, SPEARMAN, ONEHOT, CLUSTERED = "correlation", "correlation_spearman", "correlation_onehot", "same_cluster"
FEWEST = 4
"""Perturbations that a correlation of similarities needs."""
FURTHER = 1999
"""Draws for what no verdict reads."""
OF_CONTROLS = 999
"""Draws for the correlation of a control: the mean of its null is asked."""
COMPONENTS = 10
"""Components of the stacked derivatives that are shown and tested."""
TESTED = ["model", "component", "share", "program", "n", "shift", "p", "q"]
RAW = "raw"
AXES = {"routing": "feature", "delta_y": "gene", "onehot": "entry"}
"""What is measured of a perturbation -> the name of its axis."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return the perturbations to differentiate under: all with a trained code, or some of each cluster of delta_y.

    Of Ward clusters of the model's own delta_y, as published, one perturbation of each is taken after the other until
    there are enough: the strongest first, or at random. Clusters that have no more are passed over.
    """
    known, wanted = inputs.trained, inputs.settings["perturbations"]
    if wanted == "all" or wanted >= len(known):
        return known
    if inputs.responses is None:
        raise PertprobeError("routing_coherence: perturbations are chosen by the model's delta_y, which is not given")
    shifts = inputs.responses.loc[known]
    clusters = ward_clusters(cosine_similarity(shifts.to_numpy()), inputs.settings["clusters"], "cosine")
    if inputs.settings["choose"] == "strongest":
        order = np.argsort(-np.linalg.norm(shifts, axis=1), kind="stable")
    else:
        order = generator(inputs.seed, "routing", "chosen").permutation(len(known))
    turns = pd.Series(clusters[order]).groupby(clusters[order]).cumcount().to_numpy()
    taken = order[np.lexsort((clusters[order], turns))][:wanted]
    return sorted(known[each] for each in taken)


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return sketches of each perturbation's derivative by its code, and what the same cells answer; float32.

    routing [perturbation, feature] and delta_y [perturbation, gene]: means over cell sets. Of the model itself also
    routing_by_set, delta_y_by_set [set, ...] and, where its codes are made of features, onehot [perturbation, entry].
    """
    from pertprobe.interpret.jacobian import place  # torch, which tests do without
    from pertprobe.interpret.sketches import Sketching, routing_sketches

    if inputs.settings["at"] == "mean_cell" and "set_function" not in inputs.model.capabilities:
        reason = "a mean cell stands for others only in a set function: set at: cells"
        return xr.Dataset(attrs={NOT_EVALUABLE: reason})
    at = place(inputs.model, inputs.cells, inputs.settings, inputs.role)
    how = Sketching(inputs.settings["sketch"], inputs.seed, inputs.memory_gb)
    parts = list(routing_sketches(inputs.model, names, at, how, by_features=inputs.role == SUBJECT))
    found = {key: np.concatenate([part[key].detach().cpu().numpy() for part in parts]) for key in parts[0]}
    arrays = {}
    for key, values in found.items():
        means, axes = values.mean(1) if values.ndim == 3 else values, ("perturbation", AXES[key])
        arrays[key] = axes, means.astype(np.float32)
        if values.ndim == 3 and inputs.role == SUBJECT:
            arrays[f"{key}_by_set"] = ("set", *axes), values.swapaxes(0, 1).astype(np.float32)
    return labelled(arrays, perturbation=names).assign_attrs(batch=at.batch)


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return models in which members' derivatives by the code are alike by d, one that reads its cells and a lookup.

    The other planted models act through a gate for each program, whose derivative saturates. Both pass alike: the
    derivative by the code is the same in both.
    """
    from pertprobe.models.planted.gated import gated_models

    return gated_models(models["planted"], inputs.cells)


def work(sizes: Sizes) -> Work:
    """Return the directions of every perturbation's code."""
    wanted, width = sizes.settings["perturbations"], min(sizes.width, sizes.outputs)
    units = sizes.trained if wanted == "all" else min(wanted, sizes.trained)
    sketch = min(sizes.settings["sketch"], sizes.width * sizes.outputs)
    kept = units * (sketch + sizes.outputs) * (1 + sizes.sets if sizes.subject else 1)
    return directions(sizes, units * width)._replace(kept=kept)


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Are a program's routes more alike than those of others as strong, and do like answers come by like routes?"""
    if inputs.reference is not None:
        yield _of_pair(inputs)
        return
    whole = similarities(inputs.subject)
    correlation = cache(partial(published, whole))
    yield from coherences(inputs, whole.profiles, lambda *_: correlation())
    yield from overall(inputs, whole)
    yield from coherence_baselines(inputs, whole.names)


class Similarities(NamedTuple):
    """How alike perturbations are: by their routes, and by their answers."""

    profiles: xr.DataArray
    """Sketched derivatives by the code [perturbation, feature], mean over cell sets."""
    answers: xr.DataArray
    """delta_y of the same cells [perturbation, gene]."""
    names: np.ndarray
    strength: np.ndarray
    measurement: xr.Dataset


def similarities(subject: Subject) -> Similarities:
    """Return what was measured of a model under perturbations whose code was trained."""
    profiles, answers = (trained_profiles(subject, name) for name in ("routing", "delta_y"))
    names = profiles.perturbation.values
    return Similarities(profiles, answers, names, subject.strengths(names), subject.measurement)


def cosines(profiles: np.ndarray, adjustment: str) -> np.ndarray:
    """Return cosines [P, P] of profiles [P, F]: as they are, or without the shared effect of any size."""
    return cosine_similarity(profiles if adjustment == RAW else without_shared(profiles))


def upper(similarity: np.ndarray) -> np.ndarray:
    """Return the pairs i < j of a similarity."""
    return similarity[np.triu_indices(len(similarity), 1)]


def published(whole: Similarities, kind: str = CORRELATION) -> tuple[float, float]:
    """Return the published r of raw cosines over pairs, and its p, as if pairs were independent; nan below 4."""
    from scipy.stats import pearsonr, spearmanr

    if len(whole.names) < FEWEST:
        return np.nan, np.nan
    sides = [upper(cosines(each, RAW)) for each in (_routes(whole, kind).values, whole.answers.values)]
    if any(np.ptp(each) == 0 for each in sides):
        return np.nan, np.nan
    found = (spearmanr if kind == SPEARMAN else pearsonr)(*sides)
    return float(found.statistic), float(found.pvalue)


def _routes(whole: Similarities, kind: str) -> xr.DataArray:
    """Return the profiles that a statistic compares: by the code, or by the features that it is made of."""
    return averaged(whole.measurement, "onehot").sel(perturbation=whole.names) if kind == ONEHOT else whole.profiles


def overall(inputs: TestInputs, whole: Similarities) -> Iterator[Whole]:
    """Yield what is asked of all perturbations together."""
    most = None if inputs.identity.get("role", SUBJECT) == SUBJECT else OF_CONTROLS

    def ceiling(random: np.random.Generator) -> Ceiling | str:
        """Return how far routes and answers of disjoint cell sets could agree (methods.md, Noise ceilings)."""
        return second_order_ceiling(inputs, _by_set(whole), random, partial(cosines, adjustment="centred"))

    yield _correlation(inputs, whole, CORRELATION, ceiling=ceiling, most=most)
    if len(whole.names) < FEWEST:
        return
    yield _correlation(inputs, whole, CORRELATION, RAW)
    yield _correlation(inputs, whole, SPEARMAN)
    lacking = "" if "onehot" in whole.measurement else "the model's codes are not made of features"
    yield _correlation(inputs, whole, ONEHOT, short=lacking)
    yield _clustered(inputs, whole)


def _correlation(inputs: TestInputs, whole: Similarities, kind: str, adjustment: str = "centred", **more: Any) -> Whole:
    """Correlate the similarity of routes with that of answers; permute the labels of one, strength held."""

    def test(m: int, random: np.random.Generator) -> Test:
        """Test the correlation."""
        sides = (cosines(each.values, adjustment) for each in (_routes(whole, kind), whole.answers))
        return mantel(*sides, m, random, "spearman" if kind == SPEARMAN else "pearson", whole.strength)

    who = {"statistic": kind, "adjustment": adjustment, **_overall(inputs, whole), **more}
    return Whole(**who, draws=lambda _: (kind, adjustment), test=test, published=lambda _: published(whole, kind))


def _clustered(inputs: TestInputs, whole: Similarities) -> Whole:
    """Correlate the similarity of routes with sharing a cluster of answers; published: the ratio of their means."""
    number = inputs.settings["clusters"]

    def test(m: int, random: np.random.Generator) -> Test:
        """Test the correlation."""
        together = same_cluster(clusters(whole.answers.values, number, "centred"))
        return mantel(cosines(whole.profiles.values, "centred"), together, m, random, strength=whole.strength)

    ratio = lambda _: (cluster_ratio(whole, number), np.nan)  # noqa: E731
    return Whole(statistic=CLUSTERED, test=test, published=ratio, **_overall(inputs, whole))


def _overall(inputs: TestInputs, whole: Similarities) -> dict[str, Any]:
    """Return what all questions about all perturbations have in common."""
    batch = whole.measurement.attrs.get("batch")
    notes = [inputs.subject.held_out(whole.names), f"mean cell of batch {batch}" if batch else ""]
    return {"names": whole.names, "called": "perturbations", "fewest": FEWEST, "notes": notes, "most": FURTHER}


def clusters(answers: np.ndarray, number: int, adjustment: str) -> np.ndarray:
    """Return the Ward cluster [P] of each answer [P, G]; raw: by raw cosines, as published."""
    distance = "cosine" if adjustment == RAW else "chord"
    return ward_clusters(cosines(answers, adjustment), min(number, len(answers) - 1), distance)


def cluster_ratio(whole: Similarities, number: int) -> float:
    """Return the published ratio: mean raw cosine of routes within clusters of answers over that between clusters."""
    together = upper(same_cluster(clusters(whole.answers.values, number, RAW))) > 0
    similarity = upper(cosines(whole.profiles.values, RAW))
    if together.all() or not together.any():
        return np.nan
    return float(similarity[together].mean() / similarity[~together].mean())


def _by_set(whole: Similarities) -> list[xr.DataArray]:
    """Return routes and answers with their cell sets apart [set, perturbation, ...]; their means where none are."""
    if "routing_by_set" not in whole.measurement:
        return [whole.profiles, whole.answers]
    found = [by_set(whole.measurement, f"{name}_by_set") for name in ("routing", "delta_y")]
    return [each.sel(perturbation=whole.names).transpose("set", "perturbation", ...) for each in found]


def _of_pair(inputs: TestInputs) -> Whole:
    """Return the second-order agreement of two models: do they route the same perturbations alike, strength held?"""
    sides = [_set_profiles(each) for each in (inputs.subject, inputs.reference)]
    return consistency(inputs, *sides, strength=inputs.subject.strength * inputs.reference.strength)


def _set_profiles(subject: Subject) -> xr.DataArray:
    """Return a model's routes without what all share [set, perturbation, feature]; of controls their mean over sets."""
    whole = similarities(subject)
    routes = _by_set(whole)[0] if "variant" in whole.measurement.dims else whole.profiles
    sets = routes.values if "set" in routes.dims else [routes.values]
    return routes.copy(data=np.reshape([without_shared(each) for each in sets], routes.shape))


def null_world(draw: Drawing) -> World:
    """Draw routes and answers that share a direction the more the stronger, and vary with it; else they are unrelated.

    Kind "pair": beside the routes of another model of the same perturbations, as strong in it.
    """
    ways, answers, strength = routes(draw.rng, draw.units)
    subject = _drawn(pushed(ways, draw.members, draw.d, draw.rng), answers, strength)
    if draw.kind != "pair":
        return world_of(subject)
    others = routes(draw.rng, draw.units)
    order = np.argsort(others[-1])[np.argsort(np.argsort(strength))]
    return world_of(subject, _drawn(*(each[order] for each in others)))


def _drawn(ways: np.ndarray, answers: np.ndarray, strength: np.ndarray) -> Subject:
    variables = {"routing": ways, "delta_y": answers}
    return profiled_subject({name: (("perturbation", AXES[name]), each) for name, each in variables.items()}, strength)


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return what the rows are made of, model by model: few-shot and zero-shot stand side by side.

    summary: model, adjustment, n, pearson, pearson_se (its standard error from cell sets), spearman, onehot,
    cluster_ratio, first_share (of the stacked derivatives' first component). deciles: model, adjustment, decile of the
    similarity of answers, pairs, and both mean similarities. components: model, component, share (of the derivatives
    without their mean), program, n, shift (mean score of the members in sd of all others), p (two-sided, strength held)
    and q over the programs and components of a model.
    """
    summary, deciles, components = [], [], []
    for model, subject in inputs.measured("routing").items():
        whole = similarities(subject)
        if len(whole.names) < FEWEST:
            continue
        for adjustment in ("centred", RAW):
            summed = summarised(whole, adjustment, inputs.settings["clusters"])
            summary.append(pd.DataFrame([{"model": model, **summed}]))
            deciles.append(decile_curve(whole, adjustment).assign(model=model, adjustment=adjustment))
        components.append(_component_table(inputs, model, whole))
    return tabulated("routing_coherence", components=components, deciles=deciles, summary=summary)


def summarised(whole: Similarities, adjustment: str, number: int) -> Row:
    """Return the descriptive figures of one model, as columns of the table `summary`."""
    from scipy.stats import spearmanr

    routes, answers = (upper(cosines(each.values, adjustment)) for each in (whole.profiles, whole.answers))
    row = {"adjustment": adjustment, "n": len(whole.names)}
    row |= {"pearson": _pearson(routes, answers), "pearson_se": _standard_error(whole, adjustment)}
    row |= {"spearman": float(spearmanr(routes, answers).statistic)}
    if "onehot" in whole.measurement:
        row["onehot"] = _pearson(upper(cosines(_routes(whole, ONEHOT).values, adjustment)), answers)
    row["cluster_ratio"] = cluster_ratio(whole, number) if adjustment == RAW else np.nan
    return {"onehot": np.nan, **row, "first_share": float(explained_variance(whole.profiles.values, adjustment)[0])}


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    spread = np.ptp(first) > 0 and np.ptp(second) > 0
    return float(np.corrcoef(first, second)[0, 1]) if spread else np.nan


def _standard_error(whole: Similarities, adjustment: str) -> float:
    """Return the standard error of r from its spread over disjoint cell sets; nan with one set."""
    sides = _by_set(whole)
    if not per_set(*sides):
        return np.nan
    each = [_pearson(*(upper(cosines(one, adjustment)) for one in pair))
            for pair in zip(*(side.values for side in sides), strict=True)]  # fmt: skip
    return float(np.std(each, ddof=1) / np.sqrt(len(each)))


def decile_curve(whole: Similarities, adjustment: str) -> pd.DataFrame:
    """Return the mean similarity of routes in each decile of the similarity of answers, over pairs."""
    answers, routes = (upper(cosines(each.values, adjustment)) for each in (whole.answers, whole.profiles))
    decile = pd.Series(answers).rank(method="first").sub(1).mul(10).floordiv(len(answers)).astype(int)
    table = pd.DataFrame({"decile": decile, "delta_y_similarity": answers, "routing_similarity": routes})
    means = table.groupby("decile").mean()
    return means.assign(pairs=decile.value_counts()).reset_index()


def explained_variance(profiles: np.ndarray, adjustment: str) -> np.ndarray:
    """Return the share of the squares of stacked derivatives [P, F] in each component, largest first."""
    values = np.linalg.svd(profiles if adjustment == RAW else centred(profiles), compute_uv=False) ** 2
    return values / max(values.sum(), 1e-300)


def components(profiles: np.ndarray) -> np.ndarray:
    """Return the scores [P, k] of perturbations on the components of their derivatives, the mean removed.

    A component's sign means nothing; its largest score is made positive.
    """
    left, sizes, _ = np.linalg.svd(centred(profiles), full_matrices=False)
    k = min(COMPONENTS, int((sizes > 1e-10 * max(sizes[0], 1e-300)).sum()))
    scores = left[:, :k] * sizes[:k]
    return scores * np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(k)])


def _component_table(inputs: TableInputs, model: str, whole: Similarities) -> pd.DataFrame:
    """Test every component's scores against every program that has enough members, both tails."""
    scores, share = components(whole.profiles.values), explained_variance(whole.profiles.values, "centred")
    draws = min(inputs.permutations, FURTHER)
    found, rows = {name: members(whole.names, listed) for name, listed in inputs.programs.items()}, []
    enough = {n: each for n, each in found.items() if inputs.min_perturbations <= len(each) <= len(whole.names) - 2}
    for component in range(scores.shape[1]):
        for program, inside in enough.items():
            random = partial(inputs.random, model, component, program)
            p, shift = two_sided(scores[:, component], inside, whole.strength, draws, random)
            rows.append((model, component + 1, share[component], program, len(inside), shift, p, np.nan))
    table = pd.DataFrame(rows, columns=TESTED)
    return table.assign(q=benjamini_hochberg(table.p.to_numpy(dtype=float)))


def two_sided(scores: np.ndarray, inside: np.ndarray, strength: np.ndarray, m: int, random: Any) -> tuple[float, float]:
    """Return p of members' mean score against matched sets, twice the smaller tail, and their shift in sd of others."""
    tests = [mean_score(sign * scores, inside, strength, m, random(sign)) for sign in (1, -1)]
    outside = np.delete(scores, inside)
    spread = outside.std(ddof=1)
    shift = (scores[inside].mean() - outside.mean()) / spread if spread > 0 else np.nan
    return min(1.0, 2 * min(getattr(test, test.p_used) for test in tests)), float(shift)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw each program's coherence beside its null, routes against answers by decile, and the components' shares."""
    from pertprobe.probes import routing_coherence_figure

    return routing_coherence_figure.draw(inputs)
