"""What a run is expected to cost: passes as they are counted and as they are made, ranges, and a pilot's correction."""

import math

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny import GENES, PERTURBATIONS, MeanShift, cell_sets, random_state, to_measure

from pertprobe.data.programs import Programs
from pertprobe.models import load_model
from pertprobe.models.state.write import write_state_directory
from pertprobe.probes import load_probe
from pertprobe.probes.declaration import SPACE_OF_RESPONSES, all_declared
from pertprobe.probes.work import Sizes, Work, one_run_each
from pertprobe.roles import REDRAWN
from pertprobe.workflow.commands.check_page import amount, expected_in_words
from pertprobe.workflow.commands.place import workflow_folder
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.prospects.askable import Known, askable
from pertprobe.workflow.prospects.cost import Expected, by_part
from pertprobe.workflow.prospects.expected import Expecting, Line, lines
from pertprobe.workflow.prospects.pilot import (
    KEPT,
    asked_by_pilot,
    kept_perturbations,
    pilot_config,
    read_pilot,
    write_excerpt,
    write_pilot,
)
from pertprobe.workflow.prospects.piloted import Measured, corrected, measured_by_key
from pertprobe.workflow.prospects.sizes import Sized, sized_models
from pertprobe.workflow.prospects.speed import Machine, Pace, pace
from pertprobe.workflow.settled import config_faults, filled

SCHEMA = whole_schema(workflow_folder() / "config" / "schema.yaml")
MEASURING = sorted({SPACE_OF_RESPONSES, *(each.measurement for each in all_declared().values())})
MACHINE = Machine(start=2.0, start_gb=0.3, products=1e-11, draws=1e-6)
FAST = Pace(passes=1e-3, derivatives=2e-3, at_mean=1e-4)
MANY = [f"p{i:03d}" for i in range(200)]


def sizes(probe, **changes):
    """Return what a probe meets in a model of 20 perturbations and 30 genes, its settings by default."""
    declared = all_declared([probe])[probe] if probe != SPACE_OF_RESPONSES else None
    settings = declared.default_settings if declared else {}
    known = {"perturbations": 20, "trained": 20, "genes": 30, "outputs": 30, "width": 8, "sets": 4, "programs": 3,
             "panels": 1, "regulators": 4, "targets": 6, "knocked_down": 10, "settings": settings}  # fmt: skip
    return Sizes(**{**known, **changes})


def work(probe, **changes):
    return getattr(load_probe(probe), "work", one_run_each)(sizes(probe, **changes))


# Passes


@pytest.mark.parametrize("probe", MEASURING)
def test_every_measurement_counts_what_it_takes(probe):
    found = work(probe)
    assert isinstance(found, Work)
    assert all(math.isfinite(number) and number >= 0 for number in found)
    assert found.kept > 0
    if probe != "pert_embedding":
        assert found.passes + found.derivatives + found.at_mean > 0


@pytest.mark.parametrize("probe", MEASURING)
def test_more_sets_never_take_less_and_an_untrained_copy_never_more(probe):
    larger, whole, copy = work(probe, sets=8), work(probe), work(probe, role=REDRAWN[0])
    assert all(more >= less for more, less in zip(larger, whole, strict=True))
    assert all(less <= more for less, more in zip(copy, whole, strict=True))


class Counted(MeanShift):
    """A model that counts the cell sets which pass through it, in predictions alone."""

    capabilities = frozenset({"predict", "gene_space"})
    passed = 0

    def predict(self, values, perturbation, batches=None):
        self.passed += len(np.asarray(values))
        return super().predict(values, perturbation, batches)

    predict_genes = predict


@pytest.mark.parametrize(
    ("probe", "settings"),
    [
        (SPACE_OF_RESPONSES, {}),
        ("knockout", {"genes": list(GENES[:4]), "value": "zero", "perturbation": "control"}),
        ("intervention_fidelity", {"value": "zero", "perturbation": "control"}),
    ],
)
def test_as_many_sets_pass_through_a_model_as_are_counted(probe, settings):
    model, module = Counted(), load_probe(probe)
    inputs = to_measure(model, cell_sets(n_sets=3, batches=False), settings=settings)
    measured = module.measure(inputs, list(module.units(inputs)))
    names = len(PERTURBATIONS) - 1
    asked = sizes(probe, perturbations=names, genes=len(GENES), outputs=len(GENES), sets=3, knocked_down=6,
                  settings=settings)  # fmt: skip
    counted = getattr(module, "work", one_run_each)(asked)
    assert model.passed == counted.passes
    assert sum(each.size for each in measured.data_vars.values()) == counted.kept


@pytest.mark.parametrize("offers", [True, False])
def test_a_model_is_timed_as_far_as_it_offers_derivatives(offers):
    model = random_state() if offers else Counted()
    found = pace(model, 2, 5)
    assert found.passes > 0
    assert (found.derivatives > 0) == (found.at_mean > 0) == offers


# Jobs


