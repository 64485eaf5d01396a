"""detached_jacobian: does what a program's perturbations share reach the output through the genes of the cell?"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.detached import SOURCES
from pertprobe.probes.base import MeasureInputs, TableInputs, TestInputs, averaged, each_program, itself, stacked
from pertprobe.probes.representation import similarity_rows, trained_profiles
from pertprobe.progress import counted
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator
from pertprobe.statistics.permutation import mean_score
from pertprobe.statistics.ranks import mid_ranks
from pertprobe.statistics.similarity import centred, cosine_similarity

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from pertprobe.detached.routes import Baseline
    from pertprobe.figures import DrawInputs
    from pertprobe.models.base import Model

CONTROLLED = "through_cells"
"""The statistic in which re-drawn copies and planted models are compared with the model."""
CONTROL = "control"
"""Setting that stands for the model's own control perturbation, whatever its label."""
UNDECOMPOSED = "the model's Jacobian is not kept as factors (it has no narrow): its map is not decomposed"
MAPS = ("frozen", "ordinary")
"""The detached Jacobian, and the one that lets factors move."""
COLUMNS = {
    "responses": ["model", "perturbation", "strength", *SOURCES, "agreement", "error"],
    "maps": ["model", "at", "cosine", "input_overlap", "output_overlap", "lanczos_error"],
    "ranks": ["model", "at", "begins", *MAPS],
    "decoded": ["model", "at", "rank", "value", "side", "genes", "program", "n", "score", "p", "q"],
}
"""Further table -> its columns."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return the split of each perturbation's response, mean over cell sets, and the spectrum of the frozen map.

    delta_y and through_cells [perturbation, gene] are all that is measured of copies and planted models, on the first
    `copy_sets` sets. Of the model itself also: sources [perturbation, source, gene]; shares [perturbation, set,
    source]; gene_routes [perturbation, feature] (input genes); agreement with gradient times input, and the error of
    the reconstruction [perturbation]; and what `spectrum` returns, in the shard that has the first perturbation.
    """
    if inputs.role != SUBJECT:
        return _responses(inputs, names)
    found = _splits(inputs, names)
    return found.merge(spectrum(inputs)) if inputs.perturbations[0] in names else found


def _control(inputs: MeasureInputs, n_sets: int | None = None) -> "tuple[Baseline, Tensor | None]":
    """Return the model frozen under the control at the first cell sets, and their batch indices."""
    from pertprobe.detached.routes import baseline  # torch, which tests do without

    model, cells = inputs.model, inputs.cells
    batch = model.batch_indices(None if cells.batches is None else cells.batches[:n_sets])
    return baseline(model.freeze(model.tensor(cells.values[:n_sets]), model.control, batch)), batch


