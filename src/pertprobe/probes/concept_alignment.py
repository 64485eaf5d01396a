"""concept_alignment: does the output of a program's genes read the direction in which its perturbations lie apart?"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import comb, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from pertprobe import evidence
from pertprobe.concepts import (
    accuracy,
    chance,
    correlations,
    directions,
    hard_negatives,
    mlp_axes,
    padded,
    permuted_labels,
    principal_cosine,
    span_cosine,
    top_directions,
    without_strength,
)
from pertprobe.probes.base import NEVER, MeasureInputs, TestInputs, each_program, itself
from pertprobe.progress import counted
from pertprobe.roles import REDRAWN, SUBJECT
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics.permutation import summary
from pertprobe.statistics.ranks import average_ranks

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from pertprobe.cells import CellSets
    from pertprobe.figures import DrawInputs
    from pertprobe.models.base import Model
    from pertprobe.patching import Runs

Row = dict[str, Any]

CONTROLLED = "alignment"
MEASURED = (CONTROLLED, "alignment_first", "cav_accuracy", "outcome_agreement", "mlp_alignment", "mlp_first")
"""The statistic in which re-drawn copies and planted models are compared with the model."""
EVEN = 0.5
"""Balanced accuracy of a classifier that can tell nothing."""
COPY_SETS, COPY_REFITS = 1, 99
"""Cell sets and refitted directions of copies: of their nulls only the mean is asked."""


class Layer(NamedTuple):
    """What is read of a model at one layer."""

    number: int
    pushed: "Runs"
    """The control's run on the first cell set alone, which is pushed."""
    changes: np.ndarray
    """Mean state under each perturbation less that under the control [P, H]."""
    responses: np.ndarray
    """delta_y [P, G]."""
    jacobian: np.ndarray
    """d mean output / d a push of all cells [G, H], mean over cell sets and contexts."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return one unit: programs are compared with each other's perturbations, which one job runs."""
    return inputs.perturbations[:1]


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return each statistic [layer, program, draw]: draw 0 by the labels, the others by permuted labels; float32.

    Of untrained copies and planted models the alignments alone. The attribute `asked` says (JSON) who the members and
    the negatives were and how many outputs are differentiated, `width` how wide the layers are.
    """
    known = [name for name in inputs.perturbations if inputs.seen.get(name) != NEVER]
    asked = _asked(inputs, known)
    if not asked:
        return xr.Dataset(
            attrs={"not_evaluable": "no program has two trained perturbations and a gene that is an output"}
        )
    layers = [_layer(inputs, known, each) for each in _layers(inputs)]
    pools = {program: _pool(inputs, known, layers[0], each) for program, each in asked.items()}
    found = [
        [_program(inputs, layer, known, program, pools[program], asked[program]) for program in asked]
        for layer in counted(layers, "layers")
    ]
    draws = np.arange(_refits(inputs) + 1)
    coords = {"layer": [layer.number for layer in layers], "program": list(asked), "draw": draws}
    variables = {
        name: np.stack([padded([each[name] for each in row], len(draws)) for row in found]) for name in found[0][0]
    }
    words = {
        p: {"members": each["members"], "negatives": pools[p], "outputs": len(each["outputs"])}
        for p, each in asked.items()
    }
    return xr.Dataset(
        {name: (("layer", "program", "draw"), each.astype(np.float32)) for name, each in variables.items()},
        coords,
        {"asked": json.dumps(words, sort_keys=True), "width": layers[0].changes.shape[1], "layer": layers[0].number},
    )


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return the model whose outputs of a program's genes read the very direction that its members' codes share."""
    from pertprobe.models.routed import concept_model

    base = models["planted"]
    asked = replace(inputs, model=base)
    found = _asked(asked, asked.perturbations)
    outputs = {program: [base.output_genes[i] for i in each["outputs"]] for program, each in found.items()}
    model = concept_model(
        genes=base.genes,
        perturbations=asked.perturbations,
        control=base.control,
        programs={program: inputs.programs[program] for program in found},
        outputs=outputs,
        d=base.card["d"],
        seed=base.card["seed"],
        set_size=base.set_size,
    )
    return {"planted": model}