def config(**changes):
    cells = {"path": "no.h5ad", "context_column": "c", "context": "a", "perturbation_column": "p", "control": "ntc"}
    bare = {"run": "mine", "cells": {"here": cells}, "models": {"m": {"path": "no_model", "context": "here"}},
            "programs": {"lists": {"one": MANY[:5]}}, "probes": {"pert_embedding": {}, "knockout": {}}}  # fmt: skip
    return filled({**bare, **changes}, SCHEMA)


def expecting(given, model=None):
    model = model or random_state()
    names = frozenset(model.perturbations) - {model.control}
    sized = {name: Sized(model, names, len(names), sets=4, cells=5) for name in given["models"]}
    return Expecting(given, sized, dict.fromkeys(given["probes"], 1), dict.fromkeys(given["models"], FAST), MACHINE)


def seconds(given, key):
    return next(line for line in lines(expecting(given)) if line.key == key)


def test_copies_cost_as_much_as_the_model_each():
    none, some = (seconds(config(controls={"redrawn": n, "cascade": False}), "measure/knockout") for n in (0, 2))
    assert some.work == pytest.approx(5 * none.work)
    assert some.start == none.start
    unasked = seconds(config(controls={"redrawn": 2, "cascade": False}), "measure/delta_y")
    assert unasked.work == pytest.approx(4 * len(PERTURBATIONS) * FAST.passes)  # nobody asks copies about it here


def test_shards_cost_starts_and_no_work():
    one, four = (seconds(config(shards=n), "measure/delta_y") for n in (1, 4))
    assert (four.jobs, four.start, four.work) == (4 * one.jobs, 4 * one.start, one.work)


def test_draws_grow_with_permutations():
    few, many = (seconds(config(statistics={"permutations": n}), "test/pert_embedding") for n in (999, 9999))
    assert few.work < many.work < 11 * few.work


def test_what_a_model_lacks_costs_nothing_but_the_job_that_says_so():
    line = next(each for each in lines(expecting(config(), Counted())) if each.key == "measure/pert_embedding")
    assert (line.work, line.jobs) == (0.0, 1)


def test_parts_are_put_together_the_largest_first():
    found = by_part([Line("measure/a", 1, 3600.0), Line("test/a", 1, 3600.0), Line("rivals", 1, 10 * 3600.0)])
    assert list(found.items()) == [("rivals", 10.0), ("a", 2.0)]


def test_a_run_that_trains_its_models_is_timed_with_untrained_ones_of_their_shape():
    demo = filled(yaml.safe_load((workflow_folder() / "config" / "config.yaml").read_text()), SCHEMA)
    inputs = type("Inputs", (), {"models": {}, "cells": {}})
    models, untimed = sized_models(demo, inputs, None)
    assert untimed == []
    assert {(len(each.model.genes), len(each.perturbations), each.steps) for each in models.values()} == {
        (300, 80, 2000)
    }


def test_what_cannot_be_timed_is_said():
    given = config(models={"m": {"kind": "lookup", "train": {}, "context": "here"}})
    assert sized_models(given, type("Inputs", (), {"models": {}, "cells": {}}), None) == ({}, ["m"])
    told = Expected(3, 1.0, 0.5, 2.0, 0.4, 1.4, 0.1, (("a", 1.0),), ("m",), "")
    assert any("cannot be timed before they are made: m" in line for line in expected_in_words(told))


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0.001, "4 s"), (0.5, "30 min"), (1.5, "1.5 h"), (20.2, "20 h"), (1234.0, "1,234 h")],
)
def test_hours_are_said_as_people_say_them(hours, words):
    assert amount(hours) == words


# The pilot


def known(perturbations=MANY, genes=GENES):
    seen = dict.fromkeys(perturbations, "here")
    model = {"perturbations": list(perturbations), "genes": list(genes), "output_genes": list(genes), "seen": seen,
             "capabilities": ["predict", "stages", "gene_space"], "observed": frozenset(), "regime": "fewshot",
             "context": "here"}  # fmt: skip
    return Known({"m": model}, Programs({"large": MANY[:90], "small": MANY[100:104], "none": ["x"]}), {})


def small(**changes):
    given = config(**changes)
    found = known()
    return given, found, askable(given, found)


def test_a_pilot_keeps_one_program_that_can_be_asked_whole_and_few_others():
    given, found, table = small()
    kept = kept_perturbations(given, found, table)
    assert set(MANY[100:104]) <= set(kept)
    assert len(kept) == KEPT + 4
    few, asked = asked_by_pilot(given, pilot_config(given, found, table), found, table)
    assert few.models["m"]["perturbations"] == kept
    rows = asked[asked.probe == "pert_embedding"].set_index("program")
    assert rows.loc["small", "enough"]


def test_what_panels_and_settings_name_is_kept():
    panel = {"program": "small", "regulators": ["p150"], "targets": ["g00"], "controls": ["p151", "p152"]}
    given, found, table = small(panels={"a": panel}, probes={"knockout": {"perturbation": "p153"}})
    assert {"p150", "p151", "p152", "p153"} <= set(kept_perturbations(given, found, table))


