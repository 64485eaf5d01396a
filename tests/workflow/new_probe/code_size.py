"""code_size: do the perturbations of a program have longer codes than others as strong?"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.probes.base import Drawing, MeasureInputs, TestInputs, World
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import Question, Score
from pertprobe.probes.similarity_questions import trained_profiles
from pertprobe.probes.worlds import drawn_subject, unit_names


def units(inputs: MeasureInputs) -> list[str]:
    """Return every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return size [perturbation]: the norm of each code, to the power that is asked for."""
    from pertprobe.models.base import encode_each

    sizes = encode_each(inputs.model, names).norm(dim=-1).detach().cpu().numpy() ** inputs.settings["power"]
    return xr.Dataset({"size": ("perturbation", sizes)}, {"perturbation": names})


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Are members' codes longer?"""
    sizes = trained_profiles(inputs.subject, "size")
    names = sizes.perturbation.values
    strength = inputs.subject.strength.reindex(names).to_numpy()
    yield Score(statistic="code_size", names=names, scores=sizes.values, strength=strength)


def null_world(draw: Drawing) -> World:
    """Draw sizes that grow with strength and differ by chance; members' are larger by d sd of all others'."""
    names = unit_names(draw.units)
    strength = pd.Series(draw.rng.lognormal(0, 0.6, draw.units), names)
    sizes = np.log(strength.to_numpy()) + draw.rng.normal(0, 0.6, draw.units)
    inside = np.isin(np.arange(draw.units), draw.members)
    sizes[inside] += draw.d * sizes[~inside].std(ddof=1)
    measurement = xr.Dataset({"size": ("perturbation", np.exp(sizes))}, {"perturbation": names})
    given = {"subject": drawn_subject(measurement, strength), "settings": declared("code_size").default_settings}
    return World(strength, lambda _: given)


def draw(inputs):
    """Draw each program's mean size beside its null."""
    from pertprobe.plots import (
        Drawn,
        bands,
        draw_abreast,
        height_of,
        nothing_to_draw,
        null_legend,
        share_rows,
    )

    shared = share_rows(inputs.by_model(inputs.answered("code_size")), 20)
    if not shared.names:
        return nothing_to_draw()
    figure, (axes,) = bands([len(shared.tables)], [height_of(shared)])
    draw_abreast(axes, shared, "mean size of codes", inputs.filled)
    null_legend(figure, inputs.filled)
    return Drawn(figure, shared.said(inputs.filled, "perturbations", "evidence/code_size.tsv"))
