"""activation_patching: does one direction of a layer carry the response to a program's perturbations, and to no others?

Half of a program's perturbations names a direction of the layer (and a feature, where there is a sparse autoencoder).
The runs of all other perturbations are patched there from the control's run. How much of their delta_y goes back is
asked of the program's other half, against perturbations of like strength: what names never scores
(methods.md, Activation patching).
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.batching import counted
from pertprobe.models.planted.materials import noise_codes
from pertprobe.probes.base import (
    NOT_EVALUABLE,
    Drawing,
    MeasureInputs,
    TestInputs,
    World,
    averaged,
    in_place_of,
)
from pertprobe.probes.declaration import declared
from pertprobe.probes.patch_directions import discovery_half
from pertprobe.probes.questions import Described, Number, Pool, Question, Row, Score
from pertprobe.probes.work import Sizes, Work
from pertprobe.probes.worlds import drawn_subject, unit_names
from pertprobe.roles import OBSERVED, SUBJECT
from pertprobe.statistics.null_worlds import OUTPUTS, SPREAD, dense
from pertprobe.statistics.similarity import contrast

if TYPE_CHECKING:
    from pertprobe.interpret.patching import Runs
    from pertprobe.models.base import Model
    from pertprobe.plots import DrawInputs, Drawn
    from pertprobe.probes.patch_directions import Patch

Namers = Mapping[str, Sequence[str]]
"""Program -> those of its perturbations that named its direction."""

RECOVERED, INDUCED, ADDITIVITY = "recovered", "induced", "additivity"
RANDOM, TARGETS = "recovered_random", "recovered_targets"
FEATURE, FEATURE_RANDOM, LAYER = "recovered_feature", "recovered_feature_random", "recovered_layer"


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return the share of delta_y that each patch recovers, under every perturbation and on every cell set; float32.

    recovered [set, perturbation, program]: along the direction of the program's naming half. Of the model itself also
    induced (the control's run patched from the perturbed one), recovered_random [..., draw] (directions named by as
    many other perturbations), recovered_targets [set, perturbation, panel] (read in a panel's targets), recovered_layer
    [set, perturbation] (every token), and recovered_feature and recovered_feature_random where there is an
    autoencoder. The attribute `named` says who named what (JSON).
    """
    from pertprobe.interpret.patching import Runs
    from pertprobe.probes.patch_directions import discovery_halves  # torch, which tests do without

    if not (namers := discovery_halves(inputs)):
        return xr.Dataset(attrs={NOT_EVALUABLE: "no program has two perturbations with a trained code"})
    runs = Runs(inputs.model, inputs.cells_measured, inputs.layer)
    patches, named = _patches(inputs, runs, namers)
    everything = inputs.role == SUBJECT
    found = [_shares(runs, name, patches, everything=everything) for name in counted(names, "patched perturbations")]
    axes = {variable: patches[variable].axes for variable in patches} | {INDUCED: patches[RECOVERED].axes, LAYER: {}}
    variables = {key: _labelled([each[key] for each in found], names, axes[key]) for key in found[0]}
    dataset = xr.Dataset(variables, attrs={"named": json.dumps({**named, "layer": runs.layer}, sort_keys=True)})
    return dataset.reindex(set=np.arange(inputs.cells.n_sets))


