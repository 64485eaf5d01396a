import numpy as np
import pytest

from pertprobe.statistics.permutation import coherence, mean_score
from pertprobe.statistics.power import power, smallest_effect
from pertprobe.statistics.similarity import cosine_similarity


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("d", [0.0, 0.5, 2.0])
def test_power_by_hand_and_its_inverse(d):
    assert power(2.0, 1.0, 0.05, 0.0) == pytest.approx(0.05)
    assert power(1.0, 1.0, 0.05, 1.6448536) == pytest.approx(0.5)
    reached = power(0.7, 0.3, 0.01, d)
    assert smallest_effect(0.7, 0.3, 0.01, reached) == pytest.approx(d, abs=1e-9)


def test_extremes():
    assert power(1.0, 0.0, 0.05) == 1
    assert np.isnan(power(np.nan, 1.0, 0.05))
    assert np.isnan(smallest_effect(0.0, 1.0, 0.05))


def found_and_predicted(test_of, n, d, draws=300):
    generator, hits, predicted = rng(n), 0, []
    for _ in range(draws):
        test = test_of(generator.choice(100, n, replace=False), d, generator)
        hits += test.p <= 0.05
        predicted.append(power(test.unit_sd, test.null_sd, 0.05, d))
    return hits / draws, np.mean(predicted)


def shifted_scores(members, d, generator):
    scores = generator.normal(size=100)
    scores[members] += d
    return mean_score(scores, members, None, 199, generator)


def shifted_similarity(members, d, generator):
    similarity = cosine_similarity(generator.normal(size=(100, 30)))
    outside = np.delete(similarity[:, members].mean(axis=1), members)
    similarity[np.ix_(members, members)] += d * outside.std(ddof=1)
    return coherence(similarity, members, None, 199, generator)


@pytest.mark.parametrize("test_of", [shifted_scores, shifted_similarity])
@pytest.mark.parametrize(("n", "d"), [(4, 1.0), (4, 2.0), (10, 0.5), (10, 1.0)])
def test_power_is_that_of_simulated_members_or_up_to_15_points_too_high(test_of, n, d):
    """Too high, because members are among the units their null draws from."""
    found, predicted = found_and_predicted(test_of, n, d)
    assert -0.05 < predicted - found < 0.15
