"""Laws of frozen State models: affine, exact at the input where they are frozen, their parts what they are named."""

from dataclasses import replace

import pytest
import torch
from test_state_laws import ARCHITECTURES, BASE, BATCH, build, cells
from torch.func import jvp

from pertprobe import load_model
from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian import Point
from pertprobe.interpret.sensitivity import shift_factors
from pertprobe.models.contributions import contributions
from pertprobe.models.state.frozen import freeze, in_double, recorded
from pertprobe.models.state.layers import FUNCTIONS, DetachedNonlinearities

ACTIVATIONS = ("relu", "leakyrelu", "elu", "selu", "gelu")
DEEP = {f"deep_{name}": replace(BASE, activation=name, n_encoder_layers=3, n_decoder_layers=3) for name in ACTIVATIONS}
EVERY = {**ARCHITECTURES, **DEEP}
FIXTURES = {
    "papalexi_fewshot_rep_1": None, "st_fewshot_A": None, "st_gpt2_fewshot_A": "causal", "st_conf_fewshot_A": None,
    "st_all_fewshot_A": None, "st_emb_fewshot_A": None, "st_causal_fewshot_A": None, "st_maskattn_fewshot_A": None,
    "st_lora_fewshot_A": None, "st_nores_relu": None, "st_legacy0914_tf4524": "bidirectional",
}  # fmt: skip
"""Directory -> its attention, where the file does not say."""


@pytest.fixture(params=EVERY)
def model(request, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, request.param, EVERY[request.param])
    return build(request.param)


def error(found, wanted):
    return ((found - wanted).norm() / wanted.norm()).item()


def frozen_at(model, X=None, batch=BATCH, name="B"):
    return model.freeze(cells() if X is None else X, name, batch)


def directions(frozen, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in (frozen.X, frozen.vector)
    )


def by_cell(frozen):
    """Return what each cell of the input adds to the output of every cell [S, ..., S, G_out]."""
    X = frozen.X
    alone = torch.eye(X.shape[-2]).to(X).reshape(X.shape[-2], *[1] * (X.ndim - 2), X.shape[-2], 1)
    return frozen.from_cells(alone * X)


def by_gene(frozen):
    """Return what each input gene adds to the output of every cell [G, ..., S, G_out]."""
    X = frozen.X
    return frozen.from_cells(torch.eye(X.shape[-1]).to(X).reshape(-1, *[1] * (X.ndim - 1), X.shape[-1]) * X)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_the_parts_sum_to_the_prediction(model, lead):
    X, batch = cells(*lead), BATCH.expand(*lead, -1)
    frozen = frozen_at(model, X, batch)
    assert error(sum(contributions(frozen)), model.predict(X, "B", batch)) < 1e-12
    assert error(frozen.output, model.predict(X, "B", batch)) < 1e-12
    assert error(frozen.respond(frozen.X, frozen.vector), model.predict(X, "B", batch)) < 1e-12


@pytest.mark.parametrize("name", FIXTURES)
def test_trained_models_are_reconstructed(shared_path, name):
    model = load_model(shared_path("state", name), attention=FIXTURES[name])
    X = torch.rand(6, len(model.genes), generator=torch.Generator().manual_seed(0))
    frozen = model.freeze(X, model.perturbations[3])
    assert error(sum(contributions(frozen)), in_double(model).predict(X.double(), model.perturbations[3])) < 1e-12
    assert error(by_cell(frozen).sum(0), contributions(frozen).cells) < 1e-12


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_away_from_its_input_the_map_is_affine(model, scale):
    frozen = frozen_at(model)
    dX, dv = directions(frozen)
    moved = frozen.respond(frozen.X + scale * dX, frozen.vector + scale * dv) - frozen.output
    linear = scale * (frozen.from_cells(dX) + frozen.from_perturbation(dv))
    assert error(moved, linear) < 1e-12 * max(1.0, (frozen.output.norm() / linear.norm()).item())


def test_frozen_part_and_derivative_of_the_factors_are_the_ordinary_derivative(model):
    """d Y(x, factors(x)) = the frozen map's own product + what the factors' derivatives add."""
    frozen = frozen_at(model)
    at, along = (frozen.X, frozen.vector), directions(frozen)

    def run(factors):
        return replace(frozen, model=model.with_nonlinearities(DetachedNonlinearities(factors))).respond(*at)

    ordinary = jvp(lambda X, v: replace(frozen, model=model).respond(X, v), at, along)[1]
    factors, moved = jvp(lambda X, v: recorded(model, X, v, BATCH)[0], at, along)
    of_factors = jvp(run, (factors,), (moved,))[1]
    assert error(frozen.from_cells(along[0]) + frozen.from_perturbation(along[1]) + of_factors, ordinary) < 1e-9
    assert of_factors.norm() > 1e-3 * ordinary.norm()  # or the law would say nothing of them


