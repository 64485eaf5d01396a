"""Wrong cells: another scale, columns that are other genes, labels that are odd, values that are none."""

from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import healthy
import numpy as np
import pandas as pd
from fault import Fault, Make, both, setting

Cells = anndata.AnnData


def cells(change: Callable[[Cells], Cells | None]) -> Make:
    """Return what changes the h5ad, by anndata."""

    def make(folder: Path) -> None:
        path = folder / "cells.h5ad"
        found = anndata.read_h5ad(path)
        after = change(found)
        found = found if after is None else after  # one without cells counts as nothing
        path.unlink()
        found.write_h5ad(path)

    return make


COUNTS = "layers/counts"
SCALES = {
    "log2": lambda x: x / np.log(2),
    "log10": lambda x: x / np.log(10),
    "logged twice": np.log1p,
    "logged three times": lambda x: np.log1p(np.log1p(x)),
    "not logged": np.expm1,
    "half": lambda x: x / 2,
    "a third": lambda x: x / 3,
    "half as much again": lambda x: 1.5 * x,
    "three times": lambda x: 3 * x,
    "ten times": lambda x: 10 * x,
    "shares of a total": lambda x: np.expm1(x) / np.expm1(x).sum(axis=1, keepdims=True),
    "logged shares": lambda x: np.log1p(np.expm1(x) / np.expm1(x).sum(axis=1, keepdims=True)),
    "square roots": np.sqrt,
    "scaled to unit variance": lambda x: x / np.maximum(x.std(axis=0, keepdims=True), 1e-6),
    "z scores": lambda x: (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6),
    "ranks": lambda x: np.argsort(np.argsort(x, axis=1), axis=1) / x.shape[1],
    "rounded": np.round,
    "presence": lambda x: (x > 0).astype(np.float32),
    "negative": np.negative,
    "plus one": lambda x: x + 1,
}
"""What is done to log-normalised values."""
WHERE = {
    "all cells": lambda obs: np.ones(len(obs), bool),
    "one line": lambda obs: (obs.cell_line == "line_a").to_numpy(),
    "one batch": lambda obs: (obs.batch == obs.batch.iloc[0]).to_numpy(),
    "perturbed cells": lambda obs: (obs.gene != healthy.CONTROL).to_numpy(),
    "control cells": lambda obs: (obs.gene == healthy.CONTROL).to_numpy(),
}
"""To which cells."""


def scaled(change: Callable[[np.ndarray], np.ndarray], where: Callable[[pd.DataFrame], np.ndarray]) -> Make:
    """Return what puts some cells on another scale, in X and in the space of the models."""

    def rescale(found: Cells) -> None:
        rows = where(found.obs)
        for values in (found.X, found.obsm["X_hvg"]):
            values[rows] = change(np.asarray(values[rows], dtype=np.float64)).astype(np.float32)

    return cells(_dense_first(rescale))


def _dense_first(change: Callable[[Cells], None]) -> Callable[[Cells], None]:
    def make(found: Cells) -> None:
        found.X = found.X.toarray() if hasattr(found.X, "toarray") else np.asarray(found.X)
        found.obsm["X_hvg"] = np.array(found.obsm["X_hvg"])
        change(found)

    return make


def of_scales() -> Iterator[Fault]:
    """Every scale for every part of the cells."""
    for (name, change), (place, where) in ((a, b) for a in SCALES.items() for b in WHERE.items()):
        if name in ("half as much again", "plus one", "ranks", "rounded", "presence") and place != "all cells":
            continue
        words = ("scale", "log", "values", "counts", "mean", "space", "cells")
        yield Fault(f"scale/{name}, {place}", scaled(change, where), "noted", words)


def _renamed(change: Callable[[list[str]], list[str]]) -> Make:
    def rename(found: Cells) -> None:
        found.var_names = change(list(found.var_names))

    return cells(rename)


def _permuted(share: float, seed: int = 0) -> Callable[[list[str]], list[str]]:
    def permute(names: list[str]) -> list[str]:
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(names), max(2, round(share * len(names))), replace=False)
        moved = np.array(names, dtype=object)
        moved[chosen] = moved[np.roll(chosen, 1)]
        return list(moved)

    return permute


