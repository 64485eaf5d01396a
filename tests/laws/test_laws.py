"""Every law of every probe."""

import pytest
from check_probe import check_probe

from pertprobe.probes.declaration import probe_names

LAWS = [(probe, law) for probe in probe_names() for law in check_probe(probe)]


@pytest.mark.parametrize(("probe", "law"), LAWS, ids=[f"{probe}-{law}" for probe, law in LAWS])
def test_law(probe, law, tmp_path):
    check_probe(probe)[law](tmp_path)
