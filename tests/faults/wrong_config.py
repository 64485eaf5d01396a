"""Wrong configs: leaves of a wrong type, thresholds that cannot be, names that nothing has, YAML that misleads."""

from collections.abc import Iterator
from typing import Any

import healthy
from fault import Fault, content, edited, setting, without

WRONG = {
    int: ["five", 1.5, -3, True, [], {}, float("nan"), float("inf"), None, "1"],
    float: ["five", True, [], {}, float("nan"), None],
    str: [7, 0.5, True, [], {}, "", "no such thing", None],
}
"""Type of a leaf -> values that it may never have."""
FREE = ("genes", "batch_column", "split", "space")
"""Keys whose null is a meaning of its own: what the library finds by itself."""
NAMED = ("run", "seed", "path", "targets", "regulators")
"""Keys of which "no such thing" is judged elsewhere, or is only worth a note."""


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Yield (path of keys, value) of everything in a config that holds nothing else."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from leaves(each, (*path, key))
    if not isinstance(value, dict | list):
        yield path, value


def of_leaves() -> Iterator[Fault]:
    """Every leaf of the healthy config with every value that its type forbids."""
    for path, value in leaves(healthy.config()):
        if path[0] == "thresholds" or (path[0] in ("models", "cells") and path[1] in ("b", "line_b")):
            continue
        words = tuple(str(key) for key in path if isinstance(key, str))
        for wrong in WRONG[type(value)]:
            if (wrong is None and path[-1] in FREE) or (wrong == "no such thing" and {*NAMED} & {*path}):
                continue
            name = f"leaf/{'.'.join(map(str, path))} = {wrong!r}"
            named = (*words, wrong) if isinstance(wrong, str) and wrong else words
            yield Fault(name, setting(*path, value=wrong), mentions=named)


CONDITIONS = [
    ["q", "<", True], ["q", "<", "true"], ["q", "<", "0.05"], ["q", "<", float("nan")], ["q", "<", 5], ["q", "<", -1],
    ["q", "<", None], ["q", "<", [0.05]], ["q", "=<", 0.05], ["q", "", 0.05], ["q", "is", 0.05], ["q", "<"], ["q"], [],
    ["q", "<", 0.05, 1], ["Q", "<", 0.05], ["no_such_column", "<", 1], ["program", "<", 1], ["model", "==", "a"],
    ["evaluable", "<", 1], ["reason", "<", 0.5], ["p", "<", 1.5], ["q", ">", 1], [0.05, "<", "q"], ["q", 0.05, "<"],
    "q < 0.05", {"q": 0.05}, None, 0.05, ["q", "<", float("inf")], ["n_genes", "<", True], ["q", "<", "5%"],
    ["q", "<=", "0,05"], ["q ", "<", 0.05], ["effect", ">", "large"], ["effect", ">", False],
]  # fmt: skip
"""Conditions that nobody can mean."""


def of_thresholds() -> Iterator[Fault]:
    """Conditions of a wrong column, operator, type or range; lists that are none."""
    for condition in CONDITIONS:
        make = setting("thresholds", "pert_embedding", value=[condition])
        yield Fault(f"threshold/{condition!r}", make, mentions=("thresholds",))
    for wrong in ("q", 1, {"q": 1}, [[]], [["q", "<", 0.05], ["q", "<"]], True):
        make = setting("thresholds", "pert_embedding", value=wrong)
        yield Fault(f"threshold/list {wrong!r}", make, mentions=("thresholds",))
    for probe in ("no_probe", "Pert_Embedding", "pert embedding", 3):
        make = setting("thresholds", probe, value=[["q", "<", 0.05]])
        yield Fault(f"threshold/of {probe!r}", make, mentions=("thresholds",))


