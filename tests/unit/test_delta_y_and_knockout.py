"""Shifts: of a perturbation, and of a silenced gene."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import spearmanr
from tiny import GENES, MeanShift, cell_sets, profiles, random_state, rows_of, subject, to_measure, to_test

from pertprobe import evidence
from pertprobe.data.programs import Programs
from pertprobe.errors import PertprobeError
from pertprobe.interpret.knockouts import knocked_out
from pertprobe.models.state.architecture import GeneDecoder
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel
from pertprobe.probes import delta_y, knockout, knockout_questions
from pertprobe.probes.base import TableInputs, averaged
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask

SETTINGS = {"genes": "all", "by": "expression", "value": "zero", "perturbation": "control"}
MANY = [f"k{i:02d}" for i in range(40)]
OUTPUTS = [f"o{i:02d}" for i in range(30)]


def shifts(model, cells=None, names=GENES, given=None, **settings):
    inputs = to_measure(model, cells or cell_sets(), settings={**SETTINGS, **settings}, **(given or {}))
    with torch.no_grad():
        return knockout.measure(inputs, list(names))["shift"]


def random_profiles(seed, names=MANY, outputs=OUTPUTS, **attrs):
    values = np.random.default_rng(seed).normal(size=(len(names), len(outputs)))
    return profiles("shift", values, names, outputs, feature="gene", **attrs)


def agreement(ours, theirs, programs=None, names=MANY, **more):
    given = {"comparison": "contexts", "cells": cell_sets(genes=tuple(names)), **more}
    programs = {"P": names[:5]} if programs is None else programs
    inputs = to_test("knockout", subject(ours), programs, reference=subject(theirs), **given)
    return rows_of(evidence.frame(ask("knockout", inputs)), role="subject")


def test_delta_y_is_the_mean_response_less_that_to_the_control():
    model, cells = random_state(), cell_sets()
    with torch.no_grad():
        found = delta_y.measure(to_measure(model, cells), ["g01", "x1"]).delta_y
        expected = model.predict(cells.values, "x1", cells.batches) - model.predict(cells.values, "ctrl", cells.batches)
    np.testing.assert_allclose(found.sel(perturbation="x1"), expected.mean(-2))
    assert found.gene.values.tolist() == list(GENES)


def test_strength_is_the_norm_of_the_mean_shift():
    measured = profiles("delta_y", np.array([[3.0, 4.0], [0.0, 0.0]]), ["x1", "x2"], ["a", "b"], feature="gene")
    assert delta_y.strength(measured).to_dict() == {"x1": 5.0, "x2": 0.0}


def test_an_embedding_model_has_a_delta_y_of_the_genes_it_decodes():
    base = random_state(embed_key="X_emb", gene_decoder=GeneDecoder((6,), 3, False))
    model = StateModel(
        base.architecture, initial_parameters(base.architecture, 0), genes=[f"X_emb_{i}" for i in range(12)],
        output_genes=("a", "b", "c"), perturbations=base.perturbations,
        perturbation_features=base.perturbation_features, control="ctrl", batches=base.batches,
    )  # fmt: skip
    with torch.no_grad():
        found = delta_y.measure(to_measure(model, cell_sets(genes=model.genes)), ["x1"]).delta_y
    assert found.gene.values.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("value", ["zero", "mean"])
def test_a_gene_that_no_cell_expresses_has_no_shift(value):
    found = shifts(random_state(), cell_sets(silent=["g03"]), value=value)
    assert (found.sel(perturbation="g03") == 0).all()
    assert (found.sel(perturbation="g04") != 0).any()


def test_silencing_changes_one_gene_of_a_copy():
    values = cell_sets().values
    before = values.copy()
    zero, mean = (knocked_out(values, 4, value) for value in ("zero", "mean"))
    np.testing.assert_array_equal(values, before)
    others = np.arange(len(GENES)) != 4
    for edited in (zero, mean):
        np.testing.assert_array_equal(edited[..., others], values[..., others])
    assert (zero[..., 4] == 0).all()
    np.testing.assert_allclose(mean.mean(1), values.mean(1), rtol=1e-6)
    assert np.ptp(mean[..., 4], axis=1).max() == 0


def observed_levels(**left):
    return xr.Dataset({"left": ("perturbation", list(left.values()))}, {"perturbation": list(left)})


LEFT = {"g01": 0.25, "g04": 0.0, "g07": 1.0, "g02": np.nan, "x1": np.nan}


@pytest.mark.parametrize("model", [random_state(), MeanShift()])
def test_the_observed_level_is_a_share_of_what_each_cell_has(model):
    cells, names = cell_sets(), ["g01", "g04", "g07"]
    found = shifts(model, cells, names, {"observed": observed_levels(**LEFT)}, value="observed")
    with torch.no_grad():
        before = model.predict(cells.values, "ctrl", cells.batches).mean(-2)
        for name in names:
            edited = cells.values.copy()
            edited[..., GENES.index(name)] *= LEFT[name]
            slow = model.predict(edited, "ctrl", cells.batches).mean(-2) - before
            np.testing.assert_allclose(found.sel(perturbation=name), slow, atol=1e-6)
    assert (found.sel(perturbation="g07") == 0).all()
    zero = shifts(model, cells, names).sel(perturbation="g04")
    np.testing.assert_allclose(found.sel(perturbation="g04"), zero, atol=1e-12)


def test_a_model_without_stages_is_asked_the_same_of_observed_levels():
    class Whole(MeanShift):
        capabilities = frozenset({"predict", "gene_space"})

    given = {"observed": observed_levels(**LEFT)}, ["g01", "g04"]
    found, expected = (shifts(model, None, given[1], given[0], value="observed") for model in (Whole(), MeanShift()))
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_genes_without_an_observed_level_are_left_out_and_counted():
    settings = {**SETTINGS, "genes": ["g01", "g02", "g04", "g05"], "value": "observed"}
    asked = to_measure(random_state(), settings=settings, observed=observed_levels(**LEFT))
    assert knockout.units(asked) == ["g01", "g04"]
    with torch.no_grad():
        made = knockout.measure(asked, ["g01"])
    said = "genes are silenced to what their knock-down leaves of them (median share 0.12 in here); 2 without such a"
    assert made.attrs["silenced"].startswith(said)
    assert "silenced" not in knockout.measure(to_measure(MeanShift(), settings=SETTINGS), ["g01"]).attrs


@pytest.mark.parametrize("statistic", ["agreement", "agreement_all_genes"])
def test_rows_say_what_genes_were_silenced_to(statistic):
    ours, theirs = (random_profiles(0, silenced=f"genes are silenced to their {what}") for what in ("mean", "level"))
    row = rows_of(agreement(ours, theirs), statistic=statistic).iloc[0]
    assert "genes are silenced to their mean; genes are silenced to their level" in row.reason
    assert "silenced" not in rows_of(agreement(random_profiles(0), random_profiles(0))).iloc[0].reason


def test_under_the_mean_shift_a_knockout_takes_away_the_expression():
    cells = cell_sets()
    found = shifts(MeanShift(), cells)
    expected = -np.einsum("sg,gh->sgh", cells.values.mean(1, dtype=np.float64), np.eye(len(GENES)))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(shifts(MeanShift(), cells, value="mean"), 0.0, atol=1e-7)


def test_the_control_stands_for_the_models_own_label():
    model = random_state()
    np.testing.assert_array_equal(shifts(model), shifts(model, perturbation="ctrl"))
    assert not np.array_equal(shifts(model), shifts(model, perturbation="x1"))


def test_the_most_expressed_genes_over_all_contexts_are_knocked_out():
    high, other = cell_sets(), cell_sets(genes=GENES[::-1], seed=1)
    high.values[..., GENES.index("g07")] += 5
    other.values[..., GENES[::-1].index("g02")] += 5
    inputs = to_measure(MeanShift(), high, settings={**SETTINGS, "genes": 2}, contexts=(high, other))
    assert knockout.units(inputs) == ["g02", "g07"]


def test_names_break_ties_of_expression():
    cells = cell_sets()
    cells.values[:] = 1.0
    inputs = to_measure(MeanShift(), cells, settings={**SETTINGS, "genes": 3}, contexts=(cells,))
    assert knockout.units(inputs) == ["g00", "g01", "g02"]


def test_genes_can_be_listed_or_all():
    listed = to_measure(MeanShift(), settings={**SETTINGS, "genes": ["g05", "g01", "g03"]})
    assert knockout.units(listed) == ["g01", "g03", "g05"]
    assert knockout.units(to_measure(MeanShift(), settings=SETTINGS)) == list(GENES)
    wrong = to_measure(MeanShift(), settings={**SETTINGS, "genes": ["g05", "nope"]})
    with pytest.raises(PertprobeError, match=r"not among the model's genes: nope\."):
        knockout.units(wrong)


def test_a_model_agrees_with_itself_at_one():
    table = agreement(random_profiles(0), random_profiles(0))
    asked = rows_of(table, statistic="agreement").iloc[0]
    assert asked.estimate_published == pytest.approx(1.0)
    assert asked.effect > 0.5
    assert asked.p < 0.05
    assert asked.n == 5
    assert rows_of(table, statistic="agreement_all_genes").iloc[0].estimate_published == pytest.approx(1.0)


def test_unrelated_models_do_not_agree():
    asked = rows_of(agreement(random_profiles(0), random_profiles(1)), statistic="agreement").iloc[0]
    assert abs(asked.estimate_published) < 0.3
    assert asked.p > 0.05


def test_profiles_are_correlated_without_their_own_outputs():
    names = ["a", "b", "not_an_output"]
    outputs = ["a", "b", *(f"o{i}" for i in range(6))]
    ours, theirs = (averaged(random_profiles(seed, names, outputs), "shift") for seed in (0, 1))
    found = knockout_questions.correlations(ours, theirs, left_out=[7])
    for i, first in enumerate(ours.perturbation.values):
        for j, second in enumerate(theirs.perturbation.values):
            kept = [place for place, name in enumerate(outputs[:7]) if name not in (first, second)]
            assert found[i, j] == pytest.approx(spearmanr(ours.values[i, kept], theirs.values[j, kept]).statistic)


def test_the_knocked_gene_and_the_program_do_not_make_an_agreement():
    """Both models only lower the gene itself and the program's members, which no correlation may rest on."""
    names = [*MANY[:20]]
    rng = np.random.default_rng(0)
    ours, theirs = (1e-3 * rng.normal(size=(20, 20)) - 10 * np.eye(20) for _ in range(2))
    ours[:, :5], theirs[:, :5] = -5.0, -5.0
    table = agreement(*(profiles("shift", x, names, names, feature="gene") for x in (ours, theirs)), names=names)
    assert abs(rows_of(table, statistic="agreement").iloc[0].estimate_published) < 0.4


