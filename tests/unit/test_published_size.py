"""The stand-in of the published analysis, at a small size: what its cells and models hold, and that it can go on."""

import sys

import numpy as np
import pandas as pd
import pytest

from pertprobe.data.h5ad import CellFile
from pertprobe.data.programs import run_programs
from pertprobe.models import load_model
from pertprobe.models.split_file import read_split
from pertprobe.workflow.settled import read_configs


@pytest.fixture(scope="module")
def published_size(request):
    """Import from benchmarks/, which is no package."""
    sys.path.insert(0, str(request.config.rootpath / "benchmarks"))
    import published_size.models
    import published_size.stand_in

    yield published_size
    sys.path.remove(str(request.config.rootpath / "benchmarks"))


@pytest.fixture(scope="module")
def made(published_size, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand_in")
    published_size.stand_in.write_stand_in(folder, published_size.plan.SMALL)
    return folder


def test_the_cells_have_the_planned_groups_and_program_members_fall_together(made, published_size):
    sizes, plan = published_size.plan.SMALL, published_size.plan.plan(published_size.plan.SMALL)
    with CellFile(made / "cells.h5ad") as file:
        counts = pd.Series(file.column("obs", "gene")).value_counts()
        assert len(file.column("obs", "gene")) == sizes.all_cells
        assert tuple(file.gene_names("X_hvg")[0]) == plan.genes
    assert counts["non-targeting"] == 2 * sizes.control_cells
    assert set(counts.drop("non-targeting")) == {2 * sizes.cells}
    means = published_size.means.read_means(made / "cells.h5ad", plan)
    truth = pd.read_csv(made / "truth.tsv", sep="\t")
    for row in truth.itertuples():
        members = np.isin(plan.perturbations, published_size.plan.PROGRAMS[row.program].members)
        alike = np.corrcoef(means[row.context].shifts)
        among = alike[members][:, members][~np.eye(members.sum(), dtype=bool)].mean()
        assert (among > alike[members][:, ~members].mean() + 0.2) == row.coherent, row


def test_models_predict_what_they_have_seen_and_their_control(made, published_size):
    sizes, plan = published_size.plan.SMALL, published_size.plan.plan(published_size.plan.SMALL)
    means = published_size.means.read_means(made / "cells.h5ad", plan)
    found = {}
    for wanted in published_size.models.WANTED:
        model = load_model(made / "models" / wanted.name, kind="state")
        cells = means[wanted.context].control
        sets = cells[: len(cells) // sizes.set_size * sizes.set_size].reshape(-1, sizes.set_size, sizes.genes)
        control = model.predict(sets, "non-targeting").detach().numpy().mean((0, 1))
        assert np.abs(control - sets.mean((0, 1))).mean() < 0.1 * sets.mean()
        seen = [
            name
            for name in plan.perturbations[::9]
            if read_split(made / "models" / f"{wanted.name}.toml").trained(name, wanted.context)
        ]
        names = seen or list(plan.perturbations[::9])
        moved = [model.predict(sets[:1], name).detach().numpy().mean((0, 1)) for name in names]
        moved -= model.predict(sets[:1], "non-targeting").detach().numpy().mean((0, 1))
        shifts = means[wanted.context].shifts[[plan.perturbations.index(name) for name in names]]
        found[wanted] = np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(moved, shifts, strict=True)])
    assert min(r for wanted, r in found.items() if wanted.regime == "fewshot") > 0.6
    assert min(r for wanted, r in found.items() if wanted.regime == "zeroshot") > 0.1


def test_the_config_of_the_published_analysis_finds_its_programs_and_panels_in_it(published_size, request):
    config = read_configs([request.config.rootpath / "config/replogle.yaml"])
    plan = published_size.plan.plan(published_size.plan.SMALL)
    settings = {"patterns": config["programs"]["patterns"], "lists": {}}
    programs = run_programs([], settings, plan.perturbations)
    for name, program in published_size.plan.PROGRAMS.items():
        assert set(programs[name]) & set(plan.perturbations) == set(program.members), name
    for panel in config["panels"].values():
        assert {*panel["regulators"], *panel["targets"]} <= set(plan.genes)
        assert {*panel["perturbations"], *panel["controls"]} <= set(plan.perturbations)


def test_a_part_that_is_missing_is_made_again_alike_and_other_sizes_are_refused(made, published_size):
    folder = made / "models"
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    weights = load_model(folder / "jurkat_zeroshot", kind="state").parameters
    (folder / "jurkat_zeroshot.toml").unlink()
    published_size.stand_in.write_stand_in(made, published_size.plan.SMALL)
    again = load_model(folder / "jurkat_zeroshot", kind="state").parameters
    assert all((again[name] == weights[name]).all() for name in weights)
    changed = {path.name for path in made.rglob("*") if path.is_file() and before.get(path) != path.stat().st_mtime_ns}
    assert "cells.h5ad" not in changed
    assert "jurkat_zeroshot.toml" in changed
    with pytest.raises(ValueError, match="other sizes"):
        published_size.stand_in.write_stand_in(made, published_size.plan.PUBLISHED)
