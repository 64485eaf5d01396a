"""Planted models: the formula, its laws, its derivatives, the strength asked for, and what the probes say of them."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import jacrev, vmap

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.simulate import simulate
from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian import (
    Point,
    cells_point,
    check_multiplicity,
    mean_cell_point,
    panel_jacobian,
    respond,
)
from pertprobe.interpret.knockouts import knocked_out
from pertprobe.models.planted import materials
from pertprobe.models.planted.closed_form import BACKGROUND, GATE_SCALE, planted_models
from pertprobe.models.randomised import randomised_controls, redraw_obstacle
from pertprobe.probes.panels import pathway_scores
from pertprobe.seeding import generator
from pertprobe.statistics.matched import paired_profile_test
from pertprobe.statistics.permutation import mean_score
from pertprobe.statistics.similarity import centred, cosine_similarity, spearman_matrix

KINDS = ("planted", "lookup", "covariation")
GENES = tuple(f"g{i:02d}" for i in range(30))
PERTURBATIONS = (*GENES[:8], "x1", "x2", "x3", "x4")
PROGRAMS = {"P": PERTURBATIONS[:4], "Q": PERTURBATIONS[2:7]}
PANELS = {"panel": {"program": "P", "regulators": ["g10", "g11"], "targets": ["g12", "g13", "g14"]}}
VERSIONS = {"plain": {}, "set_term": {"set_term": 0.7}, "relu": {"relu": True}, "both": {"set_term": 0.7, "relu": True}}


def cell_sets(n_sets=2, S=6, genes=GENES, seed=0, context="here"):
    rng = np.random.default_rng(seed)
    values = rng.gamma(1.0, 1.0, (n_sets, S, len(genes))) * (rng.random((n_sets, S, len(genes))) < 0.8)
    ids = np.array([f"cell{i}" for i in range(n_sets * S)]).reshape(n_sets, S)
    return CellSets(values, tuple(genes), None, ids, context)


def build(cells=None, **changes):
    given = {
        "genes": GENES, "perturbations": PERTURBATIONS, "control": "ctrl", "programs": PROGRAMS, "panels": PANELS,
        "seed": 1, "dtype": torch.float64, "cells": cells or cell_sets(),
    }  # fmt: skip
    return planted_models(**(given | changes))


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=tolerance, atol=tolerance)


@pytest.fixture(params=list(itertools.product(KINDS, VERSIONS)), ids="-".join)
def model(request):
    kind, version = request.param
    return build(**VERSIONS[version])[kind]


def by_hand(model, X, perturbation):
    """The formula (methods.md, Planted models), cell by cell and program by program, for one set [S, G]."""
    parts = [part.numpy() for part in model.parts]
    codes, linear, u, w, c, between_cells = parts
    row, control = model.perturbations.index(perturbation), model.perturbations.index(model.control)
    K = len(w)
    Y = np.zeros((len(X), w.shape[1]))
    for s, x in enumerate(X):
        Y[s] = x @ linear
        for k in range(K):
            opened, closed = (np.log1p(np.exp(codes[at, codes.shape[1] - K + k] / GATE_SCALE)) for at in (row, control))
            Y[s] += (opened - closed) * (x @ u[:, k] if model.kind == "planted" else c[k]) * w[k]
        if len(X) > 1:
            Y[s] += (np.delete(X, s, axis=0).mean(axis=0) - x) @ between_cells
    return np.maximum(Y, 0.0) if model.relu else Y


def test_a_prediction_is_the_formula(model):
    X = cell_sets().values.astype(np.float64)
    for name in ("g00", "g03", "x1", "ctrl"):
        found = model.predict(X, name)
        assert found.shape == (2, 6, 30)
        close(found, np.stack([by_hand(model, each, name) for each in X]))
        close(model.predict(torch.as_tensor(X), name), found, 0.0)
    close(model.predict(X[:, :1], "x1"), np.stack([by_hand(model, each[:1], "x1") for each in X]))


@pytest.mark.parametrize("set_term", [0.0, 0.7])
def test_mean_delta_y_is_equal_in_all_three(set_term):
    cells = cell_sets(n_sets=3)
    models, shifts = build(cells, set_term=set_term), {}
    for kind, model in models.items():
        means = {name: model.predict(cells.values, name).mean((0, 1)) for name in model.perturbations}
        shifts[kind] = torch.stack([means[name] - means["ctrl"] for name in PERTURBATIONS])
    assert shifts["planted"].abs().max() > 0.1
    for kind in KINDS[1:]:
        close(shifts[kind], shifts["planted"], 1e-12)
    assert not torch.allclose(models["lookup"].parts.linear, models["planted"].parts.linear)


def test_codes_are_the_same_in_all_three_and_hidden_states_show_them():
    cells, models = cell_sets(), build()
    codes = models["planted"].encode_perturbations(PERTURBATIONS)
    for model in models.values():
        close(model.encode_perturbations(PERTURBATIONS), codes, 0.0)
        encoded = model.encode_cells(model.tensor(cells.values))
        layers = [model.mix(code.expand(2, -1), encoded).layers for code in codes]
        assert {len(each) for each in layers} == {model.n_layers + 1}
        for layer in range(model.n_layers + 1):
            means = torch.stack([each[layer].mean((0, 1)) for each in layers])
            close(means - means.mean(0), codes - codes.mean(0))


def test_the_control_opens_no_gate(model):
    cells = cell_sets()
    expected = model.encode_cells(model.tensor(cells.values)).residual
    close(model.predict(cells.values, "ctrl"), expected.clamp_min(0.0) if model.relu else expected, 0.0)


def test_every_gate_is_above_the_controls():
    models = build(perturbations=[f"p{i}" for i in range(500)], programs={"P": ["p1", "p2"]}, panels={})
    codes = models["planted"].parts.codes
    gates = codes[:, codes.shape[1] - 4 :]
    assert (gates[:-1] > gates[-1]).all()
    assert models["planted"].perturbations[-1] == "ctrl"


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_mechanism_changes_the_derivative_with_the_perturbation(kind):
    cells, model = cell_sets(), build(set_term=0.3)[kind]
    found = [
        jacrev(lambda X, code=code: respond(model, code, cells_point(cells.values, None, code), X).mean(1))(
            model.tensor(cells.values)
        )
        for code in model.encode_perturbations(["g00", "g05", "x1"])
    ]
    different = [not torch.equal(a, b) for a, b in itertools.combinations(found, 2)]
    assert all(different) if kind == "planted" else not any(different)


def test_prediction_does_not_depend_on_the_order_of_cells(model):
    X, order = cell_sets().values, [3, 0, 5, 1, 4, 2]
    close(model.predict(X[:, order], "g00"), model.predict(X, "g00")[:, order])
    assert "set_function" in model.capabilities


def test_identical_cells_are_one_cell_of_their_multiplicity(model):
    X = model.tensor(cell_sets().values)[0, :2]
    counts = torch.tensor([2.0, 4.0], dtype=torch.float64)
    code = model.encode_perturbations(["g03"])[0]
    whole = model.predict(X.repeat_interleave(counts.long(), dim=0), "g03")
    close(respond(model, code, Point(X, None, counts)), whole[[0, 2]])
    check_multiplicity(model, code, mean_cell_point(cell_sets().values, None, code))


def test_stages_take_leading_axes_and_edits(model):
    X = model.tensor(cell_sets().values)
    a, b = model.encode_perturbations(["g00", "x1"])
    mapped = vmap(lambda X, code: respond(model, code, Point(X, None, None)))(X, torch.stack([a, b]))
    close(mapped[1], model.predict(X[1], "x1"))
    encoded = model.encode_cells(X)
    for at in range(model.n_layers + 1):
        donor = model.mix(b, encoded).layers[at]
        patched = model.mix(a, encoded, lambda layer, states, at=at, donor=donor: donor if layer == at else states)
        close(model.decode(patched, encoded, X), model.predict(X, "x1"), 0.0)


def dense(model, X, code):
    """Return dY_s/dX_s' [S, S', G_out, G] of one set [S, G] by automatic differentiation."""
    whole = jacrev(lambda X: respond(model, code, Point(X, None, None)))(X)  # [S, G_out, S', G]
    return whole.transpose(1, 2)


@pytest.mark.parametrize("name", ["g00", "g03", "x2", "ctrl"])
def test_the_exact_jacobian_is_the_engines(model, name):
    cells, code = cell_sets(), model.encode_perturbations([name])[0]
    every = list(range(len(GENES)))
    X = model.tensor(cells.values)
    copies_of_the_mean = X.mean(1, keepdim=True).expand_as(X)
    points = cells_point(cells.values, None, code), mean_cell_point(cells.values, None, code)
    for values, point in zip((X, copies_of_the_mean), points, strict=True):
        found = panel_jacobian(model, code[None], point, every, every)
        close(model.jacobian(values, name, derivative="total"), found.values[0])
    blocks = torch.stack([dense(model, each, code) for each in X])
    diagonal = blocks.diagonal(dim1=1, dim2=2).mean(-1)
    close(model.jacobian(cells.values, name, derivative="diagonal"), diagonal)
    close(model.jacobian(cells.values, name, derivative="total"), blocks.sum(2).mean(1))
    blocks = torch.stack([dense(model, each, code) for each in copies_of_the_mean])
    for derivative, expected in (
        ("diagonal", blocks.diagonal(dim1=1, dim2=2).mean(-1)),
        ("total", blocks.sum(2).mean(1)),
    ):
        close(model.jacobian(copies_of_the_mean, name, derivative=derivative), expected)


def test_the_exact_jacobian_is_that_of_central_differences(model):
    cells, step = cell_sets(), 1e-6
    X = cells.values.astype(np.float64)
    total = model.jacobian(X, "g03", derivative="total")
    diagonal = model.jacobian(X, "g03", derivative="diagonal")
    for gene in (0, 10, 12):
        moved = step * (np.arange(len(GENES)) == gene)
        above, below = (model.predict(X + sign * moved, "g03").mean(1) for sign in (1, -1))
        close((above - below) / (2 * step), total[..., gene], 1e-7)
        own = []
        for s in range(X.shape[1]):
            one = moved * (np.arange(X.shape[1]) == s)[:, None]
            above, below = (model.predict(X + sign * one, "g03")[:, s] for sign in (1, -1))
            own.append((above - below) / (2 * step))
        close(torch.stack(own).mean(0), diagonal[..., gene], 1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_what_crosses_cells_has_the_size_of_the_set_term(kind):
    cells, model = cell_sets(), build(set_term=0.7)[kind]
    total, diagonal = (model.jacobian(cells.values, "g00", derivative=which) for which in ("total", "diagonal"))
    close(total - diagonal, model.parts.between_cells.mT.expand(2, -1, -1))
    once = build(set_term=1.4)[kind].parts.between_cells
    close(once, 2 * model.parts.between_cells)
    alone = cells.values[:, :1]
    close(
        model.jacobian(alone, "g00", derivative="diagonal"),
        model.jacobian(alone, "g00", derivative="total"),
        0.0,
    )


def test_derivatives_of_a_panel_rise_with_the_gate_and_with_nothing_else():
    model = build()["planted"]
    rows, columns = ([GENES.index(name) for name in PANELS["panel"][part]] for part in ("targets", "regulators"))
    codes = model.encode_perturbations(PERTURBATIONS)
    gate = codes[:, codes.shape[1] - 5].numpy()  # two programs and three of the background; P is the first
    found = [model.jacobian(cell_sets().values, name)[0][rows][:, columns] for name in PERTURBATIONS]
    order = np.argsort(gate)
    for earlier, later in itertools.pairwise(order):
        assert (found[later] > found[earlier]).all()
    assert (model.jacobian(cell_sets().values, "ctrl")[0][rows][:, columns] == 0).all()


def test_with_a_relu_the_lookups_derivative_changes_by_the_open_share_alone():
    """A remembered shift opens outputs: J differs between perturbations, J per open cell does not."""
    model, values, every = build(relu=True)["lookup"], cell_sets().values, list(range(len(GENES)))
    codes = model.encode_perturbations(PERTURBATIONS)
    J, opened, _ = panel_jacobian(model, codes, cells_point(values, None, codes), every, every)
    assert not torch.allclose(J[0], J[1])
    per_open_cell = (J / opened[..., None]).nanmean(0)
    close(J, torch.where(opened[..., None] > 0, per_open_cell, 0.0) * opened[..., None])


def test_the_expected_signs_of_a_panel_are_planted():
    panel = PANELS["panel"] | {"signs": {"g10>g13": -1, "g11>g13": -1, "g10>g12": 1}}
    model = build(panels={"panel": panel})["planted"]
    found = model.jacobian(cell_sets().values, "g00")[0]
    assert found[GENES.index("g13"), GENES.index("g10")] < 0
    assert found[GENES.index("g12"), GENES.index("g10")] > 0


def test_perturbations_that_a_panel_names_have_their_gate_shifted():
    asked = {
        "panel": PANELS["panel"] | {"perturbations": ["x3"]},
        "same": PANELS["panel"] | {"perturbations": "program"},
    }
    plain, named = (build(panels=panels)["planted"].parts.codes for panels in (PANELS, asked))
    moved = (named - plain)[:, named.shape[1] - 5] / GATE_SCALE
    assert {PERTURBATIONS[i] for i in np.flatnonzero(moved.numpy()[:-1])} == {"x3"}
    assert moved[PERTURBATIONS.index("x3")] == pytest.approx(2.0)


def test_genes_of_programs_without_a_panel_are_drawn_by_name_expressed_and_outside_panels():
    values = cell_sets().values.copy()
    silent = ["g03", "g17", "g25"]
    values[..., [GENES.index(name) for name in silent]] = 0.0
    model = build(replace(cell_sets(), values=values, hash=""))["planted"]
    taken = {*PANELS["panel"]["regulators"], *PANELS["panel"]["targets"], *silent}
    drawn = [k for k in range(5) if k != 0]
    for k in drawn:
        used = {GENES[i] for i in torch.nonzero(model.parts.sources[:, k]).flatten()}
        used |= {GENES[i] for i in torch.nonzero(model.parts.effects[k]).flatten()}
        assert len(used) == 3 + 7
        assert not used & taken


def test_a_panel_whose_genes_are_not_measured_gives_way_to_drawn_ones():
    model = build(panels={"panel": PANELS["panel"] | {"regulators": ["absent"]}})["planted"]
    assert (model.parts.sources[:, 0] != 0).sum() == 3


def test_programs_and_graph_do_not_meet():
    """No edge lies between a program's regulators and its targets, and no gene acts on itself."""
    for kind, model in build().items():
        graph = model.parts.linear - torch.eye(len(GENES), dtype=torch.float64)
        if kind != "lookup":
            meeting = (model.parts.sources != 0).double() @ (model.parts.effects != 0).double() > 0
            assert (graph[meeting] == 0).all()
        assert (graph.diagonal() == 0).all()
        assert graph.abs().sum() > 1


