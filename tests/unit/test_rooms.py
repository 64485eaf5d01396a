"""The library's rooms: arrows between them lead downwards only, and nothing imports in a circle.

Imports are read from the text, those inside functions too; what is imported for types alone is no arrow.
"""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "pertprobe"
FLOORS = """
    roles errors files identity made seeding batching shapes showing
    statistics readers
    evidence plots
    data
    models
    interpret
    probes
    stages
    testing
    report
    calibration
    workflow
"""
"""Rooms and single files, the ground first: each line may import from its own and from those above it here."""
FLOOR = {room: level for level, line in enumerate(FLOORS.strip().splitlines()) for room in line.split()}


def name_of(path, package):
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(node):
    """Yield every import below a syntax node, those for type checkers left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (each for other in child.orelse for each in statements(ast.Module([other], [])))
        else:
            yield from statements(child)


def arrows(package):
    """Return module -> the modules of its package that it imports; a name that is no module stands for its module."""
    texts = {name_of(path, package): path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    found = {name: set() for name in texts}
    for name, text in texts.items():
        for statement in statements(ast.parse(text)):
            if isinstance(statement, ast.Import):
                wanted = [alias.name for alias in statement.names]
            else:
                assert not statement.level, f"{name}: a relative import"
                whole = [f"{statement.module}.{alias.name}" for alias in statement.names]
                wanted = [each if each in texts else statement.module for each in whole]
            found[name] |= {each for each in wanted if each in texts and each != name}
    return found


def room_of(name):
    """Return the room, or the file on the ground floor, that a module is in; empty for the public face."""
    return name.split(".")[1] if "." in name else ""


def upward(found):
    """Return the arrows that lead to a room further up, and those of modules in no room."""
    pairs = [(a, b) for a, targets in found.items() for b in sorted(targets) if room_of(a)]
    return [(a, b) for a, b in pairs if FLOOR.get(room_of(a), -1) < FLOOR.get(room_of(b), len(FLOOR))]


def circle(graph):
    """Return the nodes of a circle, none where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def inside(found, package):
    """Return the arrows between what lies directly in a package: its modules, its packages as wholes, its own face."""
    graph = {}
    for a, targets in found.items():
        for b in targets:
            ends = [each for each in (a, b) if each == package or each.startswith(f"{package}.")]
            if len(ends) == 2:
                one, other = (each.removeprefix(package).split(".")[1] if each != package else "" for each in ends)
                graph.setdefault(one, set()).update({other} - {one})
    return graph


def packages(package):
    return [name_of(path, package) for path in sorted(package.rglob("__init__.py"))]


def test_every_module_is_in_a_room():
    assert {room_of(name) for name in arrows(PACKAGE)} - {""} == set(FLOOR)


def test_arrows_lead_downwards():
    assert upward(arrows(PACKAGE)) == []


def test_no_module_imports_in_a_circle():
    assert circle(arrows(PACKAGE)) == []


def test_no_package_imports_in_a_circle():
    found = arrows(PACKAGE)
    assert {name: each for name in packages(PACKAGE) if (each := circle(inside(found, name)))} == {}


def test_what_is_wrong_is_found(tmp_path):
    package = tmp_path / "house"
    texts = {
        "__init__": "",
        "errors": "",
        "statistics/__init__": "from house.statistics.ranks import rank",
        "statistics/ranks": "def rank():\n    from house.probes import base\n    return base",
        "probes/__init__": "",
        "probes/base": "import house.errors\nif TYPE_CHECKING:\n    from house import lost",
        "data/__init__": "",
        "data/a": "from house.data.deep.b import x",
        "data/c": "y = 1",
        "data/deep/__init__": "",
        "data/deep/b": "from house.data.deep.d import x",
        "data/deep/d": "",
        "data/deep/e": "from house.data.a import x",
        "lost": "from house import errors",
    }
    for name, text in texts.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(text + "\n")
    found = arrows(package)
    assert found["house.probes.base"] == {"house.errors"}
    assert upward(found) == [("house.lost", "house.errors"), ("house.statistics.ranks", "house.probes.base")]
    assert circle(found) == []
    assert circle(inside(found, "house")) == []
    assert set(circle(inside(found, "house.data"))) == {"a", "deep"}
    found["house.errors"] = {"house.probes.base"}
    assert set(circle(found)) == {"house.errors", "house.probes.base"}


def test_files_of_tests_have_names_of_their_own():
    """Two of one name, in folders that are no packages, keep pytest from collecting either beside the other."""
    names = Counter(path.name for path in (PACKAGE.parents[1] / "tests").rglob("test_*.py"))
    assert {name for name, count in names.items() if count > 1} == set()
