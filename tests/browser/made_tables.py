"""Tables of a made run: evidence, verdicts, readings, answers, score card, evaluability."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from made_shape import LEVELS, Run

from pertprobe import evidence
from pertprobe.roles import COMPONENTS, LOOKUP, NETWORK, OBSERVED, SUBJECT
from pertprobe.stages.answer import ANSWERS, ASPECTS
from pertprobe.stages.answer import COLUMNS as ANSWER_COLUMNS
from pertprobe.stages.scorecard import COLUMNS as SCORE_COLUMNS
from pertprobe.stages.verdict import (
    COMPARISONS,
    FAIL,
    MIXED,
    NOT_EVALUABLE,
    PASS,
    READING_COLUMNS,
    READINGS,
    VERDICT_COLUMNS,
)

SPOKEN = (*LEVELS, "intervention", "accuracy")
"""Levels of the score card."""
KNOWN = (LOOKUP, COMPONENTS, NETWORK)
ROLES = (SUBJECT, OBSERVED)
CONTROLS = {"planted": ("found", "missed"), "lookup": ("passes", "fails"), "covariation": ("passes", "fails")}
REASONS = (
    "2 knocked-out genes of the program, 3 needed", "0 perturbations of the program, 3 needed",
    "no targets among the genes of the model", "strength not separable & <none> of the strata holds it",
)  # fmt: skip
WEAK = "power: effect -0.4 to 1.3 sd, 1 sd found in 12%; q 0.4 < 0.05 does not hold"
ASKED = 0.65
"""Share of the questions that can be put."""


def evidence_of(run: Run, probe: str) -> pd.DataFrame:
    """Return a row for each program, model and role; a probe of pairs has one for each pair."""
    declared = run.probes[probe]
    sides = _sides(run, declared.of_pairs)
    keys = pd.DataFrame(product(ROLES, run.programs, sides), columns=["role", "program", "side"])
    size, random = len(keys), run.random
    table = pd.DataFrame({name: [default] * size for name, default in evidence.COLUMNS.items()})
    table = table.assign(
        probe=probe, statistic=declared.primary, role=keys.role, program=keys.program,
        model=[model for model, _ in keys.side], reference=[reference for _, reference in keys.side],
        unit="gene" if declared.of_genes else "perturbation", n_permutations=9999,
    )  # fmt: skip
    table["panel"] = table.program if declared.of_panels else ""
    table["context"] = table.model.map(lambda name: run.models[name]["context"])
    table["regime"] = table.model.map(lambda name: run.models[name]["regime"])
    return _measured(table, random)


def _sides(run: Run, of_pairs: bool) -> list[tuple[str, str]]:
    pairs = [(model, reference) for listed in run.pairs.values() for model, reference in listed]
    return pairs if of_pairs else [(name, "") for name in run.models]


def _measured(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Fill in numbers: negative, tiny and missing ones; reasons where nothing was asked."""
    size = len(table)
    asked, effect, sd = random.random(size) < ASKED, random.normal(0.1, 0.3, size), random.uniform(0.01, 0.2, size)
    p = 10.0 ** random.uniform(-6, 0, size)
    numbers = {
        "estimate": effect + 0.01, "null_mean": np.full(size, 0.01), "null_sd": sd, "unit_sd": 3 * sd,
        "effect": effect, "ci_low": effect - 2 * sd, "ci_high": effect + 2 * sd,
        "p": p, "p_min": np.full(size, 1e-6), "q": np.minimum(3 * p, 1),
        "ceiling": random.uniform(0.3, 1, size), "disattenuated": effect / 0.7,
        "share_low": effect - 0.3, "share_high": effect + 0.3, "estimate_published": random.normal(0, 1e-7, size),
        "excess_redrawn": effect, "excess_redrawn_low": effect - 0.2, "excess_redrawn_high": effect + 0.2,
        "excess_rivals": effect, "excess_rivals_low": effect - 0.2, "excess_rivals_high": effect + 0.2,
    }  # fmt: skip
    numbers = {name: np.where(asked, values, np.nan) for name, values in numbers.items()}
    reasons = np.where(asked, "", random.choice(REASONS, size))
    counts = np.where(asked, random.integers(3, 40, size), random.integers(0, 3, size))
    return table.assign(**numbers, n=counts, n_background=200, p_used="p", evaluable=asked, reason=reasons)


