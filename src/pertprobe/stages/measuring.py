"""From a request to a measurement: one shard of one probe on one model, and the shards joined again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.batching import assigned, units_of_shard
from pertprobe.data.observed import turned
from pertprobe.data.programs import run_programs
from pertprobe.files import atomic
from pertprobe.models.cards import known_gene_names, read_seen
from pertprobe.probes import load_probe
from pertprobe.probes.base import NOT_EVALUABLE, MeasureInputs, averaged
from pertprobe.probes.declaration import declared
from pertprobe.roles import PLANTED, SUBJECT, role_of

COPIES_NOTE = "copies_note"
"""Attribute of a measurement that says which untrained copies are missing, and why."""


def refused(reason: str) -> xr.Dataset:
    """Return what stands for a measurement that was not made: the reason, which every row that reads it shows."""
    return xr.Dataset(attrs={NOT_EVALUABLE: reason})


def measure_shard(
    probe: str,
    inputs: MeasureInputs,
    shard: int,
    shards: int,
    *,
    redrawn: int = 0,
    cascade: bool = False,
    seed: int = 0,
) -> xr.Dataset:
    """Measure shard `shard` of `shards`: the sorted units are assigned in blocks (`batching.units_of_shard`).

    Each unit is computed by itself, with all cell sets, or together with others of its block: its numbers are the same
    for any number of shards. The axis `variant` holds the model and its re-drawn copies: `redrawn` of each kind, what
    is kept declared by the probe (methods.md, Untrained copies: the architecture null); with `cascade` those
    re-drawn from the output down. Responses to activations are turned round.
    """
    import torch  # here, so that gathering and testing start without it

    from pertprobe.models.by_agent import activated
    from pertprobe.models.randomised import randomised_controls

    module, declaration = load_probe(probe), declared(probe)
    lacking = sorted(declaration.needs - inputs.model.capabilities)
    if lacking:
        return refused(f"model has no {' and no '.join(lacking)}")
    inputs = inputs.limited_to(declaration)
    units = list(module.units(inputs))
    if not units:
        return refused("nothing to measure")
    names = units_of_shard(units, shard, shards)
    if not names:
        return xr.Dataset(attrs={"empty": "more shards than units"})
    with torch.no_grad(), assigned(len(units)):
        found = {SUBJECT: numbered(module.measure(inputs, names))}
        if NOT_EVALUABLE in found[SUBJECT].attrs:
            return found[SUBJECT]
        controls = randomised_controls(inputs.model, redrawn, declaration.keep, seed, cascade=cascade)
        for name, model in controls if redrawn else ():
            found[name] = _control(module, inputs, model, role_of(name)[0], names)
    measured = turned(variants(found), activated(inputs.model))
    return measured.assign_attrs({COPIES_NOTE: _about_copies(inputs.model)} if redrawn else {})


def _control(
    module: Any, inputs: MeasureInputs, model: Any, role: str, names: Sequence[str] | None = None
) -> xr.Dataset:
    """Measure another model as if it were the subject, which alone has autoencoders and components; all its units."""
    asked = replace(inputs, model=model, role=role, sae=None, pca=None)
    return numbered(module.measure(asked, sorted(module.units(asked)) if names is None else names))


def numbered(measured: xr.Dataset) -> xr.Dataset:
    """Return a measurement in which axes without names, such as cell sets, have their numbers for labels."""
    bare = {dim: np.arange(n) for dim, n in measured.sizes.items() if dim not in measured.coords}
    return measured.assign_coords(bare)


def _about_copies(model: Any) -> str:
    """Return what the architecture null of a model lacks, and why; empty where it lacks nothing."""
    from pertprobe.models.randomised import permutation_obstacle, redraw_obstacle

    if reason := redraw_obstacle(model):
        return f"no architecture null: {reason}"
    return f"no shuffled copies: {reason}" if (reason := permutation_obstacle(model)) else ""


def variants(found: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Join measurements of a model and its copies along `variant`; what only the first has stays without that axis."""
    first = next(iter(found.values()))
    common = [name for name in first.data_vars if all(name in each for each in found.values())]
    parts, labels = [each[common] for each in found.values()], pd.Index(list(found), name="variant")
    joined = xr.concat(parts, labels, join="outer", combine_attrs="override")  # copies may have fewer cell sets
    return joined.assign({name: first[name] for name in first.data_vars if name not in common})


