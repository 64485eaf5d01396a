"""One question and all that stands beside it: copies, planted models, references, and what a reader must know."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tiny import cell_sets, profiles, rows_of, subject, to_test

from pertprobe import evidence
from pertprobe.data.programs import Panel
from pertprobe.probes import load_probe
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.stages import testing
from pertprobe.stages.measuring import COPIES_NOTE
from pertprobe.stages.testing import COPY_PERMUTATIONS, TestCase, run_test

NAMES = [f"p{i:02d}" for i in range(24)]
PROGRAMS = {"P": NAMES[:5], "Q": NAMES[12:17]}
PAIRS = ["a>b", "a>c", "d>b", "d>c"]
PANEL = Panel("panel", "P", ("a", "d"), ("b", "c"), tuple(NAMES[:5]), tuple(NAMES[5:9]))
COPIES = ["redrawn_1", "redrawn_2", "redrawn_3", "shuffled_1", "shuffled_2", "shuffled_3"]
CASCADES = ["cascade_decode", "cascade_mix"]
DERIVED = ["planted", "lookup", "covariation"]
GATE = "quality gate: the median r does not beat the mean shift's"


def values(seed, push=0.0, width=12):
    """Return random numbers [perturbation, feature] in which the members of P share what `push` says."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(len(NAMES), width))
    found[:5] += push * rng.normal(size=width)
    return found


def measured(probe, seed, push=0.0):
    """Return a random measurement of one variant, in which P stands out by `push`."""
    features = [f"h{i}" for i in range(12)]
    if probe == "pert_embedding":
        return profiles("embedding", values(seed, push), NAMES, features).isel(set=0)
    if probe == "sae_features":
        return profiles("hidden", values(seed, push), NAMES, features, feature="dimension")
    if probe == "knockout":
        shared = values(100) * push  # in every context the same, so that a gene's profile is its own
        return profiles("shift", values(seed) + shared, NAMES, features, feature="gene")
    numbers = np.abs(values(seed, width=4))
    numbers[:5] += push
    controls = json.dumps({"panel": {"regulators": [], "targets": []}})
    found = profiles("jacobian", numbers, NAMES, PAIRS, batch="", control_pairs=controls)
    sizes = [profiles(name, np.ones((len(NAMES), 2)), NAMES, ["b", "c"], feature="gene") for name in ("open", "gain")]
    return xr.merge([found, *sizes])


def variants(probe, pushes, seed=0):
    """Return a measurement with one variant for each entry of `pushes`: variant -> how much P stands out."""
    found = [measured(probe, seed + i, push).assign_coords(variant=[name])
             for i, (name, push) in enumerate(pushes.items())]  # fmt: skip
    joined = xr.concat(found, "variant", combine_attrs="override")
    if probe == "sae_features":  # an SAE was trained on the model's own activations alone
        features = [f"f{i}" for i in range(12)]
        own = profiles("activation", values(seed, pushes["subject"]), NAMES, features) if "subject" in pushes else None
        joined = joined if own is None else joined.assign(activation=own["activation"].isel(variant=0))
    return joined


def beside(subject_push=3.0, copy_push=0.0):
    return {"subject": subject_push, **dict.fromkeys([*COPIES, *CASCADES], copy_push)}


PROBES = ["pert_embedding", "sae_features", "targeted_jacobian", "knockout"]


def asked(probe, measurement=None, derived=None, *, pair=None, reference=None, reference_derived=None, **more):
    """Return one question; `pair` names what is compared, for a pair of models."""
    measurement = variants(probe, beside()) if measurement is None else measurement
    other = None
    if pair:
        other = subject(variants(probe, beside(), seed=50) if reference is None else reference)
    kept = {name: more.pop(name) for name in ("quality", "causal") if name in more}
    given = {"settings": {"neighbours": 3}, "panels": {"panel": PANEL}, "cells": cell_sets(genes=tuple(NAMES))}
    inputs = to_test(probe, subject(measurement), PROGRAMS, other, **given, comparison=pair or "", **more)
    return TestCase(inputs, derived, reference_derived, **kept)


