"""conserved_features: do two contexts hold a program in the same features of their joint sparse autoencoder?"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.probes.base import (
    SHARED,
    Drawing,
    Subject,
    TableInputs,
    TestInputs,
    World,
    members,
    tabulated,
)
from pertprobe.probes.knockout_questions import coexpression_profiles
from pertprobe.probes.questions import ONE_SET, Each, Question, Refused, Row, Whole, per_set
from pertprobe.probes.similarity_questions import Sides, sides_of
from pertprobe.probes.worlds import profiled_subject, unit_names
from pertprobe.roles import COEXPRESSION, OBSERVED, SUBJECT
from pertprobe.statistics import null_worlds
from pertprobe.statistics.conserved import (
    conservation,
    conserved_features,
    feature_correlations,
    halves,
    ranked,
    standardised,
    without_each,
)
from pertprobe.statistics.moments import score_moments, tail
from pertprobe.statistics.permutation import Test
from pertprobe.statistics.power import benjamini_hochberg
from pertprobe.statistics.reliability import Ceiling, jackknife, mean_noise_ceiling
from pertprobe.statistics.similarity import centred

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn

READINGS = {"": "activation", "_pca": "component", "_hidden": "hidden"}
"""End of a statistic's name -> the variable it is taken on."""
NO_PARTNER = "no pair of pairs.contexts has this model: there is no other context to compare it with"
PAIRED = ["model", "reference"]
NAMING = ["program", "named_by", "scored_on", "score_naming", "score_held_out", "p_held_out", "q_held_out"]
PRIMARY = "conservation"
COHERENT = 3.0
"""Size of what members of a coherent program share in either context, in sd of the noise of one dimension."""


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Does one half of a program load, in the other context, the features that the other half names in this one?

    Beside it: how many features follow the same perturbations in both. The same of principal components, the rival, and
    of the raw layer, in which copies are compared: for them no SAE was trained.
    """
    both, names = (inputs.subject, inputs.reference), (inputs.identity["model"], inputs.identity["reference"])
    if inputs.reference is None:
        if not inputs.settings["partners"]:
            yield Refused(statistic=PRIMARY, reason=NO_PARTNER)
        return
    if outside := [name for name in names if name not in inputs.settings["pooled"]]:
        yield Refused(statistic=PRIMARY, reason=f"not trained on by the sparse autoencoder: {', '.join(outside)}")
        return
    for end, variable in READINGS.items():
        if all(variable in each.measurement for each in both):
            yield from _of_reading(inputs, sides_of(*both, variable), end)
    if all(each.observed is not None for each in both):
        yield from _baselines([each.observed for each in both], sides_of(*both, "hidden"))


def _apart(inputs: TestInputs) -> str:
    """Say so where a feature need not mean the same in both models; empty where it does, and of copies."""
    if inputs.shared_initialisation > SHARED or inputs.identity.get("role", SUBJECT) != SUBJECT:
        return ""
    return (
        f"the models share no initialisation (matched minus mismatched cosine of their perturbation codes "
        f"{inputs.shared_initialisation:.2f}): a feature of their joint autoencoder need not mean the same in both; "
        f"consistency of sae_features compares such models"
    )


def _of_reading(inputs: TestInputs, sides: Sides, end: str) -> Iterator[Question]:
    """Yield the question of each program, centred and for features raw, and that of all features."""
    means, how = sides.means, {"withheld": _apart(inputs)}
    yield _conservation(sides, f"{PRIMARY}{end}", *map(centred, means), **how)
    if not end:
        yield _conservation(sides, PRIMARY, *means, adjustment="raw", **how)
    yield _conserved(inputs, sides, f"conserved{end}", **how)


def _conservation(sides: Sides, statistic: str, x: np.ndarray, y: np.ndarray, **more: Any) -> Each:
    """Return whether half of a program names in x [P, F] what its other half loads in y."""

    def interval(found: np.ndarray) -> tuple[float, float]:
        """Leave out each member in turn."""
        return jackknife(without_each(x, y, found, sides.strength), 0.95) if len(found) > 2 else (np.nan, np.nan)

    def test(_: str, found: np.ndarray, m: int, random: np.random.Generator) -> Test:
        """Test one program."""
        return conservation(x, y, found, sides.strength, m, random)

    who = {"statistic": statistic, "names": sides.names, "called": "shared trained perturbations"}
    return Each(**who, draws=lambda program: (PRIMARY, program), test=test, interval=interval, **more)


def _baselines(observed: Sequence[xr.Dataset], sides: Sides) -> Iterator[Each]:
    """Yield the same of observed responses, and of what the knocked genes vary together with in control cells.

    Observed responses are matched by their own strength, co-expression by the models'.
    """
    kept, means = _on_common([each["delta_y"].astype(np.float64) for each in observed], sides)
    own = [np.linalg.norm(each, axis=1) for each in means]
    found = [(OBSERVED, kept._replace(strengths=own), means)]
    if all("correlation" in each for each in observed):
        profiles = [coexpression_profiles(each, sides.names) for each in observed]
        found.append((COEXPRESSION, *_on_common(profiles, sides)))
    for role, each, values in found:
        if len(each.names) > 2:
            yield _conservation(each, PRIMARY, *map(centred, values), role=role)


def _on_common(profiles: Sequence[xr.DataArray], sides: Sides) -> tuple[Sides, list[np.ndarray]]:
    """Return the models and profiles [perturbation, gene] of both contexts on what all of them have."""
    names, genes = (set(profiles[0][dim].values) & set(profiles[1][dim].values) for dim in ("perturbation", "gene"))
    kept = np.isin(sides.names, list(names))
    ours, theirs = (each.isel(perturbation=kept) for each in sides[:2])
    values = [each.sel(perturbation=sides.names[kept], gene=sorted(genes)).values for each in profiles]
    return Sides(ours, theirs, [each[kept] for each in sides.strengths]), values


def _conserved(inputs: TestInputs, sides: Sides, statistic: str, **more: Any) -> Whole:
    """Return how large a share of features follows the same perturbations in both models; published: their number."""
    means, bound = sides.means, inputs.settings["conserved"]
    r = feature_correlations(*means)
    varying = np.isfinite(r)
    count, number = int((r[varying] > bound).sum()), int(varying.sum())
    notes = [f"{count} of {number} features with r > {bound:g}, mean r {r[varying].mean():.2f}"] if number else []
    notes += [f"{r.size - number} constant ones left out"] if number < r.size else []
    if statistic == "conserved":
        more["ceiling"] = partial(_ceiling, inputs, sides, varying)
    short = "" if number else "no feature varies in both models"
    test = lambda m, random: conserved_features(*means, sides.strength, bound, m, random).test  # noqa: E731
    who = {"statistic": statistic, "names": sides.names, "notes": notes, "first_order": True}
    return Whole(**who, short=short, test=test, published=lambda _: (count, np.nan), **more)


def _ceiling(inputs: TestInputs, sides: Sides, varying: np.ndarray, random: np.random.Generator) -> Ceiling | str:
    """Return the noise ceiling of the mean r of the varying features; why there is none with one set."""
    if not per_set(*sides[:2]):
        return ONE_SET
    profiles = [each.values[..., varying].swapaxes(1, 2) for each in sides[:2]]
    return mean_noise_ceiling(*profiles, inputs.bootstrap, random, "spearman")


def null_world(draw: Drawing) -> World:
    """Draw sparse features of two contexts that agree in their shared direction and in strength alone.

    Kinds: "unrelated", not even in these; "coherent", each program is coherent in either context, along directions that
    have nothing to do with each other; "known size", strength is the size of the shared effect itself, of which a norm
    does not tell all. The members that are scored load what the others name, by `d` sd of all others'
    cosines with it.
    """
    names, rng, width = unit_names(draw.units), draw.rng, null_worlds.WIDTH
    size = rng.lognormal(0, null_worlds.SPREAD, draw.units)
    basis = rng.normal(size=(null_worlds.NOISE + 1, width)) / np.sqrt(width)
    noise, shared = rng.normal(size=(2, draw.units, null_worlds.NOISE)), null_worlds.SHARED * size
    codes = [np.column_stack([each, shared]) @ basis for each in noise]
    reads = rng.normal(size=(width, null_worlds.FEATURES))
    if draw.kind == "unrelated":
        codes[1] = rng.permutation(codes[1])
    strengths = [size, size] if draw.kind == "known size" else [np.linalg.norm(each, axis=1) for each in codes]
    strength = pd.Series(np.sqrt(strengths[0] * strengths[1]), names)
    who = {"probe": "conserved_features", "model": "ours", "reference": "theirs", "context": "here", "regime": ""}
    settings = {"partners": [], "pooled": ["ours", "theirs"]}
    pair = {"identity": who, "comparison": "contexts", "shared_initialisation": 1.0, "settings": settings}

    def given(programs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return both contexts, in which these programs are coherent where they are to be."""
        sets = [np.isin(names, each) for each in programs.values()] if draw.kind == "coherent" else []
        values = []
        for each in codes:
            pushes = COHERENT * rng.normal(size=(len(sets), width)) / np.sqrt(width)
            pushed = each + sum(np.outer(inside, push) for inside, push in zip(sets, pushes, strict=True))
            values.append(null_worlds.activations(pushed, reads))
        if len(draw.members):
            _load(*values, strength, draw)
        axes = ("set", "perturbation", "feature")
        measured = [{"activation": (axes, each[None])} for each in values]
        sides = [profiled_subject(each, own) for each, own in zip(measured, strengths, strict=True)]
        return {**pair, "subject": sides[0], "reference": sides[1]}

    return World(strength, given)


