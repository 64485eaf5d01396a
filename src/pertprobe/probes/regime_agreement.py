"""regime_agreement: does the zero-shot model answer a program's perturbations as the few-shot model does?"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.probes.base import Subject, TableInputs, TestInputs, by_set, each_program, stacked
from pertprobe.probes.representation import similarity_rows, trained_profiles
from pertprobe.roles import OBSERVED, PLANTED, SUBJECT
from pertprobe.statistics.ceiling import mean_noise_ceiling, noise_ceiling
from pertprobe.statistics.crossed import crossed_test, pearson_matrix, strata
from pertprobe.statistics.intervals import bootstrap_mean
from pertprobe.statistics.paired import PairedTest
from pertprobe.statistics.similarity import centred, cosine_similarity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs

CONTROLLED = "agreement"
"""The statistic in which re-drawn copies and planted models are compared with the model."""
NO_PARTNER = "no pair of pairs.regimes has this model: there is no other regime to compare it with"
ONE_SET = "one cell set: both models would be read on the same cells, whose noise they share"
PAIRED = ["model", "reference"]
TABLED = [*PAIRED, "perturbation", "seen", "seen_reference", "strength", "strength_reference", "r", "r_partners",
          "r_published", "ceiling", "disattenuated"]  # fmt: skip
Row = dict[str, Any]


class Sides(NamedTuple):
    """What two models answer to the perturbations that both have trained, in the genes that both predict."""

    ours: xr.DataArray
    """[set, perturbation, gene]."""
    theirs: xr.DataArray
    strengths: tuple[np.ndarray, np.ndarray]
    """Of the perturbations in either model."""

    @property
    def names(self) -> np.ndarray:
        """Perturbations."""
        return self.ours.perturbation.values


def test(inputs: TestInputs) -> Iterator[Row]:
    """Do responses to one perturbation agree between regimes more than those to others of its strength?

    Beside it: do they agree less; is the program more coherent in the few-shot model; and all perturbations together.
    """
    if inputs.reference is None:
        if not inputs.settings["partners"]:
            for program in inputs.programs:
                yield evidence.not_evaluable(inputs.identity, NO_PARTNER, statistic=CONTROLLED, program=program)
    elif inputs.comparison == "regimes":
        sides = sides_of(inputs.subject, inputs.reference)
        yield from _agreement_rows(inputs, sides, ("centred", "raw"))
        yield from _further_rows(inputs, sides)
        yield _all_row(inputs, sides)


def controlled(inputs: TestInputs) -> Iterator[Row]:
    """Yield the rows that are asked of re-drawn copies too; of planted models the agreement alone, which is certain."""
    if inputs.reference is None or inputs.comparison != "regimes":
        return
    sides = sides_of(inputs.subject, inputs.reference)
    yield from _agreement_rows(inputs, sides, ("centred",))
    if inputs.identity.get("role") not in PLANTED:
        yield from _further_rows(inputs, sides)
        yield _all_row(inputs, sides)


def references(inputs: TestInputs) -> Iterator[Row]:
    """Yield the same agreement of the observed responses: those of one half of the cells with those of the other."""
    observed = inputs.subject.observed
    if inputs.reference is None or inputs.comparison != "regimes" or observed is None:
        return
    shared = set(sides_of(inputs.subject, inputs.reference).names)
    halves = observed["delta_y_half"].astype(np.float64).rename(half="set").transpose("set", "perturbation", "gene")
    halves = halves.sel(perturbation=np.isin(halves.perturbation.values, sorted(shared))).sortby("perturbation")
    halves = halves.dropna("perturbation")
    strength = np.linalg.norm(halves.mean("set").values, axis=1)
    yield from _agreement_rows(inputs.as_role(OBSERVED), Sides(halves, halves, (strength, strength)), ("centred",))


def sides_of(ours: Subject, theirs: Subject) -> Sides:
    """Return what two models share: perturbations that both have trained, genes that both predict."""
    profiles = [trained_profiles(each, by_set(each.measurement, "delta_y")) for each in (ours, theirs)]
    names, genes = (
        sorted(set(profiles[0][dim].values) & set(profiles[1][dim].values)) for dim in ("perturbation", "gene")
    )
    kept = [each.sel(perturbation=names, gene=genes) for each in profiles]
    strengths = tuple(each.strength.reindex(names).to_numpy() for each in (ours, theirs))
    return Sides(*(each.transpose("set", "perturbation", "gene") for each in kept), strengths)


def crossed(sides: Sides, adjustment: str = "centred") -> np.ndarray:
    """Return Pearson's r [P, P] of response i of the one model and j of the other, never read on the same cells.

    Over genes without the two knocked ones; mean over odd sets of the one with even sets of the other, and the reverse.
    """
    genes = {name: place for place, name in enumerate(sides.ours.gene.values)}
    own = np.array([genes.get(name, -1) for name in sides.names], dtype=np.intp)
    halves = ([each.values[start::2].mean(axis=0) for start in (0, 1)] for each in sides[:2])
    ours, theirs = ([centred(each) if adjustment == "centred" else each for each in both] for both in halves)
    return (pearson_matrix(ours[0], theirs[1], own, own) + pearson_matrix(ours[1], theirs[0], own, own)) / 2


def _one_set(sides: Sides) -> bool:
    return min(each.sizes["set"] for each in sides[:2]) < 2


def _agreement_rows(inputs: TestInputs, sides: Sides, adjustments: Sequence[str]) -> Iterator[Row]:
    for adjustment in adjustments:
        yield from _paired_rows(inputs, sides, {"statistic": "agreement", "adjustment": adjustment}, 1)


def _further_rows(inputs: TestInputs, sides: Sides) -> Iterator[Row]:
    """Yield whether members agree less than others, and whether the few-shot model holds them closer together."""
    yield from _paired_rows(inputs, sides, {"statistic": "anticorrelation"}, -1)
    cosines = [cosine_similarity(centred(each.mean("set").values)) for each in sides[:2]]
    strength = np.sqrt(sides.strengths[0] * sides.strengths[1])
    yield from similarity_rows(inputs, cosines[0] - cosines[1], sides.names, strength, {"statistic": "gained"})


def _paired_rows(inputs: TestInputs, sides: Sides, what: Row, sign: int) -> Iterator[Row]:
    """Yield a row per program of `sign` times the agreement."""
    r = None if _one_set(sides) else sign * crossed(sides, what.get("adjustment", "centred"))
    for program, found, short in each_program(inputs, sides.names, inputs.min_perturbations, "shared perturbations"):
        who = {**what, "program": program, "n": len(found), "n_background": len(sides.names)}
        if short or r is None:
            yield evidence.not_evaluable(inputs.identity, short or ONE_SET, **who)
            continue
        random = inputs.random(what["statistic"], program)
        result = crossed_test(r, *sides.strengths, inputs.permutations, random, members=found)
        yield _paired_row(inputs, sides, r, result, who)


def _paired_row(inputs: TestInputs, sides: Sides, r: np.ndarray, result: PairedTest, who: Row) -> Row:
    used, notes = result.genes, _left_out(result)
    who = {**who, "n": len(used)}
    enough = inputs.min_perturbations if who["program"] else 2
    if len(used) < enough:
        short = f"{len(used)} perturbations with a varying response and a partner, {enough} needed"
        return evidence.not_evaluable(inputs.identity, evidence.joined(short, *notes), **who)
    held_out = inputs.subject.held_out(sides.names[used]) if who["program"] else ""
    row = evidence.row(inputs.identity, **who, **evidence.tested(result.test, inputs.sharing, held_out, *notes))
    if row["role"] != SUBJECT:
        return row
    scores = np.diagonal(r)[used] - _partners(r, sides.strengths[1], _open(inputs, sides, row["program"]))[used]
    low, high = bootstrap_mean(scores, inputs.bootstrap, inputs.random("interval", row["statistic"], row["program"]))
    row |= {"ci_low": low, "ci_high": high, "estimate_published": published(sides)[used].mean()}
    limited = row["statistic"] != "anticorrelation" and row["adjustment"] == "centred"
    return _with_ceiling(inputs, row, sides, used) if limited else row


def _open(inputs: TestInputs, sides: Sides, program: str) -> np.ndarray:
    """Return which perturbations [P] may be partners: those outside the program, all where there is none."""
    return ~np.isin(sides.names, list(inputs.programs[program] if program else ()))


def _left_out(result: PairedTest) -> list[str]:
    counted = {"constant responses": result.n_constant, "perturbations without a partner of like strength":
               result.n_without_partner}  # fmt: skip
    return [f"{count} {words} left out" for words, count in counted.items() if count]


def _partners(r: np.ndarray, strength: np.ndarray, open_to: np.ndarray) -> np.ndarray:
    """Return each unit's mean r [P] with others of its stratum that are `open_to` it [P]; nan where there are none."""
    groups = strata(strength)
    near = (groups[:, None] == groups) & open_to & ~np.eye(len(r), dtype=bool) & ~np.isnan(r)
    number = near.sum(axis=1)
    return np.divide(np.where(near, r, 0.0).sum(axis=1), number, out=np.full(len(r), np.nan), where=number > 0)


