"""output_clustering: do the perturbations of a program change the output alike, and fall into the same clusters?"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertprobe.probes.base import (
    Drawing,
    TableInputs,
    TestInputs,
    World,
    members,
    stacked,
    tabulated,
)
from pertprobe.probes.questions import Coherence, Question, Whole, coherence_baselines
from pertprobe.probes.similarity_questions import coherences, consistency, sides_of, trained_profiles
from pertprobe.probes.worlds import profiled_subject, world_of
from pertprobe.statistics.clusters import adjusted_rand, enrichment, rand_test, same_cluster, ward_clusters
from pertprobe.statistics.null_worlds import pushed, responses
from pertprobe.statistics.power import benjamini_hochberg
from pertprobe.statistics.similarity import centred, cosine_similarity

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn

FEWEST_MAPPED = 5
"""Perturbations that a map needs."""
CLUSTERS = ("cluster", "cluster_published")
"""Columns of clusters: of centred profiles, and as published."""
ENRICHED = ["program", "cluster", "size", "members", "expected", "p", "q"]


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Is each program more coherent in delta_y, and more in one cluster, than perturbations of the same strength?"""
    if inputs.reference is not None:
        yield from _of_pair(inputs)
        return
    profiles = trained_profiles(inputs.subject, "delta_y")
    names, number = profiles.perturbation.values, inputs.settings["clusters"]
    as_published = cache(partial(clusters, profiles.values, number, raw=True))

    def published(_: np.ndarray, found: np.ndarray, __: np.random.Generator) -> tuple[float, float]:
        """Return the share of members in the cluster most enriched, and the p of all together (Simes 1986)."""
        counts, p = enrichment(as_published(), found)
        return counts[p.argmin()] / len(found), float(benjamini_hochberg(p).min())

    yield from coherences(inputs, profiles, published)
    together = lambda: same_cluster(clusters(profiles.values, number))  # noqa: E731
    held = inputs.subject.strengths(names)
    yield Coherence(statistic="co_clustering", names=names, strength=held, similarity=together)
    yield from coherence_baselines(inputs, names)


def clusters(profiles: np.ndarray, number: int | str, *, raw: bool = False) -> np.ndarray:
    """Return the cluster [P] of each profile [P, G]: of centred ones, or as published of raw ones (`ward_clusters`).

    Fewer than three profiles are one cluster.
    """
    if len(profiles) < 3:
        return np.zeros(len(profiles), dtype=np.intp)
    similarity = cosine_similarity(profiles if raw else centred(profiles))
    return ward_clusters(similarity, number, "cosine" if raw else "chord")


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return which cluster each perturbation lies in, and which programs a cluster holds more of than by chance.

    clusters: model, perturbation, cluster, cluster_published (0 is the largest), umap_1, umap_2 (empty where no map is
    asked for). enrichment: model, adjustment (raw: the published clusters), program, cluster, size, members, expected,
    p (hypergeometric), q: Benjamini-Hochberg over the programs and clusters of a model.
    """
    places, spreads = [], []
    for model, subject in inputs.measured("delta_y").items():
        profiles = trained_profiles(subject, "delta_y")
        names = profiles.perturbation.values
        number, seed = inputs.settings["clusters"], int(inputs.random("umap", model).integers(2**31))
        found = {name: clusters(profiles.values, number, raw=name != CLUSTERS[0]) for name in CLUSTERS}
        layout = umap_layout(profiles.values, seed, inputs.settings["umap"])
        columns = {"perturbation": names, **found, "umap_1": layout[:, 0], "umap_2": layout[:, 1]}
        places.append(pd.DataFrame(columns).assign(model=model))
        for adjustment, labels in zip(("centred", "raw"), found.values(), strict=True):
            table = enrichment_table(labels, names, inputs.programs, inputs.min_perturbations)
            spreads.append(table.assign(model=model, adjustment=adjustment))
    return tabulated("output_clustering", clusters=places, enrichment=spreads)


def umap_layout(profiles: np.ndarray, seed: int, wanted: bool = True) -> np.ndarray:
    """Return a map [P, 2] of profiles [P, G] by centred cosine (McInnes et al. 2018); nan where none can be drawn."""
    if not wanted or len(profiles) < FEWEST_MAPPED:
        return np.full((len(profiles), 2), np.nan)
    from umap import UMAP  # ten seconds of compilation, which nothing else needs

    near = min(15, len(profiles) - 1)
    return UMAP(n_neighbors=near, metric="cosine", random_state=seed, n_jobs=1).fit_transform(centred(profiles))


def enrichment_table(
    labels: np.ndarray, names: np.ndarray, programs: Mapping[str, Collection[str]], enough: int
) -> pd.DataFrame:
    """Return one row per program with enough members and cluster: the columns ENRICHED."""
    found, sizes = [], np.bincount(labels)
    for program, listed in programs.items():
        mine = members(names, listed)
        if len(mine) >= max(enough, 1):
            counts, p = enrichment(labels, mine)
            columns = {"cluster": np.arange(sizes.size), "size": sizes, "members": counts, "p": p, "q": np.nan}
            columns["expected"] = len(mine) * sizes / len(names)
            found.append(pd.DataFrame({"program": program, **columns}))
    table = stacked(found, ENRICHED)
    return table.assign(q=benjamini_hochberg(table.p.astype(float)))


def _of_pair(inputs: TestInputs) -> Iterator[Question]:
    """Yield the second-order agreement of two models: of their similarities, and of their clusters."""
    sides = sides_of(inputs.subject, inputs.reference, "delta_y")
    yield consistency(inputs, sides.ours, sides.theirs)
    number = inputs.settings["clusters"]

    def grouped(*, raw: bool = False) -> list[np.ndarray]:
        """Return both models' clusters."""
        return [clusters(each, number, raw=raw) for each in sides.means]

    how = {"statistic": "cluster_agreement", "first_order": True, "draws": lambda _: ("rand",)}
    test = lambda m, random: rand_test(*grouped(), np.prod(sides.strengths, axis=0), m, random)  # noqa: E731
    published = lambda _: (adjusted_rand(*grouped(raw=True)), np.nan)  # noqa: E731
    yield Whole(names=sides.names, test=test, published=published, **how)


def null_world(draw: Drawing) -> World:
    """Draw responses that share a direction the more the stronger, in clusters of the published number.

    Kinds "pair" and "pair, alike in strength": beside those of a second model, which has nothing in common with the
    first, or only which perturbations are strong.
    """
    sides = [responses(draw.rng, draw.units) for _ in range(2 if draw.kind else 1)]
    places = np.argsort(np.argsort(sides[0].strength))
    subjects = []
    for values, strength in sides:
        order = np.argsort(strength)[places] if subjects and draw.kind != "pair" else slice(None)
        moved = pushed(values[order], draw.members, draw.d, draw.rng)
        subjects.append(profiled_subject({"delta_y": (("set", "perturbation", "gene"), moved[None])}, strength[order]))
    return world_of(*subjects, settings={"clusters": 15})


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw each program's coherence beside its null, a map of the perturbations, and the programs of each cluster."""
    from pertprobe.probes import output_clustering_figure

    return output_clustering_figure.draw(inputs)
