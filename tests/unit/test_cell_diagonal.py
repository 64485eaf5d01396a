"""cell_diagonal: a panel's derivatives within one cell, and the share of them that crosses cells."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from slow_jacobian import at_cells, diagonal, whole
from tiny import GENES, MeanShift, cell_sets, random_state, rows_of, subject, to_measure, to_test

from pertprobe import evidence
from pertprobe.data.programs import Panel
from pertprobe.models.base import Mixed
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.probes import cell_diagonal
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.stages.measuring import gather, measure_derived, measure_shard
from pertprobe.stages.testing import TestCase, run_test

PANELS = {"panel": {"regulators": ["g00", "g05"], "targets": ["g08", "g01", "g11"]}}
SETTINGS = {"error": 0.05, "copy_sets": 1}
ASKED = Panel("panel", "P", ("g00", "g05"), ("g08", "g01", "g11"), ("x1", "x2", "x3"), ())
PROGRAMS = {"P": ["x1", "x2", "x3"], "alone": ["g00", "g01", "g02"]}
CELLS = cell_sets(n_sets=3, set_size=16)


def requested(model, panels=PANELS, cells=CELLS, **more):
    settings = {**SETTINGS, **more.pop("settings", {})}
    return to_measure(model, cells, settings=settings, panels=panels, **more)


def measured(model, **more):
    return gather([measure_shard("cell_diagonal", requested(model, **more), 0, 1)])


def planted(set_term=0.0, **more):
    names = [*(name for name in random_state().perturbations if name != "ctrl"), *(f"y{i}" for i in range(30))]
    panel = {"panel": {"program": "P", "regulators": ASKED.regulators, "targets": ASKED.targets}}
    return planted_models(genes=GENES, perturbations=names, control="ctrl", cells=CELLS, programs={"P": PROGRAMS["P"]},
                          panels=panel, set_term=set_term, **{"d": 4.0, "dtype": torch.float64, **more})  # fmt: skip


def asked(measurement, panel=ASKED, programs=PROGRAMS, **more):
    return to_test("cell_diagonal", subject(measurement), programs, panels={"panel": panel}, **more)


def rows_for(measurement, **more):
    return evidence.frame(ask("cell_diagonal", asked(measurement, **more)))


def test_without_an_error_a_measurement_is_the_diagonal_at_the_cells():
    model, names = random_state(), ["x1", "g03"]
    wanted = diagonal(whole(model, model.encode_perturbations(names), at_cells(model, CELLS)))
    found = measured(model, settings={"error": 0}).sel(variant="subject")
    for a, b in (("g00", "g08"), ("g05", "g11")):
        values = found.jacobian.sel(feature=f"{a}>{b}", perturbation=names).values
        np.testing.assert_allclose(values.T, wanted[:, :, GENES.index(b), GENES.index(a)], rtol=1e-9)


def test_the_error_asked_for_is_reached_and_said():
    model = random_state()
    exact, found = (measured(model, settings={"error": error}).sel(variant="subject") for error in (0, 0.02))
    assert (exact.draws == 0).all()
    assert 0 < float(found.error.median()) < 0.03
    share, true = (each.across.sum() / (each.across + each.within).sum() for each in (found, exact))
    assert float(share) == pytest.approx(float(true), abs=0.01)
    for statistic in declared("cell_diagonal").statistics:
        said, exactly = (rows_of(rows_for(each), statistic=statistic).iloc[0].reason for each in (found, exact))
        assert "derivatives by random signs over cells, standard error" in said
        assert "0 of 9 perturbations exact" in said
        assert "derivatives exact" in exactly


@pytest.mark.parametrize("set_term", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("error", [0, 0.05])
def test_the_share_that_was_planted_is_found(set_term, error):
    """A planted set term takes the same part from the cell itself and gives it to the others."""
    model = planted(set_term)["planted"]
    found = measured(model, settings={"error": error})
    rows, columns = ([GENES.index(name) for name in names] for names in (ASKED.targets, ASKED.regulators))
    within = across = 0.0
    for name in ASKED.perturbations:
        own, both = (
            model.jacobian(CELLS.values, name, derivative=which).mean(0)[rows][:, columns]
            for which in ("diagonal", "total")
        )
        within, across = within + own.square().sum(), across + (both - own).square().sum()
    row = rows_of(rows_for(found), statistic="crossing_share").iloc[0]
    true = float(across / (within + across))
    assert row.estimate == pytest.approx(true, abs=1e-9 if error == 0 else 0.03)
    assert (true == 0) == (set_term == 0)
    assert (row.panel, row.n, row.n_background) == ("panel", 3, 39)
    assert "interval over 3 cell sets" in row.reason
    assert np.isnan(row.p)


def test_the_interval_is_the_jackknife_over_cell_sets():
    found = measured(random_state())
    row = rows_of(rows_for(found), statistic="crossing_share").iloc[0]
    within, across = (found[name].sel(panel="panel", perturbation=["x1", "x2", "x3"]).sum("perturbation").values
                      for name in ("within", "across"))  # fmt: skip
    assert row.estimate == pytest.approx(across.sum() / (within + across).sum())
    left = [1 / (1 + np.delete(within, i).sum() / np.delete(across, i).sum()) for i in range(3)]
    half = 4.302652729 * np.sqrt(2 / 3 * np.sum((left - np.mean(left)) ** 2))  # Student's t, 2 degrees of freedom
    assert (row.ci_low, row.ci_high) == pytest.approx((np.mean(left) - half, np.mean(left) + half))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mechanism_is_found_and_the_lookup_ranks_none_above_another(relu, dtype):
    """Also behind a ReLU that perturbations open in more cells, and beside what crosses cells."""
    models = planted(0.5, relu=relu, dtype=dtype)
    cells = replace(CELLS, values=CELLS.values - 0.4 * relu, hash="")
    found = {kind: rows_for(measured(model, cells=cells), permutations=999) for kind, model in models.items()}
    primary = {kind: rows_of(table, statistic="rank_score", program="P").iloc[0] for kind, table in found.items()}
    assert primary["planted"].p < 0.02
    for kind in ("lookup", "covariation"):
        assert (primary[kind].estimate, primary[kind].p) == (0.5, 1.0)


class Heard(MeanShift):
    """Each cell reads the others with weights of its own; the perturbation only opens or closes the output ReLU."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.read = 3 * torch.randn(16, 16, generator=generator, dtype=torch.float64) * (1 - torch.eye(16))
        self.genes_read = torch.randn(len(GENES), len(GENES), generator=generator, dtype=torch.float64)

    def mix(self, pert, encoded, edit=None):
        h = (encoded.tokens + self.read @ encoded.tokens / 16) @ self.genes_read + 2 * pert[..., None, :]
        return Mixed(h, (h,))

    def decode(self, mixed, encoded, X):
        return torch.relu(mixed.h)