GENES = {
    "two exchanged": _permuted(0.01),
    "a tenth permuted": _permuted(0.1),
    "half permuted": _permuted(0.5),
    "all permuted": _permuted(1.0),
    "backwards": lambda names: names[::-1],
    "shifted by one": lambda names: names[-1:] + names[:-1],
    "in capitals": lambda names: [name.upper() for name in names],
    "as Ensembl": lambda names: [f"ENSG{i:011d}" for i, _ in enumerate(names)],
    "with versions": lambda names: [f"{name}.1" for name in names],
    "with spaces": lambda names: [f" {name}" for name in names],
    "with an underscore": lambda names: [f"{name}_1" for name in names],
    "as positions": lambda names: [str(i) for i, _ in enumerate(names)],
    "with a doubled name": lambda names: [names[1], *names[1:]],
    "with an empty name": lambda names: ["", *names[1:]],
    "with an unknown name": lambda names: ["unknown", *names[1:]],
    "as bytes": lambda names: [f"b'{name}'" for name in names],
    "with a mouse's capitals": lambda names: [name.capitalize() for name in names],
}
"""What is done to the names of the genes, the values left where they are."""


def of_genes() -> Iterator[Fault]:
    """Columns under names that are not theirs."""
    for name, change in GENES.items():
        yield Fault(f"genes/{name}", _renamed(change), mentions=("gene", "column", "name", "space"))

    def columns(found: Cells) -> None:
        found.obsm["X_hvg"] = np.array(found.obsm["X_hvg"])[:, ::-1]

    def short(found: Cells) -> None:
        found.obsm["X_hvg"] = np.array(found.obsm["X_hvg"])[:, :-1]

    def mask(found: Cells) -> None:
        found.var["highly_variable"] = ~found.var["highly_variable"]

    def fewer(found: Cells) -> Cells:
        return found[:, :40].copy()

    for name, change in (("columns of the space backwards", columns), ("a column less", short)):
        yield Fault(f"genes/{name}", cells(change), mentions=("gene", "column", "space"))
    yield Fault("genes/the mask turned", cells(mask), mentions=("gene", "column", "space"))
    yield Fault("genes/forty of them", cells(fewer), mentions=("gene", "column", "space"))


def _labels(column: str, change: Callable[[pd.Series], object]) -> Make:
    def relabel(found: Cells) -> None:
        found.obs[column] = change(found.obs[column].astype(str).astype(object))

    return cells(relabel)


def _some(share: float, value: object) -> Callable[[pd.Series], pd.Series]:
    def some(values: pd.Series) -> pd.Series:
        chosen = np.random.default_rng(1).random(len(values)) < share
        return values.where(~chosen, value)

    return some


