"""What a sparse autoencoder sees: hidden states of control cells under each perturbation."""

import pytest
import torch
from tiny import BATCHES, PERTURBATIONS, cell_sets, random_state

from pertprobe.interpret.sae.activations import hidden_states, layer_number, sampled_activations


@pytest.mark.parametrize("changes", [{}, {"confidence_token": True}, {"batch_encoder": False, "batch_token": True}])
def test_hidden_states_are_those_of_a_run_with_the_cells_own_batches(changes):
    model, cells = random_state(**changes), cell_sets()
    (states,) = hidden_states(model, cells, ["x1"], 1)
    encoded = model.encode_cells(model.tensor(cells.values), model.batch_indices(cells.batches))
    mixed = model.mix(model.encode_perturbations(["x1"])[0], encoded)
    torch.testing.assert_close(states, mixed.layers[1][..., model.cell_positions, :])
    assert states.shape == (2, 5, 16)


def test_the_middle_layer_is_the_output_of_the_middle_block():
    assert layer_number(random_state(n_layers=4), "middle") == 2
    assert layer_number(random_state(n_layers=3), "middle") == 1
    assert layer_number(random_state(), 0) == 0


def test_every_perturbation_gives_the_same_number_of_cells():
    model, cells = random_state(), cell_sets()
    drawn = sampled_activations(model, cells, "middle", 43, seed=0)
    assert drawn.shape == (4 * len(PERTURBATIONS), 16)
    blocks = drawn.reshape(len(PERTURBATIONS), 4, 16)
    for states, block in zip(hidden_states(model, cells, sorted(PERTURBATIONS), "middle"), blocks, strict=True):
        distances = torch.cdist(block, states.reshape(-1, 16)).min(dim=1)
        assert distances.values.max() < 1e-9
        assert len(set(distances.indices.tolist())) == 4


def test_no_cell_is_drawn_twice_where_more_are_asked_for_than_exist():
    drawn = sampled_activations(random_state(), cell_sets(), 1, 10**6, seed=0)
    assert drawn.shape == (10 * len(PERTURBATIONS), 16)
    assert len(drawn.unique(dim=0)) == len(drawn)


def test_draws_follow_the_seed():
    one, same, other = (sampled_activations(random_state(), cell_sets(), 1, 40, seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_batches_matter_where_the_model_reads_them():
    model, cells = random_state(), cell_sets()
    (with_labels,), (without,) = (hidden_states(model, each, ["x1"], 1) for each in (cells, cell_sets(batches=False)))
    assert set(cells.batches.ravel()) == set(BATCHES)
    assert not torch.allclose(with_labels, without)
