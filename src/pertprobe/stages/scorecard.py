"""Evidence and answers -> the score card: what each model holds at each level, as a share of what the data allow.

Of representation, routing and causal level: what the counted probes find in the model beside what the same probes find
in the observed responses. Of intervention and accuracy: the answer of all perturbed genes. Models are ranked over the
programs that all of them answer. Knows no probe by name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pertprobe.evidence import joined
from pertprobe.files import read_table
from pertprobe.roles import KNOWN, OBSERVED, SUBJECT
from pertprobe.seeding import generator
from pertprobe.statistics.fidelity import share_of
from pertprobe.statistics.pooling import bayes_factor, heterogeneity

INTERVENTION, ACCURACY = "intervention", "accuracy"
ASPECTS = {INTERVENTION: "mechanism", ACCURACY: "accuracy"}
"""Levels that the answer speaks of -> the aspect whose share they are."""
WHO = ["model", "role", "context", "regime"]
COLUMNS = [
    *WHO,
    *("level", "estimate", "ci_low", "ci_high", "heterogeneity", "bayes_factor", "answered", "asked"),
    *("rank", "rank_low", "rank_high", "answer", "reason"),
]
DRAWS = 999
"""Of programs, for the intervals of ranks."""

TEXTS = [*WHO, "level", "answer", "reason"]


class Scores(NamedTuple):
    """What one level rests on."""

    rows: pd.DataFrame
    """A row for each model: `WHO`, estimate, ci_low, ci_high, answered, asked, answer, reason."""
    programs: pd.DataFrame
    """A row for each model and program: `WHO`, program, value, ceiling, variance."""


def scorecard(
    evidence: Mapping[str, pd.DataFrame],
    answers: pd.DataFrame,
    levels: Mapping[str, Sequence[str]],
    primary: Mapping[str, str],
    answering: Mapping[str, Mapping[str, str]],
    seed: int,
) -> pd.DataFrame:
    """Return a row for each model and level.

    Args:
        evidence: probe -> its rows.
        answers: what `stages.answer` says.
        levels: level -> probes that count in it.
        primary: probe -> its primary statistic.
        answering: probe that answers -> aspect -> its statistic.
        seed: of the draws of programs, for the intervals of ranks.
    """
    found = {level: _of_probes(evidence, probes, primary) for level, probes in levels.items()}
    for probe, statistics in answering.items():
        for level, aspect in ASPECTS.items():
            found[level] = _of_answers(answers, evidence[probe], aspect, statistics[aspect])
    parts = [_complete(level, scores, seed) for level, scores in found.items() if len(scores.rows)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def read_scorecard(path: str | Path) -> pd.DataFrame:
    """Read the score card of a run."""
    return read_table(path, TEXTS)


def _of_probes(evidence: Mapping[str, pd.DataFrame], probes: Sequence[str], primary: Mapping[str, str]) -> Scores:
    """Return the scores of a level that probes speak for: effects in sd of single units, over those of the data."""
    tables = [_standardised(evidence[probe], primary[probe]) for probe in probes if probe in evidence]
    if not tables:
        return Scores(pd.DataFrame(), pd.DataFrame())
    table = pd.concat(tables)
    answered = table.dropna(subset=["value", "ceiling"])
    programs = answered.groupby([*WHO, "program"], as_index=False)[["value", "ceiling", "variance"]].mean()
    rows = []
    for who, asked in table.groupby(WHO):
        mine = _of(programs, who)
        share = share_of(mine.value.to_numpy(), mine.ceiling.to_numpy())
        silent = sorted(set(asked.probe) - set(_of(answered, who).probe))
        reason = joined(_why_no_share(mine, share.low), f"not compared with data: {', '.join(silent)}" * bool(silent))
        numbers = dict(zip(("estimate", "ci_low", "ci_high"), share, strict=True))
        counts = {"answered": len(mine), "asked": asked.program.nunique()}
        rows.append({**dict(zip(WHO, who, strict=True)), **numbers, **counts, "answer": "", "reason": reason})
    return Scores(pd.DataFrame(rows), programs)


def _standardised(table: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Return value and variance of each program's primary row, and the ceiling: the same of the observed responses."""
    asked = (table.statistic == statistic) & (table.adjustment == "centred") & (table.program != "")
    mine = table[asked & (table.reference == "")].drop(columns="ceiling")  # of the data's sampling: another one
    measured = mine.evaluable & (mine.unit_sd > 0)
    mine["value"] = (mine.effect / mine.unit_sd).where(measured)
    mine["variance"] = ((mine.null_sd / mine.unit_sd) ** 2).where(measured)
    keys = ["model", "program", "panel"]
    data = mine[mine.role == OBSERVED].groupby(keys, as_index=False).value.mean().rename(columns={"value": "ceiling"})
    return mine[mine.role == SUBJECT].merge(data, on=keys, how="left")


