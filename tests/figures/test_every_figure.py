"""Every probe's figure can be printed as it is: of a genome-wide screen, in small, and with nothing in it."""

from pathlib import Path

import pytest
from figure_linter import figure_faults
from stand_in import Run

from pertprobe.probes import load_probe
from pertprobe.probes.declaration import probe_names

SMALL = {"perturbations": 24, "programs": 4, "genes": 53, "panels": 2}
LARGE = Run()
RUNS = {
    "one model": Run(**SMALL, models=1),
    "one program": Run(**SMALL | {"programs": 1, "panels": 1}),
    "nothing evaluable": Run(**SMALL, models=2, evaluable=0),
}


@pytest.mark.parametrize("probe", probe_names())
def test_the_figure_of_a_large_run_can_be_printed(tmp_path: Path, probe: str):
    inputs = LARGE.inputs(probe)
    assert figure_faults(lambda: load_probe(probe).draw(inputs), tmp_path, twice=False) == []


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("probe", probe_names())
def test_the_figure_of_a_small_run_can_be_printed(tmp_path: Path, probe: str, run: str):
    inputs, twice = RUNS[run].inputs(probe), run == "one model"
    assert figure_faults(lambda: load_probe(probe).draw(inputs), tmp_path, (".svg",), twice=twice) == []
