"""Models of known kind as models of a run: what their table knows, and what they say that it knows."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from pertprobe import load_model, read_cells
from pertprobe.errors import PertprobeError
from pertprobe.models.cards import own_split, perturbation_table
from pertprobe.models.known.training import train_known
from pertprobe.probes.base import NOT_EVALUABLE, MeasureInputs
from pertprobe.probes.declaration import declared
from pertprobe.stages.measuring import measure_shard

SOURCE = {
    "context_column": "cell_line",
    "perturbation_column": "gene",
    "batch_column": "batch",
    "control": "non-targeting",
    "space": "X_hvg",
}


@pytest.fixture
def fitted(small_directory, tmp_path):
    def fit(kind, regime="fewshot", **more):
        asked = {"context": "line_a", "regime": regime, "seed": 0, "set_size": 16, **SOURCE, **more}
        return train_known(small_directory / "cells.h5ad", kind=kind, output=tmp_path / kind, **asked)

    return fit


@pytest.fixture(scope="module")
def means(small_directory):
    """Return the mean change of every knock-down in every context [(context, perturbation), gene], by pandas."""
    cells = ad.read_h5ad(small_directory / "cells.h5ad")
    names = cells.var_names[cells.var.highly_variable]
    values = pd.DataFrame(np.asarray(cells.obsm["X_hvg"], float), columns=names)
    labels = [cells.obs[column].astype(str).to_numpy() for column in ("cell_line", "gene")]
    table = values.groupby(labels).mean()
    return table - table.xs("non-targeting", level=1).reindex(table.index.get_level_values(0)).to_numpy()


def test_a_few_shot_table_knows_its_own_context_but_for_what_is_kept_from_it(fitted, means, tmp_path):
    model = fitted("lookup")
    table = pd.DataFrame(model.changes.numpy(), index=list(model.perturbations), columns=list(model.genes))
    seen = perturbation_table(model, own_split(tmp_path / "lookup"), "line_a").seen
    assert (seen == "here").sum() == 24
    for name, status in seen.items():
        context = "line_a" if status == "here" else "line_b"
        np.testing.assert_allclose(table.loc[name], means.loc[context, name][list(model.genes)], atol=1e-4)


def test_a_zero_shot_table_knows_other_contexts_alone(fitted, means):
    model = fitted("covariation_pca", "zeroshot")
    table = pd.DataFrame(model.changes.numpy(), index=list(model.perturbations), columns=list(model.genes))
    np.testing.assert_allclose(table.loc["g003"], means.loc["line_b", "g003"][list(model.genes)], atol=1e-4)


def test_every_kind_is_loaded_by_its_name_as_it_was_fitted(fitted, small_directory, tmp_path):
    cells = np.random.default_rng(0).random((2, 5, 96)).astype(np.float32)
    for kind in ("lookup", "covariation_pca", "network"):
        model = fitted(kind, network=small_directory / "regulons.tsv")
        again = load_model(tmp_path / kind, kind=kind, dtype="float64")
        assert again.card["kind"] == kind
        assert again.predict(cells, "g001").dtype.itemsize == 8
        np.testing.assert_allclose(again.predict(cells, "g001"), model.predict(cells, "g001"), atol=1e-4)
    with pytest.raises(PertprobeError, match="holds network, no lookup"):
        load_model(tmp_path / "network", kind="lookup")


def test_a_network_is_needed_for_its_equations(fitted):
    with pytest.raises(PertprobeError, match=r"needs controls\.network"):
        fitted("network")


@pytest.fixture
def asked(fitted, small_directory):
    """Return what a probe is given of a model of some kind, with settings small enough for a test."""

    def ask(kind, probe, **more):
        model = fitted(kind, network=small_directory / "regulons.tsv")
        where = {"context": "line_a", "genes": model.genes, "set_size": 16, "n_sets": 2, "seed": 0, **SOURCE}
        cells = read_cells(small_directory / "cells.h5ad", **where)
        declaration, small = declared(probe), {"genes": 10, "draws": 2, "sketch": 16, "at": "mean_cell"}
        settings = declaration.default_settings | {key: small[key] for key in small if key in declaration.settings}
        panel = {"program": "P", "regulators": model.genes[40:42], "targets": model.genes[50:53],
                 "perturbations": ["g001", "g002", "g003"], "controls": "others"}  # fmt: skip
        known = {"panels": {"panel": panel}, "programs": {"P": ["g001", "g002", "g003"]}, "contexts": (cells,)}
        seen = dict.fromkeys(model.perturbations, "here")
        return MeasureInputs(model, cells, settings, seen=seen, **known, **more)

    return ask


PROBES = [
    *("pert_embedding", "intervention_fidelity", "knockout", "knockout_linearity", "routing_coherence"),
    *("targeted_jacobian", "cell_diagonal", "regulon_recovery", "jacobian_divergence", "input_sensitivity"),
    "regulator_influence",
]


@pytest.mark.parametrize("kind", ["covariation_autoencoder", "network"])
def test_known_kinds_go_through_the_probes_of_a_run(asked, kind, monkeypatch):
    monkeypatch.setattr("pertprobe.models.rivals.autoencoder.STEPS", 20)
    for probe in PROBES:
        found = measure_shard(probe, asked(kind, probe), 0, 1)
        assert NOT_EVALUABLE not in found.attrs, probe
        assert all(np.isfinite(values).all() for values in found.values() if values.dtype.kind == "f"), probe
