"""Programs and panels: what is read, and what is refused in which words."""

import pytest

from pertprobe.data.programs import Panel, Programs, measured_pairs, read_panels, read_programs
from pertprobe.errors import Faults, PertprobeError


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_gmt_gives_sorted_unique_genes(write):
    programs = read_programs(write("a.gmt", "IFN\tdescription\tSTAT1\tJAK2\tSTAT1\t\nMITO\t\tMRPS2\n\n"))
    assert dict(programs) == {"IFN": ("JAK2", "STAT1"), "MITO": ("MRPS2",)}


def test_plain_list_is_named_by_its_file(write):
    assert dict(read_programs(write("secretory.txt", "# from the paper\nSRP54\n\nTRAPPC3\n"))) == {
        "secretory": ("SRP54", "TRAPPC3")
    }


def test_patterns_match_the_universe_and_lists_are_taken_as_they_are():
    programs = read_programs(
        patterns={"ribosome": r"^RP[SL]\d"}, lists={"two": ["B", "A"]}, known_names=["RPL3", "RPS6", "MRPS2", "RPSA"]
    )
    assert dict(programs) == {"two": ("A", "B"), "ribosome": ("RPL3", "RPS6")}


def test_a_pattern_without_a_match_is_an_empty_program():
    assert read_programs(patterns={"ribosome": "^RP"}, known_names=["STAT1"])["ribosome"] == ()


def test_a_file_of_other_lines_is_refused_with_their_numbers(write):
    with pytest.raises(
        Faults, match=r"a.gmt: line 2 has 2 tab-separated fields and 0 genes, line 3 has 1 .*: is this a"
    ):
        read_programs(write("a.gmt", "IFN\td\tSTAT1\nMITO genes\tMRPS2\nX\n"))


def noted(write, text, **how):
    """Return the sets of a GMT and the words of its one note, without the file's name."""
    programs = read_programs(write("a.gmt", text), **how)
    (note,) = programs.notes
    return dict(programs), note.partition("a.gmt: ")[2]


def test_a_set_that_stands_twice_counts_once_as_it_stands_first(write):
    found, note = noted(write, "IFN\td\tA\nX\td\tC\nIFN\td\tB\n")
    assert found == {"IFN": ("A",), "X": ("C",)}
    assert note == "1 set of a name that came before left out, with other genes: 'IFN' (line 3, first in line 1)"
    found, note = noted(write, "IFN\td\tA\tB\nIFN\te\tB\tA\n")
    assert found == {"IFN": ("A", "B")}
    assert note == "1 set that came before left out, with the same genes: IFN"


def test_an_empty_set_costs_itself_alone(write):
    found, note = noted(write, "A\td\tG1\nB\td\n\td\tG3\nC\td\tG4\nD\td\tG5\n")
    assert found == {"A": ("G1",), "C": ("G4",), "D": ("G5",)}
    assert note == "2 sets without a name or a gene left out: 'B' (line 2), '' (line 3)"


@pytest.mark.parametrize(
    ("text", "found", "note"),
    [
        ("#from x\nA\td\tG1\n# end\n", {"A": ("G1",)}, "2 lines of comments left out"),
        ("\ufeffA\td\tG1\n#c\n", {"A": ("G1",)}, "1 line of comments left out"),
        ('"A"\t"d"\t"G1"\t"G2"\n', {"A": ("G1", "G2")}, "quotes around fields of 1 line left out"),
        ("A\td\tG1,1.0\tG2,0.5\tG3,1e-3\n", {"A": ("G1", "G2", "G3")},
         "genes of 1 set have weights ('G1,1.0'), which are not used"),
        ("A\td\tG1,1.0\nB\td\tG2,2\n", {"A": ("G1",), "B": ("G2",)},
         "genes of 2 sets have weights ('G1,1.0'), which are not used"),
        ("A\td\tG1;G2\nB\td\tG3;G-4;G5\n", {"A": ("G1", "G2"), "B": ("G-4", "G3", "G5")},
         "genes apart by semicolons in one field were read as 5 genes"),
        ("A\td\tG1 G2 G3\n", {"A": ("G1", "G2", "G3")}, "genes apart by spaces in one field were read as 3 genes"),
        ("A\td\tG1,G2\n", {"A": ("G1", "G2")}, "genes apart by commas in one field were read as 2 genes"),
    ],
)  # fmt: skip
def test_what_databases_and_spreadsheets_write_is_read_and_said(write, text, found, note):
    assert noted(write, text) == (found, note)


def test_labels_that_hold_commas_and_spaces_stay_as_they_are(write):
    label = "[('Drug A', 5.0, 'uM')]"
    programs = read_programs(write("a.gmt", f"A\td\t{label}\nB\td\tvitamin C\tG1,2.0\n"))
    assert dict(programs) == {"A": (label,), "B": ("G1,2.0", "vitamin C")}
    assert programs.notes == ()


def test_a_missing_description_is_seen_by_known_names(write):
    text = "A\tG1\tG2\tG3\nB\tG4\tG5\n"
    found, note = noted(write, text, known_names=["G1", "G2", "G4", "G5"])
    assert found == {"A": ("G2", "G3"), "B": ("G5",)}
    assert note.startswith("the second field of every line is a description, and names a known gene (G1, G4): if these")
    assert read_programs(write("a.gmt", text), known_names=["G1", "G2"]).notes == ()


def test_notes_of_several_files_come_together(write):
    programs = read_programs(write("a.gmt", "#\nA\td\tG1\n"), write("b.gmt", "#\nB\td\tG1\n"), lists={"l": ["G1"]})
    assert [note.rpartition("/")[2].partition(":")[0] for note in programs.notes] == ["a.gmt", "b.gmt"]


