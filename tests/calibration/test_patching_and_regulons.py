"""The calibration of activation_patching and regulon_recovery: what it is made of."""

import numpy as np
import pytest

from pertprobe.calibration import patching, recovery
from pertprobe.statistics.matched import paired_profile_test


def rng(seed=0):
    return np.random.default_rng(seed)


def test_shares_are_those_of_a_patched_linear_layer_by_hand():
    layer = patching.Layer(rng().normal(size=(12, 5)), rng(1).normal(size=(5, 7)))
    named = np.arange(12) < 3
    direction = layer.changes[named].mean(axis=0) - layer.changes[~named].mean(axis=0)
    direction /= np.linalg.norm(direction)
    for i, change in enumerate(layer.changes):
        response, left = change @ layer.readout, (change - (change @ direction) * direction) @ layer.readout
        expected = (response - left) @ response / (response @ response)
        assert layer.shares(named)[i] == pytest.approx(expected)


def test_a_direction_that_members_share_is_found():
    layer = patching.Layer(rng().normal(size=(60, 8)), np.eye(8))
    layer.changes[:8, 0] += 6
    assert patching.held_out_test(layer, np.arange(8), 199, rng()).p < 0.02
    assert patching.held_out_test(layer, np.arange(20, 28), 199, rng()).p > 0.02


def test_targets_that_answer_to_all_give_a_high_precision_to_every_gene():
    made = recovery.edges(rng(), hubs=True)
    plain = recovery.edges(rng(), hubs=False)
    high = made.deciles == made.deciles.max()
    block = made.r[np.ix_(high, high)]
    assert block.mean() > plain.r[np.ix_(high, high)].mean() + 0.1
    assert np.diagonal(block).mean() == pytest.approx(block.mean(), abs=0.05)  # nothing of a regulator's own


def test_shifted_regulators_are_found():
    made = recovery.edges(rng(), hubs=False)
    made.r[np.arange(6), np.arange(6)] += 4 * made.r.std()
    assert paired_profile_test(made.r, made.deciles, 199, rng(), members=np.arange(6)).test.p < 0.02
