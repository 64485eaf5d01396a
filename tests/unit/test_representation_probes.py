"""pert_embedding and sae_features: are the perturbations of a program alike?"""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tiny import profiles, rows_of, subject, to_test

from pertprobe import evidence
from pertprobe.calibration.table import at_most
from pertprobe.calibration.world import answers_of
from pertprobe.data.observed import similarity_reference
from pertprobe.data.programs import Programs
from pertprobe.probes import pert_embedding
from pertprobe.probes.base import Subject, TableInputs
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.statistics.coherence import coherence
from pertprobe.statistics.null_worlds import confounded
from pertprobe.statistics.published import random_sets_p, rank_sum_pairs
from pertprobe.statistics.similarity import centred, cosine_similarity

NAMES = [f"p{i:02d}" for i in range(40)]
PROGRAMS = {"planted": NAMES[:6], "random": NAMES[20:26], "few": [NAMES[0], "absent"]}
PROBES = {"pert_embedding": "embedding", "sae_features": "activation"}


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
    found = profiles(PROBES[probe], values, names, features)
    if probe == "pert_embedding":
        return found.isel(set=0)
    states = [f"h{i}" for i in range(values.shape[1])]
    return found.merge(profiles("hidden", values, names, states, feature="dimension"))


def asked(probe, measurement, reference=None, never=(), programs=PROGRAMS, strength=None, **more):
    other = None if reference is None else subject(reference)
    given = {"settings": {"neighbours": 3}, "permutations": 999, **more}
    inputs = to_test(probe, subject(measurement, strength, never), programs, reference=other, **given)
    return evidence.frame(ask(probe, inputs))


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


def test_the_table_of_neighbours_names_everyones_nearest_and_what_holds_both():
    values = codes()
    subjects = {"a": subject(measured("pert_embedding", values)), "b": subject(xr.Dataset())}
    inputs = TableInputs(subjects, Programs(PROGRAMS), {"neighbours": 3})
    found = pert_embedding.tables(inputs)["neighbours"]
    assert list(found.columns) == declared("pert_embedding").tables["names"]["neighbours"]
    assert found.groupby("perturbation").neighbour.nunique().eq(3).all()
    assert (found.model == "a").all()
    cosines = pd.DataFrame(cosine_similarity(centred(values)), NAMES, NAMES)
    for name, rows in found.groupby("perturbation"):
        others = cosines.loc[name].drop(name).sort_values(ascending=False)
        assert rows.neighbour.tolist() == others.index[:3].tolist()
        np.testing.assert_allclose(rows.cosine, others.iloc[:3])
        assert rows["rank"].tolist() == [1, 2, 3]
    planted = {*PROGRAMS["planted"]}
    assert (found.programs == "planted").equals(found.perturbation.isin(planted) & found.neighbour.isin(planted))


def test_a_perturbation_without_others_has_no_neighbours():
    alone = measured("pert_embedding", codes()[:1], NAMES[:1])
    inputs = TableInputs({"a": subject(alone)}, Programs(PROGRAMS), {"neighbours": 3})
    assert pert_embedding.tables(inputs)["neighbours"].empty


def test_strong_perturbations_are_not_nearest_by_a_strength_that_is_seen_with_noise():
    rng, names, draws, passed = np.random.default_rng(0), [f"p{i:03d}" for i in range(200)], 40, 0
    for _ in range(draws):
        world = confounded(rng, "noisy strength")
        strength = dict(zip(names, world.strength, strict=True))
        found = subject(profiles("embedding", world.values, names, [f"h{i}" for i in range(64)]).isel(set=0), strength)
        programs = {"strong": [names[place] for place in world.program(rng, 80)]}
        inputs = to_test("pert_embedding", found, programs, settings={"neighbours": 5})
        row = next(row for row in answers_of(inputs, ["nearest_neighbours"], data=False) if row["program"])
        passed += row[row["p_used"]] < 0.05
    assert passed <= at_most(draws, 0.05) * draws


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


def readings(**pushes):
    """Return a measurement of several readings of one run, each with the planted program as strong as it says."""
    axes = {"activation": "feature", "hidden": "dimension", "component": "direction"}
    found = xr.Dataset()
    for place, (name, push) in enumerate(pushes.items()):
        values = codes(seed=place, push=push)
        found = found.merge(profiles(name, values, NAMES, [f"{name}{i}" for i in range(20)], feature=axes[name]))
    return found


def test_features_components_and_states_are_asked_the_same_each_under_its_own_name():
    table = asked("sae_features", readings(activation=2.0, hidden=0.0, component=2.0))
    planted = rows_of(table, program="planted", adjustment="centred").set_index("statistic")
    assert set(planted.index) == {"coherence", "coherence_hidden", "coherence_pca"}
    assert (planted.p < 0.05).to_dict() == {"coherence": True, "coherence_hidden": False, "coherence_pca": True}
    published = {"coherence": True, "coherence_hidden": False, "coherence_pca": False}
    assert planted.p_published.notna().to_dict() == published
    assert set(rows_of(table, adjustment="raw").statistic) == {"coherence"}


def test_without_components_there_is_no_rival():
    table = asked("sae_features", readings(activation=2.0, hidden=2.0))
    assert set(table.statistic) == {"coherence", "coherence_hidden"}


