"""Patches of one run by another: laws of the runs, what names and what scores, planted and missing answers."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import MeanShift, cell_sets, random_state, rows_of, subject, to_measure, to_test

from pertprobe import evidence
from pertprobe.errors import PertprobeError
from pertprobe.interpret.patching import Runs, along, of_features, unit
from pertprobe.interpret.sae import SparseAutoencoder
from pertprobe.models.base import Encoded
from pertprobe.models.planted.linear_readout import LinearReadoutModel, linear_readout_model, solve_loadings
from pertprobe.probes import activation_patching
from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.probes.questions import ask
from pertprobe.stages.measuring import measure_derived, measure_shard

PROGRAMS = {"P": ["g00", "g01", "g02", "g03"], "Q": ["g04", "x1"]}
SETTINGS = {"random": 2}
NAMES = [f"p{i:02d}" for i in range(60)]
MANY_GENES = tuple(f"t{i:02d}" for i in range(40))
PLANTED = {"near": NAMES[:8], "far": NAMES[8:16]}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def without_resume(model):
    """Return the same model as one that cannot be resumed: only what the protocol asks for."""
    names = ("control", "n_layers", "cell_positions", "tensor", "batch_indices", "encode_perturbations",
             "encode_cells", "mix", "decode")  # fmt: skip
    return SimpleNamespace(
        **{name: getattr(model, name) for name in names}, capabilities=model.capabilities - {"resume"}
    )


def directions(n, width, seed=0):
    return unit(torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def everything(n_genes=12, n=1):
    return torch.ones(n, n_genes, dtype=torch.float64)


MODELS = {
    "llama": lambda: random_state(),
    "gpt2": lambda: random_state(backbone="gpt2"),
    "batch token": lambda: random_state(batch_token=True),
    "confidence token": lambda: random_state(confidence_token=True),
    "no residual, relu": lambda: random_state(predict_residual=False),
}


@pytest.fixture(params=MODELS)
def any_model(request):
    return MODELS[request.param]()


def test_patching_a_run_with_itself_changes_nothing(any_model):
    for layer in range(any_model.n_layers + 1):
        runs = Runs(any_model, cell_sets(), layer)
        pair = runs.pair("x1")
        part = along(directions(3, pair.states.shape[-1]))
        after = runs.patched(pair.states, pair.states, part, "x1")
        torch.testing.assert_close(after, pair.response.expand_as(after), rtol=1e-12, atol=1e-12)


def test_patching_every_token_of_any_layer_recovers_all(any_model):
    """From the input of the backbone to its last layer: the perturbation has no other way to the output."""
    for layer in range(any_model.n_layers + 1):
        runs = Runs(any_model, cell_sets(), layer)
        share = runs.restored_layer(runs.pair("x1"))
        torch.testing.assert_close(share, torch.ones_like(share), rtol=1e-9, atol=1e-9)


def test_a_model_whose_perturbation_passes_by_the_layer_says_so():
    """The mean shift heeds no edit: replacing its only layer changes nothing."""
    runs = Runs(MeanShift(), cell_sets(), 0)
    torch.testing.assert_close(runs.restored_layer(runs.pair("x1")), torch.zeros(2, 1, dtype=torch.float64))


def test_the_response_of_unchanged_states_is_the_prediction(any_model):
    cells = cell_sets()
    for layer in range(any_model.n_layers + 1):
        pair = Runs(any_model, cells, layer).pair("x1")
        torch.testing.assert_close(pair.response, any_model.predict(cells.values, "x1", cells.batches).mean(-2))


@pytest.mark.parametrize("change", [{}, {"backbone": "gpt2"}, {"batch_token": True}])
def test_a_run_continued_from_the_layer_equals_one_edited_there(change):
    model = random_state(**change)
    part, asked = along(directions(3, 16)), everything(n=3)
    for layer in range(model.n_layers + 1):
        short, whole = (Runs(each, cell_sets(), layer) for each in (model, without_resume(model)))
        for way in ("restored", "induced"):
            one, other = (getattr(runs, way)(runs.pair("x1"), part, asked) for runs in (short, whole))
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_patch_by_hand_cell_by_cell():
    """The slow obvious way: one set, one direction, one cell after the other, through `mix` and its edit."""
    model, cells, layer = random_state(), cell_sets(), 1
    runs, direction = Runs(model, cells, layer), directions(1, 16)[0]
    pair = runs.pair("x1")
    X = model.tensor(cells.values)
    batch = model.batch_indices(cells.batches)
    for s in range(cells.n_sets):
        encoded = model.encode_cells(X[s], batch[s])
        codes = model.encode_perturbations(["x1", "ctrl"])
        states = [model.mix(code, encoded).layers[layer] for code in codes]
        patched = states[0].clone()
        for c in range(cells.set_size):
            patched[c] -= torch.dot(states[0][c] - states[1][c], direction) * direction
        mixed = model.mix(codes[0], encoded, lambda number, h, own=patched: own if number == layer else h)
        after = model.decode(mixed, encoded, X[s]).mean(0)
        ours, theirs = (model.decode(model.mix(code, encoded), encoded, X[s]).mean(0) for code in codes)
        delta = ours - theirs
        expected = torch.dot(ours - after, delta) / torch.dot(delta, delta)
        found = runs.restored(pair, along(direction[None]), everything())[s, 0]
        assert found == pytest.approx(expected.item(), rel=1e-10)


def routed(seed=0, noise=8, programs=PLANTED, n=60):
    """Return a model that is linear above its code: noise, and the members' loading on their program's direction."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([rng.normal(size=(n, noise)), np.zeros((n, len(programs)))], axis=1)
    for k, members in enumerate(programs.values()):
        codes[np.isin(NAMES[:n], members), noise + k] = 4.0
    readout = np.linalg.qr(rng.normal(size=(len(MANY_GENES), codes.shape[1])))[0].T
    named = dict(zip(NAMES[:n], codes, strict=True))
    return LinearReadoutModel(named, readout, genes=MANY_GENES, control="ctrl", set_size=5, dtype=torch.float64)


