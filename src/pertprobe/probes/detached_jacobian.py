"""detached_jacobian: does what a program's perturbations share reach the output through the genes of the cell?"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.batching import counted
from pertprobe.interpret.sources import SOURCES
from pertprobe.probes.base import Drawing, MeasureInputs, TableInputs, TestInputs, World, itself, labelled, tabulated
from pertprobe.probes.gene_questions import gene_ranks
from pertprobe.probes.questions import Coherence, Question, Refused, Score
from pertprobe.probes.similarity_questions import trained_profiles
from pertprobe.probes.work import Sizes, Work
from pertprobe.probes.worlds import loaded, profiled_subject, world_of
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator
from pertprobe.statistics.null_worlds import OUTPUTS, dense
from pertprobe.statistics.similarity import centred, cosine_similarity

if TYPE_CHECKING:
    from torch import Tensor

    from pertprobe.interpret.frozen_contributions import Baseline
    from pertprobe.models.base import Model
    from pertprobe.plots import DrawInputs, Drawn

THROUGH_CELLS = "through_cells"
"""What of a response comes through the cells, and what that adds to the coherence of programs."""
THROUGH = 0.3
"""Share of a response that comes through the cells where nothing is to be found."""
ROUNDING = 1e-12
"""Share of the largest loading, a square, that singular vectors in float32 cannot tell from 0."""
UNDECOMPOSED = "the model's Jacobian is not kept as factors (it has no linear ends): its map is not decomposed"
MAPS = ("frozen", "ordinary")
"""The detached Jacobian, and the one that lets factors move."""


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


FROZEN, SPLIT = 5.0, 30.0
"""Passes that freezing a run takes, and splitting and leading its response back, roughly."""


def work(sizes: Sizes) -> Work:
    """Return the runs in which each response is frozen, split and led back to genes; of a copy only frozen."""
    runs, entries = sizes.copy_sets * sizes.perturbations, sizes.perturbations * sizes.outputs
    if not sizes.subject:
        return Work(passes=FROZEN * runs, kept=2 * entries)
    spectra = len(sizes.settings["at"]) * 2 * min(sizes.width, sizes.outputs)
    kept = entries * (2 + len(SOURCES)) + sizes.perturbations * sizes.genes
    return Work(passes=(FROZEN + SPLIT) * runs, derivatives=spectra, kept=kept)


def _control(inputs: MeasureInputs, n_sets: int | None = None) -> "tuple[Baseline, Tensor | None]":
    """Return the model frozen under the control at the first cell sets, and their batch indices."""
    from pertprobe.interpret.frozen_contributions import baseline  # torch, which tests do without

    model, cells = inputs.model, inputs.cells
    batch = model.batch_indices(None if cells.batches is None else cells.batches[:n_sets])
    return baseline(model.freeze(model.tensor(cells.values[:n_sets]), model.control, batch)), batch


def _responses(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    from pertprobe.interpret.frozen_contributions import response

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

    from pertprobe.interpret.frozen_contributions import (
        attributions,
        detached_gradient_x_input,
        ordinary_gradient_x_input,
    )
    from pertprobe.interpret.jacobian import Point

    model, X = control.map.exact, control.map.X
    frozen = model.freeze(X, name, batch)
    split = attributions(control, frozen)
    genes = detached_gradient_x_input(control.map, frozen, split.weights)
    first = Point(X[:1], None if batch is None else batch[:1], None)
    ordinary = ordinary_gradient_x_input(model, (model.control, name), first, split.weights[:1])
    predicted = model.predict(X, name, batch)
    found = {
        "delta_y": split.delta_y.mean(0),
        "through_cells": split.contributions[:, SOURCES.index("cells")].mean(0),
        "sources": split.contributions.mean(0),
        "shares": split.shares,
        "gene_routes": genes.mean(0),
        "agreement": F.cosine_similarity(genes[0], ordinary[0], dim=-1),
        "error": (split.total - predicted).norm() / predicted.norm(),
    }
    return {key: value.cpu().numpy() for key, value in found.items()}


DIMS = {
    "delta_y": ("perturbation", "gene"), "through_cells": ("perturbation", "gene"),
    "sources": ("perturbation", "source", "gene"), "shares": ("perturbation", "set", "source"),
    "gene_routes": ("perturbation", "feature"), "agreement": ("perturbation",), "error": ("perturbation",),
}  # fmt: skip
"""Variable of the measurement -> its axes."""


def _labelled(inputs: MeasureInputs, names: list[str], values: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Return measured arrays with their axes named: gene = an output, feature = an input gene."""
    genes = {"gene": list(inputs.model.output_genes), "feature": list(inputs.model.genes)}
    arrays = {name: (DIMS[name], each) for name, each in values.items()}
    return labelled(arrays, perturbation=names, source=list(SOURCES), **genes)


