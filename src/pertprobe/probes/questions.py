"""The kinds of question that probes ask, each answered in one place.

`Coherence`: are the units of a program alike? `Score`: do they score higher? `Paired`: is a unit's own partner nearer
than others? `Whole`: what of all units together? `Each` is what the first two are made of, `Described` a number without
a test. Which units are members, whether they are enough, nuisances held, intervals, published statistics, ceilings and
notes are the same for all; what of it is wanted depends on who is asked (`Wanted`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from pertprobe import evidence
from pertprobe.data.observed import coexpression_similarity, similarity_reference
from pertprobe.probes import load_probe
from pertprobe.probes.base import TestInputs, each_program, members
from pertprobe.probes.declaration import ALWAYS, Declaration, declared
from pertprobe.roles import COEXPRESSION, KNOWN, OBSERVED, SUBJECT
from pertprobe.statistics.coherence import coherence_tests
from pertprobe.statistics.matched import PairedTest
from pertprobe.statistics.permutation import Test, mean_score, scaled
from pertprobe.statistics.reliability import Ceiling, bootstrap_coherence, bootstrap_mean, pair_contributions

Row = dict[str, Any]
Said = tuple[float, float]
"""A published estimate and its p; nan where nothing was published."""
NOTHING: Said = (np.nan, np.nan)
ONE_SET = "no noise ceiling: one cell set"


class Wanted(NamedTuple):
    """What is asked beside the estimate and its null."""

    interval: bool
    published: bool
    ceiling: bool
    further: bool
    """Further p values, that no verdict reads."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One statistic, asked of every program or of all units together."""

    statistic: str
    names: Sequence[str] | np.ndarray = ()
    """The units, in the order of whatever is given beside them."""
    adjustment: str = "centred"
    role: str = SUBJECT
    """Of whom it is asked: the model that is tested, or data that stand beside it (`roles.OBSERVED`, ...)."""
    unit: str = "perturbation"
    called: str = "trained perturbations"
    """What units are called where they are too few."""
    panel: str = ""
    draws: Callable[[str], tuple[object, ...]] | None = None
    """Program -> names of its draws; None: those of its kind."""
    notes: Sequence[str] = ()
    withheld: str = ""
    """Why the numbers of its rows, which stay in them, are no answer; empty where they are."""
    first_order: bool = False
    """Whether two models that share an initialisation, or cells that they learned from, can agree in it by that alone,
    which the row then says."""

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield the answers."""
        raise NotImplementedError

    def drawing(self, inputs: TestInputs, what: str, program: str) -> np.random.Generator:
        """Return the generator of a draw: "" of the test's own, otherwise of `what` belongs to it."""
        names = self.draws(program) if self.draws else (self.statistic, program)
        return inputs.random(*((what,) if what else ()), *names)

    def who(self, **values: Any) -> Row:
        """Return the columns that say what a row is about, in their order."""
        who = {"statistic": self.statistic, "adjustment": self.adjustment, "unit": self.unit, "panel": self.panel}
        return {**who, **values}

    def enough(self, inputs: TestInputs) -> int:
        """Return how many units of a program are needed."""
        return inputs.min_genes if self.unit == "gene" else inputs.min_perturbations

    def told(self, inputs: TestInputs, units: Iterable[str] = (), *more: str) -> list[str]:
        """Return the notes of a row: on what models of a pair share, on how its units were trained, and its own."""
        sharing = (inputs.sharing, inputs.common_cells) if self.first_order else ()
        held_out = inputs.subject.held_out(units) if self.unit == "perturbation" else ""
        return [*sharing, held_out, *self.notes, *more]

    def answered(
        self,
        inputs: TestInputs,
        wanted: Wanted,
        who: Row,
        columns: Row,
        interval: Callable[[np.random.Generator], tuple[float, float]] | None = None,
        published: Callable[[np.random.Generator], Said] | None = None,
        ceiling: Callable[[np.random.Generator], Ceiling | str] | None = None,
    ) -> Row:
        """Return the row of what was tested, with what is wanted beside; `withheld` as an answer if it is to be."""
        drawing = partial(self.drawing, inputs, program=who.get("program", ""))
        if wanted.interval and interval:
            columns |= zip(("ci_low", "ci_high"), interval(drawing("interval")), strict=True)
        if wanted.published and published:
            columns |= zip(("estimate_published", "p_published"), published(drawing("published")), strict=True)
        row = evidence.row(inputs.identity, **who, **columns)
        if self.withheld:
            row |= {"evaluable": False, "reason": evidence.joined(self.withheld, row["reason"])}
        if wanted.ceiling and ceiling:
            found = ceiling(drawing("ceiling"))
            columns, note = ({}, found) if isinstance(found, str) else evidence.ceilinged(found)
            row |= {**columns, "reason": evidence.joined(row["reason"], note)}
        return row


