from math import isnan

import numpy as np
import pandas as pd
import pytest
from calibration_sizes import ROOT, sizes
from scipy.stats import binom

from pertprobe.calibration import nulls, parts, table
from pertprobe.calibration.table import at_least, at_most, binomial_bound, entry, gathered, share
from pertprobe.probes.declaration import declared, probe_names
from pertprobe.workflow.digest import code, functions

WRITTEN = ROOT / "results" / "calibration" / "calibration.tsv"


@pytest.mark.parametrize(("n", "rate"), [(20, 0.05), (80, 0.05), (1000, 0.1), (10_000, 0.01)])
def test_a_true_rate_exceeds_its_bound_once_in_a_thousand_at_most(n, rate):
    bound = binomial_bound(n, rate)
    count = round(bound * n)
    assert binom.sf(count, n, rate) <= 0.001 < binom.sf(count - 1, n, rate)


def test_the_bound_of_no_draws_is_no_bound():
    assert isnan(binomial_bound(0, 0.05))
    row = entry("f", "p", "s", np.nan, 0, sense="at most", bound=at_most(0, 0.05))
    assert row["holds"] is None


def test_what_must_be_found_is_asked_in_full_of_many_rows_and_less_chance_of_few():
    assert at_least(200, 0.95) == 0.95
    assert at_least(10, 0.95) == binom.ppf(0.001, 10, 0.95) / 10 < 0.8


def test_a_row_holds_where_its_value_keeps_its_bound_and_a_missing_value_keeps_none():
    rows = [entry("f", "p", "s", value, 9, sense=sense, bound=0.5) for sense in ("at most", "at least") for value in
            (0.4, 0.5, 0.6, np.nan)]  # fmt: skip
    assert [row["holds"] for row in rows] == [True, True, False, False, False, True, True, False]
    assert entry("f", "p", "s", 1.0, 9)["holds"] is None


def test_seeds_are_pooled_by_their_rows_and_all_shown():
    seeds = [[True] * 3, [False], [], [True, False]]
    given = table.frame(
        share("f", "p", "s", passed, seed=i, sense="at most", level=0.05) for i, passed in enumerate(seeds)
    )
    assert given.holds.isna().all()
    whole = gathered([given.iloc[:2], given.iloc[2:], table.frame([entry("g", "p", "s", 0.1, 5)])])
    assert list(whole.seed) == ["", "", "0", "1", "2", "3"]
    row = whole[(whole.figure == "f") & (whole.seed == "")].iloc[0]
    assert (row.value, row.n, row.bound, row.holds) == (pytest.approx(4 / 6), 6, at_most(6, 0.05), False)


def test_one_figure_stands_once():
    with pytest.raises(ValueError, match="two rows of f, p, s"):
        table.frame([entry("f", "p", "s", 0.1, 5)] * 2)


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = [entry("f", "p", "s", 0.25, 8, sense="at most", bound=0.5, note="why"), entry("f", "p", "t", np.nan, 0)]
    table.write(table.frame(rows), tmp_path / "rows.tsv")
    pd.testing.assert_frame_equal(table.read(tmp_path / "rows.tsv"), table.frame(rows))


def test_parts_are_cut_by_seed_or_world_and_depend_on_their_own_sizes_alone():
    given = sizes(short=False)
    names = parts.names(given)
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith("trained")] == [f"trained-{i:02d}" for i in range(20)]
    worlds = len(declared("knockout").calibration["worlds"])
    assert [name for name in names if name.startswith("nulls_knockout-")] == [
        f"nulls_knockout-{i:02d}" for i in range(worlds)
    ]
    assert "seeds" not in parts.sizes_of("trained-03", given)
    assert parts.sizes_of("power_knockout", given) == given["power"]


@pytest.mark.parametrize("kind", ["nulls", "planted", "untrained"])
def test_every_probe_that_asks_something_is_calibrated(kind):
    # What answers is put to families of models in foreign worlds, in place of planted and untrained ones.
    names = [name for name in probe_names() if kind == "nulls" or not declared(name).answers]
    assert {f"{kind}_{name}" for name in names} <= set(parts.parts())
    answering = {name for name in probe_names() if declared(name).answers}
    assert set(parts.declared_of("foreign-00")) == set(parts.declared_of("statelike-00")) == answering


def test_what_a_probe_declares_is_in_the_params_of_its_parts_alone():
    assert list(parts.declared_of("nulls_knockout")) == ["knockout"]
    assert set(parts.declared_of("trained-00")) == {"pert_embedding", "sae_features"}
    assert parts.declared_of("speed") == {}


def called(name):
    """Return the functions of probes that a part calls, as targets of `code`."""
    return [target for module, names in parts.called(name) for target in functions(module, *names)]


def test_the_functions_of_a_probe_are_what_its_parts_depend_on():
    assert parts.target("nulls_sae_features") == "calibration.nulls:nulls"
    wanted = ("units", "measure", "questions", "null_world")
    assert called("nulls_sae_features") == [f"probes.sae_features:{name}" for name in wanted]
    assert "probes.delta_y:plant" in called("planted_output_clustering")
    assert "probes.jacobian_divergence:plant_first" in called("planted_jacobian_divergence")


@pytest.mark.parametrize("name", parts.parts())
def test_the_code_of_every_part_is_found(name):
    assert len(code(parts.target(name), *called(name))) == 16


@pytest.mark.parametrize("name", probe_names())
def test_what_a_calibration_names_a_probe_has(name):
    probe = declared(name)
    section, statistics = probe.calibration, set(probe.statistics)
    for words, world in section["worlds"].items():
        asked = {*world["exact"], *world["bounded"]}
        assert asked, words
        assert asked <= statistics, words
    known = section.get("planted", {}).get("known", ())
    assert {*section["slow"], *section["published"], *known} <= statistics
    worlds = section["worlds"].values()
    assert any(probe.primary in world["exact"] for world in worlds)
    assert any(world["confounded"] and probe.primary in world["bounded"] for world in worlds)


def test_full_sizes_are_those_of_the_specification():
    given = sizes(short=False)
    assert (given["nulls"]["draws"], given["nulls"]["draws_slow"], given["ceiling"]["cases"]) == (1_000, 250, 1_000)
    assert given["planted"]["d"] == 2
    assert set(nulls.MEMBERS) == {5, 10, 30, 80}
    assert (given["speed"]["permutations"], given["speed"]["units"]) == (100_000, 2024)


@pytest.mark.skipif(not WRITTEN.exists(), reason="the workflow has written no calibration here")
def test_the_workflows_table_says_of_each_figure_whether_it_holds():
    written = table.read(WRITTEN)
    assert list(written.columns) == table.COLUMNS
    assert not written.duplicated(table.KEYS).any()
    for row in written.to_dict("records"):
        expected = table.holds(row)
        assert pd.isna(row["holds"]) if expected is None else row["holds"] == expected, row