def test_a_pilot_is_a_config_that_asks_the_same_of_less():
    given, found, table = small(shards=8, statistics={"permutations": 9999}, probes={"knockout": {"genes": "all"}})
    pilot = pilot_config(given, found, table)
    assert config_faults(pilot, SCHEMA) == []
    assert (pilot["run"], pilot["pilot"], pilot["shards"]) == ("mine_pilot", True, 1)
    assert (pilot["statistics"]["permutations"], pilot["controls"]["redrawn"]) == (199, 1)
    assert pilot["cells"]["here"]["n_sets"] == 2
    assert pilot["models"]["m"]["path"] == "results/mine_pilot/excerpts/m"
    assert list(pilot["probes"]) == list(given["probes"])
    assert pilot["thresholds"] == given["thresholds"]
    assert given["shards"] == 8


def test_a_pilot_never_asks_more_than_its_run():
    thresholds = {probe: [["q", "<", 0.05]] for probe in ("knockout", "pert_embedding")}
    controls = {"redrawn": 0, "cascade": False}
    given, found, table = small(statistics={"permutations": 99}, controls=controls, thresholds=thresholds)
    pilot = pilot_config(given, found, table)
    assert (pilot["statistics"]["permutations"], pilot["controls"]["redrawn"]) == (99, 0)


def test_what_the_run_makes_itself_the_pilot_makes_in_its_own_folder():
    demo = filled(yaml.safe_load((workflow_folder() / "config" / "config.yaml").read_text()), SCHEMA)
    pilot = pilot_config(demo, None, pd.DataFrame())
    assert config_faults(pilot, SCHEMA) == []
    assert "results/demo/" not in yaml.safe_dump(pilot)
    assert filled(pilot, SCHEMA)["cells"]["line_a"]["path"] == "results/demo_pilot/simulated/cells.h5ad"
    assert pilot["models"]["a_fewshot"]["train"]["steps"] == 100


@pytest.fixture
def directory(tmp_path):
    write_state_directory(random_state(), tmp_path / "whole")
    return tmp_path / "whole"


def test_an_excerpt_of_a_model_answers_as_the_model_does(directory, tmp_path):
    whole = load_model(directory)
    kept = {"g01", "x2", whole.control}
    write_excerpt(directory, tmp_path / "few", kept)
    few = load_model(tmp_path / "few")
    assert set(few.perturbations) == kept
    values = cell_sets(n_sets=1).values
    for name in sorted(kept):
        assert (few.predict(values, name) == whole.predict(values, name)).all()
    before = (tmp_path / "few" / "pert_onehot_map.pt").stat().st_mtime_ns
    write_excerpt(directory, tmp_path / "few", kept)
    assert (tmp_path / "few" / "pert_onehot_map.pt").stat().st_mtime_ns == before


def test_a_pilot_that_another_config_left_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given, found, table = small()
    path = write_pilot(given, type("Inputs", (), {"models": {}}), found, table)
    assert read_pilot(given, found, table) is None  # it has not run to its end
    (path.parent / "run_times.tsv").write_text("")
    assert read_pilot(given, found, table)["run"] == "mine_pilot"
    other, *_ = small(seed=1)
    assert read_pilot(other, found, table) is None


def test_only_work_grows_and_starts_are_those_of_the_pilot():
    pilot, whole = Line("measure/a", 1, 2.0, 99.0), Line("measure/a", 10, 20.0, 1000.0)
    (line,) = corrected([whole], [pilot], {"measure/a": Measured(1, 301.0, 0.3)})
    assert (line.start, line.work) == (20.0, 3000.0)
    assert corrected([whole], [pilot], {}) == [whole]


def test_a_start_takes_what_the_lightest_measurement_of_a_pilot_took():
    light, heavy = Line("measure/a", 1, 2.0, 0.01), Line("measure/b", 1, 2.0, 1.0)
    whole = [Line("measure/a", 4, 8.0, 0.1), Line("measure/b", 4, 8.0, 100.0), Line("rivals", 1, 2.0, 1.0)]
    times = {"measure/a": Measured(1, 1.0, 0.3), "measure/b": Measured(1, 4.0, 0.3)}
    a, b, rivals = corrected(whole, [light, heavy], times)
    assert (a.start, b.start) == (4.0, 4.0)
    assert a.work == pytest.approx(0.1, rel=0.02)  # so little work says nothing beside a start
    assert b.work == pytest.approx(200.0)
    assert rivals.start == 1.0


def test_times_are_read_by_rule_and_probe(tmp_path):
    for path, cpu in (("measure/a/m/0-of-2", "3.0"), ("measure/a/m/1-of-2", "4.0"), ("rivals/rivals", "9.0")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{path}.log").write_text(f"Took 9.0 s, {cpu} s of CPU time, 500.0 MB of memory at most.\n")
    found = measured_by_key(tmp_path)
    assert found["measure/a"] == Measured(2, 7.0, 0.5)
    assert found["rivals"].seconds == 9.0
