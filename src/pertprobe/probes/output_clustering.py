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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pertprobe.plots import DrawInputs

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


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw each program's coherence beside its null, a map of the perturbations, and the programs of each cluster."""
    from pertprobe.plots import coherence_columns, nothing_to_draw, panels

    models, (width, height), fill = coherence_columns(inputs, "mean cosine within the program (delta_y, centred)")
    if not models:
        return nothing_to_draw()
    places, spread = inputs.tables["clusters"], inputs.tables["enrichment"]
    spread = spread[spread.adjustment == "centred"]
    shown = {model: _most_enriched(spread[spread.model == model]) for model in models}
    rows = max(table.program.nunique() for table in shown.values())
    mapped = bool(places.umap_1.notna().any())
    heights = [height, *([0.8 * width] if mapped else []), 15 + 2.6 * rows]
    figure, axes = panels(len(heights) * len(models), width, heights, columns=len(models))
    fill(figure, axes[: len(models)])
    for place, model in enumerate(models):
        if mapped:
            _map(axes[len(models) + place], places[places.model == model], f"{model}: UMAP of delta_y")
        _enrichment_map(axes[place - len(models)], shown[model], f"{model}: members by cluster")
    return figure


def _most_enriched(spread: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """Return the rows of at most `most` programs, those with the smallest p of any cluster."""
    best = spread.groupby("program").p.min().nsmallest(most)
    return spread[spread.program.isin(best.index)].assign(best=lambda table: table.program.map(best))


def _map(axes: "Axes", places: pd.DataFrame, title: str) -> None:
    """Draw perturbations on the map, each cluster with its colour and, in its middle, its number."""
    import matplotlib.pyplot as plt

    colours = plt.get_cmap("tab20")(places.cluster.to_numpy() % 20)
    axes.scatter(places.umap_1, places.umap_2, s=9, color=colours, linewidth=0)
    for cluster, (x, y) in places.groupby("cluster")[["umap_1", "umap_2"]].median().iterrows():
        axes.text(x, y, str(cluster), ha="center", va="center", fontsize=7, fontweight="bold")
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2", title=title)


def _enrichment_map(axes: "Axes", spread: pd.DataFrame, title: str) -> None:
    """Draw program x cluster: how many members, coloured by p; those with q < 0.05 in bold."""
    from pertprobe.plots import written_map

    spread = spread.sort_values(["best", "program"], kind="stable")
    order = list(dict.fromkeys(spread.program))
    p = spread.pivot(index="program", columns="cluster", values="p").loc[order]
    texts = [
        (row.cluster, order.index(row.program), row.members, row.q < 0.05,
         "white" if row.q < 0.05 and row.p < 1e-4 else "#333333")
        for row in spread[spread.members > 0].itertuples()
    ]  # fmt: skip
    written_map(axes, -np.log10(p.astype(float).clip(1e-6)), 6, texts, size=6)
    places = range(0, p.shape[1], 1 + p.shape[1] // 16)
    axes.set_xticks(places, places, fontsize=6)
    axes.set(xlabel="cluster, the largest first; bold = enriched, q < 0.05", title=title)