def _layers(inputs: MeasureInputs) -> list[int]:
    """Return the numbers of the layers to read; copies are read at the first alone."""
    from pertprobe.sae.activations import layer_number

    wanted = [layer_number(inputs.model, each) for each in inputs.settings["layers"]]
    return wanted[:1] if inputs.role != SUBJECT else list(dict.fromkeys(wanted))


def _refits(inputs: MeasureInputs) -> int:
    return min(inputs.settings["refits"], COPY_REFITS) if inputs.role in REDRAWN else inputs.settings["refits"]


def _asked(inputs: MeasureInputs, known: Sequence[str]) -> dict[str, Row]:
    """Return program -> members with a trained code, and outputs: its panels' targets, or else its own genes."""
    places = {gene: i for i, gene in enumerate(inputs.model.output_genes)}
    targets: dict[str, set[str]] = {}
    for panel in inputs.panels.values():
        targets.setdefault(panel["program"], set()).update(panel["targets"])
    found = {}
    for program, listed in inputs.programs.items():
        members = sorted(set(known) & set(listed))
        wanted = targets.get(program, set()) & places.keys() or set(listed) & places.keys()
        if len(members) >= 2 and wanted and len(known) > len(members) + 1:
            found[program] = {"members": members, "outputs": sorted(places[gene] for gene in wanted)}
    return found


def _layer(inputs: MeasureInputs, known: Sequence[str], number: int) -> Layer:
    """Run the model under every perturbation, and differentiate it under the control."""
    from pertprobe.patching import Runs
    from pertprobe.steering import layer_jacobian

    runs = Runs(inputs.model, _first_sets(inputs.cells) if inputs.role in REDRAWN else inputs.cells, number)
    cells = inputs.model.cell_positions
    changes, responses = [], []
    for name in counted(known, f"perturbations at layer {number}"):
        states = runs.states(name)
        changes.append(_array((states - runs.control_states)[:, cells].mean((0, 1))))
        responses.append(_array((runs.response(states, name) - runs.control_response).mean(0)))
    others = [Runs(inputs.model, each, number) for each in _other_contexts(inputs)]
    jacobians = [_array(layer_jacobian(each).mean(0)) for each in (runs, *others)]
    pushed = Runs(inputs.model, _first_sets(inputs.cells), number)
    return Layer(number, pushed, np.stack(changes), np.stack(responses), np.mean(jacobians, axis=0))


def _first_sets(cells: "CellSets") -> "CellSets":
    """Return the first COPY_SETS of the cell sets."""
    parts = {name: getattr(cells, name) for name in ("values", "batches", "cell_ids")}
    return replace(cells, **{name: part if part is None else part[:COPY_SETS] for name, part in parts.items()}, hash="")


def _other_contexts(inputs: MeasureInputs) -> list["CellSets"]:
    """Return cells of the other contexts that the model can read, without batches: it may not know theirs."""
    genes, own = tuple(inputs.model.genes), inputs.cells.context
    if inputs.role in REDRAWN:
        return []
    found = [each for each in inputs.contexts if each.context != own and set(genes) <= set(each.genes)]
    return [replace(each.for_genes(genes), batches=None, hash="") for each in found]


def _array(values: "Tensor") -> np.ndarray:
    return values.detach().double().cpu().numpy()


def _pool(inputs: MeasureInputs, known: Sequence[str], layer: Layer, asked: Row) -> list[str]:
    """Return the hard negatives of a program: of like strength, or whose delta_y is most like a member's."""
    members = np.flatnonzero(np.isin(known, asked["members"]))
    if inputs.settings["negatives"] == "strength":
        ranks = average_ranks(np.linalg.norm(layer.responses, axis=1))
        distance = np.abs(ranks[:, None] - ranks)
    else:
        centred = layer.responses - layer.responses.mean(axis=0)
        lengths = np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-300)
        distance = 1 - (centred / lengths) @ (centred / lengths).T
    chosen = hard_negatives(distance, members, inputs.settings["negatives_each"])
    return [known[i] for i in chosen]


