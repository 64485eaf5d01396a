"""Small tools: writing whole or not at all, seeds from names, progress, jobs."""

import hashlib
import logging
import subprocess
import sys
import textwrap
from types import SimpleNamespace
from unittest import mock

import pytest

from pertprobe import batching
from pertprobe.errors import Faults
from pertprobe.files import atomic, sha256
from pertprobe.seeding import generator, seed_of
from pertprobe.workflow.job import device


def stopped_halfway(target, begin):
    with atomic(target) as temporary:
        begin(temporary)
        raise RuntimeError("halfway")


def test_a_file_appears_whole_and_keeps_its_suffix(tmp_path):
    target = tmp_path / "deep" / "table.tsv"
    with atomic(target) as temporary:
        assert temporary.suffix == ".tsv"
        temporary.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_failure_leaves_neither_the_temporary_nor_a_new_target(tmp_path, before):
    target = tmp_path / "table.tsv"
    if before:
        target.write_text(before)
    with pytest.raises(RuntimeError, match="halfway"):
        stopped_halfway(target, lambda temporary: temporary.write_text("half"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_a_directory_replaces_a_directory(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "stale").write_text("old")
    with atomic(target) as temporary:
        temporary.mkdir()
        (temporary / "fresh").write_text("new")
    assert [path.name for path in target.iterdir()] == ["fresh"]
    with pytest.raises(RuntimeError, match="halfway"):
        stopped_halfway(target, lambda temporary: temporary.mkdir())
    assert [path.name for path in target.iterdir()] == ["fresh"]
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_written_is_an_error_and_keeps_the_old_target(tmp_path):
    target = tmp_path / "table.tsv"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), atomic(target):
        pass
    assert target.read_text() == "old"


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


def test_seeds_come_from_names_and_are_the_same_in_every_process():
    assert seed_of(0, "cells", "hepg2") == 5684824537697621364
    assert seed_of(0, "a", "b") != seed_of(0, "ab") != seed_of(0, "b", "a")
    assert seed_of(0, "a") != seed_of(1, "a")
    assert all(0 <= seed_of(seed, "x") < 2**63 for seed in range(50))
    program = "from pertprobe.seeding import seed_of; print(seed_of(7, 'test', 'm', '', 3))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(printed) == seed_of(7, "test", "m", "", 3)


def test_one_name_gives_one_stream_of_numbers():
    assert (generator(0, "a").random(5) == generator(0, "a").random(5)).all()
    assert (generator(0, "a").random(5) != generator(0, "b").random(5)).all()


def test_counted_yields_everything_and_logs_counts_and_rate(caplog, monkeypatch):
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(batching.time, "monotonic", lambda: float(next(clock)))
    with caplog.at_level(logging.INFO, logger="pertprobe.batching"):
        assert list(batching.counted(["a", "b", "c", "d"], "knock-outs")) == ["a", "b", "c", "d"]
    assert "knock-outs: 1 of 4, 0.167 per second" in caplog.messages
    assert caplog.messages[-1].startswith("knock-outs: 4 done in ")


def test_counted_is_quiet_when_quick(caplog):
    with caplog.at_level(logging.INFO, logger="pertprobe.batching"):
        assert list(batching.counted([], "nothing")) == []
        list(batching.counted([1, 2], "steps"))
    assert [text.split(" done")[0] for text in caplog.messages] == ["nothing: 0", "steps: 2"]


def run_job(tmp_path, body, given=(), output=()):
    """Run a script whose job has this body; return its exit status, its log, and what it printed elsewhere."""
    files = {"log": [tmp_path / "logs" / "job.log"], "input": given, "output": output}
    script = f"""
        from types import SimpleNamespace
        from pertprobe.workflow.job import job
        snakemake = SimpleNamespace(**{ {name: list(map(str, paths)) for name, paths in files.items()}!r})
        with job(snakemake):
        {textwrap.indent(textwrap.dedent(body), " " * 12).lstrip()}
        """
    script = textwrap.dedent(script).replace("with job(snakemake):\n", "with job(snakemake):\n    ", 1)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return done.returncode, (tmp_path / "logs" / "job.log").read_text(), done.stdout + done.stderr


def test_a_users_mistake_ends_a_job_with_plain_words(tmp_path):
    body = "from pertprobe.errors import PertprobeError; raise PertprobeError('cells: no such file')"
    status, log, elsewhere = run_job(tmp_path, body)
    assert status == 1
    assert "Error: cells: no such file" in log
    assert "Traceback" not in log + elsewhere


def test_a_programmers_mistake_shows_its_traceback(tmp_path):
    status, log, _ = run_job(tmp_path, "raise ValueError('unforeseen')")
    assert status == 1
    assert "Traceback" in log
    assert "ValueError: unforeseen" in log


def test_everything_a_job_prints_is_in_its_log(tmp_path):
    body = "import logging, os; logging.info('counted'); print('said'); os.system('echo shouted')"
    status, log, elsewhere = run_job(tmp_path, body)
    assert (status, elsewhere) == (0, "")
    assert all(word in log for word in ("counted", "said", "shouted"))


def test_what_a_job_makes_is_recorded_and_the_next_refuses_it_damaged(tmp_path):
    table, other = tmp_path / "tables/one.tsv", tmp_path / "two.tsv"
    body = f"from pertprobe.files import write_json; write_json(list(range(99)), {str(table)!r})"
    assert run_job(tmp_path, body, output=[table])[0] == 0
    assert run_job(tmp_path, "print('read')", given=[table])[:2] == (0, mock.ANY)
    table.write_text(table.read_text()[:100])
    status, log, _ = run_job(tmp_path, "print('read')", given=[table], output=[other])
    assert status == 1
    assert f"Error: 1 fault:\n  - {table} is damaged: it has 100 bytes, and " in log
    assert "Give the same command again: it is made anew, with all that was made of it" in log
    assert "read" not in log
    assert "Traceback" not in log


def test_a_job_that_fails_leaves_no_record_of_what_it_was_to_make(tmp_path):
    path = tmp_path / "one.json"
    body = f"from pertprobe.files import write_json; write_json(1, {str(path)!r})"
    run_job(tmp_path, body, output=[path])
    run_job(tmp_path, f"open({str(path)!r}, 'w').write('half'); raise ValueError", output=[path])
    assert run_job(tmp_path, "pass", given=[path])[0] == 0  # Snakemake knows of it: its job did not end


def test_a_job_gives_every_library_one_thread(tmp_path):
    body = "import os; print([os.environ[f'{name}_NUM_THREADS'] for name in ('OMP', 'MKL', 'OPENBLAS', 'NUMEXPR')])"
    assert "['1', '1', '1', '1']" in run_job(tmp_path, body)[1]


def test_a_job_without_a_granted_gpu_runs_on_the_cpu():
    assert device({}) == "cpu"
    assert device({"gpu": 0}) == "cpu"


def test_faults_are_counted_and_listed():
    assert str(Faults(["a", "b"])) == "2 faults:\n  - a\n  - b"
    assert str(Faults(["a"])).startswith("1 fault:")
    assert SimpleNamespace(m=Faults(["a", "b"]).messages).m == ("a", "b")