NAMES = [
    (("models", "a", "context"), "line_A"), (("models", "a", "context"), "line_c"), (("models", "a", "context"), "a"),
    (("models", "a", "kind"), "State"), (("models", "a", "kind"), "scgpt"), (("models", "a", "regime"), "few-shot"),
    (("models", "a", "regime"), "zero"), (("models", "a", "attention"), "both"), (("models", "a", "dtype"), "bfloat16"),
    (("models", "a", "checkpoint"), "best.ckpt"), (("models", "a", "checkpoint"), "../b/checkpoints/none.ckpt"),
    (("models", "a", "path"), "models"), (("models", "a", "path"), "cells.h5ad"), (("models", "a", "path"), "nowhere"),
    (("models", "a", "path"), "models/a/checkpoints"), (("models", "a", "path"), "~/nowhere"),
    (("models", "a", "path"), "/"),
    (("cells", "line_a", "path"), "models/a"), (("cells", "line_a", "path"), "programs.gmt"),
    (("cells", "line_a", "path"), "cells.h5"), (("cells", "line_a", "path"), "."),
    (("cells", "line_a", "space"), "X_hvgs"), (("cells", "line_a", "space"), "layers/none"),
    (("cells", "line_a", "space"), "layers/counts"), (("cells", "line_a", "genes"), "var:symbol"),
    (("cells", "line_a", "genes"), "uns:genes"), (("cells", "line_a", "genes"), "obs:gene"),
    (("cells", "line_a", "normalisation"), "log2"), (("cells", "line_a", "normalisation"), "counts"),
    (("cells", "line_a", "set_size"), 16), (("cells", "line_a", "n_sets"), 500),
    (("cells", "line_a", "set_size"), 10**9),
    (("cells", "line_a", "within"), {"donor": "D1"}), (("cells", "line_a", "within"), {"batch": "b99"}),
    (("cells", "line_a", "further_controls"), ["NT*"]), (("perturbations",), {"table": "programs.gmt"}),
    (("perturbations",), {"table": "none.tsv"}), (("perturbations",), {"table": "cells.h5ad"}),
    (("perturbations",), {"columns": {"dose": "um"}}), (("perturbations",), {"columns": {"colour": "batch"}}),
    (("perturbations",), {"columns": {"group": "batch"}}), (("perturbations",), {"pattern": "("}),
    (("perturbations",), {"pattern": "(?P<target>x+)"}), (("perturbations",), {"pattern": "(?P<colour>.+)"}),
    (("perturbations",), {"dose": 0}), (("perturbations",), {"dose": 5.0}), (("perturbations",), {"direction": "up"}),
    (("perturbations",), {"recognise": "guides"}),
    (("pairs", "contexts"), [["a", "a"]]), (("pairs", "contexts"), [["a", "c"]]), (("pairs", "contexts"), [["a"]]),
    (("pairs", "contexts"), [["a", "b", "a"]]), (("pairs", "regimes"), [["a", "b"]]),
    (("pairs", "lines"), [["a", "b"]]),
    (("programs", "gmt"), ["programs.txt"]), (("programs", "gmt"), []), (("programs", "gmt"), ["programs.gmt"] * 2),
    (("programs", "gmt"), ["cells.h5ad"]), (("programs", "gmt"), ["models"]), (("programs", "patterns"), {"p": "("}),
    (("programs", "patterns"), {"p": "^ENSG"}), (("programs", "lists"), {"p": []}),
    (("programs", "lists"), {"p": ["TP53"]}),
    (("programs", "lists"), {"program_1": ["g001", "g002", "g003"]}), (("programs", "min_perturbations"), 1),
    (("panels", "first", "program"), "program_9"), (("panels", "first", "regulators"), []),
    (("panels", "first", "regulators"), ["TP53"]), (("panels", "first", "targets"), ["TP53", "STAT1"]),
    (("panels", "first", "perturbations"), ["g999"]), (("panels", "first", "signs"), {"g019>g999": 1}),
    (("panels", "first", "signs"), {"g019>g022": 2}), (("panels", "first", "signs"), {"g019-g022": 1}),
    (("panels", "first", "controls"), "program"), (("panels", "first", "perturbations"), "others"),
    (("sae", "joint", "layer"), 99), (("sae", "joint", "layer"), "last"), (("sae", "joint", "models"), ["c"]),
    (("sae", "joint", "models"), []), (("sae", "joint", "path"), "cells.h5ad"), (("sae", "joint", "kind"), "relu_l1"),
    (("sae", "joint", "path"), "models/a"), (("probes", "sae_features", "sae"), "joined"),
    (("probes", "knockout", "genes"), ["g001", "TP53"]), (("probes", "knockout", "genes"), 0),
    (("probes", "knockout", "value"), "one"), (("probes", "pert_embedding", "neighbours"), 0),
    (("probes", "pert_embeddings"), {}), (("probes", "regulon_recovery", "regulons"), {}),
    (("probes", "regulon_recovery", "regulons"), {"simulated": "none.tsv"}),
    (("probes", "targeted_jacobian", "panels"), ["second"]),
    (("statistics", "permutations"), 98), (("statistics", "permutations"), 10**12), (("statistics", "hold"), ["dose"]),
    (("controls", "known"), ["delta_y"]), (("controls", "network"), "cells.h5ad"), (("controls", "redrawn"), -1),
    (("seed",), -1), (("seed",), 2**70), (("run",), "Run 1"), (("run",), "../up"), (("run",), "a/b"), (("shards",), 0),
    (("shards",), 10**9), (("memory_gb",), 0), (("style",), "none.mplstyle"), (("style",), "cells.h5ad"),
    (("pathvars",), {"results": "elsewhere"}), (("atlas",), {"models": ["c"]}), (("power",), {"power": 2}),
    (("atlas",), {"perturbations": ["g999"]}), (("levels",), {"gene": ["no_probe"]}),
]  # fmt: skip
"""Path of keys -> a value of the right type that names nothing, or cannot be."""
HARMLESS = (
    "programs.lists = {'p': ['TP53']}", "programs.patterns = {'p': '^ENSG'}", "panels.first.regulators = ['TP53']",
    "panels.first.targets = ['TP53', 'STAT1']",
)  # fmt: skip
"""Of these a note is enough."""


