"""intervention_fidelity: does silencing a gene in the cells do what its knock-down does, beyond co-variation?

Of every perturbed gene that is an input: m, what silencing it in control cells does to the output; d, what its
knock-down was observed to do; c, what the model answers to its code. Each must be nearer to its partner than to those
of other genes whose knock-downs are as strong.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, reduce
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.random import Generator

from pertprobe.probes import delta_y, silenced_genes
from pertprobe.probes.base import (
    Drawing,
    MeasureInputs,
    Subject,
    TableInputs,
    TestInputs,
    World,
    averaged,
    holders,
    members,
    tabulated,
)
from pertprobe.probes.knockout_questions import against_partners, own_outputs
from pertprobe.probes.knockout_worlds import drawn_knockouts
from pertprobe.probes.questions import Described, Number, Paired, Question, Refused
from pertprobe.probes.work import Sizes, Work
from pertprobe.statistics.axes import IN_PAIRS, pairs_without_axes
from pertprobe.statistics.fidelity import full_length, matched_beyond, share_of, t_interval
from pertprobe.statistics.matched import PairedTest, contrasts, strata
from pertprobe.statistics.reliability import Ceiling
from pertprobe.statistics.similarity import marks, without_shared

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn

STATISTICS = "beyond_covariation", "fidelity", "code_agreement", "accuracy"
ALL_GENES = "_all_genes"
SAW_PERTURBED = "encoder_saw_perturbed"
"""Attribute of a measurement: the model's encoder was trained on cells of knock-downs, not on control cells alone."""
FEWEST = 3
"""Genes without which nothing is asked."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return the perturbed genes that are inputs of the model and can be silenced to what is asked for."""
    return silenced_genes.able(inputs, _perturbed(inputs))


