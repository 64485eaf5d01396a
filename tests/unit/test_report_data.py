"""What the page carries for its scripts: the library as it was published, data that comes back, terms and tables."""

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pertprobe.report import tables
from pertprobe.report.glossary import glossary
from pertprobe.report.island import columns, packed
from pertprobe.report.matrix import matrix
from pertprobe.report.page import slug

REPORT = Path(tables.__file__).parent
PUBLISHED = {
    "dataTables.min.js": "38017a5586acd9c6eb6bbfe8b6938e1a25bdc717c5acfcb07e0c9d663282c59d",
    "dataTables.dataTables.min.css": "156624d53bf9385a37f857fbc290361d4104d3536d30930fb86bce5cc0f19387",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_library_is_what_was_published(name):
    file = REPORT / "vendor" / name
    assert hashlib.sha256(file.read_bytes()).hexdigest() == PUBLISHED[name]
    assert PUBLISHED[name] in (REPORT / "vendor/README.md").read_text()
    assert "</script" not in file.read_text().lower()


def test_its_licence_lies_beside_it():
    assert "The MIT License" in (REPORT / "vendor/LICENSE.datatables.txt").read_text()


def unpacked(text):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_data_comes_back_and_is_the_same_text_every_time():
    table = pd.DataFrame({"name": ["b</script>", "a", "b</script>"], "n": [1, 2, 3], "x": [0.123456, np.nan, np.inf],
                          "so": [True, False, True]})  # fmt: skip
    found = columns(table, ["name", "n", "x", "so"])
    assert packed(found) == packed(columns(table, ["name", "n", "x", "so"]))
    assert re.fullmatch("[A-Za-z0-9+/=]+", packed(found))
    assert unpacked(packed(found)) == {
        "name": {"words": ["b</script>", "a"], "codes": [0, 1, 0]},
        "n": [1, 2, 3],
        "x": [0.1235, None, None],
        "so": [1, 0, 1],
    }


def test_a_table_is_html_up_to_a_number_of_rows(monkeypatch):
    monkeypatch.setattr(tables, "MOST", 2)
    rows = pd.DataFrame({"a": [1, 2, 3]})
    small, large = (tables.table("t", "T", each, file="t.tsv") for each in (rows.iloc[:2], rows))
    assert (len(small.rows), small.data) == (2, None)
    assert (len(large.rows), large.n, large.data) == (0, 3, {"a": [1, 2, 3]})


def test_columns_of_the_matrix_stand_in_the_order_of_levels_then_models():
    rows = [("knockout", "b", ""), ("knockout", "a", ""), ("pert_embedding", "b", ""), ("odd", "a", "b")]
    table = pd.DataFrame(rows, columns=["probe", "model", "reference"]).assign(program="P", verdict="fail")
    found = matrix(table, ["a", "b"], {"representation": ["pert_embedding"], "causal": ["knockout"]})
    assert [(each["probe"], each["who"]) for each in found.columns] == [
        ("pert_embedding", "b"), ("knockout", "a"), ("knockout", "b"), ("odd", "a vs b")
    ]  # fmt: skip
    assert found.groups == [("pert_embedding", 1), ("knockout", 2), ("odd", 1)]


def test_every_term_that_a_template_uses_is_in_the_glossary_under_an_id_of_its_own():
    used = set()
    for template in (REPORT / "templates").rglob("*.j2"):
        used |= set(re.findall(r'term\("([^"]+)"', template.read_text()))
    assert used <= set(glossary())
    assert len({slug(each) for each in glossary()}) == len(glossary())
    assert all(words.endswith(".") for words in glossary().values())
