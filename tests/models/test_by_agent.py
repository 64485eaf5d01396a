"""A model asked by agent: one label as before, several as the mean of their codes, never as several members."""

import numpy as np
import pandas as pd
import pytest
import torch
from other_screens import write_model

from pertprobe import load_model, probe
from pertprobe.data.agents import Agents
from pertprobe.data.cell_sets import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.models.by_agent import as_loaded, by_agent, labels_of
from pertprobe.models.cards import model_names, perturbation_table
from pertprobe.models.names_in_cells import same_inputs
from pertprobe.testing import check_model

LABELS = ["GENE1+ctrl", "GENE2g1", "GENE2g2", "GENE3+GENE4", "D_1uM", "D_5uM", "GENE9"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    write_model(folder, LABELS, "ctrl")
    return folder


@pytest.fixture(scope="module")
def pair(directory):
    """Return the model by its labels, and by agent."""
    return load_model(directory, dtype="float64"), load_model(directory, dtype="float64", agents={"recognise": True})


def values(seed=0):
    return torch.rand(2, 10, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_perturbations_are_agents_and_all_else_is_the_models_own(pair):
    plain, model = pair
    assert model.perturbations == ("D", "GENE1", "GENE2", "GENE9", "ctrl")
    assert model.labels["GENE2"] == ("GENE2g1", "GENE2g2")
    assert (model.genes, model.set_size, as_loaded(model).card) == (plain.genes, plain.set_size, plain.card)
    assert labels_of(model, ["GENE2", "D"]) == ["GENE2g1", "GENE2g2", "D_5uM"]
    assert {"code_features"} == plain.capabilities - model.capabilities
    assert "labels not counted, being a combination: GENE3+GENE4" in model.card["warnings"]


@pytest.mark.parametrize(
    ("agent", "label"), [("GENE1", "GENE1+ctrl"), ("D", "D_5uM"), ("GENE9", "GENE9"), ("ctrl", "ctrl")]
)
def test_an_agent_of_one_label_answers_as_that_label(pair, agent, label):
    plain, model = pair
    torch.testing.assert_close(model.predict(values(), agent), plain.predict(values(), label), rtol=0, atol=0)
    assert torch.equal(model.encode_perturbations([agent]), plain.encode_perturbations([label]))


def test_an_agent_of_several_labels_has_the_mean_of_their_codes_and_answers_to_it(pair):
    plain, model = pair
    codes = plain.encode_perturbations(["GENE2g1", "GENE2g2"])
    torch.testing.assert_close(model.encode_perturbations(["GENE2"])[0], codes.mean(dim=0))
    cells = values()
    encoded = plain.encode_cells(cells)
    slow = plain.decode(plain.mix(codes.mean(dim=0), encoded), encoded, cells)
    torch.testing.assert_close(model.predict(cells, "GENE2"), slow)
    torch.testing.assert_close(model.predict_genes(cells, "GENE2"), slow)


def test_it_keeps_every_promise_of_a_model(pair):
    report = check_model(pair[1])
    assert report.ok, str(report)


def test_copies_are_asked_by_agent_too(pair):
    copy = pair[1].redraw(3, keep=["decode"])
    assert copy.perturbations == pair[1].perturbations
    assert not torch.equal(copy.encode_perturbations(["GENE2"]), pair[1].encode_perturbations(["GENE2"]))


def test_what_nobody_counts_is_unknown(pair):
    for name in ("GENE3+GENE4", "D_1uM", "GENE2g1", "GEN1"):
        with pytest.raises(PertprobeError, match=f"perturbation '{name}'".replace("+", r"\+")):
            pair[1].predict(values(), name)


def test_where_each_label_is_an_agent_the_model_is_itself(pair):
    plain, _ = pair
    assert by_agent(plain, Agents(recognise=False)) is plain
    assert by_agent(plain, None) is plain
    raised = by_agent(plain, Agents(recognise=False, direction="activation"))
    assert raised.perturbations == (*sorted(LABELS), "ctrl")
    assert model_names(raised)["activated"] == sorted(LABELS)
    assert "activated" not in model_names(plain)


def test_guides_of_the_control_are_no_agent(tmp_path):
    write_model(tmp_path / "m", ["NTg1", "NTg2", "GENE1g1"], "NT")
    model = load_model(tmp_path / "m", agents={"recognise": True})
    assert model.perturbations == ("GENE1", "NT")


def test_an_agent_was_trained_where_any_label_of_it_was(pair, tmp_path):
    split = tmp_path / "split.tsv"
    held = {"GENE2g1": False, "GENE2g2": True, "D_1uM": True, "D_5uM": False, "GENE1+ctrl": False, "GENE9": True}
    rows = [{"perturbation": name, "context": "k562", "trained": each} for name, each in held.items()]
    pd.DataFrame(rows).to_csv(split, sep="\t", index=False)
    table = perturbation_table(pair[1], split, "k562")
    assert table["seen"].to_dict() == {"D": "here", "GENE1": "never", "GENE2": "here", "GENE9": "here"}
    assert table["labels"]["D"] == "D_1uM; D_5uM"


def test_agents_of_one_input_are_found(pair, directory):
    plain, _ = pair
    twins = replace_features(plain)
    assert same_inputs(by_agent(twins, Agents())) == [("GENE1", "GENE9")]


def replace_features(model):
    features = model.perturbation_features.clone()
    features[LABELS.index("GENE9")] = features[LABELS.index("GENE1+ctrl")]
    import copy

    other = copy.copy(model)
    other.perturbation_features = features
    return other


DRUGS, PROGRAMS = 28, 20


@pytest.fixture(scope="module")
def doses(tmp_path_factory):
    """Return a directory whose doses of one drug have nearly one code: all that random drugs share."""
    folder = tmp_path_factory.mktemp("doses") / "m"
    labels = [f"[('Drug {i:02d}', {dose}, 'uM')]" for i in range(DRUGS) for dose in (0.5, 5.0)]
    write_model(folder, labels, "DMSO", width=64)
    path = folder / "checkpoints" / "final.ckpt"
    saved = torch.load(path, weights_only=False)
    generator = torch.Generator().manual_seed(5)
    weight = saved["state_dict"]["pert_encoder.0.weight"]
    rows = {name: int(row.argmax()) for name, row in torch.load(folder / "pert_onehot_map.pt").items()}
    for one, two in zip(labels[::2], labels[1::2], strict=True):
        code = torch.randn(weight.shape[0], generator=generator)
        for label, size in ((one, 0.8), (two, 1.2)):
            weight[:, rows[label]] = size * code + 0.2 * torch.randn(weight.shape[0], generator=generator)
    torch.save(saved, path)
    return folder, labels


def test_random_drugs_at_two_doses_are_no_programs(doses):
    """Counted as labels most of them would be: what is shared is the drug."""
    folder, labels = doses
    rng = np.random.default_rng(0)
    drawn = [rng.choice(DRUGS, 3, replace=False) for _ in range(PROGRAMS)]
    of_labels = {f"p{j}": [labels[2 * i + dose] for i in drugs for dose in (0, 1)] for j, drugs in enumerate(drawn)}
    of_drugs = {f"p{j}": [f"Drug {i:02d}" for i in drugs] for j, drugs in enumerate(drawn)}
    genes = load_model(folder).genes
    cells = CellSets(np.random.default_rng(0).random((2, 10, 30)).astype(np.float32), genes, None,
                     np.array([[f"c{i}{j}" for j in range(10)] for i in range(2)]), "k562")  # fmt: skip
    found = {}
    for name, agents, programs in (("labels", None, of_labels), ("agents", {"recognise": True}, of_drugs)):
        model = load_model(folder, agents=agents)
        table = probe("pert_embedding", model, cells, programs, redrawn=0, permutations=499, bootstrap=99).evidence
        mine = table[(table.role == "subject") & (table.statistic == "coherence")]
        assert len(mine) >= PROGRAMS
        found[name] = int((mine.q < 0.05).sum())
    assert found["labels"] >= 15
    assert found["agents"] <= 2
