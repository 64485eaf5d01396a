"""Which perturbations a model has seen: here, elsewhere, never, unknown."""

from pathlib import Path

import pytest

from pertprobe.errors import PertprobeError
from pertprobe.models.split_file import read_split
from pertprobe.models.training_split import Split, TrainingCells, seen_status, training_contexts

SPLITS = Path(__file__).parents[2] / "config" / "splits"
CONTEXTS = ["rep_1", "rep_2", "rep_3"]


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def refused(path):
    with pytest.raises(PertprobeError) as error:
        read_split(path)
    return str(error.value)


def test_few_shot_split_of_papalexi():
    seen = seen_status(
        read_split(SPLITS / "papalexi_fewshot_rep_1.toml"), ["STAT1", "STAT2", "BRD4"], "rep_1", CONTEXTS
    )
    assert dict(seen) == {"STAT1": "here", "STAT2": "elsewhere", "BRD4": "elsewhere"}
    held_out = read_split(SPLITS / "papalexi_fewshot_rep_2.toml").heldout["rep_2"]
    assert held_out == {"ATF2", "CAV1", "IRF1", "IRF7", "MYC", "NFKBIA", "STAT3", "STAT5A"}


def test_zero_shot_split_of_papalexi():
    split = read_split(SPLITS / "papalexi_zeroshot_rep_1.toml")
    assert set(seen_status(split, ["STAT1", "STAT2"], "rep_1", CONTEXTS)) == {"elsewhere"}
    assert set(seen_status(split, ["STAT1", "STAT2"], "rep_2", CONTEXTS)) == {"here"}


def test_what_is_held_out_of_the_only_context_was_never_seen():
    split = Split(heldout={"rep_1": frozenset(["STAT2"])})
    assert seen_status(split, ["STAT2"], "rep_1", ["rep_1"])["STAT2"] == "never"


def test_without_a_split_everything_is_unknown_and_the_control_left_out():
    seen = seen_status(None, ["STAT1", "non-targeting"], "rep_1", CONTEXTS, control="non-targeting")
    assert dict(seen) == {"STAT1": "unknown"}


def test_table_of_the_user(write):
    table = (
        "perturbation\tcontext\ttrained\nA\tx\ttrue\nB\tx\tFalse\nB\ty\ttrue\nC\tx\tno\nC\ty\t0\nD\ty\ttrue\nE\tx\t0\n"
    )
    seen = seen_status(read_split(write("s.tsv", table)), list("ABCDE"), "x", ["x", "y"])
    assert dict(seen) == {"A": "here", "B": "elsewhere", "C": "never", "D": "unknown", "E": "unknown"}


def test_table_without_its_columns_lists_those_present(write):
    assert "has no column trained (found: perturbation, context, seen)" in refused(
        write("s.tsv", "perturbation\tcontext\tseen\nA\tx\ttrue\n")
    )


def test_faults_of_a_table_are_named_by_line(write):
    text = refused(write("s.tsv", "perturbation\tcontext\ttrained\nA\tx\tmaybe\nB\tx\ttrue\nB\tx\tfalse\nC\n"))
    assert "line 2: trained is 'maybe', true or false is expected" in text
    assert "line 4: B in x is both trained and not trained" in text
    assert "line 5: trained is ''" in text


def test_faults_of_a_toml_come_together(write):
    text = refused(
        write(
            "s.toml",
            '[training]\nd = "training"\n[zeroshot]\n"d.x" = "hidden"\n"other.y" = "test"\n'
            '[fewshot."d.x"]\nheld = ["A"]\n',
        )
    )
    assert "[training] d = 'training': only 'train' is known" in text
    assert "[zeroshot] 'd.x' = 'hidden': 'val' or 'test' is expected" in text
    assert "'other.y' is not \"dataset.context\" with a dataset of [datasets] or [training] (d)" in text
    assert '[fewshot."d.x"] may hold lists train, val, test of names, found held' in text
    assert "'d.x' is both zero-shot and few-shot" in text