def _load(x: np.ndarray, y: np.ndarray, strength: pd.Series, draw: Drawing) -> None:
    """Add to y [P, F] of the scored half of the members what the other half has in x."""
    naming, scored = halves(np.array(draw.members), ranked(draw.units, strength))
    lengths = [np.linalg.norm(centred(each), axis=1, keepdims=True) for each in (x, y)]
    directions = [centred(each) / length for each, length in zip((x, y), lengths, strict=True)]
    named = directions[0][naming].mean(axis=0)
    named /= np.linalg.norm(named)
    others = np.delete(directions[1] @ named, draw.members)
    y[scored] += draw.d * others.std(ddof=1) * lengths[1][scored] * named


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return every feature of each pair, and how many there are of each kind.

    features: r between the contexts and its p, whether it is conserved (r above the bound), whether other seeds find it
    again (`sae/stability.py`), the program whose naming half loads it most, by how many members it is named and on how
    many scored, their mean loading in sd, p and q of the scored half's. summary: how many features vary, are conserved,
    would be by chance (strength held), p; the share of stable ones among the conserved and the others; how many names
    hold (q < 0.05).
    """
    known = [found for pair in inputs.paired("activation") if (found := _table(inputs, *pair))]
    features, summary = zip(*known, strict=True) if known else ((), ())
    return tabulated("conserved_features", features=features, summary=[pd.DataFrame(summary)] if summary else [])


def _table(
    inputs: TableInputs, pair: Mapping[str, str], subjects: tuple[Subject, Subject]
) -> tuple[pd.DataFrame, Row] | None:
    bound, random = inputs.settings["conserved"], inputs.random("conserved", *pair.values())
    sides = sides_of(*subjects, "activation")
    if (found := conserved_features(*sides.means, sides.strength, bound, inputs.permutations, random)) is None:
        return None
    names = sides.ours[sides.ours.dims[-1]].values
    table = pd.DataFrame({**pair, "feature": names, "r": found.r, "p": found.p})
    table["conserved"], table["stable"] = found.r > bound, _stable(inputs.features, names)
    table = pd.concat([table, _naming(inputs, sides, found.varying)], axis=1)
    kept = table[table.r.notna()]
    stable = kept.groupby("conserved").stable.mean()
    counts = {"features": len(table), "varying": len(kept), "conserved": int(kept.conserved.sum())}
    chance = {"by_chance": found.test.null_mean * len(kept), "p": getattr(found.test, found.test.p_used)}
    ratios = {"stable_conserved": stable.get(True, np.nan), "stable_others": stable.get(False, np.nan)}
    named = int((kept.q_held_out < 0.05).sum())
    return table, {**pair, **counts, **chance, **ratios, "named": named}


def _stable(features: pd.DataFrame | None, names: np.ndarray) -> np.ndarray:
    """Return in what share of the other seeds' autoencoders each feature is found again [F]; nan without any."""
    if features is None:
        return np.full(len(names), np.nan)
    return features.groupby("feature").stable.mean().reindex(names).to_numpy()


def _naming(inputs: TableInputs, sides: Sides, varying: np.ndarray) -> pd.DataFrame:
    """Return the program that names each varying feature [F] and how its other half loads it, mean over contexts."""
    loads = sum(standardised(each) for each in sides.means) / 2
    asked = {program: members(sides.names, listed) for program, listed in inputs.programs.items()}
    rank = ranked(len(sides.names), sides.strength)
    least, most = max(2, inputs.min_perturbations), len(sides.names) - 2
    split = {program: halves(found, rank) for program, found in asked.items() if least <= len(found) <= most}
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


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw how many features two contexts share, and each program's conservation beside its null."""
    from pertprobe.probes import conserved_features_figure

    return conserved_features_figure.draw(inputs)
