"""A model's names against those of its cells, both ways: labels, the control, inputs that several names share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pertprobe.data.agents import counting_notes
from pertprobe.data.cells import ContextCells
from pertprobe.data.findings import Finding
from pertprobe.data.programs import Panel, Programs
from pertprobe.data.spelling import hint
from pertprobe.errors import in_a_row, listed, meant

if TYPE_CHECKING:
    from pertprobe.models.base import Model


def name_findings(
    key: str, model: "Model", context: str, cells: ContextCells, entry: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield what is to be said of a model's names beside those of its cells.

    Args:
        key: the model's, in the config.
        model: the model.
        context: name of its `cells` entry.
        cells: what that holds.
        entry: the entry itself: control and perturbation_column.
    """
    yield _control(key, model, context, cells, entry)
    yield from _labels(key, model, context, cells, entry)
    yield _inputs(key, model)


def agent_findings(key: str, model: "Model", context: str, cells: ContextCells) -> Iterator[Finding]:
    """Yield what labels of a model and of its cells count as, and where one agent is not of one dose in both.

    Nothing where every label is an agent of its own.
    """
    from pertprobe.models.by_agent import ByAgent

    of_cells = cells.counted
    of_model = model.counted if isinstance(model, ByAgent) else {}
    told = counting_notes(of_model)  # a warning of the model's card
    for note in counting_notes(of_cells):
        if note not in told:
            yield Finding(key, "agents", "note", len(of_cells), len(of_cells), f"cells.{context}: {note}")
    ours, theirs = ({each.agent: each.meaning.dose for each in counted.values() if each.meaning.dose and each.agent}
                    for counted in (of_model, of_cells))  # fmt: skip
    if apart := [agent for agent in sorted({*ours} & {*theirs}) if ours[agent] != theirs[agent]]:
        doses = f"{apart[0]}: {ours[apart[0]]:g} and {theirs[apart[0]]:g}"
        words = (
            f"{len(apart)} agents are asked at other doses of the model than of cells.{context} ({doses}). "
            "Set perturbations.dose to one that both have"
        )
        yield Finding(key, "doses", "fault", len(apart), len(ours), words)


def _control(key: str, model: "Model", context: str, cells: ContextCells, entry: Mapping[str, str]) -> Finding:
    """Return whether the control cells are what the model takes for unperturbed."""
    ours, theirs, words, level = entry["control"], model.control, "", "good"
    if ours != theirs and ours in model.perturbations:
        level = "fault"
        words = (
            f"cells.{context}.control is '{ours}', which the model knows as a perturbation: its control is '{theirs}'. "
            f"Set cells.{context}.control to the label of unperturbed cells"
        )
    elif ours != theirs and theirs in cells.perturbations:
        level = "fault"
        words = (
            f"cells.{context} has cells labelled '{theirs}', the model's control, but its control is '{ours}'. "
            f"Set cells.{context}.control to '{theirs}'"
        )
    elif ours != theirs:
        level, words = "note", f"the control is called '{ours}' in cells.{context} and '{theirs}' in the model"
    return Finding(key, "control_label", level, int(level != "good"), 1, words)


def _labels(key: str, model: "Model", context: str, cells: ContextCells, entry: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which labels of the cells the model does not know, and which of its own have no cells."""
    known = {*model.perturbations} - {model.control}
    counts = dict(zip(cells.perturbations, cells.n_perturbed, strict=True))
    unknown = [name for name in counts if name not in {*model.perturbations}]
    where, n = f"obs['{entry['perturbation_column']}'] of cells.{context}", sum(counts[name] for name in unknown)
    if counts and len(unknown) == len(counts):
        more = hint(unknown, known)
        words = (
            f"none of the {len(counts)} labels in {where} is a perturbation of the model (labels: {listed(unknown, 3)}"
            f"; model: {listed(sorted(known), 3)}){more and f': {more}'}. Set cells.{context}.perturbation_column"
        )
        yield Finding(key, "known_labels", "fault", len(unknown), len(counts), words)
    elif unknown:
        near = "".join(dict.fromkeys(filter(None, (meant(name, known - {*counts}) for name in unknown[:50]))))
        words = (
            f"{len(unknown)} of {len(counts)} labels in {where}, {n} cells, are unknown to the model and not asked: "
        )
        yield Finding(key, "known_labels", "note", len(unknown), len(counts), f"{words}{listed(unknown, 5)}.{near}")
    else:
        yield Finding(key, "known_labels", "good", 0, len(counts), "")
    without = sorted(known - {*counts})
    words = (
        f"{len(without)} of {len(known)} perturbations of the model have no cells in {context}: {listed(without, 5)}"
    )
    level = "note" if without and counts else "good"
    yield Finding(key, "measured_perturbations", level, len(without), len(known), words if without else "")


def _inputs(key: str, model: "Model") -> Finding:
    """Return which perturbations are one input of the model."""
    shared, n = same_inputs(model), len(model.perturbations)
    said = "; ".join(in_a_row([name for name in names[:6]]) + ", ..." * (len(names) > 6) for names in shared[:5])
    words = f"perturbations with one feature vector are one input, and count as one member of a program: {said}"
    several = sum(map(len, shared))
    return Finding(key, "distinct_inputs", "note" if shared else "good", several, n, words if shared else "")


def same_inputs(model: "Model") -> list[tuple[str, ...]]:
    """Return the names that share a feature vector, in the order of the model; none where it does not show vectors."""
    features = getattr(model, "perturbation_features", None)
    if features is None:
        return []
    groups: dict[bytes, list[str]] = {}
    for name, row in zip(model.perturbations, features.detach().cpu().numpy(), strict=True):
        groups.setdefault(row.tobytes(), []).append(name)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def without_twins(panel: Panel, shared: Sequence[Sequence[str]]) -> Panel:
    """Return a panel none of whose controls shares an input with one of its pathway perturbations."""
    twins = {name for names in shared if {*names} & {*panel.perturbations} for name in names}
    return replace(panel, controls=tuple(name for name in panel.controls if name not in twins))


def one_member_each(programs: Mapping[str, Sequence[str]], shared: Sequence[Sequence[str]]) -> Programs:
    """Return programs in which of names that share an input only the first member is left."""
    group = {name: i for i, names in enumerate(shared) for name in names}
    found = {}
    for program, members in programs.items():
        firsts = {group[name]: name for name in reversed(members) if name in group}
        found[program] = tuple(name for name in members if name not in group or firsts[group[name]] == name)
    return Programs(found)
