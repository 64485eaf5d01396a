"""What loading a State model found: the card that goes with every table, and checks on what the weights do."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.files import StateFiles
from pertprobe.models.state.model import StateModel
from pertprobe.models.state.options import LEGACY_KEYS, Attention, resolve_attention

EQUIVARIANCE_TOLERANCE = 1e-4
"""Largest change, relative to the output's scale, that reordering cells may cause: float32 noise with a margin."""


def describe(files: StateFiles, model: StateModel) -> dict[str, Any]:
    """Return the card of a model just loaded: JSON-able facts that do not depend on where the directory lies.

    Raises:
        PertprobeError: attention is said to ignore the order of cells, but outputs depend on it.
    """
    a, options = model.architecture, files.options
    error = equivariance_error(model)
    if a.set_function and not error <= EQUIVARIANCE_TOLERANCE:
        raise PertprobeError(
            f"model: attention '{a.attention}' should ignore the order of cells, yet reordering changes outputs by "
            f"{error:.1e} of their scale"
        )
    told = _told(options)
    legacy = any(key in options for key in LEGACY_KEYS) or (a.backbone == "llama" and told is None)
    own = ("backbone", "attention", "attention_source", "predict_residual", "embed_key", "output_space", "output_relu")
    return {name: getattr(a, name) for name in own} | {
        "kind": "state",
        "causal": not a.set_function,
        "generation": "before the attention flag (State 0.9.9-0.9.27)" if legacy else "State 0.9.32 or later",
        "sizes": {field.name: getattr(a, field.name) for field in fields(a) if field.type is int},
        "lora_merged": a.lora_scale is not None,
        "gene_decoder": _decoder_note(model),
        "cell_types": list(files.cell_types),
        "equivariance_error": error,
        "permutation_equivariant": error <= EQUIVARIANCE_TOLERANCE,
        "finite": True,  # reading refuses weights that are not
        "sha256": files.hashes,
        "warnings": [*files.warnings, *_warnings(a, told, masked=bool(options.get("mask_attn", False)))],
    }


def equivariance_error(model: StateModel) -> float:
    """Return max |f(reordered cells) - reordered f(cells)| over max |f|, before the output ReLU, on random cells."""
    a, generator = model.architecture, torch.Generator().manual_seed(0)
    n = min(a.cell_set_len, 32)
    X = torch.rand(n, a.input_dim, generator=generator).to(model.device, model.dtype)
    batch = torch.randint(max(a.batch_dim, 1), (n,), generator=generator).to(model.device)
    order = torch.randperm(n, generator=generator).to(model.device)
    pert = model.encode_perturbations([model.control])[0]

    def respond(X: Tensor, batch: Tensor) -> Tensor:
        """Return the output under the control."""
        encoded = model.encode_cells(X, batch)
        return model.project_out(model.decode_hidden(model.mix(pert, encoded), encoded), X)

    with torch.no_grad():
        response = respond(X, batch)
        change = (respond(X[order], batch[order]) - response[order]).abs().max()
        return float(change / response.abs().max().clamp_min(torch.finfo(model.dtype).tiny))


def shared_initialisation(model_a: StateModel, model_b: StateModel) -> dict[str, float | int | None]:
    """Tell whether two models were trained from the same initial weights (first-order agreement shows it).

    Source: methods.md, Consistency.

    Returns:
        matched, mismatched: mean cosine of the perturbation encoder's first-layer columns of the same and of different
        shared perturbations; difference; backbone: cosine of all backbone matrices. None where sizes differ or fewer
        than two perturbations are shared.
    """
    shared = [name for name in model_a.perturbations if name in model_b.perturbations]
    a, b = (_columns(model, shared) for model in (model_a, model_b))
    found: dict[str, float | int | None] = {"shared_perturbations": len(shared)}
    found |= dict.fromkeys(("matched", "mismatched", "difference", "backbone"))
    if len(shared) > 1 and a.shape == b.shape:
        cosines = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
        matched = float(cosines.diagonal().mean())
        mismatched = float((cosines.sum() - cosines.diagonal().sum()) / (len(shared) * (len(shared) - 1)))
        found |= {"matched": matched, "mismatched": mismatched, "difference": matched - mismatched}
    left, right = (_matrices(model) for model in (model_a, model_b))
    if {name: weight.shape for name, weight in left.items()} == {name: weight.shape for name, weight in right.items()}:
        squares = [sum(float(w.double().square().sum()) for w in side.values()) for side in (left, right)]
        product = sum(float((left[name].double() * right[name].double()).sum()) for name in left)
        found["backbone"] = product / math.sqrt(math.prod(squares))
    return found


def _columns(model: StateModel, names: list[str]) -> Tensor:
    rows = [model.perturbations.index(name) for name in names]
    weight = model.parameters["pert_encoder.0.weight"].detach()
    return (model.perturbation_features[rows] @ weight.T).double().cpu()


def _matrices(model: StateModel) -> dict[str, Tensor]:
    """Return the backbone's matrices; its norms, all near 1, would hide the answer."""
    weights = {name: weight.detach().cpu() for name, weight in model.parameters.items() if weight.ndim > 1}
    return {name: weight for name, weight in weights.items() if name.startswith("transformer_backbone.")}


def _decoder_note(model: StateModel) -> str:
    a = model.architecture
    if a.gene_decoder is None:
        return "none"
    if a.genes_in and a.output_space == "gene":
        return "never trained (State saves it for gene inputs all the same); outputs are genes already"
    if model.decodes_genes:
        return "trained; gives predict_genes"
    return "trained; unused, since outputs are all genes already"


def _told(options: Mapping[str, Any]) -> Attention | None:
    """Return the attention pattern that the checkpoint itself tells, if it does."""
    with suppress(PertprobeError):
        return resolve_attention(options)[0]
    return None


def _warnings(a: StateArchitecture, told: Attention | None, masked: bool) -> list[str]:
    attention, given = f"attention '{a.attention}'", told is None
    found = {
        f"{attention}: the order of cells matters, the first cell sees only itself": not a.set_function,
        f"{attention} was given by the user: the checkpoint does not tell the pattern": given,
        f"{attention} contradicts the checkpoint's flag, which says '{told}'": not given and told != a.attention,
        "mask_attn was an additive mask before the attention flag, which no pattern here reproduces": given and masked,
        "responses depend on the batch label as on the knock-down: report which labels were used": a.batch_encoder,
        "outputs are an embedding, yet State rectifies them (it has no gene decoder)": a.output_relu and not a.genes_in,
    }
    return [warning for warning, holds in found.items() if holds]
