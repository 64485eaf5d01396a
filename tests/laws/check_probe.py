"""The laws of all probes: what must hold of each, whatever it asks. `check_probe(name)` returns them."""

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from law_world import (
    GENES,
    NAMES,
    PANELS,
    PROGRAMS,
    REGULONS,
    Side,
    cells,
    comparisons,
    moved,
    regrouped,
    reordered,
    rivals,
    side,
    state,
    to_measure,
    to_test,
)
from null_worlds import KINDS, bound, false_positives, found_planted
from threadpoolctl import threadpool_limits

from pertprobe import evidence
from pertprobe.data.programs import Programs, read_panels
from pertprobe.probes import load_probe
from pertprobe.probes.base import NOT_EVALUABLE, Subject, itself
from pertprobe.probes.declaration import FUNCTIONS, declared
from pertprobe.probes.limited import UndeclaredError
from pertprobe.probes.questions import ask
from pertprobe.stages.measuring import gather, measure_shard
from pertprobe.workflow import digest

Law = Callable[[Path], None]
NUMBERED = {"set", "half", "draw", "layer", "rank"}
"""Axes whose places are their labels."""
KEYS = ["statistic", "adjustment", "role", "program", "panel"]


def check_probe(name: str) -> dict[str, Law]:
    """Return name -> law of one probe: each is called with a folder to write in, and raises where it does not hold.

    Laws of measurements are those of the probe that makes it.
    """
    probe = declared(name)
    laws = dict(OF_QUESTIONS)
    if not probe.measured_by:
        laws |= OF_MEASUREMENTS
    if probe.unit == "perturbation":
        laws |= OF_CODES
    if hasattr(load_probe(name), "null_world"):
        laws |= {law: function for law, function in OF_WORLDS.items() if name not in UNSEEN.get(law, {})}
    return {law: partial(function, name) for law, function in laws.items()}


@cache
def sides(probe: str) -> dict[str, Side]:
    """Return what a probe measures of a model, of another in its context, and of a third elsewhere."""
    return {
        "": side(probe, state(0), redrawn=1),
        "regimes": side(probe, state(1)),
        "contexts": side(probe, state(2), "there"),
    }


def rows(probe: str, comparison: str, folder: Path, *, change: Callable = lambda given: given, **more) -> pd.DataFrame:
    """Return the evidence of a probe on one model, or a pair; `change` is done to what is known of each."""
    mine, other = (change(sides(probe)[kind].subject) for kind in ("", comparison))
    return evidence.frame(ask(probe, to_test(probe, comparison, mine, other, folder, **more)))


@cache
def expected(probe: str, comparison: str) -> pd.DataFrame:
    """Return the evidence that laws compare with."""
    with tempfile.TemporaryDirectory() as folder:
        return rows(probe, comparison, Path(folder))


