"""How models, cells, programs, what was found and runs show themselves: true, short, and safe as HTML."""

import html.parser
import json
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tiny import BATCHES, GENES, PERTURBATIONS, MeanShift, cell_sets, random_state

import pertprobe
from pertprobe import made
from pertprobe.data.programs import Programs
from pertprobe.errors import PertprobeError
from pertprobe.files import write_table
from pertprobe.models.additive import AdditiveModel
from pertprobe.models.base import ShownModel
from pertprobe.showing import as_html, as_text
from pertprobe.stages.results import ScoreCard
from pertprobe.stages.scorecard import COLUMNS

WICKED = "<script>alert('x')</script>&"
PROGRAMS = {"one": ["g00", "g01", "g02"], WICKED: ["g03", "g04", "g05"]}


class Balanced(html.parser.HTMLParser):
    """Keeps the text of HTML, and the tags that were opened and never closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def text_of(thing):
    """Return the text of a thing's HTML, which must be well formed and hold no script."""
    shown = thing._repr_html_()
    read = Balanced(shown)
    assert read.open == []
    assert "<script" not in shown
    return re.sub(r"\s+", " ", read.text)


def test_facts_are_lines_of_one_column_and_empty_ones_are_left_out():
    assert as_text("title", {"a": 1, "longer": "x", "none": ""}) == "title\n  a       1\n  longer  x"
    assert "none" not in as_html("title", {"none": ""})


def test_html_escapes_names_and_values():
    shown = as_html(WICKED, {WICKED: WICKED})
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 3
    assert "&amp;" in shown


def test_a_model_says_its_names_sizes_and_what_it_can():
    model = random_state()
    said = repr(model)
    assert said.startswith("StateModel: ")
    assert f"({len(PERTURBATIONS) - 1} in all); control {model.control}" in said
    assert f"{len(GENES)} in, {len(GENES)} out" in said
    assert f"{sum(each.numel() for each in model.parameters.values())} numbers, float64 on cpu" in said
    assert all(batch in said for batch in BATCHES)
    can = re.search(r"^  can +(.*)$", said, re.MULTILINE).group(1).split(", ")
    assert set(can) <= model.capabilities
    assert (
        set(can) == {"predict", "gradient", "stages", "set_function", "gene_space", "affine_map"} & model.capabilities
    )
    assert re.search(r"^  untrained copies +yes$", said, re.MULTILINE)
    assert "control" in text_of(model)


def test_a_model_without_copies_says_why():
    model = AdditiveModel({"a": np.zeros(2)}, genes=["x", "y"], control="ctrl")
    assert "no: additive: the mean shift cannot be re-drawn" in repr(model)
    assert re.search(r"^  cannot +stages, affine_map$", repr(model), re.MULTILINE)


def test_a_model_of_ones_own_shows_itself_however_little_it_has():
    class Mine(ShownModel):
        genes = (WICKED,)

        def __init__(self):
            self.card = {"kind": WICKED, "warnings": [WICKED]}

    assert "1 in, 0 out" in repr(Mine())
    assert WICKED in text_of(Mine())


def test_cells_say_their_context_sets_genes_and_batches():
    cells = cell_sets()
    said = text_of(cells)
    assert cells.context in said
    assert f"{cells.n_sets} sets of {cells.set_size} control cells" in said
    assert f"({len(GENES)} in all)" in said
    assert cells.hash[:12] in said


def test_programs_show_the_first_twenty_and_how_many_more():
    programs = Programs({f"p{i:02}": [f"g{i}", "x"] for i in range(23)} | {WICKED: list("abcdefg")})
    said = text_of(programs)
    assert "24 gene sets" in said
    assert "4 more" in said
    assert "p19" in said
    assert "p20" not in said
    assert "7 genes: a, b, c, d, e, ..." in text_of(Programs({WICKED: list("abcdefg")}))


@pytest.fixture(scope="module")
def found():
    return pertprobe.probe(
        "pert_embedding", random_state(), cell_sets(), PROGRAMS, permutations=99, bootstrap=19, redrawn=2
    )


def test_what_was_found_says_the_question_the_sizes_and_what_could_be_asked(found):
    said = repr(found)
    assert said.startswith("pert_embedding: ")
    mine = found.evidence[found.evidence.role == "subject"]
    assert f"{mine.evaluable.sum()} of {len(mine)} questions could be asked; {len(found.evidence)} rows" in said
    assert re.search(r"embedding \[.*\d+ perturbation x \d+ feature\]", said)
    copies = set(zip(found.evidence.role, found.evidence["copy"], strict=True)) - {("subject", 0)}
    assert re.search(rf"untrained copies +{len(copies)}\n", said)
    assert WICKED in text_of(found)


def test_what_was_measured_is_labelled_and_says_what_it_is(found):
    measured = found.to_xarray()
    xr.testing.assert_identical(measured.drop_attrs(), found.measurements["model"].drop_attrs())
    assert measured.attrs["probe"] == "pert_embedding"
    assert measured.attrs["holds"] == "the perturbation codes, embedding [perturbation, feature]."
    with pytest.raises(PertprobeError, match="side 'reference' is unknown"):
        found.to_xarray("reference")


def test_what_was_measured_is_a_table_for_scanpy(found):
    space = found.to_anndata()
    values = found.measurements["model"].embedding.sel(variant="subject")
    np.testing.assert_allclose(space.X, values, rtol=1e-6)
    assert set(space.obs.program[["g00", "g01", "g02"]]) == {"one"}
    assert space.obs.strength.notna().all()
    assert "X_umap" in space.obsm
    assert space.uns["space"] == "pert_encoder"