def routed_inputs(model=None, **more):
    given = {"settings": SETTINGS, "programs": PLANTED, **more}
    return to_measure(model or routed(), cell_sets(genes=MANY_GENES), **given)


def test_in_a_linear_model_a_patch_recovers_the_squared_cosine_and_the_reverse_patch_as_much():
    model = routed()
    runs, part = Runs(model, cell_sets(genes=MANY_GENES), "middle"), along(directions(4, 10, seed=1))
    for name in NAMES[:3]:
        code = model.codes[name]
        expected = (directions(4, 10, seed=1) @ code).square() / code.square().sum()
        pair, asked = runs.pair(name), everything(len(MANY_GENES), 4)
        for way in (runs.restored, runs.induced):
            torch.testing.assert_close(way(pair, part, asked), expected.expand(2, -1), rtol=1e-9, atol=1e-12)


def test_in_a_linear_model_two_patches_add_and_a_basis_recovers_all():
    basis = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    runs = Runs(routed(), cell_sets(genes=MANY_GENES), 1)
    pair, single = runs.pair("p20"), along(basis)

    def both(corrupted, clean):
        return single(corrupted, clean)[:2].sum(0, keepdim=True)

    each = runs.restored(pair, single, everything(len(MANY_GENES), 10))
    together = runs.restored(pair, both, everything(len(MANY_GENES)))
    torch.testing.assert_close(together[:, 0], each[:, :2].sum(1), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(each.sum(1), torch.ones(2, dtype=torch.float64), rtol=1e-9, atol=1e-12)


def test_a_patch_and_the_patch_of_all_else_make_what_additivity_says():
    """Recovered by the patch, and by the patch of everything else, less 1: recovered less induced."""
    model = random_state()
    runs, direction = Runs(model, cell_sets(), 1), directions(1, 16)
    pair, along_it = runs.pair("x1"), along(direction)

    def rest(corrupted, clean):
        return (corrupted - clean)[None] - along_it(corrupted, clean)

    mine, others = (runs.restored(pair, part, everything()) for part in (along_it, rest))
    induced = runs.induced(pair, along_it, everything())
    torch.testing.assert_close(mine + others - 1, mine - induced, rtol=1e-9, atol=1e-10)
    assert (mine - induced).abs().max() > 1e-4  # this model is not linear


def test_a_perturbation_without_a_response_has_no_share():
    model = routed()
    model.codes["p00"] = torch.zeros(10, dtype=torch.float64)
    runs = Runs(model, cell_sets(genes=MANY_GENES), 1)
    part = along(directions(1, 10))
    assert runs.restored(runs.pair("p00"), part, everything(len(MANY_GENES))).isnan().all()
    assert runs.restored(runs.pair("p01"), part, everything(len(MANY_GENES))).isfinite().all()


def test_features_are_patched_by_their_own_directions():
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(10, 30, generator=generator)
    sae = SparseAutoencoder(W, torch.zeros(30), unit(W.T), torch.zeros(10), k=5)
    ours, theirs = torch.randn(2, 3, 4, 10, generator=generator)
    found = of_features(sae, [[3], [1, 7]])(ours, theirs)
    moved = sae.encode(ours) - sae.encode(theirs)
    torch.testing.assert_close(found[0], moved[..., 3, None] * sae.W_dec[3])
    torch.testing.assert_close(found[1], moved[..., 1, None] * sae.W_dec[1] + moved[..., 7, None] * sae.W_dec[7])


def measured(inputs):
    return measure_shard("activation_patching", inputs, 0, 1)


def asked(inputs, found, **more):
    measurement = found.isel(variant=0, drop=True) if "variant" in found.dims else found
    question = to_test("activation_patching", subject(measurement), inputs.programs, settings=inputs.settings, **more)
    return evidence.frame(ask("activation_patching", question))


def test_the_planted_programs_are_found_and_random_ones_are_not():
    random = {f"random {i}": np.random.default_rng(i).choice(NAMES[16:], 6, replace=False).tolist() for i in range(20)}
    inputs = routed_inputs(programs=PLANTED | random)
    table = rows_of(asked(inputs, measured(inputs)), statistic="recovered").set_index("program")
    assert (table.loc[list(PLANTED)].p < 0.01).all()
    assert (table.loc[list(PLANTED)].estimate > 0.3).all()
    assert (table.loc[list(random)].p < 0.05).mean() <= 0.2
    assert table.loc[list(random)].effect.abs().max() < 0.2


def test_who_names_never_scores():
    inputs = routed_inputs()
    found = measured(inputs)
    named = json.loads(found.attrs["named"])
    row = rows_of(asked(inputs, found), statistic="recovered", program="near").iloc[0]
    assert len(named["namers"]["near"]) == 4
    assert set(named["namers"]["near"]) < set(PLANTED["near"])
    assert (row.n, row.n_background) == (4, len(NAMES) - 4)
    assert f"named by {', '.join(named['namers']['near'])}" in row.reason
    for draws in named["random_namers"]["near"]:
        assert len(draws) == 4
        assert not set(draws) & set(PLANTED["near"])


def test_numbers_of_the_naming_half_do_not_reach_the_row():
    inputs = routed_inputs()
    found = measured(inputs).isel(variant=0, drop=True)
    before = asked(inputs, found)
    namers = json.loads(found.attrs["named"])["namers"]["near"]
    found["recovered"].loc[{"program": "near", "perturbation": namers}] = 99.0
    after = asked(inputs, found)
    for table in (before, after):
        assert len(rows_of(table, statistic="recovered", program="near")) == 1
    pd.testing.assert_frame_equal(rows_of(before, statistic="recovered"), rows_of(after, statistic="recovered"))


def test_random_directions_are_read_without_the_perturbations_that_named_them():
    inputs = routed_inputs()
    found = measured(inputs).isel(variant=0, drop=True)
    named = json.loads(found.attrs["named"])
    first, second = named["random_namers"]["near"]
    other = next(name for name in first if name not in second)
    shares = activation_patching._random_shares(found, named, "near")
    expected = found["recovered_random"].sel(program="near", perturbation=other, draw=1).mean().item()
    assert shares.loc[other] == pytest.approx(expected, rel=1e-6)


def test_every_statistic_has_its_row():
    inputs = routed_inputs(panels={"panel": {"program": "near", "targets": ["t03", "t04", "unknown"]}})
    table = asked(inputs, measured(inputs))
    assert set(table.statistic) == {"recovered", "induced", "additivity", "recovered_random", "recovered_targets",
                                    "recovered_layer"}  # fmt: skip
    assert rows_of(table, statistic="recovered_targets")[["program", "panel"]].to_numpy().tolist() == [
        ["near", "panel"]
    ]
    np.testing.assert_allclose(rows_of(table, statistic="additivity").estimate, 0, atol=1e-5)
    assert rows_of(table, statistic="recovered_layer").estimate.item() == pytest.approx(1)
    row = rows_of(table, statistic="recovered", program="near").iloc[0]
    assert row.estimate_published > 0.3
    assert row.ci_low < row.estimate < row.ci_high


def test_targets_are_read_in_the_panels_genes_alone():
    inputs = routed_inputs(panels={"panel": {"program": "near", "targets": ["t03"]}})
    found = measured(inputs).isel(variant=0, drop=True)
    model, name = inputs.model, "p30"
    runs = Runs(model, inputs.cells, "middle")
    namers = json.loads(found.attrs["named"])["namers"]["near"]
    codes = torch.stack([model.codes[each] for each in NAMES])
    chosen = torch.tensor(np.isin(NAMES, namers))
    direction = unit((codes[chosen].mean(0) - codes[~chosen].mean(0))[None])[0]
    change, whole = (
        (torch.dot(model.codes[name], direction) * direction) @ model.readout,
        model.codes[name] @ model.readout,
    )
    assert runs.layer == 1
    share = (change[3] / whole[3]).item()
    np.testing.assert_allclose(found["recovered_targets"].sel(perturbation=name, panel="panel"), share, rtol=1e-4)


def test_outputs_of_the_programs_own_genes_are_left_out():
    """The members' own genes answer to nothing but the patch: were they read, the share would be 1."""
    model = routed()
    programs = {"near": [*PLANTED["near"], *MANY_GENES[:5]]}
    whole, part = (measured(routed_inputs(model, programs=each)) for each in ({"near": PLANTED["near"]}, programs))
    assert not np.allclose(whole["recovered"], part["recovered"])


def test_perturbations_whose_code_was_never_trained_neither_name_nor_score():
    inputs = routed_inputs(seen=dict.fromkeys(PLANTED["near"][:3], "never"))
    found = measured(inputs).isel(variant=0, drop=True)
    assert not set(json.loads(found.attrs["named"])["namers"]["near"]) & set(PLANTED["near"][:3])
    question = to_test("activation_patching", subject(found, never=PLANTED["near"][:3]), PLANTED, settings=SETTINGS)
    row = rows_of(evidence.frame(ask("activation_patching", question)), statistic="recovered", program="near").iloc[0]
    assert (row.n, row.n_background) == (3, len(NAMES) - 3 - 2)


def test_without_any_program_nothing_is_measured_and_it_says_why():
    found = measured(routed_inputs(programs={"one": ["p20"]}))
    assert found.attrs[NOT_EVALUABLE] == "no program has two perturbations with a trained code"


def test_a_layer_that_does_not_exist_is_named():
    with pytest.raises(PertprobeError, match="layer 3, but the model has the layers 0 to 2"):
        measured(routed_inputs(layer=3))


def autoencoder(width=10, n=24, seed=0):
    W = torch.randn(width, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
    return SparseAutoencoder(W, torch.zeros(n), unit(W.T), torch.zeros(width), k=6)


def with_sae(**settings):
    model = routed()
    narrow = LinearReadoutModel(
        {name: code.numpy() for name, code in model.codes.items()}, model.readout.numpy(), genes=MANY_GENES,
        control="ctrl", set_size=5,
    )  # fmt: skip
    return routed_inputs(narrow, sae=autoencoder(), settings={**SETTINGS, **settings})


def test_an_autoencoder_of_the_wrong_width_is_refused_with_both_widths():
    with pytest.raises(PertprobeError, match="10 wide, the SAE's input 7"):
        measured(replace(with_sae(), sae=autoencoder(7)))


def test_features_given_are_patched_and_all_members_score():
    inputs = with_sae(features={"near": [5]})
    found = measured(inputs)
    named = json.loads(found.attrs["named"])
    assert named["features"]["near"] == [5]
    assert 5 not in {each for draw in named["random_features"]["near"] for each in draw}
    table = asked(inputs, found)
    given, own = (rows_of(table, statistic="recovered_feature", program=p).iloc[0] for p in ("near", "far"))
    assert (given.n, given.n_background) == (8, len(NAMES))
    assert (own.n, own.n_background) == (4, len(NAMES) - 4)
    assert "feature f5" in given.reason
    assert len(rows_of(table, statistic="recovered_feature_random")) == 2


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"near": [24]}, r"\[24\], but the SAE has the features 0 to 23"),
        ({"nope": [1]}, "programs nope are not defined"),
    ],
)
def test_features_that_do_not_exist_are_named(features, message):
    with pytest.raises(PertprobeError, match=message):
        measured(with_sae(features=features))


