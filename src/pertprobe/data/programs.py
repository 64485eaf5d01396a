"""Gene programs (GMT files, gene lists, name patterns) and panels (regulators, targets, perturbations)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from pertprobe.data.agent_table import agents_of
from pertprobe.data.agents import Agents
from pertprobe.data.gmt import read_gmt
from pertprobe.data.spelling import AS_WRITTEN, respelled
from pertprobe.errors import (
    PertprobeError,
    gathering,
    listed,
    meant,
    name_faults,
    number_of,
    raise_together,
    read_together,
)
from pertprobe.readers.texts import read_table
from pertprobe.showing import as_html

LINE_ENDS = re.compile(r"\r\n|\n|\r")
SHOWN = 20
"""Programs that a notebook shows."""
SETS = ("patterns", "lists", "names", "spelling", "agents", "groups")
"""What a config says of programs beside their files and their least sizes."""


class Programs(dict[str, tuple[str, ...]]):
    """Gene sets under test: a program's name -> its genes, sorted and unique."""

    def __init__(self, sets: Mapping[str, Iterable[str]], notes: Iterable[str] = ()) -> None:
        """Take the genes of each program in any order, and what is worth knowing of how they were read."""
        super().__init__({name: tuple(sorted(set(genes))) for name, genes in sets.items()})
        self.notes = tuple(notes)

    def __missing__(self, name: str) -> NoReturn:
        """Raise `PertprobeError` (also a KeyError) for an unknown name."""
        raise UnknownProgram(f"program '{name}' is not defined (found: {listed(self)}).{meant(name, self)}")

    def __repr__(self) -> str:
        """Show names and sizes."""
        return f"Programs({listed(f'{name}: {len(genes)}' for name, genes in self.items())})"

    def _repr_html_(self) -> str:
        """Show names, sizes and first genes in a notebook."""
        first = list(self.items())[:SHOWN]
        facts = {name: f"{number_of(len(genes), 'gene')}: {', '.join(genes[:5])}" + ", ..." * (len(genes) > 5)
                 for name, genes in first}  # fmt: skip
        more = {"...": f"{len(self) - SHOWN} more"} if len(self) > SHOWN else {}
        return as_html(f"Programs: {number_of(len(self), 'gene set')}", facts | more)

    def __or__(self, other: "Programs") -> "Programs":
        """Return both together; raises `PertprobeError` for a name defined in both."""
        if twice := sorted(set(self) & set(other)):
            raise PertprobeError(f"programs are defined twice: {listed(twice)}. Give each its own name")
        return Programs({**self, **other}, (*self.notes, *other.notes))

    __ior__ = __or__  # |= of a dict would take the second without a word


class UnknownProgram(PertprobeError, KeyError):
    """A program nobody defined."""

    __str__ = Exception.__str__


def read_programs(
    *paths: str | Path,
    patterns: Mapping[str, str] | None = None,
    lists: Mapping[str, Sequence[str]] | None = None,
    known_names: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
    spelling: str = AS_WRITTEN,
    agents: Mapping[str, Any] | None = None,
    groups: bool = False,
) -> Programs:
    r"""Read programs from files, patterns and lists.

    Args:
        paths: GMT files (name, description, genes; tab-separated) or plain lists (.txt: a gene a line; the file's stem
            is the program's name).
        patterns: name -> regular expression searched for in every known name, such as `^RP[SL]\d`.
        lists: name -> genes.
        known_names: all names a pattern may match: perturbations and genes.
        names: a name in files or lists -> what the models call it.
        spelling: how all other names there are respelled, a key of `spelling.SPELLINGS`.
        agents: what the config says of labels (`agents_of`): a label in a set stands for its agent, a target for the
            agents that act on it.
        groups: whether each group of the perturbation table is a program as well.

    Raises:
        Faults: unreadable files, invalid patterns, names defined in two sources, all together. What `read_gmt` can read
            without a set, or otherwise than it stands, is in the notes.
    """
    faults: list[str] = []
    programs, known = Programs(lists or {}), set(known_names)
    for path in map(Path, paths):
        with gathering(faults, f"{path}: "):
            if path.suffix == ".txt":
                programs |= _read_list(path)
            else:
                found = read_gmt(_lines(path), known)
                programs |= Programs(found.genes, (f"{path}: {note}" for note in found.notes))
    renamed = names or {}
    if renamed or spelling != AS_WRITTEN:
        called = {name: [renamed.get(g, respelled(g, spelling)) for g in each] for name, each in programs.items()}
        programs = Programs(called, programs.notes)
    for name, pattern in (patterns or {}).items():
        with gathering(faults, f"pattern '{name}': "):
            programs |= Programs({name: _matching(pattern, sorted(known))})
    with gathering(faults):
        programs = _of_agents(programs, agents_of(agents), groups)
    raise_together(faults)
    return programs


def _of_agents(programs: Programs, agents: Agents | None, groups: bool) -> Programs:
    """Return programs whose members are agents, and the groups of agents if they are wanted."""
    if agents is None:
        return programs
    found = Programs({name: agents.translated(genes) for name, genes in programs.items()}, programs.notes)
    return found | Programs(agents.groups if groups else {})


