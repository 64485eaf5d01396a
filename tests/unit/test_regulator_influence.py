"""regulator_influence: do a panel's regulators move its targets more than other genes do?"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy.stats import rankdata
from tiny import GENES, cell_sets, random_state, rows_of, subject, to_measure, to_test

from pertprobe import evidence
from pertprobe.calibration.foreign import control_sets, observed_of, screens
from pertprobe.data.programs import Panel
from pertprobe.models.known.model import KnownModel
from pertprobe.models.known.readings import components, equations
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.models.rivals.autoencoder import Autoencoder, Size
from pertprobe.probes import regulator_influence
from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.probes.questions import ask
from pertprobe.probes.regulator_influence import ranks_within
from pertprobe.roles import SUBJECT
from pertprobe.stages.measuring import measure_shard
from pertprobe.stages.testing import with_controls

PANEL = Panel("panel", "P", ("g00", "g01", "g02"), ("g05", "g08", "g01"), (), ())
SIGNS = {"g00>g05": -1, "g00>g08": -1, "g01>g05": 1, "g02>g08": -1, "g02>g05": 1}
WIDE = tuple(f"g{i:02d}" for i in range(60))
ASKED = Panel("panel", "P", WIDE[20:24], WIDE[30:40], (), ())


def derivatives(seed=0):
    values = np.random.default_rng(seed).normal(size=(len(PANEL.targets), len(GENES)))
    return pd.DataFrame(values, list(PANEL.targets), list(GENES))


def influence_ranks(rows, panel):
    """Return each gene's score."""
    return ranks_within(rows, panel).mean(axis=1)


def slowly(rows, panel):
    """Walk over genes and targets; the place of a gene among all but the target itself."""
    found = {}
    for number, gene in enumerate(sorted(rows.columns)):
        whose = gene if gene in panel.regulators else panel.regulators[number % len(panel.regulators)]
        places = []
        for target in rows.index:
            others = [name for name in rows.columns if name != target]
            if gene in others:
                sign = (panel.signs or {}).get(f"{whose}>{target}", 1)
                values = [
                    sign * rows.loc[target, name] if panel.signs else abs(rows.loc[target, name]) for name in others
                ]
                places.append((rankdata(values)[others.index(gene)] - 0.5) / len(others))
        found[gene] = np.mean(places) if places else np.nan
    return pd.Series(found)


@pytest.mark.parametrize("signs", [None, SIGNS])
@pytest.mark.parametrize("seed", range(3))
def test_a_gene_is_scored_by_its_place_in_what_moves_each_target(signs, seed):
    panel, rows = replace(PANEL, signs=signs), derivatives(seed)
    pd.testing.assert_series_equal(influence_ranks(rows, panel), slowly(rows, panel), check_names=False)


def test_what_multiplies_all_derivatives_of_an_output_has_no_say():
    rows = derivatives()
    louder = rows.mul(np.array([0.01, 3.0, 40.0]), axis=0)
    pd.testing.assert_series_equal(influence_ranks(rows, PANEL), influence_ranks(louder, PANEL))


def test_the_order_of_genes_and_targets_changes_nothing():
    rows, panel = derivatives(), replace(PANEL, signs=SIGNS)
    turned = rows.iloc[::-1, np.random.default_rng(1).permutation(len(GENES))]
    pd.testing.assert_series_equal(influence_ranks(rows, panel), influence_ranks(turned, panel))


def test_a_measurement_is_the_derivative_under_the_control():
    """By differences: a gene is moved in all cells of a set at once."""
    model, cells = random_state(), cell_sets()
    panels = {"panel": {"targets": list(PANEL.targets)}}
    inputs = to_measure(model, cells, settings={"at": "cells"}, panels=panels)
    with torch.no_grad():
        found = regulator_influence.measure(inputs, regulator_influence.units(inputs))
    X, step = torch.as_tensor(cells.values).double(), 1e-5
    for gene in ("g01", "g07"):
        moved = step * (torch.arange(len(GENES)) == GENES.index(gene))
        above, below = (model.predict(X + sign * moved, "ctrl", cells.batches).mean(-2) for sign in (1, -1))
        wanted = ((above - below) / (2 * step))[:, [GENES.index(name) for name in found.perturbation.values]]
        np.testing.assert_allclose(found.influence.sel(input_gene=gene), wanted, rtol=1e-6, atol=1e-9)


