"""conserved_features: do two contexts hold a program in the same features of their joint sparse autoencoder?"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.probes.base import SHARED, Subject, TableInputs, TestInputs, by_set, each_program, members, stacked
from pertprobe.probes.knockout_questions import coexpression_profiles
from pertprobe.probes.representation import trained_profiles
from pertprobe.roles import COEXPRESSION, OBSERVED
from pertprobe.statistics.ceiling import mean_noise_ceiling
from pertprobe.statistics.conserved import (
    Conserved,
    conservation,
    conserved_features,
    halves,
    ranked,
    standardised,
    without_each,
)
from pertprobe.statistics.intervals import jackknife
from pertprobe.statistics.moments import score_moments, tail
from pertprobe.statistics.multiple import benjamini_hochberg
from pertprobe.statistics.similarity import centred

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs

CONTROLLED = "conservation_hidden"
"""The statistic in which re-drawn copies and planted models are compared with the model."""
READINGS = {"": "activation", "_pca": "component", "_hidden": "hidden"}
"""End of a statistic's name -> the variable it is taken on."""
NO_PARTNER = "no pair of pairs.contexts has this model: there is no other context to compare it with"
PAIRED = ["model", "reference"]
NAMING = ["program", "named_by", "scored_on", "score_naming", "score_held_out", "p_held_out", "q_held_out"]
FEATURES = [*PAIRED, "feature", "r", "p", "conserved", "stable", *NAMING]
SUMMARY = [*PAIRED, "features", "varying", "conserved", "by_chance", "p", "stable_conserved", "stable_others", "named"]
Row = dict[str, Any]


