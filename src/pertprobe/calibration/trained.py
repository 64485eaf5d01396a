"""Trained models: are the programs planted in their data found, and the decoys not? The demo over many seeds."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pertprobe.calibration.table import frame, share
from pertprobe.calibration.world import COLUMNS, CONTEXTS, FOUND, NOMINAL, Case, Row, World, family, passing, world
from pertprobe.interpret.sae import train_sae
from pertprobe.interpret.sae.pool import pooled_activations, sae_seed
from pertprobe.models.cards import own_split, perturbation_table
from pertprobe.models.state.train import train
from pertprobe.probes.base import members
from pertprobe.probes.declaration import all_declared
from pertprobe.seeding import generator
from pertprobe.stages.testing import TestCase, run_test
from pertprobe.statistics.coherence import coherence
from pertprobe.statistics.similarity import centred, cosine_similarity

FIGURE = "trained models"
SAE = {"expansion": 8, "k": 4}
LIMIT = 100_000
"""Activations drawn per model, the default of a run."""
COPIES = 5
PERMUTATIONS = 1999
"""Of the noise-free responses."""
BARS = {
    "planted": FOUND,
    "decoys": NOMINAL,
    "planted, members not trained here": {"note": "no bound: where they were trained the program is not coherent"},
    "decoys whose noise-free responses are alike": {"note": "no bound: p < 0.05 in the truth itself, so no null"},
    "planted in the other context": {"note": "no bound: State's perturbation code knows no context"},
}
"""What of a program was planted -> what must be said of it."""
ALIKE = 0.05
"""Decoys whose noise-free responses reach this p in either context are no null: a code knows no context."""


def trained(sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return the shares of programs that pass in few-shot models of either context, trained on one simulated data set.

    As the demo does it: one SAE for both models, five untrained copies of each kind, the default thresholds, one family
    of q over both models and all programs. Of the probes that declare it.
    """
    probes = [probe for probe in all_declared().values() if probe.calibration["trained"]]
    with world(sizes["simulate"], seed) as made:
        models = {context: _trained(made, context, sizes, seed) for context in CONTEXTS}
        pool = [(name, model, made.cells[name].for_genes(model.genes)) for name, (model, _) in models.items()]
        activations = pooled_activations(pool, "middle", LIMIT, seed)
        sae = train_sae(activations, seed=sae_seed(seed, "joint", 0), steps=sizes["sae_steps"], **SAE)
        here = {context: set(seen.index[seen == "here"]) for context, (_, seen) in models.items()}
        rows = []
        for probe in probes:
            case = Case(probe, made, sizes["permutations"], seed)
            tables = [_table(case, name, *models[name], sae) for name in CONTEXTS]
            rows += _shares(case, here, family(tables, case.probe.primary))
        return frame(rows)


def _trained(made: World, context: str, sizes: Mapping[str, Any], seed: int) -> tuple[Any, pd.Series]:
    """Return a few-shot model, and which perturbations it has seen."""
    folder, how = Path(made.path).parent / context, {"context": context, "regime": "fewshot", "seed": seed}
    model = train(made.path, output=folder, steps=sizes["steps"], **how, **COLUMNS)
    return model, perturbation_table(model, own_split(folder), context).seen


def _table(case: Case, context: str, model: Any, seen: pd.Series, sae: Any) -> pd.DataFrame:
    """Return the evidence of a probe on one model."""
    inputs = case.inputs(context, model, sae=sae, programs=case.made.programs)
    subject = case.subject(inputs, redrawn=COPIES, seed=case.seed)
    subject = replace(subject, seen=seen.reindex(subject.strength.index, fill_value="here"))
    return run_test(case.probe.name, TestCase(case.question(inputs, [subject], case.made.programs, case.made.panels)))


def _shares(case: Case, here: Mapping[str, set[str]], table: pd.DataFrame) -> Iterator[Row]:
    made, seed = case.made, case.seed
    alike = _alike(made, seed)
    kinds = [_kind(made, row.program, row.context, here[row.context], alike) for row in table.itertuples()]
    passed = pd.Series(passing(table, case.probe.thresholds), index=pd.Index(kinds))
    for kind, bar in BARS.items():
        yield share(FIGURE, case.probe.name, kind, passed[passed.index == kind].to_numpy(), seed=seed, **bar)


def _kind(made: World, program: str, context: str, here: set[str], alike: set[str]) -> str:
    """Return what was planted of a program in the data of one model, a key of BARS; `here`: trained in its context."""
    planted = made.simulation.truth.set_index(["program", "context"]).planted[program, context]
    if planted == "decoy":
        return "decoys whose noise-free responses are alike" if program in alike else "decoys"
    if planted == "absent":
        return "planted in the other context"
    learnt = planted == "shared" or set(made.programs[program]) <= here
    return "planted" if learnt else "planted, members not trained here"


def _alike(made: World, seed: int) -> set[str]:
    """Return the programs whose members' noise-free responses are more alike than chance in a context.

    Coherent programs pull the mean response towards themselves; less that mean, all others are a little alike.
    """
    found = set()
    for context in CONTEXTS:
        effects = made.simulation.effects.loc[context]
        similarity, strength = cosine_similarity(centred(effects.to_numpy())), np.linalg.norm(effects, axis=1)
        for program, listed in made.programs.items():
            rng = generator(seed, "calibration", "alike", context, program)
            test = coherence(similarity, members(effects.index, listed), strength, PERMUTATIONS, rng)
            found |= {program} if getattr(test, test.p_used) < ALIKE else set()
    return found
