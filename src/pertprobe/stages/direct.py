"""One probe asked of a model that is at hand, without a run: for notebooks.

What takes part in a verdict of a run and needs more than a model and its cells stays a run's: autoencoders, rivals,
planted models, the thresholds. Untrained copies are asked here as there.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.programs import Programs, read_panels
from pertprobe.errors import PertprobeError, listed, meant, number_of, raise_together, unknown_name
from pertprobe.probes import delta_y, load_probe
from pertprobe.probes.base import NOT_EVALUABLE, MeasureInputs, Subject, TestInputs
from pertprobe.probes.declaration import Declaration, declared, probe_names
from pertprobe.roles import SUBJECT
from pertprobe.showing import as_html, as_text
from pertprobe.stages.measuring import measure_shard
from pertprobe.stages.spaces import Known, space_of
from pertprobe.stages.testing import TestCase, run_test

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.figure import Figure

    from pertprobe.models.base import Model

SHOWN = ("statistic", "program", "panel", "n", "estimate", "effect", "ci_low", "ci_high", "q", "reason")
"""Columns of the evidence that a notebook shows first."""
MOST_ROWS = 20
MODEL, REFERENCE = "model", "reference"
"""Names of the two in the evidence."""


@dataclass(frozen=True, eq=False, repr=False)
class Probed:
    """What one probe found of a model."""

    declaration: Declaration
    evidence: pd.DataFrame
    """Rows as a run has them: the model's, and those of its untrained copies (`role`)."""
    subjects: Mapping[str, Subject]
    """What was measured of the model and, in a pair, of its reference."""
    programs: Programs
    settings: Mapping[str, Any]

    @property
    def rows(self) -> pd.DataFrame:
        """The model's own rows, in the columns that are looked at first."""
        mine = self.evidence[(self.evidence.role == SUBJECT) & (self.evidence.adjustment == "centred")]
        return mine[list(SHOWN)].reset_index(drop=True)

    @property
    def measurements(self) -> Mapping[str, xr.Dataset]:
        """Of the model and, in a pair, of its reference."""
        return {side: each.measurement for side, each in self.subjects.items()}

    def figure(self) -> "Figure":
        """Draw what the run would; raises PertprobeError for a figure that is made of a run's further tables."""
        from pertprobe.plots import DrawInputs, within

        if tables := self.declaration.drawn_tables:
            raise PertprobeError(
                f"{self.declaration.name}: its figure is drawn from tables of a run ({listed(tables)})"
            )
        mine = within(self.evidence[self.evidence.role == SUBJECT], self.declaration.ranges)
        question = {"settings": self.settings, "models": {name: {} for name in self.measurements}}
        inputs = DrawInputs(mine, self.measurements, self.programs, question, thresholds=self.declaration.thresholds)
        return load_probe(self.declaration.name).draw(inputs).figure

    def to_xarray(self, side: str = MODEL) -> xr.Dataset:
        """Return what was measured, every axis labelled, with what it is in its attributes.

        Its axis `variant`, where it has one, holds the model ("subject") and its untrained copies. `side` is "model"
        or, in a pair, "reference".
        """
        if side not in self.subjects:
            raise unknown_name("side", side, self.subjects)
        measured_by, context = self.declaration.measurement, self.evidence.context.iloc[0]
        what = inspect.getdoc(load_probe(measured_by).measure).splitlines()[0].removeprefix("Return ")
        told = {"probe": measured_by, "question": self.declaration.question, "holds": what, "context": context}
        return self.subjects[side].measurement.assign_attrs(told)

    def to_anndata(self, side: str = MODEL, seed: int = 0) -> "AnnData":
        """Return what was measured as rows x features for scanpy, as a run's spaces/*.h5ad are.

        With programs, strength and neighbours, clusters and a map (`stages.layout`), which are drawn with `seed`.

        Raises PertprobeError for a measurement that is no table of perturbations.
        """
        measured_by = declared(self.declaration.measurement)
        if measured_by.space is None:
            raise PertprobeError(
                f"{self.declaration.name}: what it measures is no table of perturbations. to_xarray() has all of it"
            )
        measured, subject, nothing = self.to_xarray(side), self.subjects[side], pd.Series(dtype=object)
        who = {"model": side, "regime": "unknown", "context": measured.attrs["context"]}
        known = Known(who, self.programs, subject.strength, subject.seen, nothing, nothing, *[pd.DataFrame()] * 2)
        return space_of(measured, measured_by.space_at(self.settings.get("layer", "middle")), known, seed)

    def __repr__(self) -> str:
        """Return the question, of what it was asked and the model's own rows."""
        rows = self.rows.to_string(max_rows=MOST_ROWS)
        return f"{as_text(self._title, self._facts)}\n{rows}"

    def _repr_html_(self) -> str:
        """Return the same for a notebook; names are escaped."""
        rows = self.rows.to_html(max_rows=MOST_ROWS, float_format=lambda value: f"{value:.3g}", border=0)
        return as_html(self._title, self._facts) + rows

    @property
    def _title(self) -> str:
        return f"{self.declaration.name}: {self.declaration.question}"

    @property
    def _facts(self) -> dict[str, object]:
        """What was asked, of how much, and what could not be."""
        mine = self.evidence[self.evidence.role == SUBJECT]
        sides = {f"measured of {side}": _sizes(each) for side, each in self.measurements.items()}
        copies = len({*zip(self.evidence.role, self.evidence["copy"], strict=True)} - {(SUBJECT, 0)})
        could = f"{int(mine.evaluable.sum())} of {number_of(len(mine), 'question')} could be asked"
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return {
            "context": mine.context.iloc[0] if len(mine) else "",
            **sides,
            "untrained copies": copies or "none",
            "settings": settings,
            "evidence": f"{could}; {number_of(len(self.evidence), 'row')} in all",
        }