def question(probe, **more):
    """Return a probe's usual question: knock-outs are asked of a pair of contexts."""
    return asked(probe, pair="contexts" if probe == "knockout" else None, **more)


def controlled(table, probe, **wanted):
    return rows_of(table, statistic=declared(probe).compared_in, **{"adjustment": "centred", **wanted})


@pytest.mark.parametrize("probe", PROBES)
def test_copies_become_rows_with_their_role_and_number(probe):
    table = run_test(probe, question(probe))
    rows = controlled(table, probe, program="P")
    copies = rows[rows.role.isin(["redrawn", "shuffled"])]
    assert sorted(zip(copies.role, copy_numbers(copies), strict=True)) == sorted(
        (name.split("_")[0], int(name.split("_")[1])) for name in COPIES
    )
    assert len(rows_of(rows, role="subject")) == 1
    assert rows.evaluable.all()
    assert not table.duplicated(evidence.KEYS).any()


def copy_numbers(rows):
    return rows["copy"].tolist()


@pytest.mark.parametrize("probe", PROBES)
def test_the_rows_of_a_copy_are_those_of_the_same_question_put_to_it(probe):
    """The slow way: the copy as if it were the model, named by its role; the draws are the model's own."""
    question_ = question(probe)
    table, inputs = run_test(probe, question_), question_.inputs
    for name, other in (("shuffled_2", "shuffled_3"), ("redrawn_3", "redrawn_1")):
        alone = to_test(
            probe,
            subject(inputs.subject.measurement.sel(variant=name, drop=True), inputs.subject.strength),
            PROGRAMS,
            inputs.reference and subject(inputs.reference.measurement.sel(variant=other, drop=True)),
            settings=inputs.settings, panels=inputs.panels, cells=inputs.cells, comparison=inputs.comparison,
        ).as_role(name.split("_")[0], int(name.split("_")[1]))  # fmt: skip
        expected = evidence.frame(ask(probe, alone))
        found = table[(table.role == name.split("_")[0]) & (table["copy"] == int(name[-1]))]
        pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)
        assert len(expected)


@pytest.mark.parametrize("probe", PROBES)
def test_cascades_are_copies_under_a_name_of_their_own(probe):
    table = run_test(probe, question(probe))
    start = declared(probe).compared_in
    for name in CASCADES:
        rows = rows_of(table, statistic=f"{start}_{name}", program="P")
        assert rows.role.tolist() == ["redrawn"]
        assert rows["copy"].tolist() == [0]


@pytest.mark.parametrize("probe", PROBES)
def test_planted_models_become_rows_of_their_own_role(probe):
    pushes = {"planted": 4.0, "lookup": 0.0, "covariation": 0.0, "additive": 0.0}
    derived = variants(probe, pushes, seed=20)
    other = variants(probe, pushes, seed=70) if probe == "knockout" else None
    table = run_test(probe, question(probe, derived=derived, reference_derived=other))
    rows = controlled(table, probe, program="P").set_index("role")
    assert set(pushes) <= set(rows.index)
    assert rows.p["planted"] < 0.05
    assert rows.p["planted"] < rows.p["lookup"]
    found = evidence.with_q(table, declared(probe).primary, declared(probe).compared_in)
    assert controlled(found, probe, role="planted").q.notna().all()
    alone = run_test(probe, question(probe))
    mine, without = (each[each.role == "subject"].reset_index(drop=True) for each in (table, alone))
    pd.testing.assert_frame_equal(mine, without)  # what stands beside a model changes nothing of its own


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("exceeds", [True, False])
def test_a_model_is_told_from_its_copies(probe, exceeds):
    pushes = beside(3.0, 0.0) if exceeds else beside(0.0, 4.0)
    more = {"reference": variants(probe, pushes, seed=50)} if probe == "knockout" else {}
    table = run_test(probe, question(probe, measurement=variants(probe, pushes), **more))
    row = rows_of(table, role="subject", statistic=declared(probe).primary, program="P", adjustment="centred")
    assert (row.excess_redrawn > 0).tolist() == [exceeds]
    assert (row.excess_redrawn_low > 0).tolist() == [exceeds]