@dataclass(frozen=True, kw_only=True)
class ByProgram(Question):
    """Something that is asked of every program by itself."""

    few: bool = True
    """Whether programs with too few units have a row: false where another statistic says so of the same units."""

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield a row for each program."""
        for program, found, short in self.asked(inputs):
            if not short:
                yield self.row(inputs, wanted, program, found)
            elif self.few:
                n = len(self.names if found is None else found)
                who = self.who(program=program, n=n, n_background=len(self.names))
                yield evidence.not_evaluable(inputs.identity, short, **who)

    def asked(self, inputs: TestInputs) -> Iterator[tuple[str, np.ndarray | None, str]]:
        """Yield program, positions of its members (None = all), and why it cannot be asked; empty where it can."""
        return each_program(inputs, self.names, self.enough(inputs), self.called)

    def row(self, inputs: TestInputs, wanted: Wanted, program: str, found: np.ndarray | None) -> Row:
        """Return the row of one program that can be asked."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Each(ByProgram):
    """A test of every program by itself."""

    test: Callable[[str, np.ndarray, int, np.random.Generator], Test | str] | None = None
    """Given program, positions of its members, draws of the null and a generator, returns the test, or why there is
    none."""
    counts: Callable[[str], tuple[int, int]] | None = None
    """Program -> n and n_background, where its measurement chose who is compared; None: members, and all units."""
    interval: Callable[[np.ndarray], tuple[float, float]] | None = None
    """Given positions of members, returns an interval that nothing is drawn for."""
    published: Callable[[np.ndarray, np.random.Generator], Said] | None = None
    """Given positions of members and a generator, returns what was published."""
    programs: Collection[str] | None = None
    """Those that are asked; None: all."""
    refused: Callable[[str], str] | None = None
    """Program -> why it cannot be asked, where it has units enough."""

    def asked(self, inputs: TestInputs) -> Iterator[tuple[str, np.ndarray, str]]:
        """Yield program, positions of its members, and why it cannot be asked; empty where it can."""
        for program, found, short in super().asked(inputs):
            if self.programs is None or program in self.programs:
                yield program, found, short or (self.refused(program) if self.refused else "")

    def row(self, inputs: TestInputs, wanted: Wanted, program: str, found: np.ndarray) -> Row:
        """Return the row of one program that can be asked."""
        n, others = self.counts(program) if self.counts else (len(found), len(self.names))
        who = self.who(program=program, n=n, n_background=others)
        test = self.test(program, found, inputs.permutations, self.drawing(inputs, "", program))
        if isinstance(test, str):
            return evidence.not_evaluable(inputs.identity, evidence.joined(test, *self.notes), **who)
        columns = evidence.tested(test, *self.told(inputs, np.asarray(self.names)[found]))
        columns["per_unit"] = self.contributions(found)
        interval = partial(self.interval_of, inputs, found)
        return self.answered(inputs, wanted, who, columns, interval, self.published and partial(self.published, found))

    def contributions(self, found: np.ndarray) -> dict[str, float]:
        """Return what each member contributes to the estimate, by name; none where it is no mean over members."""
        return {}

    def interval_of(self, inputs: TestInputs, found: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
        """Return the interval of a program's estimate; nan where there is none."""
        return self.interval(found) if self.interval else NOTHING


@dataclass(frozen=True, kw_only=True)
class Coherence(Each):
    """Are the units of a program alike: the mean of a similarity over their pairs, effect strength held."""

    similarity: np.ndarray | Callable[[], np.ndarray]
    """[units, units]; made when it is asked for, where it is a function."""
    strength: np.ndarray | None
    """What is held [units]; None: nothing."""
    adjusted: np.ndarray | None = None
    """The similarity without what strength explains, where that is no trend to be removed."""
    scale: Callable[[int], float] = lambda _: 1.0
    """Number of members -> what their mean is multiplied by."""

    def drawing(self, inputs: TestInputs, what: str, program: str) -> np.random.Generator:
        """Return the generator of a draw: all coherences of a probe compare a program with the same sets."""
        return super().drawing(inputs, what, program) if self.draws else inputs.random(what or "coherence", program)

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield a row for each program, of one similarity."""
        made = replace(self, similarity=self.similarity() if callable(self.similarity) else self.similarity)
        test = made.all_at_once(inputs, wanted.further and self.adjusted is None)
        yield from super(Coherence, replace(made, test=test)).rows(inputs, wanted)

    def all_at_once(self, inputs: TestInputs, further: bool) -> Callable[..., Test]:
        """Test all programs together, and return the function of a program's test."""
        sets = {program: found for program, found, short in self.asked(inputs) if not short}
        drawing = partial(self.drawing, inputs, "")
        beside = inputs.beside(self.names, self.unit)
        asked = self.similarity, sets, self.strength, inputs.permutations, drawing
        tests = coherence_tests(*asked, beside=beside, further=further, adjusted=self.adjusted)
        return lambda program, found, *_: scaled(tests[program], self.scale(len(found)))

    def contributions(self, found: np.ndarray) -> dict[str, float]:
        """Return what each member contributes to the mean over pairs."""
        each = pair_contributions(self.scale(len(found)) * self.similarity, found)
        return dict(zip(np.asarray(self.names)[found], each, strict=False))

    def interval_of(self, inputs: TestInputs, found: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
        """Return the interval over resampled members."""
        return bootstrap_coherence(self.scale(len(found)) * self.similarity, found, inputs.bootstrap, random)


class Pool(NamedTuple):
    """The units that one program is scored among."""

    names: np.ndarray
    scores: np.ndarray
    strength: np.ndarray | None
    """What is held [units]."""
    inside: Collection[str]
    """Names of those that count as members."""
    notes: Sequence[str] = ()
    short: str = ""
    """Why it cannot be asked."""
    withheld: str = ""
    """Why its numbers are no answer."""
    published: Callable[[np.ndarray, np.random.Generator], Said] | None = None
    """As that of the question, where units differ by program."""


@dataclass(frozen=True, kw_only=True)
class Score(Each):
    """Do the units of a program score higher: the mean of a score, strength (of genes: expression) held.

    Units are the same for all programs (`names`, `scores`, `strength`), or `pool` gives those of each: without `names`
    it also says whether they are enough.
    """

    scores: np.ndarray | None = None
    """[units]; nan: has none, and is left out."""
    strength: np.ndarray | None = None
    """What is held [units]."""
    pool: Callable[[str], Pool] | None = None
    """Program -> the units it is scored among."""
    with_interval: bool = True

    def asked(self, inputs: TestInputs) -> Iterator[tuple[str, np.ndarray, str]]:
        """Yield program, positions of its members, and why it cannot be asked: a pool may know its units alone."""
        counted = self.pool is None or len(self.names) > 0
        for program, found, short in super().asked(inputs):
            yield program, found, short if counted else ""

    def row(self, inputs: TestInputs, wanted: Wanted, program: str, found: np.ndarray) -> Row:
        """Return the row of one program, among the units of its pool."""
        own = Pool(np.asarray(self.names), self.scores, self.strength, inputs.programs[program])
        pool = self.pool(program) if self.pool else own
        found, notes = members(pool.names, pool.inside), [*self.notes, *pool.notes]
        if pool.short or len(found) in (0, len(pool.names)):
            short = pool.short or f"no {self.unit} is left to score"
            who = self.who(program=program, n=len(found), n_background=len(pool.names))
            return evidence.not_evaluable(inputs.identity, evidence.joined(short, *notes), **who)
        beside = inputs.beside(pool.names, self.unit)
        test = lambda _, found, m, random: mean_score(pool.scores, found, pool.strength, m, random, beside)  # noqa: E731
        said = {"published": pool.published or self.published, "withheld": pool.withheld or self.withheld}
        made = replace(self, names=pool.names, scores=pool.scores, notes=notes, test=test, **said)
        return super(Score, made).row(inputs, wanted, program, found)

    def contributions(self, found: np.ndarray) -> dict[str, float]:
        """Return the score of each member."""
        return dict(zip(np.asarray(self.names)[found], self.scores[found], strict=True))

    def interval_of(self, inputs: TestInputs, found: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
        """Return the interval over resampled members."""
        return bootstrap_mean(self.scores[found], inputs.bootstrap, random) if self.with_interval else NOTHING


@dataclass(frozen=True, kw_only=True)
class Paired(ByProgram):
    """Is each unit's own partner nearer than those of others like it: r_ii against r_ij, of a program or all units."""

    test: Callable[[str, np.ndarray | None, int, np.random.Generator], tuple[PairedTest, np.ndarray]]
    """Given program ("" = all units), positions of its members (None = all), draws and a generator, returns the test
    and what each unit that was used has more than its partners."""
    background: Callable[[str], int]
    """Program -> units that could be used."""
    fewest: str
    """What units are called that lack a number or a partner."""
    constant: str
    """What is left out for not varying."""
    alone: str
    """What is left out for want of a partner."""
    together: bool = False
    """Asked of all units, one with another, in place of programs."""
    fewest_together: int = 2
    short: str = ""
    """Why it cannot be asked, where units are enough."""
    published: Callable[[PairedTest], Said] | None = None
    ceiling: Callable[[PairedTest, str, np.random.Generator], Ceiling | str] | None = None
    """Given the test, program and a generator, returns the ceiling, or why there is none."""
    more: Callable[[PairedTest], Sequence[str]] = lambda _: ()
    """Further notes."""
    interval: Callable[[np.ndarray], tuple[float, float]] | None = None
    """Given what each unit has more than its partners, returns the interval of the mean; None: over resampled units."""

    def enough(self, inputs: TestInputs) -> int:
        """Return how many units of a program are needed, or of all."""
        return self.fewest_together if self.together else super().enough(inputs)

    def asked(self, inputs: TestInputs) -> Iterator[tuple[str, np.ndarray | None, str]]:
        """Yield each program, or all units, and why it cannot be asked, with what else is to be said."""
        for program, found, few in [("", None, "")] if self.together else super().asked(inputs):
            short = few or self.short
            yield program, found, evidence.joined(short, *self.notes) if short else ""

    def row(self, inputs: TestInputs, wanted: Wanted, program: str, found: np.ndarray | None) -> Row:
        """Return the row of one program, or of all units."""
        result, apart = self.test(program, found, inputs.permutations, self.drawing(inputs, "", program))
        n, enough = len(result.genes), self.enough(inputs)
        who = self.who(program=program, n=n, n_background=self.background(program))
        without = ((result.n_constant, self.constant), (result.n_without_partner, self.alone))
        left_out = [*(f"{number} {words} left out" for number, words in without if number), *self.more(result)]
        if n < enough:
            reasons = f"{n} {self.fewest}, {enough} needed", *left_out, *self.notes
            return evidence.not_evaluable(inputs.identity, evidence.joined(*reasons), **who)
        units = np.asarray(self.names)[result.genes]
        columns = evidence.tested(result.test, *self.told(inputs, units if program else (), *left_out))
        columns["per_unit"] = dict(zip(units, apart, strict=True))
        interval = partial(bootstrap_mean, apart, inputs.bootstrap)
        interval = (lambda _: self.interval(apart)) if self.interval else interval
        published = self.published and (lambda _: self.published(result))
        ceiling = self.ceiling and partial(self.ceiling, result, program)
        return self.answered(inputs, wanted, who, columns, interval, published, ceiling)


@dataclass(frozen=True, kw_only=True)
class Whole(Question):
    """What of all units together: one row that names no program."""

    test: Callable[[int, np.random.Generator], Test]
    """Given draws of the null and a generator, returns the test."""
    called: str = "shared perturbations"
    fewest: int = 4
    most: int | None = None
    """Draws, at most; None: those of every test."""
    published: Callable[[np.random.Generator], Said] | None = None
    """Given a generator, returns what was published."""
    ceiling: Callable[[np.random.Generator], Ceiling | str] | None = None
    """Given a generator, returns the ceiling, or why there is none."""
    short: str = ""
    """Why it cannot be asked."""

    def drawing(self, inputs: TestInputs, what: str, program: str) -> np.random.Generator:
        """Return the generator of a draw, which names no program."""
        names = self.draws(program) if self.draws else (self.statistic,)
        return inputs.random(*((what,) if what else ()), *names)

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield the one row."""
        n = len(self.names)
        who = self.who(n=n, n_background=n)
        if short := f"{n} {self.called}, {self.fewest} needed" if n < self.fewest else self.short:
            yield evidence.not_evaluable(inputs.identity, short, **who)
            return
        draws = min(inputs.permutations, self.most or inputs.permutations)
        columns = evidence.tested(self.test(draws, self.drawing(inputs, "", "")), *self.told(inputs))
        yield self.answered(inputs, wanted, who, columns, published=self.published, ceiling=self.ceiling)


class Number(NamedTuple):
    """A number that is described, not tested."""

    estimate: float
    low: float = np.nan
    high: float = np.nan
    n: int = 0
    background: int = 0
    notes: Sequence[str] = ()
    short: str = ""
    """Why it cannot be said."""


@dataclass(frozen=True, kw_only=True)
class Described(Question):
    """A number without a null: of one program, or of all units where `program` is empty."""

    number: Callable[[np.random.Generator], Number]
    """Given a generator for its interval, returns it."""
    program: str = ""

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield the one row."""
        found = self.number(self.drawing(inputs, "interval", self.program))
        who = self.who(program=self.program, n=found.n, n_background=found.background)
        notes = [*self.notes, *found.notes]
        if short := found.short or ("what it is made of does not vary" if np.isnan(found.estimate) else ""):
            yield evidence.not_evaluable(inputs.identity, evidence.joined(short, *notes), **who)
            return
        columns = {"estimate": found.estimate, "ci_low": found.low, "ci_high": found.high}
        yield self.answered(inputs, wanted, who, {**columns, "reason": evidence.joined(*notes)})


@dataclass(frozen=True, kw_only=True)
class Refused(Question):
    """A question that no program, or none of some, can be asked of, with the reason; to controls it is not put."""

    reason: str
    programs: Collection[str] | None = None
    """Those that are refused; None: all."""

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield the refusal of every program."""
        for program in inputs.programs:
            if self.programs is None or program in self.programs:
                yield evidence.not_evaluable(inputs.identity, self.reason, **self.who(program=program))


def ask(probe: str, inputs: TestInputs) -> Iterator[Row]:
    """Yield the evidence of a probe on whoever `inputs` are about."""
    declaration = declared(probe)
    if inputs.reference is not None and inputs.comparison not in declaration.pairs:
        return iter(())  # a pair of a kind that it has no question about
    return answers(inputs, declaration, load_probe(probe).questions(inputs.limited_to(declaration)))


def answers(inputs: TestInputs, declaration: Declaration, questions: Iterable[Question]) -> Iterator[Row]:
    """Yield the evidence of questions, as far as they are asked of whoever `inputs` are about.

    Of untrained copies and planted models the control statistics alone, and of these the estimate with its null; the
    published statistic where the default thresholds read it. So of models of known kind, but for probes that always
    have them beside the subject: there they are asked all that it is asked itself.
    """
    role = inputs.identity.get("role", SUBJECT)
    for question in questions:
        if role == SUBJECT or (question.role == SUBJECT and asked_all(declaration, role)):
            itself = question.role == SUBJECT
            asked = inputs if itself else inputs.as_role(question.role)
            yield from question.rows(asked, Wanted(True, True, itself, itself))
        elif question.role == SUBJECT and _of_controls(question, declaration):
            yield from question.rows(inputs, Wanted(False, declaration.published_of_controls, False, False))


def asked_all(declaration: Declaration, role: str) -> bool:
    """Return whether a probe asks those of this role all that it asks the subject."""
    return declaration.known_kinds == ALWAYS and role in KNOWN


def _of_controls(question: Question, declaration: Declaration) -> bool:
    asked = question.statistic in declaration.control_statistics and question.adjustment == "centred"
    return asked and not isinstance(question, Refused)


def coherence_baselines(inputs: TestInputs, names: Iterable[str]) -> Iterator[Coherence]:
    """Yield the coherence of the observed responses, and of the co-expression of the knocked genes in control cells.

    Of the perturbations called `names` those that were observed, or whose genes are measured. Observed responses are
    matched by their own strength, co-expression by the model's.
    """
    if (observed := inputs.subject.observed) is None:
        return
    for role, of in ((OBSERVED, similarity_reference), (COEXPRESSION, coexpression_similarity)):
        similarity, kept = of(observed, sorted(names))
        if len(kept) < 3:
            continue
        strength = inputs.subject.strength.reindex(kept).to_numpy()
        if role == OBSERVED:
            strength = np.linalg.norm(observed["delta_y"].sel(perturbation=kept).values.astype(np.float64), axis=1)
        asked = {"statistic": "coherence", "role": role, "names": np.array(kept)}
        yield Coherence(**asked, similarity=similarity, strength=strength)


def per_set(*profiles: xr.DataArray) -> bool:
    """Return whether profiles hold cell sets apart, two or more of them: without, there is no noise ceiling."""
    return all("set" in each.dims and each.sizes["set"] > 1 for each in profiles)