def test_the_feature_named_is_the_one_whose_contrast_moves_the_state_furthest():
    inputs = with_sae()
    named = json.loads(measured(inputs).attrs["named"])
    sae, model, cells = inputs.sae, inputs.model, inputs.cells
    runs = Runs(model, cells, 1)
    means = torch.stack([sae.encode(runs.states(name)).mean((0, 1)) for name in NAMES])
    chosen = torch.tensor(np.isin(NAMES, named["namers"]["near"]))
    contrast = (means[chosen].mean(0) - means[~chosen].mean(0)) * sae.W_dec.norm(dim=1)
    assert named["features"]["near"] == [int(contrast.abs().argmax())]


def test_copies_are_asked_the_share_alone_on_one_set():
    inputs = to_measure(random_state(), cell_sets(n_sets=3), settings=SETTINGS, programs=PROGRAMS)
    found = measure_shard("activation_patching", inputs, 0, 1, redrawn=1)
    assert found["recovered"].dims[0] == "variant"
    assert "variant" not in found["induced"].dims
    copies = found["recovered"].sel(variant=["redrawn_1", "shuffled_1"])
    assert copies.isel(set=0).notnull().all()
    assert copies.isel(set=slice(1, None)).isnull().all()


def test_planted_codes_have_the_asked_shift():
    inside = np.zeros((80, 2), dtype=bool)
    inside[:7, 0], inside[20:32, 1] = True, True
    named = inside & (np.arange(80) % 2 == 0)[:, None]
    noise = np.random.default_rng(0).normal(size=(80, 16))
    codes = solve_loadings(noise, inside, named, 2.0)
    for k in range(2):
        direction = codes[named[:, k]].mean(0) - codes[~named[:, k]].mean(0)
        shares = (codes @ direction) ** 2 / ((codes**2).sum(1) * (direction @ direction))
        scored, others = shares[inside[:, k] & ~named[:, k]], shares[~inside[:, k]]
        assert (scored.mean() - others.mean()) / others.std(ddof=1) == pytest.approx(2, abs=0.3)


