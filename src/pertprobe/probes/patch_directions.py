"""What activation_patching patches: directions and features that half of a program's perturbations names.

Whoever names is drawn by the program's name, and never scores it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.random import Generator
from torch import Tensor

from pertprobe.batching import counted
from pertprobe.errors import PertprobeError, listed
from pertprobe.interpret.patching import Part, Runs, along, of_features, unit
from pertprobe.interpret.sae import SparseAutoencoder
from pertprobe.probes.base import MeasureInputs
from pertprobe.seeding import generator
from pertprobe.statistics.arrays import Floats
from pertprobe.statistics.ranks import average_ranks
from pertprobe.statistics.similarity import contrast

NEAREST = 10
"""Perturbations nearest in size that a random namer is drawn from."""


def discovery_half(members: Collection[str], program: str, seed: int) -> list[str]:
    """Return the half of a program's perturbations (rounded down) that names: drawn by the program's name, sorted."""
    ordered = sorted(members)
    return sorted(generator(seed, "naming", program).permutation(ordered)[: len(ordered) // 2].tolist())


def matched_names(
    named: Sequence[str], outside: Sequence[str], sizes: Mapping[str, float], random: Generator
) -> list[str]:
    """Return as many other perturbations, each of the size of one that is named, none twice.

    Each is drawn from the NEAREST of those `outside` in size that are left.
    """
    left, found = sorted(outside), []
    for name in named:
        order = np.argsort([abs(sizes[other] - sizes[name]) for other in left], kind="stable")[:NEAREST]
        if order.size:
            found.append(left.pop(int(random.choice(order))))
    return sorted(found)


def matched_features(chosen: Sequence[int], frequency: Floats, size: Floats, draws: int) -> list[list[int]]:
    """Return up to `draws` other sets of features, each matched with `chosen` in activation frequency and size.

    The nearest in the ranks of both (city-block distance, ties to the lower number); features that are never active
    match nothing.

    Args:
        chosen: numbers of features.
        frequency: share of cells in which each is active [F].
        size: how far each moves the states under a perturbation [F].
        draws: sets wanted; fewer where features are few.
    """
    left = np.setdiff1d(np.flatnonzero(frequency > 0), chosen)
    ranks = np.stack([average_ranks(frequency), average_ranks(size)])
    sets: list[list[int]] = []
    while len(sets) < draws and len(left) >= len(chosen):
        one = []
        for feature in chosen:
            distance = np.abs(ranks[:, left] - ranks[:, [feature]]).sum(axis=0)
            one.append(int(left[np.argmin(distance)]))
            left = np.setdiff1d(left, one)
        sets.append(one)
    return sets


class Patch(NamedTuple):
    """K patches that are measured alike."""

    part: Part
    outputs: Tensor
    """Outputs in which the response is read [K, G], 1 or 0."""
    axes: Mapping[str, Sequence[Any]]
    """Axis -> labels, in the order of the K patches."""


class Features(NamedTuple):
    """What perturbations do to the features of an autoencoder."""

    changes: np.ndarray
    """Mean activation over cells less that under the control, times the length of the feature's direction [P, F]."""
    frequency: np.ndarray
    """Share of cells in which each is active [F]."""


def discovery_halves(inputs: MeasureInputs) -> dict[str, list[str]]:
    """Return program -> the half of its trained perturbations that names; programs with fewer than two are left out."""
    names = set(inputs.trained)
    known = {program: sorted(names & set(listed)) for program, listed in inputs.programs.items()}
    return {program: discovery_half(found, program, inputs.seed) for program, found in known.items() if len(found) >= 2}


def layer_changes(runs: Runs, names: Sequence[str]) -> pd.DataFrame:
    """Return the mean state of the layer over cells under each perturbation less that under the control [P, H]."""
    cells = runs.model.cell_positions
    control = runs.control_states[:, cells]
    states = (runs.states(name)[:, cells] for name in counted(names, "layer under perturbations"))
    return pd.DataFrame(np.stack([_mean(each - control) for each in states]), list(names))


def layer_features(runs: Runs, names: Sequence[str], sae: SparseAutoencoder) -> Features:
    """Read the features of the layer under each perturbation."""
    cells = runs.model.cell_positions
    found = [sae.encode(runs.states(name)[:, cells].float()) for name in counted(names, "features of perturbations")]
    before = _mean(sae.encode(runs.control_states[:, cells].float()))
    lengths = sae.W_dec.double().norm(dim=1).cpu().numpy()
    changes = np.stack([(_mean(each) - before) * lengths for each in found])
    return Features(changes, np.mean([_mean((each > 0).double()) for each in found], axis=0))


