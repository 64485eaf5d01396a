"""Routes from code to output: what is measured, planted and missing answers, which perturbations are chosen."""

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import GENES, PERTURBATIONS, MeanShift, cell_sets, random_state, rows_of, subject, to_measure, to_test

from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian.points import regrouped
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.models.planted.gated import gated_models
from pertprobe.probes import delta_y
from pertprobe.probes import routing_coherence as probe
from pertprobe.probes.base import NOT_EVALUABLE, TableInputs
from pertprobe.stages.measuring import measure_derived, measure_shard
from pertprobe.stages.testing import TestCase, run_test
from pertprobe.statistics.similarity import centred, cosine_similarity

SETTINGS = {"at": "mean_cell", "perturbations": 225, "choose": "strongest", "clusters": 3, "sketch": 100_000}
NAMES = [f"p{i:02d}" for i in range(60)]
MANY = tuple(f"t{i:02d}" for i in range(40))
PROGRAMS = {"near": NAMES[:8], "far": NAMES[8:16], "small": NAMES[:2]}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def measured(model, probed=None, redrawn=0, **settings):
    cells = cell_sets() if probed is None else probed
    return measure_shard("routing_coherence", to_measure(model, cells, settings=SETTINGS | settings), 0, 1,
                         redrawn=redrawn)  # fmt: skip


def explicit(model, cells, name):
    """Return d mean Y / d code [n_sets, G_out, H] by torch's own reverse mode, as slowly as can be."""
    X, batch = model.tensor(cells.values), model.batch_indices(cells.batches)

    def mean(code):
        encoded = model.encode_cells(X, batch)
        return model.decode(model.mix(code.expand(len(X), -1), encoded), encoded, X).mean(-2)

    with torch.enable_grad():
        return torch.autograd.functional.jacobian(mean, model.encode_perturbations([name])[0]).numpy()