def _perturbed(inputs: MeasureInputs) -> list[str]:
    return [name for name in inputs.perturbations if name in set(inputs.model.genes)]


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return shift and response [set, perturbation, gene]: what silencing a gene does, and what its code does."""
    silenced = silenced_genes.shifted(inputs, names)
    answered = delta_y.measure(inputs, names)["delta_y"].rename("response")
    found = silenced.assign(response=answered.sel(gene=silenced.gene))
    saw = str(inputs.model.card.get("encoder_saw") == "perturbed")
    return found.assign_attrs({SAW_PERTURBED: saw, **silenced_genes.told(inputs, _perturbed(inputs))})


def work(sizes: Sizes) -> Work:
    """Return two passes for every perturbed gene, silenced and by its code, and those without either."""
    genes = sizes.knocked_down
    return Work(passes=2 * sizes.sets * (genes + 1), kept=2 * sizes.sets * genes * sizes.outputs)


@dataclass(frozen=True, eq=False)
class Profiles:
    """What is compared, [gene, output] over the same genes and outputs."""

    genes: np.ndarray
    own: np.ndarray
    """The output that is each gene itself; -1 where none is."""
    silenced: np.ndarray
    answered: np.ndarray
    observed: np.ndarray
    halves: tuple[np.ndarray, np.ndarray]
    rivals: np.ndarray
    """[rival, gene, output]."""
    untrained: np.ndarray
    """Genes whose code was never trained [gene]."""

    @cached_property
    def groups(self) -> np.ndarray:
        """Return the stratum of each gene by the strength of its knock-down."""
        return strata(np.linalg.norm(self.observed, axis=1))

    @cached_property
    def agreements(self) -> Mapping[str, np.ndarray]:
        """Return statistic -> r [gene, gene] of each profile with its partner and those of others.

        The shared response is taken out of what was observed and of what codes do; of silencing it is no part.
        """
        seen, said = without_shared(self.observed), without_shared(self.answered)
        return {
            "beyond_covariation": matched_beyond(self.silenced, seen, self.own, self.rivals),
            "fidelity": matched_beyond(self.silenced, seen, self.own),
            "code_agreement": matched_beyond(self.silenced, said, self.own),
            "accuracy": matched_beyond(said, seen, self.own),
        }

    @cached_property
    def repeated(self) -> Mapping[str, np.ndarray]:
        """Return statistic -> r [gene, gene] of one half of the cells with the other, asked the same."""
        first, second = map(without_shared, self.halves)
        beyond = matched_beyond(first, second, self.own, self.rivals)
        whole = matched_beyond(first, second, self.own)
        return {"beyond_covariation": beyond, "fidelity": whole, "accuracy": whole}

    @cached_property
    def reach(self) -> np.ndarray:
        """Return whether silencing each gene moves any output but the gene itself [gene]."""
        return ((self.silenced != 0) & ~marks(self.own, self.silenced.shape[1])).any(axis=1)

    def kept(self, statistic: str) -> np.ndarray:
        """Return which genes a statistic is asked of [gene]: where codes are read, those whose code was trained."""
        return np.ones(len(self.genes), bool) if statistic in STATISTICS[:2] else ~self.untrained

    @cached_property
    def beyond_axes(self) -> Callable[[str, str, tuple[int, ...] | None], np.ndarray]:
        """Return r [gene, gene] of a statistic less what the axis that all genes share foretells, found without some.

        Given the statistic, `agreements` of the model or what is `repeated` of halves, and positions of the genes that
        are asked about (None: all). The last are kept, since a program is asked in several ways.
        """
        return lru_cache(maxsize=4)(
            lambda statistic, of, program: pairs_without_axes(getattr(self, of)[statistic], IN_PAIRS, program)
        )

    def apart(
        self, statistic: str, genes: np.ndarray, program: np.ndarray | None, of: str = "agreements"
    ) -> np.ndarray:
        """Return how much nearer each of some genes is to its partner than to others; `of` the model or `repeated`."""
        r = self.beyond_axes(statistic, of, None if program is None else tuple(program))
        return contrasts(r, self.groups, genes, program, self.kept(statistic))

    def ceilings(self, statistic: str, genes: np.ndarray, program: np.ndarray | None) -> np.ndarray:
        """Return the ceiling of each of some genes: what one half of the cells says of the other, at full length."""
        return full_length(self.apart(statistic, genes, program, "repeated"))


def profiles(subject: Subject, rivals: xr.Dataset | None) -> Profiles | str:
    """Return what is compared, or why there is nothing to compare."""
    if subject.observed is None or rivals is None:
        return "nothing was observed in this context"
    shift, response = (averaged(subject.measurement, name) for name in ("shift", "response"))
    halves = subject.observed["delta_y_half"].astype(np.float64)
    whole = halves.dropna("perturbation")
    genes = reduce(np.intersect1d, [each.perturbation.values for each in (shift, whole, rivals)])
    held_out = ~np.isin(genes, subject.seen.index[subject.seen.isin(["here", "elsewhere"])])
    remembered = subject.measurement.attrs.get(SAW_PERTURBED) == "True"
    genes = genes[held_out] if remembered else genes
    if len(genes) < FEWEST:
        words = "held-out perturbed" if remembered else "perturbed"
        why = "; the encoder saw the cells of all others" if remembered else ""
        return f"{len(genes)} {words} genes that are inputs and were observed in two halves, {FEWEST} needed{why}"
    outputs = reduce(np.intersect1d, [each.gene.values for each in (shift, halves, rivals)])
    place = {"perturbation": genes, "gene": outputs}
    observed = subject.observed["delta_y"].sel(place).values.astype(np.float64)
    both = halves.sel(place).transpose("half", "perturbation", "gene").values
    foretold = rivals["shift"].sel(place).transpose("rival", "perturbation", "gene").values
    own, sides = own_outputs(shift.sel(place)), (each.sel(place).values for each in (shift, response))
    return Profiles(genes, own, *sides, observed, (both[0], both[1]), foretold, ~subject.trained(genes))


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Is each answer nearer to its partner than to those of others: of every program, and of all genes?"""
    found = profiles(inputs.subject, inputs.rivals)
    if isinstance(found, str):
        yield Refused(statistic=STATISTICS[0], unit="gene", reason=found)
        return
    for statistic in STATISTICS:
        yield _asked(inputs, found, statistic)
        yield _asked(inputs, found, statistic, together=True)
    for program in ("", *inputs.programs):
        yield _reach(inputs, found, program)


