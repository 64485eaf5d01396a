"""The calibration of concept_alignment: its settings are the default ones, and what outputs read is found."""

import numpy as np

from pertprobe.calibration import concepts
<<<<<<< HEAD
from pertprobe.statistics.null_worlds import dense
=======
from pertprobe.calibration.generators import dense
from pertprobe.probes.declaration import declared
>>>>>>> tests1


def test_concepts_are_calibrated_with_the_default_settings_but_few_slow_refits():
    settings = declared("concept_alignment").settings
    assert {name: each["default"] for name, each in settings.items()} == {**concepts.SETTINGS, "outcome_refits": 99}


def test_a_direction_that_outputs_read_is_found_and_another_is_not():
    rng = np.random.default_rng(0)
    states, strength = dense(rng)
    states[:10, 0] += 10
    reads, other = (np.eye(states.shape[1])[[column]] for column in (0, 1))
    assert concepts.aligned(concepts.Layer(states, strength, reads), np.arange(10), 99, rng).p == 0.01
    assert concepts.aligned(concepts.Layer(states, strength, other), np.arange(10), 99, rng).p > 0.01
