"""Planted models: does every probe find the mechanism, and nothing in a lookup and in mere co-variation?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pertprobe import evidence
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.world import (
    CONDITIONS,
    CONTEXTS,
    PROBES,
    Measured,
    World,
    family,
    measured,
    passing,
    question,
    world,
)
from pertprobe.controls import with_controls
from pertprobe.models.planted import planted_models
from pertprobe.models.planting import expressed_genes
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.seeding import generator
from pertprobe.simulate import CONTROL
from pertprobe.verdict import of_planted

FIGURE = "planted models"
CAUSAL = ("targeted_jacobian", "knockout")
FOUND = {"sense": "at least", "level": 0.95}
NOMINAL = {"sense": "at most", "level": 0.05}
STRONG = 3.0
"""Strength at which planted representations must be found."""
WORDS = {"planted": "mechanistic", "lookup": "lookup", "covariation": "co-variation"}


def planted(sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return the shares of programs that pass in the three planted models of one simulated data set.

    Each planted model is judged as if it were the subject, under the default thresholds without the conditions that it
    does not have (verdict.OWN); knock-out also with exceeds_coexpression, which is what is to hold co-variation. Panels
    are asked in either context, and knock-outs between the two. Null programs are random sets of the planted
    programs' sizes that the model knows nothing of.
    """
    with world(sizes["simulate"], seed) as made:
        every = {context: models_of(made, context, sizes["d"], seed) for context in CONTEXTS}
        observed = {context: made.observed(context) for context in CONTEXTS}
        rows = [
            row
            for kind in WORDS
            for row in _kind(kind, made, {c: every[c][kind] for c in CONTEXTS}, observed, sizes, seed)
        ]
        strong = {context: models_of(made, context, STRONG, seed)["planted"] for context in CONTEXTS}
        for models, d, bar in ((strong, STRONG, FOUND), ({c: every[c]["planted"] for c in CONTEXTS}, sizes["d"], {})):
            rows += _representation(made, models, d, bar, sizes, seed)
    return frame(rows)


def models_of(made: World, context: str, d: float, seed: int, set_term: float = 0.0) -> dict[str, Any]:
    """Return the models of one context; genes without a role are drawn alike for both."""
    cells = [each.values.reshape(-1, len(made.genes)) for each in made.cells.values()]
    expressed = frozenset.intersection(*(expressed_genes(values, made.genes) for values in cells))
    return planted_models(
        genes=made.genes,
        perturbations=made.perturbations,
        control=CONTROL,
        cells=made.cells[context],
        programs=made.programs,
        panels=made.panels,
        expressed=expressed,
        d=d,
        seed=seed,
        set_term=set_term,
    )


def _kind(
    kind: str, made: World, models: Mapping[str, Any], observed: Mapping[str, Any], sizes: Mapping[str, Any], seed: int
) -> Iterator[dict[str, Any]]:
    settings = {"knockout": {"genes": sizes["knocked"]}}
    found = {
        context: measured(
            f"{kind}_{context}", model, made, context, tuple(PROBES), settings=settings, panels=made.panels,
            observed=observed[context],
        )
        for context, model in models.items()
    }  # fmt: skip
    true = kind == "planted"
    for probe in CAUSAL:
        table = _table(probe, found, made.programs, made.panels, sizes, seed)
        for words, conditions in _conditions(probe):
            # Knock-out agreement alone cannot tell co-variation that two contexts share: that is the other row's task.
            judged = true or kind == "lookup" or probe == "targeted_jacobian" or bool(words)
            bar = FOUND if true else NOMINAL
            passed = passing(table, conditions)
            yield share(FIGURE, probe, f"{WORDS[kind]}{words}", passed, seed=seed, **(bar if judged else {}))


def _representation(
    made: World, models: Mapping[str, Any], d: float, bar: Mapping[str, Any], sizes: Mapping[str, Any], seed: int
) -> Iterator[dict[str, Any]]:
    """Ask the probes of codes, which the three planted models share: of planted programs, and of random ones."""
    probes = ("sae_features", "pert_embedding")
    found = {context: measured(f"codes_{context}", model, made, context, probes) for context, model in models.items()}
    for probe in probes:
        (_, conditions), *_ = _conditions(probe)
        passed = passing(_table(probe, found, made.programs, {}, sizes, seed), conditions)
        yield share(FIGURE, probe, f"planted programs, d = {d:g}", passed, seed=seed, **bar)
        passed = passing(_table(probe, found, random_programs(made, seed), {}, sizes, seed), conditions)
        yield share(FIGURE, probe, f"random programs beside d = {d:g}", passed, seed=seed, **NOMINAL)


def _conditions(probe: str) -> list[tuple[str, Sequence[tuple[str, str, Any]]]]:
    """Return the conditions that planted models can be asked, and for knock-out those with co-expression."""
    plain = of_planted(CONDITIONS[probe])
    if probe != "knockout":
        return [("", plain)]
    return [("", plain), (", exceeding co-expression", [*plain, ("exceeds_coexpression", "==", True)])]


def _table(
    probe: str, found: Mapping[str, Measured], programs: Programs, panels: Mapping[str, Any], sizes: Mapping[str, Any],
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    """Return the rows of one probe over both contexts, one family."""
    module, started = PROBES[probe], declared(probe).compared_in
    mine, other = (found[context] for context in CONTEXTS)
    pairs = [(mine, other)] if probe == "knockout" else [(mine, None), (other, None)]
    asked = [question(probe, *pair, programs, sizes, seed, panels=panels) for pair in pairs]
    tables = [
        with_controls(
            evidence.frame([*module.controlled(each), *module.references(each)]),
            started,
            started,
            declared(probe).common_scale,
        )
        for each in asked
    ]
    return family(tables, started, started)


def random_programs(made: World, seed: int, *what: str) -> Programs:
    """Return random sets of perturbations, as many and as large as the planted programs; `what` names the draw."""
    draws = {name: generator(seed, "calibration", "random", *what, name) for name in made.programs}
    return Programs(
        {
            f"random_{name}": rng.choice(made.perturbations, len(made.programs[name]), replace=False).tolist()
            for name, rng in draws.items()
        }
    )


def beside_random(
    probe: str, table: pd.DataFrame, statistic: str, conditions: Sequence[tuple[str, str, Any]], random: Programs,
    bar: Mapping[str, Any], settings: tuple[str, str], seed: int,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield the share of planted programs that pass, which has the bar, and that of random ones.

    Both are families of their own for q, judged by the conditions that planted models can be asked; `settings` are
    their words.
    """
    table = table[table.program != ""].reset_index(drop=True)
    at_random = table.program.isin(list(random))
    for words, mine, each in zip(settings, (~at_random, at_random), (bar, NOMINAL), strict=True):
        family = evidence.with_q(table[mine], statistic, statistic)
        yield share(FIGURE, probe, words, passing(family, of_planted(conditions)), seed=seed, **each)
