"""What each kind of job is expected to take: from what the config asks, and how fast this machine is.

A line has the name under which Snakemake measures the same jobs (`results/<run>/logs`), so that what was expected
can be compared with what was measured, and corrected by it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from pertprobe.probes.declaration import Declaration, all_declared, declared
from pertprobe.probes.work import Sizes, Work, one_run_each
from pertprobe.roles import FITTED, PLANTED, REDRAWN
from pertprobe.workflow.prospects.sizes import Sized, measured, sizes_of
from pertprobe.workflow.prospects.speed import Machine, Pace

if TYPE_CHECKING:
    from pertprobe.workflow.parts_of_config import Config

ONCE = {
    **{"check_inputs": 0.05, "evaluability": 0.05, "provenance": 0.05, "answers": 0.15, "readings": 0.1},
    **{"verdicts": 0.5, "scorecard": 0.3, "draw_verdicts": 1.2, "draw_scorecard": 1.2, "draw_controls": 6.0},
    **{"quality_page": 0.5, "report": 0.5, "spaces": 5.0},
}
EACH_MODEL = {"seen": 0.05, "card": 0.05, "observe": 0.1, "quality": 0.1, "program_quality": 0.05, "distribution": 0.3,
              "draw_quality": 0.8}  # fmt: skip
MEASURE, DERIVE, DIFFERENTIATE = 0.1, 0.3, 0.1
TEST, DRAW, TABULATE, GATHER, COPIED, RANK, CELLS = 0.15, 1.6, 0.3, 0.1, 0.01, 0.15, 0.1
"""Jobs that hardly grow with a run -> starts of a Python that measures (its libraries loaded) which each takes.

Jobs of one machine go on in forks, and load nothing (workflow/warm.py); on others each takes a start more.
"""
STEP = 8e-4
"""Starts that a step of an optimiser takes beside its products."""
FIT = 1e-2
"""Starts that a small classifier takes."""
TRAINED_SETS, SAE_BATCH, NET_STEPS, NET_BATCH, NETS, NET_WIDTH = 16, 256, 1200, 128, 8, 64
"""Cell sets of a training step; rows of one of an autoencoder; steps, rows, number and width of rivals."""
BACK = 3
"""A step forward and back, over one forward."""
CLOSED_PASS, CLOSED_DIRECTION = 1e-4, 2e-5
"""Starts of a pass of a closed form, and of a direction, beside its products."""
COPY_PERMUTATIONS, NULLS = 999, 2
"""Draws of a copy's null at most; nulls of each test."""


class Line(NamedTuple):
    """Jobs of one kind."""

    key: str
    """Rule, and behind a slash the probe."""
    jobs: int
    start: float
    """CPU seconds of starting them, which nothing shortens but fewer jobs."""
    work: float = 0.0
    """CPU seconds of what they are for."""
    gb: float = 0.0
    """Memory of the largest, without the batches of derivatives."""
    disk_gb: float = 0.0
    """What is kept of them."""

    @property
    def seconds(self) -> float:
        """CPU seconds of all."""
        return self.start + self.work

    @property
    def probe(self) -> str:
        """The probe or measurement; empty for jobs of the whole run."""
        return self.key.partition("/")[2]


@dataclass(frozen=True)
class Expecting:
    """All that expected cost depends on."""

    config: "Config"
    models: Mapping[str, Sized]
    programs: Mapping[str, int]
    """Probe -> programs that can be asked."""
    paces: Mapping[str, Pace]
    machine: Machine

    def copies(self, sized: Sized, probes: list[str]) -> int:
        """Return how many untrained copies of a model are measured for these probes."""
        controls, able = self.config["controls"], sized.model.capabilities
        if "redraw" not in able or not any(declared(probe).control_statistics for probe in probes):
            return 0
        kinds = len(REDRAWN) if "parameters" in able else 1
        return kinds * controls["redrawn"] + (4 if controls["cascade"] and kinds > 1 and controls["redrawn"] else 0)

    def beside(self, probes: list[str]) -> int:
        """Return how many planted models and models of known kind stand beside each model."""
        controls = self.config["controls"]
        planted = controls["planted"] and any(declared(probe).control_statistics for probe in probes)
        known = any(declared(probe).stands_beside_known(controls["known"]) for probe in probes)
        count = len(PLANTED) - 1 + bool(controls["additive"]) if planted else 0
        return count + (len(FITTED) + (not planted) if known else 0)

    def sized(self, sized: Sized, probe: str, probes: list[str]) -> Sizes:
        """Return what a measurement that these probes test meets in a model."""
        return sizes_of(self.config, sized, probe, max((self.programs.get(each, 0) for each in probes), default=0))