def _sizes(measured: xr.Dataset) -> str:
    """Say what a measurement holds: its variables and how long its axes are."""
    if NOT_EVALUABLE in measured.attrs:
        return f"nothing: {measured.attrs[NOT_EVALUABLE]}"
    axes = " x ".join(f"{n} {axis}" for axis, n in measured.sizes.items())
    return f"{', '.join(map(str, measured.data_vars))} [{axes}]"


def probe(
    name: str,
    model: "Model",
    cells: CellSets,
    programs: Mapping[str, Sequence[str]],
    *,
    reference: "tuple[Model, CellSets] | None" = None,
    panels: Mapping[str, Mapping[str, Any]] | None = None,
    seen: Mapping[str, str] | None = None,
    observed: xr.Dataset | None = None,
    redrawn: int = 5,
    permutations: int = 9999,
    bootstrap: int = 999,
    seed: int = 0,
    **settings: Any,
) -> Probed:
    """Ask one probe of a model: `probe("pert_embedding", model, cells, programs)`.

    Args:
        name: of the probe.
        model: as `load_model` returns it, or anything that keeps the protocol of models.
        cells: control cells of one context (`read_cells`).
        programs: name -> genes.
        reference: another model and its cells, for probes that compare two.
        panels: name -> {program, regulators, targets}, as in a config.
        seen: perturbation -> here, elsewhere, never, unknown; without it all are unknown.
        observed: what was observed in this context (`data.observed.observe`): reference rows, and nuisances held.
        redrawn: untrained copies of each kind; 0: none, and no excess over them.
        permutations: draws of each null.
        bootstrap: draws of each interval.
        seed: of every draw.
        settings: those of the probe, over its defaults.

    Raises:
        Faults: the probe is unknown, needs what only a run makes, or has no such setting; all at once.
    """
    declaration = _asked(name, settings, observed, reference)
    wanted = declaration.default_settings | settings
    found = Programs(dict(programs))
    sides = {MODEL: (model, cells)} | ({REFERENCE: reference} if reference else {})
    subjects = {
        side: _subject(declaration, each, wanted, found, dict(panels or {}), dict(seen or {}), redrawn, seed)
        for side, each in sides.items()
    }
    subjects[MODEL] = replace(subjects[MODEL], observed=observed)
    draws = {"permutations": permutations, "bootstrap": bootstrap, "seed": seed}
    case = _case(declaration, model, cells, subjects, found, panels or {}, settings=wanted, **draws)
    table = evidence.with_q(run_test(name, case), declaration.primary, declaration.compared_in)
    return Probed(declaration, table, subjects, found, wanted)


