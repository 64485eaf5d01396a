"""regime_agreement: does the zero-shot model answer perturbations as the few-shot model does?"""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tiny import rows_of, subject, to_test

from pertprobe import evidence
from pertprobe.data.programs import Programs
from pertprobe.plots import DrawInputs
from pertprobe.probes import regime_agreement
from pertprobe.probes.base import Subject, TableInputs
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.stages.decomposition import decomposition, mean_r
from pertprobe.stages.testing import TestCase, run_test

NAMES = [f"p{i:02d}" for i in range(40)]
GENES = [*NAMES[:10], *(f"g{i:02d}" for i in range(30))]
PROGRAMS = {"alike": NAMES[:8], "apart": NAMES[10:18], "against": NAMES[20:28], "few": [NAMES[0], "absent"]}
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0)]
INTEREST = {"d": 1, "power": 0.8}
STRENGTH = dict(zip(NAMES, np.random.default_rng(7).lognormal(size=40), strict=True))


def sets_of(values, noise=0.3, sets=4, names=NAMES, seed=9):
    """Return a measurement of responses [perturbation, gene] with noise of its own in every cell set."""
    drawn = values + noise * np.random.default_rng(seed).normal(size=(sets, *values.shape))
    dims = ("set", "perturbation", "gene")
    array = xr.DataArray(drawn, dims=dims, coords={"perturbation": list(names), "gene": GENES})
    return xr.Dataset({"delta_y": array}).expand_dims(variant=["subject"])


def responses(seed=0):
    """Return few-shot and zero-shot responses: one program agrees, one does not, one is turned around."""
    rng = np.random.default_rng(seed)
    ours, theirs = rng.normal(size=(2, 40, 40))
    theirs[:8] = ours[:8] + 0.5 * theirs[:8]
    theirs[20:28] = -ours[20:28] + 0.5 * theirs[20:28]
    return ours, theirs


def asking(ours, theirs, never=(), noise=0.3, sets=4, **more):
    both = [subject(sets_of(each, noise, sets, seed=seed), STRENGTH, never) for seed, each in ((9, ours), (10, theirs))]
    given = {"settings": {"partners": []}, "permutations": 999, "comparison": "regimes", **more}
    return to_test("regime_agreement", both[0], PROGRAMS, both[1], **given)


def asked(*args, **more):
    return evidence.frame(ask("regime_agreement", asking(*args, **more)))


def row_of(table, program, statistic="agreement", adjustment="centred"):
    return rows_of(table, statistic=statistic, program=program, adjustment=adjustment).iloc[0]


def test_programs_that_agree_are_found_and_those_that_do_not_are_not():
    table = asked(*responses())
    assert row_of(table, "alike").p < 0.01
    assert row_of(table, "alike").effect > 0.5
    assert row_of(table, "apart").p > 0.05
    assert row_of(table, "against").p > 0.9
    assert row_of(table, "against", "anticorrelation").p < 0.01
    assert row_of(table, "alike", "anticorrelation").p > 0.9
    assert row_of(table, "alike", adjustment="raw").p < 0.01
    assert row_of(table, "few").reason == "1 shared perturbations of the program, 3 needed"
    assert row_of(table, "alike").ci_low < row_of(table, "alike").estimate < row_of(table, "alike").ci_high


def test_the_published_r_is_that_of_raw_means():
    ours, theirs = responses()
    row = row_of(asked(ours, theirs, noise=0.0), "alike")
    assert row.estimate_published == pytest.approx(np.mean([np.corrcoef(ours[i], theirs[i])[0, 1] for i in range(8)]))


def test_r_is_never_read_on_the_same_cells():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(4, 40, 40))  # noise of the cells, the same in both models; nothing else is there
    noise = xr.Dataset({"delta_y": (("set", "perturbation", "gene"), shared)}, {"perturbation": NAMES, "gene": GENES})
    sides = regime_agreement.shared(subject(noise), subject(noise))
    assert abs(np.diagonal(regime_agreement.crossed(sides)).mean()) < 0.1
    assert regime_agreement.published(sides).min() > 0.99


def test_a_knocked_gene_has_no_say_in_its_own_perturbations_agreement():
    ours, theirs = responses()
    ours[np.arange(10), np.arange(10)] -= 50.0
    theirs[np.arange(10), np.arange(10)] -= 50.0
    sides = regime_agreement.shared(*(subject(sets_of(each, 0.0)) for each in (ours, theirs)))
    plain = regime_agreement.shared(*(subject(sets_of(each, 0.0)) for each in responses()))
    found, expected = (np.diagonal(regime_agreement.crossed(each, "raw")) for each in (sides, plain))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_ceiling_takes_the_cells_noise_away():
    ours, theirs = responses()
    clear, noisy = (row_of(asked(ours, theirs, noise=noise), "alike") for noise in (0.0, 1.0))
    assert clear.ceiling == pytest.approx(1.0)
    assert noisy.ceiling < 0.7
    assert noisy.disattenuated == pytest.approx(clear.disattenuated, abs=0.15)


def test_one_cell_set_cannot_answer():
    table = asked(*responses(), sets=1)
    assert not table[table.statistic != "gained"].evaluable.any()
    assert regime_agreement.ONE_SET in set(table.reason)


