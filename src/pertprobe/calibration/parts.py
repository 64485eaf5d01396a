"""What a calibration is made of: parts that can run beside each other, and how long ones are cut, by seed or world.

Nothing heavy is imported here: the workflow reads the names when it is parsed.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pertprobe.probes.declaration import Declaration, all_declared, declared

if TYPE_CHECKING:
    import pandas as pd

Sizes = Mapping[str, Mapping[str, Any]]


class Part(NamedTuple):
    """One function of this package: ([probe,] sizes, seed[, world]) -> the rows of its figures."""

    module: str
    """Module of `pertprobe.calibration`, which has a function of the section's name."""
    section: str
    """Key of the sizes it is given."""
    cut: Literal["", "seed", "world"] = ""
    """Into one job a seed, 0 to `seeds` - 1, or one a world that the probe declares, numbered in its order.

    A part that is not cut but has `seeds` does all of them in its job; every other has the seed of the calibration.
    """
    declared: str = ""
    """What a probe must declare of its calibration to have this part; empty: it is one part of several probes."""


KINDS = {
    "statelike": Part("statelike", "statelike", cut="seed"),
    "foreign": Part("foreign", "foreign", cut="seed"),
    "planted": Part("planted", "planted", declared="planted"),
    "untrained": Part("untrained", "untrained", declared="untrained"),
    "nulls": Part("nulls", "nulls", cut="world", declared="worlds"),
    "power": Part("nulls", "power", declared="power"),
    "speed": Part("speed", "speed"),
    "trained": Part("trained", "trained", cut="seed"),
    "ceiling": Part("nulls", "ceiling"),
}
"""Kind -> part; a part of one probe is called kind_probe."""
ALONE = ("speed",)
"""Parts that are given every core: what they measure is time."""
ANSWERED = ("foreign", "statelike")
"""Sections of the parts that ask the probes which answer what a model is."""
READERS = ("readers", "data.h5ad", "errors")
"""Modules that read or refuse what users give, in words: a calibration draws its own data, and its digest leaves them
out."""
FUNCTIONS = ("units", "measure", "plant", "questions", "null_world", "known")
"""What of a probe a calibration runs."""


def parts() -> list[str]:
    """Return the names of all parts, those that take longest first."""
    found = [kind for kind, part in KINDS.items() if not part.declared]
    for kind, part in KINDS.items():
        having = [name for name, probe in all_declared().items() if probe.calibration.get(part.declared)]
        found += [f"{kind}_{name}" for name in having]
    return found


def names(sizes: Sizes) -> list[str]:
    """Return the names of all jobs: a part, or "part-number" where it is cut."""
    return [name for part in parts() for name in _jobs(part, sizes)]


def _jobs(name: str, sizes: Sizes) -> list[str]:
    part, probe = _of(name)
    if not part.cut:
        return [name]
    pieces = sizes[part.section]["seeds"] if part.cut == "seed" else len(declared(probe).calibration["worlds"])
    return [f"{name}-{piece:02d}" for piece in range(pieces)]


def _of(name: str) -> tuple[Part, str]:
    """Return a job's part, and the probe it is about; empty where it is about none or several."""
    kind, _, probe = name.partition("-")[0].partition("_")
    return KINDS[kind], probe


def _probes(name: str) -> list[Declaration]:
    """Return the probes that a job runs."""
    part, probe = _of(name)
    if probe:
        return [declared(probe)]
    if part.section == "trained":
        return [each for each in all_declared().values() if each.calibration["trained"]]
    return [each for each in all_declared().values() if each.answers and part.section in ANSWERED]


def target(name: str) -> str:
    """Return the function of this package that a job runs, as `digest.code` names it."""
    part, _ = _of(name)
    return f"calibration.{part.module}:{part.section}"


def called(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield modules of probes and those of their functions, where they have them, that a job calls."""
    for probe in _probes(name):
        planted = probe.calibration.get("planted", {}).get("by", "plant")
        for module in dict.fromkeys((probe.name, probe.measurement)):
            yield f"probes.{module}", (*FUNCTIONS, planted)


def sizes_of(name: str, sizes: Sizes) -> dict[str, Any]:
    """Return the sizes that a job depends on; of one that does one seed, how many there are is not among them."""
    part, _ = _of(name)
    return {key: value for key, value in sizes[part.section].items() if key != "seeds" or part.cut != "seed"}


def declared_of(name: str) -> dict[str, Any]:
    """Return what probes declare that a job depends on."""
    fields = ("statistics", "thresholds", "settings", "keep", "calibration")
    return {probe.name: {field: getattr(probe, field) for field in fields} for probe in _probes(name)}


def run(name: str, sizes: Mapping[str, Any], seed: int) -> "pd.DataFrame":
    """Return the rows of one job: `sizes` are its own (`sizes_of`), `seed` that of the calibration."""
    import pandas as pd

    part, probe = _of(name)
    function = getattr(import_module(f"pertprobe.calibration.{part.module}"), part.section)
    about, piece = [probe] if probe else [], name.partition("-")[2]
    if part.cut == "seed":
        return function(*about, sizes, int(piece))
    if part.cut == "world":
        return function(*about, sizes, seed, int(piece))
    seeds = range(sizes["seeds"]) if "seeds" in sizes else [seed]
    return pd.concat([function(*about, sizes, each) for each in seeds], ignore_index=True)
