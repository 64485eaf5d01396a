"""sae_features: do the perturbations of a program light up the same features of a sparse autoencoder?"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import scipy
import xarray as xr

from pertprobe.probes.base import (
    Drawing,
    MeasureInputs,
    TestInputs,
    World,
    by_set,
)
from pertprobe.probes.questions import Question, coherence_baselines
from pertprobe.probes.similarity_questions import coherences, consistency, matched_cosine, trained_profiles
from pertprobe.probes.work import Sizes, Work
from pertprobe.probes.worlds import profiled_subject, world_of
from pertprobe.statistics.null_worlds import FEATURES, WIDTH, activations, dense, pushed
from pertprobe.statistics.published import random_sets_p

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn

AXES = {"hidden": ("dimension", "h"), "activation": ("feature", "f"), "component": ("direction", "c")}
"""What is measured -> the name of its last axis, and the letter its labels begin with."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return what one run of the model gives, mean over the cells of each set; float32.

    hidden [set, perturbation, dimension], the raw hidden state, of every model; activation [set, perturbation,
    feature], SAE features, and component [set, perturbation, direction], scores of principal components, where given.
    """
    from pertprobe.interpret.sae.activations import mean_readings  # torch, which tests do without

    readers = {"hidden": lambda states: states}
    readers |= {"activation": inputs.sae.encode} if inputs.sae is not None else {}
    readers |= {"component": inputs.pca.encode} if inputs.pca is not None else {}
    found = mean_readings(inputs.model, inputs.cells, names, inputs.layer, readers)
    return xr.Dataset({name: _labelled(values, names, *AXES[name]) for name, values in found.items()})


def _labelled(values: np.ndarray, names: list[str], axis: str, letter: str) -> xr.DataArray:
    coords = {"perturbation": names, axis: [f"{letter}{i}" for i in range(values.shape[-1])]}
    return xr.DataArray(values, dims=("set", "perturbation", axis), coords=coords)


def work(sizes: Sizes) -> Work:
    """Return one pass for every perturbation, of which hidden states and features are kept."""
    runs = sizes.sets * sizes.perturbations
    return Work(passes=runs, kept=runs * (sizes.width + (sizes.features if sizes.subject else 0)))


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Is each program more coherent in SAE features than perturbations of the same strength?

    Beside it, with the same null: principal components that explain as much (the SAE's rival), and the raw activations
    of the layer, in which re-drawn copies are compared: for them no autoencoder was trained.
    """
    mine = inputs.subject
    if inputs.reference is not None:
        yield from _of_pair(inputs)
        return
    if "activation" in mine.measurement:
        yield from coherences(inputs, trained_profiles(mine, "activation"), random_sets_p)
    if "component" in mine.measurement:
        yield from coherences(inputs, trained_profiles(mine, "component"), None, "coherence_pca", ("centred",))
    hidden = trained_profiles(mine, "hidden")
    yield from coherences(inputs, hidden, None, "coherence_hidden", ("centred",))
    yield from coherence_baselines(inputs, hidden.perturbation.values)


def _of_pair(inputs: TestInputs) -> Iterator[Question]:
    """Yield the second-order agreement of two models, in features where both have them, and in raw activations."""
    sides = inputs.subject, inputs.reference
    for variable, statistic in (("activation", "consistency"), ("hidden", "consistency_hidden")):
        if all(variable in each.measurement for each in sides):
            published = partial(_agreement_against_strength, inputs) if variable == "activation" else None
            profiles = [trained_profiles(each, variable, by_set) for each in sides]
            yield consistency(inputs, *profiles, published, statistic)


def _agreement_against_strength(inputs: TestInputs, ours: xr.DataArray, theirs: xr.DataArray) -> float:
    """Return the published Spearman r of each perturbation's cross-model cosine with its effect strength."""
    cosine = matched_cosine(ours.values, theirs.values)
    if np.ptp(cosine) == 0:
        return np.nan
    return float(scipy.stats.spearmanr(cosine, inputs.subject.strengths(ours.perturbation.values)).statistic)


def null_world(draw: Drawing) -> World:
    """Draw hidden states that share a direction the more the stronger, and sparse features that are read of them."""
    hidden, strength = dense(draw.rng, draw.units)
    reads = draw.rng.normal(size=(WIDTH, FEATURES))
    features = pushed(hidden, draw.members, draw.d, draw.rng, lambda codes: activations(codes, reads))
    measured = {"hidden": hidden, "activation": features}
    variables = {name: (("set", "perturbation", AXES[name][0]), each[None]) for name, each in measured.items()}
    return world_of(profiled_subject(variables, strength))


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw each program's coherence in SAE features beside its null, and beside that in principal components."""
    from pertprobe.probes import sae_features_figure

    return sae_features_figure.draw(inputs)
