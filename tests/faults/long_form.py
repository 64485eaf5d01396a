"""The long form: every fault of every group, then docs/reliability.md: `make reliability`.

A run that is stopped goes on where it was, as long as neither library nor harness has changed; groups may be named.
"""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import architectures
import gate
import groups
import judge
import known
import records
import restarts
import stale
import torch
from healthy import make_healthy

OTHERS = {
    "architectures": architectures.judge_architectures,
    "stale": stale.judge_stale,
    "intermediates": stale.judge_intermediates,
    "restarts": restarts.judge_restarts,
}
"""Groups whose cases are no files of the healthy project."""


def main(wanted: list[str]) -> None:
    """Judge the groups that are wanted, all by default, and write the page."""
    torch.set_num_threads(1)
    for group in wanted or [*groups.GROUPS, *OTHERS]:
        before = records.read(group)
        done = {each.name for each in before}
        found = Counter(each.outcome for each in before)
        for each in records.keep(group, remaining(group, done), before):
            found[each.outcome] += 1
            if each.outcome != judge.GOOD:
                print(f"{each.outcome}\t{each.name}\t{each.words}", flush=True)
        known.rewrite([each for each in records.read(group) if group in groups.GROUPS])
        print(f"== {group}: {sum(found.values())} tried: {dict(found)}", flush=True)
    sys.path.insert(0, str(records.ROOT / "docs"))
    import reliability_page

    reliability_page.write()


def remaining(group: str, done: set[str]) -> Iterator[judge.Judged]:
    """Yield the judgements of a group's cases that are not done."""
    if group in OTHERS:
        yield from (each for each in OTHERS[group](done) if each.name not in done)
        return
    faults = [fault for fault in groups.faults_of(group) if fault.name not in done]
    if faults:
        with tempfile.TemporaryDirectory() as scratch:
            healthy = make_healthy(Path(scratch))
            readers = judge.Readers(gate.gate, gate.use)
            yield from judge.judge_all(faults, healthy, readers, workers=os.cpu_count() or 1)


if __name__ == "__main__":
    main(sys.argv[1:])
