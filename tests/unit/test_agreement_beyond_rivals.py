"""Knock-out agreement beyond rivals: what two models share because they remember the same co-variation is none."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom, rankdata
from tiny import cell_sets, profiles, rows_of, subject, to_test

from pertprobe import evidence
from pertprobe.calibration import foreign
from pertprobe.calibration.families import FAMILIES, Situation, read
from pertprobe.data.networks.mechanisms import linear
from pertprobe.data.networks.screen import CONTROL, Design, simulate_screen
from pertprobe.models.known.readings import components, equations
from pertprobe.models.rivals.answers import Known, fit_rivals, rival_shifts
from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.probes.knockout_questions import beyond_rivals
from pertprobe.probes.questions import ask

NAMES = [f"o{i:02d}" for i in range(6)]
OUTPUTS = [f"o{i:02d}" for i in range(25)]


@pytest.fixture(scope="module")
def world():
    """Return a screen of one linear network in two contexts, and for each its cells, and what rivals answer there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pertprobe.models.rivals.autoencoder.STEPS", 100)
        design = Design(genes=150, regulators=60, unmeasured=8, knockdowns=40, controls=800, contexts=("a", "b"))
        screen = simulate_screen(linear, design, np.random.default_rng(1))
        known = Known(screen.values, screen.perturbations, screen.contexts, CONTROL, screen.genes)
        fitted, sides = fit_rivals(known, screen.knocked, 0), []
        for context in screen.contexts[[0, -1]]:
            cells = foreign.control_sets(screen, context)
            asked = Situation(screen, context, cells.values.reshape(-1, len(cells.genes)), 0)
            answers = rival_shifts(fitted, known, asked.cells, context)
            sides.append((asked, answers.rename(perturbation="silenced", shift="knockout"), cells))
    return screen, sides


def agreements(world, model):
    """Return the rows of all genes by statistic, of a model that is asked in both contexts."""
    screen, sides = world
    both = [profiles("shift", model(asked), screen.knocked, screen.genes, feature="gene") for asked, *_ in sides]
    given = {"cells": sides[0][2], "rivals": sides[0][1], "reference_rivals": sides[1][1], "permutations": 499}
    inputs = to_test("knockout", subject(both[0]), {"P": screen.knocked[::3]}, subject(both[1]), **given)
    return evidence.frame(ask("knockout", inputs)).set_index(["program", "statistic"])


def of_all(rows):
    return tuple(rows.loc[("", f"{name}_all_genes")] for name in ("agreement", "agreement_beyond_rivals"))


@pytest.mark.parametrize("number", [10, 15])
def test_two_models_that_each_remember_what_varies_together_agree_in_nothing_beyond(world, number):
    rows = agreements(world, lambda asked: read(asked, components(asked.controls, number)))
    plain, beyond = of_all(rows)
    assert plain.estimate > 0.5
    assert plain.p < 0.01
    assert abs(beyond.estimate) < 0.03
    assert rows.loc[("P", "agreement")].p < 0.01
    assert abs(rows.loc[("P", "agreement_beyond_rivals")].estimate) < 0.05


def test_two_models_of_a_network_that_both_contexts_have_agree_beyond(world):
    rows = agreements(world, FAMILIES["linear equations, true graph"].answers)
    plain, beyond = of_all(rows)
    assert plain.estimate > 0.5
    assert beyond.estimate > 0.25
    assert beyond.p < 0.01
    assert rows.loc[("P", "agreement_beyond_rivals")].p < 0.01
    assert beyond.ci_low < beyond.estimate < beyond.ci_high


def test_one_function_in_both_contexts_keeps_little_where_it_is_of_co_variation(world):
    """What rivals do not reach of it agrees fully, since it is the same: how much that is, is what is told apart."""
    screen, _ = world
    pooled = screen.values[screen.perturbations == CONTROL]
    parents = screen.graphs[str(screen.contexts[0])].seen_parents()
    remembered = of_all(agreements(world, lambda asked: read(asked, components(pooled, 15))))
    mechanism = of_all(agreements(world, lambda asked: read(asked, equations(pooled, parents))))
    assert remembered[0].estimate > 0.9
    assert remembered[1].estimate < 0.2
    assert mechanism[1].estimate > 2 * remembered[1].estimate


