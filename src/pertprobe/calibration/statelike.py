"""State-like models trained on the screens of `foreign`: is a model that answers to names called a lookup?

Its encoder sees control cells alone, as State's does, and a gene that is silenced in its input is no name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pandas as pd

from pertprobe.calibration.foreign import FOUND, NEVER, PROBE, RIGHT, TAKEN, ScreenCase, screens
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.world import SETS, Row
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.cells import context_source, read_cells
from pertprobe.data.networks.screen import Screen
from pertprobe.data.networks.screen_file import COLUMNS, SOURCE, write_screen
from pertprobe.data.observed import observe
from pertprobe.models.cards import model_names, own_split, perturbation_table
from pertprobe.models.state.train import train
from pertprobe.probes import delta_y
from pertprobe.probes.base import MeasureInputs, Subject, itself
from pertprobe.probes.declaration import declared
from pertprobe.stages.answer import LIMITS, LOOKUP, MECHANISM
from pertprobe.stages.measuring import measure_shard

LEARNED = "responses learned by name"
NAME, REGIME = "State-like model, trained", "fewshot"


class Trained(NamedTuple):
    """A model that was trained and measured in one context."""

    subject: Subject
    cells: CellSets
    """Control cells of the context, in which it was measured."""


def statelike(sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return what is answered of a model that was trained on the cells of each screen.

    The screens are those of `foreign` of the same sizes and seed. Cells, observed responses, measurement and what the
    model has seen come as in a run: from a file of cells and the model's own split.
    """
    rows: list[Row] = []
    for words, screen in screens(sizes, seed):
        found = trained_on(screen, sizes["steps"], seed)
        table = ScreenCase(screen, found.cells, sizes["permutations"], seed).answers(NAME, found.subject, REGIME)
        rows += rows_of(table, f"{words}, {NAME}", seed)
    return frame(rows)


def trained_on(screen: Screen, steps: int, seed: int) -> Trained:
    """Train a few-shot model for the first context on the cells of a screen, and measure it there."""
    context = str(screen.contexts[0])
    entry = {**SOURCE, "context": context}
    with TemporaryDirectory(prefix="pertprobe-calibration-") as folder:
        path, output = Path(folder) / "cells.h5ad", Path(folder) / "model"
        write_screen(screen, path)
        model = train(path, output=output, context=context, regime=REGIME, seed=seed, steps=steps, **COLUMNS)
        seen = perturbation_table(model, own_split(output), context).seen
        cells = read_cells(path, seed=seed, **SETS, **context_source(entry))
        observed = observe(path, model_names(model), entry, seed=seed)
    inputs = MeasureInputs(model, cells, declared(PROBE).default_settings, seen=seen.to_dict(), seed=seed)
    found = itself(measure_shard(PROBE, inputs, 0, 1))
    strength = delta_y.strength(measure_shard("delta_y", replace(inputs, settings={}), 0, 1))
    return Trained(Subject(found, strength, seen.reindex(strength.index), observed), cells)


def rows_of(table: pd.DataFrame, setting: str, seed: int) -> Iterator[Row]:
    """Yield the rows of one model's answers: did it learn the responses, is it called a lookup, are its programs?

    Of a model that learned nothing the answer says nothing: it is not evaluable, and counts where learning is judged.
    """
    whole, each = table[table.program == ""], table[table.program != ""]
    learned = whole.accuracy_low > LIMITS["delta"]
    evaluable = bool(learned.all())
    answer, each = whole.answer[learned], each.answer if evaluable else each.answer[:0]
    known = f"accuracy {whole.accuracy.iloc[0]:.2f}"
    said = f"{answer.iloc[0]}, fidelity {whole.fidelity.iloc[0]:.2f}" if evaluable else f"not evaluable: {known}"
    yield share(LEARNED, PROBE, setting, learned, seed=seed, note=known, **FOUND)
    yield share(RIGHT, PROBE, setting, answer == LOOKUP, seed=seed, note=said, **FOUND)
    yield share(TAKEN, PROBE, setting, each == MECHANISM, seed=seed, **NEVER)