def test_constant_profiles_are_counted_and_left_out():
    ours = random_profiles(0)
    ours["shift"].loc[{"perturbation": "k01"}] = 0.0
    asked = rows_of(agreement(ours, random_profiles(0)), statistic="agreement").iloc[0]
    assert asked.n == 4
    assert "1 constant profiles left out" in asked.reason


def test_genes_and_outputs_in_common_are_compared():
    ours, theirs = random_profiles(0), random_profiles(0).isel(perturbation=slice(None, None, -1), gene=slice(3, None))
    theirs = theirs.isel(perturbation=slice(0, 38))  # reversed: without k00 and k01
    asked = rows_of(agreement(ours, theirs), statistic="agreement").iloc[0]
    assert asked.n == 3
    assert asked.estimate_published == pytest.approx(1.0)


def test_agreement_of_models_that_share_their_initialisation_says_so():
    table = agreement(random_profiles(0), random_profiles(0), shared_initialisation=0.9)
    asked = rows_of(table, statistic="agreement").iloc[0]
    assert "share an initialisation" in asked.reason  # whether it is an answer is decided beside its copies: testing.py
    assert asked.estimate_published == pytest.approx(1.0)


def test_agreement_of_models_that_learned_from_the_same_cells_says_so():
    table = agreement(random_profiles(0), random_profiles(0), shared_training=["a", "b"])
    assert table.reason.str.contains("both models were trained on cells of a, b: first-order agreement").all()
    assert table.evaluable.all()
    inputs = to_test("knockout", subject(random_profiles(0)), {"P": MANY[:5]}, subject(random_profiles(0)),
                     cells=cell_sets(genes=tuple(MANY)), shared_training=["a", "b"])  # fmt: skip
    copy = evidence.frame(ask("knockout", inputs.as_role("redrawn", 1)))
    assert not copy.reason.str.contains("trained on cells").any()