def _program(
    inputs: MeasureInputs, layer: Layer, known: Sequence[str], program: str, negatives: Sequence[str], asked: Row
) -> dict[str, np.ndarray]:
    """Return each statistic [1 + refits] of one program at one layer."""
    pool = [name for name in known if name in {*asked["members"], *negatives}]
    inside = np.isin(known, pool)
    states = without_strength(layer.changes, np.linalg.norm(layer.responses, axis=1))[inside]
    rng = generator(inputs.seed, "refits", program)
    labels = permuted_labels(np.isin(pool, asked["members"]), _refits(inputs), rng)
    span = top_directions(layer.jacobian[asked["outputs"]], inputs.settings["directions"])
    if not len(span):
        return {name: np.full(len(labels), np.nan) for name in _wanted(inputs)}
    found = directions(states, labels)
    measured = {"alignment": span_cosine(found, span), "alignment_first": span_cosine(found, span[:1])}
    if inputs.role != SUBJECT:
        return measured
    measured["cav_accuracy"] = accuracy(states, labels, generator(inputs.seed, "folds", program))
    size = float(np.linalg.norm(layer.changes[inside][labels[0]], axis=1).mean())
    measured["outcome_agreement"] = _outcomes(
        layer, size * found[: inputs.settings["outcome_refits"] + 1], size * span[0]
    )
    return measured | _mlp(inputs, states, labels, span, program)


def _wanted(inputs: MeasureInputs) -> Sequence[str]:
    return MEASURED if inputs.role == SUBJECT else MEASURED[:2]


