"""Paths that users give: what keeps each from being read, said before anything reads it."""

import os

import pytest

from pertprobe.errors import PertprobeError
from pertprobe.readers.budget import pointer_words
from pertprobe.readers.paths import path_fault
from pertprobe.readers.texts import read_text

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 132735123\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.h5ad").write_bytes(b"data")
    (tmp_path / "model" / "checkpoints").mkdir(parents=True)
    (tmp_path / "model" / "checkpoints" / "final.ckpt").write_text(POINTER)
    return tmp_path


def test_what_can_be_read_has_no_fault(here):
    (here / "other").mkdir()
    assert [path_fault("cells.h5ad"), path_fault("other", "folder"), path_fault("other", "either")] == ["", "", ""]


def test_a_file_that_is_not_there_is_told_with_where_it_was_looked_for(here):
    assert path_fault("cell.h5ad") == f"cell.h5ad does not exist (looked for in {here}). Did you mean 'cells.h5ad'?"
    assert (
        path_fault("data/deep/x.h5ad")
        == f"data/deep/x.h5ad does not exist (looked for in {here}): there is no folder data"
    )
    assert path_fault(here / "no" / "x") == f"{here}/no/x does not exist: there is no folder {here}/no"


def test_a_folder_a_file_and_what_is_neither_are_told_apart(here):
    os.mkfifo(here / "pipe")
    (here / "empty").touch()
    (here / "link").symlink_to("nowhere")
    assert path_fault("model") == "model is a folder where a file is needed"
    assert path_fault("cells.h5ad", "folder") == "cells.h5ad is a file where a folder is needed"
    assert path_fault("pipe") == "pipe is neither a file nor a folder"
    assert path_fault("empty") == "empty is empty (0 bytes)"
    assert path_fault("link") == "link is a link to nowhere, which does not exist"
    assert path_fault("cells.h5ad/inside") == "cells.h5ad/inside cannot be read (Not a directory)"
    assert path_fault("x" * 300).endswith("cannot be read (File name too long)")


def test_a_file_that_may_not_be_read_is_said(here, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert path_fault("cells.h5ad") == "cells.h5ad may not be read by this user (permission denied)"
    assert path_fault("model", "folder") == "model may not be read by this user (permission denied)"


def test_a_pointer_of_git_is_recognised_wherever_it_lies(here):
    (here / "p.gmt").write_text(POINTER)
    said = "is a Git LFS pointer of 132735123 bytes: fetch the file (git lfs pull)"
    assert path_fault("p.gmt") == f"p.gmt {said}"
    assert path_fault("model", "folder") == f"model/checkpoints/final.ckpt {said}"
    with pytest.raises(PertprobeError, match="is a Git LFS pointer of 132735123 bytes"):
        read_text("p.gmt")
    assert pointer_words("cells.h5ad") == ""
    assert pointer_words("nowhere") == ""


def test_no_file_without_bytes_is_opened(here, monkeypatch):
    """The system's own look empty, and to read one may wait for ever: a folder of a model may be / by mistake."""
    (here / "empty").touch()

    def refuse(*_, **__):
        raise AssertionError("opened")

    monkeypatch.setattr("builtins.open", refuse)
    assert pointer_words(here / "empty") == ""
