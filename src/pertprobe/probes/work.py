"""What a measurement takes, counted before it is made: passes through a model, and numbers that are kept.

Each probe that measures counts its own (`work` in its module), from sizes alone. `pertprobe check` times one pass of
each kind and multiplies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pertprobe.roles import REDRAWN, SUBJECT


@dataclass(frozen=True)
class Sizes:
    """How large everything is that one probe meets in one model."""

    perturbations: int
    """Without the control."""
    trained: int
    """Those of them whose code was trained, as far as is known."""
    genes: int
    """Input genes."""
    outputs: int
    width: int
    """Numbers in a code, and in a hidden state."""
    sets: int
    """Cell sets."""
    contexts: int = 1
    programs: int = 0
    """Those that can be asked."""
    panels: int = 0
    regulators: int = 0
    """Of all panels together, with those of control pairs."""
    targets: int = 0
    knocked_down: int = 0
    """Perturbations that are input genes."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the probe."""
    features: int = 0
    """Of the autoencoder that the probe reads; 0: it reads none."""
    role: str = SUBJECT

    @property
    def subject(self) -> bool:
        """Whether it is the model itself, which is asked more than its controls."""
        return self.role == SUBJECT

    @property
    def few(self) -> int:
        """Cell sets that are measured where of untrained copies a null's mean and spread alone are asked."""
        return 1 if self.role in REDRAWN else self.sets

    @property
    def copy_sets(self) -> int:
        """Cell sets that are measured by probes which have them as a setting."""
        return self.sets if self.subject else min(self.sets, self.settings.get("copy_sets", 1))

    @property
    def silenced(self) -> int:
        """Genes that are silenced, by the setting `genes`: at most."""
        wanted = self.settings.get("genes", "all")
        return len(wanted) if isinstance(wanted, list) else self.genes if wanted == "all" else min(wanted, self.genes)


class Work(NamedTuple):
    """What one measurement of one model takes, all its units together."""

    passes: float = 0.0
    """Forward passes of one cell set."""
    derivatives: float = 0.0
    """Directions that are pushed, or outputs that are pulled, through a cell set."""
    at_mean: float = 0.0
    """The same at the mean cell of a set."""
    products: float = 0.0
    """Multiplications of matrix products beside these."""
    fits: float = 0.0
    """Small classifiers that are fitted."""
    kept: float = 0.0
    """Numbers that are written."""


def directions(sizes: Sizes, number: float, default: str = "mean_cell") -> Work:
    """Return the work of so many directions a cell set, at the mean cell or at all cells as the setting `at` says."""
    total = number * sizes.sets
    return Work(derivatives=total) if sizes.settings.get("at", default) == "cells" else Work(at_mean=total)


def one_run_each(sizes: Sizes) -> Work:
    """Return one pass for every perturbation and the control: what a probe takes that counts nothing itself."""
    return Work(passes=sizes.sets * (sizes.perturbations + 1), kept=sizes.sets * sizes.perturbations * sizes.outputs)


def silencing(sizes: Sizes) -> Work:
    """Return one pass for every gene that is silenced, and one before any is."""
    return Work(passes=sizes.sets * (sizes.silenced + 1), kept=sizes.sets * sizes.silenced * sizes.outputs)
