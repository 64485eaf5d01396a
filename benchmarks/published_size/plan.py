"""What is planted: sizes, names of genes, programs and panels, and what each perturbation does in each context."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from pertprobe.seeding import generator

CONTEXTS = ("hepg2", "jurkat")
CONTROL = "non-targeting"
SEED = 42

Kind = Literal["shared", "hepg2 alone", "decoy"]


class Program(NamedTuple):
    """Perturbations by name, and whether they do the same."""

    members: tuple[str, ...]
    kind: Kind
    """Alike in both contexts, alike in one, or varying together in control cells with effects of their own."""

    def coherent(self, context: str) -> bool:
        """Return whether the members do the same in a context."""
        return self.kind == "shared" or (self.kind == "hepg2 alone" and context == "hepg2")


def _numbered(stem: str, *numbers: int | str) -> tuple[str, ...]:
    return tuple(f"{stem}{number}" for number in numbers)


# Names that the patterns of config/replogle.yaml find, and no others of these families.
PROGRAMS = {
    "mitoribosome": Program((*_numbered("MRPL", *range(1, 25)), *_numbered("MRPS", *range(2, 19))), "shared"),
    "oxphos": Program((*_numbered("NDUFA", *range(1, 14)), *_numbered("NDUFB", *range(1, 12)), "SDHC"), "shared"),
    "cytoplasmic_ribosome": Program(
        (*_numbered("RPL", *range(3, 20)), *_numbered("RPS", *range(2, 19)), "RPS27"), "shared"
    ),
    "er_secretory": Program(
        (*_numbered("TRAPPC", 1, 3, 4, 5, 8, 11), *_numbered("SRP", 9, 14, 19, 54, 68, 72), "SRPRB", "SEC61B", "SEC62"),
        "shared",
    ),
    "proteasome": Program((*_numbered("PSMA", *range(1, 8)), *_numbered("PSMD", *range(1, 15))), "hepg2 alone"),
    "splicing": Program(
        (*_numbered("PRPF", 3, 4, 6, 8, 19, 31), "DHX15", "DHX16", "DDX46", "HNRNPU"),
        "decoy",
    ),
}
MEASURED = {
    "er_secretory": ("HSPA5", "ATF4", "XBP1", "SEC24A", "ARFGEF2", "MFGE8", "PDIA3", "CALR", "ERO1A"),
    "cytoplasmic_ribosome": ("RPL10", "RPS6", "RPL12", "RPS8", "RPL13", "RPL14", "RPS10", "RPS18", "RPS27"),
}
"""Genes of the config's panels: they vary with their program, and its members change them."""
BESIDE = ("HSPA5", "MYC", "BRCA1", "CHEK1")
"""Perturbations of the panels that are in no program."""
TARGETS, OWN = 40, 25
"""Genes that a program changes, and that a perturbation changes by itself."""


@dataclass(frozen=True)
class Sizes:
    """How large the stand-in is; the defaults are those of the published analysis."""

    genes: int = 2000
    perturbations: int = 2023
    cells: int = 30
    """Of each perturbation and context."""
    control_cells: int = 6300
    """Of each context."""
    batches: int = 4
    hidden: int = 328
    layers: int = 8
    heads: int = 12
    set_size: int = 64

    @property
    def all_cells(self) -> int:
        """Return the number of cells of all contexts."""
        return len(CONTEXTS) * (self.perturbations * self.cells + self.control_cells)


PUBLISHED = Sizes()
SMALL = Sizes(
    genes=240, perturbations=180, cells=12, control_cells=240, batches=2, hidden=64, layers=2, heads=2, set_size=16
)
"""The same in a minute, to try it."""


class Plan(NamedTuple):
    """Names, and effects on the log expression of the measured genes."""

    genes: tuple[str, ...]
    perturbations: tuple[str, ...]
    axes: np.ndarray
    """[programs + 4, genes]: what varies in every cell, one axis a program, then some of no program."""
    effects: dict[str, np.ndarray]
    """Context -> [perturbations, genes]."""


def plan(sizes: Sizes) -> Plan:
    """Return the plan of these sizes; the same for the same sizes."""
    named = [name for program in PROGRAMS.values() for name in program.members]
    perturbations = tuple(_filled([*named, *BESIDE], sizes.perturbations, "KD"))
    genes = tuple(_filled([name for names in MEASURED.values() for name in names], sizes.genes, "HVG"))
    axes = np.stack(
        [_axis(genes, name, sizes) for name in PROGRAMS] + [_axis(genes, f"shared {i}", sizes) for i in range(4)]
    )
    return Plan(
        genes, perturbations, axes, {context: _effects(genes, perturbations, axes, context) for context in CONTEXTS}
    )


def _filled(names: list[str], size: int, stem: str) -> list[str]:
    """Return the names, and as many made up as are missing."""
    names = list(dict.fromkeys(names))
    if size < len(names):
        raise ValueError(f"{size} names are too few: {len(names)} belong to programs and panels")
    return [*names, *(f"{stem}{number:04d}" for number in range(size - len(names)))]


def _axis(genes: tuple[str, ...], name: str, sizes: Sizes) -> np.ndarray:
    """Return what varies together [genes]: a panel's genes and as many others as a program changes, signed."""
    rng, axis = generator(SEED, "axis", name), np.zeros(sizes.genes)
    own = [genes.index(gene) for gene in MEASURED.get(name, ())]
    others = rng.choice(np.setdiff1d(np.arange(sizes.genes), own), min(TARGETS, sizes.genes // 6), replace=False)
    axis[others] = rng.choice([-1, 1], len(others)) * rng.uniform(0.5, 1.0, len(others))
    axis[own] = rng.uniform(0.6, 1.0, len(own))
    return axis


def _effects(genes: tuple[str, ...], perturbations: tuple[str, ...], axes: np.ndarray, context: str) -> np.ndarray:
    """Return the change of log expression [perturbations, genes]: of the program, of its own, and of its own gene."""
    effects = np.zeros((len(perturbations), len(genes)))
    number = {name: i for i, name in enumerate(genes)}
    programs = {name: i for i, each in enumerate(PROGRAMS.values()) if each.coherent(context) for name in each.members}
    for row, name in enumerate(perturbations):
        rng = generator(SEED, "effect", name)  # alike in both contexts
        strength = rng.gamma(4.0, 0.3)
        own = rng.choice(len(genes), min(OWN, len(genes) // 8), replace=False)
        if name in programs:
            effects[row] = -strength * axes[programs[name]]
        effects[row, own] += (0.4 if name in programs else 1.0) * strength * rng.normal(0, 0.8, len(own))
        if name in number:
            effects[row, number[name]] = -1.5
    return effects