def test_covariation_is_the_ridge_regression_on_all_other_genes():
    X = cell_sets(n_sets=3).values.reshape(-1, len(GENES)).astype(np.float64)
    found, x = materials.ridge(X), X - X.mean(0)
    penalty = x.var(axis=0).mean()
    for gene in range(len(GENES)):
        others = np.delete(np.arange(len(GENES)), gene)
        normal = x[:, others].T @ x[:, others] / len(x) + penalty * np.eye(len(others))
        expected = np.linalg.solve(normal, x[:, others].T @ x[:, gene] / len(x))
        np.testing.assert_allclose(found[others, gene], expected, atol=1e-12)
    assert (np.diagonal(found) == 0).all()


def test_what_two_contexts_share():
    here, there = (build(cell_sets(seed=seed, context=name)) for seed, name in ((0, "here"), (5, "there")))
    for part in ("codes", "sources", "effects", "linear"):
        close(getattr(here["planted"].parts, part), getattr(there["planted"].parts, part), 0.0)
    for kind in KINDS[1:]:
        assert not torch.allclose(here[kind].parts.linear, there[kind].parts.linear)
    entries = [
        model.parts.linear.flatten().sort().values for model in (here["lookup"], there["lookup"], here["planted"])
    ]
    close(entries[0], entries[1], 0.0)
    close(entries[0], entries[2], 0.0)


