"""conserved_features: do two contexts hold a program in the same features?"""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tiny import profiles, rows_of, subject, to_test

from pertprobe import evidence
from pertprobe.data.programs import Programs
from pertprobe.plots import DrawInputs
from pertprobe.probes import conserved_features
from pertprobe.probes.base import Subject, TableInputs
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask

NAMES = [f"p{i:02d}" for i in range(40)]
FEATURES = [f"f{i}" for i in range(30)]
PROGRAMS = {"conserved": NAMES[:8], "elsewhere": NAMES[10:18], "random": NAMES[20:28], "few": [NAMES[0], "absent"]}
SETTINGS = {"conserved": 0.5, "partners": [], "pooled": ["m", "r"]}
STRENGTH = dict(zip(NAMES, np.random.default_rng(7).lognormal(size=40), strict=True))
AXES = {"activation": "feature", "component": "direction", "hidden": "dimension"}


def features(seed=0, shared=10):
    """Return features of two contexts: a program in the same ones, one in others, and `shared` that agree."""
    rng = np.random.default_rng(seed)
    ours, theirs = rng.normal(size=(2, 40, 30))
    theirs[:, 20 : 20 + shared] = ours[:, 20 : 20 + shared]
    directions = rng.normal(size=(3, 30)) * (np.arange(30) < 20)
    ours[:8] += 3 * directions[0]
    theirs[:8] += 3 * directions[0]
    ours[10:18] += 3 * directions[1]
    theirs[10:18] += 3 * directions[2]
    return ours, theirs


def measured(values, variables=("activation",)):
    found = xr.Dataset()
    for name in variables:
        labels = [f"{name[0]}{i}" for i in range(30)] if name != "activation" else FEATURES
        found = found.merge(profiles(name, values, NAMES, labels, feature=AXES[name]))
    return found


def asking(variables=("activation",), never=(), sharing=0.9, settings=SETTINGS, comparison="contexts", **more):
    both = [subject(measured(each, variables), STRENGTH, never) for each in features(**more)]
    given = {"settings": settings, "permutations": 999, "shared_initialisation": sharing, "comparison": comparison}
    return to_test("conserved_features", both[0], PROGRAMS, both[1], **given)


def asked(*args, **more):
    return evidence.frame(ask("conserved_features", asking(*args, **more)))


def row_of(table, program, statistic="conservation", adjustment="centred"):
    return rows_of(table, statistic=statistic, program=program, adjustment=adjustment).iloc[0]


def test_a_program_in_the_same_features_is_found_and_one_in_others_is_not():
    table = asked()
    assert row_of(table, "conserved").p_stratified < 0.01
    assert row_of(table, "conserved").effect > 0.5
    assert row_of(table, "elsewhere").p_stratified > 0.01
    assert row_of(table, "random").p_stratified > 0.01
    assert row_of(table, "few").reason == "1 shared trained perturbations of the program, 3 needed"
    assert row_of(table, "conserved").ci_low < row_of(table, "conserved").estimate
    assert table[table.program != "few"].evaluable.all()
    assert set(rows_of(table, statistic="conservation").adjustment) == {"centred", "raw"}


def test_features_that_follow_the_same_perturbations_are_counted():
    row = row_of(asked(), "", "conserved")
    assert row.estimate_published >= 10
    assert row.estimate == row.estimate_published / 30
    assert row.p_stratified < 0.01
    assert row.null_mean < 0.05
    assert "features with r > 0.5" in row.reason
    assert row.ceiling == pytest.approx(1.0)  # both cell sets are the same


def test_components_and_hidden_states_are_asked_the_same_under_names_of_their_own():
    table = asked(variables=("activation", "component", "hidden"))
    assert set(table.statistic) == set(declared("conserved_features").statistics)
    same = [row_of(table, "conserved", f"conservation{end}").estimate for end in ("", "_pca", "_hidden")]
    assert same == [pytest.approx(same[0])] * 3
    assert set(rows_of(table, adjustment="raw").statistic) == {"conservation"}


def test_copies_and_planted_models_are_asked_in_raw_states_alone():
    inputs = asking(variables=("activation", "hidden"), sharing=0.0)
    rows = list(ask("conserved_features", inputs.as_role("redrawn")))
    assert {row["statistic"] for row in rows} == {"conservation_hidden", "conserved_hidden"}
    assert any(row["evaluable"] for row in rows)


def test_models_of_unrelated_initialisation_are_not_judged_and_keep_their_numbers():
    row = row_of(asked(sharing=0.0), "conserved")
    assert not row.evaluable
    assert row.p_stratified < 0.01
    assert "share no initialisation" in row.reason


def test_models_outside_the_pool_of_the_autoencoder_are_not_judged():
    table = asked(settings={**SETTINGS, "pooled": ["m"]})
    assert set(table.reason) == {"not trained on by the sparse autoencoder: r"}
    assert table.program.tolist() == sorted(PROGRAMS)
    assert not table.evaluable.any()


