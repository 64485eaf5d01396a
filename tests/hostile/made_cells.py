"""Files of cells that are damaged or refer to others: name -> what is done to a good one, and words of the refusal."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

CELLS, GENES = 40, 12


def write_good(path, compression=None):
    """Write 40 cells x 12 genes: X as CSR, a dense layer and one by columns, an obsm, all kinds of columns."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(2, (CELLS, GENES)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "line": pd.Categorical(["a", "b"] * (CELLS // 2)),
            "gene": ["ctrl", "ctrl", "G1", "G2"] * (CELLS // 4),
            "flag": pd.array([True, None] * (CELLS // 2), dtype="boolean"),
            "depth": counts.sum(axis=1),
        },
        index=[f"c{i}" for i in range(CELLS)],
    )
    var = pd.DataFrame({"symbol": [f"s{i}" for i in range(GENES)]}, index=[f"g{i}" for i in range(GENES)])
    layers = {"dense": counts, "columns": sparse.csc_matrix(counts)}
    made = ad.AnnData(sparse.csr_matrix(np.log1p(counts)), obs=obs, var=var, layers=layers)
    made.obsm["X_small"] = counts[:, :3]
    made.uns["hvg_names"] = np.array(["g1", "g2", "g3"], dtype=object)
    made.write_h5ad(path, compression=compression)
    return path


def put(file, name, values, **attrs):
    """Put other values in the place of a dataset, its attributes kept."""
    old = dict(file[name].attrs)
    del file[name]
    made = file.create_dataset(name, data=values)
    for key, value in {**old, **attrs}.items():
        made.attrs[key] = value


def changed(name, change):
    """Return a damage that puts changed values in the place of a dataset."""

    def damage(file):
        values = file[name][:]
        put(file, name, change(values))

    return damage


def at(place, value):
    """Return a change of one value."""

    def change(values):
        values = values.copy()
        values[place] = value
        return values

    return change


def linked(name, link):
    def damage(file):
        if name in file:
            del file[name]
        file[name] = link

    return damage


def external(file):
    del file["layers/dense"]
    file.create_dataset("layers/dense", (CELLS, GENES), "f4", external=[("elsewhere.raw", 0, h5py.h5f.UNLIMITED)])


def virtual(file):
    del file["layers/dense"]
    layout = h5py.VirtualLayout((CELLS, GENES), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (CELLS, GENES))
    file.create_virtual_dataset("layers/dense", layout)


def unwritten(file, name="layers/dense", shape=(CELLS, GENES), **how):
    del file[name]
    file.create_dataset(name, shape, "f4", **how)


def half_written(file):
    unwritten(file, chunks=(10, GENES), compression="gzip")
    file["layers/dense"][:10] = 1


def attribute(name, key, value):
    def damage(file):
        if value is None:
            del file[name].attrs[key]
        else:
            file[name].attrs[key] = value

    return damage


def replaced(name, values):
    return lambda file: put(file, name, values)


def nested(file):
    group = file["uns"]
    for i in range(100):
        group = group.create_group(f"g{i}")


def huge_rows(file):
    for name in ("obs/_index", "obs/gene"):
        del file[name]
        file.create_dataset(name, (10**12,), "S1", chunks=(10**6,))


def bad_text(file):
    values = file["obs/_index"][:]
    values[3] = b"\xff\xfe\xfa"
    put(file, "obs/_index", values)


def references(file):
    del file["obs/depth"]
    made = file.create_dataset("obs/depth", (CELLS,), h5py.ref_dtype)
    made[:] = [file["X"].ref] * CELLS


CASES = {
    "a link to another file": (linked("layers/dense", h5py.ExternalLink("elsewhere.h5", "x")), "in another file"),
    "a link to another file in uns": (linked("uns/more", h5py.ExternalLink("/etc/passwd", "x")), "in another file"),
    "X in another file": (linked("X", h5py.ExternalLink("elsewhere.h5", "/X")), "in another file"),
    "obs in another file": (linked("obs", h5py.ExternalLink("elsewhere.h5", "/obs")), "in another file"),
    "raw storage outside": (external, "raw storage outside"),
    "a virtual dataset": (virtual, "a virtual dataset"),
    "a column in no place": (linked("obs/gene", h5py.SoftLink("/obs/nowhere")), "cannot be read"),
    "a column past the genes": (changed("X/indices", at(5, GENES)), "holds the column 12, of 12"),
    "a column far past the genes": (changed("X/indices", at(5, 2**31 - 1)), "holds the column 2147483647"),
    "a negative column": (changed("X/indices", at(5, -1)), "holds the column -1"),
    "a row past the cells": (changed("layers/columns/indices", at(0, CELLS)), "holds the row 40, of 40"),
    "rows that end before they begin": (changed("X/indptr", at(3, 10**6)), "indptr does not rise"),
    "negative pointers": (changed("X/indptr", at(3, -5)), "indptr does not rise"),
    "pointers that begin late": (changed("X/indptr", at(0, 2)), "indptr does not rise from 0"),
    "pointers that end early": (changed("X/indptr", at(CELLS, 3)), "indptr does not rise from 0"),
    "too few pointers": (changed("X/indptr", lambda v: v[:-1]), "its parts have"),
    "too many pointers": (changed("X/indptr", lambda v: np.append(v, v[-1])), "its parts have"),
    "too few values": (changed("X/data", lambda v: v[:-3]), "its parts have"),
    "too few places": (changed("X/indices", lambda v: v[:-3]), "its parts have"),
    "places in fractions": (changed("X/indices", lambda v: v.astype("f4")), "of the types"),
    "values of text": (changed("X/data", lambda v: v.astype("S4")), "of the types"),
    "places in a square": (changed("X/indices", lambda v: np.stack([v, v])), "without a shape"),
    "no pointers": (lambda file: file.__delitem__("X/indptr"), "has no indptr"),
    "pointers that are a group": (
        lambda file: (file.__delitem__("X/indptr"), file.create_group("X/indptr")),
        "has no indptr",
    ),
    "a shape of three": (attribute("X", "shape", np.array([CELLS, GENES, 1])), "without a shape"),
    "a negative shape": (attribute("X", "shape", np.array([-1, GENES])), "without a shape"),
    "a shape in fractions": (attribute("X", "shape", np.array([40.0, 12.0])), "without a shape"),
    "a shape of text": (attribute("X", "shape", "40 x 12"), "without a shape"),
    "no shape": (attribute("X", "shape", None), "without a shape"),
    "a shape of 10^12 genes": (attribute("X", "shape", np.array([CELLS, 10**12])), "obs has 40 rows"),
    "a shape of 10^12 cells": (attribute("X", "shape", np.array([10**12, GENES])), "its parts have"),
    "fewer genes than var": (attribute("X", "shape", np.array([CELLS, GENES - 1])), "obs has 40 rows and var 12"),
    "a layer of fewer cells": (changed("layers/dense", lambda v: v[:-1]), "is 39 x 12, obs has 40"),
    "a layer of fewer genes": (changed("layers/dense", lambda v: v[:, 1:]), "is 40 x 11"),
    "an obsm of fewer cells": (changed("obsm/X_small", lambda v: v[:-1]), "is 39 x 3"),
    "a matrix of text": (changed("layers/dense", lambda v: v.astype("S4")), "numbers are expected"),
    "a matrix of pairs": (
        replaced("layers/dense", np.zeros((CELLS, GENES), [("a", "f4"), ("b", "f4")])),
        "numbers are expected",
    ),
    "a matrix of complex numbers": (changed("layers/dense", lambda v: v.astype("c8")), "numbers are expected"),
    "a code past the categories": (changed("obs/line/codes", at(2, 2)), "holds the code 2, of 2"),
    "a code below none": (changed("obs/line/codes", at(2, -2)), "holds the code -2"),
    "codes in fractions": (changed("obs/line/codes", lambda v: v.astype("f4")), "codes of the type"),
    "too few codes": (changed("obs/line/codes", lambda v: v[:-1]), "40 values are expected"),
    "no categories": (lambda file: file.__delitem__("obs/line/categories"), "has no categories"),
    "categories in a square": (replaced("obs/line/categories", np.zeros((2, 2))), "has the shape"),
    "a mask too short": (changed("obs/flag/mask", lambda v: v[:-1]), "40 values are expected"),
    "a mask of numbers": (changed("obs/flag/mask", lambda v: v.astype("i4")), "is of the type int32"),
    "a column too short": (changed("obs/depth", lambda v: v[:-1]), "40 values are expected"),
    "a column too long": (changed("obs/depth", lambda v: np.append(v, v)), "40 values are expected"),
    "a column in a square": (replaced("obs/depth", np.zeros((CELLS, 2))), "40 values are expected"),
    "a column of one number": (replaced("obs/depth", 3.0), "40 values are expected"),
    "a column of references": (references, "values of the type"),
    "a column that is not there": (lambda file: file.__delitem__("obs/depth"), "lacks its column depth"),
    "columns without order": (attribute("obs", "column-order", "depth"), "which columns it has"),
    "no index": (attribute("obs", "_index", None), "which column names its rows"),
    "an index of another name": (attribute("obs", "_index", "nowhere"), "which column names its rows"),
    "an index that is a number": (attribute("var", "_index", 3), "which column names its rows"),
    "an index that is a group": (attribute("obs", "_index", "line"), "is no column of names"),
    "an index too short": (changed("var/_index", lambda v: v[:-1]), "11 values are expected"),
    "letters that are none": (bad_text, "cannot be read"),
    "values never written": (lambda file: unwritten(file), "0 bytes stored of 1920"),
    "chunks never written": (half_written, "1 of its 4 chunks"),
    "chunks of gigabytes": (
        lambda file: unwritten(file, chunks=(CELLS, GENES), shape=(CELLS, GENES)),
        "0 of its 1 chunks",
    ),
    "a trillion cells": (huge_rows, "more than 200 times its size"),
    "groups in groups": (nested, "nested more than 64 deep"),
}


def bytes_of_damage(data):
    """Return name -> bytes of a file that is no h5ad at all, and words."""
    return {
        "cut": (data[: len(data) // 2], "cannot be read"),
        "cut at its end": (data[:-1], "cannot be read"),
        "only its head": (data[:600], "cannot be read"),
        "empty": (b"", "cannot be read"),
        "zeros": (bytes(5000), "cannot be read"),
        "a page": (b"<!DOCTYPE html><html></html>", "cannot be read"),
        "a pointer of LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    }
