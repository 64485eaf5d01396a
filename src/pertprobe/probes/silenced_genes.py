"""Genes that are silenced in every cell: which, under which perturbation, and how far that shifts the output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pertprobe.batching import counted
from pertprobe.errors import PertprobeError
from pertprobe.probes.base import MeasureInputs

if TYPE_CHECKING:
    from torch import Tensor


def units(inputs: MeasureInputs) -> list[str]:
    """Return the genes to knock out: those listed, all, or the most expressed, mean over every context of the run."""
    wanted = inputs.settings["genes"]
    if isinstance(wanted, list):
        if missing := sorted(set(wanted) - set(inputs.model.genes)):
            raise PertprobeError(f"genes to knock out that are not among the model's genes: {', '.join(missing)}.")
        return sorted(wanted)
    genes = np.array(inputs.model.genes)
    if wanted == "all":
        return sorted(genes)
    # Contexts read in another space, as those of an embedding model, say nothing of these genes.
    measured = [each for each in inputs.contexts if set(inputs.model.genes) <= set(each.genes)]
    sets = (each.for_genes(inputs.model.genes).values for each in measured)
    expression = np.mean([values.mean(axis=(0, 1), dtype=np.float64) for values in sets], axis=0)
    # Names break ties, so that the choice does not depend on the order of genes in a file.
    return sorted(genes[np.lexsort((genes, -expression))][:wanted])


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return the mean shift of the output when a gene is silenced in every cell, [set, perturbation, gene].

    The `perturbation` axis holds the knocked-out genes: a knock-out is an intervention too.
    """
    shift = ("set", "perturbation", "gene"), _shifts(inputs, names).cpu().numpy()
    return xr.Dataset({"shift": shift}, {"perturbation": names, "gene": list(inputs.model.output_genes)})


def _shifts(inputs: MeasureInputs, names: Sequence[str]) -> "Tensor":
    """Return the shifts [n_sets, names, G_out]: all at once where the model has stages, else one `predict` for each."""
    import torch  # tests do without it

    from pertprobe.interpret.jacobian import cells_point
    from pertprobe.interpret.knockouts import knocked_out, knockout_shifts

    model, cells, value = inputs.model, inputs.cells, inputs.settings["value"]
    genes = [model.genes.index(name) for name in names]
    perturbation = inputs.perturbation(inputs.settings["perturbation"])
    if "stages" in model.capabilities:
        codes = model.encode_perturbations([perturbation])
        point = cells_point(cells.values, model.batch_indices(cells.batches), codes)
        return knockout_shifts(model, codes, point, genes, value, memory_gb=inputs.memory_gb)[0].swapaxes(0, 1)
    before = model.predict(cells.values, perturbation, cells.batches).mean(-2)
    edited = (knocked_out(cells.values, gene, value) for gene in counted(genes, "knock-outs"))
    return torch.stack([model.predict(each, perturbation, cells.batches).mean(-2) - before for each in edited], dim=1)
