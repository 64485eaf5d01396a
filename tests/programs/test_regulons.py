"""Tables of signed edges: the formats people have, and what is refused with a sentence."""

import pandas as pd
import pytest

from pertprobe.data.regulons import read_regulon_files, read_regulons
from pertprobe.errors import Faults, PertprobeError

TRRUST_RAW = "AATF\tBAX\tRepression\t22909821\nAATF\tCDKN1A\tUnknown\t17157788;1\nAATF\tKLK3\tActivation\t23146908\n"
TRRUST = "tf\ttarget\tmor\nAHR\tAHRR\t1\nAHR\tCA9\t-1\nAHR\tARNT\t0\n"
COLLECTRI = (
    "source,target,weight,resources,references,sign_decision\n"
    'MYC,TERT,1,"DoRothEA-A;TRRUST","10022128;10491298",PMID\n'
    "SPI1,BGLAP,-1,ExTRI,10022617,default activation\n"
)


def read(tmp_path, text, name="edges.tsv"):
    (tmp_path / name).write_text(text)
    return read_regulons(tmp_path / name)


def edges(regulons):
    return {(row.source, row.target): row.sign for row in regulons.signs.itertuples()}


def test_trrusts_own_file_has_no_header(tmp_path):
    found = read(tmp_path, TRRUST_RAW)
    assert edges(found) == {("AATF", "BAX"): -1, ("AATF", "CDKN1A"): 0, ("AATF", "KLK3"): 1}
    assert found.name == "edges"


def test_a_trrust_table_with_modes_of_regulation(tmp_path):
    assert edges(read(tmp_path, TRRUST)) == {("AHR", "AHRR"): 1, ("AHR", "CA9"): -1, ("AHR", "ARNT"): 0}


def test_collectri_has_commas_quotes_and_weights(tmp_path):
    assert edges(read(tmp_path, COLLECTRI, "collectri.csv")) == {("MYC", "TERT"): 1, ("SPI1", "BGLAP"): -1}


@pytest.mark.parametrize(
    "text",
    [
        "Source\tTarget\tSign\nA\tB\tactivates\nA\tC\tdown\nA\tD\t\n",
        "target,source,weight\nB,A,0.3\nC,A,-2\nD,A,0\n",
        "\ufeffregulator\tgene\teffect\r\nA\tB\t+\r\nA\tC\t-\r\nA\tD\tboth\r\n",
    ],
)
def test_columns_are_found_by_name_and_signs_in_words_or_numbers(tmp_path, text):
    assert edges(read(tmp_path, text)) == {("A", "B"): 1, ("A", "C"): -1, ("A", "D"): 0}


@pytest.mark.parametrize(
    ("text", "found", "notes"),
    [
        ("source;target;weight\nMYC;TERT;1\nMYC;JUN;-0.3\n", {("MYC", "TERT"): 1, ("MYC", "JUN"): -1}, ()),
        ("Gene1,Gene2,Type\nMYC,TERT,+\nSPI1,JUN,-\n", {("MYC", "TERT"): 1, ("SPI1", "JUN"): -1}, ()),
        ("Gene1,Gene2\nMYC,TERT\n", {("MYC", "TERT"): 0},
         ("no column says which way a regulator acts: all edges count as unsigned",)),
        ("TF,Target Gene\nMYC,TERT\n", {("MYC", "TERT"): 0},
         ("no column says which way a regulator acts: all edges count as unsigned",)),
        ("#from x\nsource\ttarget\tweight\nMYC\tTERT\t1\n# end\n", {("MYC", "TERT"): 1},
         ("2 lines of comments left out",)),
        ("# made today\n#source\ttarget\tweight\nMYC\tTERT\t-1\n", {("MYC", "TERT"): -1},
         ("1 line of comments left out",)),
        ("tf\ttarget\tis_stimulation\tis_inhibition\nA\tB\tTRUE\tFALSE\nA\tC\t0\t1\nA\tD\t1\t1\nA\tE\tFalse\tno\n",
         {("A", "B"): 1, ("A", "C"): -1, ("A", "D"): 0, ("A", "E"): 0},
         ("signs are those of columns is_stimulation and is_inhibition",)),
        ("source\ttarget\tweight\tmor\nA\tB\t0.9\t-1\n", {("A", "B"): -1},
         ("signs are those of column mor, not of weight",)),
        ("source\ttarget\tsource_genesymbol\ttarget_genesymbol\tweight\nP01106\tO14746\tMYC\tTERT\t1\n",
         {("MYC", "TERT"): 1},
         ("sources are those of column source_genesymbol, not of source",
          "targets are those of column target_genesymbol, not of target")),
        ("source,target,sign\nA,,1\nA,B,1\n", {("A", "B"): 1}, ("1 line without a regulator or a target left out",)),
    ],
)  # fmt: skip
def test_what_databases_and_benchmarks_write_is_read_and_said(tmp_path, text, found, notes):
    regulons = read(tmp_path, text)
    assert edges(regulons) == found
    assert regulons.notes == notes


def test_an_edge_stands_once_and_disputed_signs_are_not_known(tmp_path):
    text = "source\ttarget\tsign\nA\tB\t1\nA\tB\t1\nA\tC\t1\nA\tC\t-1\nA\tA\t1\nA\tD\t1\nA\tD\t0\n"
    found = read(tmp_path, text)
    assert edges(found) == {("A", "B"): 1, ("A", "C"): 0, ("A", "D"): 0}
    assert found.notes == (
        "1 genes that act on themselves left out",
        "2 edges with signs that differ count as unsigned",
    )


def test_the_matrix_holds_what_both_axes_have(tmp_path):
    known, signs = read(tmp_path, TRRUST).matrix(["X", "AHR"], ["CA9", "none", "ARNT"])
    assert known.tolist() == [[False] * 3, [True, False, True]]
    assert signs.tolist() == [[0, 0, 0], [-1, 0, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\tc\n1\t2\t3\n", r"no column for source, target \(found: a, b, c\)"),
        (
            "tf\tis_stimulation\tis_inhibition\tgene\nA\tmaybe\t0\tB\n",
            "1 cells of a column of directions .*line 2: 'ma",
        ),
        ("#c\n\nsource\ttarget\tsign\nA\tB\t1\n#d\nA\tC\tmaybe\n", r"line 6: 'maybe'"),
        ("source\ttarget\tsign\nA\tB\t1\nA\tC\tmaybe\n", r"1 signs are neither numbers nor words .*line 3: 'maybe'"),
        ("", "no table"),
        ("source\ttarget\tsign\nA\tB\t1\textra\tfields\n", "no table|no column"),
    ],
)
def test_what_is_no_table_of_signed_edges_is_refused(tmp_path, text, message):
    with pytest.raises(PertprobeError, match=message):
        read(tmp_path, text)


def test_a_missing_file_and_a_broken_one_are_named_together(tmp_path):
    (tmp_path / "bad.tsv").write_text("x\ty\n1\t2\n")
    with pytest.raises(Faults) as raised:
        read_regulon_files({"one": tmp_path / "none.tsv", "two": tmp_path / "bad.tsv"})
    assert len(raised.value.messages) == 2
    assert "one: " in raised.value.messages[0]
    assert "cannot be read (No such file or directory)" in raised.value.messages[0]


def test_trrust_as_it_is_shared(shared_path):
    found = read_regulons(shared_path("genesets", "trrust_regulons.tsv"), "trrust")
    assert len(found.signs) > 6000
    assert set(found.signs.sign) == {-1, 0, 1}
    assert not found.signs.duplicated(["source", "target"]).any()
    assert isinstance(found.signs, pd.DataFrame)
