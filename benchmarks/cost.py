"""What `pertprobe check` expects of a run beside what its jobs took: CPU seconds of each probe, and of all.

`python benchmarks/cost.py config/config.yaml results/demo` prints a table; more pairs of a config and its results may
follow. Jobs that were not run are left out on both sides; shards and models of which only some have run are counted by
those. Models are timed where it is run: on the machine that the results are of.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pertprobe.workflow.checks import read_inputs
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.prospects.cost import expecting
from pertprobe.workflow.prospects.expected import lines
from pertprobe.workflow.prospects.piloted import measured_by_key
from pertprobe.workflow.prospects.prospect import asked
from pertprobe.workflow.settled import read_configs, settled

ROOT = Path(__file__).resolve().parents[1]
LARGE = 60.0
"""CPU seconds from which on a probe counts as large."""
WITHIN, WITHIN_LARGE = 2.0, 3.0
"""How far all together, and each large probe, may be off."""


class Compared(NamedTuple):
    """What was expected, and measured, of one probe or of all else."""

    what: str
    jobs: int
    expected: float
    measured: float

    @property
    def ratio(self) -> float:
        """Expected over measured."""
        return self.expected / self.measured


def compared(config_path: Path, results: Path) -> list[Compared]:
    """Return each part of a run, the largest first, and the sum."""
    config = settled(read_configs([config_path]), whole_schema(ROOT / "config" / "schema.yaml"))
    inputs = read_inputs(config)
    run, _ = expecting(config, inputs, *asked(config, inputs))
    taken = measured_by_key(results / "logs")
    found: dict[str, Compared] = {}
    for line in lines(run):
        if not (took := taken.get(line.key)) or not line.jobs:
            continue
        what, before = line.probe or "all else", found.get(line.probe or "all else", Compared("", 0, 0.0, 0.0))
        expected = line.seconds * min(1.0, took.jobs / line.jobs)
        found[what] = Compared(
            what, before.jobs + took.jobs, before.expected + expected, before.measured + took.seconds
        )
    parts = sorted(found.values(), key=lambda part: -part.measured)
    return [*parts, Compared("**all**", *(sum(column) for column in list(zip(*parts, strict=True))[1:]))]


def markdown(run: str, parts: Sequence[Compared]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {run}: probe | jobs | expected, CPU s | measured, CPU s | expected / measured |"
    yield "|---|---|---|---|---|"
    for part in parts:
        yield f"| {part.what} | {part.jobs} | {part.expected:,.0f} | {part.measured:,.0f} | {part.ratio:.2f} |"


def within(parts: Sequence[Compared]) -> bool:
    """Return whether all together and each large probe are as near as they should be."""
    *each, whole = parts
    large = [part for part in each if part.measured >= LARGE]
    off = {part.what: max(part.ratio, 1 / part.ratio) for part in (*large, whole)}
    return off[whole.what] <= WITHIN and all(off[part.what] <= WITHIN_LARGE for part in large)


def main() -> int:
    """Print a table for each run; return 1 where one is further off than it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="CONFIG RESULTS", help="a config, and its results")
    given = parser.parse_args()
    pairs = zip(given.runs[::2], given.runs[1::2], strict=True)
    tables = [(results.name, compared(config, results)) for config, results in pairs]
    print("\n\n".join("\n".join(markdown(*each)) for each in tables))
    return 0 if all(within(parts) for _, parts in tables) else 1


if __name__ == "__main__":
    raise SystemExit(main())
