"""How the output moves when the hidden states of all cells at a layer are pushed along one direction."""

import torch
from torch import Tensor

from pertprobe.interpret.by_directions import by_directions
from pertprobe.interpret.patching import CHUNK, Runs
from pertprobe.models.forward_mode import jvp

DIRECTIONS = 64
"""Directions that are differentiated at once."""


def layer_jacobian(runs: Runs) -> Tensor:
    """Return d mean output / d a push shared by all cells of a set, under the control [n_sets, G_out, H].

    Forward mode: a layer is narrower than the output.
    """
    cells, states = _of_cells(runs), runs.control_states

    def one(direction: Tensor) -> Tensor:
        """Return the derivative along one direction."""
        pushed = (cells * direction).expand_as(states)
        return jvp(lambda given: runs.response(given, runs.model.control), (states,), (pushed,))[1]

    return by_directions(one, torch.eye(states.shape[-1]).to(states), -1, DIRECTIONS)


def pushed_outputs(runs: Runs, pushes: Tensor) -> Tensor:
    """Return how the mean output of the control's run moves [K, n_sets, G_out] when every cell is pushed [K, H]."""
    cells = _of_cells(runs)
    parts = (runs.control_states + cells * part[:, None, None, :] for part in pushes.split(CHUNK))
    return torch.cat([runs.response(states, runs.model.control) - runs.control_response for states in parts])


def _of_cells(runs: Runs) -> Tensor:
    """Return which tokens are cells [T, 1], 1 or 0: the others keep what they have."""
    found = runs.control_states.new_zeros(runs.control_states.shape[-2], 1)
    found[runs.model.cell_positions] = 1.0
    return found
