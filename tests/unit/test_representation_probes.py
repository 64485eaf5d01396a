"""pert_embedding and sae_features: are the perturbations of a program alike?"""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tiny import profiles, rows_of, subject, to_test

from pertprobe import evidence
from pertprobe.probes import pert_embedding, sae_features
from pertprobe.probes.base import Subject
from pertprobe.statistics import random_sets_p, rank_sum_pairs
from pertprobe.statistics.similarity import cosine_similarity

NAMES = [f"p{i:02d}" for i in range(40)]
PROGRAMS = {"planted": NAMES[:6], "random": NAMES[20:26], "few": [NAMES[0], "absent"]}
PROBES = {"pert_embedding": (pert_embedding, "embedding"), "sae_features": (sae_features, "activation")}


def codes(seed=0, planted=NAMES[:6], width=20, push=2.0):
    """Return random codes in which the planted members share a direction."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(NAMES), width))
    values[[NAMES.index(name) for name in planted]] += push * rng.normal(size=width)
    return values


@pytest.fixture(params=PROBES)
def probe(request):
    return request.param


def measured(probe, values, names=NAMES):
    features = [f"h{i}" for i in range(values.shape[1])]
    found = profiles(PROBES[probe][1], values, names, features)
    return found.isel(set=0) if probe == "pert_embedding" else found


def asked(probe, measurement, reference=None, never=(), programs=PROGRAMS, strength=None, **more):
    other = None if reference is None else subject(reference)
    given = {"settings": {"neighbours": 3}, "permutations": 999, **more}
    inputs = to_test(probe, subject(measurement, strength, never), programs, reference=other, **given)
    return evidence.frame(PROBES[probe][0].test(inputs))


def coherence_of(table, program, adjustment="centred"):
    return rows_of(table, statistic="coherence", program=program, adjustment=adjustment).iloc[0]


def test_planted_programs_are_found_and_random_ones_are_not(probe):
    table = asked(probe, measured(probe, codes()))
    planted, random = (coherence_of(table, name) for name in ("planted", "random"))
    assert planted.p < 0.01
    assert planted.p_stratified < 0.01
    assert planted.effect > 0.3
    assert planted.ci_low < planted.estimate < planted.ci_high
    assert random.p > 0.05
    assert abs(random.effect) < 0.2
    assert planted.unit == "perturbation"
    assert (planted.n, planted.n_background) == (6, 40)


def test_an_effect_that_all_perturbations_share_is_removed(probe):
    table = asked(probe, measured(probe, codes(planted=[]) + 20.0))
    assert coherence_of(table, "random", "raw").estimate > 0.9
    assert abs(coherence_of(table, "random").estimate) < 0.3


def test_too_few_members_are_not_evaluable_in_every_adjustment(probe):
    rows = rows_of(asked(probe, measured(probe, codes())), program="few")
    assert not rows.evaluable.any()
    assert set(rows.reason) == {"1 trained perturbations of the program, 3 needed"}
    assert {"centred", "raw"} <= set(rows_of(rows, statistic="coherence").adjustment)


def test_a_program_of_all_perturbations_has_no_background(probe):
    rows = rows_of(asked(probe, measured(probe, codes()), programs={"all": NAMES}), program="all")
    assert not rows.evaluable.any()
    assert rows.reason.str.contains("no background").all()


def test_perturbations_never_trained_leave_the_family(probe):
    table = asked(probe, measured(probe, codes()), never=[*NAMES[:2], NAMES[30]])
    planted = coherence_of(table, "planted")
    assert (planted.n, planted.n_background) == (4, 37)
    assert planted.p < 0.05
    untrained = coherence_of(asked(probe, measured(probe, codes()), never=NAMES[:4]), "planted")
    assert not untrained.evaluable


def test_results_do_not_depend_on_the_order_of_perturbations(probe):
    found = measured(probe, codes())
    a, b = (asked(probe, each) for each in (found, found.isel(perturbation=slice(None, None, -1))))
    pd.testing.assert_frame_equal(a, b)


def test_two_models_with_the_same_similarities_are_consistent(probe):
    values = codes()
    turned = values @ np.linalg.qr(np.random.default_rng(5).normal(size=(20, 20)))[0]
    row = asked(probe, measured(probe, values), measured(probe, turned)).iloc[0]
    assert row.statistic == "consistency"
    assert row.estimate == pytest.approx(1.0)
    assert row.p < 0.01
    unrelated = asked(probe, measured(probe, values), measured(probe, codes(seed=8, planted=[]))).iloc[0]
    assert unrelated.p > 0.05


def test_consistency_needs_four_shared_perturbations(probe):
    values = codes()
    other = measured(probe, values[:3], NAMES[:3])
    row = asked(probe, measured(probe, values), other).iloc[0]
    assert not row.evaluable
    assert row.reason == "3 shared perturbations, 4 needed"


def test_consistency_of_models_that_share_their_initialisation_says_so(probe):
    row = asked(probe, measured(probe, codes()), measured(probe, codes()), shared_initialisation=0.9).iloc[0]
    assert "share an initialisation" in row.reason


def test_the_published_rank_sum_stands_beside_the_embeddings_p():
    values = codes()
    planted = coherence_of(asked("pert_embedding", measured("pert_embedding", values)), "planted")
    said = rank_sum_pairs(cosine_similarity(values), np.arange(6))
    assert (planted.estimate_published, planted.p_published) == (pytest.approx(said.estimate), pytest.approx(said.p))


def test_the_published_comparison_with_random_sets_stands_beside_the_features_p():
    values = codes()
    planted = coherence_of(asked("sae_features", measured("sae_features", values)), "planted")
    said = random_sets_p(cosine_similarity(values), np.arange(6), np.random.default_rng(0), 5000)
    assert planted.estimate_published == pytest.approx(said.estimate, abs=0.02)
    assert planted.p_published < 0.001


def test_the_first_order_cosine_is_published_beside_consistency():
    values = codes()
    found = measured("pert_embedding", values)
    assert asked("pert_embedding", found, found).iloc[0].estimate_published == pytest.approx(1.0)
    narrow = measured("pert_embedding", values[:, :10])
    assert np.isnan(asked("pert_embedding", found, narrow).iloc[0].estimate_published)


def test_members_of_isolated_clusters_are_each_others_nearest():
    values = np.random.default_rng(0).normal(size=(40, 30))
    values[:6] = values[0] + 0.01 * values[:6]
    table = asked("pert_embedding", measured("pert_embedding", values))
    near = rows_of(table, statistic="nearest_neighbours").set_index("program")
    assert near.estimate["planted"] == pytest.approx(1.0)
    assert near.p["planted"] < 0.01
    assert near.estimate["random"] < 0.5
    assert not near.evaluable["few"]


@pytest.mark.parametrize("k", [1, 5, 30])
def test_the_share_of_neighbours_is_at_most_one_whatever_their_number(k):
    values = np.random.default_rng(0).normal(size=(40, 30))
    values[:6] = values[0] + 0.01 * values[:6]
    table = asked("pert_embedding", measured("pert_embedding", values), settings={"neighbours": k})
    near = rows_of(table, statistic="nearest_neighbours", program="planted").iloc[0]
    assert near.estimate == pytest.approx(1.0)


def test_neighbours_are_the_k_most_similar_without_oneself():
    similarity = np.array([[1.0, 0.9, 0.1, 0.5], [0.9, 1.0, 0.2, 0.3], [0.1, 0.2, 1.0, 0.2], [0.5, 0.3, 0.2, 1.0]])
    adjacent = pert_embedding.neighbours(similarity, 2)
    assert adjacent.sum(axis=1).tolist() == [2, 2, 2, 2]
    assert not adjacent.diagonal().any()
    assert np.flatnonzero(adjacent[0]).tolist() == [1, 3]
    assert np.flatnonzero(adjacent[2]).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (["here", "here"], ""),
        (["unknown", "unknown"], ""),
        (["here", "elsewhere"], "members trained: 1 here, 1 elsewhere"),
        (["elsewhere", "elsewhere"], "members trained: 2 elsewhere"),
    ],
)
def test_members_held_out_here_are_counted_in_words(seen, said):
    one = Subject(xr.Dataset(), pd.Series(dtype=float), pd.Series(seen, index=["a", "b"]))
    assert one.held_out(["a", "b"]) == said
