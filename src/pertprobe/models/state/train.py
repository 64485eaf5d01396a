"""Trains small State Transition models as State does: sets of control cells are to become the set of perturbed cells.

For speed on a laptop it has State's architecture, loss and batches, and nothing else of State's training.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pertprobe.batching import counted, one_thread
from pertprobe.data.h5ad import CellFile, take
from pertprobe.errors import PertprobeError, listed
from pertprobe.files import atomic
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel
from pertprobe.models.state.write import write_state_directory
from pertprobe.models.training_split import Regime, held_out, split_toml
from pertprobe.seeding import generator, seed_of

WEIGHT_DECAY = 5e-4
"""As State's: an L2 penalty inside Adam."""
GRADIENT_CLIP = 10.0
"""Largest norm of the gradient, State's."""


class TrainingCells(NamedTuple):
    """The cells of all contexts."""

    values: Tensor
    """[N, G] float32."""
    genes: tuple[str, ...]
    labels: pd.DataFrame
    """context, perturbation and batch of every cell."""


Drawn = tuple[list[str], np.ndarray, np.ndarray]
"""What one step sees: a label of each set, control sets among them, which must become control sets; rows of perturbed
cells [sets, S]; rows of control cells [sets, S], each of the context and batch of its target (State's mapping)."""


def train(
    cells_path: str | Path,
    *,
    output: str | Path,
    context: str,
    regime: Regime,
    seed: int,
    context_column: str,
    perturbation_column: str,
    batch_column: str,
    control: str,
    space: str = "X_hvg",
    genes: str | None = None,
    heldout: float = 0.2,
    hidden_dim: int = 64,
    n_layers: int = 2,
    set_size: int = 32,
    sets: int = 16,
    steps: int = 2500,
    learning_rate: float = 3e-3,
) -> StateModel:
    """Train on the cells of all contexts, those held out in `context` excepted; write a State directory, and return it.

    Beside State's files it holds split.toml (cell-load's format: what the model has seen) and version_0/metrics.csv.
    The result depends on the arguments alone; torch runs in one thread meanwhile.

    Args:
        cells_path: h5ad with all contexts.
        output: directory to write, whole or not at all.
        context: the context the model is meant for.
        regime: fewshot (a share `heldout` of the context's perturbations is kept from it) or zeroshot (all are; of this
            context it sees controls only).
        seed: of the split (which depends on nothing else but the context), of the first weights, of the batches.
        context_column, perturbation_column, batch_column, control, space: as for `read_cells`.
        genes: source of the genes' names, `gene_names` of `read_cells`.
        heldout: share of perturbations kept from a few-shot model.
        hidden_dim: H, a multiple of 16, the size of an attention head.
        n_layers: blocks of the backbone.
        set_size: cells a set.
        sets: cell sets a step.
        steps: optimiser steps.
        learning_rate: at its height: it rises over the first 5 % of the steps, then falls to 0 along a cosine.

    Raises:
        PertprobeError: context or control are not in the file, batches lack control cells, or nothing is left to train.
    """
    cells = read_training_cells(cells_path, context_column, perturbation_column, batch_column, space, genes)
    kept = held_out(cells.labels, context, regime, share=heldout, control=control, seed=seed)
    draws = Draws(cells.labels, context, kept, control, (sets, set_size), generator(seed, "batches", context, regime))
    model = _untrained(cells, control, set_size, hidden_dim, n_layers, seed_of(seed, "train", context, regime))
    with one_thread():
        losses = _fit(model, cells, draws, steps, learning_rate)
    trained = model.with_parameters({name: weight.detach() for name, weight in model.parameters.items()})
    with atomic(output) as folder:
        write_state_directory(trained, folder)
        (folder / "split.toml").write_text(split_toml(Path(cells_path), context, regime, kept))
        (folder / "version_0").mkdir()
        metrics = pd.DataFrame({"step": range(len(losses)), "train_loss": losses})
        metrics.to_csv(folder / "version_0" / "metrics.csv", index=False)
    return trained


def read_training_cells(
    path: str | Path, context_column: str, perturbation_column: str, batch_column: str, space: str, genes: str | None
) -> TrainingCells:
    """Read the values and labels of every cell; raises `PertprobeError` where the file lacks one of them."""
    with CellFile(path) as file:
        wanted = {"context": context_column, "perturbation": perturbation_column, "batch": batch_column}
        if missing := sorted(set(wanted.values()) - set(file.columns("obs"))):
            raise PertprobeError(f"{path}: obs has no {listed(missing)} (found: {listed(file.columns('obs'))})")
        labels = pd.DataFrame({name: file.column("obs", column) for name, column in wanted.items()}, dtype=object)
        names = tuple(str(name) for name in file.gene_names(space, genes)[0])
        values = take(file.space(space), np.arange(len(labels)), np.arange(len(names)))
    return TrainingCells(torch.as_tensor(np.asarray(values, np.float32)), names, labels)