def test_what_is_no_table_of_perturbations_says_so():
    panels = {"p": {"program": "one", "regulators": ["g06", "g07"], "targets": ["g08", "g09"]}}
    few = {"permutations": 99, "bootstrap": 19, "redrawn": 0}
    jacobian = pertprobe.probe("targeted_jacobian", random_state(), cell_sets(), PROGRAMS, panels=panels, **few)
    with pytest.raises(PertprobeError, match=r"no table of perturbations. to_xarray\(\) has all of it"):
        jacobian.to_anndata()


def test_a_probe_that_could_not_be_asked_shows_why():
    class NoStages(MeanShift):
        capabilities = frozenset({"predict"})

    asked = pertprobe.probe("pert_embedding", NoStages(), cell_sets(), PROGRAMS, permutations=99, redrawn=0)
    assert "nothing: model has no" in repr(asked)
    assert re.search(r" 0 of \d+ questions? could be asked", repr(asked))
    assert asked.to_anndata().shape == (0, 0)


def card_of(rows):
    filled = [{"context": "line", "regime": "fewshot", "answer": "", "reason": "", **row} for row in rows]
    return pd.DataFrame(filled).reindex(columns=COLUMNS)


ROWS = [
    {"model": "a", "role": "subject", "level": "causal", "estimate": 0.416, "ci_low": 0.3, "ci_high": 0.551},
    {"model": "a", "role": "subject", "level": "intervention", "estimate": 0.5, "answer": "mechanism"},
    {"model": "b", "role": "subject", "level": "causal", "reason": "too little"},
    {"model": "a", "role": "lookup", "level": "intervention", "estimate": 0.0, "answer": "lookup"},
]


def test_a_score_card_is_a_line_for_each_model_and_a_column_for_each_level():
    shares = ScoreCard(card_of(ROWS)).shares.set_index(["model", "role"])
    assert list(shares) == ["context", "causal", "intervention", "answer"]
    assert shares.causal["a", "subject"] == "0.42 (0.30 to 0.55)"
    assert shares.intervention["a", "subject"] == "0.50"
    assert shares.causal["b", "subject"] == "not known"
    assert shares.intervention["b", "subject"] == ""  # not asked
    assert shares.answer.to_dict() == {("a", "subject"): "mechanism", ("b", "subject"): "", ("", "lookup"): "lookup"}


def test_a_score_card_is_shown_with_its_names_escaped():
    card = ScoreCard(card_of([{**ROWS[0], "model": WICKED}]))
    assert WICKED in text_of(card)
    assert "0.42 (0.30 to 0.55)" in repr(card)


def test_a_score_card_of_nothing_is_shown_too():
    assert "ScoreCard" in text_of(ScoreCard(card_of([])))


@pytest.fixture
def run(tmp_path, found):
    folder = tmp_path / "results" / "mine"
    (folder / "models/a").mkdir(parents=True)
    (folder / "models/a/names.json").write_text(json.dumps({}))
    (folder / "evidence").mkdir()
    (folder / "measurements/pert_embedding").mkdir(parents=True)
    (folder / "spaces/pert_encoder").mkdir(parents=True)
    write_table(found.evidence, folder / "evidence/pert_embedding.tsv")
    write_table(card_of(ROWS), folder / "scorecard.tsv")
    found.measurements["model"].to_netcdf(folder / "measurements/pert_embedding/a.nc", engine="h5netcdf")
    ad.AnnData(np.ones((3, 2), np.float32)).write_h5ad(folder / "spaces/pert_encoder/a.h5ad")
    return pertprobe.read_run(folder)


def test_a_run_gives_tables_as_pandas_measurements_as_xarray_and_spaces_as_anndata(run, found):
    assert (run.models, run.probes, run.spaces) == (("a",), ("pert_embedding",), ("pert_encoder",))
    assert len(run.evidence("pert_embedding")) == len(found.evidence)
    xr.testing.assert_equal(run.measurement("pert_embedding", "a"), found.measurements["model"])
    assert run.space("pert_encoder", "a").shape == (3, 2)
    assert run.scorecard.shares.answer.tolist() == ["mechanism", "", "lookup"]


def test_a_run_says_what_it_has(run):
    said = repr(run)
    assert said.startswith("Run mine\n")
    assert re.search(r"^  tables +scorecard$", said, re.MULTILINE)
    assert "pert_embedding" in text_of(run)


def test_a_table_that_is_damaged_is_named_and_not_read(run):
    path = run.folder / "evidence/pert_embedding.tsv"
    made.record([path], run.folder)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(PertprobeError, match=r"pert_embedding.tsv is damaged: it has .* bytes, and .* were written"):
        run.evidence("pert_embedding")


def test_what_a_run_lacks_is_said(run):
    with pytest.raises(PertprobeError, match=r"probe 'pert_embeding' is unknown.*near matches: pert_embedding"):
        run.evidence("pert_embeding")
    with pytest.raises(PertprobeError, match="model 'b' is unknown"):
        run.measurement("pert_embedding", "b")
    with pytest.raises(PertprobeError, match=r"verdicts.tsv is not there"):
        _ = run.verdicts
    with pytest.raises(PertprobeError, match=r"holds no results of a run. Did you mean 'mine'"):
        pertprobe.read_run(run.folder.parent / "mina")
