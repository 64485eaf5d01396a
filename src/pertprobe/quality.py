"""How well a model predicts: observed against predicted mean shifts, beside the baseline every model must beat."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pertprobe.errors import PertprobeError


def response_correlation(predicted: pd.DataFrame, observed: pd.DataFrame) -> pd.DataFrame:
    """Correlate predicted with observed delta_y over genes, perturbation by perturbation.

    Args:
        predicted: mean predicted shift [perturbation x gene].
        observed: mean observed shift [perturbation x gene]; genes in any order, more perturbations are welcome.

    Returns:
        Per perturbation found in both, in predicted's order: `r`, Pearson over all genes, the knocked one included,
        and `r_mean_shift`, that of the mean observed shift of the *other* observed perturbations. Constant profiles
        give nan, and so does the baseline of a single perturbation.

    Raises:
        PertprobeError: if the two do not have the same genes, or have no perturbation in common.
    """
    if predicted.columns.has_duplicates or set(predicted.columns) != set(observed.columns):
        odd = sorted(set(predicted.columns) ^ set(observed.columns))
        raise PertprobeError(f"quality: predicted and observed genes differ, or are not unique: {odd[:10]}.")
    names = [name for name in predicted.index if name in observed.index]
    if not names:
        raise PertprobeError("quality: no perturbation is both predicted and observed.")
    observed = observed[predicted.columns]
    seen = observed.loc[names].to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (observed.to_numpy(float).sum(axis=0) - seen) / (len(observed) - 1)
    r = _pearson(predicted.loc[names].to_numpy(float), seen)
    return pd.DataFrame({"r": r, "r_mean_shift": _pearson(others, seen)}, index=pd.Index(names, name="perturbation"))


def quality_table(
    predicted: pd.DataFrame, observed: pd.DataFrame, *, seen: Mapping[str, str], n_cells: Mapping[str, int]
) -> pd.DataFrame:
    """Return perturbation, seen (here, elsewhere, never, unknown), r, r_mean_shift, n_cells (observed), one row each.

    Raises:
        PertprobeError: as `response_correlation`.
    """
    table = response_correlation(predicted, observed).reset_index()
    table.insert(1, "seen", [seen.get(name, "unknown") for name in table.perturbation])
    return table.assign(n_cells=[int(n_cells[name]) for name in table.perturbation])


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's r of matching rows; nan where one is constant (to rounding) or not finite."""
    norms = []
    for rows in (a, b):
        spread = np.linalg.norm(rows - rows.mean(axis=1, keepdims=True), axis=1)
        norms.append(np.where(spread > 1e-12 * np.linalg.norm(rows, axis=1), spread, np.nan))
    product = ((a - a.mean(axis=1, keepdims=True)) * (b - b.mean(axis=1, keepdims=True))).sum(axis=1)
    return np.clip(product / (norms[0] * norms[1]), -1, 1)
