"""intervention_fidelity: the answer where it is known, and what counts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pertprobe import evidence
from pertprobe.calibration import foreign
from pertprobe.calibration.families import FAMILIES, Situation
from pertprobe.data.networks.mechanisms import hill
from pertprobe.data.networks.screen import CONTROL, Design, simulate_screen
from pertprobe.data.programs import Programs
from pertprobe.data.regulons import Regulons
from pertprobe.models.known.fitting import known_models, observed_table
from pertprobe.models.rivals.answers import Known, fit_rivals, rival_shifts
from pertprobe.probes import intervention_fidelity as probe
from pertprobe.probes.base import MeasureInputs, TableInputs, TestInputs
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask, asked_all
from pertprobe.roles import AUTOENCODER, COMPONENTS, LOOKUP, NETWORK, SUBJECT
from pertprobe.stages.answer import answers
from pertprobe.stages.measuring import measure_derived
from pertprobe.stages.testing import TestCase, run_test

PROBE = "intervention_fidelity"
FAST = ("lookup", "15 components", "linear equations, true graph", "the simulator itself")


@pytest.fixture(scope="module")
def world():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pertprobe.models.rivals.autoencoder.STEPS", 150)
        design = Design(genes=120, regulators=50, unmeasured=6, knockdowns=30, controls=600)
        screen = simulate_screen(hill, design, np.random.default_rng(2))
        context = str(screen.contexts[0])
        cells = foreign.control_sets(screen, context)
        known = Known(screen.values, screen.perturbations, screen.contexts, CONTROL, screen.genes)
        values = cells.values.reshape(-1, len(cells.genes))
        rivals = rival_shifts(fit_rivals(known, screen.knocked, 0), known, values, context)
        return screen, cells, rivals, Situation(screen, context, values, 0)


def inputs(world, family, **more):
    screen, cells, rivals, asked = world
    silenced = FAMILIES[family].answers(asked) if family in FAMILIES else np.zeros((30, 120))
    subject = foreign._subject(screen, silenced, foreign.observed_of(screen, asked.context))
    identity = {"probe": probe.__name__.rpartition(".")[2], "model": family, "reference": ""}
    identity |= {"context": asked.context, "regime": "unknown"}
    programs = Programs({"some": screen.knocked[::3], "few": screen.knocked[:2]})
    given = {"rivals": rivals, "permutations": 199, "bootstrap": 2, **more}
    return TestInputs(identity, subject, None, programs, {}, cells, {}, **given)


def table(given):
    return evidence.frame(ask("intervention_fidelity", given))


@pytest.mark.parametrize("family", FAST)
def test_the_answer_of_a_model_is_what_it_is(world, family):
    found = answers(table(inputs(world, family)), declared("intervention_fidelity").answers).set_index("program")
    assert found.answer[""] == FAMILIES[family].right
    assert found.answer["some"] in (FAMILIES[family].right, "unresolved")
    assert found.answer["few"] in ("unresolved", "lookup")


def test_a_lookup_reaches_nothing_and_says_so(world):
    rows = table(inputs(world, "lookup")).query("statistic == 'reach'")
    assert set(rows.estimate) == {0.0}
    moved = table(inputs(world, "15 components")).query("statistic == 'reach'")
    assert set(moved.estimate) == {1.0}


def test_what_rivals_answer_is_no_mechanism(world):
    """The model that is itself a rival has fidelity, and nothing beyond."""
    given = inputs(world, "lookup")
    rivals = given.rivals["shift"].sel(rival="control_pca_10")
    shift = given.subject.measurement["shift"].copy(data=rivals.values[None])
    found = table(
        replace(given, subject=replace(given.subject, measurement=given.subject.measurement.assign(shift=shift)))
    )
    found = found.set_index(["program", "statistic"])
    assert found.loc[("", "beyond_covariation_all_genes")].estimate == 0
    assert found.loc[("", "fidelity_all_genes")].estimate > 0.05


def test_an_encoder_that_saw_knock_downs_is_asked_of_those_held_out_alone(world):
    given = inputs(world, "15 components")
    saw = given.subject.measurement.assign_attrs({probe.SAW_PERTURBED: "True"})
    refused = table(replace(given, subject=replace(given.subject, measurement=saw)))
    assert not refused.evaluable.any()
    assert refused.reason.str.startswith("0 held-out perturbed genes").all()
    seen = given.subject.seen.copy()
    seen.iloc[:10] = "never"
    asked = table(replace(given, subject=replace(given.subject, measurement=saw, seen=seen)))
    assert asked.query("statistic == 'fidelity_all_genes'").n.item() == 10


def test_codes_that_were_never_trained_are_not_asked(world):
    given = inputs(world, "15 components")
    seen = given.subject.seen.copy()
    seen.iloc[:10] = "never"
    found = table(replace(given, subject=replace(given.subject, seen=seen))).set_index(["program", "statistic"])
    assert found.loc[("", "accuracy_all_genes")].n == 20
    assert found.loc[("", "fidelity_all_genes")].n == 30


def test_without_observations_nothing_is_asked(world):
    given = inputs(world, "lookup")
    for each in (replace(given, subject=replace(given.subject, observed=None)), replace(given, rivals=None)):
        assert set(table(each).reason) == {"nothing was observed in this context"}


def test_the_table_of_genes_averages_to_the_evidence(world):
    given = inputs(world, "15 components")
    genes = probe.tables(TableInputs({"m": given.subject}, given.programs, {}, rivals={"m": given.rivals}))["genes"]
    rows = table(given).set_index(["program", "statistic"])
    for name in probe.STATISTICS:
        assert genes[name].mean() == pytest.approx(rows.loc[("", f"{name}_all_genes")].estimate)
    assert genes.ceiling_fidelity.mean() == pytest.approx(rows.loc[("", "fidelity_all_genes")].ceiling)
    assert set(genes.programs[:2]) == {"some, few", "few"}
    assert list(genes.columns) == declared("intervention_fidelity").tables["names"]["genes"]
    empty = probe.tables(TableInputs({}, given.programs, {}))["genes"]
    assert isinstance(empty, pd.DataFrame)
    assert empty.empty


@pytest.fixture(scope="module")
def beside(world):
    """Return a lookup, and models of known kind that were measured beside it; the network is the true graph."""
    screen, cells, _, asked = world
    seen_parents = enumerate(screen.graphs[asked.context].seen_parents())
    edges = [(screen.genes[parent], screen.genes[gene]) for gene, own in seen_parents for parent in own]
    network = Regulons("graph", pd.DataFrame(edges, columns=["source", "target"]).assign(sign=0))
    observed = foreign.observed_of(screen, asked.context)
    card = {"perturbations": [CONTROL, *screen.knocked], "genes": list(screen.genes)}
    table = observed_table(observed["delta_y"].to_pandas(), card)
    models = known_models(asked.controls, table, network, context=asked.context, seed=0, control=CONTROL)
    measuring = MeasureInputs(None, cells, declared(PROBE).default_settings, seen=dict.fromkeys(screen.knocked, "here"))
    return models, measure_derived("intervention_fidelity", measuring, models)


def test_models_of_known_kind_are_called_what_they_are(world, beside):
    rows = run_test("intervention_fidelity", TestCase(inputs(world, "lookup"), beside[1]))
    found = answers(rows, declared("intervention_fidelity").answers).set_index(["role", "program"]).answer
    right = {LOOKUP: "lookup", COMPONENTS: "co-variation", NETWORK: "mechanism", SUBJECT: "lookup"}
    assert {role: found[role, ""] for role in right} == right
    assert found[AUTOENCODER, ""] in ("co-variation", "unresolved")  # trained in few steps here


def test_a_known_kind_has_the_rows_that_it_would_have_as_the_subject(world, beside):
    given = inputs(world, "lookup")
    rows = run_test("intervention_fidelity", TestCase(given, beside[1]))
    measured = beside[1].sel(variant=NETWORK, drop=True)
    alone = run_test(
        "intervention_fidelity", TestCase(replace(given, subject=replace(given.subject, measurement=measured)))
    )
    other = rows[rows.role == NETWORK].drop(columns=["role", "q"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(other, alone.drop(columns=["role", "q"]))


@pytest.fixture(scope="module")
def halved(world, beside):
    """Return what models of known kind answer where knock-downs leave half of each gene; of one it is not known."""
    screen, cells, *_ = world
    shares = [*[0.5] * (len(screen.knocked) - 1), np.nan]
    left = xr.Dataset({"left": ("perturbation", shares)}, {"perturbation": list(screen.knocked)})
    settings = declared(PROBE).default_settings | {"value": "observed"}
    seen = dict.fromkeys(screen.knocked, "here")
    return measure_derived(PROBE, MeasureInputs(None, cells, settings, seen=seen, observed=left), beside[0])


@pytest.mark.parametrize("kind", [LOOKUP, COMPONENTS, NETWORK])
def test_at_an_observed_level_a_linear_model_answers_its_share(beside, halved, kind):
    whole = beside[1]["shift"].sel(variant=kind, perturbation=halved.perturbation)
    np.testing.assert_allclose(halved["shift"].sel(variant=kind), whole / 2, atol=1e-5)


def test_a_gene_without_an_observed_level_is_left_out_and_rows_say_so(world, beside, halved):
    given = inputs(world, "lookup")
    measured = halved.sel(variant=NETWORK, drop=True)
    assert measured.sizes["perturbation"] == len(world[0].knocked) - 1
    found = table(replace(given, subject=replace(given.subject, measurement=measured)))
    asked = found.query("statistic == 'fidelity_all_genes'").iloc[0]
    assert asked.n == len(world[0].knocked) - 1
    assert "their knock-down leaves of them (median share 0.50 in" in asked.reason
    assert "1 without such a level left out" in asked.reason


def test_a_linear_mechanism_is_called_one_at_either_level(world, halved):
    rows = run_test("intervention_fidelity", TestCase(inputs(world, "lookup"), halved))
    found = answers(rows, declared("intervention_fidelity").answers).set_index(["role", "program"]).answer
    right = {LOOKUP: "lookup", COMPONENTS: "co-variation", NETWORK: "mechanism"}
    assert {role: found[role, ""] for role in right} == right


def test_probes_without_known_kinds_ask_their_lookup_as_a_planted_model(world):
    assert asked_all(declared("intervention_fidelity"), LOOKUP)
    assert not asked_all(declared("intervention_fidelity"), "planted")
    assert not asked_all(declared("knockout"), LOOKUP)
