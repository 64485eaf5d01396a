"""The one entrance to models, and the additive baseline."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import slow_state as slow
import torch

import pertprobe
from pertprobe.errors import PertprobeError
from pertprobe.models import load_model
from pertprobe.models.additive import AdditiveModel


def test_importing_the_package_does_not_import_torch():
    code = "import pertprobe, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_face():
    assert pertprobe.load_model is load_model
    with pytest.raises(AttributeError, match="no attribute 'load_cells'"):
        _ = pertprobe.load_cells


@pytest.mark.parametrize("dtype", ["float64", torch.float64])
def test_dtype_by_name_or_object(tmp_path, dtype):
    _, options = slow.random_case(4)
    options["transformer_backbone_kwargs"]["bidirectional_attention"] = True
    path = slow.write_directory(tmp_path / "model", options, slow.random_weights(options, 0))
    assert load_model(path, attention="bidirectional", dtype=dtype).dtype == torch.float64
    with pytest.raises(PertprobeError, match="dtype 'int8' is none of float32, float64"):
        load_model(path, dtype="int8")


def test_unknown_kinds_are_refused_with_those_available():
    with pytest.raises(PertprobeError, match=r"kind 'oracle' is unknown \(available: state"):
        load_model("anywhere", kind="oracle")


def from_elsewhere(path, **options):
    return path, options


def test_kinds_of_other_packages_are_found(monkeypatch):
    entry = EntryPoint("mine", f"{__name__}:from_elsewhere", "pertprobe.models")
    monkeypatch.setattr("pertprobe.models.entry_points", lambda group: [entry])
    path, options = load_model("there", kind="mine")
    assert path == "there"
    assert options == {"dtype": torch.float32, "device": "cpu"}


@pytest.fixture
def rounds():
    """Torch's setting for the process, put back afterwards."""
    was = torch.backends.cuda.matmul.allow_tf32
    yield torch.backends.cuda.matmul
    torch.backends.cuda.matmul.allow_tf32 = was


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("asked", [{}, {"tf32": False}, {"tf32": True}])
def test_a_gpu_rounds_products_only_when_asked(monkeypatch, rounds, before, asked):
    entry = EntryPoint("mine", f"{__name__}:from_elsewhere", "pertprobe.models")
    monkeypatch.setattr("pertprobe.models.entry_points", lambda group: [entry])
    rounds.allow_tf32 = before
    load_model("there", kind="mine", **asked)
    assert rounds.allow_tf32 == before  # a CPU's model leaves it alone
    load_model("there", kind="mine", device=torch.device("cuda"), **asked)
    assert rounds.allow_tf32 == bool(asked.get("tf32"))


@pytest.fixture
def additive():
    return AdditiveModel({"A": np.arange(3.0), "B": -np.ones(3)}, genes=("x", "y", "z"), control="ctrl")


def test_the_mean_shift_adds_its_change(additive):
    X = np.random.default_rng(0).random((2, 5, 3))
    np.testing.assert_allclose(additive.predict(X, "A"), X + np.arange(3.0), atol=1e-6)
    np.testing.assert_allclose(additive.predict_genes(X, "ctrl"), X, atol=1e-6)
    assert additive.perturbations == ("A", "B", "ctrl")


def test_the_jacobian_of_the_mean_shift_is_the_identity(additive):
    jacobian = torch.func.jacrev(lambda X: additive.predict(X, "A"))(torch.rand(2, 3))
    assert torch.equal(jacobian.reshape(6, 6), torch.eye(6))


def test_the_mean_shift_has_neither_stages_nor_an_architecture(additive):
    assert "stages" not in additive.capabilities
    with pytest.raises(PertprobeError, match="no stages"):
        additive.encode_perturbations(["A"])
    assert "redraw" not in additive.capabilities
    assert "cannot be re-drawn" in additive.card["no_redraw"]


def test_the_mean_shift_refuses_what_does_not_fit(additive):
    with pytest.raises(PertprobeError, match="perturbation 'C' is unknown"):
        additive.predict(np.zeros((1, 3)), "C")
    with pytest.raises(PertprobeError, match=r"additive: cells must be \[\.\.\., cells, 3\].*not \(.*4\)"):
        additive.predict(np.zeros((1, 4)), "A")
    with pytest.raises(PertprobeError, match="change of 'A' is not 2 finite numbers"):
        AdditiveModel({"A": np.arange(3.0)}, genes=("x", "y"), control="ctrl")