def test_a_graph_adds_to_a_gene_about_half_its_natural_variation():
    graph = materials.gene_graph(200, 3, "shared")
    X = np.random.default_rng(0).normal(size=(500, 200))
    assert np.median((X @ graph).std(axis=0)) == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize("what", ["genes", "perturbations", "programs", "cells"])
def test_numbers_go_with_names_and_not_with_positions(what):
    cells = cell_sets()
    genes = GENES[::-1] if what == "genes" else GENES
    changes = {
        "genes": {"genes": genes},
        "perturbations": {"perturbations": PERTURBATIONS[::-1]},
        "programs": {"programs": dict(reversed(PROGRAMS.items()))},
        "cells": {"cells": cells.for_genes(GENES[::-1])},
    }[what]
    plain, turned = build(cells, set_term=0.4), build(**{"cells": cells, "set_term": 0.4, **changes})
    values = cells.for_genes(genes).values
    for kind in KINDS:
        found = turned[kind].predict(values, "g03")
        close(found.flip(-1) if what == "genes" else found, plain[kind].predict(cells.values, "g03"))
        similarity = [cosine_similarity(each[kind].encode_perturbations(PERTURBATIONS)) for each in (plain, turned)]
        np.testing.assert_allclose(*similarity, atol=1e-12)