def test_toml_without_training_is_refused(write):
    assert "[training] names no dataset" in refused(write("s.toml", ""))


def test_unreadable_split(write, tmp_path):
    assert "cannot be read as a split" in refused(tmp_path / "no.toml")
    assert "cannot be read as a split" in refused(write("s.toml", "[training"))


def test_training_contexts_come_from_the_table_or_from_cell_types_without_the_zero_shot_ones():
    card = {"cell_types": ["b", "a", "c"]}
    assert training_contexts(card, None) == ["a", "b", "c"]
    assert training_contexts(card, Split(zeroshot=frozenset(["b"]))) == ["a", "c"]
    rows = {("p", "x"): True, ("q", "x"): False, ("p", "y"): False}
    assert training_contexts(card, Split(rows=rows)) == ["x"]
    assert training_contexts({}, Split()) == []
    assert training_contexts({"cell_types": None}, None) == []


TWO_SETS = """
[datasets]
screen_one = "data/one.h5ad"
screen_two = "data/two.h5ad"
[training]
screen_one = "train"
screen_two = "train"
"""
ZERO_AND_FEW = TWO_SETS + '[zeroshot]\n"screen_two.a" = "test"\n[fewshot."screen_one.a"]\ntest = ["P"]\n'
TWO_FEW = TWO_SETS + '[fewshot."screen_one.a"]\ntest = ["P", "Q"]\n[fewshot."screen_two.a"]\ntest = ["R", "Q"]\n'


def cells_of(pairs, path="data/mine.h5ad", one_hot=True):
    return TrainingCells(path, frozenset(pairs), one_hot)


def test_where_several_data_sets_have_a_context_they_are_asked_apart(write):
    split = read_split(write("s.toml", TWO_FEW))
    assert split.heldout["a"] == {"Q"}
    assert split.dataset_of("elsewhere/two.h5ad") == "screen_two"
    assert [split.trained(name, "a") for name in "PQRS"] == [None, False, None, True]
    assert [split.trained(name, "a", "screen_two") for name in "PQRS"] == [True, False, False, True]
    everywhere = [("a", name) for name in "PQRS"]
    for path, status in (("data/two.h5ad", "here"), ("data/one.h5ad", "elsewhere"), ("data/other.h5ad", "unknown")):
        seen = seen_status(split, "PQRS", "a", ["a"], cells=cells_of(everywhere, path))
        assert (seen["P"], seen["Q"], seen["S"]) == (status, "never", "here")


def test_a_context_that_one_data_set_leaves_out_and_another_holds_labels_out_of(write):
    split = read_split(write("s.toml", ZERO_AND_FEW))
    assert (split.zeroshot, split.heldout) == (frozenset(), {"a": {"P"}})
    assert [split.trained(name, "a", "screen_one") for name in "PQ"] == [False, True]
    assert split.trained("Q", "a", "screen_two") is False
    assert split.trained("Q", "a") is None


def test_what_has_no_cells_in_the_context_was_not_trained_there():
    split, contexts = Split(heldout={"a": frozenset(["H"])}), ["a", "b"]
    cells = cells_of([("a", "A"), ("b", "A"), ("b", "B"), ("a", "H"), ("b", "H")])
    seen = seen_status(split, ["A", "B", "H", "X"], "a", contexts, cells=cells)
    assert dict(seen) == {"A": "here", "B": "elsewhere", "H": "elsewhere", "X": "unknown"}
    assert dict(seen_status(split, ["A", "B", "X"], "a", contexts)) == dict.fromkeys("ABX", "here")


def test_a_file_without_perturbed_cells_of_a_context_leaves_the_split_its_word():
    split = Split(heldout={"a": frozenset(["H"])})
    only_b = cells_of([("b", "A")])
    assert dict(seen_status(split, ["A", "H"], "a", ["a", "b"], cells=only_b)) == {"A": "here", "H": "unknown"}
    features = cells_of([("a", "A")], one_hot=False)
    seen = seen_status(split, ["A", "X"], "a", ["a", "c"], cells=features)
    assert dict(seen) == {"A": "here", "X": "unknown"}