def _lines(path: Path) -> list[str]:
    """Return the lines of a text; other signs that Python breaks lines at are part of a name, and named with it."""
    return LINE_ENDS.split(read_table(path))


def _read_list(path: Path) -> Programs:
    genes = [line.strip() for line in _lines(path) if line.strip() and not line.startswith("#")]
    if not genes:
        raise PertprobeError("names no gene")
    raise_together(name_faults([path.stem, *genes]))
    if spaced := [gene for gene in genes if len(gene.split()) > 1]:
        raise PertprobeError(f"one gene a line is expected, found: {listed(spaced, 3)}")
    return Programs({path.stem: genes})


def _matching(pattern: str, names: Sequence[str]) -> list[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise PertprobeError(f"'{pattern}' is not a regular expression ({error})") from error
    return [name for name in names if expression.search(name)]


@dataclass(frozen=True)
class Panel:
    """A question about regulation: does the model route targets through regulators when the pathway is perturbed?"""

    name: str
    program: str
    """The program whose rows the panel's results join."""
    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    perturbations: tuple[str, ...]
    """Pathway perturbations, sorted."""
    controls: tuple[str, ...]
    """Perturbations to compare with, sorted."""
    signs: Mapping[str, int] | None = None
    """Expected sign of "regulator>target", +1 or -1; None where the panel states none."""
    notes: tuple[str, ...] = ()


def read_panels(
    config_panels: Mapping[str, Mapping[str, object]],
    programs: Programs,
    perturbations: Iterable[str],
    control: str | None = None,
) -> dict[str, Panel]:
    """Make panels from their config.

    Args:
        config_panels: name -> {program, regulators, targets, perturbations, controls, signs}; perturbations "program"
            (default) are the program's members among the model's perturbations, controls "others" (default) all other
            perturbations outside the program.
        programs: all programs.
        perturbations: those of the model.
        control: the label of unperturbed cells, never part of a panel.

    Raises:
        Faults: unknown programs and perturbations, overlaps, misplaced signs, all together.
    """
    known = sorted(set(perturbations) - {control})
    return read_together(config_panels, partial(_panel, programs, known))


def _panel(programs: Programs, known: list[str], name: str, entry: Mapping[str, object]) -> Panel:
    members = programs[entry["program"]]
    pathway = _chosen(entry.get("perturbations", "program"), "program", [p for p in known if p in members])
    outside = [p for p in known if p not in members and p not in pathway]
    controls = _chosen(entry.get("controls", "others"), "others", outside)
    signs = entry.get("signs")
    pairs = {f"{regulator}>{target}" for regulator in entry["regulators"] for target in entry["targets"]}
    misplaced = [pair for pair in signs or () if pair not in pairs]
    raise_together(
        [f"perturbation '{p}' is not in the model.{meant(p, known)}" for p in (*pathway, *controls) if p not in known]
        + [f"'{p}' is both a pathway perturbation and a control" for p in sorted(set(pathway) & set(controls))]
        + [f"sign of '{pair}' belongs to no pair 'regulator>target' of the panel" for pair in misplaced]
    )
    genes = [tuple(dict.fromkeys(entry[part])) for part in ("regulators", "targets")]
    notes = () if pathway else (f"no perturbation of the model is in program '{entry['program']}'",)
    return Panel(name, entry["program"], *genes, pathway, controls, dict(signs) if signs else None, notes)


def parts_of_panels(
    config_panels: Mapping[str, Mapping[str, object]], parts: Sequence[str]
) -> dict[str, dict[str, object]]:
    """Return panels as their config gives them, with these parts alone, as far as they have them."""
    return {name: {part: entry[part] for part in parts if part in entry} for name, entry in config_panels.items()}


def _chosen(given: object, word: str, default: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(default if given == word else given)))


def measured_pairs(
    panel: Panel, genes: Iterable[str], output_genes: Iterable[str]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the panel's (regulator, target) pairs a model can see, and notes on genes left out.

    A regulator must be among the model's input `genes`, a target among its `output_genes`. A gene that is not measured
    can still be a perturbation. A gene is no target of itself.
    """
    genes, outputs = set(genes), set(output_genes)
    regulators = [gene for gene in panel.regulators if gene in genes]
    targets = [gene for gene in panel.targets if gene in outputs]
    missing = {"regulators": set(panel.regulators) - genes, "targets": set(panel.targets) - outputs}
    notes = tuple(f"{part} not measured: {listed(sorted(names))}" for part, names in missing.items() if names)
    return tuple((r, t) for r in regulators for t in targets if r != t), notes


def run_programs(paths: Sequence[str], settings: Mapping[str, object], known_names: Iterable[str]) -> Programs:
    """Read the programs of a run: its files, and what its config section says of sets and names."""
    return read_programs(*paths, known_names=known_names, **sets_of(settings))


def sets_of(settings: Mapping[str, object]) -> dict[str, object]:
    """Return what a `programs` section says beside its files, as `read_programs` takes it; defaults may be absent."""
    return {key: settings[key] for key in SETS if key in settings}