def verdicts_of(run: Run, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a verdict for each row of the model itself, by q; every other miss is no answer."""
    rows = pd.concat([table[table.role == SUBJECT] for table in tables], ignore_index=True)
    random, passed = run.random, (rows.q < 0.05) & (rows.effect > 0)
    weak = ~passed & rows.evaluable & (random.random(len(rows)) < 0.5)
    unasked = weak | ~rows.evaluable
    shown = rows.q.map("q {:.3g} < 0.05".format)
    reasons = rows.reason.mask(weak, WEAK).mask(~unasked & ~passed, shown + " does not hold")
    controls = {f"{role}_control": random.choice([*words, "absent"], len(rows)) for role, words in CONTROLS.items()}
    d = rows.effect / rows.unit_sd
    return rows.assign(
        verdict=np.select([unasked, passed], [NOT_EVALUABLE, PASS], FAIL), reason=reasons,
        conditions=shown.where(rows.evaluable, ""), d=d, d_low=d - 1, d_high=d + 1,
        bayes_absence=10.0 ** (2 * d), power=random.random(len(rows)),
        smallest_effect=random.uniform(0.5, 4, len(rows)), planted_found=random.random(len(rows)),
        planted="", **controls,
    )[VERDICT_COLUMNS]  # fmt: skip


def readings_of(run: Run, verdict: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Return answer and reading of each model and program, then of each pair; without the probes by themselves.

    Those of `stages.verdict` join row by row, which takes a minute at the published size.
    """
    own = answers[answers.role == SUBJECT][["program", "model", "answer", "reason"]]
    levels = _levels(run, verdict)
    alone = own.merge(levels.reset_index(), on=["program", "model"], how="left")
    both = zip(alone.representation, alone.causal, strict=True)
    dual = [READINGS.get(each, NOT_EVALUABLE) for each in both]
    parts = [alone.assign(dual_reading=dual)]
    for comparison, pairs in run.pairs.items():
        for model, reference in pairs:
            sides = [levels.xs(name, level="model") for name in (model, reference)]
            found = _compared(*sides, COMPARISONS[comparison]).reset_index()
            parts.append(found.assign(model=model, reference=reference, comparison=comparison))
    table = pd.concat(parts, ignore_index=True).reindex(columns=READING_COLUMNS)
    return table.fillna("")


def _levels(run: Run, verdict: pd.DataFrame) -> pd.DataFrame:
    """Return the verdict of each level: what all its probes that could be asked say, or mixed."""
    level = {probe: name for name, probes in run.levels.items() for probe in probes}
    table = verdict.assign(level=verdict.probe.map(level)).dropna(subset=["level"])
    said = table.groupby(["program", "model", "level"]).verdict.agg(lambda each: frozenset(each) - {NOT_EVALUABLE})
    words = said.map(lambda each: NOT_EVALUABLE if not each else MIXED if len(each) > 1 else next(iter(each)))
    return words.unstack("level").reindex(columns=list(LEVELS), fill_value=NOT_EVALUABLE)


def _compared(first: pd.DataFrame, second: pd.DataFrame, words: dict[tuple[bool, bool], str]) -> pd.DataFrame:
    """Return the words of a comparison for each program and level; its reading is that of the representation."""
    table = first.copy()
    for level in LEVELS:
        pairs = zip(table[level], second.loc[table.index, level], strict=True)
        table[level] = [words[a == PASS, b == PASS] if {a, b} <= {PASS, FAIL} else NOT_EVALUABLE for a, b in pairs]
    return table.assign(dual_reading=table[LEVELS[0]])


def answers_of(run: Run) -> pd.DataFrame:
    """Return an answer for each model and program, for all genes, and for the models of known kind."""
    keys = [(program, model, SUBJECT) for program in ("", *run.programs) for model in run.models]
    keys += [("", model, role) for model in run.models for role in KNOWN]
    shares = run.random.normal(0.3, 0.4, (len(keys), len(ASPECTS)))
    rows = [_answer(run, *key, share) for key, share in zip(keys, shares, strict=True)]
    return pd.DataFrame(rows, columns=ANSWER_COLUMNS)


def _answer(run: Run, program: str, model: str, role: str, shares: np.ndarray) -> dict[str, Any]:
    known = dict(zip(ASPECTS, shares, strict=True))
    said = "; ".join(f"{name} {share:.2f} ({share - 0.2:.2f} to {share + 0.2:.2f})" for name, share in known.items())
    ends = {f"{name}{end}": share + by for name, share in known.items() for end, by in (("_low", -0.2), ("_high", 0.2))}
    entry = run.models[model]
    return {
        **{"program": program, "model": model, "role": role, "context": entry["context"], "regime": entry["regime"]},
        **{"answer": str(run.random.choice(ANSWERS)), "reason": said, "n": 12, "n_asked": 14, "reach": 1.0},
        **known, **ends,
    }  # fmt: skip


def scorecard_of(run: Run) -> pd.DataFrame:
    """Return a row for each model and level, and for the models of known kind beside those of the answer."""
    rows = [_score(run, model, SUBJECT, level) for level in SPOKEN for model in run.models]
    rows += [_score(run, model, role, level) for level in SPOKEN[3:] for model in run.models for role in KNOWN]
    rows[1] |= {"estimate": np.nan, "ci_low": np.nan, "ci_high": np.nan, "reason": REASONS[0]}
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def _score(run: Run, model: str, role: str, level: str) -> dict[str, Any]:
    entry, share = run.models[model], float(run.random.normal(0.2, 0.4))
    answer = str(run.random.choice(ANSWERS)) if level == SPOKEN[3] else ""
    return {
        **{"model": model, "role": role, "context": entry["context"], "regime": entry["regime"], "level": level},
        **{"estimate": share, "ci_low": share - 0.2, "ci_high": share + 0.3, "heterogeneity": 0.1},
        **{"bayes_factor": 3e-5, "answered": 9, "asked": len(run.programs), "rank": 1, "rank_low": 1, "rank_high": 3},
        **{"answer": answer, "reason": ""},
    }  # fmt: skip


def evaluability_of(run: Run) -> pd.DataFrame:
    """Return how many units each program has, for each probe and model."""
    keys = pd.DataFrame(product(run.probes, run.models, run.programs), columns=["probe", "model", "program"])
    enough = run.random.random(len(keys)) < ASKED
    counts = {name: run.random.integers(0, 40, len(keys)) for name in ("n_members", "n_perturbations", "n_genes")}
    entries = keys.model.map(run.models.get)
    return keys.assign(
        context=entries.map(lambda entry: entry["context"]), regime=entries.map(lambda entry: entry["regime"]),
        panel="", **counts, seen_here=1, seen_elsewhere=1, seen_never=1, seen_unknown=0, n_pairs=0, enough=enough,
        reason=np.where(enough, "", run.random.choice(REASONS, len(keys))),
    )  # fmt: skip