def noisy(seed, truth, sd, sets=4):
    """Return profiles of `truth` [gene, output] with sampling noise of its own in every cell set."""
    noise = sd * np.random.default_rng(seed).normal(size=(sets, *truth.shape))
    array = xr.DataArray(truth + noise, dims=("set", "perturbation", "gene"),
                         coords={"perturbation": MANY, "gene": OUTPUTS})  # fmt: skip
    return xr.Dataset({"shift": array})


def test_every_agreement_has_a_noise_ceiling_from_its_cell_sets():
    truth = np.random.default_rng(0).normal(size=(len(MANY), len(OUTPUTS)))
    table = agreement(noisy(1, truth, 0.7), noisy(2, truth, 0.7), {"P": MANY[:8]})
    rows = rows_of(table, role="subject")
    assert set(rows.statistic) == {"agreement", "agreement_all_genes"}
    assert rows.ceiling.between(0.5, 0.95).all()
    assert rows.disattenuated.between(0.85, 1.15).all()  # the truth is the same: below 1 by noise alone
    assert (rows.ceiling < 0.95).all()
    assert rows.reason.str.contains("ceiling: control-cell sampling only").all()
    clear = rows_of(agreement(noisy(1, truth, 0.01), noisy(2, truth, 0.01)), statistic="agreement").iloc[0]
    assert clear.ceiling > 0.99


