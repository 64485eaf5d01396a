"""Checks of untrained copies: is all that was learned drawn anew, and what is kept the model's own?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pertprobe.errors import listed
from pertprobe.models.base import Encoded, Model
from pertprobe.models.randomised import STAGES_FROM_OUTPUT, permuted_weights
from pertprobe.testing.given import Given, error

COPIES, LEARNED = 8, 0.5
"""Copies that are drawn, and the mean cosine with the model's own differences between perturbations above which they
are taken to have kept some of them: of what is drawn anew it is near 0."""
LARGE_SEED = 2**62
"""As large as seeds of runs are."""
DEPTH = 4
"""How deep in a model its tensors are looked for."""


def redraw(given: Given) -> Iterator[str]:
    """Yield where copies are not fresh, not the same for a seed, not fit to be asked, or the model itself changed."""
    model, before = given.model, given.responses()
    if refused := _refused_seed(model):
        yield refused
        return
    copy = model.redraw(0)
    responses = [given.responses(copy), *(given.responses(model.redraw(seed)) for seed in range(1, COPIES))]
    if not torch.equal(before, given.responses()):
        yield "redraw changes the model itself. Return a new model and leave this one as it is"
    yield from _unlike(model, copy)
    if not torch.equal(given.responses(model.redraw(0)), responses[0]):
        yield "redraw(0) twice gives two models. Draw from a generator with this seed alone, all of it"
    if torch.equal(responses[0], responses[1]):
        yield "redraw(0) and redraw(1) are the same. Use the seed"
    if not torch.isfinite(torch.stack(responses)).all():
        yield "the copies' responses are not finite. Draw weights in the size that training begins with"
        return
    if same := _held_in_common(given, copy):
        yield (
            f"{listed(f'`{name}`' for name in same)} is the model's own in the copy. Draw it anew. If it was given to "
            f"the model and not learned, say so: check_model(model, held=[{same[0]!r}])"
        )
    else:
        yield from _remembered(given, before, responses)


def _refused_seed(model: Model) -> str:
    """Return why a copy cannot be drawn with a seed as runs give it."""
    try:
        model.redraw(LARGE_SEED)
    except (ValueError, OverflowError, RuntimeError) as error:
        said = f"redraw({LARGE_SEED}) raised {type(error).__name__}: {error}. Runs give seeds of 63 bits"
        return f"{said}: use numpy.random.default_rng(seed) or torch.Generator, or seed % 2**32"
    return ""


def _unlike(model: Model, copy: Model) -> Iterator[str]:
    """Yield in which names a copy differs from the model."""
    for what in ("genes", "output_genes", "perturbations", "control", "batches", "set_size", "capabilities"):
        if getattr(copy, what, None) != getattr(model, what):
            yield f"the copy has other `{what}` than the model. Only its weights may differ"


def _remembered(given: Given, before: Tensor, responses: Sequence[Tensor]) -> Iterator[str]:
    """Yield where copies tell perturbations apart as the trained model does, or not at all."""
    own = before - before.mean(0)
    drawn = [each - each.mean(0) for each in responses]
    if not own.norm() or len(given.names) < 2:
        return
    if any(not each.norm() for each in drawn):
        yield f"a copy answers {', '.join(given.names)} alike. Draw what perturbations are known by, do not zero it"
        return
    alike = float(np.mean([float((own * each).sum() / own.norm() / each.norm()) for each in drawn]))
    if alike > LEARNED:
        yield (
            f"copies tell perturbations apart as the trained model does (mean cosine {alike:.2f}, {COPIES} copies). "
            "What it learned of them is not drawn anew: draw every learned number"
        )


def _held_in_common(given: Given, copy: Model) -> list[str]:
    """Return the names of tensors that a copy shares with the model and that could be learned.

    Constants, and tensors of 0 and 1 (one-hots, masks), are what a fresh model may have too.
    """
    own, other = tensors_of(given.model), tensors_of(copy)
    exempt = given.held | ({"perturbation_features"} if given.can("code_features") else set())
    return [
        name
        for name, each in own.items()
        if name in other and not exempt & {name, name.split(".")[0]} and _could_be_learned(each)
        if each.shape == other[name].shape and bool((each == other[name]).all())
    ]


def _could_be_learned(values: np.ndarray) -> bool:
    return values.size > 1 and not bool((values == values.flat[0]).all()) and not np.isin(values, (0, 1)).all()


def tensors_of(thing: Any, prefix: str = "", depth: int = DEPTH) -> dict[str, np.ndarray]:
    """Return name -> float array of everything a model holds: modules, dicts, lists, objects, some levels deep."""
    if isinstance(thing, Tensor | np.ndarray):
        array = thing.detach().cpu().numpy() if isinstance(thing, Tensor) else thing
        return {prefix: array} if array.dtype.kind == "f" else {}
    if not depth:
        return {}
    found = {}
    for name, each in _parts(thing).items():
        if name != "card":
            found |= tensors_of(each, f"{prefix}.{name}" if prefix else str(name), depth - 1)
    return found


def _parts(thing: Any) -> Mapping[str, Any]:
    """Return what an object consists of."""
    if isinstance(thing, nn.Module):
        return {**{name: each for name, each in vars(thing).items() if name[0] != "_"}, **thing.state_dict()}
    if isinstance(thing, Mapping):
        return thing
    if isinstance(thing, list | tuple):
        return {} if len(thing) > 1000 else {str(place): each for place, each in enumerate(thing)}
    return getattr(thing, "__dict__", {}) if not isinstance(thing, type) else {}


def keep(given: Given) -> Iterator[str]:
    """Yield which stages, named to be kept, are not the model's own in a copy."""
    for stage in STAGES_FROM_OUTPUT:
        copy = given.model.redraw(0, keep=(stage,))
        pairs = zip(_stage(given, copy, stage), _stage(given, given.model, stage), strict=True)
        if not all(torch.equal(found, own) for found, own in pairs):
            yield f"redraw(0, keep=['{stage}']) changes {stage}. Leave the weights of the stages in `keep` as they are"


def _stage(given: Given, model: Model, stage: str) -> tuple[Tensor, ...]:
    """Return what one stage of a model makes of what the stages before it make in the model itself."""
    if stage == "encode_perturbations":
        return (model.encode_perturbations(given.names),)
    if stage == "encode_cells":
        return tuple(each for each in given.encoded(model) if each is not None)
    encoded: Encoded = given.encoded()
    if stage == "mix":
        return (model.mix(given.code(), encoded).h,)
    return (model.decode(given.model.mix(given.code(), encoded), encoded, given.X),)


def parameters(given: Given) -> Iterator[str]:
    """Yield where the model's weights cannot be exchanged by name, or are not all that it answers with."""
    model, before = given.model, given.responses()
    same = model.with_parameters(dict(model.parameters), model.card)
    if not error(given.responses(same), before) <= given.alike:
        yield "with_parameters(parameters) answers otherwise than the model. It must be the model with these weights"
    if unknown := sorted(model.parameters_of(STAGES_FROM_OUTPUT) - set(model.parameters)):
        yield f"parameters_of names what is no parameter: {listed(unknown, 5)}"
    if not torch.isfinite(shuffled := given.responses(permuted_weights(model, 0, 1))).all():
        yield "with its weights shuffled the model answers nan or infinity"
    elif torch.equal(shuffled, before):
        yield "with its weights shuffled the model answers as before: `with_parameters` does not use them"
    if not torch.equal(given.responses(), before):
        yield "with_parameters changes the model itself. Return a new one"
