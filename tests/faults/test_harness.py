"""The harness is not fooled: readers that accept all, raise, crash, hang, eat memory or run code are each found."""

import os
import pickle
import signal
import time
from pathlib import Path

import known
import mutation
import pytest
from fault import Fault, content
from judge import GOOD, MEMORY, HarnessError, Judged, Readers, is_clear, judge_all

from pertprobe.errors import PertprobeError


@pytest.fixture
def folder(tmp_path):
    """Return a healthy project of one file, which holds a number."""
    (tmp_path / "number").write_text("5")
    return tmp_path


WORD = content("number", "five")
"""The fault of all tests here: a word in the place of a number."""


def strict(folder):
    text = (folder / "number").read_text()
    if not text.isdigit():
        raise PertprobeError(f"number: '{text}' is no number. Write digits")
    return []


def use(folder):
    return (folder / "number").read_text()


def outcome(gate, fault=None, use=use, folder=None, seconds=5.0):
    fault = fault or Fault("a/word", WORD, mentions=("number",))
    (judged,) = judge_all([fault], folder, Readers(gate, use), seconds=seconds)
    return judged.outcome


def spoilt(folder):
    return (folder / "number").read_text() != "5"


def raising(folder):
    int((folder / "number").read_text())
    return []


def crashing(folder):
    if spoilt(folder):
        os.kill(os.getpid(), signal.SIGSEGV)
    return []


def leaving(folder):
    if spoilt(folder):
        os._exit(0)
    return []


def hanging(folder):
    while spoilt(folder):
        time.sleep(0.1)
    return []


def hungry(folder):
    return [str(len(b"x" * (3 * MEMORY)))] if spoilt(folder) else []


def greedy(folder):
    held = bytearray(MEMORY + 2**27 if spoilt(folder) else 1)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    return strict(folder)


def out_of_memory(folder):
    if spoilt(folder):
        raise PertprobeError("number: cannot be read, it is damaged (can't allocate memory: 4294967296 bytes)")
    return []


def running(folder):
    if spoilt(folder):
        Path("executed").mkdir()
    return strict(folder)


def leaving_words(folder):
    raise PertprobeError("number: refused")


def python_words(folder):
    if spoilt(folder):
        raise PertprobeError("number: argument of type 'NoneType' is not iterable")
    return []


def nameless(folder):
    if spoilt(folder):
        raise PertprobeError("something is wrong")
    return []


def noting(folder):
    return ["the number is a word, which is odd"] if spoilt(folder) else []


@pytest.mark.parametrize(
    ("gate", "found"),
    [
        (strict, GOOD), (lambda folder: [], "silent"), (raising, "traceback"), (crashing, "crash"), (leaving, "crash"),
        (hungry, "memory"), (greedy, "memory"),
        (out_of_memory, "memory"), (running, "executed"), (python_words, "unclear"), (nameless, "unclear"),
        (noting, "noted"),
    ],
)  # fmt: skip
def test_a_reader_is_judged_by_what_it_does(gate, found, folder):
    assert outcome(gate, folder=folder) == found


def test_a_reader_that_never_ends_hangs(folder):
    assert outcome(hanging, folder=folder, seconds=0.5) == "hang"


def test_what_is_refused_after_the_gate_is_late(folder):
    assert outcome(lambda folder: [], use=lambda folder: strict(folder) or use(folder), folder=folder) == "late"


def test_what_is_valid_must_be_read_and_alike(folder):
    dated = Fault("a/dated", lambda folder: os.utime(folder / "number", (1, 1)), "read")
    other = Fault("a/other", content("number", "6"), "read")
    assert outcome(strict, dated, folder=folder) == GOOD
    assert outcome(strict, other, folder=folder) == "silent"
    assert outcome(strict, Fault("a/word", WORD, "read"), folder=folder) == "refused"


def test_damage_may_be_refused_or_do_nothing_but_not_be_read(folder):
    assert outcome(strict, Fault("a/word", WORD, "either"), folder=folder) == GOOD
    assert outcome(strict, Fault("a/same", content("number", "5"), "either"), folder=folder) == GOOD
    assert outcome(strict, Fault("a/other", content("number", "6"), "either"), folder=folder) == "silent"


def test_a_note_is_enough_where_it_is_expected(folder):
    assert outcome(noting, Fault("a/word", WORD, "noted", ("number",)), folder=folder) == GOOD
    assert outcome(noting, Fault("a/word", WORD, "noted", ("cells",)), folder=folder) == "silent"


def test_a_reader_that_refuses_the_healthy_project_judges_nothing(folder):
    with pytest.raises(HarnessError, match="not read"):
        outcome(leaving_words, folder=folder)


def test_a_fault_that_cannot_be_made_is_a_mistake_of_the_harness(folder):
    assert outcome(strict, Fault("a/none", lambda folder: 1 / 0), folder=folder) == "harness"


def test_the_healthy_project_is_never_changed(folder):
    outcome(strict, folder=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["number"]
    assert (folder / "number").read_text() == "5"


def test_clear_words_name_the_thing_and_speak_no_python():
    assert is_clear("cells.h5ad: no obs", ("cells",))
    assert not is_clear("no obs", ("cells",))
    assert not is_clear("cells: 'NoneType' has no len()", ("cells",))
    assert not is_clear("", ())


def test_the_table_of_what_is_known_must_be_true(tmp_path, monkeypatch):
    monkeypatch.setattr(known, "TABLE", tmp_path / "known.tsv")
    known.TABLE.write_text("silent\ta/old\ntraceback\ta/open\n")
    judged = [Judged("a/old", GOOD, ""), Judged("a/open", "traceback", ""), Judged("a/new", "silent", "")]
    found = known.surprises(judged)
    assert [each.partition(" ")[0] for each in found] == ["a/old", "a/new"]
    assert "mended" in found[0]
    known.rewrite(judged)
    assert known.known() == {"a/open": "traceback", "a/new": "silent"}


def test_hostile_pickles_would_run_if_they_were_unpickled(tmp_path, monkeypatch):
    from hostile_pickles import FORBIDDEN

    monkeypatch.chdir(tmp_path)
    pickle.loads(FORBIDDEN["calls os.mkdir"])
    assert (tmp_path / "executed").is_dir()


def test_a_mutant_changes_one_thing(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f(x: int = 1) -> bool:\n    'Words 1.'\n    return x < 3 and not x == 2\n")
    sites = mutation.changed(path, -1)[1].sites
    found = [mutation.changed(path, i) for i in range(sites)]
    texts = {mutation.ast.unparse(tree) for tree, _ in found}
    assert len(texts) == sites == 7
    assert any("x <= 3" in text for text in texts)
    assert all("Words 1." in text for text in texts)
