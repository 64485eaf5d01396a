"""How well one profile is foretold by another, of the same size and sign."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pertprobe.statistics.sets import Floats


class Fit(NamedTuple):
    """What a prediction says of a profile; nan where the profile, or for the slope the prediction, is 0 throughout."""

    explained: Floats
    """1 - |profile - predicted|^2 / |profile|^2 [...]: about 0, for no response is what a prediction must beat."""
    slope: Floats
    """<profile, predicted> / |predicted|^2 [...]: 1 = of the predicted size, below 1 = the response levels off."""


def fit(profiles: ArrayLike, predicted: ArrayLike) -> Fit:
    """Compare profiles [..., F] with their predictions [..., F]; entries that are nan in `profiles` are left out."""
    profiles, predicted = np.asarray(profiles, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    predicted = np.where(np.isnan(profiles), np.nan, predicted)
    missed, size, foretold = (np.nansum(each**2, axis=-1) for each in (profiles - predicted, profiles, predicted))
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.where(size > 0, 1 - missed / size, np.nan)
        slope = np.where(foretold > 0, np.nansum(profiles * predicted, axis=-1) / foretold, np.nan)
    return Fit(explained, slope)


def curvature(whole: ArrayLike, half: ArrayLike) -> Floats:
    """Return |s(1) - 2 s(1/2)| / |s(1)| of responses [..., F] to a whole and half an intervention; nan for no response.

    s(1) - 2 s(1/2) is the second difference over the two halves: 0 for a straight line, 1/2 for a pure square.
    """
    whole, half = np.asarray(whole, dtype=np.float64), np.asarray(half, dtype=np.float64)
    size = np.sqrt(np.nansum(whole**2, axis=-1))
    bent = np.sqrt(np.nansum((whole - 2 * half) ** 2, axis=-1))
    return np.divide(bent, size, out=np.full(size.shape, np.nan), where=size > 0)
