"""How large the house is: lines of code by room, how long functions are, lines of the rules and of the calibration.

Code lines are those without docstrings, comments, blank lines, imports, decorators and signatures.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "src" / "pertprobe"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def no_code(tree: ast.AST) -> Iterator[range]:
    """Yield the lines of docstrings, imports, decorators and signatures."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            yield range(first, node.body[0].lineno)
        elif isinstance(node, ast.Import | ast.ImportFrom) or is_text(node):
            yield range(node.lineno, node.end_lineno + 1)


def is_text(node: ast.AST) -> bool:
    """Return whether a statement is a text by itself: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def code_lines(text: str) -> int:
    """Return the number of lines of code in a module."""
    left_out = {line for lines in no_code(ast.parse(text)) for line in lines}
    lines = enumerate(map(str.strip, text.splitlines()), start=1)
    return sum(bool(line) and not line.startswith("#") and number not in left_out for number, line in lines)


def function_lengths(text: str) -> list[int]:
    """Return the lines of each function, its signature and docstring among them."""
    return [each.end_lineno - each.lineno + 1 for each in ast.walk(ast.parse(text)) if isinstance(each, FUNCTIONS)]


def lines_of(*paths: Path) -> int:
    """Return the lines of files."""
    return sum(len(path.read_text().splitlines()) for path in paths)


def table() -> str:
    """Return all numbers as Markdown."""
    texts = {path.relative_to(LIBRARY): path.read_text() for path in sorted(LIBRARY.rglob("*.py"))}
    rooms: Counter[str] = Counter()
    for path, text in texts.items():
        rooms[path.parts[0] if len(path.parts) > 1 else "beside the rooms"] += code_lines(text)
    lengths = [length for text in texts.values() for length in function_lengths(text)]
    rows = {f"code lines of {room}": lines for room, lines in sorted(rooms.items())}
    rows["code lines of the library"] = rooms.total()
    rows |= {f"functions, {name}": round(np.quantile(lengths, q)) for name, q in
             {"median length": 0.5, "90th percentile": 0.9, "longest": 1.0}.items()}  # fmt: skip
    rows["lines of rules and Snakefile"] = lines_of(*(ROOT / "rules").glob("*.smk"), ROOT / "Snakefile")
    rows["lines of calibration/"] = lines_of(*(LIBRARY / "calibration").glob("*.py"))
    shown = [f"| {name} | {value:,} |" for name, value in rows.items()]
    return "\n".join(["| what | number |", "|---|---|", *shown])


if __name__ == "__main__":
    print(table())