def test_a_context_that_the_model_does_not_know_is_not_here():
    seen = seen_status(Split(), ["A"], "HepG2", ["hepg2", "jurkat"])
    assert dict(seen) == {"A": "elsewhere"}


def test_a_table_of_the_user_is_taken_at_its_word(write):
    split = read_split(write("s.tsv", "perturbation\tcontext\ttrained\nA\tx\ttrue\n"))
    assert dict(seen_status(split, ["A"], "x", ["y"], cells=cells_of([("x", "B")]))) == {"A": "here"}


def test_a_zero_shot_data_set_outside_training_is_read(write):
    """A data set that is only tested on need not be under [training]."""
    rules = '[datasets]\none = "one.h5ad"\noutside = "two.h5ad"\n[training]\none = "train"\n'
    split = read_split(write("s.toml", rules + '[zeroshot]\n"outside.lineC" = "test"\n[fewshot]\n'))
    assert dict(seen_status(split, ["A"], "lineC", ["lineA", "lineC"])) == {"A": "elsewhere"}
    assert split.trained("A", "lineA")
    assert training_contexts({"cell_types": ["lineA", "lineC"]}, split) == ["lineA"]


def test_few_shot_lines_train_without_their_data_set_and_other_lines_do_not(write):
    """cell-load trains on all perturbations of a few-shot line but those of val and test; it ignores a train list."""
    rules = '[datasets]\none = "one.h5ad"\n[fewshot."one.lineA"]\ntrain = ["G087"]\nval = ["G001"]\ntest = ["G171"]\n'
    split = read_split(write("s.toml", rules))
    found = {name: split.trained(name, "lineA") for name in ("G087", "G500", "G001", "G171")}
    assert found == {"G087": True, "G500": True, "G001": False, "G171": False}
    assert split.trained("G087", "lineB") is False
    assert dict(seen_status(split, ["G171", "G500"], "lineB", ["lineA", "lineB"])) == {
        "G171": "never", "G500": "elsewhere",
    }  # fmt: skip
    assert training_contexts({"cell_types": ["lineA", "lineB"]}, split) == ["lineA"]


def test_a_zero_shot_line_may_be_sent_to_training(write):
    split = read_split(write("s.toml", '[datasets]\nd = "d.h5ad"\n[zeroshot]\n"d.x" = "train"\n"d.y" = "val"\n'))
    assert [split.trained("A", line) for line in "xyz"] == [True, False, False]


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_the_same_rules_as_yaml(write, suffix):
    rules = "training: {d: train}\nzeroshot: {d.x: test}\nfewshot: {d.y: {val: [], test: [A]}}\n"
    split = read_split(write(f"s{suffix}", rules))
    assert [split.trained("A", line) for line in "xyz"] == [False, False, True]
    assert "cannot be read as a split" in refused(write(f"b{suffix}", "a: ["))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.yaml", "- a\n", "holds no sections, those of cell-load are expected (datasets, training, zeroshot, few"),
        ("s.toml", 'training = "x"\nfewshot = 3\n', "[training] holds no entries by name"),
        ("s.toml", '[training]\nd = "train"\n[fewshot]\n"d.x" = "test"\n', "of names, found test"),
        ("s.toml", '[training]\nd = "train"\n[fewshot."d.x"]\ntest = [1]\n', "of names, found test"),
        (
            "s.toml",
            '[datasets]\nd = "d"\n[zeroshot]\n"d.x" = "test"\n',
            "no line is few-shot: nothing would be trained",
        ),
    ],
)
def test_rules_of_another_form_are_refused_in_words(write, name, text, message):
    assert message in refused(write(name, text))