def test_what_the_few_shot_model_alone_holds_together_is_gained():
    ours, theirs = responses()
    ours[10:18] += 3 * np.random.default_rng(4).normal(size=40)
    table = asked(ours, theirs)
    assert row_of(table, "apart", "gained").p_stratified < 0.01
    assert row_of(table, "alike", "gained").p_stratified > 0.05


def test_all_perturbations_together_are_one_row():
    row = row_of(asked(*responses()), "", "agreement_all")
    assert (row.n, row.program) == (40, "")
    assert row.ceiling > 0.8


def test_a_model_without_a_partner_says_so_and_one_with_a_partner_answers_in_the_pair():
    alone = to_test("regime_agreement", subject(sets_of(responses()[0])), PROGRAMS, settings={"partners": []})
    rows = list(ask("regime_agreement", alone))
    assert [row["program"] for row in rows] == list(PROGRAMS)
    assert {row["reason"] for row in rows} == {regime_agreement.NO_PARTNER}
    paired = to_test("regime_agreement", subject(sets_of(responses()[0])), PROGRAMS, settings={"partners": ["b"]})
    contexts = asking(*responses(), comparison="contexts")
    for inputs in (paired, contexts, contexts.as_role("redrawn"), alone.as_role("redrawn")):
        assert list(ask("regime_agreement", inputs)) == []


def test_models_that_share_an_initialisation_are_not_judged():
    table = run_test("regime_agreement", TestCase(asking(*responses(), shared_initialisation=0.9)))
    mine = rows_of(table, role="subject", statistic="agreement")
    assert not mine.evaluable.any()
    assert row_of(mine, "alike").p < 0.01
    assert "share an initialisation" in row_of(mine, "alike").reason


def test_the_observed_responses_of_two_halves_of_the_cells_stand_beside():
    ours, theirs = responses()
    halves = np.stack([ours, ours]) + 0.5 * np.random.default_rng(1).normal(size=(2, 40, 40))
    halves[0, 39] = np.nan
    observed = xr.Dataset({"delta_y_half": (("half", "perturbation", "gene"), halves)},
                          {"perturbation": NAMES, "gene": GENES})  # fmt: skip
    inputs = asking(ours, theirs)
    one = inputs.subject
    seen = Subject(one.measurement, one.strength, one.seen, observed)
    given = to_test("regime_agreement", seen, PROGRAMS, inputs.reference, comparison="regimes")
    table = rows_of(evidence.frame(ask("regime_agreement", given)), role="observed")
    assert set(table.statistic) == {"agreement"}
    assert (row_of(table, "apart").n_background, row_of(table, "apart").p < 0.05) == (39, True)


def tables(sets=4):
    subjects = {
        name: subject(sets_of(each, sets=sets, seed=i), STRENGTH)
        for i, (name, each) in enumerate(zip("ab", responses(), strict=True))
    }
    inputs = TableInputs(subjects, Programs(PROGRAMS), {}, [("a", "b")])
    return regime_agreement.tables(inputs)["perturbations"]


def test_every_perturbation_has_its_agreement_in_a_table():
    table = tables().set_index("perturbation")
    assert list(tables().columns) == declared("regime_agreement").tables["names"]["perturbations"]
    assert table.r[NAMES[:8]].min() > 0.5 > 0.2 > abs(table.r_partners).max()
    assert table.r[NAMES[20:28]].max() < -0.5
    np.testing.assert_allclose(table.disattenuated[NAMES[0]], table.r[NAMES[0]] / table.ceiling[NAMES[0]], atol=0.15)
    assert tables(sets=1).r.isna().all()


def decomposed(rows=None):
    table = asked(*responses()) if rows is None else rows
    table = table.assign(model="a", reference="b")
    return decomposition(table, mean_r(tables(), PROGRAMS), CONDITIONS, INTEREST).set_index("program")


def test_the_decomposition_names_what_passes():
    table = decomposed()
    assert table.reading[["alike", "against"]].to_dict() == {"alike": "backbone", "against": "anti-correlated"}
    assert table.backbone["alike"] == "pass"
    assert table.reading["apart"] in ("none", "not evaluable")
    assert table.reading["few"] == "not evaluable"
    assert "1 shared perturbations" in table.reason["few"]
    assert table.r["alike"] - table.r_partners["alike"] == pytest.approx(row_of(asked(*responses()), "alike").estimate)


def test_what_agrees_less_than_others_but_positively_is_not_anti_correlated():
    table = asked(*responses()).assign(model="a", reference="b")
    found = decomposition(table, {("a", "b", "against"): 0.1}, CONDITIONS, INTEREST).set_index("program")
    assert found.anti_correlated["against"] == "fail"
    assert "anti-correlated: the mean r is not negative" in found.reason["against"]


def test_the_figure_shows_perturbations_and_programs_or_says_why_not():
    rows = asked(*responses()).assign(model="a", reference="b")
    figure = regime_agreement.draw(DrawInputs(rows, {}, Programs(PROGRAMS), {}, {"perturbations": tables()})).figure
    assert figure.axes[0].get_title("left") == "a vs b"
    assert "alike (8)" in [label.get_text() for label in figure.axes[1].get_yticklabels()]
    empty = pd.DataFrame(columns=declared("regime_agreement").tables["names"]["perturbations"])
    nothing = regime_agreement.draw(DrawInputs(rows, {}, Programs(PROGRAMS), {}, {"perturbations": empty})).figure
    assert "Nothing could be tested" in nothing.axes[0].texts[0].get_text()
