"""What probes that measure every gene ask: are a program's genes among those with the most?"""

import numpy as np
import pandas as pd

from pertprobe.probes.base import TestInputs
from pertprobe.probes.questions import Score
from pertprobe.statistics.ranks import mid_ranks


def gene_ranks(inputs: TestInputs, statistic: str, sizes: pd.Series) -> Score:
    """Return whether a program's genes rank higher, 0 to 1, by `sizes` (gene -> size) than genes of like expression."""
    sizes = sizes.sort_index()
    names = sizes.index.to_numpy()
    return Score(
        statistic=statistic,
        unit="gene",
        called="measured genes",
        names=names,
        scores=mid_ranks(sizes.to_numpy()[:, None], np.zeros((len(names), 1)))[:, 0],
        strength=inputs.cells.for_genes(tuple(names)).values.mean(axis=(0, 1), dtype=np.float64),
    )
