"""Where a response comes from: the split is exact, and of planted models it is what was planted."""

import numpy as np
import pytest
import torch
from tiny import GENES, cell_sets, random_state

from pertprobe.interpret.frozen_contributions import (
    attributions,
    baseline,
    detached_gradient_x_input,
    ordinary_gradient_x_input,
    response,
)
from pertprobe.interpret.jacobian import Point, respond
from pertprobe.interpret.sources import SOURCES
from pertprobe.models.contributions import Contributions, contributions
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.models.planted.gated import gated_models

MODELS = {
    "llama": {}, "tokens": {"batch_encoder": False, "batch_token": True, "confidence_token": True},
    "deep": {"n_encoder_layers": 2, "n_decoder_layers": 3, "activation": "selu"},
}  # fmt: skip
NAMES = ["x1", "x2", "x3", *GENES[:6]]


@pytest.fixture(params=MODELS)
def model(request):
    return random_state(**MODELS[request.param])


def planted(kind="planted", shift=0.0, **more):
    cells = cell_sets()
    given = {"genes": GENES, "perturbations": NAMES, "control": "ctrl", "cells": cells, "programs": {"P": NAMES[:3]}}
    models = planted_models(**given, dtype=torch.float64, **more)
    return models[kind], models[kind].tensor(cells.values - shift)


def split(model, X=None, batch=None, name="x1"):
    if X is None:
        cells = cell_sets()
        X, batch = model.tensor(cells.values), model.batch_indices(cells.batches)
    control, frozen = baseline(model.freeze(X, model.control, batch)), model.freeze(X, name, batch)
    return control, frozen, attributions(control, frozen)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_sources_are_named_in_the_order_in_which_they_are_split():
    assert len(SOURCES) == len(Contributions._fields) + 1
    assert SOURCES[1:-1] == Contributions._fields[1:]


def test_sources_sum_to_the_response_and_shares_to_one(model):
    _, frozen, found = split(model)
    predicted = model.predict(frozen.X, "x1", frozen.batch) - model.predict(frozen.X, "ctrl", frozen.batch)
    close(found.delta_y, predicted.mean(-2))
    close(found.contributions.sum(-2), found.delta_y)
    close(found.shares.sum(-1), torch.ones(2).double())
    close(found.total, frozen.output)
    assert (found.shares.abs() > 1e-6).sum() >= 6  # several parts, in both sets


def test_genes_sum_to_the_share_of_the_cells(model):
    control, frozen, found = split(model)
    genes = detached_gradient_x_input(control.map, frozen, found.weights)
    close(genes.sum(-1), found.shares[:, SOURCES.index("cells")])
    alone = torch.zeros_like(frozen.X)
    alone[..., 7] = frozen.X[..., 7]
    moved = frozen.from_cells(alone) - control.map.from_cells(alone)
    close(genes[:, 7], (found.weights * moved).sum((-2, -1)))


def test_the_short_split_is_the_same(model):
    control, frozen, found = split(model)
    delta_y, via_cells = response(control, frozen)
    close(delta_y, found.delta_y)
    close(via_cells, found.contributions[:, SOURCES.index("cells")])


def test_ordinary_routes_are_gradient_times_input(model):
    _, frozen, found = split(model)
    point = Point(frozen.X, frozen.batch, None)
    expected = []
    for name in ("ctrl", "x1"):
        code = model.encode_perturbations([name])[0]
        X = frozen.X.clone().requires_grad_()
        (found.weights * respond(model, code, point, X)).sum().backward()
        expected.append((X.grad * X).sum(-2).detach())
    close(ordinary_gradient_x_input(model, ("ctrl", "x1"), point, found.weights), expected[1] - expected[0])


def test_the_control_has_no_response_and_no_shares(model):
    _, _, found = split(model, name="ctrl")
    assert (found.shares == 0).all()
    assert (found.delta_y == 0).all()
    assert (found.contributions == 0).all()


def test_an_output_that_opens_is_no_part_of_the_cells(model):
    """An output closed under the control is moved by its opening alone."""
    weights = {name: weight.clone() for name, weight in model.parameters.items()}
    last = f"project_out.{3 * (model.architecture.n_decoder_layers - 1)}.bias"
    weights[last][4] = -1e3
    closed = model.with_parameters(weights)
    control, _, _ = split(closed)
    _, frozen, _ = split(model)
    found = attributions(control, frozen)
    assert (found.contributions[:, :-1, 4] == 0).all()
    close(found.contributions[:, -1, 4], found.delta_y[:, 4])


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("set_term", [0.0, 0.5])
@pytest.mark.parametrize("relu", [False, True])
def test_mechanisms_answer_through_the_cells_and_lookups_do_not(shift, set_term, relu):
    for kind, source in (("planted", "cells"), ("lookup", "direct"), ("covariation", "direct")):
        model, X = planted(kind, shift, set_term=set_term, relu=relu)
        _, frozen, found = split(model, X)
        close(sum(contributions(frozen)), model.predict(X, "x1"))
        shares = dict(zip(SOURCES, found.shares.T, strict=True))
        close(shares[source] + shares["opening"], torch.ones(2).double())
        others = [shares[name] for name in SOURCES if name not in (source, "opening")]
        assert all((each.abs() < 1e-12).all() for each in others)
        opens = bool((shares["opening"].abs() > 1e-3).any())
        assert opens if relu and shift > 0 else relu or not opens


def test_a_mechanism_is_routed_through_the_genes_that_it_reads():
    model, X = planted()
    control, frozen, found = split(model, X)
    genes = detached_gradient_x_input(control.map, frozen, found.weights)
    read = (model.parts.sources != 0).any(-1)
    assert (genes[:, ~read].abs() < 1e-12).all()
    assert (genes[:, read].abs() > 1e-6).any()


@pytest.mark.parametrize(("kind", "source"), [("planted", "cells"), ("lookup", "direct")])
def test_models_of_many_gates_answer_so_too(kind, source):
    base, X = planted()
    model = gated_models(base, cell_sets())[kind]
    X = model.tensor(X)
    _, frozen, found = split(model, X)
    close(sum(contributions(frozen)), model.predict(X, "x1"), 1e-6)
    assert found.shares[:, SOURCES.index(source)].numpy() == pytest.approx(np.ones(2), abs=1e-5)
