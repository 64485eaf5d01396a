"""The glossary: one sentence a word, no word twice, and the words of declarations and answers are in it."""

from collections import Counter

import pytest

from pertprobe.probes.declaration import all_declared
from pertprobe.report.glossary import glossary, terms
from pertprobe.stages import answer, verdict

WORDS = [word.lower() for name, term in terms().items() for word in (name, *term.also)]


@pytest.mark.parametrize("name", glossary())
def test_a_term_is_explained_in_one_short_sentence(name):
    means = glossary()[name]
    assert means[0].isupper()
    assert means.endswith(".")
    assert ". " not in means
    assert len(means.split()) <= 40


def test_no_word_is_explained_twice():
    assert [word for word, times in Counter(WORDS).items() if times > 1] == []


def test_what_tables_say_is_explained():
    said = {probe.level for probe in all_declared().values()} - {"none"}
    said |= {probe.unit for probe in all_declared().values()} - {"gene"}
    said |= {verdict.PASS, verdict.FAIL, verdict.NOT_EVALUABLE, verdict.MIXED}
    said |= set(answer.ANSWERS)
    assert said - set(WORDS) == set()