def of_names() -> Iterator[Fault]:
    """Values of the right type that name nothing that is there."""
    for path, value in NAMES:
        name = f"{'.'.join(path)} = {value!r}"
        expected = "noted" if name in HARMLESS else "refused"
        yield Fault(f"name/{name}", setting(*path, value=value), expected, (path[-1], path[0].rstrip("s"), str(value)))
    for section in ("cells", "models", "programs", "probes", "run"):
        yield Fault(f"section/without {section}", without(section), mentions=(section,))
        for wrong in (None, [], "all", 3, {}):
            if section == "run" and wrong == "all":
                continue
            name = f"section/{section} = {wrong!r}"
            yield Fault(name, setting(section, value=wrong), mentions=(section, section.rstrip("s")))
    for key in ("path", "context", "context_column", "perturbation_column", "control"):
        yield Fault(f"section/cells without {key}", without("cells", "line_a", key), mentions=(key,))
    for section, name in (("cells", "line_a"), ("models", "a"), ("panels", "first"), ("sae", "joint")):
        for wrong in (None, [], "all", 3, {}):
            yield Fault(
                f"section/{section}.{name} = {wrong!r}", setting(section, name, value=wrong), mentions=(section,)
            )
        yield Fault(
            f"section/{section}.{name} unknown key", setting(section, name, "colour", value=1), mentions=("colour",)
        )


