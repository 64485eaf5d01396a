"""output_clustering calibrated: responses without programs, power, planted models, and untrained weights."""

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration.borrowed import asked, whole_rows
from pertprobe.calibration.nulls import coherence_nulls, program_nulls
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, STRONG, models_of, random_programs
from pertprobe.calibration.power_curves import UNITS, WHY, power_rows
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, both_nulls, drawn, fresh
from pertprobe.calibration.world import CONTEXTS, Measured, World, family, measured, passing, world
from pertprobe.models.gated import gated_models
from pertprobe.probes import output_clustering as probe
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.seeding import seed_of
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.clusters import enrichment, rand_test, same_cluster, ward_clusters
from pertprobe.statistics.permutation import Test, coherence
from pertprobe.statistics.similarity import centred, cosine_similarity
from pertprobe.testing import Asked, run_test
from pertprobe.verdict import of_planted

NAME, TOGETHER, AGREEMENT = "output_clustering", "output_clustering, one cluster", "output_clustering, two models"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0.1), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with what the probe declares."""
SETTINGS = {"clusters": "silhouette", "umap": False}
NUMBER = 15
"""Clusters of drawn responses, the published number."""
SAME = "a lookup responds as the mechanism does, and passes too"

Sizes = Mapping[str, Any]


class Responses:
    """Responses that share one direction, the more the stronger, and are otherwise unrelated; used as a `Similar`."""

    held = None
    """Strength is a trend that is removed."""

    def __init__(self, rng: Generator, units: int = generators.UNITS) -> None:
        """Draw them."""
        size = rng.lognormal(0, generators.SPREAD, units)
        basis = rng.normal(size=(generators.NOISE + 1, generators.WIDTH)) / np.sqrt(generators.WIDTH)
        loads = np.column_stack([rng.normal(size=(units, generators.NOISE)), generators.SHARED * size])
        self.values = loads @ basis
        self.strength = np.linalg.norm(self.values, axis=1)
        self.similarity = cosine_similarity(centred(self.values))

    @cached_property
    def clusters(self) -> np.ndarray:
        """Clusters of centred responses."""
        return ward_clusters(self.similarity, NUMBER)

    @cached_property
    def published(self) -> np.ndarray:
        """Clusters as published."""
        return ward_clusters(cosine_similarity(self.values), NUMBER, "cosine")


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly (methods.md, Calibration), and of unrelated models.

    Where `confounded`, of programs drawn by strength, and of models that share their strengths.
    """

    def test_clusters(made: Responses, found: np.ndarray, rng: Generator) -> Test:
        """Test whether a program's pairs share a cluster."""
        return coherence(same_cluster(made.clusters), found, made.strength, sizes["permutations"], rng)

    def said(made: Responses, found: np.ndarray, _: Generator) -> float:
        """Ask the published test."""
        return enrichment(made.published, found).simes

    rows = [*coherence_nulls(NAME, Responses, sizes, seed, confounded=confounded, said=said)]
    # Not exact: p of whether pairs share a cluster are few numbers, and ties break where strength is held.
    few = {"draws": "draws_dear", "exact": False}
    rows += program_nulls(TOGETHER, Responses, test_clusters, sizes, seed, confounded=confounded, **few)
    setting = "models that share strength" if confounded else "unrelated models"
    draw = partial(_two_models, sizes["permutations"], confounded)
    rows += whole_rows(AGREEMENT, setting, draw, sizes["draws_dear"], seed, held=confounded)
    return frame(rows)


def _two_models(permutations: int, confounded: bool, rng: Generator) -> Test:
    """Test the clusters of two models that have nothing in common, or only which perturbations are strong."""
    first, second = Responses(rng), Responses(rng)
    places = np.argsort(np.argsort(first.strength)) if confounded else np.arange(len(first.strength))
    order = np.argsort(second.strength)[places] if confounded else places
    strength = first.strength * second.strength[order]
    return rand_test(first.clusters, second.clusters[order], strength, permutations, rng)


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found: members lean on a direction of their own, d sd on their own score."""
    return frame(power_rows(NAME, _planted_test, sizes, seed, note=WHY))


def _planted_test(rng: Generator, members: int, d: float, permutations: int) -> Test:
    made, inside = Responses(rng, UNITS), np.arange(UNITS) < members
    direction = rng.normal(size=generators.WIDTH)
    direction *= np.median(np.linalg.norm(centred(made.values), axis=1)) / np.linalg.norm(direction)
    low, high = 0.0, 8.0
    for _ in range(20):  # the score rises with the push: halve the interval that holds the one wanted
        push = (low + high) / 2
        similarity = cosine_similarity(centred(made.values + push * np.outer(inside, direction)))
        low, high = (low, push) if _shift(similarity, members) > d else (push, high)
    return coherence(similarity, np.arange(members), made.strength, permutations, rng)


def _shift(similarity: np.ndarray, members: int) -> float:
    """Return how far the first units' mean cosine with each other lies above all others' with them, in their sd."""
    own = (similarity[:members, :members].sum() - members) / (members * (members - 1))
    others = similarity[members:, :members].mean(axis=1)
    return float((own - others.mean()) / others.std(ddof=1))


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of planted programs, and of random ones, that pass in planted models of two strengths."""
    with world(sizes["simulate"], seed) as made:
        rows = [row for d in (sizes["d"], STRONG) for row in _planted_rows(made, d, sizes, seed)]
    return frame(rows)


def _planted_rows(made: World, d: float, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    base = {context: models_of(made, context, d, seed)["planted"] for context in CONTEXTS}
    models = {context: gated_models(model, made.cells[context])["planted"] for context, model in base.items()}
    found = [measured(f"planted_{context}", model, made, context, ("delta_y",)) for context, model in models.items()]
    yield share(PLANTED_FIGURE, NAME, f"planted programs, d = {d:g}", _passed(found, made.programs, sizes, seed),
                seed=seed, note=SAME, **(FOUND if d == STRONG else {}))  # fmt: skip
    random = _passed(found, random_programs(made, seed), sizes, seed)
    yield share(PLANTED_FIGURE, NAME, f"random programs beside d = {d:g}", random, seed=seed, **NOMINAL)


def _passed(found: list[Measured], programs: Programs, sizes: Sizes, seed: int) -> np.ndarray:
    questions = [asked(NAME, "delta_y", each, None, programs, sizes, seed, settings=SETTINGS) for each in found]
    tables = [evidence.frame(probe.controlled(each)) for each in questions]
    return passing(family(tables, declared(NAME).compared_in, declared(NAME).compared_in), of_planted(CONDITIONS))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        context = CONTEXTS[0]
        copies = {"redrawn": COPIES, "seed": seed_of(seed, "copies", context)}
        model = fresh(made, context, sizes["hidden"], seed)
        found = measured(context, model, made, context, ("delta_y",), **copies)
        rows: list[dict[str, Any]] = []
        for words in WAYS:
            programs = drawn(found.strength, words, sizes, seed)
            inputs = asked(NAME, "delta_y", found, None, programs, sizes, seed, settings=SETTINGS)
            rows += both_nulls(NAME, run_test(NAME, Asked(inputs)), declared(NAME).compared_in, words, seed)
    return frame(rows)