def same_rows(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Assert that two tables of evidence say the same, numbers to rounding."""
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=1e-12)


def shards_change_nothing(probe: str, folder: Path) -> None:
    """Any number of jobs measures the same numbers, bit by bit, of the model and of its copies."""
    inputs = to_measure(probe, state(0))
    cut = gather([measure_shard(probe, inputs, i, 3, redrawn=1) for i in range(3)])
    xr.testing.assert_identical(cut, gather([sides(probe)[""].measurement]))


def every_axis_is_labelled(probe: str, folder: Path) -> None:
    """A measurement has labels on every axis; what a probe hands over without is numbered, which fits no names."""
    with torch.no_grad():
        handed = _measure(probe, to_measure(probe, state(0)))
    assert {dim for dim in handed.dims if dim not in handed.coords} <= NUMBERED
    found = sides(probe)[""].measurement
    assert NOT_EVALUABLE not in found.attrs, found.attrs
    assert [dim for dim in found.dims if dim not in found.coords] == []
    assert all(np.isfinite(itself(found)[name]).all() for name in found if found[name].dtype.kind == "f")


def the_order_of_names_changes_nothing(probe: str, folder: Path) -> None:
    """Perturbations, programs and members in another order, all labels with them, give the same evidence."""
    mixed = {name: members[::-1] for name, members in reversed(PROGRAMS.items())}
    for comparison in comparisons(declared(probe)):
        change = partial(reordered, rng=np.random.default_rng(1))
        same_rows(rows(probe, comparison, folder, change=change, programs=mixed), expected(probe, comparison))


def labels_permuted_with_their_numbers_change_nothing(probe: str, folder: Path) -> None:
    """Genes, features and directions in another order, all labels with them, give the same evidence."""
    for comparison in comparisons(declared(probe)):
        change = partial(regrouped, rng=np.random.default_rng(1))
        same_rows(rows(probe, comparison, folder, change=change), expected(probe, comparison))


def names_say_nothing(probe: str, folder: Path) -> None:
    """Perturbations and genes of other names that sort alike give the same evidence under these."""
    for comparison in comparisons(declared(probe)):
        mine, other = (_named_anew(sides(probe)[kind].subject) for kind in ("", comparison))
        panels = read_panels(_anew(PANELS), Programs(_anew(PROGRAMS)), _anew(NAMES))
        more = {"panels": panels, "cells": replace(cells("here"), genes=_anew(GENES), hash="")}
        more["rivals"] = _relabelled(rivals())
        more["reference_rivals"] = 2 * more["rivals"] + 1 if comparison else None
        if "regulons" in declared(probe).settings:
            (folder / "renamed.tsv").write_text(_anew(REGULONS))
        asked = to_test(probe, comparison, mine, other, folder, programs=_anew(PROGRAMS), **more)
        if "regulons" in declared(probe).settings:
            regulons = {"some": str(folder / "renamed.tsv")}
            asked = replace(asked, settings={**asked.settings, "regulons": regulons})
        table = expected(probe, comparison)
        same_rows(evidence.frame(ask(probe, asked)), table.assign(reason=table.reason.map(_anew)))


def _anew(given: Any) -> Any:
    """Return a text, or all texts in a collection, with other names: g07 is named c07c, and x1 is named w1c."""
    if isinstance(given, str):
        return re.sub(r"\b([gx])(\d+)\b", lambda found: f"{'cw'['gx'.index(found[1])]}{found[2]}c", given)
    if isinstance(given, Mapping):
        return {_anew(key): _anew(value) for key, value in given.items()}
    return type(given)(map(_anew, given)) if isinstance(given, list | tuple) else given


def _named_anew(given: Subject) -> Subject:
    strength, seen = (each.set_axis([_anew(name) for name in each.index]) for each in (given.strength, given.seen))
    return Subject(_relabelled(given.measurement), strength, seen, _relabelled(given.observed))


def _relabelled(found: xr.Dataset) -> xr.Dataset:
    """Return the same under other names, those in its notes as well."""
    labels = {dim: _anew(found[dim].values.tolist()) for dim in found.dims if dim in found.coords}
    return found.assign_coords(labels).assign_attrs({key: _anew(value) for key, value in found.attrs.items()})


def cores_change_nothing(probe: str, folder: Path) -> None:
    """Measured and tested on two cores, evidence is the same.

    In float64: where two threads share a matrix product some processors add up in another order, and float32 would show
    it.
    """
    comparison, before = comparisons(declared(probe))[-1], torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            with threadpool_limits(threads):
                mine = side(probe, state(0, dtype=torch.float64)).subject
                asked = to_test(probe, comparison, mine, sides(probe)[comparison].subject, folder)
                found.append(evidence.frame(ask(probe, asked)))
        finally:
            torch.set_num_threads(before)
    same_rows(*found)


def never_trained_perturbations_have_no_say(probe: str, folder: Path) -> None:
    """A perturbation that was never trained has an untrained code: whatever it is, evidence is the same."""
    other = side(probe, state(0, features=moved()))
    assert not sides(probe)[""].subject.strength.equals(other.subject.strength)
    for comparison in comparisons(declared(probe)):
        partner = sides(probe)[comparison].subject
        asked = to_test(probe, comparison, other.subject, partner, folder)
        same_rows(evidence.frame(ask(probe, asked)), expected(probe, comparison))


def a_question_that_cannot_be_put_has_a_row_with_a_reason(probe: str, folder: Path) -> None:
    """A program without members, or with one, has a row of the primary statistic that says why it is not answered."""
    programs = {"empty": ["nobody"], "one": [NAMES[0]]}
    found = pd.concat([rows(probe, each, folder, programs=programs) for each in comparisons(declared(probe))])
    mine = found[(found.statistic == declared(probe).primary) & (found.role == "subject") & (found.program != "")]
    assert set(mine.program) == set(programs)
    assert not mine.evaluable.any()
    assert (mine.reason != "").all()


def a_constant_measurement_has_an_answer_or_a_reason(probe: str, folder: Path) -> None:
    """Where all that was measured is one number, every row has a finite estimate, or says why not."""

    def constant(given):
        """Return the same with one number in every place."""
        found = given.measurement
        return replace(
            given, measurement=found.map(lambda each: xr.full_like(each, 0.5) if each.dtype.kind == "f" else each)
        )

    for comparison in comparisons(declared(probe)):
        found = rows(probe, comparison, folder, change=constant)
        mine = found[found.role == "subject"]
        assert (mine.estimate.notna() | (mine.reason != "") | ~mine.evaluable).all()
        assert (mine.evaluable | (mine.reason != "")).all()


def a_copy_is_asked_the_same_sets(probe: str, folder: Path) -> None:
    """A copy that measures what the model does has the model's estimate and null, in the statistics of controls."""
    for comparison in comparisons(declared(probe)):
        model, other = (sides(probe)[kind].subject for kind in ("", comparison))
        asked = to_test(probe, comparison, model, other, folder)
        own, copy = (evidence.frame(ask(probe, each)) for each in (asked, asked.as_role("redrawn", 1)))
        own = own[own.statistic.isin(declared(probe).control_statistics) & (own.adjustment == "centred")]
        columns = [*KEYS, "n", "n_background", "estimate", "null_mean", "null_sd", "p", "p_stratified", "effect"]
        own, copy = own[own.evaluable], copy[copy.evaluable]  # refusals are not put to copies
        own = own[own.role == "subject"]
        mine, same = (each[columns].drop(columns="role").reset_index(drop=True) for each in (own, copy))
        pd.testing.assert_frame_equal(same, mine)
        assert set(copy.role) <= {"redrawn"}
        assert set(copy.adjustment) <= {"centred"}
        assert set(copy.statistic) <= set(declared(probe).control_statistics)


def what_is_not_asked_has_no_rows(probe: str, folder: Path) -> None:
    """A pair of a kind that is not declared, and a copy of a model in it, have no rows."""
    for comparison in {"contexts", "regimes"} - set(declared(probe).pairs):
        asked = to_test(probe, comparison, *(sides(probe)[kind].subject for kind in ("", comparison)), folder)
        assert [*ask(probe, asked), *ask(probe, asked.as_role("redrawn", 1))] == []


def a_pair_turned_round_agrees_as_much(probe: str, folder: Path) -> None:
    """Statistics that say so have the same estimate whichever model comes first."""
    symmetric = [name for name, each in declared(probe).statistics.items() if each["symmetric"]]
    for comparison in declared(probe).pairs:
        mine, other = (sides(probe)[kind].subject for kind in ("", comparison))
        asked = (to_test(probe, comparison, *each, folder) for each in ((mine, other), (other, mine)))
        there, back = (evidence.frame(ask(probe, each)) for each in asked)
        there, back = (each[each.statistic.isin(symmetric) & (each.role == "subject")] for each in (there, back))
        assert there.statistic.nunique() == len(symmetric)
        np.testing.assert_allclose(there.estimate, back.estimate, atol=1e-8)


def the_digest_follows_every_function(probe: str, folder: Path) -> None:
    """A change in any function that the workflow calls changes the digest of the rules that call it."""
    module = load_probe(probe)
    for stage, (needed, optional) in FUNCTIONS.items():
        present = [name for name in (*needed, *optional) if hasattr(module, name)]
        own = stage not in ("measure", "derive") or not declared(probe).measured_by
        assert not own or set(needed) <= set(present), f"{probe} lacks a function of {stage}"
        for name in present if own else ():
            before, after = _digests(probe, name, folder, digest.functions(f"probes.{probe}", *needed, *optional))
            assert before != after, f"{stage} of {probe} does not follow {name}"


def _digests(probe: str, name: str, folder: Path, targets: list[str]) -> tuple[str, str]:
    """Return the digest of targets before and after a statement is added to one function of a copy of the package."""
    function = getattr(load_probe(probe), name)
    source = Path(function.__code__.co_filename)
    package, copy = digest.PACKAGE, folder / "copy" / "pertprobe"
    if not copy.exists():
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    changed = copy / source.relative_to(package)
    text, line = changed.read_text(), function.__code__.co_firstlineno
    lines = text.splitlines(keepends=True)
    end = next(i for i in range(line - 1, len(lines)) if lines[i].rstrip().endswith(":"))
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "PACKAGE", copy)
        patch.setattr(digest, "_module", _module)
        for content in (text, "".join([*lines[: end + 1], "    added = 1\n", *lines[end + 1 :]])):
            changed.write_text(content)
            _forget()
            found.append(digest.code(*targets))
    changed.write_text(text)
    _forget()
    return tuple(found)


