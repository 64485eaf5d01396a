"""pert_embedding: are the perturbations of a program close to each other in the model's own perturbation code?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.data.programs import Programs
from pertprobe.probes.base import (
    Drawing,
    MeasureInputs,
    Subject,
    TableInputs,
    TestInputs,
    World,
    holders,
    tabulated,
)
from pertprobe.probes.questions import Coherence, Question, coherence_baselines
from pertprobe.probes.similarity_questions import (
    centred_cosine,
    coherences,
    consistency,
    matched_cosine,
    nearest,
    trained_profiles,
)
from pertprobe.probes.work import Sizes, Work
from pertprobe.probes.worlds import along_nuisance, profiled_subject, world_of
from pertprobe.statistics.axes import pairs_without_axes
from pertprobe.statistics.null_worlds import CONFOUNDED, dense, pushed
from pertprobe.statistics.published import rank_sum_pairs
from pertprobe.statistics.sets import pairs_without_strength
from pertprobe.statistics.similarity import over_spread

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return the perturbation codes, embedding [perturbation, feature]."""
    from pertprobe.models.base import encode_each  # torch, which tests do without

    codes = encode_each(inputs.model, names).detach().cpu().numpy()
    coords = {"perturbation": names, "feature": [f"h{i}" for i in range(codes.shape[1])]}
    return xr.Dataset({"embedding": (tuple(coords), codes)}, coords)


def work(sizes: Sizes) -> Work:
    """Return no pass: codes are read."""
    return Work(kept=sizes.perturbations * sizes.width)


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Is each program more coherent in pert_encoder space than perturbations of the same strength?"""
    profiles = trained_profiles(inputs.subject, "embedding")
    if inputs.reference is not None:
        partner = trained_profiles(inputs.reference, "embedding")
        yield consistency(inputs, profiles, partner, _mean_matched_cosine)
        return
    yield from coherences(inputs, profiles, lambda raw, found, _: rank_sum_pairs(raw, found))
    yield _neighbours(inputs, profiles)
    yield from coherence_baselines(inputs, profiles.perturbation.values)


def neighbours(similarity: np.ndarray, k: int) -> np.ndarray:
    """Return who is among whose k nearest, bool [P, P]; ties go to the earlier name."""
    adjacent = np.zeros(similarity.shape, dtype=bool)
    np.put_along_axis(adjacent, nearest(similarity, k), True, axis=1)
    return adjacent


def within_reach(similarity: np.ndarray, k: int) -> np.ndarray:
    """Return how many of the two are among the other's k nearest, halved: 0, 0.5 or 1 [P, P]."""
    adjacent = neighbours(similarity, k).astype(float)
    return (adjacent + adjacent.T) / 2


def _neighbours(inputs: TestInputs, profiles: xr.DataArray) -> Coherence:
    """Return the question for the share of members' k nearest neighbours that lie in the program.

    It is the mean over pairs of members of who is near whom, times the neighbours that a member can have in the
    program, over k. In the strength-matched null neighbours are sought anew in what nuisances do not explain: taken
    from neighbourhood itself it would break the ties of numbers that are 0, 0.5 or 1. There each pair counts over the
    spread of its units' pairs, or strong perturbations, whose pairs spread widest, would be each other's nearest.
    """
    names = profiles.perturbation.values
    k = min(inputs.settings["neighbours"], len(names) - 1)
    strength, beside = inputs.subject.strengths(names), inputs.beside(names)
    similarity = centred_cosine(profiles.values)
    apart = beside.pairs_without(similarity)
    apart = pairs_without_axes(apart, beside.axes) if beside.axes else pairs_without_strength(apart, strength)
    near = {"similarity": within_reach(similarity, k), "adjusted": within_reach(over_spread(apart), k)}
    how = {"scale": lambda n: (n - 1) / min(k, n - 1), "draws": lambda program: ("neighbours", program)}
    return Coherence(statistic="nearest_neighbours", names=names, strength=strength, **near, **how)


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return who is nearest to whom in each model's code.

    neighbours: model, perturbation, rank (1: the nearest), neighbour, cosine (of codes less their mean), programs that
    hold both, with semicolons between.
    """
    k, parts = inputs.settings["neighbours"], []
    for model, each in inputs.measured("embedding").items():
        found = neighbours_of_all(trained_profiles(each, "embedding"), k, inputs.programs)
        parts.append(found.assign(model=model))
    return tabulated("pert_embedding", neighbours=parts)


def neighbours_of_all(profiles: xr.DataArray, k: int, programs: Programs) -> pd.DataFrame:
    """Return the k nearest of every perturbation of profiles [perturbation, feature], a row each."""
    names, similarity = profiles.perturbation.values, centred_cosine(profiles.values)
    places = nearest(similarity, min(k, max(len(names) - 1, 0)))
    first, rank = (each.ravel() for each in np.indices(places.shape))
    near = pd.DataFrame({"perturbation": names[first], "rank": rank + 1, "neighbour": names[places.ravel()]})
    held, pairs = holders(programs), zip(near.perturbation, near.neighbour, strict=True)
    both = [";".join(each for each in held.get(one, ()) if each in held.get(other, ())) for one, other in pairs]
    return near.assign(cosine=similarity[first, places.ravel()], programs=both)


def null_world(draw: Drawing) -> World:
    """Draw codes that share a direction the more the stronger; "pair": and those of a model that shares nothing.

    Other kinds are those of `null_worlds.confounded`, with what is known of batches, training and numbers of cells.
    """
    if draw.kind in CONFOUNDED:
        return along_nuisance(draw, lambda values: {"embedding": (("perturbation", "feature"), values)})
    return world_of(*(_drawn(draw) for _ in range(2 if draw.kind == "pair" else 1)))


def _drawn(draw: Drawing) -> Subject:
    codes, strength = dense(draw.rng, draw.units)
    values = pushed(codes, draw.members, draw.d, draw.rng)
    return profiled_subject({"embedding": (("perturbation", "feature"), values)}, strength)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw each program's coherence beside its null (above), and who is nearest to whom (below)."""
    from pertprobe.probes import pert_embedding_figure

    return pert_embedding_figure.draw(inputs)


def _mean_matched_cosine(ours: xr.DataArray, theirs: xr.DataArray) -> float:
    """Return the published first-order agreement; nan where the codes differ in size."""
    return float(matched_cosine(ours.values, theirs.values).mean()) if ours.shape == theirs.shape else np.nan
