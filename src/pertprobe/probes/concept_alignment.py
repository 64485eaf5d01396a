"""concept_alignment: does the output of a program's genes read the direction in which its perturbations lie apart?"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import comb, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.batching import counted
from pertprobe.interpret.concept_directions import (
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
)
from pertprobe.models.planted.materials import NOISE
from pertprobe.probes.base import (
    NOT_EVALUABLE,
    Drawing,
    MeasureInputs,
    TestInputs,
    World,
    first_sets,
    in_place_of,
    itself,
    labelled,
)
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import Each, Question, Row
from pertprobe.probes.work import Sizes, Work
from pertprobe.probes.worlds import drawn_subject, loaded, unit_names
from pertprobe.roles import PLANTED, REDRAWN, SUBJECT
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics.null_worlds import dense
from pertprobe.statistics.permutation import Test, summary
from pertprobe.statistics.ranks import average_ranks
from pertprobe.statistics.sets import scores_without_strength

if TYPE_CHECKING:
    from torch import Tensor

    from pertprobe.data.cell_sets import CellSets
    from pertprobe.interpret.patching import Runs
    from pertprobe.models.base import Model
    from pertprobe.plots import DrawInputs, Drawn


ALIGNMENT = "alignment"
MEASURED = (ALIGNMENT, "alignment_first", "cav_accuracy", "outcome_agreement", "mlp_alignment", "mlp_first")
"""Variables of the measurement: each is a statistic."""
EVEN = 0.5
"""Balanced accuracy of a classifier that can tell nothing."""
READ, WORLD_REFITS = 7, 199
"""Outputs that are differentiated in a null world, and directions refitted there."""
COPY_REFITS = 99
"""Refitted directions of copies: of their nulls only the mean is asked."""


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
    known = inputs.trained
    if not (asked := _asked(inputs, known)):
        reason = "no program has two trained perturbations and a gene that is an output"
        return xr.Dataset(attrs={NOT_EVALUABLE: reason})
    layers = [_layer(inputs, known, each) for each in _layers(inputs)]
    return _of_layers(inputs, layers, known, asked)


def work(sizes: Sizes) -> Work:
    """Return for every layer two runs of each perturbation, the layer's Jacobian, and what programs are asked."""
    layers, pushed = len(sizes.settings["layers"]), min(sizes.width, sizes.outputs) / 2
    runs = 2 * sizes.few * (sizes.trained + 1)
    contexts = sizes.contexts if sizes.subject else 1
    outcomes = sizes.programs * (sizes.settings["outcome_refits"] + 2) / 2 if sizes.subject else 0
    fits = sizes.programs * (sizes.settings["mlp_refits"] + 1) if sizes.subject else 0
    found = sizes.programs * (sizes.settings["refits"] + 1) * (len(MEASURED) if sizes.subject else 2)
    derivatives = pushed * sizes.few * contexts
    return Work(*(layers * each for each in (runs + outcomes, derivatives, 0, 0, fits, found)))


def _of_layers(
    inputs: MeasureInputs, layers: Sequence[Layer], known: Sequence[str], asked: Mapping[str, Row]
) -> xr.Dataset:
    """Return the measurement of layers that were read."""
    asked = {p: {**each, "negatives": _pool(inputs, known, layers[0], each)} for p, each in asked.items()}
    found = [[_program(inputs, layer, known, *each) for each in asked.items()] for layer in counted(layers, "layers")]
    arrays, draws = {}, _refits(inputs) + 1
    for name in found[0][0]:
        values = np.stack([padded([each[name] for each in row], draws) for row in found])
        arrays[name] = ("layer", "program", "draw"), values.astype(np.float32)
    measured = labelled(arrays, layer=[layer.number for layer in layers], program=list(asked))
    words = json.dumps({p: {**each, "outputs": len(each["outputs"])} for p, each in asked.items()}, sort_keys=True)
    return measured.assign_attrs(asked=words, width=layers[0].changes.shape[1], layer=layers[0].number)


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return the model whose outputs of a program's genes read the very direction that its members' codes share."""
    from pertprobe.models.planted.linear_readout import concept_model

    asked = replace(inputs, model=models["planted"])
    found, genes = _asked(asked, asked.perturbations), asked.model.output_genes
    outputs = {program: [genes[i] for i in each["outputs"]] for program, each in found.items()}
    programs = {program: inputs.programs[program] for program in found}
    return {"planted": concept_model(**in_place_of(asked), programs=programs, outputs=outputs)}


def _layers(inputs: MeasureInputs) -> list[int]:
    """Return the numbers of the layers to read; copies are read at the first alone."""
    from pertprobe.interpret.sae.activations import layer_number

    wanted = dict.fromkeys(layer_number(inputs.model, each) for each in inputs.settings["layers"])
    return list(wanted)[: None if inputs.role == SUBJECT else 1]


def _refits(inputs: MeasureInputs) -> int:
    return min(inputs.settings["refits"], COPY_REFITS) if inputs.role in REDRAWN else inputs.settings["refits"]


def _asked(inputs: MeasureInputs, known: Sequence[str]) -> dict[str, Row]:
    """Return program -> members with a trained code, and outputs: its panels' targets, or else its own genes."""
    places = {gene: i for i, gene in enumerate(inputs.model.output_genes)}
    found = {}
    for program, listed in inputs.programs.items():
        members = sorted(set(known) & set(listed))
        targets = {name for panel in inputs.panels.values() if panel["program"] == program for name in panel["targets"]}
        wanted = targets & places.keys() or set(listed) & places.keys()
        if len(members) >= 2 and wanted and len(known) > len(members) + 1:
            found[program] = {"members": members, "outputs": sorted(places[gene] for gene in wanted)}
    return found