def measure_derived(probe: str, inputs: MeasureInputs, models: Mapping[str, Any]) -> xr.Dataset:
    """Measure models that stand beside a model as its controls, with its units and cells; `variant` is their kind.

    Source: methods.md, Planted models; Models of known kind.

    Raises KeyError for a kind that is no role. Kinds that lack what the probe needs are left out. A probe that has a
    function `plant` exchanges planted ones for models in which its own score is shifted by the strength d that is
    wanted.
    """
    import torch

    module, declaration = load_probe(probe), declared(probe)
    inputs = inputs.limited_to(declaration)
    models = module.plant(inputs, models) if hasattr(module, "plant") and PLANTED[0] in models else models
    able = {kind: model for kind, model in models.items() if not declaration.needs - model.capabilities}
    if not able:
        return refused("no model that stands beside this one has what the probe needs")
    with torch.no_grad():
        found = {kind: _control(module, inputs, model, kind) for kind, model in able.items()}
    without = [each for each in found.values() if NOT_EVALUABLE in each.attrs]
    return without[0] if without else variants(found)


def gather(shards: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join the shards of one model, units sorted by name; what belongs to no unit is that of the shard which has it."""
    filled = [shard for shard in shards if "empty" not in shard.attrs]
    without = [shard for shard in filled if NOT_EVALUABLE in shard.attrs]
    if without:
        return without[0]
    if "perturbation" not in filled[0].dims:
        return filled[0]
    along = [name for name in filled[0].data_vars if "perturbation" in filled[0][name].dims]
    joined = xr.concat([shard[along] for shard in filled], "perturbation", join="exact", combine_attrs="identical")
    alone = {name: shard[name] for shard in filled for name in shard.data_vars if name not in along}
    return joined.sortby("perturbation").assign(alone)


def write_measurement(measurement: xr.Dataset, path: str | Path) -> None:
    """Write a measurement as NetCDF, all or nothing."""
    with atomic(path) as temporary:
        measurement.to_netcdf(temporary, engine="h5netcdf")


def read_measurement(path: str | Path) -> xr.Dataset:
    """Open a measurement: what is asked of it is read, such as one copy of the model, when it is asked for.

    Without its encoding: xarray remembers the longest name of the file, and would cut longer names of other shards to
    that length when they are written together.
    """
    return xr.open_dataset(path, engine="h5netcdf").drop_encoding()


def read_subject(path: str | Path, *names: str) -> xr.Dataset:
    """Read variables (all, where none is named) of the model itself, without its copies."""
    whole = read_measurement(path)
    found = whole[[name for name in whole.data_vars if name in names or not names]]
    found = found.sel(variant=[SUBJECT]) if "variant" in found.dims else found
    return found.load().assign_attrs(whole.attrs)


def read_responses(path: str | Path | None) -> pd.DataFrame | None:
    """Return a model's mean delta_y [perturbation, gene] from its measurement; None where none is given."""
    return averaged(read_subject(path, "delta_y"), "delta_y").to_pandas() if path else None


def measure_inputs(asked: Mapping[str, Any], files: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a probe is asked, in the words of `MeasureInputs`, with what it depends on read from files.

    Args:
        asked: what the config says; its `programs`, where they are there, are settings.
        files: `seen` and, where the probe is given them, `programs` (GMT files of the run), `responses` (the model's
            measured delta_y) and `observed` (that of its context).
        names: those of the model (its card will do).
    """
    found = {**asked, "seen": read_seen(files["seen"]).to_dict(), "responses": read_responses(files.get("responses"))}
    found["observed"] = read_measurement(files["observed"]) if files.get("observed") else None
    if "programs" in asked:
        found["programs"] = run_programs(files.get("programs", []), asked["programs"], known_gene_names([names]))
    return found
