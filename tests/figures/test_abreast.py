"""Rows that models share: which are drawn, in which order, and what is said of those left out."""

import numpy as np
import pandas as pd

from pertprobe import evidence
from pertprobe.plots import Filled, row_words, share_rows
from pertprobe.probes.knockout_figure import clustered
from pertprobe.probes.output_clustering_figure import apart


def rows(model, **p):
    """Return evidence of programs whose z falls with p: program -> p."""
    made = [
        evidence.row({"model": model}, program=name, n=5 + i, p=each, p_used="p", effect=1 - each, null_sd=1.0)
        for i, (name, each) in enumerate(p.items())
    ]
    return evidence.frame(made)


def test_rows_are_those_of_the_smallest_p_in_any_column_the_largest_mean_effect_on_top():
    shared = share_rows({"a": rows("a", one=0.5, two=0.9, three=0.01), "b": rows("b", two=0.02, four=0.8)}, 2)
    assert shared.names == ["three", "two"]
    assert not shared.complete
    said = shared.said(Filled(), "perturbations", "evidence/x.tsv")
    assert "Drawn are the 2 programs with the smallest p in any column, of 4; all stand in evidence/x.tsv." in said


def test_n_is_a_range_where_columns_differ():
    shared = share_rows({"a": rows("a", one=0.5, two=0.9), "b": rows("b", two=0.02)}, 5)
    assert sorted(shared.labels(40)) == ["one (5)", "two (5 to 6)"]


def test_a_verdict_of_strata_shows_the_p_that_it_used():
    row = pd.Series({**evidence.COLUMNS, "estimate": 0.5, "p": 0.9, "p_stratified": 0.002, "p_used": "p_stratified"})
    assert row_words(row) == "0.50, p 0.002"


def test_names_on_a_map_lie_apart():
    assert apart(np.array([[0, 0], [0.01, 0.01], [1, 1]])).tolist() == [True, False, True]


def test_alike_genes_stand_side_by_side():
    groups = np.array([0, 1, 0, 1])
    assert np.ptp(np.flatnonzero(groups[clustered((groups[:, None] == groups) * 0.9)] == 0)) == 1