CONTROL = healthy.CONTROL
LABELS = {
    "a fifth without": ("gene", _some(0.2, None)),
    "half empty": ("gene", _some(0.5, "")),
    "all empty": ("gene", lambda values: ""),
    "nan as text": ("gene", _some(0.2, "nan")),
    "with spaces behind": ("gene", lambda values: values + " "),
    "with spaces behind some": ("gene", lambda v: v.where(np.arange(len(v)) % 2 == 0, v + " ")),
    "in capitals": ("gene", lambda values: values.str.upper()),
    "numbers": ("gene", lambda values: values.astype("category").cat.codes),
    "one alone": ("gene", lambda values: "g001"),
    "controls alone": ("gene", lambda values: CONTROL),
    "no controls": ("gene", lambda values: values.where(values != CONTROL, "g001")),
    "controls of three spellings": (
        "gene",
        lambda v: v.where(v != CONTROL, pd.Series([CONTROL, "NT", "control"] * len(v), dtype=object)[: len(v)].values),
    ),
    "as knock-downs that nobody knows": ("gene", lambda v: v.where(v == CONTROL, "ENSG" + v.str[1:])),
    "with +ctrl": ("gene", lambda v: v.where(v == CONTROL, v + "+ctrl")),
    "with doses": ("gene", lambda v: v.where(v == CONTROL, v + np.where(np.arange(len(v)) % 2, "_1uM", "_10uM"))),
    "with guides": ("gene", lambda v: v.where(v == CONTROL, v + np.where(np.arange(len(v)) % 2, "_g1", "_g2"))),
    "as pairs": ("gene", lambda v: v.where(v == CONTROL, v + "+g003")),
    "as Tahoe": ("gene", lambda v: v.where(v == CONTROL, "[('" + v + "', 5.0, 'uM')]")),
    "a line without": ("cell_line", _some(0.2, None)),
    "one line": ("cell_line", lambda values: "line_a"),
    "lines exchanged": ("cell_line", lambda v: v.map({"line_a": "line_b", "line_b": "line_a"})),
    "lines in capitals": ("cell_line", lambda values: values.str.upper()),
    "lines as numbers": ("cell_line", lambda values: values.astype("category").cat.codes),
    "lines with spaces": ("cell_line", lambda values: values + " "),
    "batches without": ("batch", _some(0.2, None)),
    "batches unknown": ("batch", lambda values: "b" + values),
    "batches as numbers": ("batch", lambda values: values.astype("category").cat.codes.astype(float)),
    "one batch": ("batch", lambda values: "nobody"),
    "batches in capitals": ("batch", lambda values: values.str.upper()),
    "batches of the other line": ("batch", lambda v: v.str.replace("line_a", "x").str.replace("line_b", "line_a")),
    "batches as lists": ("batch", lambda values: [str([each]) for each in values]),
}
"""Column of obs and what is done to it."""
COLUMNS = {
    "perturbations are lines": {"perturbation_column": "cell_line"},
    "perturbations are batches": {"perturbation_column": "batch"},
    "lines are batches": {"context_column": "batch"},
    "lines are perturbations": {"context_column": "gene"},
    "batches are perturbations": {"batch_column": "gene"},
    "batches are lines": {"batch_column": "cell_line"},
    "the control is a perturbation": {"control": "g001"},
    "the control in capitals": {"control": "Non-Targeting"},
    "the control of another data set": {"control": "DMSO_TF"},
    "columns of no name": {"perturbation_column": "perturbation"},
    "an index as a column": {"perturbation_column": "_index"},
    "the other line": {"context": "line_b"},
    "lines and perturbations exchanged": {"context_column": "gene", "perturbation_column": "cell_line"},
    "X for the space": {"space": "X", "genes": None, "normalisation": "counts"},
    "no normalisation": {"normalisation": "counts"},
}
"""Keys of the cells' entry that name another column or label."""
ENOUGH = ("a fifth without", "with doses", "with guides", "as pairs", "with +ctrl", "as Tahoe",
    "controls of three spellings",
          "a line without", "as knock-downs that nobody knows", "nan as text", "with spaces behind some",
          "half empty", "in capitals", "lines exchanged")  # fmt: skip
"""Labels of which a note is enough: cells without one are left out, and some labels may be no trained perturbation."""


def of_labels() -> Iterator[Fault]:
    """Columns of obs that are absent, odd or exchanged."""
    for name, (column, change) in LABELS.items():
        words = ("obs", "cells", "label", "perturbation", "batch", "context", "control")
        expected = "noted" if name in ENOUGH else "refused"
        yield Fault(f"labels/{name}", _labels(column, change), expected, words)
    for name, keys in COLUMNS.items():
        makes = [setting("cells", "line_a", key, value=value) for key, value in keys.items()]
        expected = "noted" if name == "the other line" else "refused"  # which may be meant
        yield Fault(f"labels/{name}", both(*makes), expected, (*keys, *map(str, keys.values()), "line_a"))
    for column in ("gene", "cell_line", "batch"):

        def drop(found: Cells, column: str = column) -> None:
            del found.obs[column]

        yield Fault(f"labels/no column {column}", cells(drop), mentions=(column,))


def _values(change: Callable[[np.ndarray, pd.DataFrame], None]) -> Make:
    def put(found: Cells) -> None:
        for values in (found.X, found.obsm["X_hvg"]):
            change(values, found.obs)

    return cells(_dense_first(put))


