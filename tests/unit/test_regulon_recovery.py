"""Edges of knock-outs and derivatives against signed regulons: planted truth, baselines, and what cannot be asked."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from tiny import GENES, MeanShift, cell_sets, random_state, rows_of, subject, to_measure, to_test

from pertprobe import evidence
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.regulons import read_regulons
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.probes import regulon_recovery
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.stages.measuring import measure_derived, measure_shard

SETTINGS = {"genes": "all", "by": "expression", "value": "zero", "perturbation": "control"}
MANY = tuple(f"k{i:02d}" for i in range(60))
PROGRAMS = {"P": list(MANY[:6]), "Q": list(MANY[6:12]), "few": [*MANY[:2], "nobody"]}


def cells_of(genes=MANY, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 0.5, size=(2, 20, len(genes))).astype(np.float32)
    return CellSets(values, genes, None, np.arange(40).astype(str).reshape(2, 20), "here")


def graph_of(seed=0, n=6):
    """Return signed edges [gene, gene], n targets each."""
    rng = np.random.default_rng(seed)
    graph = np.zeros((len(MANY), len(MANY)), dtype=int)
    for i, row in enumerate(graph):
        targets = rng.choice(np.delete(np.arange(len(MANY)), i), n, replace=False)
        row[targets] = rng.choice([-1, 1], n)
    return graph


def written(tmp_path, graph, name="truth", genes=MANY):
    source, target = np.nonzero(graph)
    table = pd.DataFrame(
        {"source": np.array(genes)[source], "target": np.array(genes)[target], "sign": graph[source, target]}
    )
    table.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False)
    return {name: str(tmp_path / f"{name}.tsv")}


def measurement(shift, jacobian=None, genes=MANY):
    """Return profiles that are the same in two sets."""
    dims, coords = ("set", "perturbation", "gene"), {"perturbation": list(genes), "gene": list(genes)}
    found = {"shift": shift} | ({} if jacobian is None else {"jacobian": jacobian})
    arrays = {name: xr.DataArray(np.stack([each, each]), coords, dims) for name, each in found.items()}
    return xr.Dataset(arrays)


def asked(measured, regulons, observed=None, programs=PROGRAMS, cells=None, **settings):
    mine = subject(measured)
    mine = mine if observed is None else type(mine)(mine.measurement, mine.strength, mine.seen, observed)
    more = {"universe": "genes", "min_targets": 3, "regulons": regulons, **settings}
    inputs = to_test("regulon_recovery", mine, programs, cells=cells or cells_of(), settings=more)
    return evidence.frame(ask("regulon_recovery", inputs))


def noisy(graph, seed, size=0.3):
    return graph + size * np.random.default_rng(seed).normal(size=graph.shape)


def test_a_model_that_holds_the_graph_is_found_by_knockouts_and_derivatives(tmp_path):
    graph = graph_of()
    table = asked(measurement(-noisy(graph, 1), noisy(graph, 2)), written(tmp_path, graph))
    for statistic in declared("regulon_recovery").statistics:
        for program in ("P", "Q", ""):
            row = rows_of(table, statistic=statistic, program=program).iloc[0]
            assert row.p < 0.01, (statistic, program)
            assert (row.panel, row.unit) == ("truth", "gene")
    assert rows_of(table, statistic="sign", program="").estimate.item() > 0.4
    assert rows_of(table, statistic="auprc", program="").estimate_published.item() > 5


def test_a_model_of_other_edges_is_not_found(tmp_path):
    table = asked(measurement(-noisy(graph_of(1), 1)), written(tmp_path, graph_of(0)))
    rows = table[table.program.isin(["P", "Q", ""])]
    assert (rows.p > 0.01).all()
    assert rows_of(rows, statistic="auprc").effect.abs().max() < 0.15


def test_targets_that_answer_to_every_gene_make_no_regulon(tmp_path):
    """Targets of P are moved by whatever is silenced: a high AUPRC, of partners as well."""
    graph = graph_of()
    graph[:6] = 0
    graph[:6, 40:46] = 1
    hubs = np.zeros_like(graph, dtype=float)
    hubs[:, 40:46] = 5.0
    table = asked(measurement(-noisy(hubs, 1)), written(tmp_path, graph), programs={"P": list(MANY[:6])})
    row = rows_of(table, statistic="auprc", program="P").iloc[0]
    assert abs(row.effect) < 0.1
    assert row.p_published < 0.01  # pairs as replicates call it found
    assert row.estimate_published > 1.5


def test_silencing_an_activator_lowers_its_targets(tmp_path):
    graph = graph_of()
    right, wrong = (asked(measurement(sign * noisy(graph, 1)), written(tmp_path, graph)) for sign in (-1, 1))
    assert rows_of(right, statistic="sign", program="").estimate.item() > 0.4
    assert rows_of(wrong, statistic="sign", program="").estimate.item() < -0.4
    pd.testing.assert_series_equal(
        rows_of(right, statistic="auprc").estimate, rows_of(wrong, statistic="auprc").estimate
    )


def test_edges_without_a_sign_count_for_precision_alone(tmp_path):
    graph = graph_of()
    files = written(tmp_path, graph)
    text = (tmp_path / "truth.tsv").read_text().replace("\t-1\n", "\t0\n").replace("\t1\n", "\t0\n")
    (tmp_path / "truth.tsv").write_text(text)
    table = asked(measurement(-noisy(graph, 1)), files)
    assert rows_of(table, statistic="auprc", program="P").p.item() < 0.01
    assert not rows_of(table, statistic="sign").evaluable.any()


def test_regulators_that_cannot_be_asked_are_counted(tmp_path):
    graph = graph_of()
    graph[0, np.flatnonzero(graph[0])[2:]] = 0
    files = written(tmp_path, graph)
    with (tmp_path / "truth.tsv").open("a") as file:
        file.write("TF1\tk00\t1\nTF2\tk01\t1\nk05\tk05\t1\n")
    row = rows_of(asked(measurement(-noisy(graph, 1)), files), statistic="auprc", program="P").iloc[0]
    assert row.n == 5
    for words in ("60 candidate targets", "2 regulators not silenced", "1 with fewer than 3 measured targets left out",
                  "1 genes that act on themselves left out"):  # fmt: skip
        assert words in row.reason


def test_every_program_has_a_row_where_nothing_can_be_asked(tmp_path):
    (tmp_path / "other.tsv").write_text("source\ttarget\tsign\nA\tB\t1\nA\tC\t1\nA\tD\t1\n")
    table = asked(measurement(-noisy(graph_of(), 1)), {"other": str(tmp_path / "other.tsv")})
    assert sorted(table.program) == sorted(PROGRAMS)
    assert not table.evaluable.any()
    assert (table.reason.str.startswith("0 regulators of the program, 3 needed")).all()


def test_a_program_with_too_few_regulators_is_not_evaluable(tmp_path):
    table = asked(measurement(-noisy(graph_of(), 1)), written(tmp_path, graph_of()))
    row = rows_of(table, program="few").iloc[0]
    assert (row.evaluable, row.n, row.statistic) == (False, 2, "auprc")
    assert row.reason.startswith("2 regulators of the program, 3 needed")


def test_the_universe_is_the_annotated_targets_or_every_gene(tmp_path):
    graph = graph_of()
    graph[:, 40:] = 0
    graph[:, 30] = 0
    files = written(tmp_path, graph)
    annotated, every = (asked(measurement(-noisy(graph, 1)), files, universe=each) for each in ("targets", "genes"))
    n = int(np.abs(graph).any(axis=0).sum())
    assert n < 60
    assert f"{n} candidate targets" in rows_of(annotated, program="").reason.iloc[0]
    assert "60 candidate targets" in rows_of(every, program="").reason.iloc[0]


@pytest.mark.parametrize(("n", "groups", "least"), [(60, 10, 6), (23, 4, 5), (7, 1, 7), (120, 10, 12)])
def test_partners_are_of_like_expression(n, groups, least):
    genes = tuple(f"x{i:03d}" for i in range(n))
    cells = cells_of(genes)
    found = regulon_recovery.groups_of(cells, genes)
    assert len(set(found)) == groups
    assert np.bincount(found).min() >= least
    expression = cells.values.mean((0, 1))
    assert all(expression[found == g].max() <= expression[found == g + 1].min() for g in range(groups - 1))


def test_co_expression_and_observed_responses_stand_beside(tmp_path):
    graph = graph_of()
    coords = {"perturbation": list(MANY[:30]), "gene": list(MANY)}
    shifts = xr.DataArray(-noisy(graph, 5)[:30], coords, ("perturbation", "gene"))
    names = {"input_gene": list(MANY), "input_gene_b": list(MANY)}
    together = xr.DataArray(noisy(graph_of(9), 6), names, ("input_gene", "input_gene_b"))
    observed = xr.Dataset({"delta_y": shifts, "correlation": together})
    table = asked(measurement(-noisy(graph, 1)), written(tmp_path, graph), observed)
    seen = rows_of(table, role="observed", statistic="auprc", program="").iloc[0]
    assert seen.n == 30
    assert seen.p < 0.01
    assert rows_of(table, role="observed", statistic="sign", program="").estimate.item() > 0.4
    rival = rows_of(table, role="coexpression", program="")
    assert set(rival.statistic) == set(declared("regulon_recovery").statistics)
    assert rows_of(rival, statistic="auprc").effect.abs().item() < 0.1


def test_several_sets_of_regulons_have_rows_of_their_own(tmp_path):
    files = written(tmp_path, graph_of(), "one") | written(tmp_path, graph_of(1), "two")
    table = rows_of(asked(measurement(-noisy(graph_of(), 1)), files), statistic="auprc", program="")
    rows = table.set_index("panel")
    assert rows.loc["one"].p < 0.01 < rows.loc["two"].p


def measured(model, cells=None, **more):
    with torch.no_grad():
        return measure_shard("regulon_recovery", to_measure(model, cells, settings=SETTINGS, **more), 0, 1)


def test_the_derivative_is_that_of_central_differences_at_the_mean_cell():
    model, cells = random_state(batch_encoder=False, batch_dim=0), cell_sets(batches=False)
    found = measured(model, cells)["jacobian"].sel(variant="subject")
    mean = torch.as_tensor(cells.values).double().mean(1, keepdim=True)
    for gene in (0, 7):
        step = torch.zeros(12, dtype=torch.float64)
        step[gene] = 1e-5
        up, down = (model.predict((mean + sign * step).expand(-1, 5, -1), "ctrl").mean(-2) for sign in (1, -1))
        np.testing.assert_allclose(found.sel(perturbation=GENES[gene]), (up - down) / 2e-5, atol=1e-5)


def test_the_mean_shift_points_from_each_gene_to_itself():
    found = measured(MeanShift()).sel(variant="subject")
    np.testing.assert_allclose(found["jacobian"].isel(set=0), np.eye(12), atol=1e-6)


def test_a_model_without_a_gradient_is_asked_by_its_knockouts(tmp_path):
    class Blind(MeanShift):
        capabilities = frozenset({"predict", "gene_space"})

    found = measured(Blind())
    assert list(found.data_vars) == ["shift"]
    graph = np.eye(12, dtype=int)[np.arange(1, 13) % 12] + np.eye(12, dtype=int)[np.arange(2, 14) % 12]
    files = written(tmp_path, graph, genes=GENES)
    table = asked(found.isel(variant=0, drop=True), files, programs={"P": GENES[:4]}, cells=cell_sets(), min_targets=2)
    assert not table.statistic.str.endswith("_jacobian").any()
    row = rows_of(table, statistic="auprc", program="P").iloc[0]
    assert abs(row.effect) < 0.03  # a constant profile is an answer: no better than any other


def test_copies_are_silenced_alone_on_one_set():
    inputs = to_measure(random_state(), cell_sets(n_sets=3), settings=SETTINGS)
    with torch.no_grad():
        found = measure_shard("regulon_recovery", inputs, 0, 1, redrawn=1)
    copies = found["shift"].sel(variant=["redrawn_1", "shuffled_1"])
    assert copies.isel(set=0).notnull().all()
    assert copies.isel(set=slice(1, None)).isnull().all()
    assert "variant" not in found["jacobian"].dims


def test_the_planted_mechanism_is_found_and_neither_lookup_nor_co_variation(tmp_path):
    cells = cells_of()
    models = planted_models(genes=MANY, perturbations=MANY[:20], control="ctrl", cells=cells, programs={"P": MANY[:6]})
    inputs = to_measure(None, cells, settings=SETTINGS)
    found = measure_derived("regulon_recovery", inputs, models)
    files = written(tmp_path, graph_of(n=4))
    tables = {
        kind: rows_of(asked(found.sel(variant=kind, drop=True), files), statistic="auprc", role="subject")
        for kind in ("planted", "lookup", "covariation")
    }
    for program in ("P", "Q", ""):
        rows = {kind: rows_of(table, program=program).iloc[0] for kind, table in tables.items()}
        assert rows["planted"].p < 0.01
        assert rows["planted"].estimate > 0.8
        assert min(rows["lookup"].p, rows["covariation"].p) > 0.01
        assert "edges of the planted graph" in rows["planted"].reason


def test_the_planted_control_has_the_regulators_of_the_given_set(tmp_path):
    cells = cells_of()
    models = planted_models(genes=MANY, perturbations=MANY[:20], control="ctrl", cells=cells, programs={"P": MANY[:6]})
    found = measure_derived("regulon_recovery", to_measure(None, cells, settings=SETTINGS), models)
    graph = graph_of()
    graph[20:], graph[2] = 0, 0
    table = asked(found.sel(variant="planted", drop=True), written(tmp_path, graph))
    assert rows_of(table, statistic="auprc", program="").n.item() == 19
    assert rows_of(table, statistic="auprc", program="P").n.item() == 5


def test_every_regulator_stands_in_the_file_the_simulation_writes(tmp_path):
    from pertprobe.data.simulate import simulate, write_simulation

    simulation = simulate(genes=66, perturbations=18, programs=4, seed=0, cells_per_perturbation=4, control_cells=16)
    write_simulation(simulation, tmp_path)
    found = read_regulons(tmp_path / "regulons.tsv")
    assert found.notes == ()
    pd.testing.assert_frame_equal(found.signs, simulation.regulons)
    for program in simulation.programs.values():
        edges = found.signs[found.signs.source.isin(program.members) & found.signs.target.isin(program.regulators)]
        everywhere = program.kind == "shared"
        assert len(edges) == (len(program.members) * len(program.regulators) if everywhere else 0)
