from itertools import permutations
from math import isnan

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom, false_discovery_control, kstest

from pertprobe.interpret.sae import train_sae
from pertprobe.interpret.sae.stability import FEWEST_DRAWS, WORK, Dictionary, Side, _draws, stability, stability_tables

PERTURBATIONS = [f"p{i:02d}" for i in range(24)]


def rows_of(*held):
    """The index of models that have the perturbations of each list."""
    pairs = [(f"m{i}", name) for i, names in enumerate(held) for name in names]
    return pd.MultiIndex.from_tuples(pairs, names=["model", "perturbation"])


def drawn(rng, n_features=10, rows=None, n_inputs=6):
    """A dictionary without meaning."""
    rows = rows_of(PERTURBATIONS, PERTURBATIONS) if rows is None else rows
    names = [f"f{i}" for i in range(n_features)]
    profiles = pd.DataFrame(rng.random((len(rows), n_features)), index=rows, columns=names)
    return Dictionary(profiles, rng.standard_normal((n_features, n_inputs)))


def alike(dictionary, rng, noise, order=None):
    """Noisy features of another SAE, in another order."""
    n = dictionary.profiles.shape[1]
    order = rng.permutation(n) if order is None else order
    values = dictionary.profiles.to_numpy()[:, order]
    values = values + noise * rng.standard_normal(values.shape)
    profiles = pd.DataFrame(values, index=dictionary.profiles.index, columns=dictionary.profiles.columns)
    return Dictionary(profiles, dictionary.directions[order]), order


def correlations(ours, theirs, models):
    """The obvious version: correlate columns after the mean of each model is removed."""
    x, y = ours.profiles.copy(), theirs.profiles.copy()
    for model in models:
        x.loc[model] = (x.loc[model] - x.loc[model].mean()).to_numpy()
        y.loc[model] = (y.loc[model] - y.loc[model].mean()).to_numpy()
    return np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]


def test_the_matching_is_the_best_of_all():
    rng = np.random.default_rng(0)
    ours, theirs = drawn(rng, 5), drawn(rng, 6)
    r = correlations(ours, theirs, ["m0", "m1"])
    best = max(permutations(range(6), 5), key=lambda order: r[np.arange(5), order].sum())
    found = stability(ours, theirs, rng, m=9)
    assert found.features.matched.tolist() == [f"f{i}" for i in best]
    np.testing.assert_allclose(found.features.correlation, r[np.arange(5), best])
    assert found.summary["estimate"] == pytest.approx(r[np.arange(5), best].mean())


def test_the_null_repeats_the_matching_with_perturbations_relabelled_in_all_models_alike():
    rng = np.random.default_rng(1)
    ours, theirs = drawn(rng, 4), drawn(rng, 4)
    found, table = stability(ours, theirs, np.random.default_rng(7), m=25)
    random, draws = np.random.default_rng(7), []
    for _ in range(25):
        order = random.permutation(len(PERTURBATIONS))
        profiles = pd.concat([theirs.profiles.loc[[m]].iloc[order] for m in ("m0", "m1")]).set_axis(ours.profiles.index)
        r = correlations(ours, Dictionary(profiles, theirs.directions), ["m0", "m1"])
        draws.append(max((r[np.arange(4), each] for each in permutations(range(4))), key=np.sum))
    draws = np.array(draws)
    means = draws.mean(axis=1)
    assert found["null_mean"] == pytest.approx(means.mean())
    assert found["null_sd"] == pytest.approx(means.std())
    assert found["null_largest"] == pytest.approx(np.quantile(draws.max(axis=1), 0.95))
    assert found["p"] == pytest.approx((1 + np.sum(means >= found["estimate"])) / 26)
    np.testing.assert_allclose(table.p, (1 + np.sum(draws >= table.correlation.to_numpy(), axis=0)) / 26)
    np.testing.assert_allclose(table.null_mean, draws.mean(axis=0))
    np.testing.assert_allclose(table.q, false_discovery_control(table.p))


def test_perturbations_change_places_only_with_those_that_the_same_models_have():
    rng = np.random.default_rng(2)
    rows = rows_of(PERTURBATIONS, PERTURBATIONS[:4])
    marks = pd.DataFrame({"f0": [name in PERTURBATIONS[:4] for _, name in rows]}, index=rows, dtype=float)
    marks["f1"] = rng.random(len(rows))
    ours = Dictionary(marks, rng.standard_normal((2, 3)))
    found = stability(ours, ours, rng, m=60)
    # f0 says which models have a perturbation: no draw changes it, so that its correlation of 1 is no evidence
    assert found.features.set_index("feature").correlation["f0"] == pytest.approx(1)
    assert found.features.set_index("feature").p["f0"] == 1