def work(sizes: Sizes) -> Work:
    """Return the runs of every perturbation: its own, and for each patch half a run, from the layer on."""
    draws, runs = sizes.settings.get("random", 3), sizes.few * sizes.perturbations
    alone = sizes.programs * (1 + draws) * (2 if sizes.features else 1) + sizes.panels + 1
    patches = sizes.programs + (alone if sizes.subject else 0)
    return Work(passes=runs * (2 + patches / 2), kept=runs * patches)


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return the model whose response is read out of its code, in place of those that act through gates.

    Where members' codes are close but the response passes by them, as in those, this probe has nothing to find. Nor can
    it tell a lookup from a mechanism: both answer the code alike (methods.md, Routing coherence).
    """
    from pertprobe.models.planted.linear_readout import linear_readout_model
    from pertprobe.probes.patch_directions import discovery_halves

    asked = replace(inputs, model=models["planted"])
    namers, known = discovery_halves(asked), set(asked.trained)
    programs = {program: known & set(inputs.programs[program]) for program in namers}
    return {"planted": linear_readout_model(**in_place_of(asked), programs=programs, namers=namers)}


def _patches(
    inputs: MeasureInputs, runs: "Runs", namers: Mapping[str, Sequence[str]]
) -> tuple[dict[str, "Patch"], Row]:
    """Return variable -> its patches, and who named them; of a control only those that it is asked."""
    from pertprobe.interpret.patching import along
    from pertprobe.probes import patch_directions as make

    changes = make.layer_changes(runs, inputs.trained)
    outputs, programs = make.outside_program(inputs, list(namers), runs), {"program": list(namers)}
    found = {RECOVERED: make.Patch(along(make.directions(runs, changes, list(namers.values()))), outputs, programs)}
    named: Row = {"namers": namers, "panels": {name: panel["program"] for name, panel in inputs.panels.items()}}
    if inputs.role != SUBJECT:
        return found, named
    draws, others = inputs.settings["random"], make.random_namers(inputs, changes, namers)
    random = make.directions(runs, changes, [drawn for program in namers for drawn in others[program]])
    axes = {**programs, "draw": list(range(draws))}
    found[RANDOM] = make.Patch(along(random), outputs.repeat_interleave(draws, 0), axes)
    if targets := make.in_targets(inputs, runs, changes, namers):
        found[TARGETS] = targets
    named["random_namers"] = others
    if inputs.sae is None:
        return found, named
    features = make.layer_features(runs, changes.index, inputs.sae)
    given = make.given_features(inputs, features.changes.shape[1])
    chosen = make.chosen_features(given, features, changes.index, namers)
    mine, like, alike = make.feature_patches(inputs.sae, chosen, features, outputs, draws)
    found |= {FEATURE: mine} | ({FEATURE_RANDOM: like} if like else {})
    return found, {**named, "features": chosen, "given": sorted(set(given) & set(chosen)), "random_features": alike}


def _shares(runs: "Runs", name: str, patches: Mapping[str, "Patch"], *, everything: bool) -> dict[str, np.ndarray]:
    """Return variable -> shares [set, K] under one perturbation."""
    pair, mine = runs.pair(name), patches[RECOVERED]
    found = {variable: runs.restored(pair, patch.part, patch.outputs) for variable, patch in patches.items()}
    if everything:
        found |= {INDUCED: runs.induced(pair, mine.part, mine.outputs), LAYER: runs.restored_layer(pair)}
    return {variable: values.cpu().numpy() for variable, values in found.items()}


def _labelled(values: Sequence[np.ndarray], names: Sequence[str], axes: Mapping[str, Sequence[Any]]) -> xr.DataArray:
    """Return shares [set, K] of each perturbation as [set, perturbation, *axes], sets numbered."""
    stacked = np.stack(values, axis=1).astype(np.float32)
    shape = (*stacked.shape[:2], *(len(labels) for labels in axes.values()))
    coords = {"set": np.arange(len(stacked)), "perturbation": list(names), **axes}
    return xr.DataArray(stacked.reshape(shape), coords, ("set", "perturbation", *axes))


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Do a program's held-out perturbations lose more of their response along its direction than others do?"""
    found, named = inputs.subject.measurement, _named(inputs)
    score = partial(_score, inputs, programs=list(named["namers"]), namers=named["namers"])
    yield replace(score(RECOVERED, partial(_read, found, RECOVERED)), few=True, programs=None)
    yield from _of_observed(inputs, named["namers"])
    if INDUCED in found:  # of copies and planted models no more is measured
        yield score(INDUCED, partial(_read, found, INDUCED))
        yield score(ADDITIVITY, lambda program: _read(found, RECOVERED, program) - _read(found, INDUCED, program))
        yield score(RANDOM, partial(_random_shares, found, named))
        yield from _of_targets(inputs, named)
        yield from _of_features(inputs, named)
        yield Described(statistic=LAYER, number=lambda _: _through_layer(inputs))