def spectrum(inputs: MeasureInputs) -> xr.Dataset:
    """Return the spectrum of the map from a shift of all cells to the mean output, at the first cell set.

    For each perturbation of the setting `at`: values [at, rank] of the detached Jacobian, its singular vectors
    input_vectors [at, rank, feature] and output_vectors [at, rank, gene]; effective_rank [at, map] and layer_rank [at,
    map, layer] of it and of the ordinary Jacobian; cosine of the two, overlap of their leading input and output spaces
    [at, side]; lanczos_error [at], the largest relative difference of the values found by Lanczos. Nothing for models
    whose Jacobians are not kept as factors (`linear_ends`).
    """
    if "linear_ends" not in inputs.model.capabilities:
        return xr.Dataset()
    wanted = [inputs.perturbation(name) for name in inputs.settings["at"]]
    found = [_spectrum(inputs, name) for name in counted(wanted, "maps decomposed")]
    joined = xr.concat(found, pd.Index(inputs.settings["at"], name="at"))
    return joined.assign_coords(feature=list(inputs.model.genes), gene=list(inputs.model.output_genes))


def _spectrum(inputs: MeasureInputs, name: str) -> xr.Dataset:
    from pertprobe.interpret.spectrum import decomposed

    model, cells = inputs.model, inputs.cells
    batch = model.batch_indices(None if cells.batches is None else cells.batches[0])
    frozen = model.freeze(model.tensor(cells.values[0]), name, batch)
    found = decomposed(frozen, name, batch, inputs.settings["vectors"], generator(inputs.seed, "lanczos", name))
    dims = {
        "values": ("rank",), "input_vectors": ("rank", "feature"), "output_vectors": ("rank", "gene"),
        "effective_rank": ("map",), "layer_rank": ("map", "layer"), "cosine": (), "overlap": ("side",),
        "lanczos_error": (),
    }  # fmt: skip
    arrays = {key: (dims[key], value.cpu().numpy()) for key, value in found.items()}
    return xr.Dataset(arrays, coords={"map": list(MAPS), "side": ["input", "output"]})


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return a mechanism and a lookup whose members' responses are alike by d, and the co-variation model.

    The other planted models act through a gate for each program, which a coherence sees less of. All responses of the
    mechanism come through the cells, none of those of the others.
    """
    from pertprobe.models.planted.gated import gated_models

    return {**gated_models(models["planted"], inputs.cells), "covariation": models["covariation"]}


def questions(inputs: TestInputs) -> Iterator[Question]:
    """How much of each program's coherence comes through the cells, how much from the perturbation itself?

    Then: through the same input genes? More than in perturbations of like strength? And are the program's genes among
    those that the frozen map reads and writes most?
    """
    whole = trained_profiles(inputs.subject, "delta_y")
    yield _coherence(inputs, whole, THROUGH_CELLS, partial(_shared, inputs, whole, THROUGH_CELLS))
    if "sources" in inputs.subject.measurement:  # of copies and planted models no more is measured
        yield from _of_model(inputs, whole)


def _of_model(inputs: TestInputs, whole: xr.DataArray) -> Iterator[Question]:
    """Yield what is asked of the model itself alone; `whole`: its delta_y [perturbation, gene]."""
    yield _coherence(inputs, whole, "direct", partial(_shared, inputs, whole, "sources", source="direct"))
    routes = partial(trained_profiles, inputs.subject, "gene_routes")
    yield _coherence(inputs, whole, "gene_routes", lambda: cosine_similarity(centred(routes().values)))
    scores = trained_profiles(inputs.subject, "shares").sel(source="cells").values
    names = whole.perturbation.values
    yield Score(statistic="cell_share", names=names, scores=scores, strength=inputs.subject.strengths(names))
    for statistic, side in (("input_loading", "feature"), ("output_loading", "gene")):
        if "values" in inputs.subject.measurement:
            yield gene_ranks(inputs, statistic, loadings(itself(inputs.subject.measurement), side))
        else:
            yield Refused(statistic=statistic, unit="gene", reason=UNDECOMPOSED)


def _shared(inputs: TestInputs, whole: xr.DataArray, name: str, **at: str) -> np.ndarray:
    """Return what a measured part of responses adds to their cosines [P, P]."""
    return shared_part(trained_profiles(inputs.subject, name).sel(at).values, whole.values)


def _coherence(
    inputs: TestInputs, whole: xr.DataArray, statistic: str, similarity: Callable[[], np.ndarray]
) -> Coherence:
    names = whole.perturbation.values
    held = inputs.subject.strengths(names)
    return Coherence(statistic=statistic, names=names, similarity=similarity, strength=held)


def null_world(draw: Drawing) -> World:
    """Draw responses that hold a shared direction in proportion to strength, and parts that are a share of them.

    A part is THROUGH of its response and as much again of its own, which grows with strength too. Where something is
    planted, members' responses are alike, all of each comes through the cells, and strength is drawn apart.
    """
    if len(draw.members):
        whole, strength = loaded(draw)
        cells = whole
    else:
        rng = draw.rng
        codes, strength = dense(rng, draw.units)
        whole = codes @ (rng.normal(size=(codes.shape[1], OUTPUTS)) / np.sqrt(codes.shape[1]))
        own = (strength[:, None] / strength.mean()) * rng.normal(size=whole.shape) * whole.std()
        cells = THROUGH * (whole + own)
    arrays = {"delta_y": (DIMS["delta_y"], whole), THROUGH_CELLS: (DIMS[THROUGH_CELLS], cells)}
    return world_of(profiled_subject(arrays, strength))


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


def loadings(measurement: xr.Dataset, side: str) -> pd.Series:
    """Return gene -> sum over the leading singular vectors of s^2 v^2, of the first map that was decomposed.

    `side`: "feature" for input genes, "gene" for outputs. It does not depend on the signs of the vectors. What is
    rounding beside the largest is 0: closed outputs have no loading, and none of them ranks above another.
    """
    vectors = measurement["input_vectors" if side == "feature" else "output_vectors"].isel(at=0)
    energy = (vectors.astype(np.float64) * measurement["values"].isel(at=0)) ** 2
    found = energy.sum("rank").to_series().sort_index()
    return found.where(found > ROUNDING * found.max(), 0.0)


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return what the frozen maps say beside the evidence, all models together.

    responses: shares of each perturbation's sources, agreement of its gene routes with gradient times input, error of
    the reconstruction. maps, ranks: the detached beside the ordinary Jacobian. decoded: singular vectors as genes, and
    every program's rank in them.
    """
    from pertprobe.probes import detached_tables as made

    split = inputs.measured("shares").items()
    maps = {model: itself(each.measurement) for model, each in inputs.measured("values").items()}.items()
    return tabulated(
        "detached_jacobian",
        responses=[made.responses(itself(s.measurement), s.strength).assign(model=model) for model, s in split],
        maps=[made.maps(each).assign(model=model) for model, each in maps],
        ranks=[made.ranks(each).assign(model=model) for model, each in maps],
        decoded=[made.decoded(each, inputs.programs).assign(model=model) for model, each in maps],
    )


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw where responses come from, each program's coherence through the cells, and the leading singular vectors."""
    from pertprobe.probes import detached_figure

    return detached_figure.draw(inputs)
