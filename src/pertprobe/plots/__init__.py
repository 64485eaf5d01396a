"""Figures as journals print them: one style, one page, one way of writing, and the shapes that several probes draw.

Sizes are in millimetres and final: 89 or 183 wide, at most 170 high, text of 5 to 7 points in a font of Arial's
metrics. What is drawn from and what drawing gives is the contract of `drawn`. Colours are named by what they stand for
(`style`); a sheet of the user's own, `style` in the config, changes them and all that matplotlib's sheets can.
"""

from pertprobe.plots.abreast import (
    ABREAST,
    Shared,
    bands,
    coherent,
    draw_abreast,
    height_of,
    marks_abreast,
    names_room,
    paged,
    pages_said,
    row_words,
    share_rows,
)
from pertprobe.plots.drawn import DrawInputs, Drawn, Filled, left_out, said_of, sentences, within
from pertprobe.plots.many import histograms, points_or_density, scatter
from pertprobe.plots.page import (
    DOUBLE,
    HIGHEST,
    NOTHING_TESTED,
    SINGLE,
    foot,
    letters,
    logarithmic,
    nothing_to_draw,
    page,
    panels,
    parted,
)
from pertprobe.plots.rows import (
    faces,
    name_of_pair,
    null_handles,
    null_legend,
    without_q,
)
from pertprobe.plots.style import (
    BAD,
    BAND,
    COLOURS,
    GOOD,
    KNOWN,
    MIXED,
    NULL,
    RIVAL,
    SMALL,
    SUBJECT,
    TEXT,
    TITLE,
    use_style,
)
from pertprobe.plots.words import MM, p_words, shortened, text_width, wrapped
from pertprobe.plots.writing import write_figure
