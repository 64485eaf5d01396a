"""What was judged, kept line by line, so that a long run that was stopped goes on where it was."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from judge import Judged

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "results/faults"
JUDGES_NOTHING = ("test_", "conftest", "mutation", "records", "known", "long_form")
"""How the names of modules begin that no judgement depends on."""


def digest() -> str:
    """Return a hash of the library and of the harness: what was judged of other code counts for nothing."""
    found = hashlib.sha256()
    harness = (path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith(JUDGES_NOTHING))
    for path in sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.yaml"), *harness]):
        found.update(path.read_bytes())
    return found.hexdigest()


def read(group: str) -> list[Judged]:
    """Return what was judged of a group by this code; none where there is nothing."""
    path = FOLDER / f"{group}.jsonl"
    head, *lines = path.read_text().splitlines() if path.exists() else [""]
    return [Judged(*json.loads(line)) for line in lines] if head == digest() else []


def keep(group: str, judgements: Iterable[Judged], before: list[Judged]) -> Iterator[Judged]:
    """Write judgements behind those of before, and yield each when it is written."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / f"{group}.jsonl", "w", buffering=1) as file:
        file.write(f"{digest()}\n")
        for each in before:
            file.write(json.dumps(each) + "\n")
        for each in judgements:
            file.write(json.dumps(each) + "\n")
            yield each
