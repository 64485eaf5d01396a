"""What probes are given: to measure a model, and to test what was measured."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.batching import MEMORY_GB
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.programs import Panel, Programs, parts_of_panels
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.probes.limited import limited
from pertprobe.roles import REDRAWN, SUBJECT
from pertprobe.seeding import generator
from pertprobe.statistics.beyond_axes import IN_PROGRAMS
from pertprobe.statistics.nuisances import NOTHING, Beside

Measured = TypeVar("Measured", xr.Dataset, xr.DataArray)

if TYPE_CHECKING:
    from pertprobe.interpret.sae import PrincipalComponents, SparseAutoencoder
    from pertprobe.models.base import Model

NOT_EVALUABLE = "not_evaluable"
"""Attribute of a measurement that could not be made, with the reason."""
NEVER = "never"
"""Status of a perturbation the model was never trained with, whose code is therefore untrained."""
COPY_SETS = 1
"""Cell sets that `MeasureInputs.cells_measured` has of an untrained copy."""
CONTROL = "control"
"""Setting that stands for the model's own control perturbation, whatever its label."""

HELD = "axes", "batch", "seen", "cells"
"""What can be held beside strength."""
SHARED = 0.2
"""Excess of matched over mismatched cosines above which two models count as sharing an initialisation
(methods.md, Consistency)."""


@dataclass(frozen=True)
class MeasureInputs:
    """What a probe measures with."""

    model: "Model"
    cells: CellSets
    """Control cells of the model's context, genes in the model's order."""
    settings: Mapping[str, Any]
    panels: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """Panel -> its regulators and targets."""
    sae: "SparseAutoencoder | None" = None
    layer: int | str = "middle"
    """The layer `sae` was trained on."""
    pca: "PrincipalComponents | None" = None
    """Principal components of the same activations, which explain as much of them as `sae` does."""
    contexts: tuple[CellSets, ...] = ()
    """Control cells of every context of the run."""
    role: str = SUBJECT
    """What `model` is to the run: the subject, a re-drawn copy of it, or a model planted beside it."""
    programs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Program -> its members, for probes whose measurement depends on them."""
    seen: Mapping[str, str] = field(default_factory=dict)
    """Perturbation -> here, elsewhere, never or unknown: how the subject has seen it."""
    seed: int = 0
    """Of the run, for probes whose measurement draws."""
    responses: pd.DataFrame | None = None
    """The subject's mean delta_y [perturbation, gene], for probes that choose perturbations by it."""
    observed: xr.Dataset | None = None
    """What was observed in the context (`data/observed.py`), for genes that are silenced to the level seen there."""
    memory_gb: float = MEMORY_GB
    """What derivatives and batches of knock-outs may use beside their result."""

    def limited_to(self, declaration: Declaration) -> "MeasureInputs":
        """Return what a probe may read of it: what it declares that its measurement depends on."""
        depends, settings = declaration.depends, self.settings
        further = [name for name in ("layer", "panels", "seed") if depends[name]]
        fields = ("contexts", "layer", "observed", "panels", "pca", "programs", "responses", "sae", "seed")
        reads = declaration.reads_under(settings)
        if depends["settings"] != "all":
            settings = {key: value for key, value in settings.items() if key in depends["settings"]}
        panels = parts_of_panels(self.panels, depends["panels"])
        return limited(replace(self, settings=settings, panels=panels), declaration.name, fields, (*reads, *further))

    @property
    def perturbations(self) -> list[str]:
        """The model's perturbations without the control, sorted."""
        return sorted(set(self.model.perturbations) - {self.model.control})

    @property
    def cells_measured(self) -> CellSets:
        """Control cells; of an untrained copy, whose null's mean and spread alone are asked, the first sets."""
        return first_sets(self.cells, COPY_SETS) if self.role in REDRAWN else self.cells

    @property
    def trained(self) -> list[str]:
        """The perturbations whose code was trained, as far as is known."""
        return [name for name in self.perturbations if self.seen.get(name) != NEVER]

    def perturbation(self, setting: str) -> str:
        """Return the perturbation that a setting names."""
        return self.model.control if setting == CONTROL else setting


