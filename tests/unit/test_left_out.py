"""Models that a run goes on without: which jobs cost a model, what is taken out of the config, and what tables say."""

import pandas as pd
import pytest

from pertprobe.stages.left_out import with_left_out
from pertprobe.stages.verdict import VERDICT_COLUMNS
from pertprobe.workflow.left_out import leave_out, model_of, models_left_out


@pytest.mark.parametrize(
    ("job", "model"),
    [
        ("train/a", "a"),
        ("seen/a", "a"),
        ("measure/delta_y/a/0-of-3", "a"),
        ("gather/delta_y/a", "a"),
        ("measure/knockout/a/0-of-1", ""),
        ("measure_derived/delta_y", ""),
        ("draw/knockout", ""),
        ("rivals/rivals", ""),
        ("check_inputs", ""),
    ],
)
def test_a_job_costs_its_model_where_all_probes_depend_on_it(job, model):
    assert model_of(job) == model


def test_a_model_is_taken_out_with_all_that_names_it_and_the_first_reason_is_kept():
    config = {
        "given_up": {"train/b": "failed: first", "card/b": "failed: second", "draw/knockout": "failed: other"},
        "models": {"a": {"context": "x"}, "b": {"context": "x"}, "c": {"context": "x"}},
        "pairs": {"contexts": [["a", "b"], ["a", "c"]], "regimes": [["b", "c"]]},
        "sae": {"joint": {"models": ["b", "a"]}},
        "atlas": {"models": "all"},
    }
    assert models_left_out(config) == {"b": "failed: first"}
    found = leave_out(config)
    assert list(found["models"]) == ["a", "c"]
    assert found["pairs"] == {"contexts": [["a", "c"]], "regimes": []}
    assert found["sae"] == {"joint": {"models": ["a"]}}
    assert found["atlas"] == {"models": "all"}


def row(**given):
    return dict.fromkeys(VERDICT_COLUMNS, "") | {"verdict": "pass", "statistic": "s", "d": 1.0} | given


def test_what_others_were_asked_is_not_evaluable_once_and_pairs_are_not_asked():
    rows = [row(probe=probe, model=model, program="P") for probe in ("knockout", "sae") for model in ("a", "c")]
    table = pd.DataFrame([*rows, row(probe="knockout", model="a", reference="c", program="P")])[VERDICT_COLUMNS]
    assert with_left_out(table, {}).equals(table)
    found = with_left_out(table, {"b": "failed: no memory"})
    assert found[: len(table)].equals(table)
    added = found[len(table) :]
    assert list(zip(added.probe, added.model, added.reference, strict=True)) == [
        ("knockout", "b", ""),
        ("sae", "b", ""),
    ]
    assert set(added.verdict) == {"not evaluable"}
    assert set(added.reason) == {"failed: no memory"}
    assert added.d.isna().all()
