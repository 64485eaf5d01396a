"""Faults injected into the code that probes call: the calibration table of each probe must leave its bounds.

Each fault patches what the probe's own questions run, three for a probe. What stays unseen is listed and counted.
"""

from collections.abc import Callable

import numpy as np
import pytest

from pertprobe.calibration import nulls
from pertprobe.probes import questions
from pertprobe.statistics import many, permutation

SIZES = {"draws": 120, "draws_slow": 120, "published": 0, "permutations": 99}
POWER = {"draws": 20, "permutations": 99}
Fault = Callable[[pytest.MonkeyPatch], None]


def strength_not_held(patch):
    """Compare a program with sets of any strength."""
    coherences, score = questions.coherence_many, questions.mean_score
    patch.setattr(questions, "coherence_many", lambda each, sets, strength, *more: coherences(each, sets, None, *more))
    patch.setattr(questions, "mean_score", lambda each, members, strength, *more: score(each, members, None, *more))


def strength_of_others(patch):
    """Hold the strength of other units."""
    coherences, score = questions.coherence_many, questions.mean_score
    patch.setattr(
        questions, "coherence_many", lambda each, sets, strength, *more: coherences(each, sets, strength[::-1], *more)
    )
    patch.setattr(
        questions, "mean_score", lambda each, members, strength, *more: score(each, members, strength[::-1], *more)
    )


def sign_turned(patch):
    """Ask whether members are unlike, or score lower."""
    coherences, score = questions.coherence_many, questions.mean_score
    patch.setattr(questions, "coherence_many", lambda each, *more: coherences(-np.asarray(each), *more))
    patch.setattr(questions, "mean_score", lambda each, *more: score(-np.asarray(each), *more))


def paired_with_themselves(patch):
    """Count each member twice, so that it is paired with itself."""
    distinct = many.distinct
    patch.setattr(many, "distinct", lambda members: np.repeat(distinct(members), 2))


def null_of_twice_as_many(patch):
    """Count each member twice where sets of its strength are drawn: their mean varies less than that of the program."""
    windows = permutation.strength_windows
    patch.setattr(permutation, "strength_windows", lambda members, *more: windows(np.repeat(members, 2), *more))


def tail_turned(patch):
    """Count the sets that are at most as large."""
    _replace_p(patch, lambda p: 1 - p)


def either_tail(patch):
    """Count the smaller tail, as if it had been asked for."""
    _replace_p(patch, lambda p: min(p, 1 - p))


def _replace_p(patch, other):
    summary = permutation.summary

    def replaced(*given, **more):
        test = summary(*given, **more)
        return test._replace(p=other(test.p))

    for module in (permutation, many):
        patch.setattr(module, "summary", replaced)


FAULTS: dict[str, list[Fault]] = {
    "pert_embedding": [strength_not_held, paired_with_themselves, sign_turned],
    "sae_features": [strength_of_others, either_tail, tail_turned],
    "output_clustering": [strength_not_held, paired_with_themselves, tail_turned],
    "routing_coherence": [strength_of_others, paired_with_themselves, sign_turned],
    "detached_jacobian": [strength_not_held, either_tail, sign_turned],
    "targeted_jacobian": [strength_not_held, null_of_twice_as_many, sign_turned],
    "cell_diagonal": [strength_of_others, null_of_twice_as_many, tail_turned],
    "jacobian_divergence": [strength_not_held, either_tail, sign_turned],
    "input_sensitivity": [strength_not_held, null_of_twice_as_many, tail_turned],
}
UNSEEN: set[tuple[str, str]] = set()
"""Faults that the calibration does not show."""
CASES = [(probe, fault) for probe, faults in FAULTS.items() for fault in faults]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Ask of few members, and of the planted effects that every probe must find."""
    monkeypatch.setattr(nulls, "MEMBERS", (5, 30))
    monkeypatch.setattr(nulls, "FEW", (nulls.LARGE[0][0],))
    monkeypatch.setattr(nulls, "EFFECTS", (nulls.LARGE[0][1],))


def outside(probe):
    """Return the rows of a probe's nulls, and where these hold of its power, that leave their bounds."""
    for rows in (nulls.nulls(probe, SIZES, 1), nulls.power(probe, POWER, 1)):
        judged = rows[rows.holds.notna()]
        broken = judged[~judged.holds.astype(bool)]
        if len(broken):
            return broken
    return broken


@pytest.mark.parametrize("probe", FAULTS)
def test_without_a_fault_every_bound_is_kept(probe):
    broken = outside(probe)
    assert broken.empty, broken.to_string()


@pytest.mark.parametrize(("probe", "fault"), CASES, ids=[f"{probe}-{fault.__name__}" for probe, fault in CASES])
def test_a_fault_leaves_the_bounds(probe, fault, monkeypatch):
    fault(monkeypatch)
    assert outside(probe).empty == ((probe, fault.__name__) in UNSEEN)


def test_of_each_probe_three_faults_are_tried_and_nearly_all_are_seen():
    assert all(len(set(faults)) == 3 for faults in FAULTS.values())
    assert len(UNSEEN) <= len(CASES) / 16