def in_place_of(inputs: MeasureInputs) -> dict[str, Any]:
    """Return what a model that is planted in place of a planted one has in common with it."""
    model, card = inputs.model, inputs.model.card
    same = {"genes": model.genes, "control": model.control, "set_size": model.set_size}
    return {**same, "perturbations": inputs.perturbations, "d": card["d"], "seed": card["seed"]}


def first_sets(cells: CellSets, n: int) -> CellSets:
    """Return the first n cell sets, all that untrained copies need: they give a null's mean and spread and no p."""
    parts = {name: getattr(cells, name) for name in ("values", "batches", "cell_ids")}
    return replace(cells, **{name: part if part is None else part[:n] for name, part in parts.items()}, hash="")


@dataclass(frozen=True)
class Subject:
    """One measured model, as a test sees it."""

    measurement: xr.Dataset
    """Of one variant: the model itself, a copy, or a planted model."""
    strength: pd.Series
    """Perturbation -> norm of the model's own mean delta_y in its context; its copies are matched by it too."""
    seen: pd.Series
    """Perturbation -> here, elsewhere, never or unknown."""
    observed: xr.Dataset | None = None
    """Observed delta_y and gene-gene correlation of control cells (`data/observed.py`), for the reference rows."""

    def trained(self, names: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return which perturbations have a code that was trained, as far as is known, bool [P]."""
        return ~np.isin(names, self.seen.index[self.seen == NEVER])

    def nuisances(self, names: Sequence[str] | np.ndarray, held: Collection[str]) -> Beside:
        """Return what is known of perturbations that may make two of them alike, of what is to be held.

        Groups: the share of a perturbation's cells in each batch, and where the model was trained with it. Number of
        cells: in the context. Of a perturbation that was not observed here both are 0.
        """
        observed, groups = {} if self.observed is None else self.observed, []
        if "seen" in held:
            groups.append(pd.get_dummies(self.seen.reindex(names)))
        if "batch" in held and "batch_share" in observed:
            groups.append(observed["batch_share"].to_pandas().reindex(names).fillna(0))
        columns = [each.to_numpy(dtype=np.float64) for each in groups if each.shape[1] > 1]
        counted = "cells" in held and "n_cells" in observed
        cells = observed["n_cells"].to_series().reindex(names, fill_value=0).to_numpy() if counted else None
        return Beside(np.concatenate(columns, axis=1) if columns else None, cells)

    def strengths(self, names: Iterable[str]) -> np.ndarray:
        """Return the strength of perturbations, in this order; nan where it is not known."""
        return self.strength.reindex(list(names)).to_numpy()

    def held_out(self, names: Iterable[str]) -> str:
        """Say how many of the perturbations the model was trained with here and where not; empty if all were here."""
        counts = self.seen.reindex(list(names)).value_counts()
        if not set(counts.index) - {"here", "unknown"}:
            return ""
        known = [status for status in ("here", "elsewhere", "never", "unknown") if status in counts]
        return f"members trained: {', '.join(f'{counts[status]} {status}' for status in known)}"


@dataclass(frozen=True)
class TestInputs:
    """What a probe tests: one model, or a model against the reference of its pair."""

    __test__ = False  # the name is no test case
    identity: Mapping[str, Any]
    """probe, model, reference, context and regime, as they stand in each row."""
    subject: Subject
    reference: Subject | None
    programs: Programs
    panels: Mapping[str, Panel]
    cells: CellSets
    """Control cells of the model's context."""
    settings: Mapping[str, Any]
    rivals: xr.Dataset | None = None
    """What co-variation alone answers to silenced genes: shift [rival, perturbation, gene] to those that are knocked
    down, knockout [rival, silenced, gene] to those of the probe knockout (`stages/rivals.py`)."""
    reference_rivals: xr.Dataset | None = None
    """The same in the cells of the reference."""
    shared_initialisation: float = 0.0
    """How much more alike the pair's codes of one perturbation are than those of two (0 = independent training)."""
    shared_training: Sequence[str] = ()
    """Contexts on whose cells both models of a pair were trained, as far as is known."""
    comparison: str = ""
    """contexts or regimes for a pair, empty for one model."""
    permutations: int = 9999
    bootstrap: int = 999
    hold: Sequence[str] = HELD
    """Nuisances that are held beside strength, of which those that the run knows are."""
    min_perturbations: int = 3
    min_genes: int = 3
    seed: int = 0

    def beside(self, names: Sequence[str] | np.ndarray, unit: str = "perturbation") -> Beside:
        """Return what is held of units beside strength: of perturbations all that is known, of genes shared axes."""
        axes = IN_PROGRAMS if "axes" in self.hold else 0
        known = self.subject.nuisances(names, self.hold) if unit == "perturbation" else NOTHING
        return known._replace(axes=axes)

    def limited_to(self, declaration: Declaration) -> "TestInputs":
        """Return what a probe may read of it: of cells, panels and rivals what it declares that it is tested with."""
        both = ["reference_rivals"] if "rivals" in declaration.tested_with else []
        fields = "cells", "panels", "rivals", "reference_rivals"
        return limited(self, declaration.name, fields, (*declaration.tested_with, *both))

    @property
    def sharing(self) -> str:
        """Say so where the models of a pair share an initialisation; empty where they do not."""
        if self.shared_initialisation <= SHARED:
            return ""
        return (
            f"the models share an initialisation (matched minus mismatched cosine of their perturbation codes "
            f"{self.shared_initialisation:.2f}): first-order agreement can show the seed"
        )

    @property
    def common_cells(self) -> str:
        """Say that the models of a pair learned from the same cells; empty where that is not known, and of copies."""
        if not self.shared_training or self.identity.get("role", SUBJECT) != SUBJECT:
            return ""
        return (
            f"both models were trained on cells of {', '.join(self.shared_training)}: first-order agreement can be of "
            "what varies together there"
        )

    def as_role(self, role: str, copy: int = 0) -> "TestInputs":
        """Return the same question put to something else: its rows carry that role."""
        return replace(self, identity={**self.identity, "role": role, "copy": copy})

    def random(self, *names: object) -> np.random.Generator:
        """Return the generator of one draw, seeded by what is tested and never by its position or role.

        Copies and planted models are thus compared with the very sets the model itself is compared with.
        """
        who = (self.identity["probe"], self.identity["model"], self.identity["reference"])
        return generator(self.seed, "test", *who, *names)


@dataclass(frozen=True)
class TableInputs:
    """What a probe makes further tables of: every model of the run."""

    subjects: Mapping[str, Subject]
    """Model -> what was measured of it, without its copies."""
    programs: Programs
    settings: Mapping[str, Any]
    pairs: Sequence[tuple[str, str]] = ()
    """Models and references that the probe compares."""
    features: pd.DataFrame | None = None
    """Stability over seeds of the features of the sparse autoencoder that was read; None where there is one seed."""
    min_perturbations: int = 3
    permutations: int = 9999
    seed: int = 0
    rivals: Mapping[str, xr.Dataset] = field(default_factory=dict)
    """Model -> what co-variation alone answers to silenced genes, for probes that are tested with it."""

    def measured(self, variable: str) -> dict[str, Subject]:
        """Return model -> what was measured of it, of models of which this variable was."""
        return {model: each for model, each in self.subjects.items() if variable in each.measurement}

    def paired(self, variable: str) -> Iterator[tuple[dict[str, str], tuple[Subject, Subject]]]:
        """Yield model and reference, as columns, and both subjects, of pairs of which this variable was measured."""
        known = self.measured(variable)
        for names in self.pairs:
            if known.keys() >= set(names):
                yield dict(zip(("model", "reference"), names, strict=True)), tuple(known[name] for name in names)

    def random(self, *names: object) -> np.random.Generator:
        """Return the generator of one draw, seeded by names."""
        return generator(self.seed, "tables", *names)


class Drawing(NamedTuple):
    """How a probe's `null_world` is to draw a measurement."""

    rng: np.random.Generator
    units: int
    """Perturbations, or genes, in it."""
    kind: str = ""
    """Which of the worlds that the probe declares, where it declares several kinds."""
    members: Sequence[int] = ()
    """Positions of the units in which something is planted; none where nothing is to be found."""
    d: float = 0.0
    """How far they are shifted on the probe's per-unit score, in sd of all others."""
    folder: Path | None = None
    """Where files may be written that a test reads."""

    @property
    def inside(self) -> np.ndarray:
        """Return which units something is planted in [units]."""
        return np.isin(np.arange(self.units), self.members)


class World(NamedTuple):
    """A measurement in a probe's own format in which nothing is to be found but what was planted."""

    confounder: pd.Series
    """Unit -> what confounded programs are drawn by: strength of perturbations, expression of genes."""
    given: Callable[[Mapping[str, Sequence[str]]], Mapping[str, Any]]
    """Given programs by name, returns fields of `TestInputs`: subject, settings, cells, and whatever is read."""


def labelled(variables: Mapping[str, tuple[Sequence[str], np.ndarray]], **labels: Sequence[Any]) -> xr.Dataset:
    """Return variables (name -> axes, values) with these labels on their axes; axes without are numbered."""
    measured = xr.Dataset(dict(variables))
    numbered = {axis: np.arange(n) for axis, n in measured.sizes.items()}
    return measured.assign_coords(numbered | {axis: each for axis, each in labels.items() if axis in numbered})


def tabulated(probe: str, **parts: Sequence[pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the further tables of a probe by name, each made of parts, with the columns that it declares."""
    columns = declared(probe).tables["names"]
    return {name: stacked(each, columns[name]) for name, each in parts.items()}


def holders(programs: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return each name that programs hold -> those that hold it, in their order."""
    found: dict[str, list[str]] = {}
    for program, names in programs.items():
        for name in dict.fromkeys(names):
            found.setdefault(name, []).append(program)
    return found


def stacked(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Return tables below each other with these columns; none of them is a table without rows."""
    return pd.concat(parts, ignore_index=True)[list(columns)] if parts else pd.DataFrame(columns=list(columns))


def itself(measured: Measured) -> Measured:
    """Return what was measured of the model itself, all or one variable, without an axis for its copies."""
    return measured.sel(variant=SUBJECT, drop=True) if "variant" in measured.dims else measured


def averaged(measurement: xr.Dataset, name: str) -> xr.DataArray:
    """Return the subject's variable, mean over cell sets, perturbations in order of names: draws go by that order."""
    return over_sets(by_set(measurement, name))


def over_sets(profiles: xr.DataArray) -> xr.DataArray:
    """Return the mean over cell sets, where they are apart."""
    return profiles.mean("set") if "set" in profiles.dims else profiles


def by_set(measurement: xr.Dataset, name: str) -> xr.DataArray:
    """Return the subject's variable in float64 with its cell sets apart, perturbations in order of names."""
    values = itself(measurement[name]).astype(np.float64)
    return values.sortby("perturbation") if "perturbation" in values.dims else values


def members(names: Sequence[str], program: Sequence[str]) -> np.ndarray:
    """Return the positions in `names` of a program's members."""
    return np.flatnonzero(np.isin(np.asarray(names), list(program)))


def each_program(
    inputs: TestInputs,
    names: Sequence[str],
    enough: int,
    what: str,
) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield program, positions of its members among `names`, and why they are too few (empty where they are enough)."""
    for program, listed in inputs.programs.items():
        found = members(names, listed)
        short = f"{len(found)} {what} of the program, {enough} needed" if len(found) < enough else ""
        if not short and len(found) > len(names) - 2:
            short = f"all but {len(names) - len(found)} of the {len(names)} {what} are in the program: no background"
        yield program, found, short


Published = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[float, float]]
"""Given raw similarities [P, P], members and a generator, returns the published estimate and p."""
