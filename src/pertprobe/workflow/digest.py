"""Digest of library code, so that Snakemake reruns the rules that use it and no others.

Snakemake does not track imported code. `code("probes.knockout:questions")` follows a function through the package: its
own syntax tree, the module-level names it uses, and the package functions it imports, each followed in turn. Comments,
formatting and docstrings do not count, so only a change of behaviour reruns anything.
"""

import ast
import hashlib
from collections.abc import Sequence, Set
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
NAME = PACKAGE.name
Used = tuple[tuple[str, str], ...]
"""What of this package is used, as (module, name); an empty name is the module itself."""


class Definition(NamedTuple):
    """One top-level name of a source file."""

    text: str
    """Hash of the syntax of the statements that define or change it."""
    uses: Used


class Module(NamedTuple):
    """The top level of one source file."""

    definitions: dict[str, Definition]
    imports: dict[str, tuple[str, str]]
    """Imported name -> (package module, name there; empty for the module itself)."""


def code(*targets: str, apart: Sequence[str] = ()) -> str:
    """Return one digest for functions ("module:function"), modules ("module") or other files ("report/glossary.yaml").

    Modules named `apart`, and what lies below them, are not followed: the caller has it that they change nothing.
    Raises KeyError for a function that its module does not define: a rule that names it wrongly must not pass.
    """
    without = tuple(f"{NAME}.{each}" for each in apart)
    files = {target: _hash_of_file(target) for target in targets if (PACKAGE / target).is_file()}
    reached = frozenset().union(*(_reached(target, without) for target in targets if target not in files))
    found = {(file, ""): dump for file, dump in files.items()} | {each: _definition(*each).text for each in reached}
    text = "\n".join(f"{module}:{name} {dump}" for (module, name), dump in sorted(found.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files_below(folder: str) -> list[str]:
    """Return the files of a folder of the package that are not Python, as targets of `code`."""
    found = (path for path in (PACKAGE / folder).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return sorted(path.relative_to(PACKAGE).as_posix() for path in found)


def functions(module: str, *names: str) -> list[str]:
    """Return those of a module's names that it has, as targets of `code`: a probe need not define all."""
    parsed = _module(f"{NAME}.{module}")
    return [f"{module}:{name}" for name in names if name in parsed.definitions or name in parsed.imports]


def _hash_of_file(target: str) -> str:
    return hashlib.sha256((PACKAGE / target).read_bytes()).hexdigest()


@cache
def _reached(target: str, apart: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    """Return (module, name) of a target, all of the module where it names no function, and of all that it uses."""
    module, _, name = target.partition(":")
    reached, left = set(), [(f"{NAME}.{module}", name)]
    while left:
        each = left.pop()
        if each in reached or any(f"{each[0]}.".startswith(f"{other}.") for other in apart):
            continue
        reached.add(each)
        left += _definition(*each).uses
    return frozenset(reached)


@cache
def _definition(module: str, name: str) -> Definition:
    """Return `name` of `module`; where name is empty, all of the module."""
    parsed = _module(module)
    if not name:
        return Definition("", tuple((module, each) for each in (*parsed.definitions, *parsed.imports)))
    imported = (parsed.imports[name],) if name in parsed.imports else ()
    if name in parsed.definitions or imported:
        found = parsed.definitions.get(name, Definition("", ()))
        return Definition(found.text, (*found.uses, *imported))
    if _path(f"{module}.{name}"):
        return Definition("", ((f"{module}.{name}", ""),))
    raise KeyError(f"{module} defines no {name}")


@cache
def _module(module: str) -> Module:
    """Read the top level of a module, and let go of its syntax tree: Python's collector would walk what is kept."""
    path = _path(module)
    if path is None:
        raise KeyError(f"{module} is not a module of this package")
    statements: dict[str, list[ast.stmt]] = {}
    imports: list[ast.stmt] = []
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imports.append(statement)
        for name in _defined(statement):
            statements.setdefault(name, []).append(statement)
    imported = _imports_of(module, imports)
    known = statements.keys() | imported.keys()
    return Module({name: _define(module, known, each) for name, each in statements.items()}, imported)


def _define(module: str, known: Set[str], statements: Sequence[ast.stmt]) -> Definition:
    """Return what the statements of one name say and use; `known` are the names at the top of their module."""
    read = [_read(statement) for statement in statements]
    text = hashlib.sha256("".join(each.text for each in read).encode()).hexdigest()
    return Definition(text, tuple(target for each in read for target in _uses(module, known, each)))


class Read(NamedTuple):
    """What one statement says, and what it mentions."""

    text: str
    """Its syntax without docstrings and positions."""
    names: set[str]
    imports: list[ast.stmt]


def _read(statement: ast.stmt) -> Read:
    """Read a statement in one walk: every plan of the workflow reads two thousand of them."""
    names: set[str] = set()
    imports: list[ast.stmt] = []

    def text(node: object) -> str:
        """Return the syntax of a node, of a list of them, or of a constant."""
        if isinstance(node, list):
            return f"[{','.join([text(each) for each in node if not _is_text(each)])}]"
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        return f"{type(node).__name__}({','.join([text(getattr(node, field, None)) for field in node._fields])})"

    return Read(text(statement), names, imports)


def _uses(module: str, known: Set[str], statement: Read) -> Used:
    """Return what of this package a statement uses: what it imports itself, and names of its module."""
    local = _imports_of(module, statement.imports)
    return *local.values(), *((module, name) for name in sorted((statement.names - local.keys()) & known))


def _defined(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return set()
    stored = [node for node in ast.walk(statement) if isinstance(getattr(node, "ctx", None), ast.Store)]
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        stored.append(statement.value.func)  # names.update(...) changes names
    return {name for node in stored for name in _owner(node)}


def _owner(node: ast.expr) -> set[str]:
    """Return the name that `name`, `name.attribute` or `name[key]` belongs to."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _imports_of(module: str, statements: list[ast.stmt]) -> dict[str, tuple[str, str]]:
    """Return what the import statements bring in from this package."""
    found = {}
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            source = _source(module, statement)
            if source.split(".")[0] == NAME:
                found |= {alias.asname or alias.name: (source, alias.name) for alias in statement.names}
        elif isinstance(statement, ast.Import):
            ours = [alias for alias in statement.names if alias.name.split(".")[0] == NAME]
            found |= {alias.asname or alias.name: (alias.name, "") for alias in ours}
    return found


def _source(module: str, statement: ast.ImportFrom) -> str:
    if not statement.level:
        return statement.module or ""
    path = _path(module)
    parts = module.split(".")
    here = parts if path and path.name == "__init__.py" else parts[:-1]
    base = here[: len(here) - statement.level + 1]
    return ".".join([*base, *([statement.module] if statement.module else [])])


def _path(module: str) -> Path | None:
    """Return the source file of a dotted module name, None where there is none."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
