"""Files of a config: each key once, with its line; encodings, tabs and documents that are none, in words."""

import json

import pytest

from pertprobe.errors import PertprobeError
from pertprobe.workflow.config_files import lines_of, located, read_config_file, read_keys

TEXT = """run: mine
cells:
  here: &cells {path: a.h5ad, control: ntc}
  there:
    <<: *cells
    control: other
programs:
  lists:
    p.q: [G1, G2]
"""


def refused(tmp_path, content):
    path = tmp_path / "run.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PertprobeError) as raised:
        read_keys(path)
    return str(raised.value).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' stands twice in one section (first in line 1). Leave one"),
        ("m:\n  x: {k: 1, k: 2}\n", "line 2: the key 'k' stands twice"),
        ("m: [{k: 1, k: 2}]\n", "line 1: the key 'k' stands twice"),
        ("m: &m {k: 1}\nn: {<<: *m, <<: *m}\n", "line 2: the key '<<' stands twice"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice in one section. Leave one"),
        ("a:\n\tb: 1\n", "/run.yaml, line 2, column 1: is no YAML: found character that cannot start any token. "
                         "YAML indents with spaces, never with tabs"),
        ("a: [1", "/run.yaml, line 2, column 1: is no YAML: did not find expected ',' or ']'"),
        ("a: 1\n---\nb: 1\n", "is no YAML"),
        ("a: !!python/object:os.system x\n", "line 1, column 4: is no YAML: could not determine a constructor"),
        ("a: 2024-99-99\n", "is no YAML: month must be in 1..12"),
        ("a: &a [*a]\n", "nests deeper than 60 levels"),
        ("é: 1\n".encode("latin-1"), "cannot be read (not a text file in UTF-8: line 1 holds the byte 0xe9, as files "
                                     "in Latin-1 do). Save it as UTF-8"),
        ("a: 1\n".encode("utf-16"), "not a text file in UTF-8: UTF-16"),
        (b"\x1f\x8b\x08rest", "compressed by gzip"),
        (b"a: \x00", "holds a NUL byte"),
        ("", "holds no keys. A config begins with run, cells, models"),
        ("just words", "holds no keys"),
        ("a: " + "[" * 100_000, "nests deeper than 60 levels"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n", "is a Git LFS pointer of 12345"),
    ],
)  # fmt: skip
def test_what_is_no_config_is_refused_in_words(tmp_path, content, words):
    assert words in refused(tmp_path, content)


def test_aliases_that_multiply_are_refused(tmp_path):
    levels = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "more than 100,000 entries" in refused(tmp_path, "\n".join(["x0: &x0 [a]", *levels]))


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path):
    with pytest.raises(PertprobeError, match=r"no.yaml: cannot be read \(No such file or directory\). Give the path"):
        read_keys(tmp_path / "no.yaml")
    with pytest.raises(PertprobeError, match=r"cannot be read \(it is no file\)"):
        read_keys(tmp_path)


def test_a_mark_at_the_beginning_changes_nothing(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(TEXT, encoding="utf-8-sig")
    marked = read_keys(path)
    path.write_text(TEXT)
    assert marked == read_keys(path)
    assert marked["cells"]["there"] == {"path": "a.h5ad", "control": "other"}


def test_json_with_tabs_is_read(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"run": "mine", "cells": {}}, indent="\t"))
    assert read_config_file(path) == ({"run": "mine", "cells": {}}, {})


def test_faults_are_told_with_file_and_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(TEXT)
    second.write_text("seed: 007\n")
    lines = lines_of([first, second])
    faults = [
        "cells.there.control: 'other' is none.",
        "cells.there.path: is not there",
        "cells.there.absent: missing",
        "programs.lists.p.q.1: G2",
        "config: unknown key 'seed'; did you mean 'sead'?",
        "seed: 7 is a number",
        "nothing: has no place",
    ]
    assert located(faults, lines) == [
        "cells.there.control: 'other' is none [a.yaml, line 6]",
        "cells.there.path: is not there [a.yaml, line 3: a.h5ad]",
        "cells.there.absent: missing [a.yaml, line 4]",
        "programs.lists.p.q.1: G2 [a.yaml, line 9]",
        "config: unknown key 'seed'; did you mean 'sead'? [b.yaml, line 1: 007]",
        "seed: 7 is a number [b.yaml, line 1: 007]",
        "nothing: has no place",
    ]