def _asked(inputs: TestInputs, found: Profiles, statistic: str, together: bool = False) -> Paired:
    """Return one statistic, of every program or of all genes."""
    kept = found.kept(statistic)

    def test(program: str, own: np.ndarray | None, m: int, random: Generator) -> tuple[PairedTest, np.ndarray]:
        """Test the genes of a program."""
        r = found.beyond_axes(statistic, "agreements", None if own is None else tuple(own))
        result, _ = against_partners(r, found.groups, m, random, own, kept)
        return result, found.apart(statistic, result.genes, own)

    def ceiling(result: PairedTest, program: str, _: Generator) -> Ceiling | str:
        """Return what the data allow, and the estimate as a share of it."""
        own = members(found.genes, inputs.programs[program]) if program else None
        ceilings = found.ceilings(statistic, result.genes, own)
        share = share_of(found.apart(statistic, result.genes, own), ceilings)
        note = "" if share.low == share.low else "no share of the ceiling: the halves of the cells do not agree enough"
        return Ceiling(np.nan, np.nan, np.nan, float(ceilings.mean()), *share, note)

    return Paired(
        statistic=statistic + ALL_GENES * together, unit="gene", called="perturbed genes that are inputs",
        names=found.genes, together=together, test=test, background=lambda _: int(kept.sum()),
        interval=t_interval, ceiling=ceiling if statistic in found.repeated else None,
        notes=silenced_genes.notes(inputs.subject.measurement), fewest="genes with a partner",
        constant="genes whose code was never trained", alone="genes without a partner of like strength",
    )  # fmt: skip


def _reach(inputs: TestInputs, found: Profiles, program: str) -> Described:
    """Return the share of genes that move any other output: 0 is a lookup by construction, whatever its answers."""
    own = members(found.genes, inputs.programs[program]) if program else np.arange(len(found.genes))
    moved = found.reach[own]
    short = "" if len(own) else "no gene of the program is perturbed, an input and observed"
    value = float(moved.mean()) if len(own) else np.nan
    number = Number(value, n=len(own), background=len(found.genes), short=short)
    return Described(statistic="reach", unit="gene", program=program, number=lambda _: number)


def tables(inputs: TableInputs) -> dict[str, pd.DataFrame]:
    """Return what was found of every gene of every model."""
    found = {name: profiles(each, inputs.rivals.get(name)) for name, each in inputs.measured("shift").items()}
    compared = {name: each for name, each in found.items() if isinstance(each, Profiles)}
    parts = [by_gene(each, inputs.programs).assign(model=name) for name, each in compared.items()]
    return tabulated("intervention_fidelity", genes=parts)


def by_gene(found: Profiles, programs: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return each gene's own numbers: every statistic, the ceilings of two, and what the strongest rival answers."""
    every = np.arange(len(found.genes))
    columns = {name: found.apart(name, every, None) for name in STATISTICS}
    for name in STATISTICS[:2]:
        columns[f"ceiling_{name}"] = found.ceilings(name, every, None)
    seen = without_shared(found.observed)
    rivals = [contrasts(matched_beyond(each, seen, found.own), found.groups, every) for each in found.rivals]
    columns["strongest_rival"] = max(rivals, key=np.mean)
    held = holders(programs)
    listed = [", ".join(held.get(gene, ())) for gene in found.genes]
    return pd.DataFrame({"gene": found.genes, "programs": listed, **columns})


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw what silencing says of knock-downs beyond co-variation, by program and by gene."""
    from pertprobe.probes import intervention_fidelity_figure

    return intervention_fidelity_figure.draw(inputs)


def null_world(draw: Drawing) -> World:
    """Draw genes of which silencing foretells no more of their own knock-down than of others that are as strong.

    What all knock-downs share is taken out of them; the more a strong one does has a direction of its own.
    """
    drawn = drawn_knockouts(draw)
    usual = 3 * draw.rng.normal(size=drawn.ours.shape[1])
    subject = drawn.subject(shift=drawn.ours, response=drawn.ours)
    theirs = drawn.theirs + usual
    halves = theirs + draw.rng.normal(size=(2, *theirs.shape))
    labels = {"perturbation": drawn.expression.index, "gene": subject.measurement.gene.values}
    axes = tuple(labels)
    seen = xr.Dataset({"delta_y": (axes, theirs), "delta_y_half": (("half", *axes), halves)}, labels)
    shift = ("rival", *axes), draw.rng.normal(size=(3, *theirs.shape))
    rivals = xr.Dataset({"shift": shift}, {"rival": ["a", "b", "c"], **labels})
    given = {"subject": replace(subject, observed=seen), "rivals": rivals, "cells": drawn.cells}
    return World(pd.Series(np.linalg.norm(theirs, axis=1), drawn.expression.index), lambda _: given)