def test_copies_are_given_fewer_permutations_and_planted_models_as_many(monkeypatch):
    monkeypatch.setattr(testing, "COPY_PERMUTATIONS", 49)
    derived = variants("pert_embedding", dict.fromkeys(DERIVED, 0.0), seed=20)
    table = run_test("pert_embedding", asked("pert_embedding", derived=derived, permutations=199))
    draws = table[table.evaluable].groupby("role").n_permutations.min().to_dict()
    assert draws == {"subject": 199, "redrawn": 49, "shuffled": 49, **dict.fromkeys(DERIVED, 199)}
    assert COPY_PERMUTATIONS >= 499


def pairs_compared(monkeypatch, shared):
    """Return the copies of a pair that were compared, by what is left on the axis `variant` of both."""
    ours, theirs = (variants("pert_embedding", beside(), seed) for seed in (0, 50))
    for each in (ours, theirs):
        each["who"] = ("variant", each.variant.values)
    seen = []

    def spy(inputs):
        seen.append((str(inputs.subject.measurement.who.values), str(inputs.reference.measurement.who.values)))
        return iter(())

    monkeypatch.setattr(load_probe("pert_embedding"), "questions", spy)
    run_test("pert_embedding", asked("pert_embedding", ours, reference=theirs, pair="regimes",
                                     shared_initialisation=shared))  # fmt: skip
    return seen[1:]  # the models themselves are asked first


def test_copies_of_a_pair_have_a_common_seed_only_where_the_models_share_their_initialisation(monkeypatch):
    common = pairs_compared(monkeypatch, shared=0.9)
    assert common == [(name, name) for name in [*COPIES, *CASCADES]]
    apart = dict(pairs_compared(monkeypatch, shared=0.1))
    assert apart["redrawn_1"] == "redrawn_2"
    assert apart["shuffled_3"] == "shuffled_1"
    assert all(apart[name] != name for name in COPIES)


def agreement_row(push_of_copies, shared, statistic="agreement"):
    """Return the knock-out agreement of two models whose copies agree by `push_of_copies`, and the model's by 3."""
    ours, theirs = (variants("knockout", beside(3.0, push_of_copies), seed) for seed in (0, 50))
    table = run_test("knockout", asked("knockout", ours, reference=theirs, pair="contexts",
                                       shared_initialisation=shared))  # fmt: skip
    return rows_of(table, statistic=statistic, role="subject").iloc[0]


def test_first_order_agreement_with_a_shared_initialisation_must_exceed_its_copies():
    row = agreement_row(push_of_copies=30.0, shared=0.9)
    assert not row.evaluable
    assert not row.excess_redrawn_low > 0
    assert "first-order agreement can show the seed" in row.reason
    assert row.estimate > 0.3
    clear = agreement_row(push_of_copies=0.0, shared=0.9)
    assert clear.evaluable
    assert clear.excess_redrawn_low > 0
    assert "first-order agreement can show the seed" in clear.reason
    assert agreement_row(push_of_copies=30.0, shared=0.1).evaluable


def test_first_order_agreement_with_a_shared_initialisation_and_no_copies_is_left_open():
    ours, theirs = (variants("knockout", {"subject": 3.0}, seed) for seed in (0, 50))
    table = run_test("knockout", asked("knockout", ours, reference=theirs, pair="contexts", shared_initialisation=0.9))
    rows = rows_of(table, role="subject")
    assert set(rows.statistic) == {"agreement", "agreement_all_genes"}
    assert not rows.evaluable.any()
    assert not agreement_row(0.0, 0.9, "agreement_all_genes").evaluable  # which copies are not asked