def test_a_program_defined_in_two_files_is_refused(write):
    first, second = write("a.gmt", "IFN\td\tA\n"), write("b.gmt", "IFN\td\tB\n")
    with pytest.raises(Faults, match=r"b.gmt: programs are defined twice: IFN"):
        read_programs(first, second)


def test_invalid_pattern_is_named():
    with pytest.raises(Faults, match=r"pattern 'ribosome': '\^RP\[' is not a regular expression"):
        read_programs(patterns={"ribosome": "^RP["}, known_names=["RPL3"])


def test_unreadable_empty_and_spaced_files_are_reported_together(write, tmp_path):
    with pytest.raises(Faults) as error:
        read_programs(tmp_path / "no.gmt", write("empty.gmt", ""), write("e.txt", ""), write("s.txt", "A B\n"))
    assert [text.split(": ", 1)[1] for text in error.value.messages] == [
        "cannot be read (No such file or directory). Give the path of a file",
        "holds no program",
        "names no gene",
        "one gene a line is expected, found: A B",
    ]


def test_unknown_program_lists_those_present():
    with pytest.raises(PertprobeError, match=r"'interferon_gama' is not defined .*Did you mean 'interferon_gamma'\?"):
        Programs({"interferon_gamma": ["STAT1"]})["interferon_gama"]
    assert Programs({}).get("none") is None


def test_hallmark_file_is_read(shared_path):
    programs = read_programs(shared_path("genesets/hallmark_msigdb_v2025.1.gmt"))
    assert len(programs) == 50
    assert "STAT1" in programs["HALLMARK_INTERFERON_GAMMA_RESPONSE"]


PROGRAMS = Programs({"ifn": ["STAT1", "JAK2", "IRF1"]})
PERTURBATIONS = ["STAT1", "JAK2", "MYC", "CAV1", "non-targeting"]


def panel(**entry):
    entry = {"program": "ifn", "regulators": ["STAT1"], "targets": ["IRF1", "STAT1"], **entry}
    return read_panels({"p": entry}, PROGRAMS, PERTURBATIONS, "non-targeting")["p"]


def test_panel_defaults_are_the_program_and_all_others():
    assert panel().perturbations == ("JAK2", "STAT1")
    assert panel(controls="others").controls == ("CAV1", "MYC")


def test_panel_takes_explicit_lists_and_signs():
    found = panel(perturbations=["MYC"], controls=["CAV1"], signs={"STAT1>IRF1": 1})
    assert (found.perturbations, found.controls, found.signs) == (("MYC",), ("CAV1",), {"STAT1>IRF1": 1})


def test_others_leave_out_the_pathway_perturbations_given():
    assert panel(perturbations=["MYC"]).controls == ("CAV1",)


def test_faults_of_panels_come_together():
    wrong = {
        "a": {"program": "ifng", "regulators": ["X"], "targets": ["Y"]},
        "b": {
            "program": "ifn",
            "regulators": ["X"],
            "targets": ["Y"],
            "perturbations": ["STAT2", "MYC"],
            "controls": ["MYC"],
            "signs": {"Y>X": 1},
        },
    }
    with pytest.raises(Faults) as error:
        read_panels(wrong, PROGRAMS, PERTURBATIONS)
    assert error.value.messages == (
        "a: program 'ifng' is not defined (found: ifn). Did you mean 'ifn'?",
        "b: perturbation 'STAT2' is not in the model. Did you mean 'STAT1'?",
        "b: 'MYC' is both a pathway perturbation and a control",
        "b: sign of 'Y>X' belongs to no pair 'regulator>target' of the panel",
    )


def test_pairs_are_the_measured_ones_without_a_gene_and_itself():
    found = Panel("p", "ifn", ("STAT1", "XBP1"), ("IRF1", "STAT1", "CALR"), ("STAT1",), ("MYC",))
    pairs, notes = measured_pairs(found, ["STAT1", "IRF1"], ["STAT1", "IRF1"])
    assert pairs == (("STAT1", "IRF1"),)
    assert notes == ("regulators not measured: XBP1", "targets not measured: CALR")
    assert measured_pairs(found, ["XBP1"], ["CALR"])[0] == (("XBP1", "CALR"),)


def test_a_mark_of_the_encoding_is_no_part_of_a_name(tmp_path):
    for name, text in (("a.gmt", "one\tx\tG1\tG2\n"), ("list.txt", "G1\nG2\n")):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
    found = read_programs(tmp_path / "a.gmt", tmp_path / "list.txt")
    assert found == {"one": ("G1", "G2"), "list": ("G1", "G2")}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "on\x07e\tx\tG1",
            r"line 2: the name 'on\x07e' holds the sign U+0007, which cannot be shown. Write it otherwise",
        ),
        ("one\tx\tG\u200b1", r"line 2: the name 'G\x200b1' holds the sign U+200B"),
        ("a\x0bb\tx\tG1", r"line 2: the name 'a\x0bb' holds the sign U+000B"),
        ("x" * 300 + "\tx\tG1", "has 300 letters, 255 are the most"),
    ],
)
def test_names_that_cannot_be_shown_are_refused_with_their_line(tmp_path, line, words):
    (tmp_path / "a.gmt").write_text(f"good\tx\tG1\n{line}\n")
    with pytest.raises(PertprobeError) as raised:
        read_programs(tmp_path / "a.gmt")
    assert words in str(raised.value)


def test_names_of_digits_stay_as_they_are_written(tmp_path):
    (tmp_path / "a.gmt").write_text("006955\tx\t001\t1e5\tNA\n")
    assert read_programs(tmp_path / "a.gmt") == {"006955": ("001", "1e5", "NA")}
