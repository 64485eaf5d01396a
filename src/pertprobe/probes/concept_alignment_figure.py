"""The figure of concept_alignment: three statistics of each program, beside directions refitted on permuted labels."""

from matplotlib.figure import Figure

from pertprobe.plots import (
    DrawInputs,
    Drawn,
    Filled,
    Shared,
    bands,
    draw_abreast,
    foot,
    height_of,
    letters,
    nothing_to_draw,
    null_handles,
    paged,
    pages_said,
    sentences,
    share_rows,
    without_q,
)

PRIMARY = "alignment"
SHOWN = {
    PRIMARY: "cosine with the Jacobian's span",
    "outcome_agreement": "|r| of outcomes of a push",
    "cav_accuracy": "balanced accuracy",
}
"""Statistic -> label of its axis."""
MEANT = {
    "outcome_agreement": "|r| of what the outputs do when the layer is pushed along the classifier's direction and "
    "along the Jacobian's first",
    "cav_accuracy": "Cross-validated balanced accuracy of the classifier",
}
"""Statistic -> what it is, in the caption."""
PROGRAMS = 11
"""Most programs of a page."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw each program's alignment, outcomes and accuracy beside those of directions refitted on permuted labels."""
    shared = share_rows(inputs.by_model(inputs.answered(PRIMARY)), PROGRAMS)
    if not shared.names:
        return nothing_to_draw()
    first, *further = paged(shared, lambda part: _page(inputs, part))
    beside = [name for name in MEANT if _of(inputs, shared, name).names]
    caption = sentences(
        "(a) Cosine of the direction in which a classifier sets a program's perturbations apart with what the outputs "
        "of its genes read, the span of the Jacobian's first singular vectors; one column per model",
        " ".join(f"({letter}) {MEANT[name]}." for letter, name in zip("bc", beside, strict=False)),
        "Null: the same of directions refitted on permuted labels",
        shared.said(inputs.filled, "members", "evidence/concept_alignment.tsv"),
        f"Grey points in {' and '.join(f'({each})' for each in 'bc'[: len(beside)])}: statistics without a q"
        * bool(beside),
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def _of(inputs: DrawInputs, shared: Shared, statistic: str) -> Shared:
    """Return the same rows of another statistic, as far as there are any."""
    found = inputs.by_model(inputs.answered(statistic))
    tables = {model: found.get(model, inputs.evidence[:0]) for model in shared.tables}
    known = {program for table in tables.values() for program in table.program}
    return Shared(tables, [name for name in shared.names if name in known])


def _page(inputs: DrawInputs, shared: Shared) -> Figure:
    shown = {statistic: _of(inputs, shared, statistic) for statistic in SHOWN}
    shown = {statistic: rows for statistic, rows in shown.items() if rows.names}
    figure, panels = bands([len(shared.tables)] * len(shown), [height_of(rows) for rows in shown.values()])
    for axes, (statistic, rows) in zip(panels, shown.items(), strict=True):
        draw_abreast(axes, rows, SHOWN[statistic], inputs.filled if statistic == PRIMARY else Filled())
    letters([axes[0] for axes in panels])
    foot(figure, [*null_handles(inputs.filled), *([without_q()] if len(shown) > 1 else [])])
    return figure
