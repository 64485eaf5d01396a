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
    confounded: bool | None = None
    """Asked of programs drawn by what confounds, or of uniform ones; None = the function has no such argument."""


PARTS = {
    "speed": Part("speed", "speed", "speed"),
    "trained": Part("trained", "trained", "trained", by_seed=True),
    "planted": Part("planted", "planted", "planted", by_seed=True),
    "untrained": Part("untrained", "untrained", "untrained", by_seed=True),
    "nulls_pert_embedding_uniform": Part("nulls", "pert_embedding", "nulls", confounded=False),
    "nulls_pert_embedding_confounded": Part("nulls", "pert_embedding", "nulls", confounded=True),
    "nulls_sae_features_uniform": Part("nulls", "sae_features", "nulls", confounded=False),
    "nulls_sae_features_confounded": Part("nulls", "sae_features", "nulls", confounded=True),
    "nulls_nearest_neighbours": Part("nulls", "nearest_neighbours", "nulls"),
    "nulls_targeted_jacobian": Part("nulls", "targeted_jacobian", "nulls"),
    "nulls_targeted_jacobian_co_expressed": Part("nulls", "targeted_jacobian_co_expressed", "nulls"),
    "nulls_knockout": Part("nulls", "knockout", "nulls"),
    "planted_cell_diagonal": Part("diagonal", "planted", "planted", by_seed=True),
    "untrained_cell_diagonal": Part("diagonal", "untrained", "untrained", by_seed=True),
    "nulls_cell_diagonal": Part("nulls", "cell_diagonal", "nulls"),
    "planted_activation_patching": Part("patching", "planted", "planted", by_seed=True),
    "untrained_activation_patching": Part("patching", "untrained", "untrained", by_seed=True),
    "nulls_activation_patching_uniform": Part("patching", "nulls", "nulls", confounded=False),
    "nulls_activation_patching_confounded": Part("patching", "nulls", "nulls", confounded=True),
    "power_activation_patching": Part("patching", "power", "power"),
    "planted_regulon_recovery": Part("recovery", "planted", "planted", by_seed=True),
    "untrained_regulon_recovery": Part("recovery", "untrained", "untrained", by_seed=True),
    "nulls_regulon_recovery_uniform": Part("recovery", "nulls", "nulls", confounded=False),
    "nulls_regulon_recovery_confounded": Part("recovery", "nulls", "nulls", confounded=True),
    "power_regulon_recovery": Part("recovery", "power", "power"),
    "planted_knockout_linearity": Part("linearity", "planted", "planted", by_seed=True),
    "untrained_knockout_linearity": Part("linearity", "untrained", "untrained", by_seed=True),
    "nulls_knockout_linearity": Part("linearity", "nulls", "nulls"),
    "nulls_linearity": Part("linearity", "nulls_linearity", "nulls"),
    "power_knockout_linearity": Part("linearity", "power", "power"),
    "planted_jacobian_divergence": Part("divergence", "planted", "planted", by_seed=True),
    "untrained_jacobian_divergence": Part("divergence", "untrained", "untrained", by_seed=True),
    "nulls_jacobian_divergence_uniform": Part("divergence", "nulls", "nulls", confounded=False),
    "nulls_jacobian_divergence_confounded": Part("divergence", "nulls", "nulls", confounded=True),
    "power_jacobian_divergence": Part("divergence", "power", "power"),
    "planted_routing_coherence": Part("routing", "planted", "planted", by_seed=True),
    "untrained_routing_coherence": Part("routing", "untrained", "untrained", by_seed=True),
    "nulls_routing_coherence_uniform": Part("routing", "nulls", "nulls", confounded=False),
    "nulls_routing_coherence_confounded": Part("routing", "nulls", "nulls", confounded=True),
    "nulls_routing_coherence_correlation": Part("routing", "nulls_correlation", "nulls"),
    "power_routing_coherence": Part("routing", "power", "power"),
    "planted_detached_jacobian": Part("detached", "planted", "planted", by_seed=True),
    "untrained_detached_jacobian": Part("detached", "untrained", "untrained", by_seed=True),
    "nulls_detached_jacobian_uniform": Part("detached", "nulls", "nulls", confounded=False),
    "nulls_detached_jacobian_confounded": Part("detached", "nulls", "nulls", confounded=True),
    "power_detached_jacobian": Part("detached", "power", "power"),
    "planted_input_sensitivity": Part("sensitivity", "planted", "planted", by_seed=True),
    "untrained_input_sensitivity": Part("sensitivity", "untrained", "untrained", by_seed=True),
    "nulls_input_sensitivity_uniform": Part("sensitivity", "nulls", "nulls", confounded=False),
    "nulls_input_sensitivity_confounded": Part("sensitivity", "nulls", "nulls", confounded=True),
    "power_input_sensitivity": Part("sensitivity", "power", "power"),
    "planted_concept_alignment": Part("concepts", "planted", "planted", by_seed=True),
    "untrained_concept_alignment": Part("concepts", "untrained", "untrained", by_seed=True),
    "nulls_concept_alignment_uniform": Part("concepts", "nulls", "nulls", confounded=False),
    "nulls_concept_alignment_confounded": Part("concepts", "nulls", "nulls", confounded=True),
    "power_concept_alignment": Part("concepts", "power", "power"),
    "planted_output_clustering": Part("clustering", "planted", "planted", by_seed=True),
    "untrained_output_clustering": Part("clustering", "untrained", "untrained", by_seed=True),
    "nulls_output_clustering_uniform": Part("clustering", "nulls", "nulls", confounded=False),
    "nulls_output_clustering_confounded": Part("clustering", "nulls", "nulls", confounded=True),
    "power_output_clustering": Part("clustering", "power", "power"),
    "planted_regime_agreement": Part("regimes", "planted", "planted", by_seed=True),
    "untrained_regime_agreement": Part("regimes", "untrained", "untrained", by_seed=True),
    "nulls_regime_agreement_uniform": Part("regimes", "nulls", "nulls", confounded=False),
    "nulls_regime_agreement_confounded": Part("regimes", "nulls", "nulls", confounded=True),
    "power_regime_agreement": Part("regimes", "power", "power"),
    "planted_conserved_features": Part("conservation", "planted", "planted", by_seed=True),
    "untrained_conserved_features": Part("conservation", "untrained", "untrained", by_seed=True),
    "nulls_conserved_features_uniform": Part("conservation", "nulls", "nulls", confounded=False),
    "nulls_conserved_features_confounded": Part("conservation", "nulls", "nulls", confounded=True),
    "power_conserved_features": Part("conservation", "power", "power"),
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


def asked_of(name: str) -> dict[str, Any]:
    """Return what else a job's function is asked: another answer belongs to it, though its code is the same."""
    confounded = PARTS[name.partition("-")[0]].confounded
    return {} if confounded is None else {"confounded": confounded}


def run(name: str, sizes: Mapping[str, Any], seed: int) -> "pd.DataFrame":
    """Return the rows of one job: `sizes` are its own (`sizes_of`), `seed` that of the calibration."""
    key, _, number = name.partition("-")
    part = PARTS[key]
    function = getattr(import_module(f"pertprobe.calibration.{part.module}"), part.function)
    return function(sizes, int(number) if number else seed, **asked_of(name))
