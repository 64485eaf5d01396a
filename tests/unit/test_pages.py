"""The pages for users: their Python runs, their commands exist, what they show is what is written, the site builds."""

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
import typer
from typer.testing import CliRunner

from pertprobe.data.simulate import simulate, write_simulation
from pertprobe.files import write_table
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel
from pertprobe.models.state.write import write_state_directory
from pertprobe.stages.layout import lay_out
from pertprobe.stages.scorecard import COLUMNS
from pertprobe.stages.spaces import write_space
from pertprobe.workflow.commands import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
COMMANDS = typer.main.get_command(app).commands


def blocks(page, language):
    """Return the code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def small_demo(tmp_path_factory):
    """What pages read of the demo, as small as can be: cells, programs and a State model that learned nothing."""
    folder = tmp_path_factory.mktemp("demo")
    simulated = simulate(genes=60, perturbations=20, programs=2, cells_per_perturbation=4, control_cells=40, seed=0)
    write_simulation(simulated, folder / "results/demo/simulated")
    genes = list(simulated.cells.var_names[simulated.cells.var.highly_variable])
    names = [*sorted(set(simulated.cells.obs.gene) - {"non-targeting"}), "non-targeting"]
    batches = tuple(sorted(set(simulated.cells.obs.batch)))
    sizes = {"input_dim": len(genes), "output_dim": len(genes), "pert_dim": len(names), "batch_dim": len(batches)}
    sizes |= {"hidden_dim": 16, "cell_set_len": 8, "n_layers": 1, "n_heads": 2, "n_kv_heads": 2, "head_dim": 8}
    architecture = StateArchitecture(**sizes, intermediate_dim=16, batch_encoder=True)
    model = StateModel(
        architecture, initial_parameters(architecture, 0), genes=genes, output_genes=genes, perturbations=names,
        perturbation_features=torch.eye(len(names)), control="non-targeting", batches=batches,
    )  # fmt: skip
    write_state_directory(model, folder / "results/demo/trained/a_fewshot")
    write_results(folder / "results/demo", names)
    return folder


def write_results(folder, names):
    """Write what pages read of a finished run: a score card, and a space whose numbers are drawn."""
    (folder / "models/a_fewshot").mkdir(parents=True)
    (folder / "models/a_fewshot/names.json").write_text("{}")
    row = {"model": "a_fewshot", "role": "subject", "context": "line_a", "regime": "fewshot", "level": "causal"}
    write_table(pd.DataFrame([row]).reindex(columns=COLUMNS), folder / "scorecard.tsv")
    obs = pd.DataFrame({"program": "none", "seen": "here"}, index=names).astype("category")
    space = ad.AnnData(np.random.default_rng(0).normal(size=(len(names), 8)).astype(np.float32), obs)
    lay_out(space, 0)
    write_space(space, folder / "spaces/pert_encoder/a_fewshot.h5ad")


@pytest.mark.parametrize("page", [each for each in PAGES if blocks(each, "python")], ids=lambda page: page.name)
def test_the_python_of_a_page_runs_from_its_first_block_to_its_last(page, small_demo, monkeypatch):
    monkeypatch.chdir(small_demo)
    monkeypatch.syspath_prepend(ROOT / "docs")
    names = {"__name__": "page"}
    for number, block in enumerate(blocks(page, "python"), start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)


def told_commands(page):
    """Return the words after `pertprobe` of every command that a page tells its reader, in blocks and in sentences."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    lines += re.findall(r"`(pertprobe [^`\n]+)`", text)
    return [shlex.split(line)[1:] for line in lines if line.strip().startswith("pertprobe ")]


TOLD = [(page.name, words) for page in PAGES for words in told_commands(page)]


def unknown_words(words):
    """Return what of a command the program does not know; of commands that are not here, nothing."""
    name, *rest = words
    if name not in COMMANDS:
        return [name]
    known = {option for each in COMMANDS[name].params for option in each.opts}
    return [word for word in rest if word.startswith("-") and word.partition("=")[0] not in known]


@pytest.mark.parametrize(("page", "words"), TOLD, ids=lambda each: each if isinstance(each, str) else " ".join(each))
def test_commands_and_options_of_a_page_exist(page, words):
    assert unknown_words(words) == []


def test_a_wrong_command_is_found():
    assert unknown_words(["innit"]) == ["innit"]
    assert unknown_words(["init", "--models", "a", "--cells=b"]) == ["--models"]


def test_what_the_tutorial_shows_of_init_is_what_init_writes(shared_path, tmp_path, monkeypatch):
    page = ROOT / "docs" / "tutorial_state.md"
    words = next(words for words in told_commands(page) if words[0] == "init")
    shared = shared_path("state", "papalexi_fewshot_rep_1").parents[1]
    for name in ("papalexi_fewshot_rep_2", "papalexi_zeroshot_rep_1"):
        shared_path("state", name)
    (tmp_path / "shared").symlink_to(shared)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    done = CliRunner().invoke(app, [word.replace("$PERTPROBE_SHARED", "../shared") for word in words])
    assert done.exit_code == 0, done.output
    assert blocks(page, "text")[0] == done.stdout
    assert blocks(page, "yaml")[0] == Path("papalexi.yaml").read_text()


def test_no_page_names_a_place_of_one_machine():
    named = re.compile(r"(?<![\w.$}<>*])/(work|tmp|home|root|opt|mnt)/|localhost|\b\d{1,3}(?:\.\d{1,3}){3}\b")
    assert {page.name: found[0] for page in PAGES if (found := named.search(page.read_text()))} == {}


def without_code(text):
    """Return a page without its code, in blocks and in spans."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*(?:\n[^`\n]+)?`", "", text)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_nothing_of_a_page_is_taken_for_a_tag(page):
    assert re.findall(r"<[a-zA-Z/][^<>]*>", without_code(page.read_text(encoding="utf-8"))) == []


def test_a_tag_is_found_outside_of_code_alone():
    assert re.findall(r"<[a-z][^<>]*>", without_code("the product <x, y> of `<name>`\n```\n<a>\n```\n")) == ["<x, y>"]


def test_formulas_fit_the_page():
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs/methods.md").read_text(encoding="utf-8"), re.M | re.S)
    formulas = [line for block in blocks if re.search("[Σ‖√∈∂]", block) for line in block.splitlines()]
    assert len(formulas) > 70
    assert [line for line in formulas if len(line) > 100] == []


def test_sentences_of_pages_for_beginners_are_short():
    for name in ("index", "concepts", "tutorial_demo", "tutorial_state", "tutorial_model", "notebook", "faq"):
        text = re.sub(
            r"^```.*?^```|^\|.*?$|^#.*?$|^!.*?$", "", (ROOT / f"docs/{name}.md").read_text(), flags=re.M | re.S
        )
        sentences = re.split(r"(?<=[.:?!])\s+", re.sub(r"\([^)]*\)", "", text))
        assert [each for each in sentences if len(each.split()) > 40] == []


def test_every_page_is_in_the_navigation_of_the_site():
    listed = re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted([*(page.name for page in PAGES), "CHANGELOG.md"])


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, textwrap.shorten(done.stderr, 2000)
    assert (tmp_path / "benchmarks" / "demo.html").is_file()
    assert 'href="benchmarks/demo.html"' in (tmp_path / "tutorial_demo.html").read_text()