def test_one_cell_set_has_no_ceiling_and_says_so():
    truth = np.random.default_rng(0).normal(size=(len(MANY), len(OUTPUTS)))
    rows = agreement(noisy(1, truth, 0.5, sets=1), noisy(2, truth, 0.5))
    assert rows.ceiling.isna().all()
    assert rows[rows.evaluable].reason.str.contains("no noise ceiling: one cell set").all()


def test_only_the_models_own_rows_have_a_ceiling():
    measured = subject(random_profiles(0))
    inputs = to_test("knockout", measured, {"P": MANY[:5]}, measured, comparison="contexts",
                     cells=cell_sets(genes=tuple(MANY)))  # fmt: skip
    copy = evidence.frame(ask("knockout", inputs.as_role("redrawn", 1)))
    own = rows_of(evidence.frame(ask("knockout", inputs)), statistic="agreement")
    assert copy.ceiling.isna().all()
    assert own.ceiling.notna().all()
    numbers = ["estimate", "null_mean", "null_sd", "p"]
    np.testing.assert_array_equal(copy[numbers], own[numbers])


def observed_of(shift, correlation, genes):
    return xr.Dataset(
        {"delta_y": (("perturbation", "gene"), shift), "correlation": (("input_gene", "input_gene_b"), correlation)},
        {"perturbation": MANY, "gene": OUTPUTS, "input_gene": genes, "input_gene_b": genes},
    )


def references(first, second, programs=None, comparison="contexts"):
    sides = [replace(subject(random_profiles(seed)), observed=each) for seed, each in ((0, first), (1, second))]
    inputs = to_test("knockout", sides[0], programs or {"P": MANY[:8]}, sides[1], comparison=comparison,
                     cells=cell_sets(genes=tuple(MANY)))  # fmt: skip
    table = evidence.frame(ask("knockout", inputs))
    return table[table.role != "subject"].set_index("role")


def both_sides(seed, same_shift, same_correlation):
    """Return observed data of two contexts that agree in what is asked for, and are independent otherwise."""
    rng, genes = np.random.default_rng(seed), [*MANY, *OUTPUTS]
    shifts = rng.normal(size=(2, len(MANY), len(OUTPUTS)))
    cells = rng.normal(size=(2, 60, len(genes))) + 0.5 * rng.normal(size=(2, 60, 1))
    first, second = (np.corrcoef(each.T) for each in cells)
    return [observed_of(shifts[0], first, genes),
            observed_of(shifts[0 if same_shift else 1], first if same_correlation else second, genes)]  # fmt: skip


