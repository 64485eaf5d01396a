"""A model asked by agent: doses of a drug, or guides of a gene, under one name."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pertprobe.data.agents import Agents, Counted, activated_among, counting_notes
from pertprobe.errors import unknown_name
from pertprobe.models.base import Capability, Model


class ByAgent:
    """What a model is, with agents in place of its perturbations.

    The code of an agent is the mean of the codes of its labels, and what it is predicted to do is what that code does:
    both are of one model. Everything else is the model's own.
    """

    def __init__(self, model: Model, agents: Agents) -> None:
        """Take a model of labels, and what these mean."""
        self.model, self.agents = model, agents
        self.counted = agents.counted(model.perturbations, model.control)
        others = {label: each for label, each in self.counted.items() if each.agent != model.control}
        self.labels = _by(others, lambda each: each.agent)
        """Agent -> the labels that count as it."""
        self.every_label = _by(others, lambda each: each.meaning.agent if each.meaning.parts == 1 else "")
        """Agent -> all labels of it, those of other doses among them."""
        self.activated = activated_among(others, model.control)
        self.perturbations = (*sorted(self.labels), model.control)
        several = any(len(each) > 1 for each in self.labels.values())
        # Of a mean of codes there are no features from which it was encoded.
        self.capabilities: frozenset[Capability] = model.capabilities - ({"code_features"} if several else set())
        told = dict.fromkeys([*model.card.get("warnings", ()), *counting_notes(self.counted)])
        self.card: dict[str, Any] = {**model.card, "warnings": [*told]}

    def __getattr__(self, name: str) -> Any:
        """Return what the model itself has."""
        if name == "model":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self.model, name)

    @property
    def perturbation_features(self) -> Tensor:
        """Return the mean features [P, F] of the labels of each perturbation; AttributeError where there are none."""
        features = self.model.perturbation_features
        place = {label: row for row, label in enumerate(self.model.perturbations)}
        return torch.stack(
            [features[[place[label] for label in self._labels_of(name)]].mean(dim=0) for name in self.perturbations]
        )

    def encode_perturbations(self, names: Sequence[str]) -> Tensor:
        """Return the codes [P, H] of agents; raises PertprobeError for unknown ones."""
        labels = [self._labels_of(name) for name in names]
        if all(len(each) == 1 for each in labels):
            return self.model.encode_perturbations([label for (label,) in labels])
        return torch.stack([self.model.encode_perturbations(each).mean(dim=0) for each in labels])

    def predict(self, values: Any, perturbation: str, batches: np.ndarray | Tensor | None = None) -> Tensor:
        """Return the response [..., S, G_out] of cells to one agent."""
        return self._predicted("predict", values, perturbation, batches)

    def predict_genes(self, values: Any, perturbation: str, batches: np.ndarray | Tensor | None = None) -> Tensor:
        """Return the response in gene space [..., S, G_out]."""
        return self._predicted("predict_genes", values, perturbation, batches)

    def redraw(self, seed: int, keep: Sequence[str] = ()) -> "ByAgent":
        """Return the same architecture with freshly initialised weights, asked by the same agents."""
        return ByAgent(self.model.redraw(seed, keep), self.agents)

    def with_parameters(self, *given: Any, **named: Any) -> "ByAgent":
        """Return the model with other weights, asked by the same agents."""
        return ByAgent(self.model.with_parameters(*given, **named), self.agents)

    def _labels_of(self, name: str) -> tuple[str, ...]:
        if name != self.control and name not in self.labels:
            raise unknown_name(f"{self.card.get('kind', 'model')}: perturbation", name, self.labels)
        return self.labels.get(name, (self.control,))

    def _predicted(self, by: str, values: Any, name: str, batches: Any) -> Tensor:
        labels = self._labels_of(name)
        if len(labels) == 1:
            return getattr(self.model, by)(values, labels[0], batches)
        if by == "predict_genes" and "gene_space" not in self.capabilities:
            return torch.stack([self.model.predict_genes(values, each, batches) for each in labels]).mean(dim=0)
        cells = self.model.tensor(values)
        encoded = self.model.encode_cells(cells, self.model.batch_indices(batches))
        return self.model.decode(self.model.mix(self.encode_perturbations([name])[0], encoded), encoded, cells)


def _by(counted: Mapping[str, Counted], agent: Callable[[Counted], str]) -> dict[str, tuple[str, ...]]:
    """Return agent -> its labels, sorted."""
    found: dict[str, list[str]] = defaultdict(list)
    for label, each in sorted(counted.items()):
        if name := agent(each):
            found[name].append(label)
    return {name: tuple(labels) for name, labels in found.items()}


def by_agent(model: Model, agents: Agents | None) -> Model:
    """Return a model asked by agent; the model itself where each of its perturbations is a knock-down of its own."""
    if agents is None:
        return model
    found = ByAgent(model, agents)
    themselves = all(each.agent == label for label, each in found.counted.items())
    return model if themselves and not found.activated else found


def as_loaded(model: Model) -> Model:
    """Return a model with the labels that it was loaded with."""
    return model.model if isinstance(model, ByAgent) else model


def activated(model: Model) -> list[str]:
    """Return the agents of a model that raise what they act on."""
    return model.activated if isinstance(model, ByAgent) else []


def labels_of(model: Model, perturbations: Iterable[str]) -> list[str]:
    """Return the labels that perturbations of a model stand for."""
    if not isinstance(model, ByAgent):
        return list(perturbations)
    return [label for name in perturbations for label in model.labels.get(name, ())]
