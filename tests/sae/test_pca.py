import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pertprobe.errors import PertprobeError
from pertprobe.interpret.sae import (
    PrincipalComponents,
    SparseAutoencoder,
    principal_components,
    quality,
    read_components,
    with_rival,
    write_components,
)
from pertprobe.interpret.sae.quality import fraction_unexplained


def rows(n=400, n_inputs=10, seed=0, scale=1.0, offset=0.0):
    """Correlated rows, float32."""
    g = torch.Generator().manual_seed(seed)
    mixing = torch.randn(n_inputs, n_inputs, generator=g) * 0.6 ** torch.arange(n_inputs)[:, None]
    return scale * (torch.randn(n, n_inputs, generator=g) @ mixing) + offset


POOL = {"few": rows(150, seed=1, scale=5.0, offset=2.0), "many": rows(900, seed=2)}


def weighted_svd(pool):
    """The obvious version: every row of every model, scaled so that each model has the same sum of squares."""
    weights = np.concatenate(
        [np.full(len(x), 1 / (len(x) * float(x.double().var(0, correction=0).sum()))) for x in pool]
    )
    x = torch.cat(pool).double().numpy()
    mean = np.average(x, axis=0, weights=weights)
    _, lengths, directions = np.linalg.svd((x - mean) * np.sqrt(weights)[:, None], full_matrices=False)
    return mean, directions, lengths**2 / len(pool)


def mean_left(pca, pool):
    return np.mean([fraction_unexplained(pca, x) for x in pool.values()])


def test_components_of_one_model_are_those_of_numpy():
    x = rows()
    centred = (x - x.mean(dim=0)).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(centred.T, bias=True))
    pca = principal_components({"a": x}, 0.0)
    np.testing.assert_allclose(pca.mean, x.mean(dim=0), atol=1e-6)
    np.testing.assert_allclose(np.abs(pca.components.numpy() @ vectors[:, ::-1]), np.eye(10), atol=1e-4)
    assert mean_left(principal_components({"a": x}, 0.2), {"a": x}) <= 0.2
    np.testing.assert_allclose(pca.encode(x).var(dim=0, correction=0), values[::-1], rtol=1e-3)


def test_components_of_a_pool_are_those_of_its_weighted_rows():
    mean, directions, _ = weighted_svd([POOL["few"], POOL["many"]])
    pca = principal_components(POOL, 0.0)
    np.testing.assert_allclose(pca.mean, mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.abs(pca.components.numpy() @ directions.T), np.eye(10), atol=1e-3)


@pytest.mark.parametrize("unexplained", [0.5, 0.2, 0.05, 0.01, 0.001])
def test_there_are_the_fewest_components_that_leave_no_more(unexplained):
    pca = principal_components(POOL, unexplained)
    n = len(pca.components)
    assert mean_left(pca, POOL) <= unexplained * (1 + 1e-5)
    if n > 1:
        assert mean_left(PrincipalComponents(pca.mean, pca.components[:-1]), POOL) > unexplained
    _, _, spectrum = weighted_svd([POOL["few"], POOL["many"]])
    assert mean_left(pca, POOL) == pytest.approx(spectrum[n:].sum(), rel=1e-3, abs=1e-6)


def test_no_other_directions_leave_less():
    pca = principal_components(POOL, 0.1)
    g = torch.Generator().manual_seed(3)
    for spread in (0.01, 0.1, 1.0):
        moved = pca.components + spread * torch.randn(pca.components.shape, generator=g)
        others = PrincipalComponents(pca.mean, torch.linalg.qr(moved.T).Q.T)
        assert mean_left(others, POOL) > mean_left(pca, POOL)


def test_models_weigh_alike_whatever_their_rows_order_and_scale():
    one = principal_components(POOL, 0.1)
    repeated = principal_components({"many": POOL["many"].repeat(3, 1), "few": POOL["few"]}, 0.1)
    torch.testing.assert_close(repeated.components, one.components, rtol=1e-3, atol=1e-4)
    alone = {"a": rows(seed=5), "b": rows(seed=6)}
    scaled = {"a": 100 * (alone["a"] - alone["a"].mean(dim=0)), "b": alone["b"] - alone["b"].mean(dim=0)}
    plain = {name: x - x.mean(dim=0) for name, x in alone.items()}
    torch.testing.assert_close(
        principal_components(scaled, 0.1).components, principal_components(plain, 0.1).components, rtol=1e-3, atol=1e-4
    )


def test_the_largest_entry_of_each_component_is_positive_and_they_are_orthonormal():
    components = principal_components(POOL, 0.0).components
    assert (components.gather(1, components.abs().argmax(dim=1, keepdim=True)) > 0).all()
    torch.testing.assert_close(components @ components.T, torch.eye(10), atol=1e-5, rtol=0)


def test_scores_take_leading_axes_and_rebuild():
    pca = principal_components(POOL, 0.0)
    x = POOL["many"][:6].reshape(2, 3, 10)
    torch.testing.assert_close(pca.encode(x)[1, 2], pca.encode(x[1, 2]))
    torch.testing.assert_close(pca.decode(pca.encode(x)), x, atol=1e-4, rtol=1e-4)


def test_constant_models_are_left_out_and_constant_activations_have_one_component():
    constant = {"still": torch.full((30, 10), 0.1)}
    torch.testing.assert_close(
        principal_components(POOL | constant, 0.1).components, principal_components(POOL, 0.1).components
    )
    assert principal_components(constant, float("nan")).components.shape == (1, 10)


def test_the_rival_stands_in_the_table_of_quality():
    g = torch.Generator().manual_seed(0)
    shapes = [(10, 20), (20,), (20, 10), (10,)]
    table = quality(SparseAutoencoder(*(torch.randn(shape, generator=g) for shape in shapes), 4), POOL)
    pca = principal_components(POOL, 0.1)
    found = with_rival(table, pca, POOL)
    assert found.columns.tolist() == [*table.columns, "n_components", "pca_fvu"]
    assert (found.n_components == len(pca.components)).all()
    for fvu, x in zip(found.pca_fvu, (POOL["few"], POOL["many"]), strict=True):
        left = (x - pca.decode(pca.encode(x))).double().square().sum()
        assert fvu == pytest.approx(float(left / (x - x.mean(dim=0)).double().square().sum()), rel=1e-4)


def test_what_is_saved_is_read_back_bit_by_bit(tmp_path):
    pca = principal_components(POOL, 0.1)
    write_components(pca, tmp_path / "pca.safetensors")
    again = read_components(tmp_path / "pca.safetensors")
    assert torch.equal(again.mean, pca.mean)
    assert torch.equal(again.components, pca.components)


def test_missing_and_foreign_files_are_refused(tmp_path):
    file = tmp_path / "pca.safetensors"
    with pytest.raises(PertprobeError, match="cannot be read"):
        read_components(file)
    for tensors in ({"mean": torch.zeros(3)}, {"mean": torch.zeros(3), "components": torch.zeros(2, 4)}):
        save_file(tensors, file)
        with pytest.raises(PertprobeError, match="expected mean"):
            read_components(file)


def test_activations_that_do_not_fit_are_refused():
    with pytest.raises(PertprobeError, match="7 wide, the components 10"):
        principal_components(POOL, 0.1).encode(torch.zeros(2, 7))
    with pytest.raises(PertprobeError, match="differ in width"):
        principal_components({"a": torch.zeros(5, 4), "b": torch.zeros(5, 3)}, 0.1)
