"""The evaluability table: counts, and what is missing in words."""

from dataclasses import replace

import pytest

from pertprobe.data.programs import Panel, Programs
from pertprobe.probes.declaration import declared
from pertprobe.stages.evaluability import COLUMNS, evaluability_table

PROGRAMS = Programs({"ifn": ["STAT1", "JAK2", "IRF1", "IFNGR1"], "ribosome": ["RPL3", "RPL5"]})
MODEL = {
    "perturbations": ["STAT1", "JAK2", "IFNGR1", "MYC", "RPL3", "RPL5"],
    "genes": ["STAT1", "IRF1", "RPL3", "CALR"],
    "output_genes": ["STAT1", "IRF1", "RPL3", "CALR"],
    "context": "hepg2",
    "regime": "fewshot",
    "capabilities": frozenset({"predict", "stages"}),
    "seen": {"STAT1": "here", "JAK2": "elsewhere", "IFNGR1": "never", "RPL3": "here"},
}
PANEL = Panel("p", "ifn", ("STAT1",), ("IRF1", "CALR", "XBP1"), ("IFNGR1", "JAK2", "STAT1"), ("MYC",))
NEEDS = {"pert_embedding": {"stages"}, "knockout": {"predict"}, "targeted_jacobian": {"predict", "set_function"}}
PROBES = {name: replace(declared(name), needs=frozenset(needs)) for name, needs in NEEDS.items()}
"""A probe for each unit."""


@pytest.fixture
def table():
    return evaluability_table({"m": MODEL}, PROGRAMS, {"p": PANEL}, PROBES, 3, 2).set_index(["probe", "program"])


def test_one_row_per_probe_model_and_program(table):
    assert list(table.reset_index().columns.sort_values()) == sorted(COLUMNS)
    assert len(table) == 6


def test_members_are_counted_by_what_the_model_has_seen(table):
    row = table.loc[("pert_embedding", "ifn")]
    assert (row.n_members, row.seen_here, row.seen_elsewhere, row.seen_never, row.seen_unknown) == (4, 1, 1, 1, 0)
    assert table.loc[("pert_embedding", "ribosome"), "seen_unknown"] == 1


def test_perturbations_never_trained_leave_the_representation_probes(table):
    row = table.loc[("pert_embedding", "ifn")]
    assert (row.n_perturbations, row.enough) == (2, False)
    assert row.reason == "2 perturbations of the program (1 more never trained), 3 needed"


def test_genes_are_counted_where_the_unit_is_the_gene(table):
    assert table.loc[("knockout", "ifn"), "enough"]
    assert table.loc[("knockout", "ribosome"), "reason"] == "1 measured gene of the program, 2 needed"


def test_what_a_model_lacks_is_named(table):
    row = table.loc[("targeted_jacobian", "ifn")]
    assert (row.panel, row.n_perturbations, row.n_pairs) == ("p", 3, 2)
    assert row.reason == "not evaluable: model has no set_function"


def test_a_program_without_a_panel_says_so(table):
    assert table.loc[("targeted_jacobian", "ribosome"), "reason"].endswith("no panel for this program")


def test_a_panel_without_measured_pairs_says_so():
    model = {**MODEL, "genes": ["MYC"], "capabilities": {"predict", "set_function"}}
    probes = {"targeted_jacobian": PROBES["targeted_jacobian"]}
    found = evaluability_table({"m": model}, Programs({"ifn": PROGRAMS["ifn"]}), {"p": PANEL}, probes, 3, 2)
    assert found.reason.item() == "no pair of regulator and target is measured"


def test_regulators_of_a_panel_are_counted_where_they_are_the_units():
    model = {**MODEL, "capabilities": {"predict", "set_function"}}
    probes = {"regulator_influence": replace(PROBES["targeted_jacobian"], unit="regulator")}
    found = evaluability_table({"m": model}, Programs({"ifn": PROGRAMS["ifn"]}), {"p": PANEL}, probes, 99, 3).iloc[0]
    measured = set(PANEL.regulators) & set(MODEL["genes"])
    assert found.n_genes == len(measured)
    noun = "regulator" if len(measured) == 1 else "regulators"
    assert found.reason == f"{len(measured)} measured {noun} of the panel, 3 needed"


def test_enough_has_no_reason():
    probes = {"sae_features": PROBES["pert_embedding"]}
    found = evaluability_table({"m": MODEL}, PROGRAMS, {}, probes, 2, 2)
    assert list(found.enough) == [True, True]
    assert list(found.reason) == ["", ""]


def test_nothing_to_probe_is_an_empty_table_with_its_columns():
    assert list(evaluability_table({}, PROGRAMS, {}, PROBES, 3, 3).columns) == COLUMNS