def _forget() -> None:
    """Forget what modules define and use, for one of them has changed."""
    digest._definition.cache_clear()
    digest._reached.cache_clear()


def _module(module: str) -> digest.Module:
    """Read a module as a digest does, but only once as long as its text is the same."""
    path = digest._path(module)
    return _read(module, path.read_text() if path else "")


@cache
def _read(module: str, text: str, *, read: Callable = digest._module.__wrapped__) -> digest.Module:
    return read(module)


def what_is_declared_is_read(probe: str, folder: Path) -> None:
    """Taking away what a measurement declares that it reads breaks it: no rule reruns for nothing."""
    declaration = declared(probe)
    whole = replace(to_measure(probe, state(0)), role="subject")
    for field in {*declaration.reads, *(key for key in ("layer", "panels", "seed") if declaration.depends[key])}:
        fields = {"reads": tuple(each for each in declaration.reads if each != field)}
        fields["depends"] = {**declaration.depends, **({field: ()} if field in declaration.depends else {})}
        less = whole.limited_to(replace(declaration, **fields))
        with pytest.raises((UndeclaredError, TypeError), match=field):
            _measure(probe, less)


def _measure(probe: str, inputs) -> xr.Dataset:
    module = load_probe(probe)
    return module.measure(inputs, list(module.units(inputs)))