def _why_no_share(programs: pd.DataFrame, low: float) -> str:
    if low == low:
        return ""
    if len(programs) < 2:
        return f"{len(programs)} programs that could be compared with the observed responses, 2 needed"
    return "what is observed of these programs is itself too little, or too uncertain, to be a ceiling"


def _of_answers(answers: pd.DataFrame, table: pd.DataFrame, aspect: str, statistic: str) -> Scores:
    """Return the scores of a level that the answer speaks of."""
    whole = answers[answers.program == ""].rename(columns={aspect: "estimate", "n": "answered"})
    rows = whole.assign(ci_low=whole[f"{aspect}_low"], ci_high=whole[f"{aspect}_high"], asked=whole.n_asked)
    mine = table[(table.statistic == statistic) & (table.program != "") & table.role.isin([SUBJECT, *KNOWN])]
    told = {"value": mine.estimate, "variance": mine.null_sd**2}
    programs = mine.assign(**told)[mine.evaluable][[*WHO, "program", "value", "ceiling", "variance"]]
    answer = rows.answer if aspect == ASPECTS[INTERVENTION] else ""
    kept = [*WHO, "estimate", "ci_low", "ci_high", "answered", "asked", "answer", "reason"]
    return Scores(rows.assign(answer=answer)[kept], programs)


def _complete(level: str, scores: Scores, seed: int) -> pd.DataFrame:
    """Add what is said of all levels alike: heterogeneity, Bayes factor, ranks.

    A share without an interval is left out: what it is a share of is not told from nothing, and it may be any number.
    """
    rows = scores.rows.reset_index(drop=True)
    rows["estimate"] = rows.estimate.where(rows.ci_low.notna())
    ranks, note = _ranks(scores._replace(rows=rows), seed, level)
    further = []
    for i, row in rows.iterrows():
        mine = _of(scores.programs, row[WHO])
        differ = heterogeneity(mine.value.to_numpy(), mine.variance.to_numpy())
        factor = bayes_factor(row.estimate, row.ci_low, row.ci_high)
        further.append({"level": level, "heterogeneity": differ, "bayes_factor": factor, **ranks.get(i, {})})
        rows.loc[i, "reason"] = joined(row.reason, note if i in ranks else "")
    return pd.concat([rows, pd.DataFrame(further)], axis=1).reindex(columns=COLUMNS)


def _ranks(scores: Scores, seed: int, level: str) -> tuple[dict[int, dict[str, Any]], str]:
    """Return place of a row -> its rank and the rank's interval, and what was left out to compare like with like.

    Ranks are those of the estimates of the models themselves, those of known kind apart; intervals are of draws of the
    programs that all ranked models answer.
    """
    rows = scores.rows.reset_index(drop=True)
    ranked = rows.index[rows.estimate.notna() & (rows.role == SUBJECT)]
    if len(ranked) < 2:
        return {}, ""
    told = scores.programs.dropna(subset=["value", "ceiling"])
    tables = [_of(told, rows.loc[i, WHO]).set_index("program") for i in ranked]
    common = sorted(set.intersection(*(set(each.index) for each in tables)))
    rank = rankdata(-rows.estimate[ranked], method="min").astype(int)
    spread = np.full((len(ranked), 2), nan)
    if len(common) > 1:
        values, ceilings = (np.stack([each.loc[common, name] for each in tables]) for name in ("value", "ceiling"))
        drawn = generator(seed, "ranks", level).integers(len(common), size=(DRAWS, len(common)))
        shares = values[:, drawn].mean(axis=2) / np.maximum(ceilings[:, drawn].mean(axis=2), 1e-12)
        spread = np.percentile(rankdata(-shares, axis=0, method="min"), [2.5, 97.5], axis=1, method="nearest").T
    found = {
        i: {"rank": place, "rank_low": low, "rank_high": high}
        for i, place, (low, high) in zip(ranked, rank, spread, strict=True)
    }
    everyone = set().union(*(each.index for each in tables))
    left = f"ranked over {len(common)} of {len(everyone)} programs, which all models answer"
    return found, left if len(common) < len(everyone) else ""


def _of(table: pd.DataFrame, who: Iterable[str]) -> pd.DataFrame:
    """Return the rows of one model; `who` are its `WHO`."""
    return table[(table[WHO] == list(who)).all(axis=1)]


def shown(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield (context, rows) with models first, then each kind that is known once: of the first model of the context."""
    for context, rows in table.groupby("context", sort=False):
        own = rows[rows.role == SUBJECT]
        first = own.model.iloc[0] if len(own) else ""
        beside = rows[rows.role.isin(KNOWN) & (rows.model == first)]
        yield str(context), pd.concat([own, beside.sort_values("role", key=lambda role: role.map(KNOWN.index))])
