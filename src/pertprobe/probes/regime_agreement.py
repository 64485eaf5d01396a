"""regime_agreement: does the zero-shot model answer a program's perturbations as the few-shot model does?"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.probes.base import Drawing, Subject, TableInputs, TestInputs, World, by_set, tabulated
from pertprobe.probes.questions import Coherence, Paired, Question, Refused
from pertprobe.probes.similarity_questions import Sides, trained_profiles
from pertprobe.probes.worlds import profiled_subject, world_of
from pertprobe.roles import OBSERVED
from pertprobe.statistics.matched import PairedTest, crossed_test, pearson_matrix, strata
from pertprobe.statistics.null_worlds import SPREAD, WIDTH
from pertprobe.statistics.reliability import Ceiling, mean_noise_ceiling, noise_ceiling
from pertprobe.statistics.similarity import centred, cosine_similarity

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn

AGREEMENT = "agreement"
NO_PARTNER = "no pair of pairs.regimes has this model: there is no other regime to compare it with"
ONE_SET = "one cell set: both models would be read on the same cells, whose noise they share"
PAIRED = ["model", "reference"]


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Do responses to one perturbation agree between regimes more than those to others of its strength?

    Beside it: do they agree less; is the program more coherent in the few-shot model; and all perturbations together.
    """
    if inputs.reference is None:
        if not inputs.settings["partners"]:
            yield Refused(statistic=AGREEMENT, reason=NO_PARTNER)
    else:
        sides = shared(inputs.subject, inputs.reference)
        yield from _of_pair(inputs, sides)
        if inputs.subject.observed is not None:
            yield _observed(inputs.subject.observed, sides.names)


def _of_pair(inputs: TestInputs, sides: Sides) -> Iterator[Question]:
    """Yield what is asked of two models."""
    r, said, names = cache(partial(crossed, sides)), cache(partial(published, sides)), sides.names
    models = {"published": lambda result: (said()[result.genes].mean(), np.nan)}
    limited = {**models, "ceiling": partial(_ceiling, inputs, sides)}
    yield _paired(sides, AGREEMENT, r, **limited)
    yield _paired(sides, AGREEMENT, lambda: r("raw"), adjustment="raw", **models)
    yield _paired(sides, "anticorrelation", lambda: -r(), **models)
    yield Coherence(statistic="gained", names=names, strength=sides.strength, similarity=partial(_gained, sides))
    short = "" if len(names) > 1 else f"{len(names)} shared perturbations, 2 needed"
    yield _paired(sides, "agreement_all", r, short, together=True, draws=lambda _: ("agreement_all",), **limited)


def _paired(sides: Sides, statistic: str, r: Callable[[], np.ndarray], short: str = "", **more: Any) -> Paired:
    """Return whether r [P, P] of a perturbation with itself exceeds that with others of like strength."""

    def test(_: str, found: np.ndarray | None, m: int, random: np.random.Generator) -> tuple[PairedTest, np.ndarray]:
        """Test it; perturbations of the program are nobody's partners."""
        result = crossed_test(r(), *sides.strengths, m, random, members=found)
        outside = ~np.isin(np.arange(len(sides.names)), [] if found is None else found)
        return result, (np.diagonal(r()) - _partners(r(), sides.strengths[1], outside))[result.genes]

    words = {
        "called": "shared perturbations",
        "fewest": "perturbations with a varying response and a partner",
        "constant": "constant responses",
        "alone": "perturbations without a partner of like strength",
        "short": short or (ONE_SET if _one_set(sides) else ""),
    }
    more |= {"test": test, "background": lambda _: len(sides.names), "first_order": True}
    return Paired(statistic=statistic, names=sides.names, **words, **more)


def _gained(sides: Sides) -> np.ndarray:
    """Return how much closer two perturbations are in the first model than in the second [P, P]."""
    return np.subtract(*(cosine_similarity(centred(each)) for each in sides.means))


def _observed(observed: xr.Dataset, names: np.ndarray) -> Paired:
    """Return the same of the observed responses: those of one half of the cells with those of the other."""
    halves = observed["delta_y_half"].astype(np.float64).rename(half="set").transpose("set", "perturbation", "gene")
    halves = halves.sel(perturbation=np.isin(halves.perturbation.values, names)).sortby("perturbation")
    halves = halves.dropna("perturbation")
    strength = np.linalg.norm(halves.mean("set").values, axis=1)
    sides = Sides(halves, halves, (strength, strength))
    return _paired(sides, AGREEMENT, cache(partial(crossed, sides)), role=OBSERVED)


def shared(ours: Subject, theirs: Subject) -> Sides:
    """Return what two models answer to perturbations that both have trained, in the genes that both predict."""
    profiles = [trained_profiles(each, "delta_y", by_set) for each in (ours, theirs)]
    common = {dim: np.intersect1d(*(each[dim].values for each in profiles)) for dim in ("perturbation", "gene")}
    kept = [each.sel(common).transpose("set", "perturbation", "gene") for each in profiles]
    return Sides(*kept, [each.strength.reindex(common["perturbation"]).to_numpy() for each in (ours, theirs)])


def crossed(sides: Sides, adjustment: str = "centred") -> np.ndarray:
    """Return Pearson's r [P, P] of response i of the one model and j of the other, never read on the same cells.

    Over genes without the two knocked ones; mean over odd sets of the one with even sets of the other, and the reverse.
    """
    own = pd.Index(sides.ours.gene.values).get_indexer(sides.names)
    halves = ([each.values[start::2].mean(axis=0) for start in (0, 1)] for each in sides[:2])
    ours, theirs = ([centred(each) if adjustment == "centred" else each for each in both] for both in halves)
    return (pearson_matrix(ours[0], theirs[1], own, own) + pearson_matrix(ours[1], theirs[0], own, own)) / 2


