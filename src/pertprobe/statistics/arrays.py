"""What arrays of numbers are called here."""

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pertprobe.shapes import Integer, Like, Num, Shaped

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Members = Integer[Like, " member"] | Sequence[SupportsIndex]
"""Positions of units."""
PerUnit = Num[Like, " unit"] | Sequence[float]
"""A number of each unit: a score, or its effect strength."""
Labels = Shaped[Like, " unit"] | Sequence[SupportsIndex]
"""A cluster, a decile, or another group of each unit."""
Profiles = Num[Like, "unit feature"] | pd.DataFrame
"""Numbers of each unit, which a table may hold as well."""
Pairwise = Num[Like, "unit unit"]
"""A number of each pair of units: a similarity."""
