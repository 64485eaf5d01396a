"""The further tables that probes would have made of a large run, with the columns that they declare."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertprobe.probes.base import tabulated
from pertprobe.probes.declaration import declared
from pertprobe.statistics.power import benjamini_hochberg

if TYPE_CHECKING:
    from stand_in import Run

Parts = dict[str, pd.DataFrame]
FEATURES, COMPONENTS, CLUSTERS = 4000, 10, 12
MOST_PROGRAMS = 60
"""Programs in the tables that have a row for each of them and something else."""


def tables(probe: str, run: "Run") -> Parts:
    """Return the tables of a probe by name; none where it declares none."""
    if not declared(probe).tables["names"]:
        return {}
    made = MADE.get(probe, lambda *_: {})
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in declared(probe).tables["names"]}
    for who in _sides(probe, run):
        for name, table in made(run, run.random("table", probe, *who.values())).items():
            parts[name].append(table.assign(**who))
    return tabulated(probe, **parts)


def _sides(probe: str, run: "Run") -> Iterator[dict[str, str]]:
    if not declared(probe).tables["pairs"]:
        yield from ({"model": name} for name in run.model_names)
        return
    for kind in declared(probe).pairs:
        yield from ({"model": model, "reference": reference} for model, reference in run.pairs.get(kind, ()))


def of_contexts(run: "Run", rng: np.random.Generator) -> Parts:
    """Return how much two contexts differ under every perturbation."""
    n = run.perturbations
    strength, own = rng.lognormal(0, 1, n), rng.lognormal(-1, 0.5, n)
    columns = {"divergence": own * 2, "own_divergence": own, "cosine": rng.random(n), "strength": strength}
    programs = pd.DataFrame({"program": list(run.program_sets), "n": 5})
    for name in ("own_divergence", "others", "other_programs", "ratio"):
        programs[name] = rng.lognormal(0, 0.2, len(programs))
    return {"perturbations": pd.DataFrame({"perturbation": run.names, **columns}), "programs": programs}


def of_features(run: "Run", rng: np.random.Generator) -> Parts:
    """Return every feature of a pair."""
    r = np.where(rng.random(FEATURES) < 0.7, np.clip(rng.normal(0.2, 0.3, FEATURES), -1, 1), np.nan)
    table = pd.DataFrame({"feature": range(FEATURES), "r": r, "p": rng.random(FEATURES), "conserved": r > 0.5})
    table["stable"] = (rng.random(FEATURES) < 0.4).astype(float)
    table["program"] = rng.choice(list(run.program_sets), FEATURES)
    table = table.assign(named_by=3, scored_on=3)
    for name in ("score_naming", "score_held_out", "p_held_out"):
        table[name] = rng.random(FEATURES)
    table["q_held_out"] = benjamini_hochberg(table.p_held_out)
    counts = {"features": FEATURES, "varying": int(table.r.notna().sum()), "conserved": int(table.conserved.sum())}
    shares = {"by_chance": 40.0, "p": 0.001, "stable_conserved": 0.6, "stable_others": 0.3, "named": 12}
    return {"features": table, "summary": pd.DataFrame([counts | shares])}


def of_silenced(run: "Run", rng: np.random.Generator) -> Parts:
    """Return what silencing each knocked-down gene says of its knock-down."""
    n = min(run.perturbations, run.genes)
    table = pd.DataFrame({"gene": run.names[:n]})
    few = dict([*run.program_sets.items()][:30])
    table["programs"] = [", ".join(name for name, each in few.items() if gene in each) for gene in table.gene]
    for name in ("beyond_covariation", "fidelity", "code_agreement", "accuracy", "strongest_rival"):
        table[name] = np.clip(rng.normal(0.15, 0.3, n), -1, 1)
    for name in ("ceiling_beyond_covariation", "ceiling_fidelity"):
        table[name] = np.where(rng.random(n) < 0.9, rng.random(n), np.nan)
    return {"genes": table}


def of_knockouts(run: "Run", rng: np.random.Generator) -> Parts:
    """Return how well each knock-out is foretold in each cell set."""
    genes = run.gene_names[:200]
    table = pd.DataFrame([(gene, i) for gene in genes for i in range(2)], columns=["gene", "set"])
    n = len(table)
    return {"genes": table.assign(lost=rng.lognormal(0, 1, n), explained=1 - rng.lognormal(-2, 1, n),
                                  slope=rng.normal(1, 0.2, n), curvature=rng.normal(0, 0.1, n))}  # fmt: skip


def of_clusters(run: "Run", rng: np.random.Generator) -> Parts:
    """Return the clusters and the map of the perturbations, and what each cluster holds of each program."""
    n = run.perturbations
    cluster = np.sort(rng.integers(CLUSTERS, size=n))
    places = rng.normal(size=(CLUSTERS, 2))[cluster] * 5 + rng.normal(size=(n, 2))
    columns = {"cluster": cluster, "cluster_published": cluster, "umap_1": places[:, 0], "umap_2": places[:, 1]}
    return {"clusters": pd.DataFrame({"perturbation": run.names, **columns}), "enrichment": _enriched(run, rng)}


def _enriched(run: "Run", rng: np.random.Generator) -> pd.DataFrame:
    rows = [*product(("centred", "raw"), run.program_sets, range(CLUSTERS))]
    table = pd.DataFrame(rows, columns=["adjustment", "program", "cluster"])
    table = table.assign(size=run.perturbations // CLUSTERS, members=rng.integers(0, 6, len(table)), expected=1.0)
    table["p"] = np.clip(rng.beta(0.4, 1, len(table)) ** 2, 1e-9, 1)
    return table.assign(q=benjamini_hochberg(table.p))


def of_regimes(run: "Run", rng: np.random.Generator) -> Parts:
    """Return how alike few-shot and zero-shot answer each perturbation."""
    n = run.perturbations
    r = np.clip(rng.normal(0.4, 0.25, n), -1, 1)
    seen: dict[str, Any] = {"seen": "here", "seen_reference": "elsewhere", "strength": rng.lognormal(0, 1, n)}
    seen |= {"strength_reference": rng.lognormal(0, 1, n), "r": r, "r_partners": rng.uniform(-0.1, 0.3, n)}
    seen |= {"r_published": r, "ceiling": np.minimum(1, r + 0.3), "disattenuated": r}
    return {"perturbations": pd.DataFrame({"perturbation": run.names, **seen})}


def of_routes(run: "Run", rng: np.random.Generator) -> Parts:
    """Return how like routes go with like answers, and what each component of the routes moves."""
    answers = np.sort(rng.uniform(-0.5, 0.9, (2, 10)), axis=1)
    kinds = np.repeat(["centred", "raw"], 10)
    deciles = pd.DataFrame({"decile": [*range(10)] * 2, "adjustment": kinds, "pairs": 199900})
    deciles = deciles.assign(delta_y_similarity=answers.ravel(), routing_similarity=answers.ravel() / 2)
    summary = pd.DataFrame({"adjustment": ["centred", "raw"], "n": run.perturbations, "pearson": [0.4, 0.6]})
    summary = summary.assign(pearson_se=[0.02, np.nan], spearman=0.4, onehot=np.nan, cluster_ratio=1.4, first_share=0.3)
    names = list(run.program_sets)[:MOST_PROGRAMS]
    table = pd.DataFrame([(c + 1, name) for c in range(COMPONENTS) for name in names], columns=["component", "program"])
    share = np.sort(rng.dirichlet(np.ones(COMPONENTS)))[::-1]
    table = table.assign(share=share[table.component - 1], n=5, shift=rng.normal(size=len(table)))
    table["p"] = np.clip(rng.beta(0.3, 2, len(table)) ** 2, 1e-4, 1)
    return {"components": table.assign(q=benjamini_hochberg(table.p)), "deciles": deciles, "summary": summary}


MADE: dict[str, Callable[["Run", np.random.Generator], Parts]] = {
    "conserved_features": of_features,
    "intervention_fidelity": of_silenced,
    "jacobian_divergence": of_contexts,
    "knockout_linearity": of_knockouts,
    "output_clustering": of_clusters,
    "regime_agreement": of_regimes,
    "routing_coherence": of_routes,
}
"""Probe -> what makes its tables of one model or pair; of all others they have columns and no rows."""