def test_scores_that_are_those_of_the_draws_are_not_evaluable():
    """The own derivative of every open cell is the same; what signs leave over is that of the cells that are open."""
    exact, found = (measured(Heard(), settings={"error": error}).sel(variant="subject") for error in (0, 0.5))
    assert float(found.open.std("perturbation").max()) > 0.05
    known = rows_of(rows_for(exact), statistic="rank_score", program="P").iloc[0]
    assert (known.estimate, known.p, known.evaluable) == (0.5, 1.0, True)
    assert "reliability of scores 1.00" in known.reason
    row = rows_of(rows_for(found), statistic="rank_score", program="P").iloc[0]
    assert cell_diagonal.reliability(cell_diagonal.halves_of(found), ASKED) < cell_diagonal.RELIABLE
    assert not row.evaluable
    assert row.reason.startswith("scores of the two halves of the draws do not agree: reliability 0.")
    assert "Set probes.cell_diagonal.error lower, or 0" in row.reason


def test_reliability_is_that_of_the_mean_of_two_halves():
    rng = np.random.default_rng(0)
    names, features = [f"p{i:03d}" for i in range(400)], ["g00>g08"]
    signal, noise = rng.normal(3, 1, 400), rng.normal(0, 0.7, (2, 400))
    halves = xr.DataArray((signal + noise)[:, None, :, None], dims=("half", "set", "perturbation", "feature"),
                          coords={"perturbation": names, "feature": features})  # fmt: skip
    opened = xr.DataArray(np.ones((1, 400, 1)), dims=("set", "perturbation", "gene"),
                          coords={"perturbation": names, "gene": ["g08"]})  # fmt: skip
    found = xr.Dataset({"jacobian": halves.mean("half"), "halves": halves, "open": opened, "gain": opened})
    true = np.corrcoef(signal, signal + noise.mean(0))[0, 1] ** 2
    assert cell_diagonal.reliability(cell_diagonal.halves_of(found), ASKED) == pytest.approx(true, abs=0.03)
    same = found.assign(halves=xr.concat([halves[0], halves[0]], "half"))
    assert cell_diagonal.reliability(cell_diagonal.halves_of(same), ASKED) == 1.0
    assert cell_diagonal.reliability(cell_diagonal.halves_of(found.assign(halves=0 * halves + 1)), ASKED) == 1.0
    alike = found.assign(halves=xr.concat([halves[0], 0 * halves[1] + 1], "half"))
    assert cell_diagonal.reliability(cell_diagonal.halves_of(alike), ASKED) == 0.0