class Sides(NamedTuple):
    """What one reading finds in two models under the perturbations that both have trained."""

    ours: xr.DataArray
    """[set, perturbation, feature]."""
    theirs: xr.DataArray
    strength: np.ndarray
    """Geometric mean of the two models' [P]."""

    @property
    def names(self) -> np.ndarray:
        """Perturbations."""
        return self.ours.perturbation.values

    @property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Both sides [P, F], mean over cell sets."""
        return tuple(each.mean("set").values for each in self[:2])


def test(inputs: TestInputs) -> Iterator[Row]:
    """Does one half of a program load, in the other context, the features that the other half names in this one?

    Beside it: how many features follow the same perturbations in both. The same of principal components, the rival, and
    of the raw layer.
    """
    refusal = _refusal(inputs)
    if refusal is not None:
        for program in inputs.programs if refusal else ():
            yield evidence.not_evaluable(inputs.identity, refusal, statistic="conservation", program=program)
        return
    apart = _apart(inputs)
    for end, variable in READINGS.items():
        if all(variable in each.measurement for each in (inputs.subject, inputs.reference)):
            sides = sides_of(inputs.subject, inputs.reference, variable)
            yield from (_without_basis(row, apart) for row in _rows(inputs, sides, end))


def controlled(inputs: TestInputs) -> Iterator[Row]:
    """Yield the rows on the raw layer: asked of re-drawn copies, for which no SAE was trained, and planted models."""
    if _refusal(inputs) is None:
        yield from _rows(inputs, sides_of(inputs.subject, inputs.reference, "hidden"), "_hidden")


def references(inputs: TestInputs) -> Iterator[Row]:
    """Yield the same of observed responses, and of what the knocked genes vary together with in control cells."""
    if _refusal(inputs) is not None:
        return
    both = inputs.subject.observed, inputs.reference.observed
    if any(each is None for each in both):
        return
    sides = sides_of(inputs.subject, inputs.reference, "hidden")
    shifts = [each["delta_y"].astype(np.float64) for each in both]
    yield from _reference_rows(inputs.as_role(OBSERVED), shifts, sides)
    if all("correlation" in each for each in both):
        profiles = [coexpression_profiles(each, sides.names) for each in both]
        yield from _reference_rows(inputs.as_role(COEXPRESSION), profiles, sides)


def _refusal(inputs: TestInputs) -> str | None:
    """Return why nothing can be asked, empty where another row answers; None where all can be asked."""
    if inputs.reference is None:
        return "" if inputs.settings["partners"] else NO_PARTNER
    if inputs.comparison != "contexts":
        return ""
    outside = [name for name in (inputs.identity["model"], inputs.identity["reference"])
               if name not in inputs.settings["pooled"]]  # fmt: skip
    return f"not trained on by the sparse autoencoder: {', '.join(outside)}" if outside else None


def _apart(inputs: TestInputs) -> str:
    """Say so where a feature need not mean the same in both models; empty where it does."""
    if inputs.shared_initialisation > SHARED:
        return ""
    return (
        f"the models share no initialisation (matched minus mismatched cosine of their perturbation codes "
        f"{inputs.shared_initialisation:.2f}): a feature of their joint autoencoder need not mean the same in both; "
        f"consistency of sae_features compares such models"
    )


def _without_basis(row: Row, apart: str) -> Row:
    """Refuse a row of models whose features need not correspond; its numbers stay."""
    return {**row, "evaluable": False, "reason": evidence.joined(apart, row["reason"])} if apart else row


def sides_of(ours: Subject, theirs: Subject, variable: str) -> Sides:
    """Return what one variable holds of the perturbations that both models have trained."""
    profiles = [trained_profiles(each, by_set(each.measurement, variable)) for each in (ours, theirs)]
    names = sorted(set(profiles[0].perturbation.values) & set(profiles[1].perturbation.values))
    strengths = [each.strength.reindex(names).to_numpy() for each in (ours, theirs)]
    kept = (each.sel(perturbation=names).transpose("set", "perturbation", ...) for each in profiles)
    return Sides(*kept, np.sqrt(strengths[0] * strengths[1]))


def _rows(inputs: TestInputs, sides: Sides, end: str) -> Iterator[Row]:
    """Yield the row of each program, centred and for features raw, and that of all features."""
    for adjustment in ("centred", "raw") if not end else ("centred",):
        x, y = (each if adjustment == "raw" else centred(each) for each in sides.means)
        who = {"statistic": f"conservation{end}", "adjustment": adjustment}
        yield from _program_rows(inputs, x, y, sides.names, sides.strength, who)
    yield _conserved_row(inputs, sides, f"conserved{end}")


def _program_rows(
    inputs: TestInputs, x: np.ndarray, y: np.ndarray, names: np.ndarray, strength: np.ndarray, who: Row
) -> Iterator[Row]:
    """Yield one row per program of what half of it names in x [P, F] and the other half loads in y."""
    for program, found, short in each_program(inputs, names, inputs.min_perturbations, "shared trained perturbations"):
        row = {**who, "program": program, "n": len(found), "n_background": len(names)}
        if short:
            yield evidence.not_evaluable(inputs.identity, short, **row)
            continue
        test = conservation(x, y, found, strength, inputs.permutations, inputs.random("conservation", program))
        low, high = jackknife(without_each(x, y, found, strength), 0.95) if len(found) > 2 else (np.nan, np.nan)
        columns = evidence.tested(test, inputs.subject.held_out(names[found]))
        yield evidence.row(inputs.identity, **row, **columns, ci_low=low, ci_high=high)


def _reference_rows(inputs: TestInputs, profiles: Sequence[xr.DataArray], sides: Sides) -> Iterator[Row]:
    """Yield the row of each program in profiles [perturbation, gene] of the two contexts; observed ones by their own
    strength.
    """
    names = sorted(set(sides.names) & set(profiles[0].perturbation.values) & set(profiles[1].perturbation.values))
    genes = sorted(set(profiles[0].gene.values) & set(profiles[1].gene.values))
    if len(names) > 2:
        raw = [each.sel(perturbation=names, gene=genes).values for each in profiles]
        own = np.sqrt(np.linalg.norm(raw[0], axis=1) * np.linalg.norm(raw[1], axis=1))
        strength = own if inputs.identity["role"] == OBSERVED else sides.strength[np.isin(sides.names, names)]
        yield from _program_rows(inputs, *map(centred, raw), np.array(names), strength, {"statistic": "conservation"})


def _conserved_row(inputs: TestInputs, sides: Sides, statistic: str) -> Row:
    """Return the share of features that follow the same perturbations in both models."""
    n, bound = len(sides.names), inputs.settings["conserved"]
    who = {"statistic": statistic, "program": "", "n": n, "n_background": n}
    found = conserved_features(*sides.means, sides.strength, bound, inputs.permutations, inputs.random(statistic))
    if found is None or n < 4:
        short = f"{n} shared perturbations, 4 needed" if n < 4 else "no feature varies in both models"
        return evidence.not_evaluable(inputs.identity, short, **who)
    count = int((found.r[found.varying] > bound).sum())
    constant = found.r.size - int(found.varying.sum())
    notes = [f"{count} of {int(found.varying.sum())} features with r > {bound:g}, mean r {np.nanmean(found.r):.2f}",
             f"{constant} constant ones left out" if constant else "", inputs.sharing]  # fmt: skip
    ceiling, note = _ceiling(inputs, sides, found) if statistic == "conserved" else ({}, "")
    columns = evidence.tested(found.test, *notes, note) | ceiling
    return evidence.row(inputs.identity, **who, **columns, estimate_published=count)


def _ceiling(inputs: TestInputs, sides: Sides, found: Conserved) -> tuple[Row, str]:
    """Return the noise ceiling of the mean r of the varying features, and its note."""
    if min(each.sizes["set"] for each in sides[:2]) < 2:
        return {}, "no noise ceiling: one cell set"
    profiles = [each.values[..., found.varying].swapaxes(1, 2) for each in sides[:2]]
    return evidence.ceilinged(mean_noise_ceiling(*profiles, inputs.bootstrap, inputs.random("ceiling"), "spearman"))


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return every feature of each pair, and how many there are of each kind.

    features: r between the contexts and its p, whether it is conserved (r above the bound), whether other seeds find it
    again (`sae/stability.py`), the program whose naming half loads it most, by how many members it is named and on how
    many scored, their mean loading in sd, p and q of the scored half's. summary: how many features vary, are conserved,
    would be by chance (strength held), p; the share of stable ones among the conserved and the others; how many names
    hold (q < 0.05).
    """
    found = [_table(inputs, *pair) for pair in inputs.pairs]
    known = [(table, summary) for table, summary in found if summary is not None]
    return {
        "features": stacked([table for table, _ in known], FEATURES),
        "summary": pd.DataFrame([summary for _, summary in known], columns=SUMMARY),
    }


