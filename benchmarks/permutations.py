"""Time and memory of the coherence test of many gene sets, beside a plain loop over sets and permutations.

`python benchmarks/permutations.py --gmt reactome.gmt` takes the sizes of its sets, restricted to as many names, drawn
from its genes, as there are units; without a file those of the calibration (`pertprobe.calibration.speed`), which has
the measuring. It prints JSON. Seconds of the processor, summed over threads, change less than wall time where other
work shares the machine.
"""

import argparse
import json
from pathlib import Path

from pertprobe.calibration.speed import measure, reactome_sizes
from pertprobe.programs import read_programs
from pertprobe.seeding import generator


def sizes_of(gmt: Path, n_units: int, seed: int) -> list[int]:
    """Return the sizes, two or more, of a file's sets among `n_units` names drawn from its genes."""
    programs = read_programs(gmt)
    genes = sorted({gene for each in programs.values() for gene in each})
    kept = set(generator(seed, "units").choice(genes, n_units, replace=False))
    return [size for each in programs.values() if (size := len(kept.intersection(each))) >= 2]


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gmt", type=Path, help="gene sets whose sizes are taken")
    parser.add_argument("--units", type=int, default=2024)
    parser.add_argument("--permutations", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sizes = sizes_of(given.gmt, given.units, given.seed) if given.gmt else reactome_sizes()
    found = measure(given.units, sizes, given.permutations, given.seed, given.threads)
    asked = {name: value for name, value in vars(given).items() if name != "gmt"}
    print(json.dumps({**asked, "sets": len(sizes), "largest_set": max(sizes), **found.rounded()}, indent=2))


if __name__ == "__main__":
    main()