def test_a_feature_of_one_perturbation_finds_a_perfect_partner_by_chance_and_is_no_evidence():
    rng = np.random.default_rng(12)
    ours = drawn(rng, 30)
    ours.profiles.iloc[:, 10:] = 0.0
    for i in range(10, 30):
        ours.profiles.loc[(slice(None), PERTURBATIONS[i % 24]), f"f{i}"] = 1.0
    theirs, _ = alike(ours, rng, noise=0, order=np.arange(30))
    found = stability(ours, theirs, rng)
    assert found.summary["null_largest"] == pytest.approx(1)
    np.testing.assert_allclose(found.features.correlation, 1)
    assert (found.features.p[:10] == 1 / 200).all()
    assert (found.features.p[10:] > 0.05).all()


def test_features_found_again_are_matched_and_far_above_chance():
    rng = np.random.default_rng(3)
    ours = drawn(rng, 30)
    theirs, order = alike(ours, rng, noise=0.05)
    found = stability(ours, theirs, rng)
    assert found.features.matched.tolist() == [f"f{i}" for i in np.argsort(order)]
    assert found.summary["estimate"] > found.summary["null_mean"] + 10 * found.summary["null_sd"]
    assert found.summary["p"] == found.summary["p_min"] == 1 / 200
    assert found.summary["share_alike"] == 1
    assert (found.features.q < 0.05).all()
    assert found.summary["decoder_cosine"] == pytest.approx(1)
    assert found.summary["null_decoder_cosine"] < 0.5


def test_the_stable_features_are_those_that_two_dictionaries_share():
    rng = np.random.default_rng(4)
    ours, strange = drawn(rng, 20, n_inputs=50), drawn(rng, 20, n_inputs=50)
    theirs, _ = alike(ours, rng, noise=0.05, order=np.arange(20))
    theirs.profiles.iloc[:, 10:] = strange.profiles.iloc[:, 10:]
    theirs.directions[8:10] = strange.directions[8:10]  # the same perturbations, another direction
    fresh = [drawn(rng, 20, n_inputs=50) for _ in range(2)]
    _, table = stability_tables([ours, theirs], fresh, lambda _: rng)
    assert table.stable.tolist() == [True] * 8 + [False] * 12
    assert table.matched[:10].tolist() == table.feature[:10].tolist()


def test_unrelated_dictionaries_are_at_chance():
    p = [stability(drawn(rng), drawn(rng), rng, m=99).summary["p"] for rng in map(np.random.default_rng, range(200))]
    for level in (0.05, 0.1, 0.5):
        assert np.mean(np.array(p) <= level) <= binom.ppf(0.999, 200, level) / 200
    assert kstest(p, "uniform").pvalue > 0.001


def test_features_of_unrelated_dictionaries_are_at_chance():
    tables = [stability(drawn(rng), drawn(rng), rng, m=99).features for rng in map(np.random.default_rng, range(200))]
    assert np.mean([(table.q < 0.05).any() for table in tables]) <= binom.ppf(0.999, 200, 0.05) / 200
    # one feature of each: those of one matching depend on each other
    assert kstest([table.p[0] for table in tables], "uniform").pvalue > 0.001


def test_the_order_of_features_and_rows_changes_nothing():
    rng = np.random.default_rng(5)
    ours, theirs = drawn(rng, 12), drawn(rng, 9)
    turned = Dictionary(theirs.profiles.iloc[::-1, ::-1], theirs.directions[::-1])
    one, other = (stability(ours, each, np.random.default_rng(0), m=50) for each in (theirs, turned))
    assert one.summary == pytest.approx(other.summary)
    pd.testing.assert_frame_equal(one.features, other.features)


def test_offsets_of_models_and_scales_of_features_change_nothing():
    rng = np.random.default_rng(6)
    ours, theirs = drawn(rng), drawn(rng)
    moved = theirs.profiles * rng.uniform(0.5, 20, theirs.profiles.shape[1])
    moved.loc["m1"] = (moved.loc["m1"] + 100).to_numpy()
    other = Dictionary(moved, theirs.directions * 3)
    one, other = (stability(ours, each, np.random.default_rng(0), m=50) for each in (theirs, other))
    assert one.summary == pytest.approx(other.summary)


def test_features_without_variation_are_left_out_and_counted():
    rng = np.random.default_rng(7)
    ours, theirs = drawn(rng), drawn(rng)
    ours.profiles["f3"] = 0.0
    theirs.profiles[["f1", "f2"]] = 0.7
    theirs.profiles.loc["m1", "f2"] = 900.0  # constant within each model
    found = stability(ours, theirs, rng, m=9)
    counts = {name: found.summary[name] for name in ("features", "left_out", "features_other", "left_out_other")}
    assert counts == {"features": 9, "left_out": 1, "features_other": 8, "left_out_other": 2}
    table = found.features.set_index("feature")
    assert table.index.tolist() == [f"f{i}" for i in range(10)]
    assert table.matched["f3"] == ""
    assert isnan(table.correlation["f3"])
    assert (table.matched == "").sum() == 2  # f3, and the one for which no partner is left
    assert not {"f1", "f2"} & set(table.matched)
    assert table.q.isna().sum() == 2