def published(sides: Sides) -> np.ndarray:
    """Return the published r [P]: Pearson over all genes of a perturbation's two raw responses, on the same cells."""
    ours, theirs = (each.mean("set").values for each in sides[:2])
    ours, theirs = (each - each.mean(axis=1, keepdims=True) for each in (ours, theirs))
    scale = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return np.divide((ours * theirs).sum(axis=1), scale, out=np.full(len(ours), np.nan), where=scale > 0)


def _all_row(inputs: TestInputs, sides: Sides) -> Row:
    """Ask of all perturbations together, one with another."""
    everyone = np.arange(len(sides.names))
    who = {"statistic": "agreement_all", "program": "", "n": len(everyone), "n_background": len(everyone)}
    if _one_set(sides) or len(everyone) < 2:
        short = ONE_SET if _one_set(sides) else f"{len(everyone)} shared perturbations, 2 needed"
        return evidence.not_evaluable(inputs.identity, short, **who)
    r = crossed(sides)
    result = crossed_test(r, *sides.strengths, inputs.permutations, inputs.random("agreement_all"))
    return _paired_row(inputs, sides, r, result, who)


def _with_ceiling(inputs: TestInputs, row: Row, sides: Sides, units: np.ndarray) -> Row:
    """Add the noise ceiling of the mean agreement of these units, over genes that none of them knocks down."""
    kept = ~np.isin(sides.ours.gene.values, sides.names[units]) if row["program"] else slice(None)
    profiles = [_by_set_centred(each)[:, units][:, :, kept] for each in sides[:2]]
    random = inputs.random("ceiling", row["statistic"], row["program"])
    columns, note = evidence.ceilinged(mean_noise_ceiling(*profiles, inputs.bootstrap, random))
    return {**row, **columns, "reason": evidence.joined(row["reason"], note)}


