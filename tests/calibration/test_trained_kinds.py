"""What counts as planted, and what as null, among the programs of trained models."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pertprobe.calibration.trained import _alike, _kind
from pertprobe.calibration.world import CONTEXTS
from pertprobe.data.programs import Programs

PROGRAMS = {name: tuple(f"{name}_{i}" for i in range(6)) for name in ("shared", "specific", "decoy", "lone")}


@pytest.fixture
def made():
    """A truth of four programs; the members of "shared" respond alike, all others each by itself."""
    rng = np.random.default_rng(0)
    names = [name for members in PROGRAMS.values() for name in members] + [f"other_{i}" for i in range(40)]
    response = pd.DataFrame(rng.normal(size=(len(names), 200)), index=names)
    response.iloc[:6] += 2 * rng.normal(size=200)
    planted = {"shared": "shared", "specific": "context_specific", "decoy": "decoy", "lone": "absent"}
    truth = pd.DataFrame([(name, c, planted[name]) for name in PROGRAMS for c in CONTEXTS])
    effects = pd.concat([response, response], keys=CONTEXTS)
    truth = truth.set_axis(["program", "context", "planted"], axis=1)
    return SimpleNamespace(programs=Programs(PROGRAMS), simulation=SimpleNamespace(truth=truth, effects=effects))


def test_alike_are_the_programs_that_respond_as_one(made):
    assert _alike(made, seed=0) == {"shared"}


def test_a_decoy_that_responds_as_one_is_no_null(made):
    assert _kind(made, "decoy", CONTEXTS[0], set(), alike=set()) == "decoys"
    assert _kind(made, "decoy", CONTEXTS[0], set(), alike={"decoy"}) != "decoys"


def test_a_program_of_one_context_is_planted_only_where_its_members_were_trained_there(made):
    members = set(PROGRAMS["specific"])
    assert _kind(made, "specific", CONTEXTS[0], members, set()) == "planted"
    assert _kind(made, "specific", CONTEXTS[0], members - {"specific_0"}, set()) != "planted"
    assert _kind(made, "shared", CONTEXTS[0], set(), set()) == "planted"
    assert _kind(made, "lone", CONTEXTS[0], members, set()) == "planted in the other context"
