"""How large an effect must be to be found, and whether q can become small enough at all: before anything is measured.

A program's score is the mean over n of N units; its null that of random sets of n (methods.md). Windows of strength,
which leave fewer sets, and what else is held are not known yet: the numbers are what can be had at best.
"""

from functools import cache
from math import comb, inf, nan, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertprobe.probes.declaration import declared
from pertprobe.stages.verdict import strictest
from pertprobe.statistics.permutation import REFINED
from pertprobe.statistics.power import Null, benjamini_hochberg, smallest_effect

if TYPE_CHECKING:
    from pertprobe.workflow.parts_of_config import Config


def with_power(table: pd.DataFrame, config: "Config") -> pd.DataFrame:
    """Return the rows of `askable` with what each could show at best.

    Columns: d, the effect that is found with `power.power` though no other of the probe's family is (inf: none);
    p_min, the smallest p; q_min, where it matters the smallest q, all of the family at their smallest p; reachable,
    whether it meets the probe's threshold. nan and True where the statistic is no mean over units, nothing is asked, or
    no threshold is a test.
    """
    parts = [_of_probe(rows, config, str(probe)) for probe, rows in table.groupby("probe", sort=False)]
    return pd.concat(parts).loc[table.index] if parts else table.assign(d=nan, p_min=nan, q_min=nan, reachable=True)


def _of_probe(rows: pd.DataFrame, config: "Config", probe: str) -> pd.DataFrame:
    """Return the rows of one probe, which are one family."""
    alpha = strictest(config["thresholds"].get(probe, []))
    found = rows.assign(d=nan, p_min=nan, q_min=nan, reachable=True)
    asked = found.index[found.enough]
    if np.isnan(alpha) or not len(asked) or primary_is_common(probe):
        return found
    sizes = list(zip(found.n[asked], found.among[asked], strict=True))
    draws, wanted = config["statistics"]["permutations"], config["power"]["power"]
    found.loc[asked, "p_min"] = [smallest_p(n, among, draws) for n, among in sizes]
    if found.p_min[asked].max() >= alpha:  # otherwise all can have q below it together
        found.loc[asked, "q_min"] = benjamini_hochberg(found.p_min[asked].to_numpy())
        found.loc[asked, "reachable"] = found.q_min[asked] < alpha
    able = found.p_min[asked] < alpha / len(asked)
    effects = [smallest_d(n, among, alpha / len(asked), wanted) for n, among in sizes]
    found.loc[asked, "d"] = np.where(able, effects, inf)
    return found


def primary_is_common(probe: str) -> bool:
    """Return whether what verdicts read of a probe has a scale of its own, not that of a mean over units."""
    found = declared(probe)
    return not found.statistics or found.primary in found.common_scale


def smallest_p(n: int, among: int, draws: int) -> float:
    """Return the smallest p of n of N units: one of all sets where these are visited, otherwise one of all draws."""
    arrangements = comb(among, n)
    return 1 / arrangements if arrangements <= draws else 1 / (REFINED * draws + 1)


@cache
def smallest_d(n: int, among: int, alpha: float, wanted: float) -> float:
    """Return the shift of n of N members, in sd of a unit, that has p <= alpha with this probability."""
    return smallest_effect(null_of_means(n, among), alpha, wanted)


def null_of_means(n: int, among: int) -> Null:
    """Return the null of the mean of n of N units of sd 1, drawn without replacement.

    Its sd is sqrt((N - n) / (n (N - 1))); members of the program are in n / N of it, with the spread of the
    hypergeometric distribution.
    """
    left = (among - n) / max(among - 1, 1)
    own = n / among
    spread = sqrt(own * (1 - own) * left / n)
    return Null(1.0, sqrt(left / n), 0.0, own, spread)


def summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what the rows of one probe and model say together.

    Smallest and largest d; how many cannot reach q, and how many only if others of the family are found too.
    """
    d, together = rows.d[np.isfinite(rows.d)], rows.enough & rows.reachable & np.isinf(rows.d)
    ends = {"d_low": float(d.min()), "d_high": float(d.max())} if len(d) else {"d_low": None, "d_high": None}
    never = int((rows.enough & ~rows.reachable).sum())
    return {**ends, "unreachable": never, "only_together": int(together.sum())}
