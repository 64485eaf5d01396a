"""Freed memory stays with the process, where its C library can be told so."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from pertprobe.workflow.job import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(4_000_000)
before = faults()
for _ in range(20):
    np.ones(4_000_000)  # 32 MB, which are filled and dropped
print(faults() - before)
"""


def faults(how):
    return int(subprocess.check_output([sys.executable, "-c", PROGRAM, how], text=True))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc of glibc")
def test_pages_are_lent_once_and_not_for_every_array():
    assert faults("keep") < faults("leave") / 10