def _layer(inputs: MeasureInputs, known: Sequence[str], number: int) -> Layer:
    """Run the model under every perturbation, and differentiate it under the control."""
    from pertprobe.interpret.patching import Runs
    from pertprobe.interpret.steering import layer_jacobian

    runs = Runs(inputs.model, inputs.cells_measured, number)
    cells = inputs.model.cell_positions
    changes, responses = [], []
    for name in counted(known, f"perturbations at layer {number}"):
        states = runs.states(name)
        changes.append(_array((states - runs.control_states)[:, cells].mean((0, 1))))
        responses.append(_array((runs.response(states, name) - runs.control_response).mean(0)))
    others = [Runs(inputs.model, each, number) for each in _other_contexts(inputs)]
    jacobians = [_array(layer_jacobian(each).mean(0)) for each in (runs, *others)]
    pushed = Runs(inputs.model, first_sets(inputs.cells, 1), number)
    return Layer(number, pushed, np.stack(changes), np.stack(responses), np.mean(jacobians, axis=0))


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
    inputs: MeasureInputs, layer: Layer, known: Sequence[str], program: str, asked: Row
) -> dict[str, np.ndarray]:
    """Return each statistic [1 + refits] of one program at one layer."""
    pool = [name for name in known if name in {*asked["members"], *asked["negatives"]}]
    inside = np.isin(known, pool)
    # Members of a strong program are stronger than any negatives that are left, and outputs may well read strength.
    states = scores_without_strength(layer.changes, np.linalg.norm(layer.responses, axis=1))[inside]
    rng = generator(inputs.seed, "refits", program)
    labels = permuted_labels(np.isin(pool, asked["members"]), _refits(inputs), rng)
    span = top_directions(layer.jacobian[asked["outputs"]], inputs.settings["directions"])
    if not len(span):
        wanted = MEASURED if inputs.role == SUBJECT else MEASURED[:2]
        return {name: np.full(len(labels), np.nan) for name in wanted}
    found = directions(states, labels)
    measured = {"alignment": span_cosine(found, span), "alignment_first": span_cosine(found, span[:1])}
    if inputs.role != SUBJECT:
        return measured
    measured["cav_accuracy"] = accuracy(states, labels, generator(inputs.seed, "folds", program))
    size = float(np.linalg.norm(layer.changes[inside][labels[0]], axis=1).mean())
    pushes = size * found[: inputs.settings["outcome_refits"] + 1]
    measured["outcome_agreement"] = _outcomes(layer, pushes, size * span[0])
    return measured | _mlp(inputs, states, labels, span, program)


