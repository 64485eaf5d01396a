"""Genes that are silenced in every cell: which, to what, under which perturbation; how far that shifts the output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pertprobe.batching import counted
from pertprobe.data.cell_sets import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.probes.base import MeasureInputs

if TYPE_CHECKING:
    from torch import Tensor

    from pertprobe.interpret.knockouts import Levels

SILENCED = "silenced"
"""Attribute of a measurement that says what genes were silenced to, where that is not zero."""
OBSERVED_LEVEL = "observed"
"""Value of the setting: in every cell the share of a gene that its knock-down leaves in this context."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return the genes to knock out: those that are chosen and can be silenced to what is asked for."""
    return able(inputs, chosen(inputs))


def chosen(inputs: MeasureInputs) -> list[str]:
    """Return the genes that are asked for, whether or not they can be silenced to it."""
    return genes_of(inputs.settings["genes"], inputs.model.genes, inputs.contexts)


def genes_of(wanted: int | str | list[str], genes: Sequence[str], contexts: Sequence[CellSets]) -> list[str]:
    """Return the genes that the setting names: those listed, all, or the most expressed, mean over contexts.

    Raises PertprobeError for one that is not among `genes`, those of the model.
    """
    if isinstance(wanted, list):
        if missing := sorted(set(wanted) - set(genes)):
            raise PertprobeError(f"genes to knock out that are not among the model's genes: {', '.join(missing)}.")
        return sorted(wanted)
    if wanted == "all":
        return sorted(genes)
    # Contexts read in another space, as those of an embedding model, say nothing of these genes.
    measured = [each.for_genes(genes) for each in contexts if set(genes) <= set(each.genes)]
    expression = np.mean([each.values.mean(axis=(0, 1), dtype=np.float64) for each in measured], axis=0)
    # Names break ties, so that the choice does not depend on the order of genes in a file.
    return sorted(np.array(genes)[np.lexsort((genes, -expression))][:wanted].tolist())


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return the mean shift of the output when a gene is silenced in every cell, [set, perturbation, gene].

    The `perturbation` axis holds the knocked-out genes: a knock-out is an intervention too.
    """
    return shifted(inputs, names).assign_attrs(told(inputs, chosen(inputs)))


def shifted(inputs: MeasureInputs, names: Sequence[str]) -> xr.Dataset:
    """Return the same of any genes, without a word of which were left out."""
    shift = ("set", "perturbation", "gene"), _shifts(inputs, names).cpu().numpy()
    return xr.Dataset({"shift": shift}, {"perturbation": list(names), "gene": list(inputs.model.output_genes)})


def able(inputs: MeasureInputs, genes: Sequence[str]) -> list[str]:
    """Return those genes that can be silenced to what is asked for: to an observed level those alone that have one."""
    return list(genes) if inputs.settings["value"] != OBSERVED_LEVEL else [g for g in genes if g in _left(inputs)]


def levels(inputs: MeasureInputs, names: Sequence[str]) -> "Levels":
    """Return what genes are silenced to, as `interpret.knockouts` asks for it."""
    value = inputs.settings["value"]
    return [_left(inputs)[name] for name in names] if value == OBSERVED_LEVEL else value


def _left(inputs: MeasureInputs) -> dict[str, float]:
    """Return gene -> share of it that its knock-down leaves, of genes with a knock-down that control cells express."""
    return inputs.observed["left"].to_series().dropna().to_dict()


def told(inputs: MeasureInputs, genes: Sequence[str]) -> dict[str, str]:
    """Return the attributes of a measurement of these genes that say what they were silenced to; none where to zero."""
    value, kept = inputs.settings["value"], able(inputs, genes)
    if value == "zero":
        return {}
    if value != OBSERVED_LEVEL:
        return {SILENCED: "genes are silenced to their mean over each set"}
    share = np.median(levels(inputs, kept)) if kept else np.nan
    where = f"(median share {share:.2f} in {inputs.cells.context})"
    said = f"genes are silenced to what their knock-down leaves of them {where}"
    lacking = len(genes) - len(kept)
    return {SILENCED: said + f"; {lacking} without such a level left out" * bool(lacking)}


def notes(*measurements: xr.Dataset) -> list[str]:
    """Return what rows must say of what genes were silenced to in any of these measurements."""
    return list(filter(None, dict.fromkeys(each.attrs.get(SILENCED, "") for each in measurements)))


def _shifts(inputs: MeasureInputs, names: Sequence[str]) -> "Tensor":
    """Return the shifts [n_sets, names, G_out]: all at once where the model has stages, else one `predict` for each."""
    import torch  # tests do without it

    from pertprobe.interpret.jacobian import cells_point
    from pertprobe.interpret.knockouts import knocked_out, knockout_shifts

    model, cells, value = inputs.model, inputs.cells, levels(inputs, names)
    genes = [model.genes.index(name) for name in names]
    perturbation = inputs.perturbation(inputs.settings["perturbation"])
    if "stages" in model.capabilities:
        codes = model.encode_perturbations([perturbation])
        point = cells_point(cells.values, model.batch_indices(cells.batches), codes)
        return knockout_shifts(model, codes, point, genes, value, memory_gb=inputs.memory_gb)[0].swapaxes(0, 1)
    before = model.predict(cells.values, perturbation, cells.batches).mean(-2)
    each_level = [value] * len(genes) if isinstance(value, str) else value
    asked = zip(counted(genes, "knock-outs"), each_level, strict=True)
    edited = (knocked_out(cells.values, gene, level) for gene, level in asked)
    return torch.stack([model.predict(each, perturbation, cells.batches).mean(-2) - before for each in edited], dim=1)