def _table(inputs: TableInputs, model: str, reference: str) -> tuple[pd.DataFrame, Row | None]:
    subjects, bound = [inputs.subjects[name] for name in (model, reference)], inputs.settings["conserved"]
    empty = pd.DataFrame(columns=FEATURES)
    if not all("activation" in each.measurement for each in subjects):
        return empty, None
    sides, random = sides_of(*subjects, "activation"), inputs.random("conserved", model, reference)
    found = conserved_features(*sides.means, sides.strength, bound, inputs.permutations, random)
    if found is None:
        return empty, None
    names = sides.ours[sides.ours.dims[-1]].values
    table = pd.DataFrame({"model": model, "reference": reference, "feature": names, "r": found.r, "p": found.p})
    table["conserved"], table["stable"] = found.r > bound, _stable(inputs.features, names)
    table = pd.concat([table, _naming(inputs, sides, found.varying)], axis=1)
    kept = table[table.r.notna()]
    stable = kept.groupby("conserved").stable.mean()
    counts = {"features": len(table), "varying": len(kept), "conserved": int(kept.conserved.sum())}
    chance = {"by_chance": found.test.null_mean * len(kept), "p": _used(found)}
    ratios = {"stable_conserved": stable.get(True, np.nan), "stable_others": stable.get(False, np.nan)}
    named = int((kept.q_held_out < 0.05).sum())
    return table, {"model": model, "reference": reference, **counts, **chance, **ratios, "named": named}


def _used(found: Conserved) -> float:
    return getattr(found.test, found.test.p_used)


def _stable(features: pd.DataFrame | None, names: np.ndarray) -> np.ndarray:
    """Return in what share of the other seeds' autoencoders each feature is found again [F]; nan without any."""
    if features is None:
        return np.full(len(names), np.nan)
    return features.groupby("feature").stable.mean().reindex(names).to_numpy()