def _score(
    inputs: TestInputs,
    statistic: str,
    shares: Callable[[str], pd.Series],
    *,
    programs: Collection[str],
    namers: Namers,
    notes: Mapping[str, str] | None = None,
    panel: str = "",
) -> Score:
    """Return whether shares (program -> perturbation -> share) are higher in the members that did not name."""

    def pool(program: str) -> Pool:
        """Return the perturbations that a program is asked among."""
        asked, note = shares(program), (notes or {}).get(program, "")
        return _pool(inputs, program, asked, inputs.subject.strength, namers.get(program, []), note)

    names = np.sort(inputs.subject.measurement.perturbation.values)
    names = names[inputs.subject.trained(names)]
    return Score(statistic=statistic, names=names, pool=pool, few=False, programs=programs, panel=panel)


def _pool(
    inputs: TestInputs, program: str, shares: pd.Series, strength: pd.Series, named: Sequence[str], note: str = ""
) -> Pool:
    """Return those with a trained code and a response that did not name, and how much higher members lie."""
    pool = shares.loc[inputs.subject.trained(shares.index) & ~shares.index.isin(named)]
    silent, pool = list(pool.index[pool.isna()]), pool.dropna()
    words = f"{len(silent)} without a response left out: {', '.join(silent)}" if silent else ""
    notes = [f"named by {', '.join(named)}" if named else "", note, words]
    names, scores, held = pool.index.to_numpy(), pool.to_numpy(), strength.reindex(pool.index).to_numpy()
    published = lambda found, _: (_specific(scores, found), np.nan)  # noqa: E731
    return Pool(names, scores, held, inputs.programs[program], notes, published=published)


def _specific(scores: np.ndarray, found: np.ndarray) -> float:
    """Return how much higher the mean score of members is than that of all others."""
    return float(scores[found].mean() - np.delete(scores, found).mean())


def _of_observed(inputs: TestInputs, namers: Namers) -> Iterator[Score]:
    """Yield the same share in observed responses: how much of delta_y lies along the direction of the other half's.

    As if the layer were the output itself: the direction is named in gene space, by the same perturbations.
    """
    if (observed := inputs.subject.observed) is None:
        return
    names = np.sort(observed.perturbation.values)
    names = names[inputs.subject.trained(names)]
    kept = {program: [name for name in each if name in names] for program, each in namers.items()}
    shifts = cache(lambda: observed["delta_y"].sel(perturbation=names).astype(np.float64).to_pandas())

    def pool(program: str) -> Pool:
        """Return the observed perturbations that a program is asked among, by their own strength."""
        strength = pd.Series(np.linalg.norm(shifts(), axis=1), names)
        shares = _along(shifts(), kept[program], inputs.programs[program])
        return _pool(inputs, program, shares, strength, kept[program])

    programs = [program for program, each in kept.items() if each]
    yield Score(statistic=RECOVERED, role=OBSERVED, names=names, pool=pool, few=False, programs=programs)


def _along(shifts: pd.DataFrame, namers: Sequence[str], program: Sequence[str]) -> pd.Series:
    """Return the share of each shift's square that lies along the direction of the namers, the program's genes out."""
    values = shifts[[gene for gene in shifts.columns if gene not in set(program)]]
    direction = contrast(values, values.index.isin(namers))
    squared = values.pow(2).sum(axis=1) * (direction @ direction)
    return ((values @ direction) ** 2 / squared).where(squared > 0)


def _named(inputs: TestInputs) -> dict[str, Any]:
    """Return who named what; of what was not measured nothing."""
    return json.loads(inputs.subject.measurement.attrs["named"])


def _measured(measurement: xr.Dataset, name: str, key: str, axis: str = "program") -> xr.DataArray:
    """Return the shares of one program or panel [perturbation, ...], mean over cell sets."""
    return averaged(measurement[[name]].sel({axis: key}), name)


def _read(measurement: xr.Dataset, name: str, program: str) -> pd.Series:
    """Return the share of each perturbation, mean over draws where there are any."""
    shares = _measured(measurement, name, program)
    return shares.mean([dim for dim in shares.dims if dim != "perturbation"]).to_series()


def _random_shares(measurement: xr.Dataset, named: Mapping[str, Any], program: str) -> pd.Series:
    """Return the mean share of each perturbation over random directions, without those that it named."""
    shares = _measured(measurement, RANDOM, program)
    for draw, namers in enumerate(named["random_namers"][program]):
        shares.loc[{"draw": draw, "perturbation": namers}] = np.nan
    return shares.mean("draw").to_series()


