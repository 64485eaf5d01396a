"""A State model directory becomes a model: its files read, its names made to agree, its weights checked."""

from pathlib import Path

import torch

from pertprobe.errors import raise_together
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.card import describe
from pertprobe.models.state.files import StateFiles, clean_state_dict, read_state_directory
from pertprobe.models.state.model import StateModel


def load_state(
    path: str | Path,
    *,
    attention: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    checkpoint: str | None = None,
) -> StateModel:
    """Load a State model directory and check it; the card says what was found.

    Args:
        path: the directory State wrote.
        attention: bidirectional, causal, causal_rope or self; None or "flag" = by the checkpoint's flag.
        dtype: of weights and predictions.
        device: where they live.
        checkpoint: name of the checkpoint file, if not the default (final, last, best, last step).

    Raises:
        PertprobeError: files are absent, unsafe or damaged, an option is unknown, the attention pattern is undecided,
            or a set model turns out to depend on the order of cells.
    """
    files = read_state_directory(path, checkpoint)
    architecture = StateArchitecture.from_options(files.options, attention)
    weights = clean_state_dict(files.state_dict, architecture)
    control = str(files.options.get("control_pert", "non-targeting"))
    _check_names(files, architecture, control)
    model = StateModel(
        architecture,
        {name: weight.to(device, dtype) for name, weight in weights.items()},
        **_gene_names(files, architecture),
        perturbations=files.perturbations,
        perturbation_features=torch.stack(list(files.perturbations.values())),
        control=control,
        batches=files.batches,
    )
    model.card = describe(files, model)
    return model


def _check_names(files: StateFiles, a: StateArchitecture, control: str) -> None:
    """Raise PertprobeError, all faults together, where maps and options disagree."""
    faults, widths = [], {row.numel() for row in files.perturbations.values()}
    if widths != {a.pert_dim}:
        faults.append(f"pert_onehot_map: features of size {sorted(widths)}, the checkpoint takes {a.pert_dim}")
    if control not in files.perturbations:
        faults.append(f"pert_onehot_map: the control '{control}' is not among its {len(files.perturbations)} names")
    if a.batch_encoder and len(files.batches) != a.batch_dim:
        count = len(files.batches)
        faults.append(f"batch_onehot_map: {count} labels, the checkpoint's batch encoder has {a.batch_dim}")
    raise_together(faults)


def _gene_names(files: StateFiles, a: StateArchitecture) -> dict[str, tuple[str, ...]]:
    """Return the names of inputs and of genes; where State wrote none, positions in `embed_key`."""
    names, decoder = files.gene_names, a.gene_decoder
    positions = tuple(f"{a.embed_key or 'X'}_{i}" for i in range(a.input_dim))
    genes = names if a.genes_in and len(names) == a.input_dim else positions
    known = len(names) in ({a.output_dim} if a.genes_in else set()) | ({decoder.gene_dim} if decoder else set())
    own = genes if a.genes_in and a.output_dim == a.input_dim else ()  # outputs may be an embedding of another width
    return {"genes": genes, "output_genes": names if known else own}