def _naming(inputs: TableInputs, sides: Sides, varying: np.ndarray) -> pd.DataFrame:
    """Return the program that names each varying feature [F] and how its other half loads it, mean over contexts."""
    loads = sum(standardised(each) for each in sides.means) / 2
    asked = {program: members(sides.names, listed) for program, listed in inputs.programs.items()}
    rank, most = ranked(len(sides.names), sides.strength), len(sides.names) - 2
    split = {
        program: halves(found, rank)
        for program, found in asked.items()
        if max(2, inputs.min_perturbations) <= len(found) <= most
    }
    rows = [dict.fromkeys(NAMING)] * loads.shape[1]
    if split:
        named = np.stack([loads[naming].mean(axis=0) for naming, _ in split.values()])
        best = np.array(list(split))[named.argmax(axis=0)]
        rows = [_named(loads[:, f], best[f], *split[best[f]]) if varying[f] else rows[f] for f in range(len(rows))]
    table = pd.DataFrame(rows, columns=NAMING)
    return table.assign(q_held_out=benjamini_hochberg(table.p_held_out.astype(float)))


def _named(loads: np.ndarray, program: str, naming: np.ndarray, scored: np.ndarray) -> Row:
    """Return how one feature [P] is loaded by the half that names it and by the other, against all that do not name."""
    others = np.delete(loads, naming)
    held_out = loads[scored].mean()
    p = tail(held_out, *score_moments(others, len(scored)))
    counts = {"program": program, "named_by": len(naming), "scored_on": len(scored)}
    return {**counts, "score_naming": loads[naming].mean(), "score_held_out": held_out, "p_held_out": p}


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw how many features two contexts share, and each program's conservation beside its null."""
    from pertprobe.figures import NOTHING_TESTED, bars_with_null, nothing_to_draw, null_legend, panels

    table, rows = inputs.tables["features"], inputs.evidence
    kept = (rows.statistic == "conservation") & (rows.adjustment == "centred") & rows.estimate.notna()
    pairs = {pair: group[group.r.notna()] for pair, group in table.groupby(PAIRED, sort=False)}
    if not pairs:
        return nothing_to_draw(NOTHING_TESTED)
    of = [kept & (rows.model == model) & (rows.reference == reference) for model, reference in pairs]
    shown = [rows[each].nlargest(20, "effect") for each in of]
    figure, axes = panels(2 * len(pairs), 4.6, max(2.8, 1.1 + 0.22 * max(map(len, shown))), columns=2)
    for place, ((model, reference), features) in enumerate(pairs.items()):
        said = rows[(rows.statistic == "conserved") & (rows.model == model) & (rows.reference == reference)]
        _histogram(axes[2 * place], features, said, f"{model} vs {reference}", inputs.question["settings"]["conserved"])
        bars_with_null(axes[2 * place + 1], shown[place], "cosine of a program's halves across contexts (SAE)")
    null_legend(figure)
    return figure


def _histogram(axes: "Axes", features: pd.DataFrame, said: pd.DataFrame, title: str, bound: float) -> None:
    """Draw Spearman's r of all features and of the stable ones, and the share beyond the bound in words."""
    from pertprobe.figures import NULL, SUBJECT

    bins = np.linspace(-1, 1, 41)
    axes.hist(features.r, bins, color=NULL, alpha=0.7, label=f"varying features ({len(features)})")
    stable = features[features.stable == 1]
    axes.hist(stable.r, bins, color=SUBJECT, alpha=0.7, label=f"found again by other seeds ({len(stable)})")
    axes.axvline(bound, color="black", linewidth=0.6, linestyle=":")
    for row in said[said.estimate.notna()].itertuples():
        words = f"r > {bound:g}: {row.estimate:.1%}\nby chance: {row.null_mean:.1%}"
        axes.text(0.98, 0.6, words, transform=axes.transAxes, ha="right", fontsize=7)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)  # room for the legend above the bars
    axes.legend(loc="upper left", fontsize=6)
    axes.set_xlabel("Spearman r of a feature between contexts")
    axes.set_ylabel("features")
    axes.set_title(title)