def _of_targets(inputs: TestInputs, named: Mapping[str, Any]) -> Iterator[Score]:
    """Yield the share of the response of each panel's targets."""
    found = inputs.subject.measurement
    for panel in found[TARGETS].panel.values if TARGETS in found else ():
        shares = _measured(found, TARGETS, panel, "panel").to_series()
        asked = {"programs": [named["panels"][panel]], "panel": panel, "namers": named["namers"]}
        yield _score(inputs, TARGETS, lambda _, each=shares: each, **asked)


def _of_features(inputs: TestInputs, named: Mapping[str, Any]) -> Iterator[Score]:
    """Yield the share that a feature carries, and that of features like it; features that were given have no namers."""
    found, programs = inputs.subject.measurement, list(named["namers"])
    namers = {program: each for program, each in named["namers"].items() if program not in named.get("given", ())}
    words = {p: f"feature {', '.join(f'f{i}' for i in each)}" for p, each in named.get("features", {}).items()}
    notes = {FEATURE: words, FEATURE_RANDOM: {p: f"matched with {each}" for p, each in words.items()}}
    for statistic, said in notes.items():
        if statistic in found:
            shares = partial(_read, found, statistic)
            yield _score(inputs, statistic, shares, programs=programs, namers=namers, notes=said)


def _through_layer(inputs: TestInputs) -> Number:
    """Return how much of the response passes through the layer at all."""
    shares, layer = averaged(inputs.subject.measurement, LAYER).values, _named(inputs)["layer"]
    n, notes = int(np.isfinite(shares).sum()), [f"layer {layer}, every token"]
    return Number(float(np.nanmean(shares)), n=n, background=len(shares), notes=notes)


def null_world(draw: Drawing) -> World:
    """Draw codes in which no program has a direction, and a linear map of them to the response.

    Codes share a direction in proportion to strength. Where something is planted, members load on a direction of their
    own, the response is the code, and strength is drawn apart.
    """
    names, rng = np.array(unit_names(draw.units)), draw.rng
    seed = int(rng.integers(2**31))
    if len(draw.members):
        codes = _planted_codes(draw, names, seed)
        response, strength = np.eye(codes.shape[1]), rng.lognormal(0, SPREAD, draw.units)
    else:
        codes = dense(rng, draw.units).values
        response = rng.normal(size=(codes.shape[1], OUTPUTS)) / np.sqrt(codes.shape[1])
        strength = np.linalg.norm(codes @ response, axis=1)
    known = pd.Series(strength, names)

    def given(programs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return the shares that patches along the directions of these programs recover."""
        namers = {program: discovery_half(each, program, seed) for program, each in programs.items()}
        shares = [_recovered(codes, response, np.isin(names, each)) for each in namers.values()]
        coords = {"perturbation": names, "program": list(namers)}
        measured = xr.DataArray(np.stack(shares, axis=1)[None], coords, ("set", "perturbation", "program"))
        attrs = {"named": json.dumps({"namers": namers, "panels": {}, "layer": 0})}
        subject = drawn_subject(xr.Dataset({RECOVERED: measured}, attrs=attrs), known)
        return {"subject": subject, "settings": declared("activation_patching").default_settings}

    return World(known, given)


def _planted_codes(draw: Drawing, names: Sequence[str], seed: int) -> np.ndarray:
    """Return codes in which d is what members that do not name recover more, in sd of all others; half of them name."""
    from pertprobe.models.planted.linear_readout import solve_loadings  # torch, which tests do without

    half = list(draw.members)[: len(draw.members) // 2]
    named = np.isin(np.arange(draw.units), half)
    return solve_loadings(noise_codes(names, seed), draw.inside[:, None], named[:, None], draw.d)


def _recovered(codes: np.ndarray, response: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Return the share of each linear response that a patch along the direction of the named ones recovers [P]."""
    direction = contrast(codes, named)
    moved = np.outer(codes @ direction, direction @ response) / max(direction @ direction, 1e-300)
    whole = codes @ response
    return (moved * whole).sum(axis=1) / (whole**2).sum(axis=1)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw each program's recovered share beside its null, random directions and the reverse patch."""
    from pertprobe.probes import activation_patching_figure

    return activation_patching_figure.draw(inputs)
