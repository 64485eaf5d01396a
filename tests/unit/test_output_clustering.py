"""output_clustering: are responses of a program alike, and do they fall into the same clusters?"""

import numpy as np
import pandas as pd
import pytest
from tiny import profiles, rows_of, subject, to_test

from pertprobe import evidence
from pertprobe.data.programs import Programs
from pertprobe.plots import DrawInputs
from pertprobe.probes import output_clustering
from pertprobe.probes.base import TableInputs
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.statistics.clusters import adjusted_rand, enrichment, ward_clusters
from pertprobe.statistics.power import benjamini_hochberg
from pertprobe.statistics.similarity import cosine_similarity

NAMES = [f"p{i:02d}" for i in range(40)]
GENES = [f"g{i:02d}" for i in range(20)]
PROGRAMS = {"planted": NAMES[:6], "random": NAMES[20:26], "few": [NAMES[0], "absent"]}
SETTINGS = {"clusters": 5, "umap": False}


def responses(seed=0, push=4.0, shared=0.0):
    """Return responses in which the planted members share a direction, and all of them `shared` of another."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(40, 20)) + shared
    values[:6] += push * rng.normal(size=20)
    return values


def measured(values, names=NAMES):
    return profiles("delta_y", values, names, GENES, feature="gene")


def asked(values, other=None, never=(), settings=SETTINGS, **more):
    reference = None if other is None else subject(measured(other))
    given = {"settings": settings, "permutations": 999, **more}
    inputs = to_test("output_clustering", subject(measured(values), never=never), PROGRAMS, reference, **given)
    return evidence.frame(ask("output_clustering", inputs))


def test_planted_programs_are_coherent_and_of_one_cluster_and_random_ones_are_not():
    table = asked(responses())
    for statistic in ("coherence", "co_clustering"):
        planted, random, few = (
            rows_of(table, statistic=statistic, adjustment="centred", program=name).iloc[0] for name in PROGRAMS
        )
        assert planted.p < 0.01
        assert planted.p_stratified < 0.01
        assert random.p > 0.05
        assert few.reason == "1 trained perturbations of the program, 3 needed"
    assert rows_of(table, statistic="co_clustering", program="planted").estimate.iloc[0] == 1.0


def test_the_published_enrichment_is_hypergeometric_over_raw_clusters():
    values = responses(shared=1.0)
    row = rows_of(asked(values), statistic="coherence", adjustment="centred", program="planted").iloc[0]
    labels = ward_clusters(cosine_similarity(values), 5, "cosine")
    counts, p = enrichment(labels, np.arange(6))
    assert row.p_published == pytest.approx(benjamini_hochberg(p).min())
    assert row.estimate_published == counts[p.argmin()] / 6


def test_perturbations_never_trained_are_neither_tested_nor_clustered():
    row = rows_of(asked(responses(), never=NAMES[:2]), statistic="coherence", program="planted").iloc[0]
    assert (row.n, row.n_background) == (4, 38)
    one = subject(measured(responses()), never=NAMES[:2])
    made = output_clustering.tables(TableInputs({"m": one}, Programs(PROGRAMS), SETTINGS))
    assert set(made["clusters"].perturbation) == set(NAMES[2:])


def test_two_models_with_one_set_of_clusters_agree_and_unrelated_ones_do_not():
    rng = np.random.default_rng(3)
    values = np.repeat(4 * rng.normal(size=(5, 20)), 8, axis=0) + rng.normal(size=(40, 20))
    same, unrelated = (asked(values, other) for other in (values[:, ::-1], values[rng.permutation(40)]))
    for table, agree in ((same, True), (unrelated, False)):
        for statistic in ("consistency", "cluster_agreement"):
            row = rows_of(table, statistic=statistic).iloc[0]
            used = row.p_stratified if row.p_used == "p_stratified" else row.p
            assert (used < 0.01) == agree
            assert row.program == ""
    row = rows_of(same, statistic="cluster_agreement").iloc[0]
    assert row.estimate == row.estimate_published == 1.0
    assert row.n == 40


def test_agreement_needs_four_shared_perturbations():
    inputs = to_test("output_clustering", subject(measured(responses())), PROGRAMS,
                     subject(measured(responses()[:3], NAMES[:3])), settings=SETTINGS)  # fmt: skip
    rows = list(ask("output_clustering", inputs))
    assert [row["reason"] for row in rows] == ["3 shared perturbations, 4 needed"] * 2


def test_responses_without_any_difference_are_an_answer():
    table = asked(np.zeros((40, 20)), settings={"clusters": "silhouette", "umap": False})
    row = rows_of(table, statistic="co_clustering", program="planted").iloc[0]
    assert (row.evaluable, row.effect, row.p) == (True, pytest.approx(0.0), 1.0)


def tables(**settings):
    subjects = {"a": subject(measured(responses())), "b": subject(measured(responses(1)))}
    inputs = TableInputs(subjects, Programs(PROGRAMS), {**SETTINGS, **settings})
    return output_clustering.tables(inputs)


def test_tables_name_the_cluster_of_each_perturbation_and_the_members_of_each_cluster():
    made = tables()
    places = made["clusters"]
    assert list(places.columns) == declared("output_clustering").tables["names"]["clusters"]
    assert places.groupby("model").perturbation.apply(list).to_dict() == {"a": NAMES, "b": NAMES}
    mine = places[places.model == "a"]
    assert adjusted_rand(mine.cluster, output_clustering.clusters(responses(), 5)) == 1.0
    assert places.umap_1.isna().all()
    spread = made["enrichment"]
    assert set(spread.program) == {"planted", "random"}
    assert spread.groupby(["model", "adjustment", "program"]).members.sum().eq(6).all()
    assert spread.groupby(["model", "adjustment", "program"]).expected.sum().round(9).eq(6).all()
    one = spread[(spread.model == "a") & (spread.adjustment == "centred")]
    np.testing.assert_allclose(one.q, benjamini_hochberg(one.p))


def test_a_model_that_was_not_measured_has_no_place():
    empty = measured(responses()).drop_vars("delta_y")
    made = output_clustering.tables(TableInputs({"a": subject(empty)}, Programs(PROGRAMS), SETTINGS))
    assert all(table.empty for table in made.values())
    assert list(made["clusters"].columns) == declared("output_clustering").tables["names"]["clusters"]


def test_too_few_perturbations_for_a_map_have_none():
    assert np.isnan(output_clustering.umap_layout(responses()[:4], 0)).all()


def test_the_figure_has_a_map_where_one_was_made_and_says_so_where_nothing_was_tested():
    made, rows = tables(), asked(responses()).assign(model="a")
    question = {"models": {"a": {}}, "settings": SETTINGS}
    drawn = output_clustering.draw(DrawInputs(rows, {}, Programs(PROGRAMS), question, made))
    labels = [axes.get_xlabel() for axes in drawn.figure.axes if axes.get_xlabel()]
    assert labels == ["mean cosine within the program", "cluster, the largest first"]
    assert "UMAP" not in drawn.caption
    mapped = {**made, "clusters": made["clusters"].assign(umap_1=0.1, umap_2=0.2)}
    drawn = output_clustering.draw(DrawInputs(rows, {}, Programs(PROGRAMS), question, mapped))
    assert "UMAP 1" in [axes.get_xlabel() for axes in drawn.figure.axes]
    assert "UMAP" in drawn.caption
    nothing = DrawInputs(rows.assign(evaluable=False), {}, Programs(PROGRAMS), question, made)
    assert "Nothing could be tested" in output_clustering.draw(nothing).figure.axes[0].texts[0].get_text()


def test_the_table_is_the_same_for_any_order_of_perturbations():
    found = measured(responses())
    turned = found.isel(perturbation=slice(None, None, -1))
    both = [
        output_clustering.tables(TableInputs({"a": subject(each)}, Programs(PROGRAMS), SETTINGS))
        for each in (found, turned)
    ]
    for name in both[0]:
        pd.testing.assert_frame_equal(both[0][name], both[1][name])
