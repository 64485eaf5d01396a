"""The figure of pert_embedding: programs beside their nulls, and who is nearest to whom in them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.evidence import used_p
from pertprobe.plots import (
    MM,
    SMALL,
    TEXT,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    coherent,
    draw_abreast,
    height_of,
    letters,
    names_room,
    nothing_to_draw,
    null_legend,
    p_words,
    paged,
    pages_said,
    sentences,
    shortened,
    text_width,
)
from pertprobe.probes.base import averaged, members
from pertprobe.probes.similarity_questions import centred_cosine, nearest

PROGRAMS, MAPPED, OF_EACH = 18, 24, 8
"""Most programs beside their nulls; most rows of the map of neighbours; most members of one program in it."""
LINE, SCALE, GAP = 2.6, 15.0, 3.6
"""In mm: height of a row of the map, width of the scale beside it, between its columns and at their sides."""
TABLE = ["program", "member", "rank", "neighbour", "similarity", "same"]


class Nearest(NamedTuple):
    """Rows of the map: headings and members, and each model's neighbours of these."""

    rows: Sequence[tuple[str, str]]
    """Program and member, member empty in the heading of a program; the first one on top."""
    tables: Mapping[str, pd.DataFrame]
    """Model -> the columns TABLE."""
    left_out: str
    """What the map does not show, in a sentence."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw each program's coherence beside its null (above), and who is nearest to whom (below)."""
    shared = coherent(inputs, PROGRAMS)
    if not shared.names:
        return nothing_to_draw()
    nearest = nearest_rows(inputs, shared)
    first, *further = paged(shared, lambda part: _page(inputs, part, nearest))
    k = inputs.question["settings"]["neighbours"]
    caption = sentences(
        "(a) Mean cosine of the perturbation codes of a program's members, the mean code removed; one column per model",
        shared.said(inputs.filled, "perturbations", "evidence/pert_embedding.tsv"),
        f"(b) The {k} perturbations nearest to each member, the nearest first; in bold those of the same program, "
        "darker the larger the cosine",
        "Beside a program's name: the share of its members' neighbours that lie in it, what the null has on average, "
        "and p",
        nearest.left_out,
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def _page(inputs: DrawInputs, shared: Shared, nearest: Nearest) -> Figure:
    columns = len(shared.tables)
    figure, (above, below) = bands([columns] * 2, [height_of(shared), 14 + LINE * max(len(nearest.rows), 5)])
    draw_abreast(above, shared, "mean cosine within the program", inputs.filled)
    asked = inputs.by_model(inputs.answered("nearest_neighbours"))
    image = None
    for place, (axes, model) in enumerate(zip(below, shared.tables, strict=True)):
        said = asked.get(model, inputs.evidence[:0]).assign(used=lambda rows: used_p(rows)).set_index("program")
        image = _map(axes, nearest, model, said, named=not place)
    bar = figure.colorbar(image, ax=below, location="right", shrink=0.4, aspect=12, pad=0.01)
    bar.set_label("cosine", fontsize=TEXT)
    bar.outline.set_linewidth(0.4)
    letters([above[0], below[0]])
    null_legend(figure, inputs.filled)
    return figure


def nearest_rows(inputs: DrawInputs, shared: Shared) -> Nearest:
    """Return the map of the programs whose members' neighbours lie most in them, as far as there is room."""
    asked = inputs.answered("nearest_neighbours").assign(used=lambda rows: used_p(rows))
    best = asked[asked.model.isin(list(shared.tables))].groupby("program").used.min()
    order = best.reset_index().sort_values(["used", "program"]).program.tolist()
    tables = {model: _neighbours(inputs, model, order) for model in shared.tables}
    every = pd.concat(tables.values())
    rows: list[tuple[str, str]] = []
    shown, cut = 0, False
    for program in order:
        mine = every[every.program == program].groupby("member").same.sum()
        kept = sorted(mine.sort_values(ascending=False, kind="stable").index[:OF_EACH])
        if rows and len(rows) + 1 + len(kept) > MAPPED:
            break
        rows += [(program, ""), *((program, name) for name in kept)]
        shown, cut = shown + 1, cut or len(kept) < len(mine)
    return Nearest(rows, tables, _left_out(shown, len(order), cut))


def _left_out(shown: int, of: int, cut: bool) -> str:
    """Say which programs and members the map leaves out."""
    programs = f"Drawn are the {shown} programs with the smallest p in any model, of {of}" if shown < of else ""
    some = f"Of a larger program the {OF_EACH} members are drawn that have most neighbours in it" if cut else ""
    return sentences(programs, some)


def _neighbours(inputs: DrawInputs, model: str, programs: Sequence[str]) -> pd.DataFrame:
    """Return the k nearest of each member of these programs, the columns TABLE; ties go to the earlier name."""
    profiles = averaged(inputs.measurements[model], "embedding")
    names, similarity = profiles.perturbation.values, centred_cosine(profiles.values)
    places, rows = nearest(similarity, min(inputs.question["settings"]["neighbours"], len(names) - 1)), []
    for program in programs:
        inside = set(inputs.programs[program])
        for i in members(names, inside):
            rows += [
                (program, names[i], rank, names[j], similarity[i, j], names[j] in inside)
                for rank, j in enumerate(places[i])
            ]
    return pd.DataFrame(rows, columns=TABLE)


def _map(axes: Axes, nearest: Nearest, model: str, said: pd.DataFrame, named: bool) -> "object":
    """Draw member x rank of one model, coloured by cosine, the neighbour's name in each cell; return the image."""
    table = nearest.tables[model].set_index(["program", "member"])
    places = {row: place for place, row in enumerate(nearest.rows)}
    table = table[table.index.isin(list(places))]
    ranks = int(table["rank"].max()) + 1 if len(table) else 1
    values = np.full((len(places), ranks), np.nan)
    labels = _labels(nearest, names_room(axes.figure))
    width = _cell_width(axes, labels, ranks)
    for row in table.itertuples():
        y = places[row.Index]
        values[y, row.rank] = row.similarity
        style = {"weight": "bold"} if row.same else {}
        colour = "white" if row.similarity > 0.55 else "black"
        text = shortened(row.neighbour, width, SMALL, style.get("weight", "normal"))
        axes.text(row.rank, y, text, ha="center", va="center", fontsize=SMALL, color=colour, **style)
    image = axes.imshow(values, aspect="auto", cmap="PuBu", vmin=0, vmax=1, interpolation="nearest")
    _headings(axes, nearest, said)
    axes.set_yticks(range(len(labels)), labels if named else [""] * len(labels))
    for label, (_, name) in zip(axes.get_yticklabels(), nearest.rows, strict=True):
        label.set_fontweight("normal" if name else "bold")
    axes.tick_params(length=0)
    axes.set_xticks(range(ranks), [f"{rank + 1}" for rank in range(ranks)])
    axes.set(xlabel="neighbour, the nearest first", title=model)
    axes.spines[:].set_visible(False)
    return image


def _labels(nearest: Nearest, room: float) -> list[str]:
    """Return what stands beside the rows of the map, on so many mm."""
    return [name if name else shortened(program, room, TEXT, "bold") for program, name in nearest.rows]


def _cell_width(axes: Axes, labels: Sequence[str], ranks: int) -> float:
    """Return how wide a name may be in a map of so many ranks, in mm: what the page has beside all else."""
    page, columns = axes.figure.get_size_inches()[0] * MM, axes.get_subplotspec().get_gridspec().ncols
    taken = max(text_width(label, TEXT, "bold") for label in labels) + SCALE + GAP * columns
    return (page - taken) / columns / ranks


def _headings(axes: Axes, nearest: Nearest, said: pd.DataFrame) -> None:
    """Write in the heading of each program what of its members' neighbours lies in it."""
    for y, (program, name) in enumerate(nearest.rows):
        if not name and program in said.index:
            row = said.loc[program]
            text = f"{row.estimate:z.2f} within, null {row.null_mean:z.2f}, p {p_words(row.used)}"
            axes.text(-0.5, y, text, va="center", fontsize=SMALL, fontstyle="italic")
