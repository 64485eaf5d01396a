"""A model written as a State model directory."""

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml
from torch import Tensor

from pertprobe.files import atomic
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.files import BACKBONE, DATA_OPTIONS

if TYPE_CHECKING:
    from pertprobe.models.state.model import StateModel


def write_state_directory(model: "StateModel", path: str | Path) -> None:
    """Write `model` as a State model directory, whole or not at all; every file loads with weights_only."""
    architecture = model.architecture
    options = architecture.hyper_parameters() | {"control_pert": model.control, "gene_names": list(model.output_genes)}
    pairs = zip(model.perturbations, model.perturbation_features.float().cpu(), strict=True)
    weights = {key: value.detach().cpu().contiguous() for key, value in model.parameters.items()}
    data = {key: options[key] for key in DATA_OPTIONS}
    dims = {key: options[key] for key in ("input_dim", "output_dim", "pert_dim", "batch_dim", "gene_names")}
    decoder = architecture.gene_decoder
    dims |= {"gene_dim": decoder.gene_dim if decoder else len(model.output_genes), "hvg_dim": architecture.input_dim}
    with atomic(path) as folder:
        (folder / "checkpoints").mkdir(parents=True)
        config = {"data": {"kwargs": data}, "model": {"name": "state", "kwargs": architecture.hyper_parameters()}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        (folder / "var_dims.pkl").write_bytes(pickle.dumps(dims | {"pert_names": list(model.perturbations)}))
        torch.save({name: row.clone() for name, row in pairs}, folder / "pert_onehot_map.pt")
        torch.save(_one_hot(model.batches), folder / "batch_onehot_map.torch")
        torch.save(_one_hot(model.card.get("cell_types", ())), folder / "cell_type_onehot_map.torch")
        torch.save(data, folder / "data_module.torch")
        saved = {"epoch": 0, "global_step": 0, "pytorch-lightning_version": "2.6.6", "hparams_name": "kwargs"}
        saved |= {"state_dict": weights | _unused_weights(architecture), "hyper_parameters": options}
        torch.save(saved, folder / "checkpoints" / "final.ckpt")


def _one_hot(labels: tuple[str, ...]) -> dict[str, Tensor]:
    return {label: row.clone() for label, row in zip(labels, torch.eye(len(labels)), strict=True)}


def _unused_weights(a: StateArchitecture) -> dict[str, Tensor]:
    """Return the weights that State's strict loading expects and no forward pass reads."""
    names = {"embed_tokens": 4} if a.backbone == "llama" else {"wte": 4, "wpe": a.cell_set_len}
    unused = {f"{BACKBONE}{name}.weight": torch.zeros(rows, a.hidden_dim) for name, rows in names.items()}
    if a.batch_token:
        unused["batch_classifier.0.weight"] = torch.zeros(a.batch_dim, a.hidden_dim)
        unused["batch_classifier.0.bias"] = torch.zeros(a.batch_dim)
    return unused
