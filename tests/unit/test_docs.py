"""The documentation names what is there: columns, keys and their defaults, modules, files; and its example runs."""

import ast
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch

from pertprobe import load_model
from pertprobe.data.cell_sets import CellSets
from pertprobe.evidence import COLUMNS
from pertprobe.probes.base import NOT_EVALUABLE, MeasureInputs
from pertprobe.probes.declaration import FUNCTIONS, all_declared
from pertprobe.stages.measuring import measure_shard
from pertprobe.stages.verdict import READING_COLUMNS, VERDICT_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "pertprobe"
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "config/*.md", "results/*.md", "resources/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


CITED = re.compile(r"[A-ZÀ-Ý][\w-]+(?: & [A-Z][\w-]+| et al\.)? (?:19|20)\d\d\b")
"""A work by its authors and its year."""
DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>]+")


OTHERS = (
    "all|all_genes|alternative|control_pairs|with_gain|hidden|pca|jacobian|random|targets|feature|feature_random|layer"
)
"""What a statistic's name ends in that has the formula of another one, asked of something else."""


def without_formula(page):
    """Return the statistics of probes that no block of formulas names."""
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    names = {re.sub(f"_({OTHERS})$", "", name) for probe in all_declared().values() for name in probe.statistics}
    return sorted(name for name in names if not re.search(rf"\b{name}(?:_[a-z])?\b", blocks))


def test_every_statistic_has_a_formula():
    assert without_formula(text("docs/methods.md")) == []


def test_a_missing_formula_is_found():
    spoilt = text("docs/methods.md").replace("crossing_share = ", "").replace("gained         = ", "")
    assert without_formula(spoilt) == ["crossing_share", "gained"]


def references():
    """Return key -> what the list of references says of it."""
    listed = text("docs/methods.md").partition("\n## References\n")[2]
    return dict(re.findall(r"^- \*\*(.+?)\.\*\* (.+)$", listed, re.MULTILINE))


def test_works_that_the_methods_name_are_listed_and_those_listed_are_named():
    body = " ".join(text("docs/methods.md").partition("\n## References\n")[0].split())
    assert set(CITED.findall(body)) == set(references())


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ("as in Mantel 1967, and", ["Mantel 1967"]),
        ("(Phipson & Smyth 2010)", ["Phipson & Smyth 2010"]),
        ("(Müller-Dott et al. 2023; Han et al. 2018)", ["Müller-Dott et al. 2023", "Han et al. 2018"]),
        ("of 2023 cells; S 2000", []),
    ],
)
def test_a_work_is_known_by_its_authors_and_year(words, keys):
    assert CITED.findall(words) == keys


@pytest.mark.parametrize("key", references())
def test_a_reference_has_a_doi_or_says_that_there_is_none(key):
    said = references()[key]
    if not said.endswith(" No DOI."):
        shown, led = re.search(r" doi:\[([^\]]+)\]\(https://doi\.org/(\S+)\)$", said).groups()
        assert DOI.fullmatch(shown)
        assert unquote(led) == shown


def test_references_stand_in_order_and_once():
    listed = re.findall(r"^- \*\*(.+?)\.\*\*", text("docs/methods.md").partition("\n## References\n")[2], re.MULTILINE)
    assert listed == sorted(references(), key=str.casefold)


@pytest.mark.parametrize("columns", [COLUMNS, VERDICT_COLUMNS, READING_COLUMNS])
def test_contracts_name_every_column(columns):
    page = text("docs/contracts.md")
    assert [column for column in columns if f"`{column}`" not in page] == []


def test_architecture_names_every_room_and_every_function_of_a_probe():
    page = text("docs/architecture.md")
    rooms = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()]
    assert [room for room in rooms if f"`{room}/`" not in page] == []
    functions = {name for needed, optional in FUNCTIONS.values() for name in (*needed, *optional)}
    assert [name for name in functions if f"`{name}(" not in page] == []


def test_architecture_is_read_in_five_minutes():
    words = len(re.findall(r"\w+", text("docs/architecture.md")))
    assert words < 5 * 250


