"""h5ad files that point outside themselves, lie about their shapes, or hold other things where arrays should be."""

from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import h5py
import numpy as np
from fault import Fault, Make
from scipy import sparse

SPACE = "obsm/X_hvg"
Change = Callable[[h5py.File], None]


def edit(change: Change) -> Make:
    """Return what changes the h5ad in place, by h5py."""

    def make(folder: Path) -> None:
        with h5py.File(folder / "cells.h5ad", "a") as file:
            change(file)

    return make


def edit_sparse(change: Change, form: Callable = sparse.csr_matrix) -> Make:
    """Return the same, after the space of the models was made sparse."""

    def make(folder: Path) -> None:
        path = folder / "cells.h5ad"
        found = anndata.read_h5ad(path)
        found.obsm["X_hvg"] = form(np.array(found.obsm["X_hvg"]))
        path.unlink()
        found.write_h5ad(path)
        edit(change)(folder)

    return make


def replaced(name: str, value: object, **options: object) -> Change:
    """Return what puts another array, or a folder for None, in the place of something."""

    def change(file: h5py.File) -> None:
        kept = dict(file[name].attrs)
        del file[name]
        made = file.create_group(name) if value is None else file.create_dataset(name, data=value, **options)
        made.attrs.update({key: each for key, each in kept.items() if value is not None or key != "shape"})

    return change


def removed(name: str) -> Change:
    """Return what takes something out."""

    def change(file: h5py.File) -> None:
        del file[name]

    return change


def linked(name: str, link: object) -> Change:
    """Return what puts a link in the place of something."""

    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = link

    return change


def attribute(name: str, key: str, value: object) -> Change:
    """Return what sets an attribute, or removes it for None."""

    def change(file: h5py.File) -> None:
        if value is None:
            del file[name].attrs[key]
        else:
            file[name].attrs[key] = value

    return change


def at(name: str, index: int, value: object) -> Change:
    """Return what changes one number of an array."""

    def change(file: h5py.File) -> None:
        values = file[name][:]
        values[index] = value
        file[name][:] = values

    return change


def _virtual(file: h5py.File) -> None:
    shape = file[SPACE].shape
    layout = h5py.VirtualLayout(shape=shape, dtype="f4")
    layout[:] = h5py.VirtualSource("vanished.h5", "data", shape=shape)
    kept = dict(file[SPACE].attrs)
    del file[SPACE]
    file.create_virtual_dataset(SPACE, layout, fillvalue=1.0).attrs.update(kept)