def _mean(states: Tensor) -> np.ndarray:
    """Return the mean over sets and cells [H] of states [n_sets, S, H]."""
    return states.double().mean((0, 1)).cpu().numpy()


def directions(runs: Runs, changes: pd.DataFrame, sets: Sequence[Sequence[str]]) -> Tensor:
    """Return the direction [K, H] that each set of perturbations names: their mean change less that of all others."""
    named = [contrast(changes, changes.index.isin(each)) for each in sets]
    return unit(torch.from_numpy(np.stack(named))).to(runs.control_states)


def random_namers(
    inputs: MeasureInputs, changes: pd.DataFrame, namers: Mapping[str, Sequence[str]]
) -> dict[str, list[list[str]]]:
    """Return for each program sets of perturbations outside it that move the layer as far as its namers do."""
    sizes, found = dict(zip(changes.index, np.linalg.norm(changes, axis=1), strict=True)), {}
    for program, named in namers.items():
        outside = sorted(set(changes.index) - set(inputs.programs[program]))
        draws = (generator(inputs.seed, "random namers", program, i) for i in range(inputs.settings["random"]))
        found[program] = [matched_names(named, outside, sizes, draw) for draw in draws]
    return found


def outside_program(inputs: MeasureInputs, programs: Sequence[str], runs: Runs) -> Tensor:
    """Return which outputs [K, G] are none of each program's own genes; all of them where outputs are no genes."""
    n = runs.control_response.shape[-1]
    genes = np.array(inputs.model.output_genes if _of_genes(inputs) else [""] * n)
    kept = np.stack([~np.isin(genes, list(inputs.programs[program])) for program in programs])
    return torch.from_numpy(kept).to(runs.control_response)


def in_targets(
    inputs: MeasureInputs, runs: Runs, changes: pd.DataFrame, namers: Mapping[str, Sequence[str]]
) -> Patch | None:
    """Return the patches read in the targets of panels; None where no panel has a measured one."""
    genes = np.array(inputs.model.output_genes if _of_genes(inputs) else [])
    serving = {name: panel for name, panel in inputs.panels.items() if panel["program"] in namers}
    kept = {name: each for name, panel in serving.items() if (each := np.isin(genes, panel["targets"])).any()}
    if not kept:
        return None
    named = directions(runs, changes, [namers[serving[name]["program"]] for name in kept])
    outputs = torch.from_numpy(np.stack(list(kept.values()))).to(runs.control_response)
    return Patch(along(named), outputs, {"panel": list(kept)})


def _of_genes(inputs: MeasureInputs) -> bool:
    return "gene_space" in inputs.model.capabilities


def given_features(inputs: MeasureInputs, n: int) -> dict[str, list[int]]:
    """Return program -> the features that the settings give it; PertprobeError for one that is not among n, and for a
    program that nobody defined.
    """
    given, key = dict(inputs.settings.get("features") or {}), "probes.activation_patching.features"
    if unknown := sorted(set(given) - set(inputs.programs)):
        raise PertprobeError(f"{key}: programs {', '.join(unknown)} are not defined (found: {listed(inputs.programs)})")
    if wrong := sorted({each for features in given.values() for each in features if not 0 <= each < n}):
        raise PertprobeError(f"{key}: {wrong}, but the SAE has the features 0 to {n - 1}")
    return given


def chosen_features(
    given: Mapping[str, Sequence[int]], features: Features, names: Sequence[str], namers: Mapping[str, Sequence[str]]
) -> dict[str, list[int]]:
    """Return program -> the features to patch: those given, or the one whose contrast moves the state furthest.

    The contrast of its naming half with all others.
    """
    found = {}
    for program, each in namers.items():
        change = contrast(features.changes, np.isin(names, each))
        found[program] = list(given[program]) if program in given else [int(np.abs(change).argmax())]
    return found


def feature_patches(
    sae: SparseAutoencoder, chosen: Mapping[str, Sequence[int]], features: Features, outputs: Tensor, draws: int
) -> tuple[Patch, Patch | None, dict[str, list[list[int]]]]:
    """Return the patches of chosen features, those of features matched with them, and which these are.

    Matched in activation frequency and in how far they move the state; None where features are too few.
    """
    programs = {"program": list(chosen)}
    moved = np.abs(features.changes).mean(axis=0)
    alike = {program: matched_features(each, features.frequency, moved, draws) for program, each in chosen.items()}
    mine = Patch(of_features(sae, list(chosen.values())), outputs, programs)
    if not (many := min(len(each) for each in alike.values())):
        return mine, None, alike
    sets = [each for found in alike.values() for each in found[:many]]
    axes = {**programs, "feature_draw": list(range(many))}
    return mine, Patch(of_features(sae, sets), outputs.repeat_interleave(many, 0), axes), alike