def lines(run: Expecting) -> list[Line]:
    """Return all kinds of jobs of a run."""
    return [*_small(run), *_training(run), *_rivals(run), *_measuring(run), *_testing(run)]


def _light(run: Expecting, key: str, jobs: int, starts: float, **more: float) -> Line:
    return Line(key, jobs, jobs * starts * run.machine.start, gb=run.machine.start_gb, **more)


def _small(run: Expecting) -> Iterator[Line]:
    """Yield the jobs that hardly grow with a run."""
    yield from (_light(run, key, 1, starts) for key, starts in ONCE.items())
    yield from (_light(run, key, len(run.config["models"]), starts) for key, starts in EACH_MODEL.items())
    yield _light(run, "cells", len(run.config["cells"]), CELLS)
    if "targeted_jacobian" in run.config["probes"]:
        yield _light(run, "rank_targeted_jacobian", len(run.config["models"]), RANK)
    if "simulate" in run.config:
        yield _light(run, "simulate", 1, 1.0)


def _training(run: Expecting) -> Iterator[Line]:
    """Yield the training of models, and of sparse autoencoders."""
    new = {name: each for name, each in run.models.items() if each.steps}
    if new:
        step = run.machine.start * STEP
        spent = [each.steps * (step + TRAINED_SETS * BACK * run.paces[name].passes) for name, each in new.items()]
        yield _light(run, "train", len(new), 1.0)._replace(work=sum(spent))
    for entry in run.config["sae"].values():
        names = [name for name in entry["models"] if name in run.models]
        if "path" in entry or not names:
            continue
        width = run.models[names[0]].width
        fitted = entry["steps"] * (run.machine.start * STEP + _products(run, SAE_BATCH, width, entry["expansion"]))
        read = sum(run.paces[name].passes * entry["cells"] / run.models[name].cells for name in names)
        known = sum(run.paces[name].passes * run.models[name].sets * len(run.models[name].perturbations)
                    for name in names)  # fmt: skip
        for key, jobs in (("train_sae", 1), ("train_further_sae", entry["seeds"] - 1)):
            yield _light(run, key, jobs, 1.0)._replace(work=jobs * (fitted + min(read, known)))
        yield _light(run, "sae_quality", 1, 1.0)._replace(work=min(read, known))
        yield _light(run, "sae_stability", int(entry["seeds"] > 1), 1.0)._replace(work=known)


def _products(run: Expecting, rows: int, width: int, expansion: int) -> float:
    """Return the seconds of one step's products in an autoencoder."""
    return run.machine.products * BACK * 2 * rows * width * width * expansion


def _rivals(run: Expecting) -> Iterator[Line]:
    """Yield what co-variation alone answers, fitted once for all models that share cells and genes."""
    if not any("rivals" in declared(probe).tested_with for probe in run.config["probes"]) or not run.models:
        return
    genes = max(len(each.model.genes) for each in run.models.values())
    net = run.machine.start * STEP + run.machine.products * BACK * 2 * NET_BATCH * genes * NET_WIDTH
    cells = max(each.sets * each.cells for each in run.models.values())
    silenced = run.machine.products * NETS * 2 * genes * cells * genes * NET_WIDTH * len(run.models)
    solved = run.machine.products * 10 * genes**3 * (NETS + len(run.config["cells"]))
    yield _light(run, "rivals", 1, 1.0)._replace(work=NETS * NET_STEPS * net + silenced + solved)


