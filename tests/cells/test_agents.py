"""Labels of cells: what their forms, a table, columns and a pattern say, and what each counts as."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pertprobe.data.agent_table import agents_of, read_agent_columns, read_agent_table
from pertprobe.data.agents import Agents, activated_among, counting_notes
from pertprobe.data.cells import describe_cells, halved_sums, read_cells
from pertprobe.data.label_forms import Meaning, recognised, words_of
from pertprobe.data.observed import turned
from pertprobe.data.programs import read_programs
from pertprobe.errors import PertprobeError

TAHOE = "[('Bosutinib', {}, 'uM')]"


@pytest.mark.parametrize(
    ("label", "agent", "more"),
    [
        ("TP53+ctrl", "TP53", {"targets": ("TP53",)}),
        ("ctrl+TP53", "TP53", {"targets": ("TP53",)}),
        ("TP53+TP53", "TP53", {"targets": ("TP53",)}),
        ("STAT1+IRF1", "IRF1+STAT1", {"targets": ("IRF1", "STAT1"), "parts": 2}),
        ("A+B+C", "A+B+C", {"parts": 3}),
        (TAHOE.format(5.0), "Bosutinib", {"dose": 5.0, "targets": ()}),
        ("[('A', 5.0, 'uM'), ('B', 1, 'nM')]", "A+B", {"parts": 2, "dose": None}),
        ("STAT1g2", "STAT1", {"guide": "2"}),
        ("STAT1_sg2", "STAT1", {"guide": "2"}),
        ("sgSTAT1-2", "STAT1", {"guide": "2"}),
        ("STAT1_SG2", "STAT1", {"guide": "2"}),
        ("HLA-A_guide12", "HLA-A", {"guide": "12"}),
        ("AAAS_P1P2", "AAAS", {"guide": "P1P2"}),
        ("Bosutinib_0.5uM", "Bosutinib", {"dose": 0.5}),
        ("Bosutinib (500 nM)", "Bosutinib", {"dose": 0.5}),
        ("Vitamin D 2 mM", "Vitamin D", {"dose": 2000.0}),
        ("IL6 10 ng/ml", "IL6", {"dose": 0.01}),
    ],
)
def test_usual_forms_are_read(label, agent, more):
    found = recognised(label)
    assert found.agent == agent
    assert {field: getattr(found, field) for field in more} == more


@pytest.mark.parametrize(
    "label",
    [
        "TP53", "LAG3", "Lag3", "IL-2", "HLA-A", "IFN-gamma", "g081", "NKX2-1", "non-targeting", "MT-CO1", "C1orf112",
        "RP11-34P13.7", "HLA-G1", "sgk-1", "SGK-1", "sg1", "Dex_24h", "[('A', 5.0)]", "[('A', 'x', 'uM')]", "[(",
        "[]", "+", "ctrl", "A" * 10**6, "[" * 5000, "[('A', 5.0, 'furlong')]",
    ],
)  # fmt: skip
def test_other_labels_are_themselves(label):
    assert recognised(label) is None
    assert Agents().meaning(label)[:2] == (label, (label,))


def test_guides_and_promoters_count_as_one_doses_by_the_highest_and_combinations_as_nothing():
    labels = ["STAT1g1", "STAT1g2", "A+B", "A+ctrl", TAHOE.format(5.0), TAHOE.format(0.05), "ctrl"]
    agents = Agents()
    assert agents.names(labels, "ctrl") == {
        "STAT1g1": "STAT1", "STAT1g2": "STAT1", "A+ctrl": "A", TAHOE.format(5.0): "Bosutinib", "ctrl": "ctrl",
    }  # fmt: skip
    assert Agents(dose=0.05).names(labels, "ctrl")[TAHOE.format(0.05)] == "Bosutinib"
    assert not {"Bosutinib"} & {*Agents(dose=1.0).names(labels, "ctrl").values()}
    assert Agents(recognise=False).names(labels, "ctrl") == {label: label for label in labels}
    assert counting_notes(agents.counted(labels, "ctrl")) == [
        f"labels are asked as their agents: A+ctrl as A, STAT1g1, STAT1g2 as STAT1, {TAHOE.format(5.0)} as Bosutinib",
        "labels not counted, being a combination: A+B",
        f"labels not counted, being another dose: {TAHOE.format(0.05)}",
    ]


def test_guides_of_the_control_are_controls_and_doses_are_compared_to_nine_digits():
    assert Agents().names(["NT", "NTg1", "Ag1"], "NT") == {"NT": "NT", "NTg1": "NT", "Ag1": "A"}
    assert Agents(dose=0.07).names(["D_70nM", "D_7uM"], "NT") == {"D_70nM": "D"}


def test_an_agent_of_two_directions_has_the_commoner_and_activations_are_told():
    told = {"a1": "activation", "a2": "activation", "a3": "knock_down", "b1": "activation"}
    means = {label: words_of({"agent": label[0], "direction": each}) for label, each in told.items()}
    agents = Agents(means)
    assert agents.names([*told, "c", "nt"], "nt") == {"a1": "a", "a2": "a", "b1": "b", "c": "c", "nt": "nt"}
    assert activated_among(agents.counted([*told, "c", "nt"], "nt"), "nt") == ["a", "b"]
    assert activated_among(Agents(direction="activation").counted(["x", "y"], "nt"), "nt") == ["x", "y"]


def test_a_pattern_reads_what_no_usual_form_is():
    agents = Agents(pattern=r"(?P<target>\w+)-site(?P<guide>\d)")
    assert agents.names(["STAT1-site1", "STAT1-site2", "x-site", "nt"], "nt") == {
        "STAT1-site1": "STAT1", "STAT1-site2": "STAT1", "x-site": "x-site", "nt": "nt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("(?P<colour>.+)", "group 'colour', which is none of agent"), ("(?P<guide>.+)", "neither agent nor target")],
)
def test_a_pattern_that_names_no_agent_is_refused(pattern, words):
    with pytest.raises(PertprobeError, match=words):
        Agents(pattern=pattern)


LABELS = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=12),
        st.builds("{}+{}".format, st.sampled_from("ABC"), st.sampled_from(["ctrl", "D"])),
        st.builds("{}g{}".format, st.sampled_from("ABC"), st.integers(0, 9)),
        st.builds("{}_{}uM".format, st.sampled_from("ABC"), st.sampled_from([0.5, 1, 5])),
    )
)


@given(LABELS, st.randoms())
@settings(max_examples=200, deadline=None)
def test_what_labels_count_as_depends_on_no_order_and_no_agent_is_lost(labels, random):
    shuffled = [*labels]
    random.shuffle(shuffled)
    found = Agents().counted(labels, "nt")
    assert found == Agents().counted(shuffled, "nt")
    assert {*found} == {*labels}
    single = {each.meaning.agent for each in found.values() if each.meaning.parts == 1}
    assert {each.agent for each in found.values() if each.agent} == single - ({"nt"} - {*labels})


def test_a_table_says_more_than_a_label_and_may_say_less(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text(
        "label\ttargets\tgroup\tdose\n"
        f"{TAHOE.format(5.0)}\tABL1; SRC\tTKI\t\n{TAHOE.format(0.5)}\tABL1; SRC\tTKI\t\n"
        "g17\tSTAT1\t\t\ng18\tSTAT1\t\t\n\nx\tA+B\t\t\ncompound 3\t\tTKI\t3 uM\n"
    )
    agents = Agents(read_agent_table(path))
    assert agents.meaning(TAHOE.format(5.0)) == Meaning("Bosutinib", ("ABL1", "SRC"), 5.0, "", "knock_down", "TKI")
    labels = [TAHOE.format(5.0), TAHOE.format(0.5), "g17", "g18", "x", "compound 3"]
    assert agents.names(labels, "nt") == {
        TAHOE.format(5.0): "Bosutinib", "g17": "STAT1", "g18": "STAT1", "compound 3": "compound 3",
    }  # fmt: skip
    assert agents.groups == {"TKI": ["Bosutinib", "compound 3"]}
    assert agents.translated(["ABL1", "g18", TAHOE.format(0.5), "A+B"]) == ["ABL1", "STAT1", "Bosutinib", "A+B"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\ttarget\nx\ty\n", ["column 'name' is none of label, agent", "has no column 'label'"]),
        ("label\tdose\nx\tmuch\n", ["line 2: dose 'much' is no number"]),
        ("label\tdose\nx\tnan\ny\tinf\n", ["line 2: dose 'nan'", "line 3: dose 'inf'"]),
        ("label,direction\nx,sideways\n", ["direction 'sideways' is none of knock_down, activation"]),
        ("label\ttarget\nx\ta\nx\tb\n\ta\n", ["line 3: label 'x' stands twice", "line 4: has no label"]),
        ("label\tdose\n" + "".join(f"x{i}\tno\n" for i in range(50)), ["and 30 more like these"]),
    ],
)
def test_all_that_is_wrong_with_a_table_is_said(tmp_path, text, words):
    path = tmp_path / "table.tsv"
    path.write_text(text)
    with pytest.raises(PertprobeError) as error:
        read_agent_table(path)
    assert str(path) in str(error.value)
    assert all(each in str(error.value) for each in words), str(error.value)


@pytest.fixture
def screen(tmp_path):
    """Write guides of genes at two doses in two donors, of two labels of controls; return its path and obs."""
    rng = np.random.default_rng(0)
    labels = np.array(["Ag1", "Ag2", "B+ctrl", "A+B", "D_1uM", "D_2uM", "NT1", "NT2"])
    obs = pd.DataFrame({"label": rng.choice(labels, 400), "line": "x", "donor": rng.choice(["d1", "d2"], 400)})
    obs["gene"] = obs["label"].map({"Ag1": "A", "Ag2": "A", "B+ctrl": "B", "A+B": "A+B"}).fillna("")
    obs.index = [f"c{i}" for i in range(400)]
    values = np.log1p(rng.poisson(2, (400, 4))).astype(np.float32)
    ad.AnnData(values, obs, pd.DataFrame(index=list("ABCD"))).write_h5ad(tmp_path / "x.h5ad")
    return tmp_path / "x.h5ad", obs, values


SOURCE = {"context": "x", "context_column": "line", "perturbation_column": "label", "control": "NT1", "space": "X"}
ASKED = {"further_controls": ["NT?"], "within": {"donor": "d2"}, "agents": {"recognise": True}}


def test_cells_are_of_agents_within_what_is_asked(screen):
    path, obs, values = screen
    found = halved_sums(path, seed=0, **SOURCE, **ASKED)
    inside = obs["donor"] == "d2"
    names = {"Ag1": "A", "Ag2": "A", "B+ctrl": "B", "D_2uM": "D", "NT1": "NT1", "NT2": "NT1"}
    slow = pd.DataFrame(values, obs.index).groupby(obs["label"].map(names).where(inside)).sum()
    assert [*found.perturbation.values] == [*slow.index] == ["A", "B", "D", "NT1"]
    np.testing.assert_allclose(found.sums.sum("half").values, slow.to_numpy(), rtol=1e-5)
    drawn = read_cells(path, set_size=5, n_sets=2, seed=0, **SOURCE, **ASKED)
    assert {*obs["label"][drawn.cell_ids.ravel()]} == {"NT1", "NT2"}
    assert {*obs["donor"][drawn.cell_ids.ravel()]} == {"d2"}
    held = describe_cells(path, **SOURCE, **ASKED)
    assert held.n_controls == int((inside & obs["label"].isin(["NT1", "NT2"])).sum())


def test_controls_of_several_guides_are_named_in_the_remedy(screen):
    asked = SOURCE | {"control": "NT"}
    with pytest.raises(PertprobeError, match=r"2 labels begin with it: .* set further_controls to \[NT\*\]"):
        halved_sums(screen[0], seed=0, **asked)
    found = halved_sums(screen[0], seed=0, **asked, further_controls=["NT*"])
    assert int(found.counts.sel(perturbation="NT").sum()) == int(screen[1]["label"].isin(["NT1", "NT2"]).sum())


@pytest.mark.parametrize(
    ("within", "words"),
    [
        ({"donors": "d1"}, ["no column 'donors', which `within` names", "Did you mean 'donor'"]),
        ({"donor": "d3"}, ["obs['donor'] has no 'd3' (found: d1, d2)", "Set within.donor"]),
    ],
)
def test_what_no_cell_has_is_said(screen, within, words):
    with pytest.raises(PertprobeError) as error:
        halved_sums(screen[0], seed=0, **SOURCE, within=within)
    assert all(each in str(error.value) for each in words), str(error.value)


def test_columns_of_obs_say_what_labels_mean(screen):
    path, _, _ = screen
    agents = agents_of({"columns": {"target": "gene"}, "cells": [[str(path), "label"]], "recognise": False})
    found = agents.names(["Ag1", "Ag2", "B+ctrl", "A+B", "D_1uM", "NT1"], "NT1")
    assert found == {"Ag1": "A", "Ag2": "A", "B+ctrl": "B", "D_1uM": "D_1uM", "NT1": "NT1"}
    spread = {"target": "gene", "guide": "donor"}  # no guide is told of a label whose cells have several
    assert {each.guide for each in read_agent_columns(path, "label", spread).values()} == {""}
    assert "NT1" not in read_agent_columns(path, "label", {"group": "line"}, ["NT?"])
    with pytest.raises(PertprobeError, match=r"label 'Ag1' has several values in obs\['donor'\]: d1, d2. It tells"):
        read_agent_columns(path, "label", {"group": "donor"})
    with pytest.raises(PertprobeError, match=r"obs has no column 'genes'.*Did you mean 'gene'"):
        read_agent_columns(path, "label", {"target": "genes"})


def test_programs_are_of_agents_and_groups_are_programs_where_they_are_wanted(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("label,agent,target,group\nd1,Drug,STAT1,JAK\nd2,Drug,STAT1,JAK\nd3,Other,X,\n")
    asked = {"table": str(path), "recognise": True}
    lists = {"interferon": ["STAT1", "IRF1g2"], "drugs": ["d2", "d3"]}
    found = read_programs(lists=lists, agents=asked)
    assert found == {"interferon": ("Drug", "IRF1", "STAT1"), "drugs": ("Drug", "Other")}
    assert read_programs(lists=lists, agents=asked, groups=True)["JAK"] == ("Drug",)
    with pytest.raises(PertprobeError, match="programs are defined twice: JAK"):
        read_programs(lists={"JAK": ["x"]}, agents=asked, groups=True)


def test_responses_to_activations_are_turned_round_and_nothing_else():
    values = np.arange(12.0).reshape(2, 3, 2)
    axes = ("set", "perturbation", "gene")
    measured = xr.Dataset({"delta_y": (axes, values), "code": (axes, values)}, {"perturbation": ["a", "b", "c"]})
    found = turned(measured, ["b"])
    np.testing.assert_array_equal(found["delta_y"].values, values * np.array([1, -1, 1])[:, None])
    assert found["delta_y"].dims == axes
    np.testing.assert_array_equal(found["code"].values, values)
    assert turned(measured, []) is measured
    xr.testing.assert_identical(turned(found, ["b"]), measured)
