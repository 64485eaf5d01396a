"""What to change so that more can be asked: one sentence for each thing that stands in the way."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pertprobe.data.spelling import best_spelling
from pertprobe.errors import listed
from pertprobe.probes.declaration import declared
from pertprobe.workflow.prospects.answers import Reach
from pertprobe.workflow.prospects.askable import Known

if TYPE_CHECKING:
    from pertprobe.workflow.parts_of_config import Config

THESE = "<models>"
"""Stands in a sentence for the names of all models that it is said of."""


def remedies(config: "Config", found: Known, table: pd.DataFrame, reached: Sequence[Reach]) -> list[str]:
    """Return what would make more askable, what helps most first."""
    unreached = ((f"no answer for {THESE}: {each.missing}", each.model) for each in reached if each.missing)
    parts = (
        _together(_spellings(found)),
        _together(_too_few(config, found)),
        _panels(table),
        _together(_capabilities(config, found)),
        _together(_never(table)),
        _unpaired(table),
        _together(_unknown_splits(found)),
        _powerless(config, table),
        _together(unreached),
    )
    return [text for part in parts for text in part]


def _together(said: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield each (sentence, model) once, all models that it is said of in it."""
    models: dict[str, list[str]] = {}
    for text, model in said:
        models.setdefault(text, []).append(model)
    return (text.replace(THESE, listed(names)) for text, names in models.items())


def _spellings(found: Known) -> Iterator[tuple[str, str]]:
    """Yield the models whose names hardly any program knows as they are spelled, and which spelling would do."""
    for name, model in found.models.items():
        for what, among in (("perturbations", model["perturbations"]), ("genes", model["genes"])):
            for text in _respelled(found.programs.values(), set(among), f"the {what} of {THESE}"):
                yield text, name


def _respelled(programs: Collection[Sequence[str]], names: set[str], whose: str) -> Iterator[str]:
    found = best_spelling(dict(enumerate(programs)), names)
    if names and 2 * found.as_written < found.best:
        yield f"{found.as_written} of {len(programs)} programs have a member among {whose}; {found.words}"


def _too_few(config: "Config", found: Known) -> Iterator[tuple[str, str]]:
    """Yield the models of whose perturbations hardly any program has enough."""
    least, n = config["programs"]["min_perturbations"], len(found.programs)
    for name, model in found.models.items():
        names = set(model["perturbations"])
        short = sum(len(names & set(genes)) < least for genes in found.programs.values())
        if 2 * short > n:
            yield (
                f"{short} of {n} programs have fewer than {least} members among the {len(names)} perturbations of "
                f"{THESE}: add programs of genes that were perturbed ({listed(sorted(names), 5)}), under "
                "programs.lists or in a file under programs.gmt",
                name,
            )


def _panels(table: pd.DataFrame) -> Iterator[str]:
    """Yield the programs that probes of panels cannot ask."""
    without = table[table.reason.str.contains("no panel for this program")]
    if len(without):
        n, probes = without.program.nunique(), listed(without.probe.unique())
        yield f"no panel for {n} programs ({probes}): add panels, `pertprobe init` proposes them"
    unmeasured = table[table.reason.str.contains("no pair of regulator and target")]
    for panel, rows in unmeasured.groupby("panel"):
        yield (
            f"panels.{panel}: no regulator is an input of {listed(rows.model.unique())} beside a target that is an "
            "output: name genes of the model"
        )


def _capabilities(config: "Config", found: Known) -> Iterator[tuple[str, str]]:
    """Yield the models that probes need more of than they offer."""
    for name, model in found.models.items():
        lacking = {probe: declared(probe).needs - set(model["capabilities"]) for probe in config["probes"]}
        lacking = {probe: needs for probe, needs in lacking.items() if needs}
        if lacking:
            needs = listed(sorted(set().union(*lacking.values())))
            yield (
                f"the capabilities {needs} are lacking in {THESE}, which {listed(lacking)} cannot ask: leave these "
                "probes out, or give a model that offers them (docs/custom_model.md)",
                name,
            )


def _never(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield the models of which programs lack perturbations that were trained."""
    untrained = table[table.reason.str.contains("never trained")]
    for model, rows in untrained.groupby("model"):
        yield (
            f"{rows.program.nunique()} programs have too few perturbations that {THESE} was trained with: the codes of "
            "the others are untrained. Ask a model that was trained with them",
            str(model),
        )


def _unpaired(table: pd.DataFrame) -> Iterator[str]:
    """Yield the probes that compare models and have no pair."""
    alone = table[table.model == ""]
    for probe in alone.probe.unique():
        kinds = " or ".join(f"pairs.{kind}" for kind in declared(probe).pairs)
        yield f"{probe} compares two models: name a pair under {kinds} ([model, reference]), or leave the probe out"


def _unknown_splits(found: Known) -> Iterator[tuple[str, str]]:
    """Yield the models of which nothing says what they were trained with."""
    for name, model in found.models.items():
        if model["seen"] and set(model["seen"].values()) == {"unknown"}:
            yield (
                f"nothing says which perturbations {THESE} was trained with, so that none is left out: set its split "
                "under models",
                name,
            )


def _powerless(config: "Config", table: pd.DataFrame) -> Iterator[str]:
    """Yield how many questions are too small for q, or for the effect of interest."""
    never = table[table.enough & ~table.reachable]
    for probe, rows in never.groupby("probe", sort=False):
        yield (
            f"{probe}: q can never fall below its threshold for {rows.program.nunique()} programs (the smallest q is "
            f"{rows.q_min.min():.2g}, that of {int(rows.n.min())} units among {int(rows.among.min())}): give larger "
            "programs, or models with more perturbations"
        )
    interest, asked = config["power"], int(table.d.notna().sum())
    weak = table[table.enough & (table.d > interest["d"])]
    if len(weak):
        yield (
            f"{len(weak)} of the {asked} questions whose d is known are put to programs so small (up to "
            f"{int(weak.n.max())} units) that power.d = {interest['d']:g} is found in less than "
            f"{interest['power']:.0%}: give larger programs, or say that only larger effects are of interest (power.d)"
        )
