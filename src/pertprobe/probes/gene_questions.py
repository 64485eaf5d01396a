"""What probes that measure every gene ask: are a program's genes among those with the most?"""

import numpy as np
import pandas as pd

from pertprobe.probes.base import TestInputs
from pertprobe.probes.questions import Score
from pertprobe.statistics.ranks import mid_ranks


def gene_ranks(inputs: TestInputs, statistic: str, sizes: pd.Series) -> Score:
    """Return whether a program's genes rank higher, 0 to 1, by `sizes` (gene -> size) than genes of like expression."""
    sizes = sizes.sort_index()
    genes = {"names": sizes.index.to_numpy(), "unit": "gene", "called": "measured genes"}
    scores = mid_ranks(sizes.to_numpy()[:, None], np.zeros((len(sizes), 1)))[:, 0]
    expression = inputs.cells.for_genes(tuple(sizes.index)).values.mean(axis=(0, 1), dtype=np.float64)
    return Score(statistic=statistic, scores=scores, strength=expression, **genes)
