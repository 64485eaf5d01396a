"""check_model: models that keep every promise pass, and each that breaks one is caught by its name."""

import copy
import re

import numpy as np
import pytest
import torch
from test_capabilities import MODELS
from tiny import BATCHES, GENES, PERTURBATIONS, cell_sets, random_state

from pertprobe.errors import PertprobeError, unknown_name
from pertprobe.models.base import Encoded, Mixed
from pertprobe.probes.declaration import probe_names
from pertprobe.testing import check_model
from pertprobe.testing.checking import OF_ANSWERS, OF_ITSELF
from pertprobe.testing.found import ABSENT, KEPT, OPEN

CARD = {"kind": "mine", "attention": "none", "attention_source": "given", "equivariance_error": 0.0}
CARD |= {"causal": False, "warnings": []}
STAGES = {"encode_perturbations": ("codes", "turn"), "encode_cells": ("read",), "mix": ("block",), "decode": ("write",)}


class Whole:
    """A small model with every stage and much of what may be offered, which keeps all promises."""

    genes = output_genes = GENES
    perturbations, control, batches, set_size, n_layers = PERTURBATIONS, "ctrl", BATCHES, 5, 1
    cell_positions = slice(None)
    card = CARD
    capabilities = frozenset(
        {
            "predict",
            "gradient",
            "stages",
            "set_function",
            "gene_space",
            "resume",
            "code_features",
            "redraw",
            "parameters",
        }
    )

    def __init__(self, seed=0, kept=None):
        generator = torch.Generator().manual_seed(seed)
        sizes = {"codes": (10, 6), "turn": (6, 6), "read": (12, 6), "block": (6, 6), "write": (6, 12)}
        fresh = {n: torch.randn(s, generator=generator, dtype=torch.float64) for n, s in sizes.items()}
        self.parameters = fresh | (kept or {})
        self.perturbation_features = torch.eye(len(PERTURBATIONS), dtype=torch.float64)

    def tensor(self, values):
        return torch.as_tensor(values).double()

    def batch_indices(self, batches):
        if batches is None:
            return None
        if unknown := set(np.ravel(batches)) - set(BATCHES):
            raise PertprobeError(f"unknown batch {unknown}")
        return torch.as_tensor(np.vectorize(BATCHES.index)(batches))

    def encode_features(self, features):
        return torch.tanh(features @ self.parameters["codes"]) @ self.parameters["turn"]

    def encode_perturbations(self, names):
        for name in names:
            if name not in PERTURBATIONS:
                raise unknown_name("mine: perturbation", name, PERTURBATIONS)
        return self.encode_features(self.perturbation_features[[PERTURBATIONS.index(name) for name in names]])

    def encode_cells(self, X, batch=None, multiplicity=None):
        read = X @ self.parameters["read"]
        return Encoded(read, read + (0.0 if batch is None else 0.1 * batch[..., None]), multiplicity)

    def mix(self, pert, encoded, edit=None):
        return self._run(0, encoded.tokens + pert[..., None, :], edit or (lambda _, states: states), encoded)

    def resume(self, layer, states):
        return self._run(layer, states, lambda _, states: states, Encoded(states, states))

    def _run(self, layer, states, edit, encoded):
        states = edit(layer, states)
        found = [states] * (layer + 1)
        if layer == 0:
            weights = torch.ones_like(states[..., 0]) if encoded.multiplicity is None else encoded.multiplicity
            mean = (weights[..., None] * states).sum(-2, keepdim=True) / weights.sum(-1)[..., None, None]
            states = edit(1, states + torch.tanh(mean @ self.parameters["block"]))
            found.append(states)
        return Mixed(states, tuple(found))

    def decode(self, mixed, encoded, X):
        return torch.relu(mixed.h @ self.parameters["write"])

    def predict(self, values, perturbation, batches=None):
        X = self.tensor(values)
        encoded = self.encode_cells(X, self.batch_indices(batches))
        return self.decode(self.mix(self.encode_perturbations([perturbation])[0], encoded), encoded, X)

    def predict_genes(self, values, perturbation, batches=None):
        return self.predict(values, perturbation, batches)

    def parameters_of(self, stages):
        return frozenset(name for stage in stages for name in STAGES[stage])

    def with_parameters(self, parameters, card=None):
        found = copy.copy(self)
        found.parameters, found.card = dict(parameters), card or self.card
        return found

    def redraw(self, seed, keep=()):
        return type(self)(seed + 1, {name: self.parameters[name] for name in self.parameters_of(keep)})


