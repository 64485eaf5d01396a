"""What labels of cells mean: the agent that perturbs, its targets, dose, guide and direction.

Doses of a drug, guides of a gene and promoters of one are no independent evidence: a test counts agents. Combinations
share genes with each other, so they count as nothing.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import NamedTuple

from pertprobe.data.label_forms import FIELDS, Meaning, laid_over, recognised, words_of
from pertprobe.errors import PertprobeError, listed, meant

DIRECTIONS = ("knock_down", "activation")
COMBINATION, OTHER_DOSE, OTHER_DIRECTION = "a combination", "another dose", "another direction"
"""Why a label counts as nothing."""


class Counted(NamedTuple):
    """What a label counts as."""

    meaning: Meaning
    agent: str
    """The agent it counts as; empty where it counts as nothing."""
    why: str = ""
    """Why it counts as nothing."""


class Agents:
    """Labels -> agents, by what a config says: a table or columns, a pattern, forms that are recognised."""

    def __init__(
        self,
        told: Mapping[str, Meaning] | None = None,
        *,
        pattern: str | None = None,
        recognise: bool = True,
        dose: float | None = None,
        direction: str = DIRECTIONS[0],
    ) -> None:
        r"""Take what is known of labels.

        Args:
            told: label -> what it means, which nothing else changes.
            pattern: a regular expression that whole labels match, with groups named as fields of `Meaning`, such as
                `(?P<target>\w+)_sg(?P<guide>\d)`.
            recognise: whether labels of usual forms are taken for what they look like (`label_forms`).
            dose: the only one that counts; None: the highest of each agent among the labels at hand.
            direction: what labels do to their targets that do not say it.

        Raises PertprobeError for a pattern that names something else, or neither agent nor target.
        """
        self._told, self._dose, self._direction = dict(told or {}), dose, direction
        self._pattern = _compiled(pattern) if pattern else None
        self._recognise = recognise

    def meaning(self, label: str) -> Meaning:
        """Return what one label means; a label of no known form is an agent, and its own target."""
        found = recognised(label) if self._recognise else None
        if self._pattern and (match := self._pattern.fullmatch(label)):
            found = laid_over(words_of(match.groupdict()), found, label)
        if label in self._told:
            found = laid_over(self._told[label], found, label)
        found = found or Meaning(label, (label,))
        return found if found.direction else found._replace(direction=self._direction)

    @property
    def told(self) -> set[str]:
        """Return the labels that a table or columns tell of."""
        return {*self._told}

    def matches(self, label: str) -> bool:
        """Return whether the pattern is of this label."""
        return bool(self._pattern and self._pattern.fullmatch(label))

    def counted(self, labels: Collection[str], control: str) -> dict[str, Counted]:
        """Return what each label counts as among these; the control is itself, and guides of it are controls too."""
        means = {label: self.meaning(label) for label in sorted(set(labels)) if label != control}
        of = defaultdict(list)
        for label, meaning in means.items():
            of[meaning.agent].append(label)
        found = {label: self._counted(means, label, of[meaning.agent]) for label, meaning in means.items()}
        return found | ({control: Counted(Meaning(control), control)} if control in labels else {})

    def _counted(self, means: Mapping[str, Meaning], label: str, alike: Collection[str]) -> Counted:
        """Return what one label counts as beside those of its agent."""
        mine = means[label]
        doses = {means[each].dose for each in alike} - {None}
        asked = self._dose if self._dose is not None and doses else max(doses, default=None)
        directions = Counter(means[each].direction for each in alike)
        why = ""
        if mine.parts > 1:
            why = COMBINATION
        elif mine.dose != asked:
            why = OTHER_DOSE
        elif mine.direction != min(directions, key=lambda each: (-directions[each], DIRECTIONS.index(each))):
            why = OTHER_DIRECTION
        return Counted(mine, "" if why else mine.agent, why)

    def names(self, labels: Collection[str], control: str) -> dict[str, str]:
        """Return label -> agent of those that count."""
        return {label: each.agent for label, each in self.counted(labels, control).items() if each.agent}

    def translated(self, names: Collection[str]) -> list[str]:
        """Return a gene set as tests know it: labels as their agents, targets with the agents that hit them."""
        found = dict.fromkeys(self._agent_of(name) for name in names)
        hit = [agent for agent, targets in self._targets.items() if targets & {*names}]
        return [*(found | dict.fromkeys(hit))]

    def _agent_of(self, name: str) -> str:
        """Return the agent of a name, which may be a label; one of a combination stays what it is."""
        meaning = self.meaning(name)
        return name if meaning.parts > 1 else meaning.agent

    @cached_property
    def _single(self) -> list[Meaning]:
        """Return what is told of labels that are no combination, as a whole."""
        return [found for label in self._told if (found := self.meaning(label)).parts == 1]

    @cached_property
    def _targets(self) -> dict[str, set[str]]:
        """Return agent -> its targets, of those that are told."""
        found: dict[str, set[str]] = defaultdict(set)
        for each in self._single:
            found[each.agent] |= {*each.targets}
        return dict(found)

    @property
    def groups(self) -> dict[str, list[str]]:
        """Return group -> its agents, of those that are told."""
        found: dict[str, set[str]] = defaultdict(set)
        for each in self._single:
            if each.group:
                found[each.group].add(each.agent)
        return {group: sorted(agents) for group, agents in sorted(found.items())}


def activated_among(counted: Mapping[str, Counted], control: str) -> list[str]:
    """Return the agents that raise what they act on, of labels that were counted."""
    raised = {each.agent for each in counted.values() if each.meaning.direction == DIRECTIONS[1]}
    return sorted(raised - {"", control})


def _compiled(pattern: str) -> re.Pattern[str]:
    found = re.compile(pattern)
    if unknown := [name for name in found.groupindex if name not in FIELDS]:
        near = meant(unknown[0], FIELDS)
        raise PertprobeError(f"the pattern names the group '{unknown[0]}', which is none of {listed(FIELDS, 6)}.{near}")
    if not {"agent", "target"} & {*found.groupindex}:
        raise PertprobeError("the pattern names neither agent nor target. Name a group: (?P<target>...)")
    return found


def counting_notes(counted: Mapping[str, Counted]) -> list[str]:
    """Return in words which labels stand for an agent of another name, or for one together, and which for nothing."""
    labels: dict[str, list[str]] = defaultdict(list)
    without: dict[str, list[str]] = defaultdict(list)
    for label, each in counted.items():
        (without[each.why] if each.why else labels[each.agent]).append(label)
    renamed = [f"{listed(each, 3)} as {agent}" for agent, each in labels.items() if each != [agent]]
    notes = [f"labels are asked as their agents: {listed(renamed, 3)}"] if renamed else []
    return notes + [f"labels not counted, being {why}: {listed(each, 3)}" for why, each in sorted(without.items())]