@pytest.mark.parametrize(
    ("n_perturbations", "silent", "reason"),
    [(2, False, "2 perturbations can be exchanged, 3 needed"), (24, True, "no feature varies over perturbations")],
)
def test_a_question_that_cannot_be_put_says_why(n_perturbations, silent, reason):
    rng = np.random.default_rng(8)
    ours, theirs = (drawn(rng, 3, rows_of(PERTURBATIONS[:n_perturbations])) for _ in range(2))
    if silent:
        theirs.profiles[:] = 0.0
    found = stability(ours, theirs, rng)
    assert found.summary["reason"] == reason
    assert isnan(found.summary["p"])
    assert (found.features.matched == "").all()
    assert len(found.features) == 3


def test_few_arrangements_bound_p():
    rng = np.random.default_rng(9)
    ours = drawn(rng, 4, rows_of(PERTURBATIONS[:3]))
    assert stability(ours, ours, rng).summary["p_min"] == pytest.approx(1 / 6)


def test_other_perturbations_are_refused():
    rng = np.random.default_rng(10)
    with pytest.raises(ValueError, match="same models and perturbations"):
        stability(drawn(rng, rows=rows_of(PERTURBATIONS)), drawn(rng, rows=rows_of(PERTURBATIONS[1:])), rng)


def test_large_dictionaries_get_fewer_draws():
    side = [Side(np.empty(n), None, None) for n in (512, 2000, 20000)]
    assert _draws(199, side[:1]) == 199
    assert _draws(10**6, side[:2]) == int(WORK / 2000**3)
    assert _draws(199, side) == FEWEST_DRAWS


@pytest.fixture(scope="module")
def planted():
    """Cells of two models in which each perturbation uses a few of 20 planted directions."""
    g = torch.Generator().manual_seed(0)
    directions = torch.randn(20, 16, generator=g)
    directions = directions / directions.norm(dim=1, keepdim=True)
    chance = 0.02 + 0.3 * (torch.rand(24, 20, generator=g) < 0.15)
    cells = {}
    for model in ("m0", "m1"):
        codes = (torch.rand(24, 150, 20, generator=g) < chance[:, None]) * (1 + torch.rand(24, 150, 20, generator=g))
        cells[model] = codes @ directions + 2.0
    return cells, directions


def dictionary_of(sae, cells):
    rows = rows_of(PERTURBATIONS, PERTURBATIONS)
    values = torch.cat([sae.encode(x).mean(dim=1) for x in cells.values()]).numpy()
    return Dictionary(pd.DataFrame(values, index=rows).rename(columns="f{}".format), sae.W_dec.numpy())


def test_a_planted_dictionary_is_recovered_by_both_seeds_and_by_neither_before_training(planted):
    cells, directions = planted
    pool = {model: x.reshape(-1, 16) for model, x in cells.items()}
    saes = {steps: [train_sae(pool, 2, 4, seed, steps=steps) for seed in (1, 2)] for steps in (1000, 0)}
    trained, untrained = ([dictionary_of(sae, cells) for sae in saes[steps]] for steps in (1000, 0))
    table, features = stability_tables(trained, untrained, np.random.default_rng)
    after, before = table.set_index("trained").loc[True], table.set_index("trained").loc[False]
    assert after.estimate > 0.75
    assert after.estimate > after.null_mean + 10 * after.null_sd
    assert after.p == 1 / 200
    # untrained SAEs read the same activations: above chance too, yet below the trained, and in other directions
    assert before.p == 1 / 200
    assert before.estimate < after.estimate - 0.1
    assert before.decoder_cosine < after.decoder_cosine / 2
    assert before.stable < 0.1
    assert after.stable > 0.5
    # the stable features are the planted directions, nearly all of them
    stable = features.feature[features.stable].str[1:].astype(int)
    found = torch.from_numpy(trained[0].directions[stable]).float() @ directions.T > 0.9
    assert found.any(dim=1).float().mean() > 0.8
    assert found.any(dim=0).sum() >= 16


def test_tables_compare_the_sae_in_use_with_each_other_by_the_same_draws():
    rng = np.random.default_rng(11)
    saes = [drawn(rng, 6) for _ in range(3)]
    table, features = stability_tables(saes, saes, np.random.default_rng, m=19)
    assert table[["trained", "seed", "other"]].to_numpy().tolist() == [
        [True, 0, 1], [False, 0, 1], [True, 0, 2], [False, 0, 2],
    ]  # fmt: skip
    halves = [table[table.trained == kind].drop(columns="trained").reset_index(drop=True) for kind in (True, False)]
    pd.testing.assert_frame_equal(*halves)
    assert features.other.tolist() == [1] * 6 + [2] * 6
    assert features.stable.dtype == bool
    assert stability(saes[0], saes[2], np.random.default_rng(2), m=19).summary["p"] == table.p[2]
