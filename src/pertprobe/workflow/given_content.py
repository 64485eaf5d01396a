"""What a run is given, by what it holds: the files of each model, the code of its kind, cells, gene sets and the rest.

Nothing here opens what a file means, so that a Snakefile may call it while it is parsed.
"""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pertprobe.errors import PertprobeError
from pertprobe.identity import files_below
from pertprobe.models import GROUP
from pertprobe.models.state import places
from pertprobe.roles import KNOWN
from pertprobe.workflow.given_files import given_paths

Hash = Callable[[Path], str]
"""Returns the SHA-256 of a file: one that a `KnownFiles` knows, or remembers."""


def held(path: str, sha256: Hash) -> dict[str, str]:
    """Return name -> SHA-256 of a given file, or of every file of a folder."""
    return {name: _hashed(file, sha256) for name, file in files_below(path).items()}


def held_by_model(entry: Mapping[str, Any], sha256: Hash) -> dict[str, str]:
    """Return name -> SHA-256 of every file that a given model is read from, its names and the code of its kind."""
    found = model_files(entry) | ({"genes": Path(entry["genes"])} if entry.get("genes") else {})
    return {name: _hashed(file, sha256) for name, file in found.items() if file.is_file()}


def _hashed(file: Path, sha256: Hash) -> str:
    try:
        return sha256(file)
    except OSError:  # it cannot be read, as job one will say with all else that is wrong
        return ""


def held_by_all(config: Mapping[str, Any], sha256: Hash) -> dict[str, str]:
    """Return name -> SHA-256 of all that is given: files by their paths, those of a model behind its key."""
    given = given_paths(config)
    models = {name: entry for name, entry in config["models"].items() if entry.get("path") in given}
    found: dict[str, str] = {}
    for path in (each for each in given if each not in {entry["path"] for entry in models.values()}):
        folder = Path(path).is_dir()
        found |= {f"{path}/{name}" if folder else path: each for name, each in held(path, sha256).items()}
    for name, entry in models.items():
        found |= {f"models.{name}/{file}": each for file, each in held_by_model(entry, sha256).items()}
    return found


def digest(held: Mapping[str, str]) -> str:
    """Return one short text for the names and hashes of files."""
    text = "\n".join(f"{name} {each}" for name, each in sorted(held.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def model_files(entry: Mapping[str, Any]) -> dict[str, Path]:
    """Return name -> file of all that a given model is read from.

    Of a State directory these are the files that its reader takes, and the split that it may carry: another checkpoint
    beside the one in use is none. Of other kinds they are all files below the path, and the code of the kind.
    """
    kind, root, checkpoint = entry.get("kind", "state"), Path(entry["path"]), entry.get("checkpoint")
    if kind == "state":
        return _state_files(root, checkpoint)
    found = files_below(root)
    if checkpoint and (elsewhere := root / checkpoint).is_file():
        found = {places.place(elsewhere, root): elsewhere} | found
    return found if kind in KNOWN else found | code_files(kind)


def _state_files(root: Path, checkpoint: str | None) -> dict[str, Path]:
    try:
        needed = places.needed(root, checkpoint)
    except PertprobeError:  # which job one will say, with all else that is wrong
        needed = places.needed(root)
    found = [*needed.values(), places.batch_map(root), places.cell_type_map(root), root / "split.toml"]
    return {places.place(file, root): file for file in found if file is not None}


@cache
def code_files(kind: str) -> dict[str, Path]:
    """Return name -> source file of the code that reads models of a kind of another package.

    These are all files of the package that its entry point names. Where that is a single module, they are the module
    and those that it imports from its own folder, unless packages are installed there.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == kind]
    tops = [top for entry in found if (top := _top(entry.module.split(".")[0]))]
    return {f"code of {kind}: {name}": file for top in tops for name, file in _sources(top).items()}


def _top(name: str) -> Path | None:
    """Return the file or folder of a package or module that can be imported; it is not imported."""
    spec = find_spec(name)
    if spec is None or not spec.origin:
        return None
    origin = Path(spec.origin)
    return origin.parent if spec.submodule_search_locations else origin


def _sources(top: Path) -> dict[str, Path]:
    if top.is_dir():
        return {f"{top.name}/{name}": file for name, file in files_below(top).items()}
    installed = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")}
    return {top.name: top} if top.parent in installed else dict(_beside(top, set()))


def _beside(module: Path, seen: set[Path]) -> Iterator[tuple[str, Path]]:
    """Yield a module, and what it imports from its own folder, by name."""
    seen.add(module)
    yield module.name, module
    for name in sorted(_imported(module)):
        file, package = module.with_name(f"{name}.py"), module.with_name(name)
        if file.is_file() and file not in seen:
            yield from _beside(file, seen)
        elif (package / "__init__.py").is_file() and package not in seen:
            seen.add(package)
            yield from _sources(package).items()


def _imported(module: Path) -> set[str]:
    """Return the first names of what a source file imports; none of one that is no Python."""
    try:
        nodes = list(ast.walk(ast.parse(module.read_bytes())))
    except (SyntaxError, ValueError):
        return set()
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in named} - sys.stdlib_module_names
