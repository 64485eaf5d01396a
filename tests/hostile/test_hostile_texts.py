"""Tables, YAML, JSON and TOML of strangers: refused in words, whatever their size, depth or letters."""

import json
import os
import time

import pytest

from pertprobe.data.programs import read_programs
from pertprobe.data.regulons import read_regulons
from pertprobe.errors import PertprobeError
from pertprobe.models.split_file import read_split
from pertprobe.readers import texts
from pertprobe.readers.texts import read_json, read_yaml

READERS = {
    "a.gmt": read_programs,
    "a.txt": read_programs,
    "a.tsv": read_regulons,
    "split.tsv": read_split,
    "split.toml": read_split,
}
BYTES = {
    "NUL": (b"A\tx\tSTAT1\nB\tx\tJA\0K2\n", "line 2 holds a NUL byte"),
    "latin-1": ("A\tx\tSTATé\n".encode("latin-1"), "not a text file"),
    "utf-16": ("A\tx\tSTAT1\n".encode("utf-16"), "not a text file"),
    "binary": (bytes(range(256)) * 20, "not a text file"),
    "an endless line": (b"A\tx\t" + b"STAT1\t" * 400_000, "line 1 has 2,400,004 letters"),
    "a pointer of LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("case", BYTES)
def test_what_is_no_table_is_refused_in_words(tmp_path, name, case):
    data, words = BYTES[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PertprobeError, match=words) as caught:
        READERS[name](tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(PertprobeError, match=r"cannot be read \(it is no file\)"):
        READERS[name](tmp_path / name)


def test_a_file_beyond_its_size_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.gmt").write_text("A\tx\tSTAT1\n" * 1000)
    with pytest.raises(PertprobeError, match=r"larger than 0 MB"):
        texts.read_text(tmp_path / "a.gmt", 100)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("split.toml", "a = " + "[" * 20_000 + "]" * 20_000),
        ("split.toml", "a = " + "{b=" * 20_000),
        ("split.toml", "a = 1979-13-45"),
        ("split.toml", f"a = {'9' * 5000}"),
        ("a.tsv", 'source,target,sign\n"a,b,1\n'),
        ("a.tsv", ""),
    ],
)
def test_texts_that_break_parsers_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(PertprobeError, match="cannot be read"):
        READERS[name](tmp_path / name)


def multiplied(line, first="{x: 1}"):
    """Return YAML whose every anchor holds the former many times."""
    rows = [f"a0: &a0 {first}"]
    rows += [line.format(new=f"a{i}", old=f"a{i - 1}") for i in range(1, 12)]
    return "\n".join(rows)


YAML = {
    "aliases that multiply": (
        multiplied("{new}: &{new} [" + ", ".join(["*{old}"] * 9) + "]"),
        "more than 500,000 values",
    ),
    "merges that multiply": (
        multiplied("{new}: &{new}\n  <<: [" + ", ".join(["*{old}"] * 9) + "]"),
        "more than 500,000 values",
    ),
    "an alias in itself": ("a: &a [1, *a]", "holds itself"),
    "an alias of nothing": ("a: *b", "undefined alias"),
    "lists in lists": ("a: " + "[" * 5000 + "]" * 5000, "nested more than 64 deep"),
    "keys in keys": ("".join(f"{' ' * i}k:\n" for i in range(300)), "nested more than 64 deep"),
    "code": ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "a date that is none": ("a: 2024-99-99", "is not valid YAML"),
    "a tag on the wrong value": ("a: !!bool x", "is not valid YAML"),
    "a number that is none": ("a: !!int x", "is not valid YAML"),
    "a list as key": ("? [a]\n: 1", "unhashable key"),
    "tabs": ("a:\n\tb: 1", "is not valid YAML"),
    "endless digits": (f"a: {'9' * 6000}", "is not valid YAML"),
    "letters that are none": ("a: \x07", "is not valid YAML"),
    "not closed": ("a: [1", "is not valid YAML"),
}


@pytest.mark.parametrize("case", YAML)
def test_yaml_is_refused_in_words(tmp_path, case):
    text, words = YAML[case]
    (tmp_path / "config.yaml").write_text(text)
    started = time.monotonic()
    with pytest.raises(PertprobeError, match=words) as caught:
        read_yaml(tmp_path / "config.yaml", "config.yaml")
    assert str(caught.value).startswith("config.yaml: ")
    assert time.monotonic() - started < 5


def test_honest_yaml_with_anchors_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    wanted = {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}
    assert read_yaml(tmp_path / "a.yaml", "a.yaml") == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"d_in": ', "is not valid JSON"),
        (f'{{"d_in": {"9" * 5000}}}', "is not valid JSON"),
        ("", "is not valid JSON"),
        ("\0", "NUL byte"),
    ],
)
def test_json_is_refused_in_words(tmp_path, text, words):
    (tmp_path / "cfg.json").write_text(text)
    with pytest.raises(PertprobeError, match=words) as caught:
        read_json(tmp_path / "cfg.json", "cfg.json")
    assert str(caught.value).startswith("cfg.json: ")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / "a.gmt").write_bytes("\ufeffA\tx\tSTAT1\tJAK2\n".encode())
    assert list(read_programs(tmp_path / "a.gmt")) == ["A"]
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode())
    assert read_json(tmp_path / "a.json", "a.json") == {"a": 1}