def wide_cells():
    cells = cell_sets(n_sets=2, set_size=40, genes=WIDE)
    cells.values[...] = np.log1p(np.random.default_rng(0).poisson(1.5, cells.values.shape))
    return cells


def planted(kind, panel=ASKED, question=None):
    """Return the rows of a planted model; `question` is the panel that is asked, where it is another one."""
    cells, config = wide_cells(), {"program": "P", "regulators": list(panel.regulators), "targets": list(panel.targets)}
    panels = {"panel": config | ({"signs": dict(panel.signs)} if panel.signs else {})}
    models = planted_models(genes=WIDE, perturbations=WIDE[:10], control="ctrl", cells=cells, programs={"P": WIDE[:5]},
                            panels=panels, d=3.0, dtype=torch.float64)  # fmt: skip
    inputs = to_measure(models["planted"], cells, settings={"at": "mean_cell"}, panels=panels, programs={"P": WIDE[:5]})
    model = regulator_influence.plant(inputs, models)[kind]
    found = measure_shard("regulator_influence", replace(inputs, model=model, role=kind), 0, 1).sel(variant="subject")
    given = subject(found), {"P": WIDE[:5], "other": WIDE[5:9]}
    asked = to_test("regulator_influence", *given, panels={"panel": question or panel}, cells=cells, permutations=999)
    return evidence.frame(ask("regulator_influence", asked))


@pytest.mark.parametrize("signs", [None, {f"{a}>{b}": -1 for a in ASKED.regulators[:2] for b in ASKED.targets}])
def test_a_mechanism_is_found_and_a_lookup_is_not(signs):
    panel = replace(ASKED, signs=signs)
    mechanism, lookup = (rows_of(planted(kind, panel), program="P").iloc[0] for kind in ("planted", "lookup"))
    assert (mechanism.unit, mechanism.n, mechanism.n_background, mechanism.panel) == ("gene", 4, 60, "panel")
    assert mechanism[mechanism.p_used] < 0.02
    assert lookup[lookup.p_used] > 0.05


def test_signs_that_are_all_wrong_find_nothing():
    right = dict.fromkeys([f"{a}>{b}" for a in ASKED.regulators for b in ASKED.targets], 1)
    found = planted("planted", replace(ASKED, signs={pair: -sign for pair, sign in right.items()}))
    assert rows_of(found, program="P").iloc[0].p < 0.02, "planted with the signs that are asked"
    rows = pd.DataFrame(1.0, list(ASKED.targets), list(WIDE)) * np.random.default_rng(0).normal(size=len(WIDE))
    rows[list(ASKED.regulators)] = 9.0
    ours, theirs = (influence_ranks(rows, replace(ASKED, signs={pair: turn * sign for pair, sign in right.items()}))
                    for turn in (1, -1))  # fmt: skip
    assert ours[list(ASKED.regulators)].min() > 0.95 > 0.05 > theirs[list(ASKED.regulators)].max()


def test_programs_without_a_panel_and_panels_that_cannot_be_asked_say_why():
    table = planted("planted", replace(ASKED, regulators=("g20", "absent")))
    reasons = table.set_index("program").reason
    assert reasons["other"] == "no panel for this program"
    assert "1 measured regulators, 3 needed" in reasons["P"]
    assert "regulators not measured: absent" in reasons["P"]
    assert not table.evaluable.any()
    none = rows_of(planted("planted", question=replace(ASKED, targets=("absent",))), program="P").iloc[0]
    assert none.reason.startswith("no target of the panel is measured and open")


def test_panels_without_any_target_of_the_model_are_not_evaluable():
    inputs = to_measure(random_state(), settings={"at": "cells"}, panels={"panel": {"targets": ["absent"]}})
    assert NOT_EVALUABLE in measure_shard("regulator_influence", inputs, 0, 1).attrs


