"""What a made run is of: its programs, probes, models and pairs, at two sizes."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from made_names import program_names

from pertprobe.probes.declaration import Declaration, all_declared, probe_names
from pertprobe.seeding import generator

LEVELS = ("representation", "routing", "causal")


class Size(NamedTuple):
    """How large a run is."""

    programs: int
    probes: tuple[str, ...]
    contexts: tuple[str, ...]
    """Each has a few-shot and a zero-shot model."""
    genes: int
    """Of each model; as many are perturbed."""


SMALL = Size(12, ("pert_embedding", "output_clustering", "knockout", "intervention_fidelity"), ("k562",), 30)
PUBLISHED = Size(674, tuple(name for name in probe_names() if name != "input_sensitivity")[:16], ("k562", "rpe1"), 2000)
"""674 programs x 16 probes x 4 models."""


class Run(NamedTuple):
    """What is common to the tables of a run."""

    size: Size
    programs: list[str]
    models: dict[str, dict[str, Any]]
    probes: dict[str, Declaration]
    random: np.random.Generator

    @property
    def pairs(self) -> dict[str, list[list[str]]]:
        """What is compared with what, as the config says it."""
        first, *others = self.size.contexts
        return {
            "regimes": [[f"{each}_fewshot", f"{each}_zeroshot"] for each in self.size.contexts],
            "contexts": [[f"{first}_fewshot", f"{other}_fewshot"] for other in others],
        }

    @property
    def levels(self) -> dict[str, list[str]]:
        """Level -> probes that count in it."""
        return {
            level: [name for name, each in self.probes.items() if each.level == level and each.counted]
            for level in LEVELS
        }


def made(size: Size, seed: int = 0) -> Run:
    """Return the names of a run of this size."""
    random = generator(seed, "made run", size)
    entries = {
        f"{context}_{regime}": {"kind": "state", "context": context, "regime": regime}
        for context, regime in product(size.contexts, ("fewshot", "zeroshot"))
    }
    return Run(size, program_names(size.programs, random), entries, all_declared(size.probes), random)
