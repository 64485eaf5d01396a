"""The short form: a fixed draw of every group of faults; what is not good is known by name, and what is known is so."""

import architectures
import gate
import groups
import known
import pytest
from judge import GOOD, Readers, judge_all

READERS = Readers(gate.gate, gate.use)


@pytest.mark.parametrize("group", groups.GROUPS)
def test_what_is_not_good_is_known(group, healthy_project):
    judged = list(judge_all(groups.sample(group), healthy_project, READERS))
    assert len(judged) == groups.GROUPS[group].in_short
    assert known.surprises(judged) == []


def test_random_architectures_agree_with_the_slow_reference():
    assert [each for each in architectures.judge_architectures(cases=6) if each.outcome != GOOD] == []


@pytest.mark.parametrize(("group", "fewest"), [("valid", 20), ("wrong", 300), ("hostile", 300), ("damage", 500)])
def test_every_group_has_its_number_of_cases(group, fewest):
    assert len(groups.faults_of(group)) >= fewest


def test_the_draw_takes_cases_of_every_kind():
    for group in groups.GROUPS:
        assert {fault.kind for fault in groups.sample(group)} == {fault.kind for fault in groups.faults_of(group)}


def test_no_two_cases_of_any_group_have_one_name():
    names = [fault.name for group in groups.GROUPS for fault in groups.faults_of(group)]
    assert len(set(names)) == len(names)


def test_what_is_known_is_a_case():
    names = {fault.name for group in groups.GROUPS for fault in groups.faults_of(group)}
    assert sorted(set(known.known()) - names) == []
