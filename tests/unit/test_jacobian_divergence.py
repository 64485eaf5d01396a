"""Whole Jacobians of two contexts: what is kept of them, what differs for all and what for a program alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import GENES, cell_sets, profiles, random_state, rows_of, subject, to_measure, to_test

from pertprobe.models.planted.closed_form import planted_models
from pertprobe.probes import jacobian_divergence as probe
from pertprobe.probes.base import NOT_EVALUABLE, TableInputs
from pertprobe.probes.declaration import declared
from pertprobe.stages.measuring import measure_derived, measure_shard
from pertprobe.stages.testing import TestCase, run_test

SETTINGS = {"perturbations": "all", "sketch": 100_000}
NAMES = [f"p{i:02d}" for i in range(60)]
PROGRAMS = {"near": NAMES[:8], "far": NAMES[8:16], "small": NAMES[:2]}
MANY = tuple(f"t{i:02d}" for i in range(40))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def measured(model, cells, **more):
    given = to_measure(model, cells, **{"settings": SETTINGS, "contexts": (cells,), **more})
    return measure_shard("jacobian_divergence", given, 0, 1)


class Whole:
    """The same model, one without linear ends."""

    def __init__(self, model):
        self.model, self.capabilities = model, model.capabilities - {"linear_ends"}

    def __getattr__(self, name):
        return getattr(self.model, name)


def explicit(model, cells, name):
    """Return d mean Y / d X at S copies of the mean cell, all moved together [n_sets, G_out, G], by torch alone."""
    X = model.tensor(cells.values).mean(-2)
    batch = torch.zeros(cells.values.shape[1], dtype=torch.long)
    code = model.encode_perturbations([name])[0]

    def mean(cell):
        copies = cell.expand(cells.values.shape[1], -1)
        encoded = model.encode_cells(copies, batch)
        return model.decode(model.mix(code, encoded), encoded, copies).mean(-2)

    with torch.enable_grad():
        return np.stack([torch.autograd.functional.jacobian(mean, cell).numpy() for cell in X])


@pytest.mark.parametrize("form", [lambda model: model, Whole], ids=["from its factors", "by reverse mode"])
def test_what_is_kept_is_the_whole_jacobian_at_the_mean_cell(form):
    model, cells = random_state(), cell_sets()
    cells.batches[:] = "b0"
    found = measured(form(model), cells)["causal_by_set"].sel(variant="subject", perturbation="x1").values
    np.testing.assert_allclose(found, explicit(model, cells, "x1").reshape(2, -1), rtol=1e-5, atol=1e-6)


def test_only_genes_that_every_context_measures_are_compared():
    cells = cell_sets()
    other = cell_sets(genes=(*GENES[:7], "z1", "z2"), context="there")
    elsewhere = cell_sets(genes=("d0", "d1"), context="embedded")
    given = to_measure(random_state(), cells, settings=SETTINGS, contexts=(cells, other, elsewhere))
    assert probe.shared_genes(given) == sorted(GENES[:7])
    found = measure_shard("jacobian_divergence", given, 0, 1)
    assert found.attrs["genes"] == 7
    part = found["causal_by_set"].sel(variant="subject", perturbation="x1").values.reshape(2, 7, 7)
    whole = measured(random_state(), cells)["causal_by_set"].sel(variant="subject", perturbation="x1").values
    np.testing.assert_allclose(part, whole.reshape(2, 12, 12)[:, :7, :7], atol=1e-6)


def test_perturbations_drawn_by_name_are_the_same_in_models_that_know_others():
    def drawn(names):
        model = type("Model", (), {"perturbations": (*names, "ctrl"), "control": "ctrl"})
        return set(probe.units(to_measure(model, settings={"perturbations": 30})))

    both = drawn(NAMES) & drawn(NAMES[:50])
    assert len(both) >= 20  # those that the one lacks are replaced, the others stay
    assert drawn(NAMES) == drawn(NAMES)


def sides(own=(), general=0.0, seed=0):
    """Return two measured models that differ by `general` under every perturbation, and by 1 more under `own`."""
    rng = np.random.default_rng(seed)
    base, shared = rng.normal(size=(2, 60, 200))
    ours = base + 5 * rng.normal(size=200)
    differ = general * shared[0] + 0.3 * rng.normal(size=(60, 200))
    differ[np.isin(NAMES, own)] += 0.5 * rng.normal(size=200)
    strength = pd.Series(rng.lognormal(0, 0.5, 60), NAMES)
    found = (profiles("causal", each, NAMES, range(200), basis="same") for each in (ours, ours + differ))
    return [subject(each.mean("set"), strength) for each in found]


def answers(ours, theirs, comparison="contexts", **more):
    asked = to_test("jacobian_divergence", ours, PROGRAMS, reference=theirs, comparison=comparison, settings=SETTINGS)
    return run_test("jacobian_divergence", TestCase(asked, **more))


def test_a_program_that_differs_is_found_and_another_is_not():
    table = answers(*sides(own=PROGRAMS["near"]))
    found = rows_of(table, statistic="own_divergence", role="subject").set_index("program")
    assert found.p_stratified["near"] < 0.01
    assert found.p_stratified["far"] > 0.05
    assert not found.evaluable["small"]
    assert found.estimate_published["near"] > 1.1
    alike = rows_of(table, statistic="coherence", role="subject").set_index("program")
    assert alike.p_stratified["near"] < 0.01 < alike.p_stratified["far"]


def test_what_differs_under_every_perturbation_belongs_to_no_program():
    table = answers(*sides(general=3.0))
    share = rows_of(table, statistic="shared_share").iloc[0]
    assert share.estimate > 0.9
    assert share.ci_low < share.estimate < share.ci_high
    assert share.program == ""
    found = rows_of(table, statistic="own_divergence", role="subject").set_index("program")
    assert (found.p_stratified[["near", "far"]] > 0.05).all()
    assert "share of the difference that all perturbations have: 0.9" in found.reason["near"]


def test_the_parts_of_the_difference_are_what_the_slow_way_finds():
    ours, theirs = sides(own=PROGRAMS["near"], general=1.0)
    a, b = (each.measurement["causal"].sel(variant="subject").values for each in (ours, theirs))
    found = probe.differences(*(each.measurement["causal"].sel(variant="subject") for each in (ours, theirs)),
                              (ours, theirs))  # fmt: skip
    scales = [np.sqrt(np.linalg.norm(a[k]) * np.linalg.norm(b[k])) for k in range(60)]
    whole = np.array([np.linalg.norm(a[k] - b[k]) / scales[k] for k in range(60)])
    mean = sum((a[k] - b[k]) / scales[k] for k in range(60)) / 60
    own = np.array([np.linalg.norm((a[k] - b[k]) / scales[k] - mean) for k in range(60)])
    np.testing.assert_allclose(found.whole, whole)
    np.testing.assert_allclose(found.own, own)
    assert probe.shared_share(found)[0] == pytest.approx(60 * (mean @ mean) / (whole**2).sum())
    cosine = [a[k] @ b[k] / (np.linalg.norm(a[k]) * np.linalg.norm(b[k])) for k in range(60)]
    np.testing.assert_allclose(found.cosine, cosine)


def test_a_model_does_not_differ_from_itself():
    ours, _ = sides()
    table = answers(ours, ours)
    found = rows_of(table, statistic="own_divergence", role="subject", program="near").iloc[0]
    assert found.estimate == 0
    assert found.p == 1


def test_jacobians_between_other_genes_are_not_comparable():
    ours, theirs = sides()
    theirs.measurement.attrs["basis"] = "another"
    table = answers(ours, theirs)
    assert not table.evaluable.any()
    assert set(table.program) == set(PROGRAMS)
    assert table.reason.str.contains("between different genes").all()


def test_scores_of_disjoint_cell_sets_say_how_reliable_they_are():
    model, other = random_state(0), random_state(1)
    both = [subject(measured(each, cell_sets(n_sets=3, seed=i))) for i, each in enumerate((model, other))]
    asked = to_test("jacobian_divergence", both[0], {"P": list(GENES[:4])}, reference=both[1], comparison="contexts")
    row = rows_of(run_test("jacobian_divergence", TestCase(asked)), statistic="own_divergence").iloc[0]
    assert "scores of disjoint cell sets correlate" in row.reason


def planted(context, d=4.0):
    """Return the models of a context, and what is measured of those that the probe plants."""
    cells = cell_sets(n_sets=2, set_size=8, genes=MANY, batches=False, context=context)
    base = planted_models(genes=MANY, perturbations=NAMES, control="ctrl", cells=cells, programs={"near": NAMES[:8]},
                          expressed=MANY, d=d)  # fmt: skip
    inputs = to_measure(None, cells, settings=SETTINGS, contexts=(cells,))
    return probe.elsewhere(base["planted"], context), cells, measure_derived("jacobian_divergence", inputs, base)


def test_a_program_that_acts_on_other_genes_in_each_context_is_found():
    both = [subject(measured(model, cells)) for model, cells, _ in (planted("here"), planted("there"))]
    row = rows_of(answers(*both), statistic="own_divergence", program="near").iloc[0]
    assert row.p_stratified < 0.05


def test_a_lookup_differs_between_contexts_alike_under_every_perturbation():
    contexts = [planted(each)[2] for each in ("here", "there")]
    assert list(contexts[0].variant.values) == ["lookup", "covariation"]
    for kind in ("lookup", "covariation"):
        both = [subject(each.sel(variant=[kind]).assign_coords(variant=["subject"])) for each in contexts]
        table = answers(*both)
        row = rows_of(table, statistic="own_divergence", program="near").iloc[0]
        assert row.estimate == 0
        assert row.p_stratified == 1
        share = rows_of(table, statistic="shared_share").iloc[0].estimate
        # Co-variation of the same cells is the same: nothing differs, and nothing has no share.
        assert share == pytest.approx(1) if kind == "lookup" else np.isnan(share)


def test_tables_set_a_program_beside_the_others():
    both = dict(zip("mr", sides(own=PROGRAMS["near"]), strict=True))
    programs = to_test("x", both["m"], PROGRAMS).programs
    found = probe.tables(TableInputs(both, programs, SETTINGS, [("m", "r")]))
    table = found["programs"].set_index("program")
    assert set(table.index) == {"near", "far"}
    assert table.ratio["near"] > 1 > table.ratio["far"]
    own = found["perturbations"].set_index("perturbation").own_divergence
    assert table.own_divergence["near"] == pytest.approx(own[PROGRAMS["near"]].mean())
    assert table.other_programs["near"] == pytest.approx(own[PROGRAMS["far"]].mean())


def test_genes_that_no_context_shares_with_the_outputs_are_said():
    model = random_state()
    model.output_genes = tuple(f"z{i}" for i in range(12))
    model.__class__ = type("Model", (model.__class__,), {"capabilities": declared("jacobian_divergence").needs})
    assert "no gene is read, written" in measured(model, cell_sets()).attrs[NOT_EVALUABLE]
