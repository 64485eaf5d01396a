"""Permutation tests of 674 gene sets, beside a plain loop over sets and permutations."""

from measure import THREADS, Row

from pertprobe.calibration.speed import measure, reactome_sizes

UNITS, PERMUTATIONS = 2024, 100_000


def rows() -> list[Row]:
    """Return the uniform null, and beside it the one with strength held."""
    found = measure(UNITS, reactome_sizes(), PERMUTATIONS, 0, THREADS)
    work = f"{PERMUTATIONS:,} permutations x 674 gene sets x {UNITS:,} perturbations"
    note = f"the loop on a share, scaled; processor {found.processor_unstratified:.0f} s"
    return [
        Row(work, "a loop over sets and permutations", found.unstratified, found.loop / found.unstratified,
            peak_mb=found.megabytes, limits={"ratio": ("at least", 100.0)}, note=note),
        Row(f"{work}, strength held too", "without strength held", found.both, found.unstratified / found.both,
            peak_mb=found.megabytes, note="ratio below 1: it is the dearer of the two"),
    ]  # fmt: skip
