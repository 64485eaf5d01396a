"""Tables depend neither on how many jobs a measurement is cut into nor on the cores."""

import pytest
from workflow_project import RESHARDED, SHARDS


@pytest.mark.parametrize(("probe", "model"), RESHARDED.items())
def test_its_shards_were_measured_and_joined(resharded, probe, model):
    logs = {path.name for path in (resharded.results / f"logs/measure/{probe}/{model}").iterdir()}
    assert logs >= {f"{shard}-of-{SHARDS}.log" for shard in range(SHARDS)}
    assert (resharded.results / f"measurements/{probe}/{model}.nc").is_file()


def test_tables_of_one_shard_on_two_cores_and_of_several_shards_on_one_core_are_identical(demo, resharded):
    tables = ["verdicts.tsv", "readings.tsv", *(f"evidence/{probe}.tsv" for probe in RESHARDED if probe != "delta_y")]
    tables += [str(path.relative_to(demo.results)) for path in demo.results.glob("evidence/*/*.tsv")]
    different = [
        name for name in tables if (demo.results / name).read_bytes() != (resharded.results / name).read_bytes()
    ]
    assert different == []


def test_the_tables_compared_were_written_anew(demo, resharded):
    before, after = demo.times(), resharded.times()
    anew = {name for name in before if after[name] != before[name]}
    assert {"verdicts.tsv", "readings.tsv"} <= anew
    assert {f"evidence/{probe}/{model}.tsv" for probe, model in RESHARDED.items() if probe != "delta_y"} <= anew
