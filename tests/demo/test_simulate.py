"""The simulated cells look like Perturb-seq, and their truth is what it claims to be."""

import anndata
import numpy as np
import pandas as pd
import pytest

from pertprobe.data.simulate import CONTROL, layout, simulate
from pertprobe.errors import PertprobeError


def coherence(effects, members):
    """Mean cosine similarity of pairs of members, the mean over perturbations removed."""
    centred = effects - effects.mean()
    unit = centred.div(np.linalg.norm(centred, axis=1), axis=0).loc[list(members)].to_numpy()
    similarity = unit @ unit.T
    return (similarity.sum() - len(unit)) / (len(unit) * (len(unit) - 1))


def test_cells_have_the_shapes_and_columns_of_the_demo_config(small):
    cells = small.cells
    assert cells.shape == (2 * (120 + 30 * 30), 120)
    assert cells.obsm["X_hvg"].shape == (cells.n_obs, cells.var.highly_variable.sum()) == (cells.n_obs, 96)
    assert set(cells.obs.gene) == {CONTROL, *layout(120, 30, 4).perturbations}
    assert np.array_equal(cells.obsm["X_hvg"], cells.X[:, cells.var.highly_variable])


def test_counts_are_whole_and_the_values_their_logarithm(small):
    counts = small.cells.layers["counts"].toarray()
    assert counts.dtype.kind == "i"
    assert counts.min() == 0
    totals = counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(small.cells.X, np.log1p(counts / totals * np.median(totals)), rtol=1e-5)


def test_counts_are_as_sparse_and_overdispersed_as_real_ones(small):
    control = small.cells[(small.cells.obs.gene == CONTROL) & (small.cells.obs.cell_line == "line_a")]
    counts = control.layers["counts"].toarray()
    assert 0.15 < (counts == 0).mean() < 0.6
    expressed = counts.mean(axis=0) > 3
    assert (counts.var(axis=0) / counts.mean(axis=0))[expressed].min() > 1.5
    assert 0.2 < np.log(counts.sum(axis=1)).std() < 1


def test_every_batch_lies_in_one_context_and_has_controls(small):
    obs = small.cells.obs
    assert (obs.groupby("batch", observed=True).cell_line.nunique() == 1).all()
    assert set(obs.batch[obs.gene == CONTROL]) == set(obs.batch)
    assert obs.batch.nunique() == 6


def test_a_knocked_gene_falls_in_the_cells(small):
    X, obs = small.cells.to_df(), small.cells.obs
    means = X.groupby(obs.gene, observed=True).mean()
    falls = [means.loc[gene, gene] - means.loc[CONTROL, gene] for gene in small.programs["program_1"].members]
    assert max(falls) < -0.2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_members_share_an_effect_exactly_where_the_truth_says_so(seed):
    simulation = simulate(seed=seed, cells_per_perturbation=1, control_cells=10)
    for row in simulation.truth.itertuples():
        found = coherence(simulation.effects.loc[row.context], simulation.programs[row.program].members)
        assert found > 0.25 if row.coherent else abs(found) < 0.15, row


def test_members_of_a_coherent_program_shift_its_targets(small):
    for row in small.truth.itertuples():
        program = small.programs[row.program]
        shifts = small.effects.loc[row.context].loc[list(program.members), list(program.targets)]
        assert (shifts.abs().mean(axis=None) > 0.2) == row.coherent, row


def test_decoys_vary_together_in_control_cells():
    """The trap: co-variation without mechanism is at least as strong as background."""
    simulation = simulate(seed=0, cells_per_perturbation=1, control_cells=2000)
    cells = simulation.cells
    control = cells[(cells.obs.gene == CONTROL) & (cells.obs.cell_line == "line_a")].to_df()
    correlation = control.corr().abs()
    decoy = simulation.programs["program_8"]
    others = [g for name, p in simulation.programs.items() if name != "program_8" for g in p.targets]
    members = correlation.loc[list(decoy.members)]
    assert members[list(decoy.targets)].mean(axis=None) > 1.3 * members[others].mean(axis=None)


def test_truth_has_every_kind_once_per_context(small):
    planted = small.truth.pivot(index="program", columns="context", values="planted")
    assert planted.loc["program_1"].tolist() == ["shared", "shared"]
    assert planted.loc["program_3"].tolist() == ["context_specific", "absent"]
    assert planted.loc["program_4"].tolist() == ["decoy", "decoy"]


def test_the_demo_has_four_shared_two_specific_and_two_decoy_programs():
    kinds = [program.kind for program in layout(300, 80, 8).programs.values()]
    assert kinds == ["shared"] * 4 + ["context_specific"] * 2 + ["decoy"] * 2
    assert [layout(300, 80, 8).programs[name].home for name in ("program_5", "program_6")] == [0, 1]


def test_the_same_seed_gives_the_same_cells(small, sizes):
    again = simulate(seed=1, **sizes)
    assert (again.cells.layers["counts"] != small.cells.layers["counts"]).nnz == 0
    pd.testing.assert_frame_equal(again.effects, small.effects)


def test_another_seed_changes_the_cells_but_no_name_or_role(small, sizes):
    other = simulate(seed=2, **sizes)
    assert (other.cells.layers["counts"] != small.cells.layers["counts"]).nnz > 0
    assert other.programs == small.programs
    pd.testing.assert_frame_equal(other.truth, small.truth)
    pd.testing.assert_frame_equal(other.panels, small.panels)


def test_every_gene_with_a_role_is_measured_in_the_variable_space(small):
    variable = small.cells.var_names[small.cells.var.highly_variable]
    assert set(small.panels.gene) | set(small.effects.columns[:30]) <= set(variable)


def test_names_in_the_docstring_hold():
    programs = layout(300, 80, 8).programs
    assert programs["program_1"].members == tuple(f"g{n:03d}" for n in range(1, 8))
    assert programs["program_1"].regulators == ("g081", "g082", "g083")
    assert programs["program_1"].targets == tuple(f"g{n:03d}" for n in range(84, 94))
    assert programs["program_2"].members[0] == "g008"
    assert programs["program_2"].regulators[0] == "g094"
    assert programs["program_2"].targets == tuple(f"g{n:03d}" for n in range(97, 107))


def test_roles_do_not_overlap():
    genes = [gene for program in layout(300, 80, 8).programs.values() for part in program[:3] for gene in part]
    assert len(genes) == len(set(genes))


@pytest.mark.parametrize("too_small", [(300, 80, 30), (60, 50, 4), (90, 80, 8)])
def test_sizes_that_leave_programs_too_small_are_refused(too_small):
    with pytest.raises(PertprobeError, match="simulate: "):
        layout(*too_small)


def test_what_is_written_is_what_was_drawn(small, small_directory):
    assert np.array_equal(anndata.read_h5ad(small_directory / "cells.h5ad").X, small.cells.X)
    lines = [line.split("\t") for line in (small_directory / "programs.gmt").read_text().splitlines()]
    assert {name: tuple(members) for name, _, *members in lines} == {k: p.members for k, p in small.programs.items()}
    pd.testing.assert_frame_equal(pd.read_csv(small_directory / "truth.tsv", sep="\t"), small.truth)
    pd.testing.assert_frame_equal(pd.read_csv(small_directory / "panels.tsv", sep="\t"), small.panels)
    assert sorted(path.name for path in small_directory.iterdir()) == [
        "cells.h5ad", "panels.tsv", "programs.gmt", "regulons.tsv", "truth.tsv",
    ]  # fmt: skip
