"""Directions of concepts: their estimators, the layer's Jacobian, and the probe on models whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from slow_jacobian import STATES
from tiny import GENES, cell_sets, random_state, rows_of, to_measure, to_test

from pertprobe import evidence
from pertprobe.interpret import concept_directions
from pertprobe.interpret.patching import Runs
from pertprobe.interpret.steering import layer_jacobian, pushed_outputs
from pertprobe.models.planted.linear_readout import concept_model
from pertprobe.probes import concept_alignment
from pertprobe.probes.base import Subject
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.stages.measuring import measure_shard
from pertprobe.statistics.sets import scores_without_strength

SETTINGS = {"layers": ["middle"], "negatives": "strength", "negatives_each": 2, "directions": 1, "refits": 199,
            "outcome_refits": 39, "mlp_refits": 19}  # fmt: skip
MANY = [f"k{i:02d}" for i in range(40)]
PROGRAMS = {"P": MANY[:6], "Q": MANY[6:12]}


def rng():
    return np.random.default_rng(0)


def concept(d=3.0):
    return concept_model(
        genes=MANY, perturbations=MANY, control="ctrl", programs=PROGRAMS, outputs=PROGRAMS, d=d, seed=0, set_size=5
    )


def measured(model, programs=None, **more):
    cells = cell_sets(genes=model.genes, batches=False)
    settings = {**SETTINGS, **more}
    inputs = to_measure(model, cells, settings=settings, programs=PROGRAMS if programs is None else programs)
    return measure_shard("concept_alignment", inputs, 0, 1)


def asked(measurement, programs=None):
    names = pd.Index(MANY)
    given = Subject(measurement, pd.Series(1.0 + np.arange(40), names), pd.Series("here", names))
    inputs = to_test(
        "concept_alignment", given, PROGRAMS if programs is None else programs, cells=cell_sets(genes=tuple(MANY)),
        settings=SETTINGS,
    )  # fmt: skip
    return evidence.frame(ask("concept_alignment", inputs))


def test_many_logistic_regressions_at_once_are_those_of_sklearn():
    scores = rng().normal(size=(24, 5))
    labels = concept_directions.permuted_labels(np.arange(24) < 6, 3, rng())
    coefficients, intercepts = concept_directions.logistic(scores, labels)
    for row, coefficient, intercept in zip(labels, coefficients, intercepts, strict=True):
        slow = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10, max_iter=5000).fit(scores, row)
        np.testing.assert_allclose(coefficient, slow.coef_[0], atol=1e-5)
        assert intercept == pytest.approx(slow.intercept_[0], abs=1e-5)


def test_a_point_without_weight_is_not_there():
    scores, labels = rng().normal(size=(20, 3)), (np.arange(20) % 3 == 0)[None]
    weights = (np.arange(20) < 15).astype(float)[None]
    both = (
        concept_directions.logistic(scores, labels, weights),
        concept_directions.logistic(scores[:15], labels[:, :15]),
    )
    np.testing.assert_allclose(both[0][0], both[1][0], atol=1e-6)


def test_a_direction_lies_where_members_lie_apart():
    states = 0.1 * rng().normal(size=(30, 8))
    states[:8, 3] += 2
    found = concept_directions.directions(states, (np.arange(30) < 8)[None])[0]
    assert found[3] > 0.95
    assert np.linalg.norm(found) == pytest.approx(1)
    assert concept_directions.accuracy(states, (np.arange(30) < 8)[None], rng())[0] == 1


def test_folds_hold_both_classes_alike():
    labels = concept_directions.permuted_labels(np.arange(28) < 7, 20, rng())
    folds = concept_directions._stratified(labels, 5, rng())
    for fold in range(5):
        assert set((labels & (folds == fold)).sum(axis=1)) <= {1, 2}
        assert set((~labels & (folds == fold)).sum(axis=1)) <= {4, 5}


def test_accuracy_without_a_signal_is_a_half():
    states = rng().normal(size=(40, 20))
    found = concept_directions.accuracy(
        states, concept_directions.permuted_labels(np.arange(40) < 12, 300, rng()), rng()
    )
    assert found[1:].mean() == pytest.approx(0.5, abs=0.03)


def test_states_without_strength_have_no_trend_in_it():
    strength = rng().lognormal(size=60)
    own = rng().normal(size=(60, 5))
    found = scores_without_strength(own + np.outer(strength, np.arange(5)), strength)
    np.testing.assert_allclose(strength @ found, 0, atol=1e-9)
    np.testing.assert_allclose(found, scores_without_strength(own, strength), atol=1e-9)


def test_hard_negatives_are_the_nearest_outside_and_each_is_there_once():
    at = np.array([0.0, 1.0, 1.1, 5.0, 5.2, 9.0])
    found = concept_directions.hard_negatives(np.abs(at[:, None] - at), [1, 3], 1)
    assert found.tolist() == [2, 4]
    everyone = concept_directions.hard_negatives(np.abs(at[:, None] - at), [1, 3], 5)
    assert everyone.tolist() == [0, 2, 4, 5]


def test_cosines_with_a_span_and_between_spans():
    span = np.eye(4)[:2]
    np.testing.assert_allclose(
        concept_directions.span_cosine(np.array([[0.6, 0, 0.8, 0], [0, -1, 0, 0]]), span), [0.6, 1]
    )
    assert concept_directions.principal_cosine(span, np.eye(4)[1:3]) == pytest.approx(1)
    assert concept_directions.principal_cosine(span, np.eye(4)[2:]) == 0
    assert concept_directions.chance(1, 400) == 0.05


def test_top_directions_are_what_moves_outputs_most():
    jacobian = np.array([[0, 3.0, 0], [1.0, 0, 0]])
    np.testing.assert_allclose(np.abs(concept_directions.top_directions(jacobian, 5)), [[0, 1, 0], [1, 0, 0]])
    assert len(concept_directions.top_directions(np.zeros((2, 3)), 2)) == 0


@pytest.mark.parametrize("state", ["plain", "confidence_token", "batch_token", "all"])
@pytest.mark.parametrize("layer", [0, 1])
def test_the_layers_jacobian_is_a_central_difference_of_pushes(state, layer):
    model = random_state(**STATES[state])
    with torch.no_grad():
        runs = Runs(model, cell_sets(), layer)
        jacobian = layer_jacobian(runs)
        pushes = 1e-5 * torch.eye(16, dtype=torch.float64)
        slow = (pushed_outputs(runs, pushes) - pushed_outputs(runs, -pushes)) / 2e-5
    np.testing.assert_allclose(jacobian, slow.permute(1, 2, 0), atol=1e-7)


def test_a_planted_concept_is_found_and_random_programs_are_not():
    random = {f"R{i}": np.random.default_rng(i).choice(MANY[12:], 6, replace=False).tolist() for i in range(4)}
    found = asked(measured(concept(), {**PROGRAMS, **random}), {**PROGRAMS, **random})
    rows = rows_of(found, statistic="alignment").set_index("program")
    smallest = 1 / (rows.n_permutations + 1)  # above every other labelling
    assert (rows.p == smallest)[list(PROGRAMS)].all()
    assert (rows.estimate[list(PROGRAMS)] > 0.5).all()
    assert not (rows.p[list(random)] <= 0.02).any()
    assert set(found.statistic) == set(declared("concept_alignment").statistics)
    assert (rows_of(found, statistic="outcome_agreement").n_permutations == 39).all()


def test_a_program_that_no_direction_tells_apart_is_not_evaluable():
    found = measured(concept())
    found["cav_accuracy"].loc[{"program": "Q"}] = 0.5
    rows = rows_of(asked(found), statistic="alignment").set_index("program")
    assert rows.evaluable.to_dict() == {"P": True, "Q": False}
    told = "no direction, strength apart, tells members from negatives: cross-validated accuracy 0.50"
    assert rows.reason["Q"] == told


def test_labels_are_compared_with_labels_that_can_be_told_as_they_can():
    found = measured(concept())
    found["cav_accuracy"].loc[{"program": "P", "draw": found.draw[50:]}] = 0.4
    alike = int((found.cav_accuracy.sel(program="P").squeeze()[1:50] > 0.5).sum())
    rows = rows_of(asked(found), statistic="alignment").set_index("program")
    assert 0 < alike < 49
    assert rows.n_permutations["P"] == alike


def test_every_program_has_a_row_and_its_reason():
    programs = {**PROGRAMS, "few": MANY[:2], "none": ["nobody"]}
    found = rows_of(asked(measured(concept(), programs), programs), statistic="alignment").set_index("program")
    assert found.evaluable.to_dict() == {"P": True, "Q": True, "few": False, "none": False}
    assert found.reason["few"] == "2 trained perturbations of the program, 3 needed"
    assert found.reason["P"].startswith("6 outputs; a random direction: ")


def test_targets_of_a_panel_stand_for_the_programs_own_genes():
    inputs = to_measure(
        concept(), cell_sets(genes=tuple(MANY)), settings=SETTINGS, programs=PROGRAMS,
        panels={"panel": {"program": "P", "targets": ["k30", "k31", "elsewhere"]}},
    )  # fmt: skip
    found = concept_alignment._asked(inputs, MANY)
    assert found["P"]["outputs"] == [30, 31]
    assert found["Q"]["outputs"] == list(range(6, 12))


def test_copies_are_read_at_the_first_layer_on_one_set():
    inputs = to_measure(
        random_state(), settings={**SETTINGS, "layers": [2, 0]}, programs={"P": [*GENES[:3]]},
    )  # fmt: skip
    found = measure_shard("concept_alignment", inputs, 0, 1, redrawn=1)
    assert found.attrs["layer"] == 2
    assert found["alignment"].sel(variant="redrawn_1", layer=2).notnull().any()
    assert found["alignment"].sel(variant="redrawn_1", layer=0).isnull().all()
    assert "variant" not in found["cav_accuracy"].dims


def test_a_model_that_no_program_fits_says_so():
    found = measured(concept(), {"nobody": ["elsewhere"]})
    assert found.attrs["not_evaluable"].startswith("no program has two trained perturbations")
