"""Every law can fail: for each, a probe that breaks it is caught."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import check_probe as laws
import numpy as np
import pytest
import torch

from pertprobe import evidence
from pertprobe.probes import load_probe
from pertprobe.probes.questions import Question, ask
from pertprobe.workflow import digest

PROBE, OF_WORLDS = "pert_embedding", "input_sensitivity"
"""Which are broken: they are the quickest to measure and to ask."""
Patch = pytest.MonkeyPatch
Breaking = Callable[[Patch], None]


def change(function: str, by: Callable, probe: str = PROBE) -> Breaking:
    """Return what puts, in the place of a probe's function, `by` of that function."""
    return lambda patch: patch.setattr(load_probe(probe), function, by(getattr(load_probe(probe), function)))


def asks(by: Callable, probe: str = PROBE) -> Breaking:
    """Return what changes the request of a probe's questions."""
    return change("questions", lambda own: lambda inputs: own(by(inputs)), probe)


def measures(by: Callable) -> Breaking:
    """Return what changes a measurement, given the names that are measured."""
    return change("measure", lambda own: lambda inputs, names: by(own(inputs, names), names))


def with_measurement(by: Callable) -> Breaking:
    """Return what changes the measurement that questions are asked of."""
    return asks(lambda inputs: replace(inputs, subject=_changed(inputs.subject, by)))


def _changed(subject, by):
    return replace(subject, measurement=by(subject.measurement))


@dataclass(frozen=True, kw_only=True)
class Silent(Question):
    """Answers with no number and no reason."""

    def rows(self, inputs, wanted):
        yield evidence.row(inputs.identity, **self.who(program="P"), estimate=np.nan)


def with_silent_answers(own: Callable) -> Callable:
    def questions(inputs) -> Iterator[Question]:
        yield from own(inputs)
        yield Silent(statistic="coherence")

    return questions


def without_reasons(own: Callable) -> Callable:
    return lambda inputs: (replace(each, few=False) for each in own(inputs) if hasattr(each, "few"))


def trained_all_the_same(inputs):
    return replace(inputs, subject=replace(inputs.subject, seen=inputs.subject.seen.map(lambda _: "here")))


def weaker_half_left_out(inputs):
    """Leave out what is weak in the model that is named first."""
    names, strength = inputs.subject.measurement.perturbation.values, inputs.subject.strength
    strong = strength.reindex(names).to_numpy() > strength.median()
    return replace(inputs, subject=_changed(inputs.subject, lambda found: found.sel(perturbation=names[strong])))


def drawn_by_role(own: Callable) -> Callable:
    """Draw other sets for a copy than for the model."""
    return lambda inputs: (
        replace(each, draws=lambda program: (inputs.identity.get("role", "subject"), program)) for each in own(inputs)
    )


def reads_more(patch: Patch) -> None:
    declared = laws.declared
    patch.setattr(laws, "declared", lambda name: replace(declared(name), reads=(*declared(name).reads, "pca")))


def follows_the_first_alone(patch: Patch) -> None:
    functions = digest.functions
    patch.setattr(digest, "functions", lambda module, *names: functions(module, *names)[:1])


def too_sure(own: Callable) -> Callable:
    """Hold what confounds other units: each is matched by the expression of another."""
    return lambda inputs: (replace(each, strength=each.strength[::-1]) for each in own(inputs))


def unconfounded(own: Callable) -> Callable:
    def null_world(draw):
        world = own(draw)
        return world._replace(confounder=world.confounder.set_axis(draw.rng.permutation(world.confounder.index)))

    return null_world


def turned(own: Callable) -> Callable:
    return lambda inputs: (replace(each, scores=-each.scores) for each in own(inputs))


def asked_of_any_pair(patch):
    """Leave out what keeps pairs of other kinds from a probe."""
    patch.setattr(laws, "ask", lambda probe, inputs: ask(probe, replace(inputs, reference=None, comparison="")))


BROKEN: dict[str, tuple[str, Breaking]] = {
    "order": (PROBE, with_measurement(lambda found: found.isel(perturbation=slice(1, None)))),
    "labels": (PROBE, with_measurement(lambda found: found.map(lambda each: each * (1.0 + np.arange(each.shape[-1]))))),
    "names": (
        PROBE,
        with_measurement(lambda found: found.isel(perturbation=~found.perturbation.str.startswith("x").values)),
    ),
    "cores": (PROBE, measures(lambda found, _: found + 0.01 * torch.get_num_threads() * np.arange(found.feature.size))),
    "never": (PROBE, asks(trained_all_the_same)),
    "reason": (PROBE, change("questions", without_reasons)),
    "constant": (PROBE, change("questions", with_silent_answers)),
    "copy": (PROBE, change("questions", drawn_by_role)),
    "turned": (PROBE, asks(weaker_half_left_out)),
    "digest": (PROBE, follows_the_first_alone),
    "shards": (PROBE, measures(lambda found, names: found * len(names))),
    "axes": (PROBE, measures(lambda found, _: found.drop_vars("feature"))),
    "read": (PROBE, reads_more),
    "unasked": (OF_WORLDS, asked_of_any_pair),
    "null": (OF_WORLDS, change("questions", too_sure, OF_WORLDS)),
    "confounder": (OF_WORLDS, change("null_world", unconfounded, OF_WORLDS)),
    "planted": (OF_WORLDS, change("questions", turned, OF_WORLDS)),
}
"""Law -> a probe, and what breaks that law in it."""


@pytest.fixture(autouse=True)
def forgetful():
    """Forget what was measured of probes that are broken."""
    caches = (laws.sides, laws.expected)
    [each.cache_clear() for each in caches]
    yield
    [each.cache_clear() for each in caches]


def test_a_probe_is_broken_for_every_law():
    assert set(BROKEN) == set().union(*map(laws.check_probe, (PROBE, OF_WORLDS)))


@pytest.mark.parametrize("law", BROKEN)
def test_a_probe_that_breaks_a_law_is_caught(law, monkeypatch, tmp_path):
    probe, breaking = BROKEN[law]
    breaking(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        laws.check_probe(probe)[law](tmp_path)