def _raw(file: h5py.File) -> None:
    shape, kept = file[SPACE].shape, dict(file[SPACE].attrs)
    del file[SPACE]
    external = [("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(SPACE, shape=shape, dtype="f4", external=external).attrs.update(kept)


def _unwritten(file: h5py.File) -> None:
    shape, kept = file[SPACE].shape, dict(file[SPACE].attrs)
    del file[SPACE]
    file.create_dataset(SPACE, shape=shape, dtype="f4").attrs.update(kept)


def _vast(file: h5py.File) -> None:
    kept = dict(file[SPACE].attrs)
    rows, columns = file[SPACE].shape
    del file[SPACE]
    file.create_dataset(SPACE, shape=(rows, 10**8), dtype="f4", chunks=(1, columns)).attrs.update(kept)


def _vast_obs(file: h5py.File) -> None:
    kept = dict(file["obs/_index"].attrs) if "_index" in file["obs"] else {}
    name = file["obs"].attrs["_index"]
    del file[f"obs/{name}"]
    file.create_dataset(f"obs/{name}", shape=(10**9,), dtype="S8", chunks=(1024,)).attrs.update(kept)


GENE = "obs/gene"
DENSE: dict[str, Change] = {
    "a soft link to nothing": linked(SPACE, h5py.SoftLink("/nowhere")),
    "a soft link to itself": linked(SPACE, h5py.SoftLink(f"/{SPACE}")),
    "an external link to nothing": linked(SPACE, h5py.ExternalLink("vanished.h5", "/data")),
    "an external link to itself": linked(SPACE, h5py.ExternalLink("cells.h5ad", f"/{SPACE}")),
    "an external link to a system file": linked(SPACE, h5py.ExternalLink("/etc/hostname", "/")),
    "labels by an external link": linked(GENE, h5py.ExternalLink("vanished.h5", "/gene")),
    "X by an external link": linked("X", h5py.ExternalLink("vanished.h5", "/X")),
    "a virtual data set whose source is gone": _virtual,
    "raw storage in another file": _raw,
    "a space that was never written": _unwritten,
    "a space of a hundred million columns": _vast,
    "a billion names of cells": _vast_obs,
    "no obs": removed("obs"),
    "no var": removed("var"),
    "no X": removed("X"),
    "no obsm": removed("obsm"),
    "obs an array": replaced("obs", np.zeros(3)),
    "var an array": replaced("var", np.zeros(3)),
    "obsm an array": replaced("obsm", np.zeros(3)),
    "X a folder": replaced("X", None),
    "the space a folder": replaced(SPACE, None),
    "the space a number": replaced(SPACE, 3.0),
    "the space a row": replaced(SPACE, np.zeros(840, np.float32)),
    "the space of three dimensions": replaced(SPACE, np.zeros((840, 4, 2), np.float32)),
    "the space of no rows": replaced(SPACE, np.zeros((0, 44), np.float32)),
    "the space of fewer rows": replaced(SPACE, np.ones((100, 44), np.float32)),
    "the space of no columns": replaced(SPACE, np.zeros((840, 0), np.float32)),
    "the space of text": replaced(SPACE, np.full((840, 44), b"1.0")),
    "the space of records": replaced(SPACE, np.zeros((840, 44), [("a", "f4")])),
    "the space of references": replaced(SPACE, np.full((840, 44), None), dtype=h5py.ref_dtype),
    "labels a folder": replaced(GENE, None),
    "labels a number": replaced(GENE, 3),
    "labels of two dimensions": replaced(GENE, np.zeros((840, 2))),
    "labels too few": replaced(GENE, np.array([b"g001"] * 5)),
    "codes past the categories": at(f"{GENE}/codes", 3, 120),
    "codes below minus one": at(f"{GENE}/codes", 3, -9),
    "codes of floats": replaced(f"{GENE}/codes", np.full(840, 0.5)),
    "codes too few": replaced(f"{GENE}/codes", np.zeros(5, np.int8)),
    "no codes": removed(f"{GENE}/codes"),
    "no categories": removed(f"{GENE}/categories"),
    "categories of numbers": replaced(f"{GENE}/categories", np.arange(19.0)),
    "categories doubled": replaced(f"{GENE}/categories", np.array([b"g001"] * 19)),
    "categories that are no UTF-8": replaced(f"{GENE}/categories", np.array([b"\xff\xfe"] * 19)),
    "an unknown encoding of labels": attribute(GENE, "encoding-type", "ragged"),
    "an unknown version of labels": attribute(GENE, "encoding-version", "9.9.9"),
    "no encoding of obs": attribute("obs", "encoding-type", None),
    "no index of obs": attribute("obs", "_index", None),
    "an index of obs that is not there": attribute("obs", "_index", "cell_id"),
    "an index of obs that is a number": attribute("obs", "_index", 3),
    "columns of obs that are not there": attribute("obs", "column-order", np.array(["gene", "none"], dtype=object)),
    "no order of columns": attribute("obs", "column-order", None),
    "an order of columns of numbers": attribute("obs", "column-order", np.arange(3)),
    "no index of var": attribute("var", "_index", None),
    "a mask of numbers": replaced("var/highly_variable", np.arange(66.0)),
    "a mask too short": replaced("var/highly_variable", np.ones(5, bool)),
    "an unknown encoding of the space": attribute(SPACE, "encoding-type", "coo_matrix"),
}
"""What is done to an h5ad whose space is dense."""
SPARSE: dict[str, Change] = {
    "an index past the genes": at(f"{SPACE}/indices", 5, 10**6),
    "an index of two billion": at(f"{SPACE}/indices", 5, 2**31 - 1),
    "an index below nothing": at(f"{SPACE}/indices", 5, -7),
    "a pointer past the data": at(f"{SPACE}/indptr", 3, 10**8),
    "the last pointer past the data": at(f"{SPACE}/indptr", -1, 10**8),
    "a pointer below nothing": at(f"{SPACE}/indptr", 3, -100),
    "pointers that fall": at(f"{SPACE}/indptr", 3, 100_000),
    "a first pointer that is not nothing": at(f"{SPACE}/indptr", 0, 7),
    "pointers too few": replaced(f"{SPACE}/indptr", np.zeros(5, np.int64)),
    "pointers of floats": replaced(f"{SPACE}/indptr", np.linspace(0, 9, 841)),
    "pointers of nothing": replaced(f"{SPACE}/indptr", np.zeros(841, np.int64)),
    "data too short": replaced(f"{SPACE}/data", np.ones(5, np.float32)),
    "data of text": replaced(f"{SPACE}/data", np.full(20_000, b"a")),
    "indices too short": replaced(f"{SPACE}/indices", np.zeros(5, np.int32)),
    "indices of floats": replaced(f"{SPACE}/indices", np.full(20_000, 0.5)),
    "no data": removed(f"{SPACE}/data"),
    "no indices": removed(f"{SPACE}/indices"),
    "no pointers": removed(f"{SPACE}/indptr"),
    "no shape": attribute(SPACE, "shape", None),
    "a shape of one": attribute(SPACE, "shape", np.array([840])),
    "a shape of minus one": attribute(SPACE, "shape", np.array([840, -1])),
    "a shape of too few columns": attribute(SPACE, "shape", np.array([840, 3])),
    "a shape of a billion": attribute(SPACE, "shape", np.array([840, 10**9])),
    "a shape of more rows": attribute(SPACE, "shape", np.array([10**7, 44])),
    "a shape of words": attribute(SPACE, "shape", "840 x 44"),
    "a folder for data": replaced(f"{SPACE}/data", None),
    "data by an external link": linked(f"{SPACE}/data", h5py.ExternalLink("vanished.h5", "/data")),
}
"""What is done to one whose space is CSR, and to one whose space is CSC."""


def faults() -> Iterator[Fault]:
    """All of them."""
    words = ("cells",)
    # References are empty and an attribute that nobody reads may stay: to read as before is right too.
    for name, change in DENSE.items():
        either = name.startswith(
            ("no X", "no encoding", "an unknown version", "X by", "X a", "an order", "an unknown encoding of the space")
        )
        yield Fault(f"hdf5/{name}", edit(change), "either" if either else "refused", words)
    for form, make in (("CSR", sparse.csr_matrix), ("CSC", sparse.csc_matrix)):
        for name, change in SPARSE.items():
            # By columns there are 45 pointers.
            fits = not (form == "CSC" and name in ("pointers of floats", "pointers of nothing"))
            if fits:
                yield Fault(f"hdf5/{form}: {name}", edit_sparse(change, make), "refused", words)
