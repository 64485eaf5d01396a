"""ReLU + L1: planted sparse features are recovered, the penalty makes them few, no feature escapes it."""

import numpy as np
import pytest
import torch

from pertprobe.interpret.sae import SparseAutoencoder, quality, train_sae, training_settings


def directions(n, width, seed=0):
    found = torch.randn(n, width, generator=torch.Generator().manual_seed(seed))
    return found / found.norm(dim=1, keepdim=True)


def planted(n, truth, seed, active=3):
    """Rows that are sums of a few of the directions, on an offset."""
    g = torch.Generator().manual_seed(seed)
    codes = (torch.rand(n, len(truth), generator=g) < active / len(truth)) * (
        0.5 + torch.rand(n, len(truth), generator=g)
    )
    return codes @ truth + 3.0


@pytest.fixture(scope="module")
def trained():
    truth = directions(24, 24)
    rows = {"a": planted(3000, truth, 1), "b": 2 * planted(3000, truth, 2) - 3}
    return truth, rows, {l1: train_sae(rows, 4, None, seed=0, steps=1200, l1=l1) for l1 in (0.05, 0.3)}


def test_planted_features_are_recovered(trained):
    truth, rows, saes = trained
    nearest = (saes[0.05].W_dec @ truth.T).max(dim=0).values
    assert (nearest > 0.9).float().mean() > 0.95
    assert (quality(saes[0.05], rows).fvu < 0.1).all()


def test_a_larger_penalty_leaves_fewer_features_active(trained):
    _, rows, saes = trained
    few, many = (quality(saes[l1], rows).l0 for l1 in (0.3, 0.05))
    assert (few < many).all()
    assert (quality(saes[0.3], rows).l0 < 12).all()


def test_directions_keep_length_one_and_features_are_never_negative(trained):
    _, rows, saes = trained
    for sae in saes.values():
        torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(96))
        assert sae.encode(rows["a"]).min() == 0


def test_dead_features_are_counted(trained):
    """24 planted features leave most of 96 without use where the penalty is large."""
    _, rows, saes = trained
    table = quality(saes[0.3], rows)
    active = torch.cat([saes[0.3].encode(x) for x in rows.values()])
    assert table.dead_everywhere.tolist() == [int((active == 0).all(dim=0).sum())] * 2


def test_features_by_hand():
    sae = SparseAutoencoder(torch.eye(3), torch.tensor([0.0, -1.0, 0.5]), torch.eye(3), torch.ones(3), None)
    np.testing.assert_allclose(sae.encode(torch.tensor([[2.0, 1.5, 0.0]])), [[1.0, 0.0, 0.0]])


def test_training_is_decided_by_the_seed(trained):
    _, rows, _ = trained
    one, same, other = (train_sae(rows, 2, None, seed=seed, steps=30, l1=0.1) for seed in (0, 0, 1))
    assert torch.equal(one.W_dec, same.W_dec)
    assert not torch.equal(one.W_dec, other.W_dec)


def test_settings_of_the_config():
    entry = {"expansion": 4, "k": 8, "l1": 0.2, "steps": 10, "models": ["a"]}
    assert training_settings(entry) == {"expansion": 4, "steps": 10, "k": 8}
    assert training_settings(entry | {"kind": "topk"}) == {"expansion": 4, "steps": 10, "k": 8}
    assert training_settings(entry | {"kind": "relu_l1"}) == {"expansion": 4, "steps": 10, "k": None, "l1": 0.2}