def false_positives_are_nominal(probe: str, folder: Path) -> None:
    """In its null worlds the primary statistic finds no more programs than chance does, of strong units neither."""
    for kind in KINDS.get(probe, ("",)):
        found = false_positives(probe, kind, WORLDS, folder)
        assert max(found.values()) <= bound(WORLDS), found


def what_confounds_must_be_held(probe: str, folder: Path) -> None:
    """Were strength, or expression, and axes not held, strong programs would be found: the null law sees it."""
    for kind in KINDS.get(probe, ("",)):
        found = false_positives(probe, kind, WORLDS, folder, held=False)
        assert max(found.values()) > bound(WORLDS), found


def what_is_planted_is_found(probe: str, folder: Path) -> None:
    """Ten units that are shifted by three sd are found in most worlds."""
    for kind in KINDS.get(probe, ("",)):
        assert found_planted(probe, kind, 40, folder) >= 0.7


WORLDS = 40
UNSEEN = {
    "confounder": {
        "activation_patching": "half of a program names its direction: the five that score are too few to show it",
        "intervention_fidelity": "strength is that of what was observed: only a fault in the code takes it away",
        "concept_alignment": "labels that can be told as well hold strength too: it shows too little at this size",
        "sae_features": "features above a threshold hold little of strength: calibration shows it with more worlds",
    }
}
"""Law of null worlds -> probes that it does not hold for, with the reason."""
OF_QUESTIONS: dict[str, Callable[[str, Path], None]] = {
    "order": the_order_of_names_changes_nothing,
    "labels": labels_permuted_with_their_numbers_change_nothing,
    "names": names_say_nothing,
    "cores": cores_change_nothing,
    "reason": a_question_that_cannot_be_put_has_a_row_with_a_reason,
    "constant": a_constant_measurement_has_an_answer_or_a_reason,
    "copy": a_copy_is_asked_the_same_sets,
    "unasked": what_is_not_asked_has_no_rows,
    "turned": a_pair_turned_round_agrees_as_much,
    "digest": the_digest_follows_every_function,
}
OF_MEASUREMENTS: dict[str, Callable[[str, Path], None]] = {
    "shards": shards_change_nothing,
    "axes": every_axis_is_labelled,
    "read": what_is_declared_is_read,
}
OF_CODES: dict[str, Callable[[str, Path], None]] = {"never": never_trained_perturbations_have_no_say}
OF_WORLDS: dict[str, Callable[[str, Path], None]] = {
    "null": false_positives_are_nominal,
    "confounder": what_confounds_must_be_held,
    "planted": what_is_planted_is_found,
}
