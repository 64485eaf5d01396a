"""sae_features: do the perturbations of a program light up the same features of a sparse autoencoder?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from pertprobe.probes.base import MeasureInputs, TestInputs, averaged, dataset
from pertprobe.probes.representation import coherence_rows, consistency_rows, matched_cosine, trained_profiles
from pertprobe.statistics.published import random_sets_p

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs

NEEDS = frozenset({"stages"})
LEVEL = "representation"
UNIT = "perturbation"
STATISTICS = ("coherence", "consistency")
SPACE = ("sae", "activation", "feature")
RANDOM_SETS = 5000
"""Draws of the published test."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return the mean activation of each SAE feature over the cells of each set, [set, perturbation, feature]."""
    from pertprobe.sae.activations import hidden_states  # torch, which tests do without

    means = [
        inputs.sae.encode(states).mean(-2).cpu().numpy()
        for states in hidden_states(inputs.model, inputs.cells, names, inputs.layer)
    ]
    values = np.stack(means, axis=1)
    coords = {"perturbation": names, "feature": [f"f{i}" for i in range(values.shape[-1])]}
    return dataset(activation=xr.DataArray(values, dims=("set", "perturbation", "feature"), coords=coords))


def test(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Is each program more coherent in SAE features than perturbations of the same strength?"""
    profiles = trained_profiles(inputs.subject, averaged(inputs.subject.measurement, "activation"))
    if inputs.reference is None:
        yield from coherence_rows(inputs, profiles, _against_random_sets)
        return
    reference = trained_profiles(inputs.reference, averaged(inputs.reference.measurement, "activation"))
    yield from consistency_rows(inputs, profiles, reference, lambda a, b: _agreement_against_strength(inputs, a, b))


def _against_random_sets(raw: np.ndarray, found: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """Return the published effect (mean cosine less that of random sets) and its p."""
    said = random_sets_p(raw, found, random, RANDOM_SETS)
    return said.estimate, said.p


def _agreement_against_strength(inputs: TestInputs, ours: xr.DataArray, theirs: xr.DataArray) -> float:
    """Return the published Spearman r of each perturbation's cross-model cosine with its effect strength."""
    cosine = matched_cosine(ours.values, theirs.values)
    return float(spearmanr(cosine, inputs.subject.strength.reindex(ours.perturbation.values)).statistic)


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw each program's coherence in SAE features beside its null."""
    from pertprobe.figures import coherence_figure

    return coherence_figure(inputs, "mean cosine within the program (SAE features, centred)")
