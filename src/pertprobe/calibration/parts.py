"""What a calibration is made of: parts that can run beside each other, and how long ones are cut by seed.

Nothing heavy is imported here: the workflow reads the names when it is parsed.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class Part(NamedTuple):
    """One function of this package: (sizes, seed) -> the rows of its figures."""

    module: str
    """Module of `pertprobe.calibration`."""
    function: str
    """Its function."""
    section: str
    """Key of the sizes it is given."""
    by_seed: bool = False
    """Cut into one job a seed, 0 to `seeds` - 1; the others have the seed of the calibration."""


PARTS = {
    "speed": Part("speed", "speed", "speed"),
    "trained": Part("trained", "trained", "trained", by_seed=True),
    "planted": Part("planted", "planted", "planted", by_seed=True),
    "untrained": Part("untrained", "untrained", "untrained", by_seed=True),
    "nulls_pert_embedding_uniform": Part("nulls", "pert_embedding_uniform", "nulls"),
    "nulls_pert_embedding_confounded": Part("nulls", "pert_embedding_confounded", "nulls"),
    "nulls_sae_features_uniform": Part("nulls", "sae_features_uniform", "nulls"),
    "nulls_sae_features_confounded": Part("nulls", "sae_features_confounded", "nulls"),
    "nulls_nearest_neighbours": Part("nulls", "nearest_neighbours", "nulls"),
    "nulls_targeted_jacobian": Part("nulls", "targeted_jacobian", "nulls"),
    "nulls_targeted_jacobian_co_expressed": Part("nulls", "targeted_jacobian_co_expressed", "nulls"),
    "nulls_knockout": Part("nulls", "knockout", "nulls"),
    "power": Part("power_curves", "power_curves", "power"),
    "ceiling": Part("coverage", "coverage", "ceiling"),
}
"""Name -> part, those that take longest first."""
ALONE = ("speed",)
"""Parts that are given every core: what they measure is time."""


def names(sizes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of all jobs: a part, or "part-seed" where it is cut by seed."""
    return [name for part in PARTS for name in _jobs(part, sizes)]


def _jobs(part: str, sizes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not PARTS[part].by_seed:
        return [part]
    return [f"{part}-{seed:02d}" for seed in range(sizes[PARTS[part].section]["seeds"])]


def target(name: str) -> str:
    """Return the function of a job as `digest.code` names it."""
    part = PARTS[name.partition("-")[0]]
    return f"calibration.{part.module}:{part.function}"


def sizes_of(name: str, sizes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sizes that a job depends on; how many seeds there are is not among them."""
    section = sizes[PARTS[name.partition("-")[0]].section]
    return {key: value for key, value in section.items() if key != "seeds"}


def run(name: str, sizes: Mapping[str, Any], seed: int) -> "pd.DataFrame":
    """Return the rows of one job: `sizes` are its own (`sizes_of`), `seed` that of the calibration."""
    part, _, number = name.partition("-")
    module = import_module(f"pertprobe.calibration.{PARTS[part].module}")
    return getattr(module, PARTS[part].function)(sizes, int(number) if number else seed)