def without(*capabilities):
    return Whole.capabilities - set(capabilities)


class NamesAPerturbationTwice(Whole):
    perturbations = (*PERTURBATIONS, "g00")


class ControlElsewhere(Whole):
    control = "control"


class ColumnsNamedTwice(Whole):
    genes = output_genes = (*GENES[:-1], "g00")


class UnknownCapability(Whole):
    capabilities = frozenset({*Whole.capabilities, "gradients"})


class PromisesWhatItHasNot(Whole):
    capabilities = frozenset({*Whole.capabilities, "linear_ends"})


class SilentCard(Whole):
    card = {"kind": "mine"}  # noqa: RUF012


class OneCellTooFew(Whole):
    def predict(self, values, perturbation, batches=None):
        return super().predict(values, perturbation, batches)[..., 1:, :]


class Nan(Whole):
    def decode(self, mixed, encoded, X):
        return torch.log(mixed.h @ self.parameters["write"])


class Dropout(Whole):
    def encode_cells(self, X, batch=None, multiplicity=None):
        return super().encode_cells(torch.nn.functional.dropout(X, 0.5), batch, multiplicity)


class WritesIntoItsInput(Whole):
    def tensor(self, values):
        return values if isinstance(values, torch.Tensor) else super().tensor(values)

    def encode_cells(self, X, batch=None, multiplicity=None):
        return super().encode_cells(X.mul_(1.5), batch, multiplicity)


class LooksAtOtherSets(Whole):
    def encode_cells(self, X, batch=None, multiplicity=None):
        return super().encode_cells(X - X.mean(tuple(range(X.ndim - 1))), batch, multiplicity)


class Causal(Whole):
    def encode_cells(self, X, batch=None, multiplicity=None):
        return super().encode_cells(X.cumsum(-2), batch, multiplicity)


class TakesAnyBatch(Whole):
    def batch_indices(self, batches):
        return None if batches is None else torch.zeros(np.shape(batches), dtype=torch.long)


class IgnoresTheName(Whole):
    def encode_features(self, features):
        return 0 * super().encode_features(features)


class KeyErrors(Whole):
    def encode_perturbations(self, names):
        return self.encode_features(self.perturbation_features[[dict.fromkeys(PERTURBATIONS, 0)[n] for n in names]])


class ForgetsTheResidual(Whole):
    def predict(self, values, perturbation, batches=None):
        return super().predict(values, perturbation, batches) + self.tensor(values)


class HeedsNoEdit(Whole):
    def mix(self, pert, encoded, edit=None):
        if edit:
            found = super().mix(pert, encoded)
            for layer, states in enumerate(found.layers):
                edit(layer, states)
            return found
        return super().mix(pert, encoded)


class CountsEachCellOnce(Whole):
    def encode_cells(self, X, batch=None, multiplicity=None):
        found = super().encode_cells(X, batch, multiplicity)
        return Encoded(found.residual, found.tokens + 0.1 * X.shape[-2], multiplicity)


class Detached(Whole):
    def encode_cells(self, X, batch=None, multiplicity=None):
        return super().encode_cells(X.detach(), batch, multiplicity)


class ByNumpy(Whole):
    capabilities = without("stages")

    def predict(self, values, perturbation, batches=None):
        return super().predict(np.asarray(values), perturbation, batches)


class ResumesTooLate(Whole):
    def resume(self, layer, states):
        return super().resume(1, states)


class OtherFeatures(Whole):
    def encode_perturbations(self, names):
        return super().encode_perturbations(names) + 1