def _responses(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    from pertprobe.detached.routes import response

    control, batch = _control(inputs, inputs.settings["copy_sets"])
    model, X = control.map.exact, control.map.X
    found = [response(control, model.freeze(X, name, batch)) for name in names]
    whole, cells = (np.stack([each.mean(0).cpu().numpy() for each in side]) for side in zip(*found, strict=True))
    return _labelled(inputs, names, {"delta_y": whole, "through_cells": cells})


def _splits(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    control, batch = _control(inputs)
    found = [_split(inputs, control, name, batch) for name in counted(names, "responses split")]
    return _labelled(inputs, names, {key: np.stack([each[key] for each in found]) for key in found[0]})


def _split(inputs: MeasureInputs, control: "Baseline", name: str, batch: "Tensor | None") -> dict[str, np.ndarray]:
    """Return what is measured of one perturbation."""
    import torch.nn.functional as F

    from pertprobe.detached.routes import gene_routes, ordinary_routes, routes
    from pertprobe.jacobian import Point

    model, X = control.map.exact, control.map.X
    frozen = model.freeze(X, name, batch)
    split = routes(control, frozen)
    genes = gene_routes(control.map, frozen, split.weights)
    first = Point(X[:1], None if batch is None else batch[:1], None)
    ordinary = ordinary_routes(model, (model.control, name), first, split.weights[:1])
    predicted = model.predict(X, name, batch)
    found = {
        "delta_y": split.delta_y.mean(0),
        "through_cells": split.sources[:, SOURCES.index("cells")].mean(0),
        "sources": split.sources.mean(0),
        "shares": split.shares,
        "gene_routes": genes.mean(0),
        "agreement": F.cosine_similarity(genes[0], ordinary[0], dim=-1),
        "error": (split.total - predicted).norm() / predicted.norm(),
    }
    return {key: value.cpu().numpy() for key, value in found.items()}


DIMS = {
    "delta_y": ("perturbation", "gene"),
    "through_cells": ("perturbation", "gene"),
    "sources": ("perturbation", "source", "gene"),
    "shares": ("perturbation", "set", "source"),
    "gene_routes": ("perturbation", "feature"),
    "agreement": ("perturbation",),
    "error": ("perturbation",),
}
"""Variable of the measurement -> its axes."""


def _labelled(inputs: MeasureInputs, names: list[str], values: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Return measured arrays with their axes named: gene = an output, feature = an input gene."""
    coords = {
        "perturbation": names,
        "gene": list(inputs.model.output_genes),
        "feature": list(inputs.model.genes),
        "source": list(SOURCES),
    }
    arrays = {
        name: xr.DataArray(each, dims=DIMS[name], coords={dim: coords[dim] for dim in DIMS[name] if dim in coords})
        for name, each in values.items()
    }
    return xr.Dataset(arrays)


def spectrum(inputs: MeasureInputs) -> xr.Dataset:
    """Return the spectrum of the map from a shift of all cells to the mean output, at the first cell set.

    For each perturbation of the setting `at`: values [at, rank] of the detached Jacobian, its singular vectors
    input_vectors [at, rank, feature] and output_vectors [at, rank, gene]; effective_rank [at, map] and layer_rank [at,
    map, layer] of it and of the ordinary Jacobian; cosine of the two, overlap of their leading input and output spaces
    [at, side]; lanczos_error [at], the largest relative difference of the values found by Lanczos. Nothing for models
    whose Jacobians are not kept as factors (`narrow`).
    """
    if not hasattr(inputs.model, "narrow"):
        return xr.Dataset()
    wanted = [inputs.model.control if name == CONTROL else name for name in inputs.settings["at"]]
    found = [_spectrum(inputs, name) for name in counted(wanted, "maps decomposed")]
    joined = xr.concat(found, pd.Index(inputs.settings["at"], name="at"))
    return joined.assign_coords(feature=list(inputs.model.genes), gene=list(inputs.model.output_genes))


def _spectrum(inputs: MeasureInputs, name: str) -> xr.Dataset:
    from pertprobe.detached.spectrum import decomposed

    model, cells = inputs.model, inputs.cells
    batch = model.batch_indices(None if cells.batches is None else cells.batches[0])
    frozen = model.freeze(model.tensor(cells.values[0]), name, batch)
    found = decomposed(frozen, name, batch, inputs.settings["vectors"], generator(inputs.seed, "lanczos", name))
    dims = {
        "values": ("rank",), "input_vectors": ("rank", "feature"), "output_vectors": ("rank", "gene"),
        "effective_rank": ("map",), "layer_rank": ("map", "layer"), "cosine": (), "overlap": ("side",),
        "lanczos_error": (),
    }  # fmt: skip
    arrays = {key: (dims[key], value.cpu().numpy()) for key, value in found._asdict().items()}
    return xr.Dataset(arrays, coords={"map": list(MAPS), "side": ["input", "output"]})


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return a mechanism and a lookup whose members' responses are alike by d, and the co-variation model.

    The other planted models act through a gate for each program, which a coherence sees less of. All responses of the
    mechanism come through the cells, none of those of the others.
    """
    from pertprobe.models.gated import gated_models

    return {**gated_models(models["planted"], inputs.cells), "covariation": models["covariation"]}


def test(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """How much of a program's coherence in delta_y comes through the cells, how much from the perturbation itself?

    Then: through the same input genes? More than in perturbations of like strength? And are the program's genes among
    those that the frozen map reads and writes most?
    """
    if inputs.reference is not None:
        return
    yield from controlled(inputs)
    names, whole, parts = _sources(inputs)
    yield from _coherence(inputs, names, shared_part(parts.sel(source="direct").values, whole.values), "direct")
    routes = trained_profiles(inputs.subject, averaged(inputs.subject.measurement, "gene_routes"))
    yield from _coherence(inputs, names, cosine_similarity(centred(routes.values)), "gene_routes")
    yield from _share_rows(inputs)
    for statistic, side in (("input_loading", "feature"), ("output_loading", "gene")):
        yield from _loading_rows(inputs, statistic, side)


def controlled(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield the part of programs' coherence that comes through the cells: asked of copies and planted models too."""
    if inputs.reference is not None:
        return
    measured = inputs.subject.measurement
    whole, part = (trained_profiles(inputs.subject, averaged(measured, name)) for name in ("delta_y", "through_cells"))
    similarity = shared_part(part.values, whole.values)
    yield from _coherence(inputs, whole.perturbation.values, similarity, CONTROLLED)


def references(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield nothing: what was observed does not say through which input it came."""
    return iter(())


def shared_part(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return what a part [P, G] of responses [P, G] adds to their centred cosines [P, P].

    s_ij = (<c_i, y_j> + <y_i, c_j>) / 2 |y_i| |y_j|, both centred over perturbations: over parts that sum to the whole
    these sum to the cosine of y_i and y_j. 0 for a response that is 0.
    """
    c, y = centred(part), centred(whole)
    sizes = np.linalg.norm(y, axis=1)
    scale = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > 0)[:, None]
    product = (c * scale) @ (y * scale).T
    return (product + product.T) / 2


def _sources(inputs: TestInputs) -> tuple[np.ndarray, xr.DataArray, xr.DataArray]:
    """Return the perturbations with a trained code, their delta_y, and the change of each source."""
    measured = inputs.subject.measurement
    whole, parts = (trained_profiles(inputs.subject, averaged(measured, name)) for name in ("delta_y", "sources"))
    return whole.perturbation.values, whole, parts


def _coherence(
    inputs: TestInputs, names: np.ndarray, similarity: np.ndarray, statistic: str
) -> Iterator[dict[str, Any]]:
    strength = inputs.subject.strength.reindex(names).to_numpy()
    yield from similarity_rows(inputs, similarity, names, strength, {"statistic": statistic})


def _share_rows(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield the members' mean share of delta_y that comes through the cells, against sets of like strength."""
    shares = averaged(inputs.subject.measurement, "shares").sel(source="cells")
    shares = trained_profiles(inputs.subject, shares)
    names = shares.perturbation.values
    strength = inputs.subject.strength.reindex(names).to_numpy()
    for program, found, short in each_program(inputs, names, inputs.min_perturbations, "trained perturbations"):
        who = {"statistic": "cell_share", "program": program, "n": len(found), "n_background": len(names)}
        if short:
            yield evidence.not_evaluable(inputs.identity, short, **who)
            continue
        random = inputs.random("cell_share", program)
        test = mean_score(shares.values, found, strength, inputs.permutations, random)
        yield evidence.row(inputs.identity, **who, **evidence.tested(test))


def _loading_rows(inputs: TestInputs, statistic: str, side: str) -> Iterator[dict[str, Any]]:
    """Yield the mean rank of a program's genes by what the leading singular vectors hold of them, expression held."""
    who = {"statistic": statistic, "unit": "gene"}
    if "values" not in inputs.subject.measurement:
        for program in inputs.programs:
            yield evidence.not_evaluable(inputs.identity, UNDECOMPOSED, program=program, **who)
        return
    energy = loadings(itself(inputs.subject.measurement), side)
    names = energy.index.to_numpy()
    ranks = mid_ranks(energy.to_numpy()[:, None], np.zeros((len(names), 1)))[:, 0]
    expression = inputs.cells.for_genes(tuple(names)).values.mean(axis=(0, 1), dtype=np.float64)
    for program, found, short in each_program(inputs, names, inputs.min_genes, "measured genes"):
        what = {**who, "program": program, "n": len(found), "n_background": len(names)}
        if short:
            yield evidence.not_evaluable(inputs.identity, short, **what)
            continue
        random = inputs.random(statistic, program)
        yield evidence.row(
            inputs.identity,
            **what,
            **evidence.tested(mean_score(ranks, found, expression, inputs.permutations, random)),
        )


def loadings(measurement: xr.Dataset, side: str) -> pd.Series:
    """Return gene -> sum over the leading singular vectors of s^2 v^2, of the first map that was decomposed.

    `side`: "feature" for input genes, "gene" for outputs. It does not depend on the signs of the vectors.
    """
    vectors = measurement["input_vectors" if side == "feature" else "output_vectors"].isel(at=0)
    energy = (vectors.astype(np.float64) * measurement["values"].isel(at=0)) ** 2
    return energy.sum("rank").to_series().sort_index()


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return what the frozen maps say beside the evidence, all models together.

    responses: shares of each perturbation's sources, agreement of its gene routes with gradient times input, error of
    the reconstruction. maps, ranks: the detached beside the ordinary Jacobian. decoded: singular vectors as genes, and
    every program's rank in them.
    """
    from pertprobe.detached import tables as made

    found: dict[str, list[pd.DataFrame]] = {"responses": [], "maps": [], "ranks": [], "decoded": []}
    for model, subject in inputs.subjects.items():
        measured = itself(subject.measurement)
        if "shares" in measured:
            found["responses"].append(made.responses(measured, subject.strength).assign(model=model))
        if "values" in measured:
            found["maps"].append(made.maps(measured).assign(model=model))
            found["ranks"].append(made.ranks(measured).assign(model=model))
            found["decoded"].append(made.decoded(measured, inputs.programs).assign(model=model))
    return {name: stacked(each, COLUMNS[name]) for name, each in found.items()}


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw where responses come from, each program's coherence through the cells, and the leading singular vectors."""
    from pertprobe.detached.figure import detached_figure
    from pertprobe.figures import NOTHING_TESTED, nothing_to_draw

    rows = inputs.evidence[(inputs.evidence.statistic == CONTROLLED) & inputs.evidence.evaluable]
    if rows.empty:
        return nothing_to_draw(NOTHING_TESTED)
    tested = [model for model in inputs.question["models"] if model in set(rows.model)]
    return detached_figure({model: itself(inputs.measurements[model]) for model in tested}, rows)
