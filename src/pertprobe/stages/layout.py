"""Neighbours, clusters and a map of a space, by scanpy: added to its AnnData where its rows allow them."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pertprobe.batching import one_thread
from pertprobe.errors import number_of
from pertprobe.shapes import Float

if TYPE_CHECKING:
    from anndata import AnnData

NEIGHBOURS, COMPONENTS = 15, 50
"""Nearest neighbours of each row, and principal components they are found in: scanpy's defaults."""
FEWEST_ROWS, FEWEST_FEATURES = 5, 3
"""Without which nothing is laid out: fewer lie in a plane anyhow."""
APART = "not placed"
"""Cluster of rows that have no place."""
NOTE = "layout_note"
"""Key of uns that says which rows have no place, and why; empty where all have one."""
RELATIVE = 1e-6
"""Length of a centred profile, beside the longest, below which it is rounding and has no direction."""


def lay_out(space: "AnnData", seed: int) -> None:
    """Add principal components, a graph of nearest neighbours, Leiden clusters and a UMAP: those of `sc.pp`, `sc.tl`.

    Neighbours are those of largest cosine between profiles centred over rows, found exactly among their first
    components. Rows with a number that is not finite, or whose profile is the mean of all, have no direction: they get
    nan and `APART`. With too few others all have. What was left out stands in `uns["layout_note"]`.

    Args:
        space: rows x features; gets obs `leiden`, obsm X_pca, X_umap, obsp, varm PCs and the uns that scanpy reads.
        seed: of everything that is drawn.
    """
    rows, note = _placeable(np.asarray(space.X))
    space.uns[NOTE] = note
    space.obs["leiden"] = APART
    if len(rows):
        part = space[rows].copy()
        with one_thread():  # compiled loops set the threads of the whole process, and leave them so
            _by_scanpy(part, seed)
        _spread(part, rows, space)
    space.obs["leiden"] = space.obs["leiden"].astype("category")


def _placeable(X: Float[np.ndarray, "row feature"]) -> tuple[np.ndarray, str]:
    """Return the rows that can be laid out, none where they are too few, and what is to be said."""
    finite = np.flatnonzero(np.isfinite(X).all(axis=1))
    length = np.linalg.norm(X[finite] - X[finite].mean(axis=0), axis=1) if len(finite) else np.zeros(0)
    rows = finite[length > RELATIVE * length.max(initial=0)]
    left = {"has a number that is not finite": len(X) - len(finite), "is the mean of all": len(finite) - len(rows)}
    note = "; ".join(f"of {number_of(n, 'row')} the profile {why}" for why, n in left.items() if n)
    wanting = []
    if len(rows) < FEWEST_ROWS:
        wanting.append(f"{number_of(len(rows), 'row')}, {FEWEST_ROWS} needed")
    if X.shape[1] < FEWEST_FEATURES:
        wanting.append(f"{number_of(X.shape[1], 'feature')}, {FEWEST_FEATURES} needed")
    if not wanting:
        return rows, note
    return rows[:0], "; ".join(filter(None, [f"no clusters and no map: {', '.join(wanting)}", note]))


def _by_scanpy(part: "AnnData", seed: int) -> None:
    """Add all to an AnnData whose every row has a direction."""
    with warnings.catch_warnings():  # those of small data and of one thread, of which nothing follows here
        warnings.simplefilter("ignore")
        import scanpy as sc

        components = min(part.n_obs - 1, part.n_vars)
        solver = "full" if components <= COMPONENTS else "arpack"  # which alone finds all there are, and few of many
        sc.pp.pca(part, n_comps=min(COMPONENTS, components), svd_solver=solver, random_state=seed)
        near = min(NEIGHBOURS, part.n_obs - 1)
        sc.pp.neighbors(
            part, n_neighbors=near, use_rep="X_pca", metric="cosine", transformer="sklearn", random_state=seed
        )
        sc.tl.leiden(part, flavor="igraph", n_iterations=2, directed=False, random_state=seed)
        sc.tl.umap(part, init_pos="random" if part.n_obs <= NEIGHBOURS else "spectral", random_state=seed)


def _spread(part: "AnnData", rows: np.ndarray, whole: "AnnData") -> None:
    """Bring what was added to some rows to the places they have among all."""
    for key, values in part.obsm.items():
        if key not in whole.obsm:
            whole.obsm[key] = np.full((whole.n_obs, values.shape[1]), np.nan, np.float32)
            whole.obsm[key][rows] = values
    n = len(rows)
    places = sparse.csr_matrix((np.ones(n, np.float32), (rows, np.arange(n))), shape=(whole.n_obs, n))
    for key, values in part.obsp.items():
        whole.obsp[key] = (places @ values.astype(np.float32) @ places.T).tocsr()
        whole.obsp[key].sort_indices()
    labels = whole.obs["leiden"].to_numpy(object)
    labels[rows] = part.obs["leiden"].astype(str)
    whole.obs["leiden"] = labels
    whole.varm["PCs"] = part.varm["PCs"]
    whole.uns |= {key: part.uns[key] for key in ("pca", "neighbors", "leiden", "umap")}
