"""Forms for many values: distributions, points that become densities, maps with texts in their cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection

from pertprobe.plots.style import NULL, SUBJECT

VECTORS = 500
"""Points up to which each is drawn as a vector of its own; more are one image inside the vector frame."""
POINTS = 4000
"""Points up to which each is drawn; of more, how many lie in each hexagon."""


def scatter(axes: Axes, x: Any, y: Any, **style: Any) -> Collection:
    """Draw points without edges; very many as an image, so that the file stays small and opens fast."""
    return axes.scatter(x, y, rasterized=np.size(x) > VECTORS, **{"s": 6, "linewidth": 0} | style)


def points_or_density(axes: Axes, x: Any, y: Any, cmap: str = "Greys", **style: Any) -> Collection:
    """Draw points, or of more than `POINTS` their density in hexagons (logarithmic); `style` is that of the points.

    What is returned has a `norm` for a colour bar where it is a density.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    kept = np.isfinite(x) & np.isfinite(y)
    if kept.sum() <= POINTS:
        return scatter(axes, x[kept], y[kept], **style)
    return axes.hexbin(x[kept], y[kept], gridsize=60, bins="log", mincnt=1, cmap=cmap, linewidths=0, rasterized=True)


def histograms(
    axes: Axes, values: Mapping[str, Any], bins: np.ndarray, alpha: Sequence[float] = (0.7, 0.7), **style: Any
) -> None:
    """Draw two distributions, label -> numbers: first what is compared with, then what is asked about."""
    for (label, each), colour, opacity in zip(values.items(), (NULL, SUBJECT), alpha, strict=True):
        axes.hist(each, bins, color=colour, alpha=opacity, label=label, **style)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.35)  # room for the legend above the bars
    axes.legend(loc="upper left")