TEXTS = {
    "a section twice": lambda text: text + "\nmodels:\n  a: {path: models/b, context: line_b, regime: fewshot}\n",
    "a key twice": lambda text: text.replace("seed: 0", "seed: 0\nseed: 5"),
    "a key of a model twice": lambda text: text.replace("  a:\n", "  a:\n    path: models/b\n", 1),
    "a model twice": lambda text: text.replace("  b:\n    kind", "  a:\n    kind", 1),
    "a tab": lambda text: text.replace("  line_a:", "\tline_a:", 1),
    "a colon without a space": lambda text: text.replace("seed: 0", "seed:0"),
    "an open bracket": lambda text: text + "\npairs: [[a, b]\n",
    "an open quote": lambda text: text.replace("run: faults", 'run: "faults'),
    "an unknown anchor": lambda text: text + "\natlas: *nothing\n",
    "an object of Python": lambda text: text + '\natlas: !!python/object/apply:os.system ["true"]\n',
    "an unknown tag": lambda text: text + "\natlas: !mine {}\n",
    "two documents": lambda text: text + "\n---\nrun: other\n",
    "a list": lambda text: "- run: faults\n",
    "a word": lambda text: "run\n",
    "nothing": lambda text: "",
    "comments alone": lambda text: "# run: faults\n",
    "an indent too much": lambda text: text.replace("seed: 0", "   seed: 0"),
    "an octal seed": lambda text: text.replace("seed: 0", "seed: 0o9"),
    "a seed with a comma": lambda text: text.replace("seed: 0", "seed: 1,5"),
    "a seed that is a date": lambda text: text.replace("seed: 0", "seed: 2024-01-01"),
    "a run that is a date": lambda text: text.replace("run: faults", "run: 2024-01-01"),
    "a run that is no": lambda text: text.replace("run: faults", "run: no"),
    "a size in hours and minutes": lambda text: text.replace("set_size: 8", "set_size: 1:20", 1),
    "a control that is yes": lambda text: text.replace("control: non-targeting", "control: yes", 1),
    "a variable that is not set": lambda text: text.replace("cells.h5ad", "${PERTPROBE_UNSET}/cells.h5ad", 1),
    "a mapping as a key": lambda text: text + "\n{a: b}: 3\n",
    "a list as a key": lambda text: text + "\n? [a, b]\n: 3\n",
    "a list as the key of a model": lambda text: text.replace("  a:\n", "  ? [a, a]\n  :\n", 1),
    "a model called a.b": lambda text: text.replace("  a:\n", "  a.b:\n", 1),
    "a model called 1": lambda text: text.replace("  a:\n", "  1:\n", 1),
    "a model called null": lambda text: text.replace("  a:\n", "  null:\n", 1),
}  # fmt: skip
"""What is done to the text of the config."""
BYTES = {
    "Latin-1": "# Müller\nrun: faults\n".encode("latin-1"),
    "UTF-16 without a mark": "run: faults\n".encode("utf-16-le"),
    "a NUL": b"run: fau\x00lts\n",
    "a control character": b"run: faults\x07\n",
    "an alias bomb": b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + b"".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 10)}]\n".encode() for i in range(9))
    + b"run: *j\n",
    "a deep nest": b"run: " + b"[" * 20000 + b"]" * 20000,
    "a deep mapping": b"run: " + b"{a: " * 5000 + b"1" + b"}" * 5000,
    "an anchor that holds itself": b"run: faults\nmodels: &m {a: *m}\n",
    "an LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "JSON cut short": b'{"run": "faults", "cells": {',
    "random bytes": bytes(range(256)) * 4,
}
"""Configs that are other bytes altogether."""


def of_texts() -> Iterator[Fault]:
    """YAML that is none, or that says what nobody reads in it."""
    for name, change in TEXTS.items():
        yield Fault(f"yaml/{name}", edited("run.yaml", change))
    for name, data in BYTES.items():
        yield Fault(f"yaml/{name}", content("run.yaml", data), mentions=("run.yaml", "run", "models"))


def faults() -> Iterator[Fault]:
    """All of them."""
    yield from of_leaves()
    yield from of_thresholds()
    yield from of_names()
    yield from of_texts()
