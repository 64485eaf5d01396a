"""Mutants of statistics and of the code of verdicts: which small changes do the tests not see? `make mutation`.

mutmut and cosmic-ray write every mutant to the disk and start a Python for it, which here loads torch for four seconds;
they also bring a database and a dozen packages. This is the same in one file: a process that has loaded the libraries,
though nothing of pertprobe, forks for each mutant, imports the one changed module from its changed tree, and runs the
tests that import that module until one fails.
"""

import ast
import importlib.abc
import importlib.util
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "results/faults/mutation.json"
SOURCES = ("statistics/*.py", "stages/verdict.py", "stages/answer.py")
"""Below the package: what is mutated."""
TESTS = {"statistics": "tests/statistics/test_*.py", "stages": "tests/unit/test_{name}.py"}
"""Room -> the tests that are asked of a module in it, if they import it. That others might see a mutant too does not
count: those of probes, of laws and of calibration take minutes each, and what they see they see by chance."""
SEED, MUTANTS = 0, 160
LIBRARIES = ("numpy", "scipy.stats", "pandas", "xarray", "torch", "anndata", "statsmodels.api", "sklearn", "pytest",
             "hypothesis", "jaxtyping", "beartype", "yaml", "matplotlib.pyplot")  # fmt: skip
OTHERS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
"""Operator -> the one that takes its place."""


class Mutant(NamedTuple):
    """One change."""

    module: str
    """Dotted name."""
    place: int
    """Which of the module's sites."""