def _outcomes(layer: Layer, pushes: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return |r| of what the model predicts after each push [k, H] with that after a push along the Jacobian's first.

    All of one length. The singular vector has no sign: it is pushed along to the side that the classifier points to.
    """
    import torch

    from pertprobe.steering import pushed_outputs

    signs = np.where(pushes @ reference < 0, -1.0, 1.0)[:, None]
    both = np.concatenate([signs * pushes, reference[None]])
    moved = _array(pushed_outputs(layer.pushed, torch.as_tensor(both).to(layer.pushed.control_states)).mean(1))
    return correlations(moved[:-1], moved[-1])


def _mlp(
    inputs: MeasureInputs, states: np.ndarray, labels: np.ndarray, span: np.ndarray, program: str
) -> dict[str, np.ndarray]:
    """Return how a small classifier's first layer lies to the Jacobian: smallest principal angle; published cosine."""
    rows = labels[: inputs.settings["mlp_refits"] + 1]
    seeds = (seed_of(inputs.seed, "mlp", program, i) % 2**31 for i in range(len(rows)))
    axes = [mlp_axes(states, each, len(span), seed) for each, seed in zip(rows, seeds, strict=True)]
    first = [abs(float(each[0] @ span[0])) for each in axes]
    return {"mlp_alignment": np.array([principal_cosine(each, span) for each in axes]), "mlp_first": np.array(first)}


def test(inputs: TestInputs) -> Iterator[Row]:
    """Is the direction of a program's members nearer to what its outputs read than directions of permuted labels?"""
    if inputs.reference is not None:
        return
    alignments = list(controlled(inputs))
    yield from alignments
    own = itself(inputs.subject.measurement)
    for program in [row["program"] for row in alignments if row["evaluable"]]:
        mine = own.sel(program=program)
        for name in MEASURED[1:]:
            yield _row(inputs, name, program, mine[name].sel(layer=own.attrs["layer"]))
        for layer in own.layer.values[own.layer.values != own.attrs["layer"]]:
            yield _row(inputs, f"{CONTROLLED}_layer_{layer}", program, mine[CONTROLLED].sel(layer=layer))


def controlled(inputs: TestInputs) -> Iterator[Row]:
    """Yield the alignment of every program at the first layer: asked of copies and planted models too."""
    if inputs.reference is not None:
        return
    never = inputs.subject.seen.index[inputs.subject.seen == NEVER]
    names = inputs.subject.strength.index[~inputs.subject.strength.index.isin(never)].to_numpy()
    own = itself(inputs.subject.measurement)
    for program, found, short in each_program(inputs, names, inputs.min_perturbations, "trained perturbations"):
        who = {"statistic": CONTROLLED, "program": program, "n": len(found), "n_background": len(names)}
        if not short and program not in own.program.values:
            short = "no gene of the program, and no target of its panels, is an output of the model"
        if short := short or _indistinct(own, program):
            yield evidence.not_evaluable(inputs.identity, short, **who)
            continue
        values = own[CONTROLLED].sel(program=program, layer=own.attrs["layer"])
        yield _row(inputs, CONTROLLED, program, values[_told(own, program)])


def _told(own: xr.Dataset, program: str) -> np.ndarray:
    """Return which labels, the program's first, a classifier tells better than by chance [1 + refits].

    Labels are compared with such labels alone: chosen by what all of them have, they are still exchangeable.
    """
    if "cav_accuracy" not in own:  # copies and planted models: only their alignment is measured
        return np.ones(own.sizes["draw"], dtype=bool)
    return ~(own.cav_accuracy.sel(program=program, layer=own.attrs["layer"]).values <= EVEN)


def _indistinct(own: xr.Dataset, program: str) -> str:
    """Say that no direction of the layer sets a program apart, where none does: what cannot be told is no concept."""
    if _told(own, program)[0]:
        return ""
    found = float(own.cav_accuracy.sel(program=program, layer=own.attrs["layer"])[0])
    return f"no direction, strength apart, tells members from negatives: cross-validated accuracy {found:.2f}"


def references(inputs: TestInputs) -> Iterator[Row]:
    """Yield nothing: data and co-expression have no layers."""
    yield from ()


def _row(inputs: TestInputs, statistic: str, program: str, values: xr.DataArray) -> Row:
    """Compare draw 0, the labels', with the others."""
    measurement = inputs.subject.measurement
    asked = json.loads(measurement.attrs["asked"])[program]
    n, others = len(asked["members"]), len(asked["negatives"])
    who = {"statistic": statistic, "program": program, "n": n, "n_background": others}
    drawn = values.values.astype(np.float64)
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 2 or not others:
        return evidence.not_evaluable(inputs.identity, "the program's outputs do not depend on the layer", **who)
    found = summary(float(drawn[0]), drawn[1:], max(comb(n + others, n), len(drawn)), len(drawn) - 1)
    # The spread of one member's part, were the parts of all members independent.
    found = found._replace(unit_sd=found.null_sd * sqrt(n))
    words = f"{asked['outputs']} outputs{_by_chance(inputs, statistic, asked)}"
    held = inputs.subject.held_out(asked["members"])
    return evidence.row(inputs.identity, **who, **evidence.tested(found, words, held))


def _by_chance(inputs: TestInputs, statistic: str, asked: Row) -> str:
    """Say about what cosine a random direction has: a reference in words, never a null.

    Source: methods.md, Concept alignment.
    """
    if statistic in ("cav_accuracy", "outcome_agreement", "mlp_alignment"):
        return ""
    first = statistic in ("alignment_first", "mlp_first")
    k = 1 if first else min(inputs.settings["directions"], asked["outputs"])
    return f"; a random direction: {chance(k, int(inputs.subject.measurement.attrs['width'])):.3f}"


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw each program's alignment beside that of directions refitted on permuted labels."""
    from pertprobe.figures import NOTHING_TESTED, bars_with_null, nothing_to_draw, null_legend, panels

    rows = inputs.evidence[inputs.evidence.evaluable & (inputs.evidence.reference == "")]
    models = [model for model in inputs.question["models"] if model in set(rows[rows.statistic == CONTROLLED].model)]
    if not models:
        return nothing_to_draw(NOTHING_TESTED)
    shown = {(m, s): rows[(rows.model == m) & (rows.statistic == s)] for s in SHOWN for m in models}
    height = 1.1 + 0.24 * max(len(each) for each in shown.values())
    figure, axes = panels(len(shown), 3.6, height, columns=len(models))
    for each, ((model, statistic), mine) in zip(axes, shown.items(), strict=True):
        bars_with_null(each, mine.nlargest(20, "effect"), SHOWN[statistic])
        each.set_title(model)
    null_legend(figure)
    return figure


SHOWN = {
    CONTROLLED: "cosine with the Jacobian's span",
    "outcome_agreement": "|r| of outcomes of a push",
    "cav_accuracy": "cross-validated accuracy",
}
"""Statistic -> its axis in the figure."""
