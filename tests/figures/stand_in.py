"""A run that nobody could wait for in a test: what every probe draws from, at the size of a genome-wide screen.

Evidence has random numbers in the range of its statistics, with all that figures stumble over: rows that were not
evaluable, intervals that are nan or reach beyond the range, notes, names of programs of 132 letters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from stand_in_measurements import measurement
from stand_in_tables import tables

from pertprobe import evidence
from pertprobe.data.programs import Programs
from pertprobe.plots import DrawInputs, within
from pertprobe.probes.declaration import declared
from pertprobe.seeding import generator

LONGEST = 132
"""Letters in the longest name of a Reactome gene set."""
WORDS = [
    "regulation", "activation", "signaling", "transport", "of_insulin_like_growth_factor", "degradation", "interferon",
    "by_receptor_tyrosine_kinases", "assembly_of_the_pre_replicative_complex", "in_the_mitochondrial_matrix",
    "rna_polymerase_ii", "cell_cycle", "and_of", "nonsense_mediated_decay_independent_of_the_exon_junction_complex",
]  # fmt: skip
REASONS = (
    "2 perturbations of the program, 3 needed",
    "no program has two perturbations with a trained code; the encoder of this model saw perturbed cells; both models "
    "were trained on cells of K562, so that first-order agreement can be of what varies together there",
)
NOTE = "named by g0001, g0004, g0011; 3 without a response left out: g0007, g0008, g0009; causal attention: results "
NOTE += "depend on the order of cells; members trained: 4 here, 3 elsewhere"

WHOLE = {
    "recovered_layer", "conserved", "conserved_pca", "conserved_hidden", "consistency", "cluster_agreement",
    "correlation", "correlation_spearman", "correlation_onehot", "same_cluster", "shared_share",
    "divergence_and_strength", "agreement_all", "agreement_all_genes", "agreement_beyond_rivals_all_genes",
    "beyond_covariation_all_genes", "fidelity_all_genes", "code_agreement_all_genes", "accuracy_all_genes",
}  # fmt: skip
"""Statistics of all units together."""
DESCRIBED = {
    "recovered_layer", "shared_share", "divergence_and_strength", "crossing_share", "reach", "slope", "curvature",
}  # fmt: skip
"""Statistics without a null."""
OF_ONE = {"knockout": ("coherence",)}
"""Probe of pairs -> what it asks of single models."""
OF_TWO = {"consistency", "cluster_agreement"}
"""What probes of single models ask of pairs."""
RANGES = {
    "rank_score": (0, 1), "rank_score_alternative": (0, 1), "rank_score_control_pairs": (0, 1),
    "rank_score_with_gain": (0, 1), "crossing_share": (0, 1), "influence_rank": (0, 1), "input_rank": (0, 1),
    "output_rank": (0, 1), "shared_share": (0, 1), "cav_accuracy": (0, 1), "alignment": (0, 1),
    "alignment_first": (0, 1), "outcome_agreement": (0, 1), "conserved": (0, 1), "own_divergence": (0, 3),
    "divergence": (0, 3), "gained": (-2, 2), "slope": (-2, 2), "curvature": (-2, 2),
}  # fmt: skip
"""Statistic -> where it can lie; all others from -1 to 1."""


@dataclass(frozen=True)
class Run:
    """What a run of some size would have measured; everything follows from its numbers and its seed."""

    perturbations: int = 2000
    programs: int = 674
    models: int = 3
    genes: int = 2000
    """Measured genes."""
    panels: int = 40
    evaluable: float = 0.85
    """Share of rows that could be asked."""
    seed: int = 0
    contexts: Sequence[str] = field(default=("k562", "rpe1", "hepg2"))

    @cached_property
    def names(self) -> list[str]:
        """The perturbations, sorted."""
        return [f"g{i:04d}" for i in range(self.perturbations)]

    @cached_property
    def gene_names(self) -> list[str]:
        """The measured genes, sorted: most of the perturbations among them."""
        return [f"g{i:04d}" for i in range(0, 2 * self.genes, 2)]

    @property
    def model_names(self) -> list[str]:
        """The models, in the order of the run."""
        regimes = ("fewshot", "fewshot", "zeroshot")
        contexts = self.contexts[0], self.contexts[1], self.contexts[0]
        return [f"{context}_{regime}" for context, regime in zip(contexts, regimes, strict=True)][: self.models]

    @property
    def pairs(self) -> dict[str, list[tuple[str, str]]]:
        """Kind of comparison -> model and reference."""
        first, *others = self.model_names
        return {kind: [(first, other)] for kind, other in zip(("contexts", "regimes"), others, strict=False)}

    @cached_property
    def program_sets(self) -> Programs:
        """Program -> its members, from 3 to a tenth of all perturbations."""
        rng, most = self.random("programs"), max(4, self.perturbations // 10)
        sizes = np.clip(rng.lognormal(2.5, 0.8, self.programs), 3, most).astype(int)
        named = [long_name(rng, i) for i in range(self.programs)]
        return Programs({name: rng.choice(self.names, n, replace=False) for name, n in zip(named, sizes, strict=True)})

    @cached_property
    def panel_sets(self) -> dict[str, dict[str, Any]]:
        """Panel -> its program, regulators and targets, as a config states them."""
        rng, chosen = self.random("panels"), list(self.program_sets)[: self.panels]
        genes = {name: rng.choice(self.gene_names, 7, replace=False).tolist() for name in chosen}
        return {name: {"program": name, "regulators": genes[name][:2], "targets": genes[name][2:]} for name in chosen}

    def random(self, *names: object) -> np.random.Generator:
        """Return the generator of one draw."""
        return generator(self.seed, "stand-in", *names)

    def inputs(self, probe: str) -> DrawInputs:
        """Return what a probe draws of this run."""
        settings = declared(probe).default_settings
        models = {name: dict(zip(("context", "regime"), name.split("_"), strict=True)) for name in self.model_names}
        question = {"settings": settings, "panels": self.panel_sets, "models": models}
        measured = {name: measurement(probe, self, name) for name in self.model_names}
        table, thresholds = within(self.evidence(probe), declared(probe).ranges), declared(probe).thresholds
        return DrawInputs(table, measured, self.program_sets, question, tables(probe, self), thresholds)

    def evidence(self, probe: str) -> pd.DataFrame:
        """Return the evidence of a probe on every model and pair."""
        declaration = declared(probe)
        rows = pd.concat([evidence.frame([]), *self._asked(probe)], ignore_index=True)
        table = rows.assign(probe=probe).sort_values(evidence.KEYS, kind="stable", ignore_index=True)
        return evidence.with_q(table, declaration.primary, declaration.compared_in)

    def _asked(self, probe: str) -> Iterator[pd.DataFrame]:
        declaration = declared(probe)
        for statistic in declaration.statistics:
            for model, reference in self._sides(probe, statistic):
                who = {"statistic": statistic, "model": model, "reference": reference}
                rng = self.random("evidence", probe, *who.values())
                unit = "gene" if declaration.of_genes else "perturbation"
                table = self._subjects(probe, statistic).assign(**who, unit=unit)
                table["context"], table["regime"] = model.split("_")
                yield self._numbers(table, statistic, rng)

    def _sides(self, probe: str, statistic: str) -> list[tuple[str, str]]:
        declaration = declared(probe)
        pairs = [pair for kind in declaration.pairs for pair in self.pairs.get(kind, ())]
        single = [(name, "") for name in self.model_names]
        if declaration.of_pairs:
            return single if statistic in OF_ONE.get(probe, ()) else pairs
        return pairs if statistic in OF_TWO else single

    def _subjects(self, probe: str, statistic: str) -> pd.DataFrame:
        """Return the programs and panels that a statistic is asked of."""
        if probe == "regulon_recovery":
            asked = [(name, regulons) for regulons in ("collectri", "trrust") for name in ("", *self.program_sets)]
            return pd.DataFrame(asked, columns=["program", "panel"])
        if declared(probe).of_panels or statistic == "recovered_targets":
            asked = [(each["program"], name) for name, each in self.panel_sets.items()]
            return pd.DataFrame(asked, columns=["program", "panel"])
        programs = [""] if statistic in WHOLE else list(self.program_sets)
        return pd.DataFrame({"program": programs, "panel": ""})

    def _numbers(self, table: pd.DataFrame, statistic: str, rng: np.random.Generator) -> pd.DataFrame:
        """Return rows with numbers drawn for them: some are not evaluable, some have a note, some no interval."""
        n = len(table)
        evaluable, tested = rng.random(n) < self.evaluable, statistic not in DESCRIBED
        numbers = pd.DataFrame(drawn_numbers(rng, n, *RANGES.get(statistic, (-1, 1)), tested=tested))
        numbers.loc[rng.random(n) < 0.1, ["ci_low", "ci_high"]] = np.nan
        numbers[~evaluable] = np.nan
        counts = np.array([len(self.program_sets.get(name, self.names)) for name in table.program])
        notes = np.where(rng.random(n) < 0.3, NOTE, "")
        said = {
            "n": np.where(evaluable, counts, 2),
            "n_background": self.perturbations,
            "evaluable": evaluable,
            "p_used": np.where(evaluable & tested, "p", ""),
            "reason": np.where(evaluable, notes, np.array(REASONS)[rng.integers(len(REASONS), size=n)]),
        }
        return pd.DataFrame({**evidence.COLUMNS, **table, **numbers, **said}, table.index)


def drawn_numbers(rng: np.random.Generator, n: int, low: float, high: float, *, tested: bool) -> dict[str, np.ndarray]:
    """Return columns of n rows of a statistic in a range; intervals reach beyond it, as those of a jackknife do."""
    width = high - low
    null, half = low + width * rng.uniform(0.3, 0.5, n), width * rng.uniform(0.02, 0.3, n)
    estimate = np.clip(null + width * rng.normal(0.05, 0.15, n), low, high)
    found = {"estimate": estimate, "ci_low": estimate - half, "ci_high": estimate + half}
    if not tested:
        return found
    found |= {"null_mean": null, "null_sd": width * rng.uniform(0.02, 0.1, n), "effect": estimate - null}
    found |= {"p": np.clip(rng.beta(0.5, 2, n), 1e-4, 1), "p_min": np.full(n, 1e-4)}
    found |= {"estimate_published": estimate, "p_published": rng.random(n)}
    found |= {"ceiling": np.minimum(high, estimate + half), "disattenuated": rng.uniform(0, 1.5, n)}
    found |= {"share_low": rng.uniform(-0.2, 0.3, n), "share_high": rng.uniform(0.5, 1.8, n)}
    for excess in ("excess_redrawn", "excess_rivals"):
        found |= {excess + end: rng.normal(by, 1, n) for end, by in (("", 1), ("_low", 0), ("_high", 3))}
    return found


def long_name(rng: np.random.Generator, i: int) -> str:
    """Return a name as gene sets have, unlike any other; one in ten is as long as they come."""
    words = list(rng.choice(WORDS, 12))
    wanted = LONGEST if i % 10 == 0 else int(rng.integers(14, 80))
    return f"REACTOME_{i:03d}_{'_'.join(words)}".upper()[:wanted].rstrip("_")