def _by_set_centred(profiles: xr.DataArray) -> np.ndarray:
    return np.stack([centred(each) for each in profiles.values])


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return the agreement of each perturbation.

    perturbations: model, reference, perturbation, how either has seen it, its strengths, r (centred, not on the same
    cells), r_partners (mean with others of its strength), r_published, ceiling, disattenuated.
    """
    pairs = {pair: [inputs.subjects[name] for name in pair] for pair in inputs.pairs}
    found = [
        _perturbations(*sides).assign(model=model, reference=reference)
        for (model, reference), sides in pairs.items()
        if all("delta_y" in each.measurement for each in sides)
    ]
    return {"perturbations": stacked(found, TABLED)}


def _perturbations(ours: Subject, theirs: Subject) -> pd.DataFrame:
    sides = sides_of(ours, theirs)
    columns = {
        "perturbation": sides.names,
        "seen": ours.seen.reindex(sides.names).to_numpy(),
        "seen_reference": theirs.seen.reindex(sides.names).to_numpy(),
        "strength": sides.strengths[0],
        "strength_reference": sides.strengths[1],
        "r_published": published(sides),
    }
    table = pd.DataFrame(columns)
    if _one_set(sides):
        return table.assign(r=np.nan, r_partners=np.nan, ceiling=np.nan, disattenuated=np.nan)
    r, profiles = crossed(sides), [_by_set_centred(each) for each in sides[:2]]
    limits = [noise_ceiling(profiles[0][:, i], profiles[1][:, i]) for i in range(len(table))]
    partners = _partners(r, sides.strengths[1], np.ones(len(r), dtype=bool))
    limit = {name: [getattr(each, name) for each in limits] for name in ("ceiling", "disattenuated")}
    return table.assign(r=np.diagonal(r), r_partners=partners, **limit)


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw how alike a perturbation's responses are in the two regimes, and each program's beside its ceiling."""
    from pertprobe.figures import NOTHING_TESTED, nothing_to_draw, panels

    table = inputs.tables["perturbations"]
    pairs = {pair: rows for pair, rows in table.groupby(PAIRED, sort=False) if rows.r.notna().any()}
    if not pairs:
        return nothing_to_draw(NOTHING_TESTED)
    shown = [_programs_of(inputs, *pair, rows) for pair, rows in pairs.items()]
    figure, axes = panels(2 * len(pairs), 4.4, max(2.6, 1.1 + 0.22 * max(map(len, shown))), columns=2)
    for place, ((model, reference), rows) in enumerate(pairs.items()):
        _histogram(axes[2 * place], rows, f"{model} vs {reference}")
        _programs(axes[2 * place + 1], shown[place])
    return figure


