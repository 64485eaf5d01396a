"""targeted_jacobian: are a panel's derivatives larger under its pathway's perturbations?"""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from tiny import GENES, cell_sets, profiles, random_state, rows_of, subject, to_measure, to_test

from pertprobe import evidence
from pertprobe.data.observed import of_known
from pertprobe.data.programs import Panel
from pertprobe.models.known.model import KnownModel
from pertprobe.models.known.readings import components
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.probes import load_probe, panels, targeted_jacobian
from pertprobe.probes.base import Drawing
from pertprobe.probes.declaration import declared
from pertprobe.probes.panels import means_of, over, panel_table, pathway_scores, ranks
from pertprobe.probes.questions import ask
from pertprobe.stages.measuring import gather, measure_shard
from pertprobe.stages.testing import TestCase, run_test
from pertprobe.statistics.published import rank_sum_triples

PATHWAY = [f"p{i}" for i in range(5)]
OTHERS = [f"q{i:02d}" for i in range(30)]
NAMES = [*PATHWAY, *OTHERS, "g00", "g05"]
REGULATORS, TARGETS = ("g00", "g01"), ("g05", "g08", "g09")
FEATURES = [f"{a}>{b}" for b in TARGETS for a in REGULATORS]
CONTROLS = {"panel": {"regulators": ["g02", "g03"], "targets": ["g06", "g10"]}}
PANEL = Panel("panel", "P", REGULATORS, TARGETS, tuple(PATHWAY), tuple(OTHERS[:4]))
PROGRAMS = {"P": PATHWAY, "alone": ["q00", "q01", "q02"]}


def jacobians(push=3.0, seed=0):
    """Return random derivatives [perturbation, pair], larger in magnitude under the pathway's perturbations."""
    values = pd.DataFrame(np.random.default_rng(seed).normal(size=(len(NAMES), len(FEATURES))), NAMES, FEATURES)
    values.loc[PATHWAY] += push * np.sign(values.loc[PATHWAY])
    return values


def measured(values, closed=None):
    """Return the measurement; `closed` maps a target to the perturbations under which its output is closed."""
    extra = [f"{a}>{b}" for b in CONTROLS["panel"]["targets"] for a in CONTROLS["panel"]["regulators"]]
    noise = np.random.default_rng(7).normal(size=(len(NAMES), len(extra)))
    values = values.join(pd.DataFrame(noise, sorted(NAMES), extra))
    attrs = {"batch": "b1", "control_pairs": json.dumps(CONTROLS)}
    found = profiles("jacobian", values.to_numpy(), values.index, values.columns, **attrs)
    opened = pd.DataFrame(1.0, values.index, [*TARGETS, *CONTROLS["panel"]["targets"]])
    for target, names in (closed or {}).items():
        opened.loc[names, target] = 0.0
    for name in ("open", "gain"):
        found = found.merge(profiles(name, opened.to_numpy(), opened.index, opened.columns, feature="gene"))
    return found


def asked(values, panel=PANEL, closed=None, programs=PROGRAMS, **more):
    inputs = to_test("targeted_jacobian", subject(measured(values, closed)), programs, panels={"panel": panel}, **more)
    return evidence.frame(ask("targeted_jacobian", inputs))


def primary(*given, **more):
    return rows_of(asked(*given, **more), statistic="rank_score", program="P").iloc[0]


def test_a_planted_signal_is_found():
    row = primary(jacobians())
    assert row.p < 0.02
    assert row.effect > 0.2
    assert (row.panel, row.n, row.n_background) == ("panel", 5, 37)
    assert "ranks of |J|" in row.reason
    assert "mean cell of batch b1" in row.reason


@pytest.mark.parametrize("seed", range(4))
def test_without_a_signal_the_score_lies_near_one_half(seed):
    row = primary(jacobians(push=0.0, seed=seed))
    assert abs(row.estimate - 0.5) < 0.25
    assert row.p > 0.01


def test_the_other_way_of_ranking_is_reported_beside_it():
    other = rows_of(asked(jacobians()), statistic="rank_score_alternative").iloc[0]
    assert "ranks of J" in other.reason
    assert np.isnan(other.p_published)


def test_control_pairs_without_a_signal_are_not_found():
    control = rows_of(asked(jacobians()), statistic="rank_score_control_pairs").iloc[0]
    assert control.p > 0.05
    assert "control pairs of g02, g03 with g06, g10" in control.reason
    assert (control.n, control.n_background) == (5, 37)


