"""The figure of conserved_features: how many features two contexts share, and programs beside their nulls."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.evidence import used_p
from pertprobe.plots import (
    SMALL,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    draw_abreast,
    height_of,
    histograms,
    letters,
    nothing_to_draw,
    null_legend,
    p_words,
    parted,
    sentences,
    share_rows,
)

PRIMARY, CONSERVED = "conservation", "conserved"
PROGRAMS, HIGH = 24, 48.0
"""Most programs of a page; height in mm of the panels above."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw how many features two contexts share, and each program's conservation beside its null."""
    features = {pair: table[table.r.notna()] for pair, table in _by_pair(inputs.tables["features"]).items()}
    if not features:
        return nothing_to_draw()
    tested = inputs.answered(PRIMARY)
    shared = share_rows(_by_pair(tested[tested.adjustment == "centred"]), PROGRAMS)
    first, *further = [_page(inputs, {pair: features[pair] for pair in part}, shared) for part in parted([*features])]
    bound = inputs.question["settings"]["conserved"]
    caption = sentences(
        "(a) Features of the joint sparse autoencoder by Spearman's r of their activations between two contexts, over "
        f"perturbations; beyond the dotted line (r = {bound:g}) a feature counts as conserved; one column per pair of "
        "models",
        "Dark: features that autoencoders of other seeds find again" if _any_stable(features) else "",
        "(b) Cosine of what one half of a program's perturbations changes in one context with what the other half "
        "changes in the other"
        if shared.names
        else "",
        shared.said(inputs.filled, "perturbations", "evidence/conserved_features.tsv") if shared.names else "",
        _withheld(inputs),
        f"{len(further)} further pages of the PDF hold further pairs" if further else "",
    )
    return Drawn(first, caption, tuple(further))


def _by_pair(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return "model vs reference" -> its rows, in the order of the table."""
    found = rows.groupby(["model", "reference"], sort=False)
    return {f"{model} vs {reference}": each for (model, reference), each in found}


def _any_stable(features: Mapping[str, pd.DataFrame]) -> bool:
    return any((table.stable == 1).any() for table in features.values())


def _withheld(inputs: DrawInputs) -> str:
    """Say why answers were withheld that could have been given, such as of models whose features need not agree."""
    rows = inputs.evidence
    held = rows[(rows.statistic == CONSERVED) & ~rows.evaluable & rows.estimate.notna()]
    return " ".join(
        sentences(f"Not evaluable for {pair}: {each.reason.iloc[0]}") for pair, each in _by_pair(held).items()
    )


def _page(inputs: DrawInputs, features: Mapping[str, pd.DataFrame], shared: Shared) -> Figure:
    rows = shared._replace(tables={pair: shared.tables[pair] for pair in features if pair in shared.tables})
    heights = [HIGH, *([height_of(rows)] if rows.tables else [])]
    figure, panels = bands([len(features), len(rows.tables)][: len(heights)], heights)
    every = inputs.evidence
    said = _by_pair(every[(every.statistic == CONSERVED) & every.estimate.notna()])
    for axes, (pair, table) in zip(panels[0], features.items(), strict=True):
        _histogram(axes, table, said.get(pair, every[:0]), inputs.question["settings"][CONSERVED])
        axes.set_title(pair)
    if rows.tables:
        draw_abreast(panels[1], rows, "cosine of a program's halves", inputs.filled)
        letters([axes[0] for axes in panels])
        null_legend(figure, inputs.filled)
    return figure


def _histogram(axes: Axes, features: pd.DataFrame, said: pd.DataFrame, bound: float) -> None:
    """Draw Spearman's r of all features and of the stable ones; the share beyond the bound in words."""
    stable = features[features.stable == 1]
    labels = f"varying features ({len(features)})", f"found again by other seeds ({len(stable)})"
    histograms(axes, dict(zip(labels, (features.r, stable.r), strict=True)), np.linspace(-1, 1, 41))
    axes.axvline(bound, color="black", linewidth=0.6, linestyle=":")
    for row, p in zip(said.itertuples(), used_p(said), strict=True):
        words = [f"r > {bound:g}: {row.estimate:.1%}", f"null: {row.null_mean:.1%}", f"p {p_words(p)}"]
        text = "\n".join([*words, *([] if row.evaluable else ["not evaluable"])])
        axes.text(0.98, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=SMALL)
    axes.set(xlabel="Spearman r of a feature between contexts", ylabel="features", xlim=(-1, 1))