def test_routes_are_the_derivative_of_the_mean_output_by_the_code():
    model, cells = random_state(), cell_sets()
    found = measured(model, cells, at="cells")
    whole = explicit(model, cells, "x1")
    by_set = found["routing_by_set"].sel(variant="subject", perturbation="x1").values
    np.testing.assert_allclose(by_set, whole.reshape(2, -1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["routing"].sel(variant="subject", perturbation="x1"), by_set.mean(0), atol=1e-6)
    assert found["onehot"].sizes["entry"] == len(GENES) * len(PERTURBATIONS)


def test_routes_by_the_one_hot_are_those_by_the_code_times_the_encoder():
    """A step along one feature, the slow way."""
    model, cells, step = random_state(), cell_sets(), 1e-5
    found = measured(model, cells, at="cells")["onehot"].sel(variant="subject", perturbation="x2")
    found = found.values.reshape(len(GENES), -1)
    X, batch, features = model.tensor(cells.values), model.batch_indices(cells.batches), model.features_of(["x2"])[0]

    def mean(features):
        encoded = model.encode_cells(X, batch)
        code = model.encode_features(features[None])[0].expand(len(X), -1)
        return model.decode(model.mix(code, encoded), encoded, X).mean((0, -2))

    for column in (0, 7):
        moved = step * torch.eye(len(features), dtype=features.dtype)[column]
        slope = (mean(features + moved) - mean(features - moved)) / (2 * step)
        np.testing.assert_allclose(found[:, column], slope, rtol=1e-4, atol=1e-6)


def test_answers_are_the_delta_y_of_the_same_cells():
    model, cells = random_state(), cell_sets()
    found = measured(model, cells, at="cells")
    wanted = measure_shard("delta_y", to_measure(model, cells), 0, 1)["delta_y"].sel(variant="subject")
    by_set = found["delta_y_by_set"].sel(variant="subject").transpose("set", "perturbation", "gene").values
    np.testing.assert_allclose(by_set, wanted.transpose("set", "perturbation", "gene").values, rtol=1e-4, atol=1e-6)


def test_a_sketch_keeps_cosines_to_its_error():
    model = random_state()
    whole, short = (measured(model, sketch=size)["routing"].sel(variant="subject") for size in (100_000, 96))
    assert short.sizes["feature"] == 96 < whole.sizes["feature"]
    slow, quick = (cosine_similarity(centred(each.values)) for each in (whole, short))
    error = (quick - slow)[np.triu_indices(len(slow), 1)]
    assert 0 < np.sqrt((error**2).mean()) < 1.5 * np.sqrt(2 / 96)


def test_copies_have_the_sets_of_the_model_and_keep_its_encoders():
    found = measured(random_state(), redrawn=1)
    assert set(found.variant.values) == {"subject", "redrawn_1", "shuffled_1"}
    assert found["routing"].dims == ("variant", "perturbation", "feature")
    assert "variant" not in found["routing_by_set"].dims
    assert not found["routing"].isnull().any()


def test_cells_are_regrouped_in_their_order():
    cells = cell_sets(n_sets=3, set_size=4)
    joined, cut = regrouped(cells, 6), regrouped(cells, 2)
    assert joined.values.shape[:2] == (2, 6)
    assert cut.values.shape[:2] == (6, 2)
    assert (joined.cell_ids.ravel() == cells.cell_ids.ravel()).all()
    assert (cut.batches.ravel() == cells.batches.ravel()).all()
    assert regrouped(cells, 4) is cells is regrouped(cells, None)
    assert regrouped(cells, 5).values.shape[:2] == (2, 5)
    with pytest.raises(PertprobeError, match="13 cells a set are asked for"):
        regrouped(cells, 13)


def test_the_number_of_cells_is_a_setting():
    found = measured(random_state(), cell_sets(n_sets=2, set_size=5), at="cells", cells=10)
    assert found.sizes["set"] == 1


def responses():
    """Return delta_y of 12 perturbations in two clusters, the later ones of each the stronger."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(2, 20))
    names = [f"q{i:02d}" for i in range(12)]
    values = [(1 + i // 2) * (base[i % 2] + 0.1 * rng.normal(size=20)) for i in range(12)]
    return pd.DataFrame(values, names)


def chosen(**settings):
    table = responses()
    model = type("Model", (), {"perturbations": (*table.index, "ctrl"), "control": "ctrl"})
    given = to_measure(model, settings=SETTINGS | {"clusters": 2} | settings, responses=table, seen={"q11": "never"})
    return probe.units(given)


def test_the_strongest_of_each_cluster_are_taken_in_turn():
    assert chosen(perturbations=4) == ["q07", "q08", "q09", "q10"]


def test_an_untrained_code_is_never_chosen():
    assert "q11" not in chosen(perturbations="all")
    assert len(chosen(perturbations="all")) == 11


def test_random_ones_are_of_all_clusters_alike_and_always_the_same():
    first = chosen(perturbations=6, choose="random")
    assert first == chosen(perturbations=6, choose="random")
    assert sum(int(name[1:]) % 2 for name in first) == 3


def test_perturbations_cannot_be_chosen_without_responses():
    with pytest.raises(PertprobeError, match="which is not given"):
        probe.units(to_measure(random_state(), settings=SETTINGS | {"perturbations": 4}))


def planted_world(d=3.0):
    """Return cells, what was planted beside a model, and the strength of its answers."""
    cells = cell_sets(n_sets=3, set_size=8, genes=MANY, batches=False)
    base = planted_models(genes=MANY, perturbations=NAMES, control="ctrl", cells=cells,
                          programs={"near": PROGRAMS["near"]}, d=d)  # fmt: skip
    derived = measure_derived("routing_coherence", to_measure(None, cells, settings=SETTINGS), base)
    model = gated_models(base["planted"], cells)["planted"]
    strength = delta_y.strength(measure_shard("delta_y", to_measure(model, cells), 0, 1))
    return cells, model, derived, strength


def test_a_program_planted_in_the_routes_is_found_and_another_is_not():
    cells, model, derived, strength = planted_world()
    mine = subject(measured(model, cells), strength)
    table = run_test(
        "routing_coherence", TestCase(to_test("routing_coherence", mine, PROGRAMS, settings=SETTINGS), derived)
    )
    found = rows_of(table, statistic="coherence", adjustment="centred", role="subject").set_index("program")
    assert found.p_stratified["near"] < 0.05 < found.p_stratified["far"]
    assert not found.evaluable["small"]
    assert "2 trained perturbations of the program, 3 needed" in found.reason["small"]


def test_routes_do_not_tell_a_mechanism_from_a_lookup():
    _, _, derived, _ = planted_world()
    planted, lookup = (derived["routing"].sel(variant=kind) for kind in ("planted", "lookup"))
    np.testing.assert_allclose(planted, lookup, rtol=1e-4, atol=1e-6)


def test_the_overall_rows_have_no_program_and_the_published_r_beside_them():
    cells, model, _, strength = planted_world()
    inputs = to_test("routing_coherence", subject(measured(model, cells), strength), PROGRAMS, settings=SETTINGS)
    table = run_test("routing_coherence", TestCase(inputs))
    row = rows_of(table, statistic="correlation", adjustment="centred").iloc[0]
    assert row.program == ""
    assert row.estimate > 0.9
    assert row.p_stratified < 0.01
    routes, answers = (
        cosine_similarity(measured(model, cells)[name].sel(variant="subject").values) for name in ("routing", "delta_y")
    )
    upper = np.triu_indices(60, 1)
    assert row.estimate_published == pytest.approx(np.corrcoef(routes[upper], answers[upper])[0, 1], abs=1e-6)
    of_programs = rows_of(table, statistic="coherence", adjustment="centred", role="subject")
    assert of_programs[of_programs.evaluable].estimate_published.unique().tolist() == [row.estimate_published]
    onehot = rows_of(table, statistic="correlation_onehot").iloc[0]
    assert not onehot.evaluable
    assert "not made of features" in onehot.reason


def test_the_same_cluster_row_has_the_ratio_of_mean_similarities():
    cells, model, _, strength = planted_world()
    whole = probe.similarities(subject(measured(model, cells), strength))
    labels = probe.clusters(whole.answers.values, 3, "raw")
    similarity = cosine_similarity(whole.profiles.values)
    pairs = [(similarity[i, j], labels[i] == labels[j]) for i in range(60) for j in range(i)]
    ratio = np.mean([s for s, same in pairs if same]) / np.mean([s for s, same in pairs if not same])
    assert probe.cluster_ratio(whole, 3) == pytest.approx(ratio)


def test_a_model_whose_routes_are_all_the_same_has_no_correlation():
    """The mean shift: dY/dcode is the identity under every perturbation."""
    mine = subject(measured(MeanShift()))
    table = run_test(
        "routing_coherence", TestCase(to_test("routing_coherence", mine, {"P": list(GENES[:4])}, settings=SETTINGS))
    )
    row = rows_of(table, statistic="correlation", adjustment="centred").iloc[0]
    assert row.estimate == 0
    assert row.p == 1


def test_a_model_agrees_with_itself_in_its_routes():
    cells, model, _, strength = planted_world()
    mine = subject(measured(model, cells), strength)
    table = run_test("routing_coherence", TestCase(to_test("routing_coherence", mine, PROGRAMS, reference=mine,
                                                        settings=SETTINGS, comparison="regimes")))  # fmt: skip
    row = rows_of(table, statistic="consistency").iloc[0]
    assert row.estimate == pytest.approx(1)
    assert row.p_stratified < 0.01


def test_tables_say_what_the_rows_are_made_of():
    cells, model, _, strength = planted_world()
    mine = subject(measured(model, cells), strength)
    found = probe.tables(TableInputs({"m": mine}, to_test("x", mine, PROGRAMS).programs, SETTINGS, permutations=199))
    summary = found["summary"].set_index("adjustment")
    assert summary.pearson["raw"] == pytest.approx(probe.published(probe.similarities(mine))[0])
    assert summary.pearson_se["centred"] >= 0
    curve = found["deciles"][found["deciles"].adjustment == "centred"]
    assert curve.pairs.sum() == 60 * 59 / 2
    assert curve.routing_similarity.is_monotonic_increasing
    tested = found["components"]
    assert set(tested.program) == {"near", "far"}
    assert tested.drop_duplicates("component").share.sum() <= 1 + 1e-9


def test_components_and_their_shares_are_those_of_the_singular_value_decomposition():
    profiles = np.random.default_rng(0).normal(size=(9, 30))
    values = np.linalg.svd(profiles - profiles.mean(0), compute_uv=False)
    np.testing.assert_allclose(probe.explained_variance(profiles, "centred"), values**2 / (values**2).sum())
    scores = probe.components(profiles)
    np.testing.assert_allclose(np.linalg.norm(scores, axis=0), values[: scores.shape[1]])
    assert (scores[np.abs(scores).argmax(0), np.arange(scores.shape[1])] > 0).all()


def test_both_tails_of_a_component_are_asked():
    rng = np.random.default_rng(0)
    scores, strength, inside = rng.normal(size=60), rng.random(60), np.arange(6)
    scores[inside] -= 3
    p, shift = probe.two_sided(scores, inside, strength, 199, lambda _: np.random.default_rng(1))
    assert p <= 0.02
    assert shift < -1


def test_a_model_that_heeds_order_has_no_mean_cell():
    model = random_state()
    model.__class__ = type(
        "Ordered", (model.__class__,), {"capabilities": frozenset({"predict", "gradient", "stages"})}
    )
    assert "set at: cells" in measured(model).attrs[NOT_EVALUABLE]
    assert NOT_EVALUABLE not in measured(model, at="cells").attrs
