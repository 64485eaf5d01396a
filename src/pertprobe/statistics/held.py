"""A relabelling null that holds strength, beside one that does not."""

from math import inf

from pertprobe.statistics.permutation import Test, summary
from pertprobe.statistics.sets import Floats


def holding(test: Test, null: Floats) -> Test:
    """Add the p of a null that holds strength [m] to a test of the same estimate, and let a verdict use it."""
    held = summary(test.estimate, null, inf, len(null))
    used = {name: getattr(held, name) for name in ("null_mean", "null_sd", "n_permutations", "p_tie")}
    return test._replace(p_stratified=held.p, p_min_stratified=held.p_min, p_used="p_stratified", **used)