def test_seeds_give_other_models():
    one, same, other = (build(seed=seed)["planted"].predict(cell_sets().values, "g00") for seed in (1, 1, 2))
    close(one, same, 0.0)
    assert not torch.allclose(one, other)


def test_what_no_perturbation_changes_is_computed_once(monkeypatch):
    model, values, calls = build()["planted"], cell_sets().values, []
    encode = model.encode_cells
    monkeypatch.setattr(model, "encode_cells", lambda X: calls.append(1) or encode(X))
    for name in PERTURBATIONS:
        model.predict(values, name)
    model.predict(values.copy(), "ctrl")
    assert len(calls) == 1
    before = model.predict(values, "x1")
    values[0, 0, 5] += 1.0  # the same array with other numbers
    assert not torch.equal(model.predict(values, "x1"), before)
    close(model.predict(values, "x1"), build()["planted"].predict(values, "x1"), 0.0)


def test_float32_is_float64_but_for_rounding():
    values = cell_sets().values
    single, double = (build(dtype=dtype, set_term=0.3)["planted"] for dtype in (torch.float32, torch.float64))
    assert single.predict(values, "g00").dtype == torch.float32
    close(single.predict(values, "g00").double(), double.predict(values, "g00"), 1e-5)


def test_faults_are_said_in_words():
    model = build()["lookup"]
    with pytest.raises(PertprobeError, match=r"lookup: perturbation 'g0' is unknown \(of 13; near matches: g0"):
        model.predict(cell_sets().values, "g0")
    with pytest.raises(PertprobeError, match=r"lookup: cells must be \[\.\.\., cells, 30\].*not \(2, 6, 29\)"):
        model.predict(cell_sets().values[..., 1:], "g00")
    with pytest.raises(PertprobeError, match="panels of programs that are not defined: P"):
        build(programs={"Q": PROGRAMS["Q"]})
    with pytest.raises(PertprobeError, match="g29"):
        build(cell_sets(genes=GENES[:-1]))


