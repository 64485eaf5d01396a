"""Several tests at once."""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from pertprobe.statistics.sets import Floats


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Return q-values [n] of p-values [n] (Benjamini & Hochberg 1995); nan is no test: it stays nan, uncounted."""
    p = np.asarray(p, dtype=np.float64)
    q, tested = np.full(p.shape, np.nan), ~np.isnan(p)
    if tested.any():
        q[tested] = scipy.stats.false_discovery_control(p[tested], method="bh")
    return q
