"""activation_patching: does one direction of a layer carry the response to a program's perturbations, and to no others?

Half of a program's perturbations names a direction of the layer (and a feature, where there is a sparse autoencoder).
The runs of all other perturbations are patched there from the control's run. How much of their delta_y goes back is
asked of the program's other half, against perturbations of like strength: what names never scores
(methods.md, Activation patching).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.naming import contrast
from pertprobe.probes.base import NEVER, MeasureInputs, TestInputs, averaged, each_program, first_sets
from pertprobe.progress import counted
from pertprobe.roles import OBSERVED, REDRAWN, SUBJECT
from pertprobe.statistics.intervals import bootstrap_mean
from pertprobe.statistics.permutation import mean_score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs
    from pertprobe.models.base import Model
    from pertprobe.patches import Patch
    from pertprobe.patching import Runs

Row = dict[str, Any]

CONTROLLED = "recovered"
"""The statistic in which re-drawn copies and planted models are compared with the model."""
INDUCED, ADDITIVITY, RANDOM, TARGETS = "induced", "additivity", "recovered_random", "recovered_targets"
FEATURE, FEATURE_RANDOM, LAYER = "recovered_feature", "recovered_feature_random", "recovered_layer"
MOST = 20
"""Programs in the figure."""
COPY_SETS = 1
"""Cell sets that untrained copies are patched on: of them only the mean and the spread of a null are asked."""


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
    from pertprobe.patches import naming_halves  # torch, which tests do without
    from pertprobe.patching import Runs

    namers = naming_halves(inputs)
    if not namers:
        return xr.Dataset(attrs={"not_evaluable": "no program has two perturbations with a trained code"})
    cells = first_sets(inputs.cells, COPY_SETS) if inputs.role in REDRAWN else inputs.cells
    runs = Runs(inputs.model, cells, inputs.layer)
    patches, named = _patches(inputs, runs, namers)
    found: dict[str, list[np.ndarray]] = {}
    for name in counted(names, "patched perturbations"):
        for variable, values in _shares(runs, name, patches, everything=inputs.role == SUBJECT):
            found.setdefault(variable, []).append(values)
    axes = {variable: patches[variable].axes for variable in patches} | {INDUCED: patches[CONTROLLED].axes, LAYER: {}}
    variables = {variable: _labelled(values, names, axes[variable]) for variable, values in found.items()}
    dataset = xr.Dataset(variables, attrs={"named": json.dumps({**named, "layer": runs.layer}, sort_keys=True)})
    return dataset.reindex(set=np.arange(inputs.cells.n_sets))


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return the model whose response is read out of its code, in place of those that act through gates.

    Where members' codes are close but the response passes by them, as in those, this probe has nothing to find. Nor can
    it tell a lookup from a mechanism: both answer the code alike (methods.md, Routing coherence).
    """
    from pertprobe.models.routed import routed_model
    from pertprobe.patches import naming_halves, trained

    base = models["planted"]
    asked = replace(inputs, model=base)
    namers, known = naming_halves(asked), set(trained(asked))
    model = routed_model(
        genes=base.genes,
        perturbations=asked.perturbations,
        control=base.control,
        programs={program: known & set(inputs.programs[program]) for program in namers},
        namers=namers,
        d=base.card["d"],
        seed=base.card["seed"],
        set_size=base.set_size,
    )
    return {"planted": model}


def _patches(
    inputs: MeasureInputs, runs: "Runs", namers: Mapping[str, Sequence[str]]
) -> tuple[dict[str, "Patch"], Row]:
    """Return variable -> its patches, and who named them; of a control only those that it is asked."""
    from pertprobe import patches as make
    from pertprobe.patching import along

    changes = make.layer_changes(runs, make.trained(inputs))
    outputs, programs = make.outside_program(inputs, list(namers), runs), {"program": list(namers)}
    found = {CONTROLLED: make.Patch(along(make.directions(runs, changes, list(namers.values()))), outputs, programs)}
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
    features = make.layer_features(runs, changes.names, inputs.sae)
    given = make.given_features(inputs, features.changes.shape[1])
    chosen = make.chosen_features(given, features, changes.names, namers)
    mine, like, alike = make.feature_patches(inputs.sae, chosen, features, outputs, draws)
    found |= {FEATURE: mine} | ({FEATURE_RANDOM: like} if like else {})
    return found, {**named, "features": chosen, "given": sorted(set(given) & set(chosen)), "random_features": alike}