def test_a_planted_model_has_no_architecture_null(model):
    assert redraw_obstacle(model) == f"{model.kind}: a planted model has no architecture null"
    assert list(randomised_controls(model, 2, cascade=True)) == []
    assert model.card["causal"] is False
    assert model.card["d"] == 2.0


def realised(similarity, member):
    """Return by how many sd of all others members lie higher in mean similarity with the (other) members."""
    inside = np.flatnonzero(member)
    scores = similarity[:, inside].sum(axis=1) - np.where(member, np.diagonal(similarity), 0.0)
    scores = scores / np.where(member, len(inside) - 1, len(inside))
    return (scores[member].mean() - scores[~member].mean()) / scores[~member].std()


@pytest.mark.parametrize(
    ("n", "n_programs", "sizes"),
    [(80, 8, (4, 10)), (100, 50, (4, 30)), (300, 20, (4, 30)), (300, 10, (4, 4)), (80, 8, (30, 30))],
)
@pytest.mark.parametrize("d", [1.0, 2.0])
def test_the_strength_asked_for_is_planted_in_the_codes(n, n_programs, sizes, d):
    names, found = [f"p{i:03d}" for i in range(n)], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        drawn = [rng.choice(names, rng.integers(sizes[0], sizes[1] + 1), replace=False) for _ in range(n_programs)]
        programs = {f"P{k}": each.tolist() for k, each in enumerate(drawn)}
        model = build(perturbations=names, programs=programs, panels={}, seed=seed, d=d)["planted"]
        similarity = cosine_similarity(centred(model.encode_perturbations(names)))
        found += [realised(similarity, np.isin(names, each)) for each in programs.values()]
    assert np.mean(found) == pytest.approx(d, rel=0.1)


