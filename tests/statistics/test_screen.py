"""What is settled, claimed and measured in a screen of 585 perturbations with programs of Reactome's sizes."""

import numpy as np
import pytest
from screen import chosen, found_and_claimed, planted_pairs, planted_scores, screen, sizes, with_shift

from pertprobe import evidence
from pertprobe.stages.verdict import judge, verdicts
from pertprobe.statistics.coherence import coherence, coherence_tests
from pertprobe.statistics.permutation import mean_score
from pertprobe.statistics.power import benjamini_hochberg
from pertprobe.statistics.sets import pairs_without_strength

Q = [["q", "<", 0.05]]
WHO = {"probe": "one", "statistic": "s", "model": "m"}
DRAWS = 999


@pytest.fixture(scope="module")
def world():
    return screen(np.random.default_rng(1))


@pytest.fixture(scope="module")
def null_rows(world):
    """Return the evidence of 150 programs without signal, the likelier of a perturbation the stronger it is."""
    rng = np.random.default_rng(2)
    programs = {f"P{i}": chosen(rng, world.strength, n) for i, n in enumerate(sizes(rng, 150))}
    drawing = lambda name: np.random.default_rng([3, len(name), *name.encode()])  # noqa: E731
    tests = coherence_tests(world.similarity, programs, world.strength, DRAWS, drawing)
    rows = [evidence.row(WHO, program=name, n=len(programs[name]), **evidence.tested(tests[name])) for name in tests]
    return evidence.with_q(evidence.frame(rows), "s", "s")


def test_programs_without_signal_are_settled_as_fails(null_rows):
    table = verdicts(null_rows, {"one": Q}, {"one": "s"})
    missed = table[table.verdict != "pass"]
    assert (missed.verdict == "fail").mean() >= 0.4
    large = missed[missed.program.isin(null_rows[null_rows.n >= 10].program)]
    assert (large.verdict == "fail").mean() >= 0.6
    assert (missed.reason.str.contains("power:") == (missed.verdict == "not evaluable")).all()


def test_programs_with_an_effect_of_interest_are_seldom_called_fails(world, null_rows):
    others = evidence.used_p(null_rows).to_numpy()
    rng, answers = np.random.default_rng(4), []
    for n in sizes(rng, 100):
        _, test = planted_pairs(rng, world, n, rng.choice([1.0, 1.5, 2.0]), DRAWS)
        row = evidence.row(WHO, program="P", **evidence.tested(test))
        q = benjamini_hochberg([*others, getattr(test, test.p_used)])[-1]
        answers.append(judge({**row, "q": q}, Q, {"q": 0.05 / len(others)}).verdict)
    assert np.mean(np.array(answers) == "fail") <= 0.05


@pytest.mark.parametrize("n", [4, 10, 20])
@pytest.mark.parametrize(("planted", "programs"), [(planted_scores, 300), (planted_pairs, 120)])
def test_claimed_power_is_the_share_of_planted_programs_that_is_found(planted, programs, n):
    """Within 5 points, and what counting so few programs adds."""
    found, claimed = found_and_claimed(planted, n, d=1.0, programs=programs)
    assert abs(found - claimed) < 0.05 + 2 * np.sqrt(claimed * (1 - claimed) / programs)


@pytest.mark.parametrize(("n", "against_the_null"), [(20, 0.08), (30, 0.05), (40, 0.04)])
def test_the_effect_of_the_strongest_perturbations_is_not_measured_against_themselves(n, against_the_null):
    """Their coherence is 0.18 above that of others; above the mean of the null, which holds them, it is less."""
    rng, found = np.random.default_rng(n), []
    for _ in range(6):
        world = screen(rng)
        members = np.argsort(world.strength)[-n:]
        test = coherence(with_shift(world.similarity, members, 0.18), members, world.strength, 299, rng)
        found.append((test.effect, test.estimate - test.null_mean, test.p_stratified))
    effect, held, p = np.array(found).T
    assert p.max() < 0.05
    assert effect.mean() == pytest.approx(0.18, abs=0.05)
    assert held.mean() == pytest.approx(against_the_null, abs=0.025)
    assert np.median(effect) > 0.1


def test_the_effect_on_a_score_is_that_of_units_outside(world):
    rng, strongest = np.random.default_rng(5), np.argsort(world.strength)[-20:]
    scores = rng.normal(size=world.strength.size) + 2 * world.strength
    scores[strongest] += 2
    test = mean_score(scores, strongest, world.strength, 299, rng)
    assert test.effect == pytest.approx(2, abs=0.6)
    assert test.estimate - test.null_mean < 0.7 * test.effect


def test_without_strength_the_effect_is_what_members_have_beyond_units_outside():
    rng = np.random.default_rng(6)
    similarity, members = screen(rng, 60).similarity, np.arange(10)
    outside = similarity[10:, 10:][np.triu_indices(50, 1)].mean()
    test = coherence(similarity, members, None, 99, rng)
    assert test.effect == pytest.approx(test.estimate - outside)
    scores = rng.normal(size=60)
    assert mean_score(scores, members, None, 99, rng).effect == pytest.approx(scores[:10].mean() - scores[10:].mean())


def test_the_unit_is_of_the_score_whose_null_is_used(world):
    members = chosen(np.random.default_rng(7), world.strength, 20)
    scores = {"p": world.similarity, "p_stratified": pairs_without_strength(world.similarity, world.strength)}
    for strength in (world.strength, None):
        test = coherence(world.similarity, members, strength, 99, np.random.default_rng(0))
        outside = np.delete(scores[test.p_used][:, members].mean(axis=1), members)
        assert test.unit_sd == pytest.approx(outside.std(ddof=1))
    assert test.p_used == "p"


def test_a_set_that_no_draw_reaches_is_compared_with_more():
    rng = np.random.default_rng(8)
    scores = rng.normal(size=100)
    scores[:8] += 5
    strength = rng.random(100)
    for held in (None, strength):
        test = mean_score(scores, np.arange(8), held, 99, rng)
        assert test.n_permutations == 990
        assert getattr(test, test.p_used) == pytest.approx(1 / 991)
    ordinary = mean_score(scores, np.arange(50, 58), strength, 99, rng)
    assert ordinary.n_permutations == 99


def test_p_with_more_draws_is_no_smaller_than_it_should_be():
    rng = np.random.default_rng(9)
    p = np.array([mean_score(rng.normal(size=60), np.arange(6), None, 19, rng).p for _ in range(1500)])
    for alpha in (0.01, 0.02, 0.05, 0.1):
        assert np.mean(p <= alpha) < alpha + 4 * np.sqrt(alpha * (1 - alpha) / p.size)
