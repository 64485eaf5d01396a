"""Models of known kind: each is what it says it is, and comes back from its file as it was."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA

from pertprobe.data.regulons import Regulons
from pertprobe.errors import PertprobeError
from pertprobe.models.known.fitting import NUMBER, known_models, observed_table
from pertprobe.models.known.model import read_known, write_known
from pertprobe.models.known.readings import FEEDBACK, Reading, components, equations
from pertprobe.models.rivals.linear import COMPONENTS
from pertprobe.roles import KNOWN, LOOKUP, NETWORK

GENES = [f"g{i:02d}" for i in range(20)]
NAMES = ["ctrl", *GENES[:5], "other"]
EDGES = {"source": ["g00", "g01", "g03"], "target": ["g01", "g02", "unknown"], "sign": 1}
CHAIN = Regulons("chain", pd.DataFrame(EDGES))


@pytest.fixture
def cells():
    """Return cells in which g00 raises g01 by half and g01 lowers g02; all others vary by themselves."""
    values = np.random.default_rng(0).normal(5, 1, size=(4000, 20))
    values[:, 1] += 0.5 * (values[:, 0] - 5)
    values[:, 2] -= 0.8 * (values[:, 1] - 5)
    return values


@pytest.fixture
def models(cells, monkeypatch):
    monkeypatch.setattr("pertprobe.models.rivals.autoencoder.STEPS", 30)
    table = pd.DataFrame(np.random.default_rng(1).normal(size=(7, 20)), index=NAMES, columns=GENES)
    table.loc["ctrl"] = 0.0
    return known_models(cells, table, CHAIN, context="line", seed=0, control="ctrl", set_size=16)


def silenced(model, cells, gene):
    """Return what silencing one gene does to the mean output under the control."""
    edited = cells.copy()
    edited[:, gene] = 0
    return (model.predict(edited, "ctrl") - model.predict(cells, "ctrl")).mean(0).numpy()


def test_there_is_one_of_each_kind_and_without_a_network_none_of_it(models, cells):
    assert set(models) == set(KNOWN)
    table = pd.DataFrame(np.zeros((2, 20)), index=NAMES[:2], columns=GENES)
    without = known_models(cells, table, None, context="line", seed=0, control="ctrl")
    assert set(without) == set(KNOWN) - {NETWORK}


def test_a_lookup_moves_nothing_but_the_gene_that_is_silenced_to_the_last_bit(models, cells):
    moved = silenced(models[LOOKUP], cells[:50], 3)
    assert np.flatnonzero(moved).tolist() == [3]
    assert moved[3] == pytest.approx(-cells[:50, 3].mean(), rel=1e-5)


def test_codes_are_a_table_of_what_was_observed_and_equations_answer_by_themselves(models, cells):
    for kind in set(KNOWN) - {NETWORK}:
        model = models[kind]
        change = model.predict(cells[:10], "g02") - model.predict(cells[:10], "ctrl")
        np.testing.assert_allclose(change, np.tile(model.changes[3], (10, 1)), atol=1e-4)
    network = models[NETWORK]
    codes = dict(zip(NAMES, network.encode_perturbations(NAMES).numpy(), strict=True))
    np.testing.assert_allclose(codes["g00"][:4], [-5, -2.5, 2.0, 0], atol=0.35)
    assert not codes["other"].any()
    assert not codes["ctrl"].any()


def test_equations_carry_on_what_is_silenced_along_the_network_and_nowhere_else(models, cells):
    moved = silenced(models[NETWORK], cells, 0)
    np.testing.assert_allclose(moved[:3], [-5, -2.5, 2.0], atol=0.35)
    assert not moved[3:].any()
    np.testing.assert_allclose(silenced(models[NETWORK], cells, 1)[:3], [0, -5, 4.0], atol=0.35)
    assert np.flatnonzero(silenced(models[NETWORK], cells, 3)).tolist() == [3]


def test_equations_with_circles_are_those_of_the_steady_state(cells):
    regulators = [np.array([], dtype=int) for _ in range(20)]
    regulators[0], regulators[1] = np.array([1]), np.array([0])
    found = equations(cells, regulators).matrix_0.double().numpy()
    weights = np.eye(20) - np.linalg.inv(found)
    assert np.abs(np.linalg.eigvals(weights)).max() <= FEEDBACK + 1e-4
    assert weights[0, 1] == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(found @ (np.eye(20) - weights), np.eye(20), atol=1e-6)


def test_components_are_those_of_the_library_and_no_rival_has_as_many(cells):
    asked = components(cells, 4)
    whole = torch.as_tensor(cells, dtype=torch.float32)
    fitted = PCA(4).fit(cells)
    np.testing.assert_allclose(asked(whole), fitted.inverse_transform(fitted.transform(cells)), atol=1e-3)
    assert NUMBER not in COMPONENTS


def test_prediction_is_the_stages_one_after_another_and_goes_on_from_any_layer(models, cells):
    for model in models.values():
        X = model.tensor(cells[:6])
        encoded = model.encode_cells(X)
        mixed = model.mix(model.encode_perturbations(["g01"])[0], encoded)
        expected = model.predict(cells[:6], "g01")
        torch.testing.assert_close(model.decode(mixed, encoded, X), expected)
        torch.testing.assert_close(model.decode(model.resume(1, mixed.layers[1]), encoded, X), expected)


def test_models_come_back_from_their_file_bit_for_bit(models, cells, tmp_path):
    write_known(models, tmp_path / "known.safetensors")
    again = read_known(tmp_path / "known.safetensors")
    assert set(again) == set(models)
    for kind, model in models.items():
        assert (again[kind].genes, again[kind].perturbations) == (model.genes, model.perturbations)
        assert (again[kind].control, again[kind].set_size) == ("ctrl", 16)
        torch.testing.assert_close(
            again[kind].predict(cells[:5], "g03"), model.predict(cells[:5], "g03"), rtol=0, atol=0
        )
    write_known({}, tmp_path / "none.safetensors")
    assert read_known(tmp_path / "none.safetensors") == {}


def test_what_is_unknown_is_refused_by_name(models, cells):
    with pytest.raises(PertprobeError, match="'g0' is unknown"):
        models[LOOKUP].predict(cells[:3], "g0")
    with pytest.raises(PertprobeError, match="lookup: cells must be"):
        models[LOOKUP].predict(cells[:3, :7], "g00")


def test_perturbations_that_were_not_observed_change_nothing():
    observed = pd.DataFrame([[1.0, 2.0, 3.0]], index=["a"], columns=["y", "x", "z"])
    found = observed_table(observed, {"perturbations": ["ctrl", "a", "b"], "genes": ["x", "y"]})
    assert found.to_numpy().tolist() == [[0, 0], [2, 1], [0, 0]]


def test_a_reading_without_matrices_hands_cells_on():
    cells = torch.tensor([[0.1, 0.2]])
    assert Reading(np.array([7.0, 1.0]))(cells) is cells