def test_the_planted_model_is_one_whose_response_is_read_out_of_its_code():
    base = SimpleNamespace(genes=MANY_GENES, perturbations=(*NAMES, "ctrl"), control="ctrl", set_size=5,
                           card={"d": 4.0, "seed": 0}, capabilities=frozenset())  # fmt: skip
    inputs = replace(routed_inputs(), model=None)
    found = measure_derived("activation_patching", inputs, {"planted": base, "lookup": base})
    assert found.variant.values.tolist() == ["planted"]
    assert list(found.data_vars) == ["recovered"]
    question = to_test("activation_patching", subject(found.isel(variant=0)), PLANTED)
    table = evidence.frame(ask("activation_patching", question.as_role("planted")))
    assert (table.p < 0.01).all()


def test_stages_of_the_routed_model_compose_to_its_prediction():
    model, cells = routed(), cell_sets(genes=MANY_GENES)
    X = model.tensor(cells.values)
    encoded = model.encode_cells(X)
    assert isinstance(encoded, Encoded)
    mixed = model.mix(model.encode_perturbations(["p01"])[0], encoded)
    torch.testing.assert_close(model.decode(mixed, encoded, X), model.predict(cells.values, "p01"))
    torch.testing.assert_close(model.predict(cells.values, "ctrl"), X)
    named = PLANTED | {"near": NAMES[:4], "far": NAMES[8:12]}
    asked = {"programs": PLANTED, "namers": named, "d": 2, "seed": 0}
    few = linear_readout_model(genes=MANY_GENES[:5], perturbations=NAMES, control="ctrl", **asked)
    assert few.predict(cells.values[..., :5], "p01").shape == (2, 5, 5)


def test_observed_responses_are_asked_in_gene_space():
    inputs = routed_inputs()
    found = measured(inputs).isel(variant=0, drop=True)
    model = inputs.model
    values = np.stack([(model.codes[name] @ model.readout).numpy() for name in NAMES])
    observed = pd.DataFrame(values, NAMES, list(MANY_GENES)).rename_axis("perturbation").rename_axis("gene", axis=1)
    mine = replace(subject(found), observed=observed.stack().to_xarray().to_dataset(name="delta_y"))
    question = to_test("activation_patching", mine, PLANTED)
    table = rows_of(evidence.frame(ask("activation_patching", question)), role="observed")
    assert table.role.tolist() == ["observed", "observed"]
    # The readout is orthonormal: what is observed has the geometry of the code.
    scored = rows_of(asked(inputs, found), statistic="recovered").set_index("program").estimate
    np.testing.assert_allclose(table.set_index("program").estimate, scored[table.program], rtol=1e-4)
