"""A small world that every probe can be asked about: two contexts, three models, programs, panels, observations."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import torch
import xarray as xr

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.programs import Programs, read_panels
from pertprobe.interpret.sae import SparseAutoencoder
from pertprobe.interpret.sae.pca import PrincipalComponents
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs, itself
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.probes.delta_y import strength
from pertprobe.stages.measuring import measure_shard

GENES = tuple(f"g{i:02d}" for i in range(24))
NEVER = "x3"
NAMES = [*GENES[:16], "x0", "x1", "x2", NEVER]
BATCHES = ("b0", "b1")
PROGRAMS = {"P": list(GENES[:5]), "Q": list(GENES[6:11]), "R": ["x0", "x1", "x2", NEVER, "g12"]}
PANELS = {
    "panel": {"program": "P", "regulators": ["g00", "g17", "g20"], "targets": ["g01", "g18", "g19"],
              "perturbations": "program", "controls": "others"},
}  # fmt: skip
SMALL = {
    "knockout": {"genes": 20},
    "knockout_linearity": {"genes": 20},
    "regulon_recovery": {"genes": 20},
    "output_clustering": {"umap": False, "clusters": 4},
    "routing_coherence": {"sketch": 64, "clusters": 4, "perturbations": 12},
    "jacobian_divergence": {"sketch": 64},
    "concept_alignment": {"refits": 19, "outcome_refits": 19, "mlp_refits": 19},
    "input_sensitivity": {"draws": 2, "noise": [1]},
    "detached_jacobian": {"vectors": 2},
    "activation_patching": {"sae": "joint"},
}
"""Settings that keep a measurement small; the others are the declared defaults."""
REGULONS = "regulator\ttarget\tsign\n" + "".join(
    f"g{i:02d}\tg{(i * 5 + k) % 24:02d}\t{1 - 2 * (k % 2)}\n" for i in range(12) for k in range(1, 5)
)


def state(seed: int, *, features: np.ndarray | None = None, dtype: torch.dtype = torch.float32) -> StateModel:
    """Return a State model whose every weight is random; `features` [perturbations, F] are one-hot unless given."""
    perturbations = (*NAMES, "ctrl")
    architecture = StateArchitecture(
        input_dim=24, output_dim=24, pert_dim=len(perturbations), hidden_dim=16, cell_set_len=5, n_layers=2, n_heads=2,
        n_kv_heads=2, head_dim=8, intermediate_dim=20, batch_encoder=True, batch_dim=2,
    )  # fmt: skip
    draw = torch.Generator().manual_seed(seed)
    fresh = initial_parameters(architecture, seed)
    weights = {name: (w + 0.3 * torch.randn(w.shape, generator=draw)).to(dtype) for name, w in fresh.items()}
    given = torch.eye(len(perturbations), dtype=dtype) if features is None else torch.as_tensor(features).to(dtype)
    names = {"genes": GENES, "output_genes": GENES, "perturbations": perturbations, "control": "ctrl"}
    return StateModel(architecture, weights, **names, perturbation_features=given, batches=BATCHES)


def moved() -> np.ndarray:
    """Return features in which the perturbation that was never trained has another code."""
    found = np.eye(len(NAMES) + 1)
    found[NAMES.index(NEVER)] = np.random.default_rng(5).normal(size=len(found))
    return found


@cache
def cells(context: str) -> CellSets:
    """Return random control cells of a context."""
    rng = np.random.default_rng(len(context))
    values = rng.gamma(1.0 + np.arange(24) / 12, size=(2, 5, 24)).astype(np.float32)
    labels = np.array(BATCHES)[rng.integers(2, size=(2, 5))]
    ids = np.array([f"{context}{i}" for i in range(10)]).reshape(2, 5)
    return CellSets(values, GENES, labels, ids, context)


@cache
def readers(dtype: torch.dtype) -> dict:
    """Return an autoencoder and principal components of the hidden layer, of random numbers."""
    draw = torch.Generator().manual_seed(0)
    parts = [torch.randn(size, generator=draw).to(dtype) for size in ((16, 24), (24,), (24, 16), (16,))]
    directions = torch.linalg.qr(torch.randn(16, 4, generator=draw))[0].T.to(dtype)
    pca = PrincipalComponents(torch.zeros(16, dtype=dtype), directions)
    return {"sae": SparseAutoencoder(*parts, k=4), "pca": pca}


def settings(probe: str, **more) -> dict:
    """Return the declared defaults of a probe's settings, those that are small, and `more`."""
    pieces = declared(probe).settings
    defaults = {key: piece["default"] for key, piece in pieces.items() if "default" in piece}
    return {**defaults, **SMALL.get(probe, {}), **more}


def seen() -> dict[str, str]:
    """Return how each perturbation was seen in training: all here, but one never."""
    return {name: "never" if name == NEVER else "here" for name in NAMES}