def test_a_model_without_a_partner_says_so_and_other_comparisons_are_not_asked():
    alone = to_test("conserved_features", subject(measured(features()[0])), PROGRAMS, settings=SETTINGS)
    assert {row["reason"] for row in ask("conserved_features", alone)} == {conserved_features.NO_PARTNER}
    paired = to_test("conserved_features", subject(measured(features()[0])), PROGRAMS,
                     settings={**SETTINGS, "partners": ["r"]})  # fmt: skip
    for inputs in (paired, asking(comparison="regimes")):
        rows = (ask("conserved_features", each) for each in (inputs, inputs.as_role("redrawn")))
        assert [list(each) for each in rows] == [[], []]


def test_references_are_the_responses_and_the_co_expression_of_both_contexts():
    genes = [*NAMES[:36], *(f"g{i}" for i in range(14))]
    rng, data = np.random.default_rng(5), []
    direction = 3 * rng.normal(size=50)
    for _ in range(2):
        shift = rng.normal(size=(40, 50))
        shift[:8] += direction
        r = np.corrcoef(rng.normal(size=(50, 100)))
        variables = {"delta_y": (("perturbation", "gene"), shift), "correlation": (("input_gene", "input_gene_b"), r)}
        coords = {"perturbation": NAMES, "gene": genes, "input_gene": genes, "input_gene_b": genes}
        data.append(xr.Dataset(variables, coords))
    inputs = asking(variables=("activation", "hidden"))
    both = [Subject(each.measurement, each.strength, each.seen, observed)
            for each, observed in zip((inputs.subject, inputs.reference), data, strict=True)]  # fmt: skip
    given = to_test("conserved_features", both[0], PROGRAMS, both[1], settings=SETTINGS, comparison="contexts",
                    permutations=999)  # fmt: skip
    table = rows_of(evidence.frame(ask("conserved_features", given)), statistic="conservation", adjustment="centred")
    table = table.set_index(["role", "program"])
    assert table.p["observed", "conserved"] < 0.01
    assert table.p["observed", "random"] > 0.05
    assert table.p_stratified["coexpression", "conserved"] > 0.01
    assert table.n_background["coexpression", "conserved"] == 36  # perturbations whose gene is measured


def tables(stable=None, **more):
    subjects = dict(zip("ab", (subject(measured(each), STRENGTH) for each in features(**more)), strict=True))
    inputs = TableInputs(subjects, Programs(PROGRAMS), SETTINGS, [("a", "b")], stable, permutations=199)
    return conserved_features.tables(inputs)


def test_the_table_of_features_says_what_is_conserved_stable_and_named():
    stable = pd.DataFrame({"feature": FEATURES, "other": 1, "stable": [i < 25 for i in range(30)]})
    made = tables(stable)
    table, summary = made["features"].set_index("feature"), made["summary"].iloc[0]
    assert table.conserved[FEATURES[20:]].all()
    assert table.p[FEATURES[20:]].max() < 0.05
    assert table.stable.tolist() == [1.0] * 25 + [0.0] * 5
    assert (summary.features, summary.varying, summary.conserved) == (30, 30, table.conserved.sum())
    assert summary.p < 0.05
    assert summary.by_chance < 2
    assert summary.stable_conserved < summary.stable_others
    assert tables()["features"].stable.isna().all()


def test_what_names_a_feature_does_not_score_it():
    table = tables()["features"]
    assert (table.named_by.astype(int) == 4).all()
    assert (table.scored_on.astype(int) == 4).all()
    held = table[(table.program == "conserved") & (table.score_naming > 1)]
    assert len(held) > 3
    assert held.p_held_out.max() < 0.05
    random = table[table.program == "random"]
    assert (random.p_held_out < 0.05).mean() < 0.5


def test_without_features_that_vary_or_a_measurement_there_is_no_row():
    nothing = {name: subject(measured(np.ones((40, 30)))) for name in "ab"}
    made = conserved_features.tables(TableInputs(nothing, Programs(PROGRAMS), SETTINGS, [("a", "b")]))
    assert all(table.empty for table in made.values())
    inputs = to_test("conserved_features", nothing["a"], PROGRAMS, nothing["b"], settings=SETTINGS,
                     comparison="contexts", shared_initialisation=0.9)  # fmt: skip
    row = rows_of(evidence.frame(ask("conserved_features", inputs)), statistic="conserved").iloc[0]
    assert row.reason == "no feature varies in both models"


def test_the_figure_shows_features_and_programs_or_says_why_not():
    rows = asked().assign(model="a", reference="b", q=0.01)
    question = {"settings": SETTINGS}
    figure = conserved_features.draw(DrawInputs(rows, {}, Programs(PROGRAMS), question, tables())).figure
    assert figure.axes[0].get_title("left") == "a vs b"
    assert "null: " in figure.axes[0].texts[0].get_text()
    empty = {"features": pd.DataFrame(columns=declared("conserved_features").tables["names"]["features"])}
    nothing = conserved_features.draw(DrawInputs(rows, {}, Programs(PROGRAMS), question, empty)).figure
    assert "Nothing could be tested" in nothing.axes[0].texts[0].get_text()
