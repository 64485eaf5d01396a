"""Harmless changes of the healthy project, which must be read as it is: a harness that refuses these judges nothing."""

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import h5py
import numpy as np
import torch
from fault import Fault, edited, read_config, write_config
from scipy import sparse
from wrong_cells import cells
from wrong_files import CKPT, MAP, torch_file


def _backwards(folder: Path) -> None:
    """Write the keys of every mapping of the config in another order."""

    def turned(value: object) -> object:
        if isinstance(value, dict):
            return {key: turned(each) for key, each in list(value.items())[::-1]}
        return value

    config = read_config(folder)
    write_config(folder, turned(config) | {"models": config["models"]})


def _dated(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (1e9, 1e9))


def _protocol(folder: Path) -> None:
    path = folder / "models/a/var_dims.pkl"
    path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()), protocol=2))


def _permuted(found: anndata.AnnData) -> anndata.AnnData:
    return found[np.random.default_rng(0).permutation(found.n_obs)].copy()


def _stored(form: Callable) -> Callable[[anndata.AnnData], None]:
    def store(found: anndata.AnnData) -> None:
        found.obsm["X_hvg"] = form(np.array(found.obsm["X_hvg"]))

    return store


def _more_columns(found: anndata.AnnData) -> None:
    found.obs["n_counts"] = np.arange(found.n_obs)
    found.obs["empty"] = ""
    found.uns["note"] = "made elsewhere"


def _as_strings(found: anndata.AnnData) -> None:
    for column in ("gene", "cell_line", "batch"):
        found.obs[column] = found.obs[column].astype(str)


def _compressed(folder: Path) -> None:
    found = anndata.read_h5ad(folder / "cells.h5ad")
    (folder / "cells.h5ad").unlink()
    found.write_h5ad(folder / "cells.h5ad", compression="lzf")


def _closed(folder: Path) -> None:
    with h5py.File(folder / "cells.h5ad", "a") as file:
        file.attrs["by"] = "nobody"


def _without_optimiser(found: dict) -> None:
    found["optimizer_states"], found["loops"] = [], {}


CHANGES: dict[str, Callable[[Path], None]] = {
    "nothing": lambda folder: None,
    "keys in another order": _backwards,
    "other dates": _dated,
    "a comment in the config": edited("run.yaml", lambda text: f"# by hand\n{text}"),
    "lines that end as on Windows": edited("run.yaml", lambda text: text.replace("\n", "\r\n")),
    "gene sets that end as on Windows": edited("programs.gmt", lambda text: text.replace("\n", "\r\n")),
    "gene sets without a last newline": edited("programs.gmt", lambda text: text.rstrip("\n")),
    "other descriptions": edited("programs.gmt", lambda text: text.replace("\tplanted\t", "\tby hand\t")),
    "a pickle of protocol 2": _protocol,
    "cells in another order": cells(_permuted),
    "a space that is sparse": cells(_stored(sparse.csr_matrix)),
    "a space stored by columns": cells(_stored(sparse.csc_matrix)),
    "a space of float64": cells(_stored(lambda values: values.astype(np.float64))),
    "more columns": cells(_more_columns),
    "columns of text": cells(_as_strings),
    "another compression": _compressed,
    "an attribute more": _closed,
    "no optimiser": torch_file(CKPT, _without_optimiser),
    "a map in another order": torch_file(MAP, lambda found: dict(sorted(found.items()))),
    "weights in another order": torch_file(
        CKPT, lambda found: found.update(state_dict=dict([*found["state_dict"].items()][::-1]))
    ),
    "the unused embeddings left out": torch_file(
        CKPT,
        lambda found: (
            [found["state_dict"].pop(key) for key in [*found["state_dict"]] if "embed_tokens" in key] and None
        ),
    ),
    "a tensor that is a view": torch_file(
        MAP, lambda found: {key: torch.stack([each, each])[0] for key, each in found.items()}
    ),
}


def faults() -> Iterator[Fault]:
    """Every harmless change."""
    for name, make in CHANGES.items():
        yield Fault(f"valid/{name}", make, "read")