def test_co_expression_and_observed_responses_stand_beside_it():
    rng = np.random.default_rng(3)
    together = pd.DataFrame(rng.uniform(-0.3, 0.3, (60, 60)), WIDE, WIDE)
    together.loc[list(ASKED.targets), list(ASKED.regulators)] = 0.9
    shifts = pd.DataFrame(rng.normal(size=(30, 60)), WIDE[:30], WIDE)
    observed = xr.Dataset({"delta_y": (("perturbation", "gene"), shifts),
                           "correlation": (("input_gene", "input_gene_b"), together)},
                          {"perturbation": list(WIDE[:30]), "gene": list(WIDE), "input_gene": list(WIDE),
                           "input_gene_b": list(WIDE)})  # fmt: skip
    measured = xr.Dataset({"influence": (("perturbation", "input_gene"), rng.normal(size=(10, 60))),
                           "open": (("perturbation",), np.ones(10))},
                          {"perturbation": list(ASKED.targets), "input_gene": list(WIDE)})  # fmt: skip
    given = replace(subject(measured), observed=observed)
    asked = to_test("regulator_influence", given, {"P": WIDE[:5]}, panels={"panel": ASKED}, cells=wide_cells())
    rows = evidence.frame(ask("regulator_influence", asked)).set_index("role")
    assert rows.estimate["coexpression"] > 0.95
    assert rows.n_background["observed"] == 30
    wanted = influence_ranks(-shifts.T.loc[list(ASKED.targets)], ASKED)[list(ASKED.regulators)].mean()
    assert rows.estimate["observed"] == pytest.approx(wanted)


SCREEN = {"genes": 200, "regulators": 60, "unmeasured": 10, "knockdowns": 20, "cells": 20, "controls": 1200}
PANELS = 12


def panels_of(parents, genes):
    """Return panels of four regulators with what they act on."""
    children = {}
    for gene, acting in enumerate(parents):
        for regulator in acting:
            children.setdefault(int(regulator), []).append(gene)
    rng, able, found = np.random.default_rng(0), sorted(each for each in children if len(children[each]) > 2), {}
    for i in range(PANELS):
        chosen = rng.choice(able, 4, replace=False)
        targets = {target for regulator in chosen for target in children[regulator]} - set(chosen)
        names = (tuple(genes[i] for i in each) for each in (chosen, sorted(targets)))
        found[f"panel {i}"] = Panel(f"panel {i}", f"panel {i}", *names, (), ())
    return found


def test_in_a_foreign_network_a_mechanism_has_more_than_co_variation_and_co_variation_has_not():
    """Derivatives of linear equations on the true graph are the same under every perturbation."""
    _, screen = next(screens({"worlds": ["linear"], "screen": SCREEN}, 0))
    context, genes = str(screen.contexts[0]), screen.genes
    cells = control_sets(screen, context)
    controls, parents = cells.values.reshape(-1, len(genes)), screen.graphs[context].seen_parents()
    panels, axes = panels_of(parents, genes), {"input_gene": list(genes), "input_gene_b": list(genes)}
    observed = observed_of(screen, context).assign(correlation=(tuple(axes), np.corrcoef(controls.T)))
    readings = {
        "mechanism": equations(controls, parents),
        "components": components(controls[::2], 30),
        "covariation_pca": components(controls, 15),
        "covariation_autoencoder": Autoencoder.fitted(controls, Size(64, 12), 1),
        "autoencoder": Autoencoder.fitted(controls, Size(128, 16), 2),
    }
    asked = {"all": {"targets": sorted({name for panel in panels.values() for name in panel.targets})}}

    def rows(name, role=SUBJECT):
        """Return the rows of one of these models."""
        named = {"genes": genes, "perturbations": ("ctrl", "x"), "control": "ctrl"}
        model = KnownModel("lookup", readings[name], np.zeros((2, len(genes))), **named)
        inputs = to_measure(model, cells, settings={"at": "mean_cell"}, panels=asked)
        found = measure_shard("regulator_influence", inputs, 0, 1).sel(variant="subject")
        given = replace(subject(found), observed=observed.assign_coords(axes) if role == SUBJECT else None)
        programs = {panel: screen.knocked[:3] for panel in panels}
        inputs = to_test("regulator_influence", given, programs, panels=panels, cells=cells, permutations=999)
        return list(ask("regulator_influence", inputs.as_role(role)))

    rivals = [row for role in ("covariation_pca", "covariation_autoencoder") for row in rows(role, role)]
    passing = {}
    for name in ("mechanism", "components", "autoencoder"):
        table = with_controls([*rows(name), *rivals], "influence_rank", "influence_rank", ("influence_rank",))
        mine = table[table.role == SUBJECT]
        passing[name] = ((evidence.used_p(mine) < 0.05) & (mine.excess_rivals_low > 0)).sum()
    assert passing["mechanism"] >= PANELS / 4, passing
    assert max(passing["components"], passing["autoencoder"]) <= 1, passing