def _set(rows: slice | list, columns: slice | list, value: float, perturbed: bool = False) -> Make:
    def put(values: np.ndarray, obs: pd.DataFrame) -> None:
        chosen = np.flatnonzero((obs.gene != CONTROL) == perturbed)[rows]
        values[np.ix_(np.atleast_1d(chosen), np.arange(values.shape[1])[columns])] = value

    return _values(put)


ONE, ALL = slice(3, 4), slice(None)
NUMBERS = {
    "NaN in a control cell": _set(ONE, ONE, np.nan),
    "NaN in a perturbed cell": _set(ONE, ONE, np.nan, True),
    "NaN in the last perturbed cell": _set(slice(-1, None), ONE, np.nan, True),
    "infinity in a perturbed cell": _set(ONE, ONE, np.inf, True),
    "minus infinity in a perturbed cell": _set(ONE, ONE, -np.inf, True),
    "NaN in a gene": _set(ALL, ONE, np.nan, True),
    "a huge value in a perturbed cell": _set(ONE, ONE, 1e30, True),
    "a negative value in a perturbed cell": _set(ONE, ONE, -5, True),
    "empty perturbed cells": _set(slice(0, 40), ALL, 0, True),
    "all perturbed cells empty": _set(ALL, ALL, 0, True),
    "empty control cells": _set(slice(0, 40), ALL, 0),
    "all control cells empty": _set(ALL, ALL, 0),
    "all perturbed cells alike": _set(ALL, ALL, 1.5, True),
    "all control cells alike": _set(ALL, ALL, 1.5),
    "a gene that is constant": both(_set(ALL, ONE, 1), _set(ALL, ONE, 1, True)),
    "all values one": both(_set(ALL, ALL, 1.0), _set(ALL, ALL, 1.0, True)),
}
FEW = ("empty perturbed cells", "empty control cells", "a gene that is constant", "all control cells alike",
       "all perturbed cells alike", "all perturbed cells empty")  # fmt: skip
"""Of these a note is enough."""


def _doubled(found: Cells) -> None:
    found.obs_names = [f"cell{i // 2}" for i in range(found.n_obs)]


def _none(found: Cells) -> Cells:
    return found[:0].copy()


def _one(found: Cells) -> Cells:
    return found[:1].copy()


def _copies(found: Cells) -> Cells:
    return anndata.concat([found, found], index_unique="-", merge="same")


def _text(found: Cells) -> None:
    values = np.array(found.obsm["X_hvg"])
    names = [f"g{i:03d}" for i in range(values.shape[1])]
    found.obsm["X_hvg"] = pd.DataFrame(values.astype(str), index=found.obs_names, columns=names)


def _bool(found: Cells) -> None:
    found.obsm["X_hvg"] = np.array(found.obsm["X_hvg"]) > 0


def _complex(found: Cells) -> None:
    found.obsm["X_hvg"] = np.array(found.obsm["X_hvg"]).astype(np.complex64)


def _half(found: Cells) -> None:
    found.obsm["X_hvg"] = np.full_like(np.array(found.obsm["X_hvg"]), 7e4).astype(np.float16)


WHOLE = {"doubled names": _doubled, "no cells": _none, "one cell": _one, "every cell twice": _copies,
         "text for numbers": _text, "truth values": _bool, "complex numbers": _complex,
    "half floats that overflow": _half}  # fmt: skip


def of_values() -> Iterator[Fault]:
    """Values that are not finite, empty, alike or of no number's type."""
    words = ("cell", "gene", "value", "space", "obs")
    for name, make in NUMBERS.items():
        yield Fault(f"values/{name}", make, "noted" if name in FEW else "refused", words)
    for name, change in WHOLE.items():
        expected = "noted" if name == "every cell twice" else "refused"
        yield Fault(f"values/{name}", cells(change), expected, words)


def faults() -> Iterator[Fault]:
    """All of them."""
    yield from of_scales()
    yield from of_genes()
    yield from of_labels()
    yield from of_values()