def _case(
    declaration: Declaration,
    model: "Model",
    cells: CellSets,
    subjects: Mapping[str, Subject],
    programs: Programs,
    panels: Mapping[str, Mapping[str, Any]],
    **more: Any,
) -> TestCase:
    """Return what the probe is to test of the measured model, beside its reference where there is one."""
    reference = subjects.get(REFERENCE)
    identity = {"probe": declaration.name, "model": MODEL, "reference": REFERENCE if reference else ""}
    names = sorted(set(model.perturbations) - {model.control})
    inputs = TestInputs(
        {**identity, "context": cells.context, "regime": "unknown"},
        subjects[MODEL],
        reference,
        programs,
        read_panels(panels, programs, names),
        cells.for_genes(model.genes),
        comparison=declaration.pairs[0] if reference else "",
        **more,
    )
    return TestCase(inputs, causal=bool(model.card.get("causal")))


def _asked(name: str, settings: Mapping[str, Any], observed: Any, reference: Any) -> Declaration:
    """Return the declaration of a probe that can be asked without a run; raises `Faults` where it cannot."""
    if name not in probe_names():
        raise unknown_name("probe", name, probe_names())
    declaration = declared(name)
    known = {*declaration.settings, *declared(declaration.measurement).settings}
    faults = [f"{name} has no setting '{key}'.{meant(key, known)}" for key in settings if key not in known]
    reads = {*declared(declaration.measurement).reads_under(settings), *declaration.tested_with}
    made = ({"sae", "pca", "responses"} & reads) | ({"rivals"} if declaration.answers else set())
    if made or declaration.partners or declaration.files:
        what = listed(sorted(made) or ["files and pairs of models"])
        faults.append(f"{name} needs what a run makes ({what}). Ask it in a config: docs/configuration.md")
    if "observed" in reads and observed is None:
        faults.append(f"{name} compares with what was observed. Give observed=")
    if reference and not declaration.pairs:
        faults.append(f"{name} does not compare two models. Leave reference out")
    raise_together(faults)
    return declaration


def _subject(
    declaration: Declaration,
    side: "tuple[Model, CellSets]",
    settings: Mapping[str, Any],
    programs: Programs,
    panels: Mapping[str, Mapping[str, Any]],
    seen: Mapping[str, str],
    redrawn: int,
    seed: int,
) -> Subject:
    """Measure a model and its copies, and how strongly it answers to each perturbation."""
    model, cells = side
    measured_by = declared(declaration.measurement)
    wanted = {key: value for key, value in settings.items() if key in measured_by.settings}
    inputs = MeasureInputs(
        model,
        cells.for_genes(model.genes),
        measured_by.default_settings | wanted,
        panels,
        contexts=(cells,),
        programs=programs,
        seen=seen,
        seed=seed,
    )
    measured = measure_shard(measured_by.name, inputs, 0, 1, redrawn=redrawn, seed=seed)
    plain = measure_shard("delta_y", replace(inputs, settings={}), 0, 1)
    strength = delta_y.strength(plain)
    status = pd.Series(seen, dtype=object).reindex(strength.index).replace(np.nan, "unknown")
    return Subject(measured, strength, status)