class KeepsItsCodes(Whole):
    def redraw(self, seed, keep=()):
        return super().redraw(seed, (*keep, "encode_perturbations"))


class HidesItsCodes(Whole):
    """Its tensors cannot be seen from outside, and are kept."""

    capabilities = without("stages", "code_features", "parameters", "resume")

    def __init__(self, seed=0, answers=None):
        super().__init__(seed)
        hidden = Whole(0)
        self.answers = answers or (lambda name: hidden.encode_perturbations([name])[0] @ hidden.parameters["write"])

    def predict(self, values, perturbation, batches=None):
        self.encode_perturbations([perturbation])
        return 0.1 * super().predict(values, "ctrl", batches) + self.answers(perturbation)

    def redraw(self, seed, keep=()):
        return type(self)(seed + 1, self.answers)


class ForgetsTheSeed(Whole):
    def redraw(self, seed, keep=()):
        return super().redraw(7, keep)


class SeedsOfNumpysYouth(Whole):
    def redraw(self, seed, keep=()):
        return super().redraw(int(np.random.RandomState(seed).randint(2**31)), keep)


class DrawsOnTheSly(Whole):
    def redraw(self, seed, keep=()):
        return super().redraw(int(torch.randint(10**6, ())), keep)


class RedrawsItself(Whole):
    def redraw(self, seed, keep=()):
        self.parameters = super().redraw(seed, keep).parameters
        return super().redraw(seed, keep)


class KeepsNothing(Whole):
    def redraw(self, seed, keep=()):
        return super().redraw(seed)


class HoldsOnToItsWeights(Whole):
    def with_parameters(self, parameters, card=None):
        return self


BROKEN = [
    (NamesAPerturbationTwice, "names", "names twice: g00"),
    (ColumnsNamedTwice, "names", "`genes` has names twice"),
    (ControlElsewhere, "names", "none of `perturbations`"),
    (UnknownCapability, "capabilities", "Did you mean 'gradient'"),
    (PromisesWhatItHasNot, "capabilities", "there is no `linear_ends`"),
    (SilentCard, "card", "lacks attention"),
    (OneCellTooFew, "shapes", r"gives \(2, 4, 12\)"),
    (Nan, "finite", "nan or infinite"),
    (Dropout, "repeatable", "eval mode"),
    (WritesIntoItsInput, "repeatable", "changes the cells"),
    (LooksAtOtherSets, "sets_apart", "beside others"),
    (Causal, "set_function", "another order"),
    (TakesAnyBatch, "batches", "place of each label"),
    (IgnoresTheName, "perturbations", "all give the same"),
    (KeyErrors, "unknown_names", "KeyError"),
    (ForgetsTheResidual, "stages", "call the stages"),
    (HeedsNoEdit, "layers", "changes nothing"),
    (CountsEachCellOnce, "multiplicity", "no set function"),
    (Detached, "gradient", "detached"),
    (ByNumpy, "gradient", "torch.func cannot"),
    (ResumesTooLate, "resume", "ends"),
    (OtherFeatures, "code_features", "not the codes"),
    (KeepsItsCodes, "redraw", "`parameters.codes`, `parameters.turn` is the model's own"),
    (HidesItsCodes, "redraw", "tell perturbations apart as the trained model"),
    (ForgetsTheSeed, "redraw", "Use the seed"),
    (DrawsOnTheSly, "redraw", "gives two models"),
    (SeedsOfNumpysYouth, "redraw", "raised ValueError: Seed must be between 0 and .* Runs give seeds of 63 bits"),
    (RedrawsItself, "redraw", "changes the model itself"),
    (KeepsNothing, "keep", r"keep=\['mix'\]"),
    (HoldsOnToItsWeights, "parameters", "does not use them"),
]


class NoModel:
    """Has nothing of a model."""


def states(report):
    return {each.name: each.state for each in report.promises}


