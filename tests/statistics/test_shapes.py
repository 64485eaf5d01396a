"""The suite checks shapes at every call; elsewhere they cost nothing."""

import subprocess
import sys

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from pertprobe.statistics.coherence import coherence
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.matched import crossed_test
from pertprobe.statistics.reliability import fit
from pertprobe.statistics.similarity import centred

RNG = np.random.default_rng(0)
SQUARE, WIDE, FIVE = np.eye(5), np.ones((5, 4)), np.arange(5.0)


@pytest.mark.parametrize("call", [
    lambda: centred(FIVE),
    lambda: coherence(WIDE, [0, 1], None, 9, RNG),
    lambda: coherence(SQUARE, [0, 1], FIVE[:4], 9, RNG),
    lambda: coherence(SQUARE, [0, 1], None, 9, RNG, adjusted=np.eye(4)),
    lambda: coherence(SQUARE, [0.5, 1.5], None, 9, RNG),
    lambda: mantel(SQUARE, WIDE, 9, RNG),
    lambda: crossed_test(SQUARE, FIVE, FIVE[:4], 9, RNG),
    lambda: fit(WIDE, SQUARE),
])  # fmt: skip
def test_a_wrong_shape_is_refused(call):
    with pytest.raises(TypeCheckError):
        call()


def test_in_a_job_nothing_is_checked_and_jaxtyping_is_not_loaded():
    code = "import sys, numpy as np, pertprobe.shapes as s; print('jaxtyping' in sys.modules, s.Float[s.Array, 'a b'])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == f"False {np.ndarray}"
