"""State directories of the published shape whose codes are fitted: their predictions correlate with the cells.

The backbone is as it was drawn. The first and last layers are a linear autoencoder of the cells along `hidden`
directions, those in which control cells vary and those in which perturbations differ from them; the code of a
perturbation is what moves the backbone's output, linearised at the control cells, by its observed shift.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pertprobe.files import atomic
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel
from pertprobe.models.state.write import write_state_directory
from pertprobe.models.training_split import split_toml
from pertprobe.seeding import generator, seed_of
from published_size.means import Means
from published_size.plan import CONTEXTS, CONTROL, SEED, Plan, Sizes

HELD_OUT = 0.2
"""Share of the perturbations that a few-shot model does not see in its context."""
STEP = 0.05
"""Of the central differences of the backbone's output with respect to the code."""
TOGETHER = 16
"""Codes that are pushed through the backbone at a time."""
SETS, CORRECTIONS = 16, 20
"""Sets of control cells, and steps, in which the mean prediction under the control code is brought to their mean."""
SHRINK = 1e-3
"""Ridge penalty of codes, relative to the largest squared singular value of what they do."""


class Wanted(NamedTuple):
    """One checkpoint."""

    context: str
    regime: str

    @property
    def name(self) -> str:
        """Return its name in config/replogle.yaml."""
        return f"{self.context}_{self.regime}"


WANTED = tuple(Wanted(context, regime) for regime in ("fewshot", "zeroshot") for context in CONTEXTS)


def write_model(wanted: Wanted, plan: Plan, sizes: Sizes, means: dict[str, Means], cells: Path, folder: Path) -> None:
    """Write a State directory and its split, whole or not at all."""
    with atomic(folder / wanted.name) as temporary:
        write_state_directory(fitted(wanted, plan, sizes, means), temporary)
    split = split_toml(cells, wanted.context, wanted.regime, held_out(wanted, plan))
    with atomic(folder / f"{wanted.name}.toml") as temporary:
        temporary.write_text(split, encoding="utf-8")


def held_out(wanted: Wanted, plan: Plan) -> list[str]:
    """Return the perturbations that a model does not see in its context."""
    if wanted.regime == "zeroshot":
        return list(plan.perturbations)
    names = generator(SEED, "held out", wanted.context).permutation(plan.perturbations)
    return sorted(names[: round(HELD_OUT * len(names))].tolist())


def learned(wanted: Wanted, plan: Plan, means: dict[str, Means]) -> np.ndarray:
    """Return the shifts [perturbations, genes] that a model knows: its context's, or the other's where held out."""
    other = next(context for context in CONTEXTS if context != wanted.context)
    held = np.isin(plan.perturbations, held_out(wanted, plan))
    return np.where(held[:, None], means[other].shifts, means[wanted.context].shifts)


def fitted(wanted: Wanted, plan: Plan, sizes: Sizes, means: dict[str, Means]) -> StateModel:
    """Return a model whose predictions of its context's control cells are near what it has learned."""
    control, shifts = means[wanted.context].control, learned(wanted, plan, means)
    directions = _directions(control, shifts, sizes.hidden)
    model = _as_drawn(plan, sizes, seed_of(SEED, "model", wanted.name))
    weights = model.parameters
    weights["basal_encoder.0.weight"] = _tensor(directions.T)
    weights["basal_encoder.0.bias"] = _tensor(-control.mean(0) @ directions)
    weights["project_out.0.weight"] = _tensor(directions)
    sets = torch.as_tensor(control[: len(control) // sizes.set_size * sizes.set_size][: SETS * sizes.set_size])
    sets = sets.reshape(-1, sizes.set_size, sizes.genes)
    codes = _codes(model, sets[:1], shifts @ directions)
    weights["pert_encoder.0.weight"] = _tensor(np.vstack([np.zeros_like(codes[:1]), codes]).T)
    weights["project_out.0.bias"] = torch.zeros(sizes.genes)
    for _ in range(CORRECTIONS):  # the output is rectified: what that adds is taken off again
        with torch.no_grad():
            missing = (sets - model.predict(sets, CONTROL)).mean((0, 1))
        weights["project_out.0.bias"] += missing
    return model


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(values, dtype=np.float32))


def _directions(control: np.ndarray, shifts: np.ndarray, hidden: int) -> np.ndarray:
    """Return orthonormal directions [genes, hidden]: half of how perturbations differ, then of how cells do."""
    half = min(hidden // 2, len(shifts))
    centred = control - control.mean(0)
    of_shifts = np.linalg.svd(shifts, full_matrices=False)[2][:half]
    of_cells = np.linalg.eigh(centred.T @ centred)[1].T[::-1][:hidden]
    return np.linalg.qr(np.vstack([of_shifts, of_cells]).T)[0][:, :hidden]


def _as_drawn(plan: Plan, sizes: Sizes, seed: int) -> StateModel:
    names = [CONTROL, *plan.perturbations]
    architecture = StateArchitecture(
        input_dim=sizes.genes,
        hidden_dim=sizes.hidden,
        output_dim=sizes.genes,
        pert_dim=len(names),
        cell_set_len=sizes.set_size,
        n_encoder_layers=1,
        n_decoder_layers=1,
        n_layers=sizes.layers,
        n_heads=sizes.heads,
        n_kv_heads=sizes.heads,
        head_dim=64,
        intermediate_dim=min(3072, 10 * sizes.hidden),
    )
    return StateModel(
        architecture,
        initial_parameters(architecture, seed),
        genes=plan.genes,
        output_genes=plan.genes,
        perturbations=names,
        perturbation_features=torch.eye(len(names)),
        control=CONTROL,
        card={"causal": False, "cell_types": CONTEXTS},
    )


def _hidden(model: StateModel, cells: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return the decoder's mean input [codes, hidden] over cells [1, cells, genes]."""
    encoded = model.encode_cells(cells)
    found = [model.decode_hidden(model.mix(some, encoded), encoded).mean(-2) for some in codes.split(TOGETHER)]
    return torch.cat(found)


def _codes(model: StateModel, cells: torch.Tensor, wanted: np.ndarray) -> np.ndarray:
    """Return codes [perturbations, hidden], less that of the control, that shift the decoder's input as wanted."""
    start = model.parameters["pert_encoder.0.bias"]
    moved = STEP * torch.eye(len(start))
    with torch.no_grad():
        slope = (_hidden(model, cells, start + moved) - _hidden(model, cells, start - moved)).double().numpy() / (
            2 * STEP
        )
    penalty = SHRINK * np.linalg.norm(slope, 2) ** 2
    return wanted @ slope.T @ np.linalg.inv(slope @ slope.T + penalty * np.eye(len(slope)))