def test_programs_that_share_all_members_share_their_loadings():
    names = [f"p{i:03d}" for i in range(80)]
    twice, once = (
        materials.loadings(materials.membership(names, dict.fromkeys(keys, names[:8])), 2.0) for keys in ("AB", "A")
    )
    assert (twice**2).sum() == pytest.approx((once**2).sum(), rel=1e-3)
    assert materials.loadings(materials.membership(names, {"one": names[:1], "none": ()}), 2.0).tolist() == [0.0, 0.0]


def test_the_strength_asked_for_is_planted_in_the_gates():
    names = [f"p{i:03d}" for i in range(400)]
    members = materials.membership(names, {f"P{k}": names[20 * k : 20 * (k + 1)] for k in range(20)})
    gates = materials.gates(names, list("abcdefghijklmnopqrst"), members, 1.5, 0)
    shift = [(gates[m, k].mean() - gates[~m, k].mean()) / gates[~m, k].std() for k, m in enumerate(members.T)]
    assert np.mean(shift) == pytest.approx(1.5, rel=0.1)


# What the probes say of them, on simulated cells of two contexts.

SEEDS = range(5)


class World:
    """Cells of a simulation, and the planted models on its names."""

    def __init__(self, seed, **changes):
        simulation = simulate(
            genes=120, perturbations=32, programs=4, seed=seed, cells_per_perturbation=2, control_cells=140
        )
        self.names = sorted(set(simulation.cells.obs.gene) - {"non-targeting"})
        self.programs = {name: program.members for name, program in simulation.programs.items()}
        self.panels = {
            name: {"program": name, "regulators": program.regulators, "targets": program.targets}
            for name, program in simulation.programs.items()
        }
        self.cells = {context: controls(simulation.cells, context) for context in ("line_a", "line_b")}
        self.models = {
            context: planted_models(
                genes=cells.genes, perturbations=self.names, control="non-targeting", cells=cells,
                programs=self.programs, panels=self.panels, seed=seed, **changes,
            )
            for context, cells in self.cells.items()
        }  # fmt: skip
        self.seed = seed