def test_reference_rows_ask_the_same_of_observed_responses_and_of_co_expression():
    shift = references(*both_sides(0, same_shift=True, same_correlation=False))
    assert shift.estimate_published["observed"] == pytest.approx(1.0)
    assert shift.p["observed"] < 0.05
    together = references(*both_sides(0, same_shift=False, same_correlation=True))
    assert together.estimate_published["coexpression"] == pytest.approx(1.0)
    assert together.p["coexpression"] < 0.05
    assert abs(together.estimate["observed"]) < 0.3
    assert set(together.statistic) == {"agreement"}
    assert set(together.unit) == {"gene"}


def test_co_expression_profiles_are_correlations_with_every_other_gene():
    one, _ = both_sides(0, same_shift=True, same_correlation=True)
    found = knockout_questions.coexpression_profiles(one, ["k03", "not measured", "k01"])
    assert found.dims == ("perturbation", "gene")
    assert found.perturbation.values.tolist() == ["k03", "k01"]
    assert found.sel(perturbation="k03", gene="o05") == one["correlation"].sel(input_gene="k03", input_gene_b="o05")


def test_references_are_asked_of_pairs_of_contexts_that_were_observed():
    sides = both_sides(0, same_shift=True, same_correlation=True)
    assert references(*sides, comparison="regimes").empty
    assert references(sides[0], None).empty
    assert references(None, None).empty
    without = [each.drop_vars("correlation") for each in sides]
    assert references(*without).index.tolist() == ["observed"]


def test_coherent_knockouts_of_one_model_are_found():
    measured = random_profiles(0)
    measured["shift"].loc[{"perturbation": MANY[:5]}] += 4 * np.random.default_rng(9).normal(size=len(OUTPUTS))
    inputs = to_test("knockout", subject(measured), {"P": MANY[:5], "random": MANY[10:15]}, permutations=999)
    table = evidence.frame(ask("knockout", inputs)).set_index("program")
    assert set(table.statistic) == {"coherence"}
    assert table.p["P"] < 0.01
    assert table.p["random"] > 0.05
    assert set(table.unit) == {"gene"}
    assert table.ci_low["P"] <= table.estimate["P"] <= table.ci_high["P"]


def test_contexts_read_in_another_space_do_not_choose_the_knocked_out_genes():
    own, embedded = cell_sets(), cell_sets(genes=("X_emb_0", "X_emb_1"))
    settings = {**SETTINGS, "genes": 3}
    alone = to_measure(MeanShift(), own, settings=settings, contexts=(own,))
    beside = to_measure(MeanShift(), own, settings=settings, contexts=(own, embedded))
    assert knockout.units(beside) == knockout.units(alone)


def test_the_table_of_genes_has_every_genes_r_with_itself_and_with_others():
    ours, theirs = random_profiles(1), random_profiles(2, MANY[5:])
    subjects = {"a": subject(ours), "b": subject(theirs), "c": subject(xr.Dataset())}
    programs = Programs({"P": MANY[:8], "Q": MANY[6:8]})
    inputs = TableInputs(subjects, programs, SETTINGS, [("a", "b"), ("a", "c")])
    found = knockout.tables(inputs)["genes"]
    assert list(found.columns) == declared("knockout").tables["names"]["genes"]
    assert found.gene.tolist() == MANY[5:]
    assert set(zip(found.model, found.reference, strict=True)) == {("a", "b")}
    mine, other = (averaged(each, "shift").sel(perturbation=MANY[5:]).values for each in (ours, theirs))
    r = spearmanr(mine, other, axis=1).statistic[: len(mine), len(mine) :]
    np.testing.assert_allclose(found.r, np.diagonal(r), atol=1e-12)
    np.testing.assert_allclose(found.r_others, (r.sum(axis=1) - np.diagonal(r)) / (len(r) - 1), atol=1e-12)
    assert found.set_index("gene").programs[MANY[5:9]].tolist() == ["P", "P;Q", "P;Q", ""]


def test_a_constant_profile_has_no_r_in_the_table_and_is_nobodys_other():
    r = np.array([[0.5, 0.1, np.nan], [0.3, 0.7, np.nan], [np.nan, np.nan, np.nan]])
    found = knockout.of_genes(r, np.array(["a", "b", "c"]), Programs({}))
    assert found.r_others.tolist()[:2] == [0.1, 0.3]
    assert found.loc[2, ["r", "r_others"]].isna().all()