def _shares(
    runs: "Runs", name: str, patches: Mapping[str, "Patch"], *, everything: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield variable and shares [set, K] under one perturbation."""
    pair = runs.pair(name)
    for variable, patch in patches.items():
        yield variable, runs.recovered(pair, patch.part, patch.outputs).cpu().numpy()
    if everything:
        mine = patches[CONTROLLED]
        yield INDUCED, runs.induced(pair, mine.part, mine.outputs).cpu().numpy()
        yield LAYER, runs.recovered_layer(pair).cpu().numpy()


def _labelled(values: Sequence[np.ndarray], names: Sequence[str], axes: Mapping[str, Sequence[Any]]) -> xr.DataArray:
    """Return shares [set, K] of each perturbation as [set, perturbation, *axes], sets numbered."""
    stacked = np.stack(values, axis=1).astype(np.float32)
    shape = (*stacked.shape[:2], *(len(labels) for labels in axes.values()))
    coords = {"set": np.arange(len(stacked)), "perturbation": list(names), **axes}
    return xr.DataArray(stacked.reshape(shape), coords, ("set", "perturbation", *axes))


def test(inputs: TestInputs) -> Iterator[Row]:
    """Do a program's held-out perturbations lose more of their response along its direction than others do?"""
    if inputs.reference is not None:
        return
    yield from controlled(inputs)
    found, named = inputs.subject.measurement, _named(inputs)
    recovered, induced = (_table(found, name) for name in (CONTROLLED, INDUCED))
    yield from _rows(inputs, INDUCED, induced, named["namers"])
    yield from _rows(inputs, ADDITIVITY, recovered - induced, named["namers"])
    yield from _rows(inputs, RANDOM, _random_table(found, named), named["namers"])
    yield from _target_rows(inputs, named)
    if FEATURE in found:
        yield from _feature_rows(inputs, named)
    yield _layer_row(inputs)


def controlled(inputs: TestInputs) -> Iterator[Row]:
    """Yield the recovered share of every program: asked of copies and planted models too."""
    if inputs.reference is not None:
        return
    named, table = _named(inputs), _table(inputs.subject.measurement, CONTROLLED)
    names = _trained(inputs, table.index)
    for program, found, short in each_program(inputs, names, inputs.min_perturbations, "trained perturbations"):
        if short:
            who = {"statistic": CONTROLLED, "program": program, "n": len(found), "n_background": len(names)}
            yield evidence.not_evaluable(inputs.identity, short, **who)
    yield from _rows(inputs, CONTROLLED, table, named["namers"])


def references(inputs: TestInputs) -> Iterator[Row]:
    """Yield the same share in observed responses: how much of delta_y lies along the direction of the other half's.

    As if the layer were the output itself: the direction is named in gene space, by the same perturbations.
    """
    observed = inputs.subject.observed
    if inputs.reference is not None or observed is None:
        return
    shifts = observed["delta_y"].sortby("perturbation").astype(np.float64).to_pandas()
    shifts = shifts.loc[_trained(inputs, shifts.index)]
    namers = {program: [n for n in each if n in shifts.index] for program, each in _named(inputs)["namers"].items()}
    namers = {program: each for program, each in namers.items() if each}
    table = pd.DataFrame({p: _along(shifts, each, inputs.programs[p]) for p, each in namers.items()})
    strength = pd.Series(np.linalg.norm(shifts, axis=1), index=shifts.index)
    asked = replace(inputs.as_role(OBSERVED), subject=replace(inputs.subject, strength=strength))
    yield from _rows(asked, CONTROLLED, table, namers)


def _along(shifts: pd.DataFrame, namers: Sequence[str], program: Sequence[str]) -> pd.Series:
    """Return the share of each shift's square that lies along the direction of the namers, the program's genes out."""
    values = shifts[[gene for gene in shifts.columns if gene not in set(program)]]
    direction = contrast(values, values.index.isin(namers))
    squared = values.pow(2).sum(axis=1) * (direction @ direction)
    return ((values @ direction) ** 2 / squared).where(squared > 0)


def _named(inputs: TestInputs) -> Row:
    """Return who named what; of what was not measured nothing."""
    return json.loads(inputs.subject.measurement.attrs["named"])


def _trained(inputs: TestInputs, names: pd.Index) -> np.ndarray:
    """Return the names whose code was trained, as far as is known."""
    never = inputs.subject.seen.index[inputs.subject.seen == NEVER]
    return names[~names.isin(never)].to_numpy()


def _table(measurement: xr.Dataset, name: str) -> pd.DataFrame:
    """Return shares [perturbation, program or panel], mean over cell sets."""
    return averaged(measurement, name).to_pandas()


def _random_table(measurement: xr.Dataset, named: Row) -> pd.DataFrame:
    """Return the mean share over random directions [perturbation, program], without those a perturbation named."""
    values = averaged(measurement, RANDOM)
    for program, draws in named["random_namers"].items():
        for draw, namers in enumerate(draws):
            values.loc[{"program": program, "draw": draw, "perturbation": namers}] = np.nan
    return values.mean("draw").to_pandas()


def _rows(
    inputs: TestInputs,
    statistic: str,
    table: pd.DataFrame,
    namers: Mapping[str, Sequence[str]],
    notes: Mapping[str, str] | None = None,
) -> Iterator[Row]:
    """Yield a row for each program that can be asked: shares [perturbation, program] of all that did not name."""
    names = _trained(inputs, table.index)
    for program, _, short in each_program(inputs, names, inputs.min_perturbations, "trained perturbations"):
        if short or program not in table.columns:
            continue
        yield _row(
            inputs, {"statistic": statistic, "program": program}, table[program], namers, (notes or {}).get(program, "")
        )


def _row(inputs: TestInputs, who: Row, shares: pd.Series, namers: Mapping[str, Sequence[str]], note: str) -> Row:
    """Test the mean share of a program's held-out perturbations against perturbations of like strength outside it."""
    program = who["program"]
    named = namers.get(program, [])
    asked = _trained(inputs, shares.index)
    pool = shares.loc[asked[~np.isin(asked, named)]]
    silent, pool = list(pool.index[pool.isna()]), pool.dropna()
    inside = pool.index.isin(inputs.programs[program])
    who = {**who, "n": int(inside.sum()), "n_background": len(pool)}
    notes = [f"named by {', '.join(named)}" if named else "", note]
    notes += [f"{len(silent)} without a response left out: {', '.join(silent)}" if silent else ""]
    if not inside.any() or inside.all():
        return evidence.not_evaluable(
            inputs.identity, evidence.joined("no perturbation is left to score", *notes), **who
        )
    strength = inputs.subject.strength.reindex(pool.index).to_numpy()
    scores, found = pool.to_numpy(), np.flatnonzero(inside)
    test = mean_score(scores, found, strength, inputs.permutations, inputs.random(who["statistic"], program))
    low, high = bootstrap_mean(scores[found], inputs.bootstrap, inputs.random("interval", who["statistic"], program))
    columns = evidence.tested(test, inputs.subject.held_out(pool.index[found]), *notes)
    specific = float(scores[inside].mean() - scores[~inside].mean())
    return evidence.row(inputs.identity, **who, **columns, ci_low=low, ci_high=high, estimate_published=specific)


def _target_rows(inputs: TestInputs, named: Row) -> Iterator[Row]:
    """Yield the share of the response of each panel's targets."""
    if TARGETS not in inputs.subject.measurement:
        return
    table = _table(inputs.subject.measurement, TARGETS)
    for panel in table.columns:
        program = named["panels"][panel]
        for row in _rows(inputs, TARGETS, table[[panel]].set_axis([program], axis=1), named["namers"]):
            yield {**row, "panel": panel}


def _feature_rows(inputs: TestInputs, named: Row) -> Iterator[Row]:
    """Yield the share that a feature carries, and that of features like it; features that were given have no namers."""
    measurement = inputs.subject.measurement
    namers = {program: each for program, each in named["namers"].items() if program not in named["given"]}
    words = {p: f"feature {', '.join(f'f{i}' for i in each)}" for p, each in named["features"].items()}
    yield from _rows(inputs, FEATURE, _table(measurement, FEATURE), namers, words)
    if FEATURE_RANDOM in measurement:
        table = averaged(measurement, FEATURE_RANDOM).mean("feature_draw").to_pandas()
        yield from _rows(
            inputs, FEATURE_RANDOM, table, namers, {p: f"matched with {each}" for p, each in words.items()}
        )


def _layer_row(inputs: TestInputs) -> Row:
    """Say how much of the response passes through the layer at all."""
    shares, layer = averaged(inputs.subject.measurement, LAYER).values, _named(inputs)["layer"]
    who = {"statistic": LAYER, "program": "", "n": int(np.isfinite(shares).sum()), "n_background": len(shares)}
    return evidence.row(
        inputs.identity, **who, estimate=float(np.nanmean(shares)), reason=f"layer {layer}, every token"
    )


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw each program's recovered share beside its null, random directions and the reverse patch."""
    from pertprobe.figures import NOTHING_TESTED, bars_with_null, nothing_to_draw, null_legend, panels

    rows = inputs.evidence[inputs.evidence.evaluable & (inputs.evidence.reference == "")]
    models = [model for model in inputs.question["models"] if model in set(rows[rows.statistic == CONTROLLED].model)]
    if not models:
        return nothing_to_draw(NOTHING_TESTED)
    shown = {model: rows[rows.model == model] for model in models}
    main = {model: each[each.statistic == CONTROLLED].nlargest(MOST, "effect") for model, each in shown.items()}
    height = 1.3 + 0.24 * max(len(each) for each in main.values())
    figure, axes = panels(len(models), 4.6, height, columns=len(models))
    for each, model in zip(axes, models, strict=True):
        bars_with_null(each, main[model], "share of delta_y recovered, held-out members")
        _beside(each, main[model], shown[model])
        each.set_title(model)
    null_legend(figure)
    axes[0].legend(loc="lower right", fontsize=6)
    return figure


def _beside(axes: "Axes", rows: pd.DataFrame, every: pd.DataFrame) -> None:
    """Mark, on each program's line, random directions, the reverse patch and the feature."""
    order = rows.sort_values("effect", kind="stable").program.tolist()
    marks = {RANDOM: ("x", "#c8553d", "random directions"), INDUCED: (">", "#6a8d3a", "reverse patch (induced)"),
             FEATURE: ("D", "#8a5fb0", "one SAE feature")}  # fmt: skip
    for statistic, (marker, colour, label) in marks.items():
        found = every[every.statistic == statistic].set_index("program").estimate.reindex(order)
        if found.notna().any():
            axes.scatter(
                found, np.arange(len(order)), marker=marker, s=18, color=colour, label=label, zorder=4, alpha=0.8
            )
