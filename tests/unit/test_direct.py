"""A probe asked of a model at hand: the rows of a run, and what it refuses in words."""

import numpy as np
import pandas as pd
import pytest
from tiny import BATCHES, GENES, random_state

import pertprobe
from pertprobe.data.cell_sets import CellSets
from pertprobe.errors import Faults, PertprobeError
from pertprobe.roles import SUBJECT

PROGRAMS = {"one": ["g00", "g01", "g02"], "two": ["g03", "g04", "g05"], "none": ["q1", "q2", "q3"]}
PANELS = {"p": {"program": "one", "regulators": ["g06", "g07"], "targets": ["g08", "g09"]}}


def cells(n_sets=2):
    rng = np.random.default_rng(0)
    values = rng.random((n_sets, 5, len(GENES))).astype(np.float32)
    ids = np.array([[f"c{i}_{j}" for j in range(5)] for i in range(n_sets)])
    return CellSets(values, GENES, rng.choice(BATCHES, (n_sets, 5)), ids, "here")


def asked(name, **more):
    given = {"permutations": 99, "bootstrap": 19, "redrawn": 2} | more
    return pertprobe.probe(name, random_state(), cells(), PROGRAMS, **given)


def test_a_program_without_members_is_a_row_with_its_reason_and_the_others_are_answered():
    found = asked("pert_embedding")
    rows = found.rows[found.rows.statistic == "coherence"].set_index("program")
    assert list(rows.index) == ["none", "one", "two"]
    assert rows.estimate[["one", "two"]].notna().all()
    assert "3 needed" in rows.reason["none"]
    copies = found.evidence[found.evidence.role != SUBJECT]
    assert set(copies["copy"]) == {1, 2}
    assert rows.q[["one", "two"]].notna().all()


def test_the_same_is_found_again_and_another_seed_draws_anew():
    first, again, other = (asked("pert_embedding", seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first.evidence, again.evidence)
    assert not first.evidence.null_mean.equals(other.evidence.null_mean)


def test_two_models_are_compared_in_what_compares_two():
    found = asked("pert_embedding", reference=(random_state(seed=1), cells()))
    assert set(found.rows.statistic) == {"consistency"}
    with pytest.raises(Faults, match="does not compare two models"):
        asked("concept_alignment", reference=(random_state(seed=1), cells()))


def test_panels_and_settings_are_those_of_a_config():
    found = asked("targeted_jacobian", panels=PANELS, at="mean_cell")
    assert set(found.rows.panel) - {""} == {"p"}
    with pytest.raises(Faults, match=r"no setting 'att'.*Did you mean 'at'"):
        asked("targeted_jacobian", panels=PANELS, att="mean_cell")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pert_embeding", "pert_embedding"),
        ("sae_features", "needs what a run makes"),
        ("intervention_fidelity", "needs what a run makes"),
        ("regulon_recovery", "needs what a run makes"),
    ],
)
def test_what_only_a_run_can_ask_is_refused_in_words(name, words):
    with pytest.raises(PertprobeError, match=words):
        asked(name)


def test_what_was_found_is_shown_and_drawn():
    found = asked("pert_embedding")
    assert found.declaration.question in repr(found)
    assert "<table" in found._repr_html_()
    assert found.figure().axes
    with pytest.raises(PertprobeError, match="drawn from tables of a run"):
        asked("output_clustering").figure()
