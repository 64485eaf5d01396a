"""A State model directory becomes a model: its files read, its names made to agree, its weights checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from pertprobe.errors import raise_together
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.card import describe
from pertprobe.models.state.files import StateFiles, clean_state_dict, read_state_directory
from pertprobe.models.state.labels import control_label, read_names, repeated
from pertprobe.models.state.model import StateModel


class Names(NamedTuple):
    """What the model calls its genes and its control, and where that is from."""

    genes: tuple[str, ...]
    """Of the inputs; positions in `embed_key` where nothing names them."""
    output_genes: tuple[str, ...]
    control: str
    notes: tuple[str, ...]


def load_state(
    path: str | Path,
    *,
    attention: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    checkpoint: str | None = None,
    genes: str | Path | None = None,
    control: str | None = None,
    ignore_options: Sequence[str] = (),
) -> StateModel:
    """Load a State model directory and check it; the card says what was found.

    Args:
        path: the directory State wrote.
        attention: bidirectional, causal, causal_rope or self; None or "flag" = by the checkpoint's flag.
        dtype: of weights and predictions.
        device: where they live.
        checkpoint: name of the checkpoint file, if not the default (final, last, best, last step).
        genes: a file of the names of the inputs, one a line in their order; None = as the directory says.
        control: the label of unperturbed cells, where the directory does not say it or its map has another.
        ignore_options: names of hyper-parameters that this reader does not know and that change no output.

    Raises:
        PertprobeError: files are absent, unsafe or damaged, an option is unknown, the attention pattern is undecided,
            or a set model turns out to depend on the order of cells.
    """
    files = read_state_directory(path, checkpoint)
    architecture = StateArchitecture.from_options(files.options, attention, ignore_options)
    weights = clean_state_dict(files.state_dict, architecture)
    names = _names(files, architecture, control, read_names(genes) if genes is not None else None)
    notes = [f"hyper-parameter '{name}' is ignored, as the config says" for name in ignore_options]
    model = StateModel(
        architecture,
        {name: weight.to(device, dtype) for name, weight in weights.items()},
        genes=names.genes,
        output_genes=names.output_genes,
        perturbations=files.perturbations,
        perturbation_features=torch.stack(list(files.perturbations.values())),
        control=names.control,
        batches=files.batches if architecture.batch_encoder else (),
    )
    model.card = describe(files._replace(warnings=(*files.warnings, *notes, *names.notes)), model)
    return model


def _names(files: StateFiles, a: StateArchitecture, control: str | None, genes: tuple[str, ...] | None) -> Names:
    """Return the names that go with the weights; raises Faults, all together, where maps and options disagree."""
    sizes = {len(row) for row in files.perturbations.values()}
    faults = []
    if sizes != {a.pert_dim}:
        faults.append(f"pert_onehot_map: features of size {sorted(sizes)}, the checkpoint takes {a.pert_dim}")
    if a.batch_encoder and len(files.batches) != a.batch_dim:
        count = len(files.batches)
        faults.append(f"batch_onehot_map: {count} labels, the checkpoint's batch encoder has {a.batch_dim}")
    if genes is not None and len(genes) != a.input_dim:
        faults.append(f"genes: {len(genes)} names, the checkpoint reads {a.input_dim} inputs")
    label, note, fault = control_label(control, files.options.get("control_pert"), files.perturbations)
    faults += fault
    inputs, notes = (genes, ()) if genes is not None else _input_names(files.gene_names, a)
    outputs = (
        inputs if genes is not None and a.genes_in and a.output_dim == a.input_dim else _output_names(files, a, inputs)
    )
    faults += [
        f"{what} are named twice: {twice}. Name each once, in a file that `genes` of the model's entry gives"
        for what, twice in (("inputs", repeated(inputs)), ("outputs", repeated(outputs)))
        if twice and not (what == "outputs" and outputs == inputs)
    ]
    raise_together(faults)
    return Names(inputs, outputs, label, (*notes, *note))


def _input_names(names: tuple[str, ...], a: StateArchitecture) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of inputs, positions in `embed_key` where State wrote none that fit, and a note on them."""
    if a.genes_in and len(names) == a.input_dim:
        return names, ()
    positions = tuple(f"{a.embed_key or 'X'}_{i}" for i in range(a.input_dim))
    if not a.genes_in:
        return positions, ()
    said = f"{len(names)} gene names cannot name {a.input_dim} inputs" if names else "no genes are named"
    return positions, (
        f"{said}: they are called {positions[0]}, ... Set `genes` of the model's entry to a file of their names, one a "
        "line in the order of the inputs",
    )


def _output_names(files: StateFiles, a: StateArchitecture, inputs: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of output genes, none where outputs are an embedding that nothing decodes."""
    names, decoder = files.gene_names, a.gene_decoder
    known = len(names) in ({a.output_dim} if a.genes_in else set()) | ({decoder.gene_dim} if decoder else set())
    own = inputs if a.genes_in and a.output_dim == a.input_dim else ()  # outputs may be an embedding of another width
    return names if known else own
