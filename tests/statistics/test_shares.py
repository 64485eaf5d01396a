"""The share of one sum in two."""

import math

import numpy as np
import pytest

from pertprobe.statistics.reliability import share_of_sums


def test_a_share_is_that_of_the_sums_and_not_the_mean_of_shares():
    assert share_of_sums([1.0, 8.0], [1.0, 0.0]).estimate == pytest.approx(0.9)


def test_units_that_agree_have_no_interval_to_speak_of():
    found = share_of_sums([1.0, 2.0, 3.0], [3.0, 6.0, 9.0])
    assert (found.low, found.high) == pytest.approx((0.25, 0.25))


@pytest.mark.parametrize("seed", range(3))
def test_intervals_hold_the_share_of_all_units_as_often_as_they_say(seed):
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(300):
        whole = rng.lognormal(0, 0.3, 8)
        part = whole * rng.normal(0.4, 0.1, 8)
        found = share_of_sums(part, whole - part)
        held += found.low <= 0.4 <= found.high
    assert 0.91 < held / 300 < 0.99


def test_below_two_units_there_is_no_interval_and_of_nothing_no_share():
    one = share_of_sums([1.0], [3.0])
    assert one.estimate == 0.25
    assert math.isnan(one.low)
    assert math.isnan(share_of_sums([0.0, 0.0], [0.0, 0.0]).estimate)