def test_second_order_agreement_survives_a_shared_seed():
    table = run_test("pert_embedding", asked("pert_embedding", pair="regimes", shared_initialisation=0.9))
    row = rows_of(table, statistic="consistency", role="subject").iloc[0]
    assert row.evaluable
    assert pd.notna(row.excess_redrawn)


@pytest.mark.parametrize("probe", PROBES)
def test_the_quality_gate_is_a_note_that_hides_no_number(probe):
    table = run_test(probe, question(probe, quality={"P": GATE}))
    plain = run_test(probe, question(probe))
    mine = (table.role == "subject") & (table.program == "P") & plain.evaluable
    assert table[mine].reason.str.contains(GATE, regex=False).all()
    assert table[mine].evaluable.all()
    pd.testing.assert_frame_equal(table[~mine], plain[~mine])  # other programs, and the controls, stand
    numbers = ["estimate", "p", "excess_redrawn"]
    pd.testing.assert_frame_equal(table[numbers], plain[numbers])


def test_a_question_that_could_not_be_put_keeps_its_own_reason():
    given = asked("knockout", pair="contexts", quality={"few": GATE})
    few = TestCase(to_test("knockout", given.inputs.subject, {"few": ["p00", "z"]}, given.inputs.reference,
                           cells=given.inputs.cells, comparison="contexts"), quality={"few": GATE})  # fmt: skip
    row = rows_of(run_test("knockout", few), role="subject", program="few").iloc[0]
    assert row.reason == "1 knocked-out genes of the program, 3 needed"


@pytest.mark.parametrize("probe", PROBES)
def test_a_row_says_why_it_has_no_architecture_null(probe):
    note = "no architecture null: model cannot be re-drawn: it has no redraw"
    alone = variants(probe, {"subject": 3.0}).assign_attrs({COPIES_NOTE: note})
    more = {"reference": alone} if probe == "knockout" else {}
    table = run_test(probe, question(probe, measurement=alone, **more))
    primary = (table.statistic == declared(probe).primary) & table.evaluable
    assert table[primary].reason.str.count(note).tolist() == [1] * primary.sum()  # once, though both of a pair say it
    assert not table[~primary].reason.str.contains(note).any()
    assert table.excess_redrawn.isna().all()


def observed_of(push, seed=30):
    """Return observed responses in which P is as coherent as `push` says, and co-expression that knows nothing."""
    genes = [*NAMES, "a", "b", "c", "d"]
    rng = np.random.default_rng(seed)
    shift = rng.normal(size=(len(NAMES), len(genes)))
    shift[:5] += push * rng.normal(size=len(genes))
    r = np.corrcoef(rng.normal(size=(len(genes), 40)))
    return xr.Dataset(
        {"delta_y": (("perturbation", "gene"), shift), "correlation": (("input_gene", "input_gene_b"), r)},
        {"perturbation": NAMES, "gene": genes, "input_gene": genes, "input_gene_b": genes},
    )


@pytest.mark.parametrize("probe", PROBES)
def test_reference_rows_stand_beside_every_representation_and_causal_row(probe):
    given = question(probe)
    for side in filter(None, (given.inputs.subject, given.inputs.reference)):
        object.__setattr__(side, "observed", observed_of(4.0))
    table = run_test(probe, given)
    primary = rows_of(table, statistic=declared(probe).primary, adjustment="centred")
    programs = {"P"} if probe == "targeted_jacobian" else {"P", "Q"}
    for role in ("observed", "coexpression"):
        rows = rows_of(primary, role=role)
        assert set(rows.program) == programs
        assert rows.evaluable.all()
        assert rows[["excess_redrawn", "excess_rivals"]].isna().all(axis=None)
    mine = rows_of(primary, role="subject")
    assert mine[mine.evaluable][["excess_rivals", "excess_rivals_low"]].notna().all(axis=None)


@pytest.mark.parametrize("probe", PROBES)
def test_without_observed_responses_nothing_is_compared_with_them(probe):
    table = run_test(probe, question(probe))
    assert not set(table.role) & {"observed", "coexpression"}
    assert table.excess_rivals.isna().all()
