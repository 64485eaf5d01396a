"""Checks of what a model says of itself: names, capabilities, card."""

import json
from collections.abc import Iterator
from typing import Any, get_args

from pertprobe.data.cell_sets import repeated
from pertprobe.errors import PertprobeError, listed, meant
from pertprobe.models.base import Capability, Model
from pertprobe.testing.given import Given

MEMBERS = {
    "predict": ("predict", "predict_genes", "tensor", "batch_indices"),
    "stages": ("encode_perturbations", "encode_cells", "mix", "decode", "n_layers", "cell_positions"),
    "affine_map": ("freeze",),
    "linear_ends": ("linear_ends",),
    "resume": ("resume",),
    "code_features": ("encode_features", "perturbation_features"),
    "redraw": ("redraw",),
    "parameters": ("parameters", "with_parameters", "parameters_of"),
}
"""What a model has that declares a capability."""
CARD = ("kind", "attention", "attention_source", "equivariance_error", "causal", "warnings")
"""What a card must say."""


def names(model: Model) -> Iterator[str]:
    """Yield what is wrong with the names of genes, perturbations and batches, and the size of sets."""
    for what in ("genes", "output_genes", "perturbations", "batches"):
        held = getattr(model, what, None)
        if held is None or isinstance(held, str):
            yield f"`{what}` is missing. Give a tuple of names, () where there are none"
        elif wrong := [each for each in held if not isinstance(each, str) or not each]:
            yield f"`{what}` holds what is no name: {listed(map(repr, wrong), 3)}. Give str, none empty"
        elif twice := repeated(list(held)):
            yield f"`{what}` has names twice: {listed(twice, 5)}. Give each column its own name"
    control = getattr(model, "control", None)
    if control not in (getattr(model, "perturbations", None) or ()):
        near = meant(control, getattr(model, "perturbations", None) or ())
        yield f"`control` is {control!r}, which is none of `perturbations`.{near}"
    elif len(model.perturbations) < 2:
        yield "`perturbations` holds the control alone: there is nothing to ask"
    if not isinstance(size := getattr(model, "set_size", None), int) or size < 0:
        yield f"`set_size` is {size!r}. Give the cells per set that the model was trained on, or 0"


def capabilities(model: Model) -> Iterator[str]:
    """Yield what is declared and unknown, declared and absent, or declared without what it rests on."""
    declared = getattr(model, "capabilities", None)
    if not isinstance(declared, set | frozenset) or "predict" not in declared:
        yield "`capabilities` must be a set that holds 'predict'"
        return
    for name in sorted(declared - set(get_args(Capability))):
        yield f"'{name}' is no capability.{meant(name, get_args(Capability))} See docs/custom_model.md"
    for name in sorted(declared & set(MEMBERS)):
        if absent := [member for member in MEMBERS[name] if not hasattr(model, member)]:
            yield f"'{name}' is declared, but there is no {listed(f'`{each}`' for each in absent)}"
    if "gene_space" in declared and (further := sorted(set(model.genes) - set(model.output_genes))):
        yield f"'gene_space' is declared, but inputs are no outputs: {listed(further, 5)}"


def undeclared(model: Model) -> list[str]:
    """Return notes on what a model has and does not declare: it will not be called."""
    absent = [name for name in MEMBERS if name not in model.capabilities]
    whole = [name for name in absent if all(hasattr(model, member) for member in MEMBERS[name])]
    return [f"the model has all members of '{name}' and does not declare it: it will not be used" for name in whole]


def card(model: Model) -> Iterator[str]:
    """Yield what a card lacks or says against the capabilities."""
    said: Any = getattr(model, "card", None)
    if not isinstance(said, dict):
        yield "`card` must be a dict of facts for the report"
        return
    if absent := [key for key in CARD if key not in said]:
        yield f"`card` lacks {listed(absent)}"
    if said.get("causal") and "set_function" in model.capabilities:
        yield "the card says that the order of cells matters (`causal`), 'set_function' that it does not"
    try:
        json.dumps(said)
    except (TypeError, ValueError) as fault:
        yield f"the card cannot be written as JSON ({fault}). Give numbers, text, lists and dicts"


def refuses_unknown(given: Given) -> Iterator[str]:
    """Yield what the model makes of names that it does not know."""
    unknown = "no such name"
    yield from _refusal(f"predict of the perturbation '{unknown}'", lambda: given.predict(unknown))
    if given.can("stages"):
        asked = f"encode_perturbations of '{unknown}'"
        yield from _refusal(asked, lambda: given.model.encode_perturbations([unknown]))


def _refusal(what: str, call: Any) -> Iterator[str]:
    try:
        call()
    except PertprobeError:
        return
    except Exception as fault:
        yield f"{what} ends in {type(fault).__name__}. Raise pertprobe.errors.PertprobeError, which is told in words"
    else:
        yield f"{what} gives an answer. Raise pertprobe.errors.PertprobeError"
