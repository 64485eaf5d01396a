"""Small things to probe: a State model with random weights, a mean shift with stages, cells, and requests."""

import numpy as np
import pandas as pd
import torch
import xarray as xr

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.programs import Programs
from pertprobe.models.base import Encoded, Mixed
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs

GENES = tuple(f"g{i:02d}" for i in range(12))
PERTURBATIONS = (*GENES[:6], "x1", "x2", "x3", "ctrl")
BATCHES = ("b0", "b1")
SIZES = {
    "input_dim": len(GENES), "output_dim": len(GENES), "pert_dim": len(PERTURBATIONS), "hidden_dim": 16,
    "cell_set_len": 5, "n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "head_dim": 8, "intermediate_dim": 20,
}  # fmt: skip


def random_state(seed=0, dtype=torch.float64, spread=0.3, **changes):
    """Return a State model whose every weight is random, biases and norms as well."""
    architecture = StateArchitecture(**{**SIZES, "batch_encoder": True, "batch_dim": 2, **changes})
    generator = torch.Generator().manual_seed(seed)
    fresh = initial_parameters(architecture, seed)
    weights = {n: (w + spread * torch.randn(w.shape, generator=generator)).to(dtype) for n, w in fresh.items()}
    names = {"genes": GENES, "output_genes": GENES, "perturbations": PERTURBATIONS, "control": "ctrl"}
    features = torch.eye(len(PERTURBATIONS))
    return StateModel(architecture, weights, **names, perturbation_features=features, batches=BATCHES)


class MeanShift:
    """Adds the perturbation's code to every cell, in stages: its Jacobian is the identity."""

    genes = output_genes = GENES
    perturbations, control, batches, set_size, n_layers = PERTURBATIONS, "ctrl", (), 5, 0
    cell_positions = slice(None)
    capabilities = frozenset({"predict", "gradient", "stages", "set_function", "gene_space"})
    card = {"causal": False, "warnings": []}  # noqa: RUF012

    def __init__(self, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.codes = torch.rand(len(PERTURBATIONS), len(GENES), generator=generator, dtype=torch.float64)

    def tensor(self, values):
        return torch.as_tensor(values).double()

    def batch_indices(self, batches):
        return None

    def encode_perturbations(self, names):
        return self.codes[[self.perturbations.index(name) for name in names]]

    def encode_cells(self, X, batch=None, multiplicity=None):
        return Encoded(X, X, multiplicity)

    def mix(self, pert, encoded, edit=None):
        h = encoded.tokens + pert[..., None, :]
        return Mixed(h, (h,))

    def decode(self, mixed, encoded, X):
        return mixed.h

    def predict(self, values, perturbation, batches=None):
        encoded = self.encode_cells(self.tensor(values))
        return self.decode(self.mix(self.encode_perturbations([perturbation])[0], encoded), encoded, None)

    predict_genes = predict


def cell_sets(n_sets=2, set_size=5, genes=GENES, seed=0, batches=True, silent=(), context="here"):
    """Return random control cells; no cell expresses the genes in `silent`."""
    rng = np.random.default_rng(seed)
    values = rng.random((n_sets, set_size, len(genes)), dtype=np.float32)
    values[..., [genes.index(name) for name in silent]] = 0.0
    labels = np.array(BATCHES)[rng.integers(2, size=(n_sets, set_size))] if batches else None
    ids = np.array([f"cell{i}" for i in range(n_sets * set_size)]).reshape(n_sets, set_size)
    return CellSets(values, tuple(genes), labels, ids, context)


def to_measure(model, cells=None, **more):
    """Return what a probe measures with."""
    return MeasureInputs(model, cell_sets() if cells is None else cells, **{"settings": {}, **more})


def profiles(variable, values, names, features, feature="feature", **attrs):
    """Return a measurement [set, perturbation, feature] with the same values in both sets."""
    stacked = np.stack([values, values])
    dims = ("set", "perturbation", feature)
    array = xr.DataArray(stacked, dims=dims, coords={"perturbation": list(names), feature: list(features)})
    return xr.Dataset({variable: array}).expand_dims(variant=["subject"]).assign_attrs(attrs)


def subject(measurement, strength=None, never=()):
    """Return a measured model; strength rises with the order of names unless given."""
    names = [str(name) for name in measurement.perturbation.values] if "perturbation" in measurement.coords else []
    strength = pd.Series(
        {name: 1.0 + 0.01 * i for i, name in enumerate(sorted(names))} if strength is None else strength
    )
    seen = pd.Series({name: "never" if name in never else "here" for name in names}, dtype=object)
    return Subject(measurement, strength, seen)


def to_test(probe, measured, programs, reference=None, **more):
    """Return what a probe tests, with few permutations."""
    identity = {"probe": probe, "model": "m", "reference": "r" if reference else "", "context": "here"}
    defaults = {"panels": {}, "settings": {}, "cells": cell_sets(), "permutations": 199, "bootstrap": 99}
    defaults["comparison"] = "contexts" if reference else ""
    given = {**defaults, "identity": {**identity, "regime": "fewshot"}, **more}
    return TestInputs(subject=measured, reference=reference, programs=Programs(programs), **given)


def rows_of(table, **wanted):
    """Return the rows in which every named column has the wanted value."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table
