"""What a finished run makes of changed inputs, of things that only look changed, and of damaged intermediate files."""

import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
from damage import KINDS
from judge import GOOD, Judged, is_clear
from small_run import RESULTS, TARGET, config, content, finished, said_in_logs, warmed
from workflow_project import Project

Change = Callable[[Path], object]
LAST = Path(TARGET).name


def in_place(name: str, old: bytes, new: bytes) -> Change:
    """Return what changes bytes of a file and leaves its date as it was, as `cp -p` and `rsync -t` do."""

    def change(folder: Path) -> None:
        path, times = folder / name, (folder / name).stat()
        data = path.read_bytes()
        assert old in data, f"{name} does not hold {old!r}"
        path.write_bytes(data.replace(old, new, 1))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return change


def exchanged(name: str) -> Change:
    """Return what puts a file of the other model in the place of one of the first, with the date of the first."""

    def change(folder: Path) -> None:
        path = folder / "models/a" / name
        times = path.stat()
        path.write_bytes((folder / "models/b" / name).read_bytes())
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return change


def _cells(folder: Path) -> None:
    import anndata

    path, times = folder / "cells.h5ad", (folder / "cells.h5ad").stat()
    found = anndata.read_h5ad(path)
    found.obsm["X_hvg"] = np.array(found.obsm["X_hvg"])
    found.obsm["X_hvg"][:20] += 0.01
    path.unlink()
    found.write_h5ad(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns - 10**12))


CHANGED: dict[str, Change] = {
    "a checkpoint": exchanged("checkpoints/final.ckpt"),
    "a split": in_place("models/a/split.toml", b'"g0', b'"g1'),
    "a map": in_place("models/a/pert_onehot_map.pt", b"g001", b"g991"),
    "a config of a model": in_place("models/a/config.yaml", b"\n", b"\n# changed\n"),
    "dims of a model": in_place("models/a/var_dims.pkl", b"g001", b"g991"),
    "gene sets": in_place("programs.gmt", b"g001", b"g002"),
    "cells, older than before": _cells,
}
"""What is changed, its date kept."""


def _dates(folder: Path) -> None:
    for name in ("cells.h5ad", "programs.gmt", *(str(path) for path in folder.glob("models/**/*") if path.is_file())):
        os.utime(folder / name)


def _rewritten(folder: Path) -> None:
    for path in [folder / "cells.h5ad", folder / "programs.gmt", *folder.glob("models/*/checkpoints/*")]:
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)


def _backwards(value: object) -> object:
    return {key: _backwards(each) for key, each in list(value.items())[::-1]} if isinstance(value, dict) else value


UNCHANGED: dict[str, Change] = {
    "new dates": _dates,
    "the same bytes written anew": _rewritten,
    "a file more beside a checkpoint": lambda folder: (folder / "models/a/README.md").write_text("By hand.\n"),
    "nothing": lambda folder: None,
}
"""What changes no byte that is read."""


def judge_stale(done: Collection[str] = ()) -> Iterator[Judged]:
    """Yield whether a dry run sees each change, and sees nothing where there is none."""
    with tempfile.TemporaryDirectory() as scratch, warmed():
        run = finished(Path(scratch) / "finished")
        for kind, changes in (("changed", CHANGED), ("unchanged", UNCHANGED)):
            for i, (name, change) in enumerate(changes.items()):
                project = run.copy(Path(scratch) / f"{kind}{i}")
                change(project.folder)
                yield _planned(f"{kind}/{name}", project, config())
        yield _planned("unchanged/keys in another order", run, _backwards(config()))
        models = {"models": dict(list(config()["models"].items())[::-1])}
        yield _planned("unchanged/models in another order", run, config() | models)


def _planned(name: str, project: Project, asked: dict) -> Judged:
    """Return what a dry run makes of a project."""
    status, said = project.run("--dry-run", "--", TARGET, config=asked)
    nothing = "Nothing to be done" in said
    jobs = "nothing to be done" if nothing else " ".join(line for line in said.splitlines() if line.startswith("total"))
    if name.startswith("changed"):
        return Judged(name, "silent" if nothing else GOOD, jobs if status == 0 else said[-300:])
    return Judged(name, GOOD if nothing else "needless", jobs)


def judge_intermediates(done: Collection[str] = ()) -> Iterator[Judged]:
    """Yield what the jobs after it make of every damaged intermediate file."""
    with tempfile.TemporaryDirectory() as scratch, warmed():
        run = finished(Path(scratch) / "finished")
        right = content(run)
        names = [path.relative_to(run.folder) for path in sorted((run.folder / RESULTS).rglob("*")) if _is_read(path)]
        for name in names:
            for kind in KINDS:
                case = f"intermediate/{'/'.join(name.parts[2:])}: {kind}"
                if case not in done:
                    yield _read_again(case, run, name, kind, right)


def _is_read(path: Path) -> bool:
    """Return whether a file of a run is read by a later job."""
    return path.is_file() and path.suffix in (".nc", ".tsv", ".json", ".h5ad") and path.name != LAST


def _read_again(case: str, run: Project, name: Path, kind: str, right: str) -> Judged:
    with tempfile.TemporaryDirectory() as scratch:
        project = run.copy(Path(scratch) / "project")
        path = project.folder / name
        times, before = path.stat(), path.read_bytes()
        rng, after = np.random.default_rng(len(before)), bytearray(before)
        while after == before:
            KINDS[kind](after, rng)
        path.write_bytes(after)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        made_later = (each for each in (project.folder / RESULTS).rglob("*") if _is_read(each) or each.name == LAST)
        for other in [each for each in made_later if each.stat().st_mtime_ns > times.st_mtime_ns]:
            other.unlink()
        for log in (project.folder / RESULTS / "logs").rglob("*.log"):
            log.unlink()
        status, said = project.run("--cores", "2", "--", TARGET, config=config())
        logs = said_in_logs(project)
        return _outcome(case, status, said, logs, name.name, content(project) == right)


def _outcome(case: str, status: int, said: str, logs: str, name: str, same: bool) -> Judged:
    if status == 0:
        return Judged(case, GOOD if same else "silent", "made again, or never read" if same else "other bytes")
    words = " ".join((logs or said).split())[-300:]
    if "Traceback" in logs or "Traceback" in said:
        return Judged(case, "traceback", words)
    return Judged(case, GOOD if is_clear(logs or said, (name,)) else "unclear", words)