class Changer(ast.NodeTransformer):
    """Changes the site of one number, and counts all sites on the way."""

    def __init__(self, place: int = -1) -> None:
        """Change nothing by default."""
        self.place, self.sites, self.line, self.what = place, 0, 0, ""

    def _here(self, node: ast.AST, what: str) -> bool:
        self.sites += 1
        if self.sites - 1 != self.place:
            return False
        self.line, self.what = node.lineno, f"{ast.unparse(node)}  ->  {what}"
        return True

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Annotations are no code."""
        node.value = self.visit(node.value) if node.value else None
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Nor are those of arguments."""
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Nor are those of results; docstrings are texts."""
        node.args = self.visit(node.args)
        node.body = [self.visit(each) for each in node.body]
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Another comparison."""
        self.generic_visit(node)
        for i, operator in enumerate(node.ops):
            other = OTHERS.get(type(operator))
            if other and self._here(node, other.__name__):
                node.ops[i] = other()
        return node

    def _operator(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        other = OTHERS.get(type(node.op))
        if other and self._here(node, other.__name__):
            node.op = other()
        return node

    visit_BinOp = visit_BoolOp = _operator

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Without its sign, or its not."""
        self.generic_visit(node)
        return node.operand if self._here(node, ast.unparse(node.operand)) else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """The next number, or the other truth value."""
        if not isinstance(node.value, int | float):
            return node
        other = not node.value if isinstance(node.value, bool) else node.value + 1
        return ast.copy_location(ast.Constant(other), node) if self._here(node, repr(other)) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """The other branch."""
        self.generic_visit(node)
        if self._here(node, "branches exchanged"):
            node.body, node.orelse = node.orelse, node.body
        return node


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a tree of its own."""

    def __init__(self, module: str, path: Path, tree: ast.Module) -> None:
        """Keep what it is."""
        self.module, self.path, self.tree = module, path, tree

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Return the spec of that module, and nothing for others."""
        return importlib.util.spec_from_loader(name, self, origin=str(self.path)) if name == self.module else None

    def exec_module(self, module: Any) -> None:
        """Run the changed code."""
        module.__file__ = str(self.path)
        exec(compile(self.tree, self.path, "exec"), vars(module))


def sources() -> dict[str, Path]:
    """Return the modules that are mutated."""
    package = ROOT / "src/pertprobe"
    paths = [path for pattern in SOURCES for path in sorted(package.glob(pattern)) if path.name != "__init__.py"]
    return {"pertprobe." + ".".join(path.relative_to(package).with_suffix("").parts): path for path in paths}


def tests_of(module: str) -> list[str]:
    """Return the test files that import a module, the smallest first."""
    package, _, name = module.rpartition(".")
    pattern = TESTS[package.rpartition(".")[2]].format(name=name)
    wanted = re.compile(rf"{re.escape(module)}\b|from {re.escape(package)} import [^\n]*\b{name}\b")
    found = [path for path in ROOT.glob(pattern) if wanted.search(path.read_text())]
    return [str(path) for path in sorted(found, key=lambda path: path.stat().st_size)]


def changed(path: Path, place: int) -> tuple[ast.Module, Changer]:
    """Return the tree of a file with one site changed, and what was changed."""
    changer = Changer(place)
    tree = ast.fix_missing_locations(changer.visit(ast.parse(path.read_text())))
    return tree, changer


def drawn(number: int, seed: int) -> list[Mutant]:
    """Return so many mutants, drawn evenly from all sites of modules that any test imports."""
    sites = [Mutant(m, i) for m, path in sources().items() if tests_of(m) for i in range(changed(path, -1)[1].sites)]
    chosen = np.random.default_rng(seed).permutation(len(sites))[:number]
    return [sites[i] for i in chosen]


def outcome(mutant: Mutant | None, tests: list[str], seconds: float) -> Callable[[], tuple[str, float] | None]:
    """Start tests against a mutant, or the code as it is; return what says how they ended ("passed", "failed", "hang").

    It says None as long as they have not.
    """
    began, pid = time.monotonic(), os.fork()
    if pid == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ["OMP_NUM_THREADS"] = "1"
        if mutant:
            path = sources()[mutant.module]
            sys.meta_path.insert(0, Finder(mutant.module, path, changed(path, mutant.place)[0]))
        import pytest

        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
        os._exit(0 if status == 0 else 1)

    def ended() -> tuple[str, float] | None:
        found, status = os.waitpid(pid, os.WNOHANG)
        took = time.monotonic() - began
        if found:
            return ("passed" if os.waitstatus_to_exitcode(status) == 0 else "failed"), took
        if took > seconds:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "hang", took
        return None

    return ended


def all_outcomes(mutants: list[Mutant], seconds: float, workers: int) -> Iterator[tuple[Mutant, str]]:
    """Yield how the tests of every mutant end, some at once."""
    waiting, running = mutants[::-1], {}
    while waiting or running:
        while waiting and len(running) < workers:
            mutant = waiting.pop()
            running[mutant] = outcome(mutant, tests_of(mutant.module), seconds)
        for mutant, ended in list(running.items()):
            if found := ended():
                del running[mutant]
                yield mutant, found[0]
        time.sleep(0.02)


def seconds_of(tests: list[str]) -> float:
    """Return how long tests take with the code as it is, which they must pass."""
    ended = outcome(None, tests, 3600.0)
    while not (found := ended()):
        time.sleep(0.1)
    assert found[0] == "passed", f"the tests do not pass as the code is: {found}"
    return found[1]


def main(number: int = MUTANTS, seed: int = SEED) -> None:
    """Try mutants, print survivors, and write the record after each."""
    for library in LIBRARIES:
        importlib.import_module(library)
    mutants, record = drawn(number, seed), []
    took = seconds_of(sorted({test for mutant in mutants for test in tests_of(mutant.module)}))
    print(f"{took:.0f} s\tall tests, with the code as it is", flush=True)
    for mutant, how in all_outcomes(mutants, 60 + 2 * took, os.cpu_count() or 1):
        change = changed(sources()[mutant.module], mutant.place)[1]
        told = {"module": mutant.module, "line": change.line, "what": change.what, "killed": how != "passed"}
        record.append(told)
        if how == "passed":
            print(f"survives\t{mutant.module}:{change.line}\t{change.what}", flush=True)
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(json.dumps({"seed": seed, "mutants": record}, indent=1))
    print(f"{sum(each['killed'] for each in record)} of {len(record)} killed", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