def _measuring(run: Expecting) -> Iterator[Line]:
    """Yield each measurement of the models and their copies, its gathering and export, and of what stands beside."""
    models, shards = len(run.config["models"]), run.config["shards"]
    for probe, probes in measured(run.config):
        parts = [_of_model(run, run.models[name], name, probe, probes) for name in run.models]
        parts = parts or [Line("", 0, 0.0)]
        work, kept = sum(part.work for part in parts), sum(part.disk_gb for part in parts)
        largest = max(part.gb for part in parts)
        further = DIFFERENTIATE if "gradient" in declared(probe).needs else 0.0
        yield _light(run, f"measure/{probe}", models * shards, MEASURE + further)._replace(work=work, gb=largest)
        yield _light(run, f"gather/{probe}", models, GATHER if shards > 1 else COPIED, disk_gb=kept)
        if run.beside(probes):
            held = run.machine.start_gb + kept
            yield _light(run, f"measure_derived/{probe}", 1, DERIVE + further)._replace(
                work=sum(_closed(run, each, probe, probes) for each in run.models.values()), gb=held
            )


def _work(probe: str, sizes: Sizes) -> Work:
    """Return what a probe counts."""
    count = getattr(import_module(f"pertprobe.probes.{probe}"), "work", one_run_each)
    return count(sizes)


def _of_model(run: Expecting, sized: Sized, name: str, probe: str, probes: list[str]) -> Line:
    """Return the work of one model and its copies, in all shards, and what is kept."""
    if declared(probe).needs - sized.model.capabilities:
        return Line(name, 0, 0.0)
    sizes, copies = run.sized(sized, probe, probes), run.copies(sized, probes)
    own, copied = _work(probe, sizes), _work(probe, replace(sizes, role=REDRAWN[0]))
    spent = [_seconds(each, run.paces[name], run.machine) for each in (own, copied)]
    kept = 4e-9 * (own.kept + copies * copied.kept)
    weights = 4e-9 * sum(each.numel() for each in getattr(sized.model, "parameters", {}).values())
    gb = run.machine.start_gb + 2 * weights + kept / run.config["shards"]
    return Line(name, 1, 0.0, work=spent[0] + copies * spent[1], gb=gb, disk_gb=kept)


def _seconds(work: Work, pace: Pace, machine: Machine) -> float:
    """Return the CPU seconds of work."""
    taken = ((work.passes, pace.passes), (work.derivatives, pace.derivatives), (work.at_mean, pace.at_mean))
    beside = work.products * machine.products + work.fits * FIT * machine.start
    return sum(number * each for number, each in taken if number) + beside


def _closed(run: Expecting, sized: Sized, probe: str, probes: list[str]) -> float:
    """Return the CPU seconds of the models that stand beside one: closed forms, a product of genes with genes."""
    if declared(probe).needs - sized.model.capabilities:
        return 0.0
    once = run.machine.products * len(sized.model.genes) ** 2
    fixed, each = (run.machine.start * share for share in (CLOSED_PASS, CLOSED_DIRECTION))
    pace = Pace(once * sized.cells + fixed, once * sized.cells + each, once + each)
    sizes = replace(run.sized(sized, probe, probes), role=PLANTED[0])
    return run.beside(probes) * _seconds(_work(probe, sizes), pace, run.machine)


def _testing(run: Expecting) -> Iterator[Line]:
    """Yield the tests of each probe, its tables and its figure."""
    models = len(run.config["models"])
    for name, probe in all_declared(run.config["probes"]).items():
        pairs = sum(len(run.config["pairs"][kind]) for kind in probe.pairs)
        each = _draws(run, probe) * run.machine.draws
        yield _light(run, f"test/{name}", models, TEST)._replace(work=0.0 if probe.of_pairs else models * each)
        yield _light(run, f"compare/{name}", pairs, TEST)._replace(work=pairs * each)
        yield _light(run, f"gather_evidence/{name}", 1, GATHER)
        yield _light(run, f"draw/{name}", 1, DRAW)
        if probe.tables["names"]:
            yield _light(run, f"tabulate_{name}", 1, TABULATE)


def _draws(run: Expecting, probe: Declaration) -> float:
    """Return the sets that are drawn for one model: of each program, statistic and null, and of its controls."""
    permutations = run.config["statistics"]["permutations"]
    own, controls = len(probe.statistics), len(probe.control_statistics)
    copies = max((run.copies(each, [probe.name]) for each in run.models.values()), default=0)
    beside = run.beside([probe.name])
    drawn = permutations * (own + controls * beside) + min(permutations, COPY_PERMUTATIONS) * controls * copies
    return NULLS * drawn * run.programs.get(probe.name, 0)