def test_copies_and_planted_models_are_measured_in_few_sets_and_compared():
    model = random_state(dtype=torch.float32)
    found = gather([measure_shard("cell_diagonal", requested(model), 0, 1, redrawn=2, seed=1)])
    values = found.jacobian.sel(feature="g00>g08")
    assert found.variant.values.tolist() == ["subject", "redrawn_1", "shuffled_1", "redrawn_2", "shuffled_2"]
    assert np.isfinite(values.sel(variant="subject")).all()
    assert np.isfinite(values.isel(set=0)).all()
    assert np.isnan(values.sel(variant="redrawn_1").isel(set=slice(1, None))).all()
    derived = measure_derived("cell_diagonal", requested(None), planted(dtype=torch.float32))
    mine = subject(found, strength={name: 1.0 + i for i, name in enumerate(derived.perturbation.values)})
    rows = run_test("cell_diagonal", TestCase(replace(asked(found), subject=mine), derived=derived))
    row = rows_of(rows, role="subject", statistic="rank_score", program="P").iloc[0]
    assert np.isfinite(row.excess_redrawn)
    assert set(rows_of(rows, role="planted").statistic) == {"rank_score"}
    assert set(rows_of(rows, role="redrawn")["copy"]) == {1, 2}


def test_signs_are_those_of_the_runs_seed():
    model = random_state()
    one, same, other = (measured(model, seed=seed).across for seed in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(other)


def test_a_causal_model_is_measured():
    found = measured(random_state(attention="causal"))
    assert np.isfinite(found.jacobian).all()
    assert 0 < rows_of(rows_for(found), statistic="crossing_share").estimate.iloc[0] < 1


def test_what_cannot_be_asked_is_said():
    found = measured(random_state())
    rows = rows_for(found, panel=replace(ASKED, perturbations=("absent",)))
    assert rows_of(rows, statistic="crossing_share").reason.tolist() == ["no pathway perturbation"]
    assert rows_of(rows, program="alone").reason.tolist() == ["no panel for this program"]
    silent = found.assign(within=0 * found.within, across=0 * found.across)
    row = rows_of(rows_for(silent), statistic="crossing_share").iloc[0]
    assert (row.evaluable, row.reason) == (False, "the derivatives of the panel are 0")


def test_panels_without_any_gene_of_the_model_are_not_evaluable():
    found = measured(random_state(), panels={"panel": {"regulators": ["z"], "targets": ["q"]}})
    rows = run_test("cell_diagonal", TestCase(to_test("cell_diagonal", subject(found, {"x1": 1.0}), PROGRAMS)))
    assert set(rows.program) == set(PROGRAMS)
    assert set(rows.reason) == {"no panel has regulators or targets among the model's genes"}
    assert not rows.evaluable.any()
