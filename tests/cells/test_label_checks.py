"""Job one says what a config says of labels that are nowhere, and what leaves nothing to ask."""

import contextlib
from pathlib import Path

import pytest
from other_screens import DRUGS, PAIRS, SCREENS, write_model

from pertprobe.errors import Faults
from pertprobe.workflow.checks import check_inputs
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.settled import settled

SCHEMA = Path(__file__).resolve().parents[2] / "config/schema.yaml"


@pytest.fixture(scope="module")
def screens(tmp_path_factory):
    """Return name -> the folder and the config of each screen."""
    folders = {name: tmp_path_factory.mktemp(name) for name in SCREENS}
    return {name: (folder, SCREENS[name](folder)) for name, folder in folders.items()}


def checked(screens, name, **changes):
    folder, config = screens[name]
    cells = {"k562": config["cells"]["k562"] | changes.pop("cells", {})}
    with contextlib.chdir(folder):
        return check_inputs(settled(config | {"cells": cells} | changes, whole_schema(str(SCHEMA))))


@pytest.mark.parametrize("name", SCREENS)
def test_the_screens_as_they_are_have_no_fault(screens, name):
    found = checked(screens, name)
    assert found["models"]["m"]["n_perturbations"] == {"norman": 21, "tahoe": 13, "parse": 17}[name]


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (
            "tahoe",
            {"perturbations": {"table": "other.tsv"}},
            ["none of the 2 labels it tells of (Drug 0, Drug 1) is a label of models or cells"],
        ),
        ("tahoe", {"perturbations": {"dose": 3.0}}, ["no label is of the dose 3 (found: 0.5, 5). Set it to one of them",
                                                     "models.m: none of its 24 labels counts: 24 are another dose"]),
        ("parse", {"perturbations": {"dose": 3.0}}, ["no label is of the dose 3 (found: none)"]),
        ("tahoe", {"perturbations": {"pattern": "(?P<agent>Drug).*"}}, ["matches none of 25 labels", "a whole label"]),
        ("tahoe", {"perturbations": {"table": "gone.tsv"}}, ["perturbations.table: gone.tsv does not exist"]),
        ("tahoe", {"perturbations": {"table": "bad.tsv"}}, ["perturbations: bad.tsv: line 2: dose 'much' is no"]),
        ("tahoe", {"perturbations": {"columns": {"dose": "um"}}}, ["perturbations: cells.h5ad: obs has no column"]),
        ("parse", {"cells": {"further_controls": ["NT*"]}}, ["no label of obs['perturbation'] is like NT*"]),
        ("parse", {"cells": {"within": {"donor": "D9"}}}, ["obs['donor'] has no 'D9' (found: D1, D2)"]),
        ("norman", {"perturbations": {"columns": {"targets": "x"}}}, ["perturbations.columns", "targets"]),
    ],
)  # fmt: skip
def test_what_matches_nothing_is_said_once(screens, name, changes, words):
    folder, _ = screens[name]
    (folder / "other.tsv").write_text("label\ttarget\nDrug 0\tA\nDrug 1\tB\n")
    (folder / "bad.tsv").write_text("label\tdose\nx\tmuch\n")
    with pytest.raises(Faults) as error:
        checked(screens, name, **changes)
    assert all(each in str(error.value) for each in words), str(error.value)
    assert len(error.value.messages) <= len(words) + 1, str(error.value)


def test_a_model_of_pairs_alone_has_nothing_to_ask(screens, tmp_path):
    write_model(tmp_path / "model", PAIRS, "ctrl")
    models = {"m": screens["norman"][1]["models"]["m"] | {"path": str(tmp_path / "model")}}
    with pytest.raises(Faults, match=r"models\.m: none of its 4 labels counts: 4 are a combination"):
        checked(screens, "norman", models=models)


def test_doses_that_the_cells_do_not_have_are_a_fault_with_its_remedy(screens, tmp_path):
    labels = [f"[('{drug}', {dose}, 'uM')]" for drug in DRUGS for dose in (0.5, 50.0)]
    write_model(tmp_path / "model", labels, "[('DMSO_TF', 0.0, 'uM')]")
    models = {"m": screens["tahoe"][1]["models"]["m"] | {"path": str(tmp_path / "model")}}
    words = r"12 agents are asked at other doses of the model than of cells\.k562 \(Drug 00: 50 and 5\)\. Set perturb"
    with pytest.raises(Faults, match=words):
        checked(screens, "tahoe", models=models)
    checked(screens, "tahoe", models=models, perturbations={"table": "drugs.tsv", "dose": 0.5})