def test_copies_and_planted_models_are_asked_in_raw_states_alone():
    measurement = readings(activation=2.0, hidden=2.0, component=2.0)
    inputs = to_test("sae_features", subject(measurement), PROGRAMS, permutations=99)
    assert {row["statistic"] for row in ask("sae_features", inputs.as_role("redrawn", 1))} == {
        declared("sae_features").compared_in
    }
    pair = to_test("sae_features", subject(measurement), PROGRAMS, subject(measurement), permutations=99)
    assert {row["statistic"] for row in ask("sae_features", pair.as_role("planted"))} == {"consistency_hidden"}
    assert {row["statistic"] for row in ask("sae_features", pair)} == {"consistency", "consistency_hidden"}


def test_members_of_the_program_are_told_in_the_sd_of_all_others_scores():
    values = codes(planted=[])
    row = coherence_of(asked("pert_embedding", measured("pert_embedding", values)), "planted")
    similarity = cosine_similarity(centred(values))
    scores = similarity[6:, :6].mean(axis=1)  # each other perturbation in the place of a member, on average
    assert row.unit_sd == pytest.approx(scores.std(ddof=1), rel=0.25)


def observed(push, correlated=(), seed=3):
    """Return observed responses in which the planted members are alike, and control cells in which `correlated` are."""
    rng, genes = np.random.default_rng(seed), [*NAMES[:30], *(f"g{i}" for i in range(10))]
    shift = rng.normal(size=(len(NAMES) - 2, len(genes)))
    shift[:6] += push * rng.normal(size=len(genes))
    cells = rng.normal(size=(200, len(genes)))
    cells[:, np.isin(genes, list(correlated))] += 2 * rng.normal(size=(200, 1))
    r = np.corrcoef(cells.T)
    return xr.Dataset(
        {"delta_y": (("perturbation", "gene"), shift), "correlation": (("input_gene", "input_gene_b"), r)},
        {"perturbation": NAMES[:-2], "gene": genes, "input_gene": genes, "input_gene_b": genes},
    )


def references(probe, data, never=(), **more):
    mine = subject(measured(probe, codes()), never=never)
    given = {"permutations": 999, "settings": {"neighbours": 3}}
    inputs = to_test(probe, Subject(mine.measurement, mine.strength, mine.seen, data), PROGRAMS, **given)
    table = evidence.frame(ask(probe, inputs))
    return table[table.role != "subject"].set_index(["role", "program"])


def test_observed_coherence_is_that_of_the_responses(probe):
    data = observed(2.0)
    row = references(probe, data).loc[("observed", "planted")]
    similarity, kept = similarity_reference(data, NAMES)
    strength = np.linalg.norm(data["delta_y"].values, axis=1)
    slow = coherence(similarity, np.arange(6), strength, 999, np.random.default_rng(0))
    assert (row.estimate, row.n, row.n_background) == (pytest.approx(slow.estimate), 6, len(kept))
    assert row.p < 0.01
    assert row.statistic == "coherence"
    assert references(probe, observed(0.0)).p["observed", "planted"] > 0.05


def test_co_expression_is_the_correlation_of_the_knocked_genes(probe):
    table = references(probe, observed(0.0, correlated=NAMES[:6]))
    assert table.p["coexpression", "planted"] < 0.01
    assert table.p["coexpression", "random"] > 0.01
    assert table.n_background["coexpression", "planted"] == 30  # perturbations whose gene is measured
    assert not table.evaluable["coexpression", "few"]


def test_references_are_of_the_perturbations_the_model_has_trained(probe):
    table = references(probe, observed(2.0), never=NAMES[:4])
    assert table.n["observed", "planted"] == 2
    assert not table.evaluable["observed", "planted"]


def test_references_without_observations_or_co_expression_are_fewer(probe):
    mine = subject(measured(probe, codes()))
    unobserved = to_test(probe, mine, PROGRAMS, settings={"neighbours": 3})
    assert {row["role"] for row in ask(probe, unobserved)} == {"subject"}
    alone = references(probe, observed(2.0).drop_vars("correlation"))
    assert set(alone.index.get_level_values("role")) == {"observed"}


def noisy(seed, truth, sd, sets=4):
    """Return features [set, perturbation, feature] of `truth` with noise of its own in every set."""
    noise = sd * np.random.default_rng(seed).normal(size=(sets, *truth.shape))
    dims, axes = ("set", "perturbation"), {"activation": "feature", "hidden": "dimension"}
    return xr.Dataset({name: ((*dims, axis), truth + noise) for name, axis in axes.items()}, {"perturbation": NAMES})


def test_consistency_has_a_noise_ceiling_from_the_cell_sets():
    truth = codes()
    one, other = (asked("sae_features", noisy(1, truth, sd), noisy(2, truth, sd)) for sd in (1.0, 0.01))
    noisy_row, clear_row = (rows_of(table, statistic="consistency").iloc[0] for table in (one, other))
    assert clear_row.ceiling > 0.99
    assert noisy_row.ceiling < 0.95
    assert noisy_row.estimate < clear_row.estimate
    assert noisy_row.disattenuated == pytest.approx(1.0, abs=0.15)
    assert "ceiling: control-cell sampling only" in noisy_row.reason


def test_codes_that_do_not_depend_on_cells_have_no_ceiling_and_one_set_says_so():
    row = asked("pert_embedding", measured("pert_embedding", codes()), measured("pert_embedding", codes())).iloc[0]
    assert np.isnan(row.ceiling)
    assert "ceiling" not in row.reason
    single = noisy(1, codes(), 0.5, sets=1)
    row = rows_of(asked("sae_features", single, single), statistic="consistency").iloc[0]
    assert np.isnan(row.ceiling)
    assert "no noise ceiling: one cell set" in row.reason