def test_every_module_says_in_its_first_line_what_it_holds():
    modules = sorted(PACKAGE.rglob("*.py"))
    said = {path: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in modules}
    assert [path for path, words in said.items() if not words] == []


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", text(page))
    targets = [link.split("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_anchors_are_headings_of_their_page(page):
    for link in re.findall(r"\]\(([^)\s]*#[^)\s]+)\)", text(page)):
        target, anchor = link.split("#")
        there = (ROOT / page).parent / target if target else ROOT / page
        headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
        slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchor in slugs, link


CODE = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("src", "scripts", "rules", "tests", "benchmarks")
    for end in ("py", "smk", "sh", "md", "yaml")
    for path in (ROOT / folder).rglob(f"*.{end}")
)
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "config").glob("*.yaml"))
UNKNOWN_PAGE = re.compile(
    r"\binference(\.md| \d)|\b(house|inputs|state_format|snakemake_notes)\.md|\bDESIGN(\.md| section)"
)
"""Pages that the repository does not hold."""


def without_breaks(source):
    """Return text whose lines, and lines of comments, are joined by single spaces."""
    return re.sub(r"\s*\n[\s#]*", " ", source)


def wrongly_cited(source):
    """Return what stands where a heading of docs/methods.md is cited and there is none of that name."""
    headings = re.findall(r"^##+ (.+)$", text("docs/methods.md"), re.MULTILINE)
    known = rf"(?:{'|'.join(map(re.escape, headings))})[).;]"
    flat = without_breaks(source)
    return [flat[found.end() :][:60] for found in re.finditer(rf"methods\.md, (?!{known})", flat)]


@pytest.mark.parametrize("end", [").", ".", "; more", "):"])
def test_a_citation_is_known_by_its_whole_heading(end):
    cited = " ".join(["methods.md,", "Untrained copies: the architecture null"])
    assert wrongly_cited(cited + end) == []
    assert wrongly_cited(cited.replace(" ", "\n    # ") + end) == []


@pytest.mark.parametrize("heading", ["Cohesion", "Coherence of programs", "coherence", "Untrained copies", "17"])
def test_a_wrong_heading_is_found(heading):
    assert wrongly_cited(" ".join(["(methods.md,", heading]) + ")") == [heading + ")"]


def test_code_cites_headings_of_the_methods():
    wrong = {name: wrongly_cited(text(name)) for name in CODE}
    assert {name: cited for name, cited in wrong.items() if cited} == {}


@pytest.mark.parametrize(
    "cited", [("inference", ".md"), ("inference", " 4"), ("house", ".md"), ("DESIGN", " section 4")]
)
def test_a_page_that_is_not_here_is_found(cited):
    assert UNKNOWN_PAGE.search("".join(cited))


def test_no_file_cites_a_page_that_is_not_here():
    names = [*CODE, *PAGES, *CONFIGS, "Snakefile", "Makefile"]
    assert [name for name in names if UNKNOWN_PAGE.search(without_breaks(text(name)))] == []


@pytest.fixture
def linear(tmp_path, monkeypatch):
    """The example of docs/custom_model.md, installed as a package with its entry point, and a model file."""
    (tmp_path / "custom_model.py").write_text(text("docs/custom_model.py"))
    info = tmp_path / "my_model-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-model\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pertprobe.models]\nlinear = custom_model:load\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "custom_model", raising=False)
    rng = np.random.default_rng(0)
    path = tmp_path / "linear.npz"
    names = {"genes": ["x", "y", "z"], "perturbations": ["A", "B", "ctrl"], "control": "ctrl"}
    np.savez(path, A=rng.random((3, 3)), changes=rng.random((3, 3)), **names)
    return load_model(path, kind="linear")


@pytest.fixture
def cells():
    values = np.random.default_rng(1).random((2, 4, 3))
    ids = np.arange(8).astype(str).reshape(2, 4)
    return CellSets(values, ("x", "y", "z"), None, ids, "here")


def test_the_custom_model_is_found_by_its_entry_point_and_predicts(linear, cells):
    expected = torch.relu(linear.tensor(cells.values) @ linear.A + linear.changes[1])
    assert torch.equal(linear.predict(cells.values, "B"), expected)
    assert not torch.equal(linear.redraw(0).A, linear.A)


def test_the_custom_model_is_measured_and_told_what_it_lacks(linear, cells):
    settings = {"genes": "all", "value": "zero", "perturbation": "control"}
    inputs = MeasureInputs(model=linear, cells=cells, settings=settings)
    assert measure_shard("knockout", inputs, 0, 1)["shift"].shape == (1, 2, 3, 3)
    assert measure_shard("pert_embedding", inputs, 0, 1).attrs[NOT_EVALUABLE] == "model has no stages"