def drawn(seed, rivals=4):
    rng = np.random.default_rng(seed)
    axes = {"perturbation": NAMES, "gene": OUTPUTS}
    ours, theirs = (xr.DataArray(rng.normal(size=(6, 25)), axes) for _ in range(2))
    return (
        ours,
        theirs,
        [xr.DataArray(rng.normal(size=(2, 6, 25)), {"rival": range(2), **axes}) for _ in range(rivals // 2)],
    )


@pytest.mark.parametrize("rows", [None, np.array([1, 4])])
def test_what_rivals_leave_is_that_of_least_squares_on_ranks(rows):
    ours, theirs, rivals = drawn(0)
    left_out = [2, 20]
    found = beyond_rivals(rivals, ours, theirs, left_out, rows)
    kept = [g for g in range(25) if g not in left_out]
    for i in range(6):
        if rows is not None and i not in rows:
            assert np.isnan(found[i]).all()
            continue
        for j in range(6):
            mine = [g for g in kept if g != i]
            answers = np.concatenate([each.values[:, i] for each in rivals])
            design = np.stack([rankdata(each[mine]) for each in answers] + [np.ones(len(mine))])
            sides = [rankdata(ours.values[i, mine]), rankdata(theirs.values[j, [g for g in kept if g != j]])]
            sides = [each - each.mean() for each in sides]
            other = dict(zip([g for g in kept if g != j], sides[1], strict=True))
            pair = [sides[0], np.array([other.get(g, 0.0) for g in mine])]
            basis = np.linalg.svd((design[:-1] - design[:-1].mean(1, keepdims=True)).T, full_matrices=False)[0]
            left = [each - basis @ (basis.T @ each) for each in pair]
            if i == j:
                fitted = [each - design.T @ np.linalg.lstsq(design.T, each, rcond=None)[0] for each in pair]
                np.testing.assert_allclose(left, fitted, atol=1e-9)
            expected = left[0] @ left[1] / np.linalg.norm(pair[0]) / np.linalg.norm(pair[1])
            assert found[i, j] == pytest.approx(expected)


def test_what_rivals_answer_themselves_agrees_in_nothing():
    ours, _, rivals = drawn(1)
    same = rivals[0].isel(rival=0, drop=True)
    np.testing.assert_allclose(np.diagonal(beyond_rivals(rivals, same, same, [])), 0, atol=1e-12)
    assert (np.diagonal(beyond_rivals(rivals, ours, ours, [])) > 0.5).all()


def asked(ours, theirs, answers, **more):
    names, outputs = ours.perturbation.values, ours.gene.values
    sides = [subject(profiles("shift", each.values, names, outputs, feature="gene")) for each in (ours, theirs)]
    given = {"cells": cell_sets(genes=tuple(names)), "rivals": answers, "reference_rivals": answers, **more}
    return evidence.frame(ask("knockout", to_test("knockout", sides[0], {"P": names[:5]}, sides[1], **given)))


def test_profiles_that_agree_with_themselves_no_more_than_with_others_are_held_to_five_percent():
    """All profiles of both contexts share one axis, of which rivals know nothing."""
    names, outputs, worlds = [f"k{i:02d}" for i in range(30)], [f"o{i:02d}" for i in range(40)], 100
    axes, found = {"perturbation": names, "gene": outputs}, 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        common = rng.normal(size=40)
        ours, theirs = (xr.DataArray(common + rng.normal(size=(30, 40)), axes) for _ in range(2))
        knockout = ("rival", "silenced", "gene"), rng.normal(size=(8, 30, 40))
        answers = xr.Dataset({"knockout": knockout}, {"rival": range(8), "silenced": names, "gene": outputs})
        row = rows_of(asked(ours, theirs, answers, permutations=99, bootstrap=2), statistic="agreement_beyond_rivals")
        found += row.p.item() <= 0.05
    assert found <= binom.ppf(0.999, worlds, 0.05)


def test_where_rivals_are_not_asked_a_row_says_why():
    ours, theirs, _ = drawn(2)
    answers = xr.Dataset(attrs={NOT_EVALUABLE: "no perturbation is an input gene of the model"})
    row = rows_of(asked(ours, theirs, answers), statistic="agreement_beyond_rivals").iloc[0]
    assert not row.evaluable
    assert row.reason == "rivals are not asked: no perturbation is an input gene of the model"
    assert rows_of(asked(ours, theirs, None), statistic="agreement_beyond_rivals").empty


def test_copies_are_not_asked_beyond_rivals(world):
    screen, sides = world
    both = [profiles("shift", asked.linear("slope", asked.controls), screen.knocked, screen.genes, feature="gene")
            for asked, *_ in sides]  # fmt: skip
    given = {"cells": sides[0][2], "rivals": sides[0][1], "reference_rivals": sides[1][1]}
    inputs = to_test("knockout", subject(both[0]), {"P": screen.knocked[::3]}, subject(both[1]), **given)
    copy = evidence.frame(ask("knockout", replace(inputs.as_role("redrawn", 1))))
    assert set(copy.statistic) == {"agreement"}
