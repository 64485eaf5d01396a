"""Thresholds: a column has a type, signs and a range, and a condition that breaks them is refused before the run."""

import math

import pytest
import yaml
from test_config import MINIMAL, SCHEMA

from pertprobe.probes.declaration import all_declared
from pertprobe.workflow.conditions import KINDS, NO_NUMBERS, condition_faults
from pertprobe.workflow.config import schema_faults

COLUMNS = SCHEMA["$defs"]["column"]["kinds"]


def refused(*condition, probe="pert_embedding"):
    """Return the one fault of a condition, as the whole config tells it."""
    config = yaml.safe_load(MINIMAL) | {"thresholds": {probe: [list(condition)]}}
    (fault,) = schema_faults(config, SCHEMA)
    return fault


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (["q", "<", True], "thresholds.pert_embedding.0.2: true is true or false; q is compared with a number."),
        (["q", "<", "true"], ".2: 'true' is text; q is compared with a number."),
        (["q", "<", "0.05"], ".2: '0.05' is text; q is compared with a number. Write it without quotes."),
        (["q", "<", math.nan], ".2: .nan is no finite number, and nothing can be compared with it."),
        (["q", "<", math.inf], ".2: inf is no finite number"),
        (["q", "<", None], ".2: nothing is empty; q is compared with a number."),
        (["q", "<", [0.05]], ".2: [0.05] is a list; q is compared with a number."),
        (["q", "<", 5], "5 is out of range: q, a chance, which is small where something is found, lies between 0 and"),
        (["q", "<", -0.1], ".2: -0.1 is out of range"),
        (["q", "<", 0], ".2: nothing can pass: q, a chance"),
        (["q", ">", 0.05], "is a chance, which is small where something is found: it can be asked by <, <=, not by >."),
        (["effect", "==", 0.1], "effect is a difference of two values of the probe's statistic: it can be asked by"),
        (["estimate", ">", 2], "estimate, on the scale of the probe's statistic, lies between -1 and 1."),
        (["n", ">=", 2.5], ".2: 2.5 is no whole number; n is a number of units or draws."),
        (["null_sd", "<", -1], ".2: -1 is out of range: null_sd, a standard deviation, is 0 or more."),
        (["evaluable", "==", True], ".0: 'evaluable' holds true or false; a condition reads a measured number (known:"),
        (["p_used", "==", "p"], ".0: 'p_used' holds text; a condition reads a measured number"),
        (["Q_publishd", "<", 0.05], "is no measured column of the evidence. Did you mean 'q_published'?"),
        ([5, "<", 0.05], ".0: 5 is no measured column of the evidence. Known: n,"),
        (["q", "=>", 0.05], ".1: '=>' is no sign (known: <, <=, >, >=, ==)."),
        (["q", None, 0.05], ".1: nothing is no sign"),
        (["q", "<"], ".0: ['q', '<'] is no condition: a condition is [column, sign, number]"),
    ],
)  # fmt: skip
def test_a_condition_that_cannot_be_met_as_meant_is_refused(condition, words):
    assert words in refused(*condition)


def test_a_condition_without_its_list_is_refused_once():
    config = yaml.safe_load(MINIMAL) | {"thresholds": {"knockout": ["q", "<", 0.05]}}
    (fault,) = schema_faults(config, SCHEMA)
    assert fault.startswith("thresholds.knockout: ['q', '<', 0.05] is no list of conditions: a condition is [column,")


def test_every_default_and_every_boundary_is_accepted():
    thresholds = {name: [list(each) for each in probe.thresholds] for name, probe in all_declared().items()}
    assert list(condition_faults({"thresholds": thresholds}, COLUMNS)) == []
    edges = [
        ["q", "<=", 1],
        ["q", "<=", 0],
        ["n", "==", 3],
        ["n", ">=", 3.0],
        ["effect", ">", -2],
        ["share_low", ">", 1.5],
    ]
    assert list(condition_faults({"thresholds": {"pert_embedding": edges}}, COLUMNS)) == []


def test_every_kind_of_column_is_known_and_no_column_is_two():
    assert COLUMNS.keys() == KINDS.keys()
    names = [name for of_kind in COLUMNS.values() for name in of_kind]
    assert len(names) == len({*names, *NO_NUMBERS}) - len(NO_NUMBERS)