def test_cells_and_genes_split_what_comes_from_the_cells(model):
    frozen = frozen_at(model, cells(2), BATCH.expand(2, -1))
    whole = frozen.from_cells(frozen.X)
    assert error(by_cell(frozen).sum(0), whole) < 1e-12
    assert error(by_gene(frozen).sum(0), whole) < 1e-12
    alone = frozen.X.clone()
    alone[..., [i for i in range(9) if i != 4]] = 0
    torch.testing.assert_close(by_gene(frozen)[4], frozen.from_cells(alone), rtol=1e-12, atol=1e-12)


def test_a_cell_that_another_does_not_see_adds_nothing_to_it():
    for name, seen in (("self", torch.eye(6)), ("rope", torch.ones(6, 6).triu())):
        given = by_cell(frozen_at(build(name))).abs().sum(-1) > 0  # from cell, to cell
        assert torch.equal(given, seen.bool())
    assert (by_cell(frozen_at(build("llama"))).abs().sum(-1) > 0).all()


def test_constants_are_kept_apart():
    for name, absent in {"llama": (), "batch_token": ("batch",), "gpt2": (), "rope": ("tokens",)}.items():
        model = build(name)
        found = contributions(frozen_at(model))
        for part in ("batch", "tokens", "bias"):
            assert (found._asdict()[part].norm() == 0) == (part in absent), (name, part)
        zero = frozen_at(model).from_cells(torch.zeros(6, 9).double())
        assert (zero == 0).all()


def test_the_engine_gives_the_detached_jacobian(model):
    """The Jacobian of a frozen model, under any code, is the frozen map's own matrix."""
    frozen = frozen_at(model, cells(1), BATCH[None])
    codes = model.encode_perturbations(["B"])
    found = shift_factors(frozen.model, codes[0], Point(frozen.X, BATCH[None], None))
    shift = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = frozen.from_cells(shift.expand_as(frozen.X)).mean(-2)
    assert error(found.times(shift.expand(1, -1)), wanted) < 1e-12


@pytest.mark.parametrize("name", ["llama", "batch_token", "gpt2"])
def test_one_cell_with_a_multiplicity_is_split_as_its_copies_are(name):
    model, X = build(name), cells()[:1]
    batch = torch.tensor([1])
    once = model.freeze(X, "B", batch, torch.tensor([6.0]).double())
    many = model.freeze(X.expand(6, -1), "B", batch.expand(6))
    for one, copies in zip(contributions(once), contributions(many), strict=True):
        torch.testing.assert_close(one[0], copies[0], rtol=1e-12, atol=1e-12)


def test_the_gene_decoder_is_frozen_too():
    model = build("embedding")
    frozen = frozen_at(model)
    factors = frozen.model.nonlinearities.factors | recorded_decoder(model, frozen.output)
    held = model.with_nonlinearities(DetachedNonlinearities(factors))
    assert error(held.decode_genes(frozen.output), model.decode_genes(frozen.output)) < 1e-12
    step = torch.randn(frozen.output.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    once, twice = (held.decode_genes(frozen.output + k * step) - held.decode_genes(frozen.output) for k in (1, 2))
    assert error(twice, 2 * once) < 1e-12


def recorded_decoder(model, output):
    from pertprobe.models.state.layers import RecordedNonlinearities

    recording = RecordedNonlinearities()
    model.with_nonlinearities(recording).decode_genes(output)
    return recording.factors


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_ratio_times_its_argument_is_the_function(kind):
    x = torch.linspace(-6, 6, 2001, dtype=torch.float64)
    torch.testing.assert_close(FUNCTIONS[kind].ratio(x) * x, FUNCTIONS[kind].value(x), rtol=1e-12, atol=1e-14)
    tiny = torch.tensor([-1e-9], dtype=torch.float64)
    at_zero, near = (FUNCTIONS[kind].ratio(each) for each in (torch.zeros(1).double(), tiny))
    torch.testing.assert_close(at_zero, near, rtol=1e-8, atol=1e-8)


def test_freezing_changes_nothing_in_the_model():
    model = build("llama", torch.float32)
    before = model.predict(cells().float(), "B", BATCH)
    frozen = freeze(model, cells().float(), "B", BATCH)
    assert torch.equal(before, model.predict(cells().float(), "B", BATCH))
    assert frozen.output.dtype == torch.float64
    assert model.dtype == torch.float32


def test_an_unknown_perturbation_is_named():
    with pytest.raises(PertprobeError, match="perturbation 'Z' is unknown"):
        build("llama").freeze(cells(), "Z", BATCH)