def _programs_of(inputs: "DrawInputs", model: str, reference: str, table: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """Return evidence of agreement with the mean r of members and partners, the programs that agree most."""
    rows = inputs.evidence
    kept = (rows.statistic == CONTROLLED) & (rows.adjustment == "centred") & rows.estimate.notna()
    mine = rows[kept & (rows.model == model) & (rows.reference == reference)]
    r = np.array([table.r[table.perturbation.isin(inputs.programs[program])].mean() for program in mine.program])
    return mine.assign(r=r, r_partners=r - mine.estimate).nlargest(most, "r")


def _histogram(axes: "Axes", table: pd.DataFrame, title: str) -> None:
    from pertprobe.figures import NULL, SUBJECT

    bins = np.linspace(min(-0.5, table.r.min()), 1, 41)
    for column, colour, words in (("r_partners", NULL, "others of its strength"), ("r", SUBJECT, "same perturbation")):
        label = f"{words} (mean {table[column].mean():.2f})"
        axes.hist(table[column].dropna(), bins, color=colour, alpha=0.7, label=label)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)  # room for the legend above the bars
    axes.legend(loc="upper left", fontsize=6)
    axes.set_xlabel("Pearson r of centred delta_y, few-shot with zero-shot")
    axes.set_ylabel("perturbations")
    axes.set_title(title)


def _programs(axes: "Axes", parts: pd.DataFrame) -> None:
    """Draw the mean r of each program's members, that with their partners, and the noise ceiling."""
    from pertprobe.figures import NULL, SUBJECT

    parts = parts.sort_values("r", kind="stable")
    places = np.arange(len(parts))
    axes.hlines(places, parts.r_partners, parts.r, color=SUBJECT, linewidth=1)
    axes.plot(parts.r_partners, places, "|", color=NULL, markersize=9, label="others of like strength")
    axes.plot(parts.ceiling, places, "|", color="black", markersize=9, label="noise ceiling")
    axes.plot(parts.r, places, "o", color=SUBJECT, markersize=4, label="mean r of members")
    axes.set_yticks(places, [f"{row.program}  ({row.n})" for row in parts.itertuples()], fontsize=6)
    axes.axvline(0, color="black", linewidth=0.4)
    axes.set_xlabel("Pearson r of centred delta_y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, fontsize=6)
