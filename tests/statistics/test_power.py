import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import halfnorm, norm, pearson3

from pertprobe.statistics.moments import tail, tail_end
from pertprobe.statistics.power import Null, bayes_absence, interval, power, smallest_effect


@pytest.mark.parametrize("d", [0.5, 2.0])
def test_power_by_hand_and_its_inverse(d):
    assert power(Null(2.0, 1.0), 0.05, 0.0) == pytest.approx(0.05)
    assert power(Null(1.0, 1.0), 0.05, 1.6448536) == pytest.approx(0.5)
    null = Null(0.7, 0.3, 0.8, 0.1, 0.05)
    assert smallest_effect(null, 0.01, power(null, 0.01, d)) == pytest.approx(d)


def test_power_has_the_shape_of_its_null():
    for skewness in (-0.9, 0.0, 0.9):
        null, shape = Null(1.0, 0.5, skewness), pearson3(skewness)
        assert power(null, 0.01) == pytest.approx(shape.sf(shape.ppf(0.99) - 2))
        assert tail_end(0.01, skewness) == pytest.approx(shape.ppf(0.99))
        assert tail(tail_end(0.3, skewness), 0.0, 1.0, skewness) == pytest.approx(0.3)


def test_an_effect_that_its_null_holds_in_part_is_found_less_often():
    plain, held, scattered = (power(Null(1.0, 0.5, 0.0, *own), 0.05) for own in ((0, 0), (0.2, 0), (0.2, 0.3)))
    assert plain > held > scattered
    assert held == pytest.approx(norm.sf(1.6448536 - 0.8 * 2))
    assert scattered == pytest.approx(norm.sf(1.6448536 * np.hypot(1, 0.3 / 0.5) - 0.8 * 2))


def test_extremes():
    assert power(Null(1.0, 0.0), 0.05) == 1
    assert np.isnan(power(Null(np.nan, 1.0), 0.05))
    assert np.isnan(smallest_effect(Null(0.0, 1.0), 0.05))
    assert np.isnan(smallest_effect(Null(1.0, 1.0, 0.0, 1.0), 0.05))  # the null is the program itself
    assert smallest_effect(Null(1.0, 0.0), 0.05) == 0
    assert np.isnan(bayes_absence(0.1, 0.0, 1.0))


def test_columns_that_a_row_lacks_are_zero():
    row = {"unit_sd": 1.0, "null_sd": 0.5, "null_skewness": np.nan, "null_own": np.nan, "null_own_sd": np.nan, "n": 3}
    assert Null.of(row) == Null(1.0, 0.5)


@pytest.mark.parametrize("skewness", [0.0, 0.8])
def test_an_interval_holds_the_effects_that_are_not_excluded_at_5_percent(skewness):
    low, high = interval(1.0, 0.5, skewness)
    shape = pearson3(skewness)
    assert shape.sf((1.0 - low) / 0.5) == pytest.approx(0.05)
    assert shape.cdf((1.0 - high) / 0.5) == pytest.approx(0.05)
    assert interval(1.0, 0.5, skewness, level=0.5)[1] < high


@pytest.mark.parametrize("effect", [-1.0, 0.0, 0.4, 1.5])
def test_the_bayes_factor_is_a_ratio_of_likelihoods(effect):
    sd, scale = 0.4, 1.2
    present, _ = quad(lambda x: norm.pdf(effect, x, sd) * halfnorm.pdf(x, scale=scale), 0, 20)
    assert bayes_absence(effect, sd, scale) == pytest.approx(norm.pdf(effect, 0, sd) / present)
