"""docs/reliability.md, of what the harness of tests/faults has judged: `make reliability` writes it."""

import importlib.metadata
import json
import platform
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/faults"))

import mutation  # noqa: E402 - the harness
import records  # noqa: E402
from judge import GOOD, OUTCOMES, Judged  # noqa: E402

PAGE = ROOT / "docs/reliability.md"
TITLES = {
    "valid": "harmless changes, read as they should be",
    "wrong": "wrong inputs",
    "hostile": "hostile and malformed files",
    "damage": "random damage of given files",
    "architectures": "random State architectures against a slow reference, float64",
    "stale": "changed inputs noticed, and non-changes that rerun nothing",
    "intermediates": "damaged intermediate files",
    "restarts": "kills, signals, full disks, two runs at once, clocks, memory: same bytes after a rerun",
}
"""Group -> what it is of."""
VERSIONS = ("pertprobe", "numpy", "torch", "h5py", "anndata", "safetensors", "pyyaml", "jsonschema", "snakemake")
HEAD = """# Reliability

What strangers' files and unkind machines do to a run, measured: `tests/faults` spoils a small healthy project in every
way that it knows, lets a child process meet it under limits of time and memory, and judges how that ends. **Good** is
what should happen, in words and before any long job; all else is listed below by name. `make reliability` judges every
case anew and writes this page (stopped, it goes on where it was); `make mutation` adds the last table. A fixed draw of
all groups runs with `make test`, and fails for whatever is not good and not in `tests/faults/known.tsv`, or is in it
and has become good.
"""


def write() -> None:
    """Write the page from what is recorded."""
    found = {group: records.read(group) for group in TITLES}
    parts = [HEAD, _versions(), _table(found), _absent(found), _meanings(), *_lists(found), _mutation()]
    PAGE.write_text("\n".join(part for part in parts if part), encoding="utf-8")


def _versions() -> str:
    named = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    return f"Measured with Python {platform.python_version()}, {named}.\n"


def _table(found: dict[str, list[Judged]]) -> str:
    counts = {group: Counter(each.outcome for each in judged) for group, judged in found.items()}
    shown = [each for each in OUTCOMES if any(count[each] for count in counts.values()) or each in SHOWN]
    rows = [["cases", "tried", *shown], ["---"] * (2 + len(shown))]
    rows += [
        [TITLES[group], str(sum(count.values())), *(str(count[each]) for each in shown)]
        for group, count in counts.items()
        if count
    ]
    return "## Figures\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _absent(found: dict[str, list[Judged]]) -> str:
    """Return which groups this code has not been judged by: an absent row is no good row."""
    absent = [TITLES[group] for group, judged in found.items() if not judged]
    return f"**Not yet judged with this code**: {'; '.join(absent)}.\n" if absent else ""


SHOWN = (GOOD, "late", "noted", "silent", "traceback", "crash", "hang", "memory")
"""Outcomes that the table has though nothing ended so."""


def _meanings() -> str:
    return "".join(f"- **{name}**: {means}\n" for name, means in OUTCOMES.items())


def _lists(found: dict[str, list[Judged]]) -> list[str]:
    """Return what is not good of each group, by outcome."""
    parts = []
    for group, judged in found.items():
        wrong = sorted((each for each in judged if each.outcome != GOOD), key=lambda each: (each.outcome, each.name))
        if wrong:
            rows = "".join(f"| {each.outcome} | {_cell(each.name)} | {_cell(each.words)} |\n" for each in wrong)
            title = TITLES[group][0].upper() + TITLES[group][1:]
            parts.append(f"## {title}: what is not good\n\n| outcome | case | said |\n|---|---|---|\n{rows}")
    return parts


def _cell(text: str) -> str:
    """Return text as a cell of a table shows it: in code, without what would end the cell."""
    clean = " ".join(text.split())[:160].replace("|", "\u2502").replace("`", "'")
    return f"`{clean}`" if clean else ""


def _mutation() -> str:
    """Return the table of mutants, where there has been a run."""
    if not mutation.RECORD.exists():
        return ""
    found = json.loads(mutation.RECORD.read_text())
    tried, killed = len(found["mutants"]), sum(each["killed"] for each in found["mutants"])
    alive = [each for each in found["mutants"] if not each["killed"]]
    rows = "".join(f"| {each['module']}:{each['line']} | {_cell(each['what'])} |\n" for each in alive)
    said = f"{killed} of {tried} mutants killed ({killed / max(1, tried):.0%}), drawn with seed {found['seed']}."
    return (
        "## Mutants of statistics and verdicts\n\nOne operator, constant, comparison or condition is changed at a "
        f"time, and the tests that import the module run: {said}\n\n| survivor | change |\n|---|---|\n{rows}"
    )


if __name__ == "__main__":
    write()
