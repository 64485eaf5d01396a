"""Training: its loss, what it is allowed to see, and the directory it leaves."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from pertprobe.data.cells import read_cells
from pertprobe.errors import PertprobeError
from pertprobe.models.split_file import read_split
from pertprobe.models.state.load import load_state
from pertprobe.models.state.train import Draws, energy_distance, read_training_cells, train
from pertprobe.models.training_split import held_out, seen_status
from pertprobe.seeding import generator

COLUMNS = {"context_column": "cell_line", "perturbation_column": "gene", "batch_column": "batch"}
CONTROL = "non-targeting"
QUICK = {"steps": 60, "sets": 8, "set_size": 16}


def slow_energy_distance(a, b):
    def mean(x, y):
        return sum(torch.linalg.vector_norm(i - j) for i in x for j in y) / (len(x) * len(y))

    return mean(a, b) - mean(a, a) / 2 - mean(b, b) / 2


@pytest.fixture(scope="module")
def sets():
    return torch.randn(2, 3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def labels(small_directory):
    return read_training_cells(small_directory / "cells.h5ad", *COLUMNS.values(), "X_hvg", "var").labels


@pytest.fixture(scope="module")
def trained(small_directory, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "a_fewshot"
    return output, quick_training(small_directory, output)


def quick_training(small_directory, output, regime="fewshot"):
    path = small_directory / "cells.h5ad"
    settings = {"context": "line_a", "regime": regime, "seed": 3, "control": CONTROL, "hidden_dim": 32, "n_layers": 1}
    return train(path, output=output, **settings, **COLUMNS, **QUICK)


def losses_of(directory):
    """Return the mean energy distance of each step."""
    return pd.read_csv(directory / "version_0" / "metrics.csv").train_loss.to_numpy()


def draws(labels, regime, share=0.2):
    kept = held_out(labels, "line_a", regime, share=share, control=CONTROL, seed=0)
    return kept, Draws(labels, "line_a", kept, CONTROL, (8, 16), generator(0, "draws"))


def test_energy_distance_agrees_with_plain_loops(sets):
    found = energy_distance(sets[0], sets[1, :, :4])
    expected = torch.stack([slow_energy_distance(a, b) for a, b in zip(sets[0], sets[1, :, :4], strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_energy_distance_of_a_set_to_itself_in_any_order_is_zero(sets):
    torch.testing.assert_close(energy_distance(sets[0], sets[0].flip(-2)), torch.zeros(3, dtype=torch.float64))


def test_energy_distance_is_symmetric_and_never_negative(sets):
    found = energy_distance(sets[0], sets[1])
    torch.testing.assert_close(found, energy_distance(sets[1], sets[0]))
    assert (found > 0).all()


def test_energy_distance_of_single_cells_is_their_distance(sets):
    a, b = sets[0, :, :1], sets[1, :, :1]
    torch.testing.assert_close(energy_distance(a, b), (a - b).norm(dim=-1)[:, 0], rtol=1e-5, atol=2e-6)


def test_energy_distance_has_a_finite_gradient_at_its_minimum(sets):
    a = sets[0].clone().requires_grad_()
    energy_distance(a, sets[0]).sum().backward()
    assert a.grad.isfinite().all()


@pytest.mark.parametrize("regime", ["fewshot", "zeroshot"])
def test_held_out_perturbations_are_never_drawn_in_their_context(labels, regime):
    kept, steps = draws(labels, regime)
    context, perturbation = labels["context"].to_numpy(), labels["perturbation"].to_numpy()
    seen = set()
    for perturbations, targets, _ in itertools.islice(steps, 200):
        assert (perturbation[targets] == np.array(perturbations)[:, None]).all()
        seen |= set(zip(context[targets].ravel(), perturbation[targets].ravel(), strict=True))
    every = {(c, p) for c in ("line_a", "line_b") for p in set(perturbation)}
    assert seen == every - {("line_a", p) for p in kept}


def test_controls_are_of_the_context_and_batch_of_their_targets(labels):
    _, steps = draws(labels, "fewshot")
    for _, targets, controls in itertools.islice(steps, 20):
        assert (labels["perturbation"].to_numpy()[controls] == CONTROL).all()
        for column in ("context", "batch"):
            values = labels[column].to_numpy()
            assert (values[controls] == values[targets]).all()


def test_cells_do_not_repeat_within_a_set_of_enough_cells(labels):
    _, steps = draws(labels, "fewshot")
    assert all(len(set(rows)) == len(rows) for _, targets, _ in itertools.islice(steps, 20) for rows in targets)


def test_a_share_is_held_out_by_name_and_seed(labels):
    settings = {"context": "line_a", "regime": "fewshot", "control": CONTROL}
    kept = held_out(labels, share=0.2, seed=0, **settings)
    assert len(kept) == 6
    assert CONTROL not in kept
    assert kept == held_out(labels[::-1], share=0.2, seed=0, **settings)
    assert kept != held_out(labels, share=0.2, seed=1, **settings)
    assert held_out(labels, share=0.0, seed=0, **settings) == ()


def test_zeroshot_holds_out_every_perturbation(labels):
    kept = held_out(labels, "line_a", "zeroshot", share=0.2, control=CONTROL, seed=0)
    assert set(kept) == set(labels["perturbation"]) - {CONTROL}


def test_impossible_training_is_refused(labels):
    with pytest.raises(PertprobeError, match="line_c"):
        held_out(labels, "line_c", "fewshot", share=0.2, control=CONTROL, seed=0)
    with pytest.raises(PertprobeError, match="no perturbation is left"):
        draws(labels[labels["context"] == "line_a"].reset_index(drop=True), "zeroshot")
    lacking = (labels["batch"] == "line_b_1") & (labels["perturbation"] == CONTROL)
    with pytest.raises(PertprobeError, match="line_b_1"):
        draws(labels[~lacking].reset_index(drop=True), "fewshot")


def test_missing_columns_are_named(small_directory, tmp_path):
    columns = COLUMNS | {"batch_column": "gem_group"}
    with pytest.raises(PertprobeError, match="gem_group"):
        train(
            small_directory / "cells.h5ad", output=tmp_path / "m", context="line_a", regime="fewshot", seed=0,
            control=CONTROL, **columns,
        )  # fmt: skip
    assert not (tmp_path / "m").exists()


def test_training_lowers_the_loss(trained):
    losses = losses_of(trained[0])
    assert len(losses) == QUICK["steps"]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])


def test_the_directory_is_read_back_with_identical_predictions(trained, small_directory):
    output, made = trained
    model, kept = load_state(output), read_split(output / "split.toml").heldout["line_a"]
    assert not any(weight.requires_grad for weight in made.parameters.values())
    cells = read_cells(
        small_directory / "cells.h5ad", context="line_a", **COLUMNS, control=CONTROL, space="X_hvg", gene_names="var",
        genes=model.genes, set_size=model.set_size, n_sets=2, seed=0,
    )  # fmt: skip
    for perturbation in (CONTROL, "g001", min(kept)):
        found = model.predict(cells.values, perturbation, cells.batches)
        assert torch.equal(found, made.predict(cells.values, perturbation, cells.batches))


def test_the_directory_names_what_the_file_names(trained, small):
    model = load_state(trained[0])
    assert model.genes == model.output_genes == tuple(small.cells.var_names[small.cells.var.highly_variable])
    assert set(model.perturbations) == set(small.cells.obs.gene)
    assert model.batches == tuple(sorted(set(small.cells.obs.batch)))
    assert model.control == CONTROL
    assert model.set_size == QUICK["set_size"]


def test_the_split_file_says_what_the_model_has_seen(trained, labels, small):
    output, _ = trained
    kept = held_out(labels, "line_a", "fewshot", share=0.2, control=CONTROL, seed=3)
    names = small.effects.index.get_level_values("perturbation").unique()
    split = read_split(output / "split.toml")
    here = seen_status(split, names, "line_a", ["line_a", "line_b"])
    assert set(here[here == "elsewhere"].index) == set(kept)
    assert (here[here != "elsewhere"] == "here").all()
    assert (seen_status(split, names, "line_b", ["line_a", "line_b"]) == "here").all()


def test_a_zeroshot_model_has_seen_perturbations_elsewhere_only(small, small_directory, tmp_path):
    quick_training(small_directory, tmp_path / "m", "zeroshot")
    names = small.effects.index.get_level_values("perturbation").unique()
    split = read_split(tmp_path / "m" / "split.toml")
    assert (seen_status(split, names, "line_a", ["line_a", "line_b"]) == "elsewhere").all()


def test_the_same_seed_trains_the_same_model(trained, small_directory, tmp_path):
    threads = torch.get_num_threads()
    again = quick_training(small_directory, tmp_path / "m")
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(losses_of(tmp_path / "m"), losses_of(trained[0]))
    for name, weight in trained[1].parameters.items():
        assert torch.equal(weight, again.parameters[name]), name
