"""Models of known kind beside the subject of causal probes: rivals of its row, and no test that they are passed by."""

import pytest

from pertprobe.calibration.planted import models_of
from pertprobe.calibration.world import CONTEXTS, Case, world
from pertprobe.data.programs import Programs
from pertprobe.data.regulons import read_regulons
from pertprobe.models.known.fitting import known_models, observed_table
from pertprobe.models.known.model import KnownModel
from pertprobe.models.known.readings import components
from pertprobe.probes.declaration import all_declared, declared
from pertprobe.roles import AUTOENCODER, COMPONENTS, FITTED, LOOKUP, NETWORK
from pertprobe.stages.measuring import measure_derived
from pertprobe.stages.testing import TestCase, run_test

SIZES = {"genes": 90, "perturbations": 24, "programs": 4, "cells_per_perturbation": 30, "control_cells": 200}
SETTINGS = {"genes": 60}
CHOSEN = [name for name, probe in all_declared().items() if probe.known_kinds == "chosen"]
CONTROL = "non-targeting"


@pytest.fixture(scope="module")
def made():
    with world(SIZES, 0) as found:
        yield found


def controls_of(made, context, half):
    """Return one half of the control cells: those beside the subject are fitted to the first."""
    return made.cells[context].values.reshape(-1, len(made.genes))[half::2]


@pytest.fixture(scope="module")
def beside(made):
    """Return context -> kind -> model, as they stand beside every model of the context."""
    network = read_regulons(made.path.parent / "regulons.tsv")
    card = {"perturbations": [*made.perturbations, CONTROL], "genes": made.genes}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pertprobe.models.rivals.autoencoder.STEPS", 200)
        return {
            context: known_models(
                controls_of(made, context, 0),
                observed_table(made.observed(context)["delta_y"].to_pandas(), card),
                network,
                context=context,
                seed=0,
                control=CONTROL,
            )
            for context in CONTEXTS
        }


@pytest.fixture(scope="module")
def asked(made, beside):
    """Return the evidence of a probe on a model of the first context, or on it and one of the second."""

    def ask(probe, models, planted=False):
        case = Case(declared(probe), made, 199, 0, {k: v for k, v in SETTINGS.items() if k in declared(probe).settings})
        genes = list(made.genes)
        programs = made.programs if case.probe.unit != "gene" else Programs({f"P{i}": genes[i::9] for i in range(9)})
        sides, derived = [], []
        for context, model in zip(CONTEXTS, models, strict=False):
            inputs = case.inputs(context, model, programs=programs)
            sides.append(case.subject(inputs, made.observed(context)))
            planted_ones = models_of(made, context, 2.0, 0) if planted else {}
            derived.append(measure_derived(case.probe.name, inputs, planted_ones | beside[context] | planted_ones))
        question = case.question(case.inputs(CONTEXTS[0], models[0]), sides, programs, made.panels)
        return run_test(probe, TestCase(question, *derived))

    return ask


def primary(table, probe, role="subject"):
    mine = (table.role == role) & (table.statistic == declared(probe).primary) & (table.program != "")
    return table[mine].set_index(["program", "panel"])


def test_the_causal_probes_that_are_compared_with_rivals_can_ask_them():
    compared = {name for name, probe in all_declared().items() if "excess_rivals_low" in dict.fromkeys(
        column for column, *_ in probe.thresholds)}  # fmt: skip
    assert set(CHOSEN) == compared - {"knockout_linearity"}  # a linear kind is what its derivative foretells
    assert all(declared(name).measured_by == "" and declared(name).level == "causal" for name in CHOSEN)


@pytest.mark.parametrize("probe", CHOSEN)
def test_every_probe_asks_every_kind_what_it_asks_planted_models(probe, asked, beside):
    pairs = "contexts" in declared(probe).pairs
    models = [beside[context][NETWORK] for context in CONTEXTS[: 2 if pairs else 1]]
    table = asked(probe, models, planted=True)
    mine = primary(table, probe)
    for role in ("planted", LOOKUP, *FITTED):
        rows = table[table.role == role]
        assert set(rows.statistic) == set(declared(probe).control_statistics)
        assert set(primary(table, probe, role).index) >= set(mine[mine.evaluable].index), role
    assert mine[mine.evaluable][["excess_rivals", "excess_rivals_low"]].notna().all(axis=None)
    assert mine.evaluable.any()


@pytest.mark.parametrize("probe", CHOSEN)
@pytest.mark.parametrize("kind", [COMPONENTS, AUTOENCODER])
def test_a_subject_that_is_co_variation_exceeds_no_rival(probe, kind, asked, beside):
    pairs = "contexts" in declared(probe).pairs
    mine = primary(asked(probe, [beside[context][kind] for context in CONTEXTS[: 2 if pairs else 1]]), probe)
    assert mine.evaluable.any()
    assert not (mine.excess_rivals_low > 0).any()


@pytest.mark.parametrize("number", [5, 15])
def test_components_of_other_cells_exceed_no_rival_in_knock_outs(number, made, asked, beside):
    models = [
        KnownModel(COMPONENTS, components(controls_of(made, context, 1), number), known.changes, genes=made.genes,
                   perturbations=known.perturbations, control=CONTROL)
        for context, known in ((context, beside[context][COMPONENTS]) for context in CONTEXTS)
    ]  # fmt: skip
    mine = primary(asked("knockout", models), "knockout")
    assert (mine.p < 0.05).any()  # agreement alone finds what two contexts share
    assert not (mine.excess_rivals_low > 0).any()


def test_a_planted_mechanism_exceeds_all_rivals_in_knock_outs(made, asked):
    mine = primary(asked("knockout", [models_of(made, context, 2.0, 0)["planted"] for context in CONTEXTS]), "knockout")
    assert (mine.excess_rivals_low > 0).all()