def test_a_model_that_keeps_every_promise_passes_with_its_own_cells_and_with_made_up_ones():
    for cells in (None, cell_sets()):
        report = check_model(Whole(), cells)
        assert report.ok, report
        assert set(states(report).values()) <= {KEPT, ABSENT}
    assert [each.name for each in report.promises if each.state == ABSENT] == ["affine_map", "linear_ends"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_state_model_passes_and_every_probe_can_be_asked(dtype):
    model = random_state(dtype=dtype)
    model.card = CARD
    report = check_model(model)
    assert report.ok, report
    assert {each.name for each in report.promises if each.state == KEPT} == {c.name for c in (*OF_ITSELF, *OF_ANSWERS)}
    assert all(each.asked and not each.words for each in report.probes)


@pytest.mark.parametrize(("broken", "name", "words"), BROKEN, ids=lambda each: getattr(each, "__name__", ""))
def test_a_broken_promise_is_caught_by_its_name(broken, name, words):
    report = check_model(broken())
    assert not report.ok
    found = next(each for each in report.promises if each.name == name)
    assert found.state == "broken", report
    assert re.search(words, found.words), found.words


def test_every_promise_has_a_model_that_breaks_it():
    assert {c.name for c in (*OF_ITSELF, *OF_ANSWERS)} - {name for _, name, _ in BROKEN} == {
        "affine_map",
        "linear_ends",
    }


@pytest.mark.parametrize(("method", "name"), [("linear_ends", "linear_ends"), ("freeze", "affine_map")])
def test_parts_of_another_model_are_not_the_model(method, name):
    model = random_state()
    setattr(model, method, getattr(random_state(seed=1), method))
    assert states(check_model(model))[name] == "broken"


@pytest.mark.parametrize("name", MODELS)
def test_models_that_are_built_here_keep_what_their_numbers_rest_on(name):
    # Some have a short card, and planted ones are never asked a name that is unknown: no user brings them.
    assert set(check_model(MODELS[name]).broken) <= {"card", "unknown_names"}


def test_what_is_no_model_is_told_so_without_a_traceback():
    report = check_model(NoModel())
    assert report.broken == ("names", "capabilities", "card")
    assert report.conclusion == "NoModel: broken: names, capabilities, card; no probe can be asked"


def test_what_rests_on_a_broken_promise_is_not_checked():
    report = check_model(ControlElsewhere())
    assert {each.state for each in report.promises[len(OF_ITSELF) :]} == {OPEN}
    assert check_model(Nan()).promises[-1].words == "mend 'finite' first"


def test_each_probe_is_said_to_be_asked_or_why_not():
    class Bare(Whole):
        capabilities = frozenset({"predict", "gene_space"})

    report = check_model(Bare())
    assert report.ok
    probes = {each.probe: each for each in report.probes}
    assert set(probes) == set(probe_names())
    assert not probes["pert_embedding"].asked
    assert probes["pert_embedding"].words == "model has no stages"
    assert probes["intervention_fidelity"].asked
    assert "untrained copies" in probes["knockout"].words
    assert any("'redraw'" in note for note in report.notes)
    assert any("'set_function' could be declared" in note for note in report.notes)


def test_a_probe_that_rests_on_a_broken_promise_says_so():
    probes = {each.probe: each for each in check_model(Detached()).probes}
    assert "'gradient' is broken" in probes["targeted_jacobian"].words
    assert not probes["knockout"].words


def test_what_was_given_and_not_learned_may_stay():
    class WithGraph(Whole):
        graph = None

        def __init__(self, seed=0, kept=None):
            super().__init__(seed, kept)
            self.graph = torch.linspace(0, 1, 12)

    assert "`graph`" in next(each.words for each in check_model(WithGraph()).promises if each.name == "redraw")
    assert check_model(WithGraph(), held=["graph"]).ok


def test_the_report_is_read_as_text_and_in_a_notebook():
    report = check_model(Detached())
    assert report.conclusion in repr(report)
    assert "broken: gradient" in report.conclusion
    assert report._repr_html_().count("<table>") == 2
    assert "&#x27;" in report._repr_html_()