def _one_set(sides: Sides) -> bool:
    return min(each.sizes["set"] for each in sides[:2]) < 2


def _partners(r: np.ndarray, strength: np.ndarray, open_to: np.ndarray) -> np.ndarray:
    """Return each unit's mean r [P] with others of its stratum that are `open_to` it [P]; nan where there are none."""
    groups = strata(strength)
    near = (groups[:, None] == groups) & open_to & ~np.eye(len(r), dtype=bool) & ~np.isnan(r)
    number = near.sum(axis=1)
    return np.divide(np.where(near, r, 0.0).sum(axis=1), number, out=np.full(len(r), np.nan), where=number > 0)


def published(sides: Sides) -> np.ndarray:
    """Return the published r [P]: Pearson over all genes of a perturbation's two raw responses, on the same cells."""
    ours, theirs = (each - each.mean(axis=1, keepdims=True) for each in sides.means)
    scale = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return np.divide((ours * theirs).sum(axis=1), scale, out=np.full(len(ours), np.nan), where=scale > 0)


def _ceiling(
    inputs: TestInputs, sides: Sides, result: PairedTest, program: str, random: np.random.Generator
) -> Ceiling:
    """Return the noise ceiling of the mean agreement of a test's units, over genes that none of a program's knocks."""
    units = result.genes
    kept = ~np.isin(sides.ours.gene.values, sides.names[units]) if program else slice(None)
    profiles = [_by_set_centred(each)[:, units][:, :, kept] for each in sides[:2]]
    return mean_noise_ceiling(*profiles, inputs.bootstrap, random)


def _by_set_centred(profiles: xr.DataArray) -> np.ndarray:
    return np.stack([centred(each) for each in profiles.values])


def null_world(draw: Drawing) -> World:
    """Draw responses of two models that share one direction and, for each perturbation, its size alone.

    Members' two responses correlate more by `d` sd of what all others' r exceeds that with their partners.
    """
    rng, axes = draw.rng, ("set", "perturbation", "gene")
    size, common = rng.lognormal(0, SPREAD, draw.units)[:, None], rng.normal(size=WIDTH)
    ours, theirs = (size * (common + rng.normal(size=(draw.units, WIDTH))) for _ in range(2))
    if chosen := list(draw.members):
        theirs = _nearer(ours, theirs, chosen, draw)
    measured = [{"delta_y": (axes, np.stack([each, each]))} for each in (ours, theirs)]
    norms = [np.linalg.norm(each, axis=1) for each in (ours, theirs)]
    sides = map(profiled_subject, measured, norms)
    return world_of(*sides, "regimes", settings={"partners": []})


def _nearer(ours: np.ndarray, theirs: np.ndarray, chosen: list[int], draw: Drawing) -> np.ndarray:
    """Return their responses [P, G], those of chosen perturbations turned towards ours."""
    nowhere, strengths = np.full(draw.units, -1), (np.linalg.norm(each, axis=1) for each in (ours, theirs))
    matrix = pearson_matrix(centred(ours), centred(theirs), nowhere, nowhere)
    shift = draw.d * crossed_test(matrix, *strengths, 1, draw.rng, members=chosen).test.unit_sd
    a, b = (each - each.mean(axis=1, keepdims=True) for each in map(centred, (ours, theirs)))
    length, r = np.linalg.norm(b, axis=1, keepdims=True), np.diagonal(matrix)[:, None]
    a, b = a / np.linalg.norm(a, axis=1, keepdims=True), b / length
    wanted = np.clip(r + shift, -0.99, 0.99)
    turned = wanted * a + np.sqrt((1 - wanted**2) / (1 - r**2)) * (b - r * a)
    found = theirs.copy()
    found[chosen] += (length * (turned - b))[chosen]
    return found


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return the agreement of each perturbation.

    perturbations: model, reference, perturbation, how either has seen it, its strengths, r (centred, not on the same
    cells), r_partners (mean with others of its strength), r_published, ceiling, disattenuated.
    """
    found = [_perturbations(*sides).assign(**pair) for pair, sides in inputs.paired("delta_y")]
    return tabulated("regime_agreement", perturbations=found)


def _perturbations(ours: Subject, theirs: Subject) -> pd.DataFrame:
    sides = shared(ours, theirs)
    table = pd.DataFrame({"perturbation": sides.names, "r_published": published(sides)})
    for end, subject, strength in zip(("", "_reference"), (ours, theirs), sides.strengths, strict=True):
        table[f"seen{end}"], table[f"strength{end}"] = subject.seen.reindex(sides.names).to_numpy(), strength
    if _one_set(sides):
        return table.assign(r=np.nan, r_partners=np.nan, ceiling=np.nan, disattenuated=np.nan)
    r, profiles = crossed(sides), [_by_set_centred(each) for each in sides[:2]]
    limits = [noise_ceiling(profiles[0][:, i], profiles[1][:, i]) for i in range(len(table))]
    partners = _partners(r, sides.strengths[1], np.ones(len(r), dtype=bool))
    limit = {name: [getattr(each, name) for each in limits] for name in ("ceiling", "disattenuated")}
    return table.assign(r=np.diagonal(r), r_partners=partners, **limit)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw how alike a perturbation's responses are in the two regimes, and each program's beside its ceiling."""
    from pertprobe.probes import regime_agreement_figure

    return regime_agreement_figure.draw(inputs)
