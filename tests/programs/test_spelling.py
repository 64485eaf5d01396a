"""Names in another spelling: recognised, counted, proposed, and respelled where the config says how."""

import pytest

from pertprobe.data.programs import read_programs
from pertprobe.data.spelling import hint, looks_like, matching_by_spelling

KNOWN = ["STAT1", "JAK2", "IRF1"]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["ENSG00000115415", "ENSMUSG00000026104.14"], "Ensembl identifiers"),
        (["6772", "3717"], "Entrez numbers"),
        (["P42224", "O60674", "A0A024R161"], "UniProt accessions"),
        (["STAT1+ctrl", "ctrl+JAK2"], "labels with a control beside the gene"),
        (["Stat1", "Jak2"], "mouse symbols"),
        (["STAT1;JAK2"], "several names in one field"),
        (KNOWN, ""),
        ([], ""),
    ],
)
def test_what_names_look_like(names, kind):
    assert looks_like(names) == kind


def test_sets_are_counted_under_each_spelling():
    sets = {"mouse": ["Stat1"], "weighted": ["JAK2,1.0"], "right": ["IRF1"], "foreign": ["ABC"]}
    found = matching_by_spelling(sets, KNOWN)
    assert (found["as_written"], found["upper"], found["before_comma"]) == (1, 2, 2)


def test_the_hint_says_what_both_sides_are_or_names_a_near_match():
    said = hint(["ENSG00000115415", "ENSG00000096968"], KNOWN)
    assert (
        said
        == "these are Ensembl identifiers (ENSG00000096968, ENSG00000115415) and the models have symbols (IRF1, JAK2)"
    )
    assert hint(["STAT1A"], KNOWN) == "did you mean 'STAT1' by 'STAT1A'?"


def test_gene_sets_are_respelled_and_mapped_as_the_config_says(tmp_path):
    (tmp_path / "mouse.gmt").write_text("ifn\t\tStat1\tJak2\tIfit1\n")
    found = read_programs(tmp_path / "mouse.gmt", names={"Ifit1": "IRF1+ctrl"}, spelling="upper")
    assert found["ifn"] == ("IRF1+ctrl", "JAK2", "STAT1")
    weighted = read_programs(lists={"w": ["STAT1,1.0", "JAK2,0.5"]}, spelling="before_comma")
    assert weighted["w"] == ("JAK2", "STAT1")
