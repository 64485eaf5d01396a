"""Effects of several programs as one: how far they differ, and how much more likely an effect is than none."""

from math import nan

import numpy as np
from scipy.stats import norm
from statsmodels.stats.meta_analysis import combine_effects

from pertprobe.statistics.arrays import PerUnit

EXPECTED = 0.5
"""Standard deviation of shares of the ceiling where there is an effect, for Bayes factors."""
FEWEST = 2
LARGEST = 300 * np.log(10)
"""Logarithm of the largest Bayes factor that is told from infinity."""


def heterogeneity(effects: PerUnit, variances: PerUnit) -> float:
    """Return I2 of effects, in [0, 1]: the share of their variance that sampling does not explain; nan below two.

    By statsmodels' `combine_effects`, random effects by Paule and Mandel. Source: Higgins & Thompson (2002),
    Statistics in Medicine 21, 1539-1558.
    """
    effects, variances = (np.asarray(each, dtype=np.float64) for each in (effects, variances))
    if effects.size < FEWEST or not (variances > 0).all():
        return nan
    with np.errstate(divide="ignore"):  # effects that are equal
        return float(max(combine_effects(effects, variances, method_re="iterated").i2, 0.0))


def bayes_factor(share: float, low: float, high: float, level: float = 0.95) -> float:
    """Return how many times likelier a share of the ceiling is if there is an effect than if there is none.

    Of the share normal with the standard error that its interval says; of an effect normal around 0 with `EXPECTED` as
    standard deviation: N(share; 0, se^2 + EXPECTED^2) / N(share; 0, se^2). Above 3 an effect is likelier, below 1/3
    its absence (Jeffreys 1961, Theory of Probability, appendix B). nan without an interval.
    """
    error = (high - low) / (2 * norm.ppf((1 + level) / 2))
    if not error > 0:
        return nan
    log = norm.logpdf(share, 0, np.hypot(error, EXPECTED)) - norm.logpdf(share, 0, error)
    return float(np.exp(min(log, LARGEST)))
