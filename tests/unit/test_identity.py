"""A file is known by what it holds: whatever its date, and without being read again."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from pertprobe import identity
from pertprobe.identity import BLOCK, BLOCKS, VERIFY, KnownFiles, files_below

LONG = 4 * BLOCK * BLOCKS
"""Bytes of a file of which only a sample is looked at."""


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Return a large file, and count how often a file is read whole; a change is old at once."""
    path = tmp_path / "cells.h5ad"
    path.write_bytes(os.urandom(LONG))
    monkeypatch.setattr(identity, "RECENT", -1)
    return path


@pytest.fixture
def passes(monkeypatch):
    """Return the files that were read whole so far."""
    read, found = identity.read_whole, []
    monkeypatch.setattr(identity, "read_whole", lambda path: found.append(Path(path).name) or read(path))
    return found


def slow(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def known(tmp_path, **options):
    """Return what a new process knows."""
    return KnownFiles(tmp_path / "kept" / "known.json", **options)


def test_the_hash_is_the_sha256_of_all_bytes(given, tmp_path):
    assert known(tmp_path).sha256(given) == slow(given)


def test_an_unchanged_file_is_not_read_again_by_the_next_process(given, tmp_path, passes):
    assert [known(tmp_path).sha256(given) for _ in range(3)] == [slow(given)] * 3
    assert passes == ["cells.h5ad"]


def test_a_new_date_costs_a_pass_and_changes_nothing(given, tmp_path, passes):
    before = known(tmp_path).sha256(given)
    os.utime(given, (0, 0))
    assert known(tmp_path).sha256(given) == before
    assert len(passes) == 2


def in_place(path, place):
    """Change one byte without another length, date or inode."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def replaced(path, place):
    """Put another file in the place of this one, with its date, as `rsync -t` does."""
    other = path.with_name("other")
    shutil.copy2(path, other)
    in_place(other, place)
    os.replace(other, path)


@pytest.mark.parametrize("change", [in_place, replaced])
@pytest.mark.parametrize("place", [0, LONG // 2, LONG - 1])
@pytest.mark.parametrize("length", [LONG, 100_000])
def test_a_changed_byte_is_noticed_whatever_the_date(given, tmp_path, change, place, length):
    given.write_bytes(given.read_bytes()[:length])
    before = known(tmp_path).sha256(given)
    change(given, place % length)
    assert known(tmp_path).sha256(given) == slow(given) != before


def test_where_times_tell_nothing_the_sample_does_and_a_whole_reading_all(given, tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "_times", lambda stat: (stat.st_size, 0, 0, 0))
    before = known(tmp_path).sha256(given)
    sampled = {place + i for place in identity._places(LONG) for i in range(BLOCK)}
    hidden = next(place for place in range(LONG) if place not in sampled)
    in_place(given, hidden)
    assert known(tmp_path).sha256(given) == before  # the limit that docs/scaling.md names
    assert known(tmp_path, verify=True).sha256(given) == slow(given) != before
    in_place(given, LONG - 1)
    assert known(tmp_path).sha256(given) == slow(given)


def test_the_environment_has_all_read_whole(given, tmp_path, passes, monkeypatch):
    known(tmp_path).sha256(given)
    monkeypatch.setenv(VERIFY, "1")
    known(tmp_path).sha256(given)
    assert len(passes) == 2


def test_a_file_changed_a_moment_before_it_was_read_is_read_again(given, tmp_path, passes, monkeypatch):
    monkeypatch.setattr(identity, "RECENT", 10**12)
    for _ in range(2):
        known(tmp_path).sha256(given)
    assert len(passes) == 2


def test_within_one_process_a_file_has_one_hash(given, tmp_path):
    one = known(tmp_path)
    before = one.sha256(given)
    in_place(given, 0)
    assert one.sha256(given) == before


def test_a_job_takes_the_word_of_the_process_that_planned_it(given, tmp_path, passes):
    assert known(tmp_path).remembered(given) == ""
    known(tmp_path).sha256(given)
    assert known(tmp_path).remembered(given) == slow(given)
    assert len(passes) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": [1]}'])
def test_a_damaged_memory_is_none(given, tmp_path, text):
    known(tmp_path).sha256(given)
    (tmp_path / "kept" / "known.json").write_text(text)
    assert known(tmp_path).sha256(given) == slow(given)


def test_two_processes_do_not_forget_what_the_other_learned(given, tmp_path, passes):
    other = given.with_name("other.h5ad")
    other.write_bytes(os.urandom(LONG))
    one, two = known(tmp_path), known(tmp_path)
    one.sha256(given)
    two.sha256(other)
    assert [known(tmp_path).sha256(path) for path in (given, other)] == [slow(given), slow(other)]
    assert len(passes) == 2


def test_of_a_large_file_it_is_said_that_it_is_read(given, tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "LARGE", LONG)
    said = []
    known(tmp_path, say=said.append).sha256(given)
    assert len(said) == 1
    assert str(given) in said[0]


def test_the_files_of_a_folder_are_all_below_it_and_links_are_followed_once(tmp_path):
    folder, elsewhere = tmp_path / "model", tmp_path / "scratch"
    (folder / "__pycache__").mkdir(parents=True)
    elsewhere.mkdir()
    for path in (folder / "b.txt", folder / "__pycache__/c.pyc", folder / ".snakemake_timestamp", elsewhere / "a.ckpt"):
        path.write_text("text")
    (folder / "checkpoints").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)
    assert list(files_below(folder)) == ["b.txt", "checkpoints/a.ckpt"]
    assert list(files_below(folder / "b.txt")) == ["b.txt"]
    assert files_below(folder / "none") == {}