def test_pairs_that_hold_the_knocked_gene_are_left_out():
    values = jacobians()
    changed = values.copy()
    changed.loc["g00", [name for name in FEATURES if name.startswith("g00>")]] = 1e6
    changed.loc["g05", [name for name in FEATURES if name.endswith(">g05")]] = -1e6
    a, b = asked(values), asked(changed)
    valid = [name for name in evidence.COLUMNS if not name.endswith("_published")]
    pd.testing.assert_frame_equal(a[valid], b[valid])
    changed.loc["g05", "g01>g08"] = -1e6
    assert not asked(changed)[valid].equals(a[valid])


def test_a_perturbation_ranked_in_too_few_pairs_is_dropped_and_named():
    panel = replace(PANEL, targets=("g05", "g08"), regulators=("g05", "g01"))
    features = [f"{a}>{b}" for b in TARGETS for a in ("g05", "g01") if a != b]
    values = jacobians().set_axis([*features, "spare"], axis="columns")[features]
    row = primary(values, panel)
    assert "1 perturbations with too few pairs dropped: g05" in row.reason
    assert row.n_background == 36


def test_targets_that_are_mostly_closed_are_left_out_and_named():
    values = jacobians()
    closed = {"g08": NAMES[: len(NAMES) // 5 + 1]}
    changed = values.copy()
    changed[[name for name in FEATURES if name.endswith(">g08")]] = np.random.default_rng(3).normal(size=(37, 2))
    a, b = primary(values, closed=closed), primary(changed, closed=closed)
    assert "targets closed in more than 20% of perturbations left out: g08" in a.reason
    assert (a.estimate, a.p) == (b.estimate, b.p)
    assert a.estimate != primary(values).estimate


def test_a_target_closed_now_and_then_stays():
    values = jacobians()
    assert "left out" not in primary(values, closed={"g08": NAMES[:7]}).reason
    assert primary(values, closed={"g08": NAMES[:7]}).n_background == 37
    changed = values.copy()
    changed.loc[NAMES[:7], [name for name in FEATURES if name.endswith(">g08")]] = 1e6
    a, b = (primary(each, closed={"g08": NAMES[:7]}) for each in (values, changed))
    assert (a.estimate, a.p) == (b.estimate, b.p)  # where a target is closed its derivative says nothing


def test_members_of_the_program_outside_the_panel_are_no_background():
    panel = replace(PANEL, perturbations=tuple(PATHWAY[:3]))
    row = primary(jacobians(), panel)
    assert (row.n, row.n_background) == (3, 35)


def test_signs_turn_the_question():
    signs = dict.fromkeys(FEATURES, -1)
    values = jacobians(push=0.0)
    values.loc[PATHWAY] -= 3.0
    row = primary(values, replace(PANEL, signs=signs))
    assert "ranks of s J" in row.reason
    assert row.p < 0.02
    assert primary(-values, replace(PANEL, signs=signs)).p > 0.9


def test_programs_without_a_panel_are_not_evaluable():
    rows = rows_of(asked(jacobians()), program="alone")
    assert rows.evaluable.tolist() == [False]
    assert rows.reason.tolist() == ["no panel for this program"]


def test_a_panel_of_genes_that_are_not_measured_is_not_evaluable():
    rows = rows_of(asked(jacobians(), replace(PANEL, regulators=("absent",))), program="P")
    assert rows.statistic.tolist() == sorted(declared("targeted_jacobian").statistics)
    assert not rows.evaluable.any()
    assert rows.reason.str.contains("regulators not measured: absent").all()
    assert rows.reason.str.contains("no pair of the panel is measured and open").all()


def test_a_panel_with_one_pathway_perturbation_is_not_evaluable():
    row = primary(jacobians(), replace(PANEL, perturbations=("p0", "absent")))
    assert not row.evaluable
    assert row.reason.startswith("1 pathway perturbations, 3 needed")


def test_the_published_ratio_and_rank_sum_stand_beside_it():
    values = jacobians()
    pathway, control = (values.loc[list(names)].to_numpy().ravel() for names in (PATHWAY, OTHERS[:4]))
    row = primary(values)
    assert row.estimate_published == pytest.approx(pathway.mean() / control.mean())
    assert row.p_published == pytest.approx(rank_sum_triples(pathway, control).p)


@pytest.mark.parametrize("derivative", ["total", "diagonal"])
@pytest.mark.parametrize("at", ["mean_cell", "cells"])
def test_a_measurement_is_the_derivative_of_the_model(at, derivative):
    """By differences: all cells of a set are moved at once, or each by itself while the others stay."""
    model, cells = random_state(), cell_sets()
    genes = {"panel": {"regulators": list(REGULATORS), "targets": list(TARGETS)}}
    inputs = to_measure(model, cells, settings={"at": at, "derivative": derivative}, panels=genes)
    with torch.no_grad():
        found = targeted_jacobian.measure(inputs, ["x1", "x2"])
    value = found.jacobian.sel(perturbation="x2", feature="g01>g08").to_numpy()
    labels = cells.batches
    X = torch.as_tensor(cells.values).double()
    if at == "mean_cell":
        assert found.attrs["batch"] == max(sorted(set(labels.ravel())), key=labels.ravel().tolist().count)
        X, labels = X.mean(1, keepdim=True).expand(-1, 5, -1), np.full((2, 5), found.attrs["batch"])
    else:
        assert found.attrs["batch"] == ""
    step = 1e-5 * (torch.arange(len(GENES)) == GENES.index("g01"))
    moves = torch.ones(1, 5, 1) if derivative == "total" else torch.eye(5)[..., None]
    wanted = 0.0
    for move in moves:
        above, below = (
            model.predict(X + sign * step * move, "x2", labels)[..., GENES.index("g08")] for sign in (1, -1)
        )
        wanted = wanted + ((above - below) / 2e-5 * move[:, 0]).mean(1).numpy()
    np.testing.assert_allclose(value, wanted, atol=1e-8)


def test_panels_without_any_gene_of_the_model_are_not_evaluable():
    panel = {"p": {"regulators": ["z"], "targets": ["g01"]}}
    inputs = to_measure(random_state(), settings={"at": "cells", "derivative": "total"}, panels=panel)
    found = gather([measure_shard("targeted_jacobian", inputs, i, 2, redrawn=1) for i in range(2)])
    asked_of = to_test("targeted_jacobian", subject(found, strength={"x1": 1.0}), PROGRAMS, panels={"p": PANEL})
    rows = run_test("targeted_jacobian", TestCase(asked_of))
    assert set(rows.program) == set(PROGRAMS)
    assert not rows.evaluable.any()
    assert set(rows.reason) == {"no panel has regulators among the model's genes"}


def test_ranks_say_where_every_perturbation_stands_on_a_pair():
    values = xr.DataArray([[[0.1], [-3.0], [2.0]]], dims=("set", "perturbation", "feature"),
                          coords={"perturbation": ["P1", "P2", "P3"], "feature": ["R>T"]})  # fmt: skip
    opened = xr.DataArray([[[1.0], [1.0], [0.0]]], dims=("set", "perturbation", "gene"), coords={"gene": ["T"]})
    panel = {"panel": {"regulators": ["R", "T"], "targets": ["T", "unmeasured"]}}
    table = ranks(xr.Dataset({"jacobian": values, "open": opened, "gain": opened}), panel)
    assert table[["perturbation", "rank", "of", "open"]].values.tolist() == [
        ["P1", 3.0, 3, 1.0],
        ["P2", 1.0, 3, 1.0],
        ["P3", 2.0, 3, 0.0],
    ]
    assert ranks(xr.Dataset(attrs={"not_evaluable": "why"}), panel).empty


WIDE = tuple(f"g{i:02d}" for i in range(30))
MEMBERS = list(WIDE[:6])
KNOCKED = [*WIDE[:20], *(f"x{i}" for i in range(20))]
RELU_PANEL = Panel("panel", "P", WIDE[20:22], WIDE[23:26], tuple(MEMBERS), ())


@pytest.fixture(scope="module")
def sparse_cells():
    """Counts, many of them zero: outputs near zero, which a perturbation opens or closes."""
    cells = cell_sets(n_sets=3, set_size=16, genes=WIDE)
    cells.values[...] = np.log1p(np.random.default_rng(0).poisson(0.7, cells.values.shape))
    return cells


def with_relu(cells, kind, at, dtype):
    """Return the measurement of a planted model that ends in a ReLU."""
    panels = {"panel": {"program": "P", "regulators": RELU_PANEL.regulators, "targets": RELU_PANEL.targets}}
    models = planted_models(genes=WIDE, perturbations=KNOCKED, control="ctrl", cells=cells, programs={"P": MEMBERS},
                            panels=panels, relu=True, dtype=dtype, d=3.0)  # fmt: skip
    inputs = to_measure(models[kind], cells, settings={"at": at, "derivative": "total"}, panels=panels, role=kind)
    with torch.no_grad():
        return targeted_jacobian.measure(inputs, sorted(KNOCKED))


@pytest.mark.parametrize("size", ["gain", "opened"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at", ["mean_cell", "cells"])
@pytest.mark.parametrize("kind", ["lookup", "covariation"])
def test_a_derivative_that_knows_no_perturbation_ranks_none_above_another(sparse_cells, kind, at, dtype, size):
    found = means_of(with_relu(sparse_cells, kind, at, dtype))
    table = over(getattr(found, size), panel_table(found, RELU_PANEL)[0])
    scores, dropped = pathway_scores(table.abs())
    assert (dropped, set(scores)) == ([], {0.5})


def test_without_the_share_of_open_cells_the_members_of_a_lookup_would_stand_out(sparse_cells):
    found = with_relu(sparse_cells, "lookup", "cells", torch.float32)
    assert found["open"].min() < 0.9
    table, _ = panel_table(means_of(found), RELU_PANEL)
    assert pathway_scores(table.abs())[0][MEMBERS].mean() > 0.8


@pytest.mark.parametrize("at", ["mean_cell", "cells"])
def test_a_mechanism_behind_a_relu_is_found(sparse_cells, at):
    found = means_of(with_relu(sparse_cells, "planted", at, torch.float32))
    scores, _ = pathway_scores(over(found.gain, panel_table(found, RELU_PANEL)[0]).abs())
    assert scores[MEMBERS].mean() > 0.9


class Softened(KnownModel):
    """What components make of a cell and a remembered shift, through a softplus: no inner derivative knows a code."""

    def decode(self, mixed, encoded, X):
        return torch.nn.functional.softplus(4 * super().decode(mixed, encoded, X)) / 4


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("at", ["mean_cell", "cells"])
def test_what_lifts_or_lowers_targets_is_not_taken_for_what_strengthens_their_derivatives(sparse_cells, at, direction):
    cells, rng = sparse_cells, np.random.default_rng(1)
    changes = rng.normal(0, 0.2, (len(KNOCKED) + 1, len(WIDE)))
    members = [KNOCKED.index(name) for name in MEMBERS]
    changes[np.ix_(members, [WIDE.index(name) for name in RELU_PANEL.targets])] += direction
    values = cells.values.reshape(-1, len(WIDE))
    named = {"genes": WIDE, "perturbations": [*KNOCKED, "ctrl"], "control": "ctrl"}
    model = Softened("covariation_pca", components(values, 5), changes, **named)
    panels = {"panel": {"program": "P", "regulators": RELU_PANEL.regulators, "targets": RELU_PANEL.targets}}
    with torch.no_grad():
        inputs = to_measure(model, cells, settings={"at": at, "derivative": "total"}, panels=panels)
        found = targeted_jacobian.measure(inputs, sorted(KNOCKED))
    given = subject(found, dict(zip(KNOCKED, np.linalg.norm(changes[:-1], axis=1), strict=True))), {"P": MEMBERS}
    asked = to_test("targeted_jacobian", *given, panels={"panel": RELU_PANEL}, permutations=999)
    rows = rows_of(evidence.frame(ask("targeted_jacobian", asked)), program="P").set_index("statistic")
    # Not held, a lift is found in every case, and a drop is as far below all others.
    assert direction * (rows.estimate["rank_score_with_gain"] - 0.5) > 0.3
    assert abs(rows.estimate["rank_score"] - 0.5) < 0.2
    assert rows.p["rank_score"] > 0.05


def test_derivatives_are_divided_by_the_size_over_all_sets():
    values = xr.DataArray([[[2.0], [3.0], [0.0]], [[4.0], [3.0], [0.0]]], dims=("set", "perturbation", "feature"),
                          coords={"perturbation": ["a", "b", "c"], "feature": ["R>T"]})  # fmt: skip
    opened = xr.DataArray([[[0.5], [1.0], [0.0]], [[1.0], [1.0], [0.0]]], dims=("set", "perturbation", "gene"),
                          coords={"gene": ["T"]})  # fmt: skip
    means = means_of(xr.Dataset({"jacobian": values, "open": opened, "gain": 2 * opened}))
    table = values.mean("set").to_pandas()
    np.testing.assert_allclose(over(means.opened, table)["R>T"], [3.0 / 0.75, 3.0, np.nan])
    np.testing.assert_allclose(over(means.gain, table)["R>T"], [3.0 / 1.5, 3.0 / 2, np.nan])


def levelled_slowly(column):
    """Walk up the sorted values; a step that rounding could have made is none."""
    found, last, level = np.full(len(column), np.nan), np.nan, np.nan
    for i in sorted(np.flatnonzero(~np.isnan(column)), key=lambda place: column[place]):
        level = level if abs(column[i] - last) <= 1e-6 * abs(column[i]) else column[i]
        found[i], last = level, column[i]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_values_that_differ_by_rounding_are_one(seed):
    rng = np.random.default_rng(seed)
    values = rng.choice([-2.0, -1e-9, 0.0, 1e-9, 0.5, 3.0], size=(40, 3)) * (1 + 2e-7 * rng.random((40, 3)))
    values[rng.random((40, 3)) < 0.1] = np.nan
    found = panels._levelled(values)
    np.testing.assert_array_equal(found, np.stack([levelled_slowly(column) for column in values.T], axis=1))
    assert all(len(np.unique(column[~np.isnan(column)])) <= 6 for column in found.T)


def observed(shift_of_members=0.0, seed=4):
    """Return observed shifts [perturbation, gene] in which the panel's genes move together under the pathway."""
    rng = np.random.default_rng(seed)
    shift = pd.DataFrame(0.1 * rng.normal(size=(len(NAMES), len(GENES))), NAMES, GENES)
    shift.loc[PATHWAY, [*REGULATORS, *TARGETS]] += shift_of_members
    r = np.corrcoef(rng.normal(size=(len(GENES), 50)))
    return xr.Dataset(
        {"delta_y": (("perturbation", "gene"), shift), "correlation": (("input_gene", "input_gene_b"), r)},
        {"perturbation": NAMES, "gene": list(GENES), "input_gene": list(GENES), "input_gene_b": list(GENES)},
    )


def references(data, panel=PANEL, programs=PROGRAMS):
    mine = replace(subject(measured(jacobians())), observed=data)
    inputs = to_test("targeted_jacobian", mine, programs, panels={"panel": panel})
    return evidence.frame(row for row in ask("targeted_jacobian", inputs) if row["role"] != "subject").set_index("role")


def test_observed_responses_are_the_product_of_shifts_of_regulator_and_target():
    rows = references(observed(1.0))
    assert rows.p["observed"] < 0.02
    assert references(observed(0.0)).p["observed"] > 0.05
    data = observed(0.4)
    shift = data["delta_y"].to_pandas()
    products = pd.DataFrame({f"{a}>{b}": shift[a] * shift[b] for b in TARGETS for a in REGULATORS})
    scores, _ = pathway_scores(products.abs())
    assert references(data).estimate["observed"] == pytest.approx(scores[PATHWAY].mean())


def test_co_expression_is_the_same_under_every_perturbation_and_ranks_none():
    rows = references(observed(1.0))
    assert rows.estimate["coexpression"] == 0.5
    assert rows.p["coexpression"] == 1.0
    assert rows.evaluable["coexpression"]
    assert evidence.comparable(rows, declared("targeted_jacobian").common_scale)["coexpression"] == 0.0


def test_observed_perturbations_that_the_model_does_not_know_are_left_out():
    data = observed(1.0)
    more = data.assign_coords(perturbation=["unknown", *NAMES[1:]])
    with pytest.raises(ValueError, match="strength must be finite"):
        references(more)  # what ended a run
    kept = of_known(more, NAMES)
    assert list(kept.perturbation.values) == list(NAMES[1:])
    assert references(kept).evaluable["observed"]
    assert of_known(data, NAMES) is data
    assert of_known(more.isel(perturbation=[0]), NAMES) is None
    assert of_known(more.isel(perturbation=slice(0, 0)), NAMES) is None


def test_references_without_co_expression_or_without_the_panels_genes_are_fewer():
    assert references(observed().drop_vars("correlation")).index.tolist() == ["observed"]
    assert references(observed(), replace(PANEL, regulators=("absent",))).empty
    assert references(None).empty


UNITS = 60


def asked_in(found):
    """Return what is tested of a world of which `found` was given."""
    programs = {name: panel.perturbations for name, panel in found["panels"].items()}
    return programs, found["panels"]


def test_a_null_world_has_what_every_question_reads():
    made = load_probe("cell_diagonal").null_world(Drawing(np.random.default_rng(0), UNITS))
    found = made.given({"P": made.confounder.index[:5].tolist()})
    programs, asked_of = asked_in(found)
    inputs = to_test("cell_diagonal", found["subject"], programs, panels=asked_of)
    rows = evidence.frame(ask("cell_diagonal", inputs)).set_index("statistic")
    assert rows.estimate["crossing_share"] == 0.0
    assert "reliability of scores" in rows.reason["rank_score"]
    assert rows.reason["rank_score_control_pairs"] == "no control pair is measured and open"