def controls(cells, context):
    chosen = cells[(cells.obs.cell_line == context) & (cells.obs.gene == "non-targeting")][:128]
    ids = chosen.obs_names.to_numpy().astype(str).reshape(4, 32)
    return CellSets(chosen.X.reshape(4, 32, -1), tuple(chosen.var_names), None, ids, context)


@pytest.fixture(scope="module")
def worlds():
    return [World(seed) for seed in SEEDS]


def panel_p(world, kind, name):
    """Return the p that a verdict reads for one panel: mean-cell Jacobians, ranks, strength held."""
    model, cells, panel = world.models["line_a"][kind], world.cells["line_a"], world.panels[name]
    means = {each: model.predict(cells.values, each).mean((0, 1)) for each in (*world.names, model.control)}
    strength = np.array([(means[each] - means[model.control]).norm() for each in world.names])
    rows, columns = ([model.genes.index(gene) for gene in panel[part]] for part in ("targets", "regulators"))
    codes = model.encode_perturbations(world.names)
    point = mean_cell_point(cells.values, None, codes)
    found = panel_jacobian(model, codes, point, rows, columns).values.mean(1).flatten(1)
    pairs = [f"{regulator}>{target}" for target in panel["targets"] for regulator in panel["regulators"]]
    scores, _ = pathway_scores(pd.DataFrame(found.abs().numpy(), world.names, pairs))
    members = np.flatnonzero(np.isin(scores.index, world.programs[name]))
    test = mean_score(scores.to_numpy(), members, strength, 999, generator(world.seed, "panel", name))
    return test.p_stratified if test.p_used == "p_stratified" else test.p


@pytest.mark.parametrize(("kind", "found"), [("planted", True), ("lookup", False), ("covariation", False)])
def test_the_panel_probe_finds_the_mechanism_and_nothing_else(worlds, kind, found):
    p = np.array([panel_p(world, kind, name) for world in worlds for name in world.panels])
    # 20 panels of 5 members among 32 perturbations. Without a mechanism all ranks are tied: p is 1, not merely large.
    assert (p <= 0.05).mean() >= 0.95 if found else (p == 1).all()


def knockout_agreement(world, kind):
    """Return the test of all genes together: the profile of a gene in one context with those in the other."""
    expression = np.mean([cells.values.mean((0, 1)) for cells in world.cells.values()], axis=0)
    genes = np.argsort(-expression, kind="stable")[:60]
    deciles = np.arange(60) // 6
    profiles = []
    for context, models in world.models.items():
        model, values = models[kind], world.cells[context].values
        before = model.predict(values, model.control).mean((0, 1))
        after = [model.predict(knocked_out(values, gene, "zero"), model.control).mean((0, 1)) for gene in genes]
        profiles.append((torch.stack(after) - before).numpy())
    r = spearman_matrix(*profiles, genes, genes)
    return paired_profile_test(r, deciles, 999, generator(world.seed, "knockout"))


def test_knockouts_agree_between_contexts_in_the_mechanism_and_not_in_the_lookup(worlds):
    mechanism, lookup = ([knockout_agreement(world, kind) for world in worlds] for kind in ("planted", "lookup"))
    assert all(each.test.p <= 0.001 and each.matched > 0.95 for each in mechanism)
    assert np.mean([each.test.p for each in lookup]) > 0.2
    assert max(abs(each.matched) for each in lookup) < 0.1


def test_knockouts_agree_a_little_where_contexts_share_their_covariation(worlds):
    """Agreement alone does not tell co-variation from mechanism; its size does, and the panel probe."""
    found = [knockout_agreement(world, "covariation") for world in worlds]
    assert all(each.test.p <= 0.05 for each in found)
    assert all(0.0 < each.test.estimate < 0.2 for each in found)


def test_background_programs_have_no_members():
    assert len(BACKGROUND) == len(set(BACKGROUND) - set(PROGRAMS))
    model = build(programs={}, panels={})["planted"]
    assert len(model.parts.effects) == len(BACKGROUND)
    assert model.predict(cell_sets().values, "g00").shape == (2, 6, 30)
