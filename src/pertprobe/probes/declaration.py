"""What each probe declares in `probes/<name>.yaml`; its schema, `probes/schema.yaml`, says what each key means.

Rules, config schema, checks, evidence of controls, figures, report, calibration and the tests of laws read it. Imports
nothing heavy: every plan of the workflow reads it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from pertprobe.errors import PertprobeError

FOLDER = Path(__file__).parent
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where it is there: declarations and schemas are read whenever the workflow is planned."""
SPACE_OF_RESPONSES = "delta_y"
"""Measured in every run: it gives every probe the strength of perturbations, and asks nothing."""

ALWAYS = "always"
"""Models of known kind are asked all that the subject is asked, not what controls are asked alone."""

FUNCTIONS = {
    "measure": (("units", "measure"), ()),
    "derive": (("units", "measure"), ("plant",)),
    "ask": (("questions",), ()),
    "tabulate": ((), ("tables",)),
    "draw": (("draw",), ()),
}
"""What the workflow does with a probe -> the functions of its module that it calls, those it must and may have."""


def of_copies(condition: Sequence[Any]) -> bool:
    """Return whether a condition of thresholds compares with untrained copies."""
    return condition[0].startswith("excess_redrawn")


@dataclass(frozen=True)
class Declaration:
    """One probe, as the whole workflow knows it. Fields are those of the schema; defaults stand there alone."""

    name: str
    question: str
    level: str
    counted: bool
    unit: str
    needs: frozenset[str]
    keep: tuple[str, ...]
    reads: tuple[str, ...]
    depends: Mapping[str, Any]
    statistics: Mapping[str, Mapping[str, Any]]
    first_order: bool
    pairs: tuple[str, ...]
    tested_with: tuple[str, ...]
    partners: bool
    of_pairs: bool
    pooled: bool
    tables: Mapping[str, Any]
    products: tuple[str, ...]
    settings: Mapping[str, Any]
    required: tuple[str, ...]
    together: Mapping[str, list[str]]
    answers: Mapping[str, str]
    known_kinds: str | None
    calibration: Mapping[str, Any]
    measured_by: str = ""
    files: str = ""
    space: Mapping[str, str] | None = None
    thresholds: tuple[tuple[Any, ...], ...] = ()
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    """Statistic -> its least and largest value, where it has any: figures draw no interval beyond."""

    @property
    def default_settings(self) -> dict[str, Any]:
        """Its settings where the config gives none."""
        return {key: piece["default"] for key, piece in self.settings.items() if "default" in piece}

    @property
    def of_panels(self) -> bool:
        """Whether it asks about panels, one or more of a program."""
        return self.unit in ("panel", "regulator")

    @property
    def of_genes(self) -> bool:
        """Whether its units are genes, not perturbations."""
        return self.unit in ("gene", "regulator")

    @property
    def primary(self) -> str:
        """The statistic that verdicts read."""
        return next(iter(self.statistics))

    @property
    def compared_in(self) -> str:
        """The statistic in which untrained copies and planted models are compared with the primary one."""
        return self.statistics[self.primary].get("compared_in", self.primary)

    @property
    def drawn_tables(self) -> list[str]:
        """Its further tables that its figure is drawn from, sorted."""
        return sorted(self.tables["names"]) if self.tables["drawn"] else []

    @property
    def asks_copies(self) -> bool:
        """Whether its default thresholds compare with untrained copies."""
        return any(map(of_copies, self.thresholds))

    @property
    def control_statistics(self) -> tuple[str, ...]:
        """Statistics that are asked of untrained copies and planted models too."""
        return tuple(name for name, each in self.statistics.items() if each["control"])

    @property
    def common_scale(self) -> tuple[str, ...]:
        """Statistics that are compared with their controls as they are, not in units of their null."""
        return tuple(name for name, each in self.statistics.items() if each["scale"] == "common")

    @property
    def published_of_controls(self) -> bool:
        """Whether controls are asked the published statistic too: where the default thresholds read it."""
        return any(column.endswith("_published") for column, *_ in self.thresholds)

    @property
    def measurement(self) -> str:
        """The probe whose measurement it tests."""
        return self.measured_by or self.name

    @property
    def judged_by(self) -> dict[str, Any]:
        """What evidence and verdicts depend on of it, for the params of rules."""
        names = ("statistics", "first_order", "level", "unit", "pairs", "known_kinds", "published_of_controls")
        return {name: getattr(self, name) for name in names}

    def space_at(self, layer: int | str) -> dict[str, str]:
        """Return the space that its measurement holds, its name that of a layer where it has one."""
        space = dict(self.space or {})
        return {**space, "name": space["name"].format(layer=layer), "unit": self.unit}

    def stands_beside_known(self, wanted: bool | str | Collection[str]) -> bool:
        """Return whether models of known kind stand beside its subject, where `wanted` is the config's controls.known.

        true: where they always do; all: wherever they can; names of probes: in these too.
        """
        if not wanted or self.known_kinds is None:
            return False
        return self.known_kinds == ALWAYS or wanted == "all" or (wanted is not True and self.name in wanted)

    def reads_under(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what its measurement is given: what it always reads, and what these values of settings ask for."""
        asked = (piece["reads"].get(settings.get(key)) for key, piece in self.settings.items() if "reads" in piece)
        return (*self.reads, *filter(None, asked))

    def referring(self, to: str) -> Iterator[str]:
        """Yield the settings whose values are names of `to`: sae, panels, genes, perturbations, layers, ..."""
        return (key for key, piece in self.settings.items() if piece.get("refers_to") == to)


@cache
def probe_names() -> tuple[str, ...]:
    """Return the names of all probes, sorted."""
    found = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    return tuple(name for name in found if name not in ("schema", SPACE_OF_RESPONSES))


@cache
def declared(name: str) -> Declaration:
    """Return what the probe called `name` declares.

    Raises PertprobeError for one that breaks the schema of declarations, with everything that does.
    """
    path = FOLDER / f"{name}.yaml"
    given, validator = _read(path), _validator()
    if faults := [f"{error.json_path}: {error.message}" for error in validator.iter_errors(given)]:
        raise PertprobeError(f"{path.name}: {'; '.join(faults)}")
    found = {key: _listed(value) for key, value in _with_defaults(given, validator.schema).items()}
    return Declaration(name, **found | {"needs": frozenset(found["needs"])})


def all_declared(probes: Iterable[str] | None = None) -> dict[str, Declaration]:
    """Return name -> declaration of these probes, of all where none are named."""
    return {name: declared(name) for name in (probe_names() if probes is None else probes)}


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(_read(FOLDER / "schema.yaml"))


def _read(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader=LOADER)


def _with_defaults(given: Any, schema: Mapping[str, Any]) -> Any:
    """Return a declaration with what it leaves out filled in, at every depth."""
    if not isinstance(given, dict):
        return given
    known = schema.get("properties", {})
    whole = {key: piece["default"] for key, piece in known.items() if "default" in piece} | given
    others = schema.get("additionalProperties")
    pieces = {key: known.get(key, others if isinstance(others, dict) else {}) for key in whole}
    return {key: _with_defaults(value, pieces[key]) for key, value in whole.items()}


def _listed(value: Any) -> Any:
    """Return lists as tuples, which nobody can change, at the first two depths."""
    if not isinstance(value, list):
        return value
    return tuple(tuple(each) if isinstance(each, list) else each for each in value)
