"""What sae_features reads in hidden states: the states themselves, SAE features, principal components."""

import numpy as np
import pytest
import torch
import xarray as xr
from tiny import PERTURBATIONS, cell_sets, random_state, to_measure

from pertprobe.interpret.sae import PrincipalComponents, SparseAutoencoder
from pertprobe.interpret.sae.activations import hidden_states
from pertprobe.interpret.sae.pool import pooled_activations, pooled_dictionaries, sae_seed
from pertprobe.probes import sae_features
from pertprobe.seeding import seed_of

NAMES = ["g01", "x1", "x3"]


def random_sae(width=64, features=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(width, features), (features,), (features, width), (width,)]
    return SparseAutoencoder(*(torch.randn(shape, generator=generator) for shape in shapes), k=4)


def random_components(width=64, n=5):
    generator = torch.Generator().manual_seed(1)
    return PrincipalComponents(torch.randn(width, generator=generator), torch.randn(n, width, generator=generator))


@pytest.fixture(scope="module")
def wide_model():
    """A float32 model wide enough that a product's last bit depends on how many rows go through it together."""
    return random_state(dtype=torch.float32, spread=0.1, hidden_dim=64, head_dim=32, intermediate_dim=96)


def measured(model, names, **more):
    with torch.no_grad():
        return sae_features.measure(to_measure(model, cell_sets(), settings={}, **more), names)


def test_one_run_gives_states_features_and_components(wide_model):
    sae, pca = random_sae(), random_components()
    found = measured(wide_model, NAMES, sae=sae, pca=pca)
    states = torch.stack(list(hidden_states(wide_model, cell_sets(), NAMES, "middle")), dim=1)
    expected = {"hidden": states, "activation": sae.encode(states), "component": pca.encode(states)}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values.mean(-2), rtol=1e-4, atol=1e-5)
    assert {name: found[name].dims for name in found} == {
        "hidden": ("set", "perturbation", "dimension"),
        "activation": ("set", "perturbation", "feature"),
        "component": ("set", "perturbation", "direction"),
    }
    assert found.sizes == {"set": 2, "perturbation": 3, "dimension": 64, "feature": 24, "direction": 5}
    assert [found[axis].values[1] for axis in ("dimension", "feature", "direction")] == ["h1", "f1", "c1"]
    assert found.perturbation.values.tolist() == NAMES


def test_only_what_is_given_is_read(wide_model):
    assert set(measured(wide_model, NAMES)) == {"hidden"}
    assert set(measured(wide_model, NAMES, sae=random_sae())) == {"hidden", "activation"}
    both = measured(wide_model, NAMES, sae=random_sae(), pca=random_components())
    xr.testing.assert_identical(measured(wide_model, NAMES).hidden, both.hidden)


def test_bits_do_not_depend_on_the_perturbations_beside(wide_model):
    given = {"sae": random_sae(), "pca": random_components()}
    whole = measured(wide_model, NAMES, **given)
    for name in NAMES:
        xr.testing.assert_identical(measured(wide_model, [name], **given), whole.sel(perturbation=[name]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_readings_are_float32_whatever_the_model_computes_in(dtype):
    found = measured(random_state(dtype=dtype), NAMES, sae=random_sae(16), pca=random_components(16))
    assert {found[name].dtype for name in found} == {np.dtype("float32")}


def test_dictionaries_hold_every_perturbation_of_every_model():
    first, second, cells = random_state(seed=1), random_state(seed=2), cell_sets()
    saes = [random_sae(16), random_sae(16, features=7, seed=3)]
    pool = [("a", first, cells), ("b", second, cells)]
    found = pooled_dictionaries(pool, "middle", saes)
    names = sorted(set(PERTURBATIONS) - {"ctrl"})
    for sae, dictionary in zip(saes, found, strict=True):
        assert dictionary.profiles.index.tolist() == [(model, name) for model in "ab" for name in names]
        (states,) = hidden_states(second, cells, ["x2"], "middle")
        expected = sae.encode(states.float()).mean((0, 1))
        np.testing.assert_allclose(dictionary.profiles.loc["b", "x2"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(dictionary.directions, sae.W_dec.double())


def test_activations_and_the_sae_in_use_have_the_seeds_they_always_had():
    model, cells = random_state(), cell_sets()
    drawn = pooled_activations([("a", model, cells)], "middle", 40, seed=3)
    other = pooled_activations([("b", model, cells)], "middle", 40, seed=3)
    assert not torch.equal(drawn["a"], other["b"])
    assert sae_seed(3, "joint", 0) == seed_of(3, "sae", "joint")
    assert len({sae_seed(3, "joint", number) for number in range(5)}) == 5