def to_measure(probe: str, model: StateModel, context: str = "here", **more) -> MeasureInputs:
    """Return a whole request: of it a probe reads what it declares."""
    given = {
        "settings": settings(probe),
        "panels": PANELS,
        "contexts": (cells("here"), cells("there")),
        "programs": PROGRAMS,
        "seen": seen(),
        "responses": responses(model, context) if probe != "delta_y" else None,
        **readers(model.dtype),
    }
    return MeasureInputs(model, cells(context), **{**given, **more})


def responses(model: StateModel, context: str) -> pd.DataFrame:
    """Return a model's mean delta_y [perturbation, gene]."""
    return itself(measured("delta_y", model, context))["delta_y"].mean("set").to_pandas()


def measured(probe: str, model: StateModel, context: str = "here", **copies) -> xr.Dataset:
    """Return the measurement that a probe tests, with the model's copies where they are asked for."""
    of = declared(probe).measurement if probe != "delta_y" else probe
    return measure_shard(of, to_measure(of, model, context), 0, 1, **copies)


def observed(context: str) -> xr.Dataset:
    """Return random numbers in the place of what was observed in a context."""
    rng = np.random.default_rng(len(context))
    halves = rng.normal(size=(2, 18, 24)) + rng.normal(size=(18, 24))
    coords = {"perturbation": NAMES[:18], "gene": list(GENES), "input_gene": list(GENES), "input_gene_b": list(GENES)}
    dims = ("perturbation", "gene")
    found = {
        "delta_y": (dims, halves.mean(axis=0)),
        "delta_y_half": (("half", *dims), halves),
        "correlation": (("input_gene", "input_gene_b"), np.corrcoef(rng.normal(size=(24, 60)))),
    }
    return xr.Dataset(found, coords)


@cache
def rivals() -> xr.Dataset:
    """Return random numbers in the place of what rivals answer."""
    rng = np.random.default_rng(3)
    shift = ("rival", "perturbation", "gene"), rng.normal(size=(2, 16, 24))
    knockout = ("rival", "silenced", "gene"), rng.normal(size=(2, 24, 24))
    axes = {"rival": ["one", "other"], "perturbation": NAMES[:16], "silenced": list(GENES), "gene": list(GENES)}
    return xr.Dataset({"shift": shift, "knockout": knockout}, axes)


@dataclass(frozen=True)
class Side:
    """One measured model, with its own responses."""

    measurement: xr.Dataset
    responses: xr.Dataset
    context: str

    @property
    def subject(self) -> Subject:
        """What a test sees of it."""
        status = pd.Series(seen(), dtype=object)
        return Subject(itself(self.measurement), strength(self.responses), status, observed(self.context))


def side(probe: str, model: StateModel, context: str = "here", **copies) -> Side:
    """Measure one side of a question."""
    return Side(measured(probe, model, context, **copies), measured("delta_y", model, context), context)


def comparisons(probe: Declaration) -> list[str]:
    """Return what a probe can be asked of: "" for one model, or kinds of pairs."""
    return ["", *probe.pairs]


def to_test(probe: str, comparison: str, mine: Subject, other: Subject | None, folder, **more) -> TestInputs:
    """Return a question put to one model, or to two."""
    pair = {"model": "mine", "reference": "other" if comparison else ""}
    identity = {"probe": probe, **pair, "context": "here", "regime": "fewshot"}
    further = {"partners": [], "pooled": ["mine", "other"]}
    if "regulons" in declared(probe).settings:
        path = folder / "regulons.tsv"
        path.write_text(REGULONS)
        further["regulons"] = {"some": str(path)}
    programs = more.pop("programs", PROGRAMS)
    given = {
        "settings": {**settings(probe), **further},
        "panels": read_panels(PANELS, Programs(PROGRAMS), NAMES),
        "cells": cells("here"),
        "rivals": rivals(),
        "reference_rivals": 2 * rivals() + 1 if comparison else None,
        "shared_initialisation": 1.0,
        "comparison": comparison,
        "permutations": 99,
        "bootstrap": 99,
    }
    return TestInputs(identity, mine, other if comparison else None, Programs(programs), **{**given, **more})


def reordered(given: Subject, rng: np.random.Generator) -> Subject:
    """Return the same with its perturbations, and all that is said of them, in another order."""
    found = given.measurement
    if "perturbation" in found.dims:
        found = found.isel(perturbation=rng.permutation(found.sizes["perturbation"]))
    mixed = [series.iloc[rng.permutation(len(series))] for series in (given.strength, given.seen)]
    seen_too = given.observed.isel(perturbation=rng.permutation(given.observed.sizes["perturbation"]))
    return replace(given, measurement=found, strength=mixed[0], seen=mixed[1], observed=seen_too)


def regrouped(given: Subject, rng: np.random.Generator) -> Subject:
    """Return the same with every other axis that has names, of genes, features, panels, ..., in another order."""

    def mixed(found: xr.Dataset) -> xr.Dataset:
        named = [str(dim) for dim in found.dims if dim in found.coords and found[dim].dtype.kind in "OU"]
        orders = {dim: rng.permutation(found.sizes[dim]) for dim in named if dim != "perturbation"}
        return found.isel(orders)

    return replace(given, measurement=mixed(given.measurement), observed=mixed(given.observed))