def _outcomes(layer: Layer, pushes: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return |r| of what the model predicts after each push [k, H] with that after a push along the Jacobian's first.

    All of one length. The singular vector has no sign: it is pushed along to the side that the classifier points to.
    """
    import torch

    from pertprobe.interpret.steering import pushed_outputs

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


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Is the direction of a program's members nearer to what its outputs read than directions of permuted labels?"""
    own = itself(inputs.subject.measurement)
    first, asked = own.attrs["layer"], json.loads(own.attrs["asked"])
    told = partial(_told_draws, own)
    yield replace(_refitted(inputs, ALIGNMENT, asked, told), few=True, refused=partial(_refusal, own))
    answered = [p for p in asked if not _refusal(own, p) and _comparable(told(p), asked[p])]
    further = {name: (name, first) for name in MEASURED[1:] if name in own}
    further |= {f"{ALIGNMENT}_layer_{layer}": (ALIGNMENT, layer) for layer in own.layer.values if layer != first}
    for statistic, (name, layer) in further.items():
        yield replace(_refitted(inputs, statistic, asked, partial(_draws, own, name, layer)), programs=answered)


def _refitted(inputs: TestInputs, statistic: str, asked: Mapping[str, Row], draws: Callable[[str], np.ndarray]) -> Each:
    """Return whether draw 0, of the labels, is larger than those of permuted labels; `draws`: program -> all."""

    def test(program: str, *_: object) -> Test | str:
        """Compare a program's draws, which its measurement made."""
        drawn, (n, others) = draws(program), counts(program)
        if not _comparable(drawn, asked[program]):
            return "the program's outputs do not depend on the layer"
        found = summary(float(drawn[0]), drawn[1:], max(comb(n + others, n), len(drawn)), len(drawn) - 1)
        words = f"{asked[program]['outputs']} outputs{_by_chance(inputs, statistic, asked[program])}"
        # The spread of one member's part, were the parts of all members independent.
        return found._replace(unit_sd=found.null_sd * sqrt(n), note=words)

    def counts(program: str) -> tuple[int, int]:
        """Return how many members and negatives were compared."""
        return len(asked[program]["members"]), len(asked[program]["negatives"])

    names = inputs.subject.strength.index
    names = names[inputs.subject.trained(names)].to_numpy()
    return Each(statistic=statistic, names=names, test=test, counts=counts, few=False)


def _draws(own: xr.Dataset, name: str, layer: int, program: str) -> np.ndarray:
    """Return a program's draws of a statistic at one layer, those that were made."""
    drawn = own[name].sel(program=program, layer=layer).values.astype(np.float64)
    return drawn[np.isfinite(drawn)]


def _told_draws(own: xr.Dataset, program: str) -> np.ndarray:
    """Return the alignment of a program's labels and of those that can be told as they can."""
    told = own[ALIGNMENT].where(xr.DataArray(_told(own, program), dims="draw"))
    return _draws(told.to_dataset(), ALIGNMENT, own.attrs["layer"], program)


def _comparable(drawn: np.ndarray, asked: Row) -> bool:
    return len(drawn) > 1 and bool(asked["negatives"])


def _told(own: xr.Dataset, program: str) -> np.ndarray:
    """Return which labels, the program's first, a classifier tells better than by chance [1 + refits].

    Labels are compared with such labels alone: chosen by what all of them have, they are still exchangeable.
    """
    if "cav_accuracy" not in own:  # copies and planted models: only their alignment is measured
        return np.ones(own.sizes["draw"], dtype=bool)
    return ~(own.cav_accuracy.sel(program=program, layer=own.attrs["layer"]).values <= EVEN)


def _refusal(own: xr.Dataset, program: str) -> str:
    """Say that a program has no output, or that no direction sets it apart: what cannot be told is no concept."""
    if program not in own.program.values:
        return "no gene of the program, and no target of its panels, is an output of the model"
    if _told(own, program)[0]:
        return ""
    found = float(own.cav_accuracy.sel(program=program, layer=own.attrs["layer"])[0])
    return f"no direction, strength apart, tells members from negatives: cross-validated accuracy {found:.2f}"


def _by_chance(inputs: TestInputs, statistic: str, asked: Row) -> str:
    """Say about what cosine a random direction has: a reference in words, never a null.

    Source: methods.md, Concept alignment.
    """
    if statistic in ("cav_accuracy", "outcome_agreement", "mlp_alignment"):
        return ""
    first = statistic in ("alignment_first", "mlp_first")
    k = 1 if first else min(inputs.settings["directions"], asked["outputs"])
    return f"; a random direction: {chance(k, int(inputs.subject.measurement.attrs['width'])):.3f}"


def null_world(draw: Drawing) -> World:
    """Draw states of a layer, and outputs that read chance directions and that of strength.

    Where something is planted, members' states share a direction that all outputs read, and strength is drawn apart.
    """
    names, rng = unit_names(draw.units), draw.rng
    if len(draw.members):
        states, strength = loaded(draw)
        jacobian = np.column_stack([rng.normal(size=(READ, NOISE)) / (2 * np.sqrt(NOISE)), np.ones(READ)])
    else:
        states, strength = dense(rng, draw.units)
        along = (strength - strength.mean()) @ (states - states.mean(axis=0))
        jacobian = rng.normal(size=(READ, states.shape[1])) / np.sqrt(states.shape[1]) + along / np.linalg.norm(along)
    layer = Layer(0, None, states, strength[:, None], jacobian)
    settings = declared("concept_alignment").default_settings | {"refits": WORLD_REFITS}
    measuring = MeasureInputs(None, None, settings, role=PLANTED[0], seed=int(rng.integers(2**31)))
    known = pd.Series(strength, names)

    def given(programs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return what is measured of these programs; each has all outputs."""
        asked = {program: {"members": sorted(each), "outputs": list(range(READ))} for program, each in programs.items()}
        return {"subject": drawn_subject(_of_layers(measuring, [layer], names, asked), known), "settings": settings}

    return World(known, given)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw each program's alignment beside that of directions refitted on permuted labels."""
    from pertprobe.probes import concept_alignment_figure

    return concept_alignment_figure.draw(inputs)