class Draws:
    """Endless steps: cell sets of the groups (context, perturbation) that may be seen, as often as they have cells."""

    def __init__(
        self,
        labels: pd.DataFrame,
        context: str,
        heldout: Sequence[str],
        control: str,
        shape: tuple[int, int],
        rng: np.random.Generator,
    ) -> None:
        """Sort the rows into groups, and the control cells by batch; `shape` is (sets, S).

        Raises:
            PertprobeError: a batch has no control cells, or no perturbation is left.
        """
        hidden = (labels["context"] == context) & labels["perturbation"].isin(heldout) | (labels["perturbation"] == "")
        groups = labels[~hidden].groupby(["context", "perturbation"], sort=True).indices
        rows = np.flatnonzero(~hidden)
        self.groups = [(name, rows[inside]) for (_, name), inside in groups.items()]
        if all(name == control for name, _ in self.groups):
            raise PertprobeError(f"train: no perturbation is left to learn from outside context '{context}'")
        sizes = np.array([len(inside) for _, inside in self.groups])
        self.weights = sizes / sizes.sum()
        self.batch = labels.groupby(["context", "batch"], sort=True).ngroup().to_numpy()
        controls = np.flatnonzero(labels["perturbation"] == control)
        self.controls = controls[np.argsort(self.batch[controls], kind="stable")]
        self.counts = np.bincount(self.batch[controls], minlength=self.batch.max() + 1)
        if lacking := sorted(set(labels["batch"][self.counts[self.batch] == 0])):
            raise PertprobeError(f"train: batches without cells of '{control}': {listed(lacking)}")
        self.starts = np.cumsum(self.counts) - self.counts
        self.shape, self.rng = shape, rng

    def __iter__(self) -> Iterator[Drawn]:
        """Draw without end; cells repeat within a set only where a group is smaller than the set."""
        sets, size = self.shape
        while True:
            chosen = [self.groups[i] for i in self.rng.choice(len(self.groups), sets, p=self.weights)]
            targets = np.stack([self.rng.choice(rows, size, replace=len(rows) < size) for _, rows in chosen])
            batch = self.batch[targets]
            within = (self.rng.random(targets.shape) * self.counts[batch]).astype(int)
            yield [name for name, _ in chosen], targets, self.controls[self.starts[batch] + within]


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return E|a - b| - E|a - a'| / 2 - E|b - b'| / 2 of cell sets a [..., S, G] and b [..., T, G], as [...].

    A cell's distance to itself counts, as in geomloss' "energy", which State minimises: never negative, zero for
    identical sets (Szekely & Rizzo 2013).
    """
    return _mean_distance(a, b) - (_mean_distance(a, a) + _mean_distance(b, b)) / 2


def _mean_distance(a: Tensor, b: Tensor) -> Tensor:
    squares = a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :] - 2 * a @ b.mT
    return squares.clamp(min=1e-12).sqrt().mean((-2, -1))  # the root has no gradient at 0


def _untrained(
    cells: TrainingCells, control: str, set_size: int, hidden_dim: int, n_layers: int, seed: int
) -> StateModel:
    labels = cells.labels
    perturbations, batches = sorted(set(labels["perturbation"]) - {""}), sorted(set(labels["batch"]))
    if control not in perturbations:
        raise PertprobeError(f"train: control '{control}' is not among the labels ({listed(perturbations)})")
    sizes = {"input_dim": len(cells.genes), "hidden_dim": hidden_dim, "output_dim": len(cells.genes)}
    sizes |= {"pert_dim": len(perturbations), "batch_dim": len(batches), "cell_set_len": set_size}
    layers = {"n_encoder_layers": 1, "n_decoder_layers": 1, "n_layers": n_layers}
    heads = {"n_heads": hidden_dim // 16, "n_kv_heads": hidden_dim // 16, "head_dim": 16}
    blocks = {**layers, **heads, "intermediate_dim": 5 * hidden_dim // 2}
    architecture = StateArchitecture(**sizes, **blocks, batch_encoder=True)
    return StateModel(
        architecture,
        initial_parameters(architecture, seed),
        genes=cells.genes,
        output_genes=cells.genes,
        perturbations=perturbations,
        perturbation_features=torch.eye(len(perturbations)),
        control=control,
        batches=batches,
        card={"causal": False, "cell_types": tuple(sorted(set(labels["context"])))},
    )


def _fit(model: StateModel, cells: TrainingCells, draws: Iterable[Drawn], steps: int, rate: float) -> tuple[float, ...]:
    """Minimise the energy distance in place; return its mean at every step."""
    weights = [weight.requires_grad_() for weight in model.parameters.values()]
    optimiser = torch.optim.Adam(weights, lr=rate, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _relative_rate(step, steps))
    batch = torch.as_tensor(pd.Index(model.batches).get_indexer(cells.labels["batch"]))
    losses = []
    for _, (perturbations, targets, controls) in zip(counted(range(steps), "training, steps"), draws, strict=False):
        X = cells.values[controls]
        encoded = model.encode_cells(X, batch[targets])
        mixed = model.mix(model.encode_perturbations(perturbations), encoded)
        loss = energy_distance(model.decode(mixed, encoded, X), cells.values[targets]).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, GRADIENT_CLIP)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return tuple(losses)


def _relative_rate(step: int, steps: int) -> float:
    """Return the learning rate relative to its height: linear over the first 5 %, then a cosine to 0."""
    rise = max(1, steps // 20)
    return min((step + 1) / rise, (1 + math.cos(math.pi * max(0, step - rise) / max(1, steps - rise))) / 2)
