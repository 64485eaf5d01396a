"""The kinds of question that probes ask, each answered in one place.

`Coherence`: are the units of a program alike? `Score`: do they score higher? `Paired`: is a unit's own partner nearer
than others? `Whole`: what of all units together? `Each` is what the first two are made of, `Described` a number without
a test. Which units are members, whether they are enough, nuisances held, intervals, published statistics, ceilings and
notes are the same for all; what of it is wanted depends on who is asked (`Wanted`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from pertprobe import evidence
from pertprobe.data.observed import coexpression_similarity, similarity_reference
from pertprobe.probes import load_probe
from pertprobe.probes.base import TestInputs, each_program, members
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.roles import COEXPRESSION, OBSERVED, SUBJECT
from pertprobe.statistics.matched import PairedTest
from pertprobe.statistics.permutation import Test, coherence, coherence_tests, mean_score
from pertprobe.statistics.reliability import Ceiling, bootstrap_coherence, bootstrap_mean

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
    shared_initialisation: bool = False
    """Whether two models that share an initialisation can agree in it by that alone, which the row then says."""

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

    def told(self, inputs: TestInputs, units: Iterable[str] = (), *more: str) -> list[str]:
        """Return the notes of a row: on the initialisation, on how its units were trained, and its own."""
        sharing = inputs.sharing if self.shared_initialisation else ""
        held_out = inputs.subject.held_out(units) if self.unit == "perturbation" else ""
        return [sharing, held_out, *self.notes, *more]

    def row(self, inputs: TestInputs, who: Row, columns: Row) -> Row:
        """Return a row that was answered, or whose numbers are withheld as an answer."""
        row = evidence.row(inputs.identity, **who, **columns)
        if not self.withheld:
            return row
        return {**row, "evaluable": False, "reason": evidence.joined(self.withheld, row["reason"])}


@dataclass(frozen=True, kw_only=True)
class Each(Question):
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
    few: bool = True
    """Whether programs with too few units have a row: false where another statistic says so of the same units."""
    programs: Collection[str] | None = None
    """Those that are asked; None: all."""
    refused: Mapping[str, str] | Callable[[str], str] | None = None
    """Program -> why it cannot be asked, where it has units enough."""

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield a row for each program."""
        asked = list(self.asked(inputs))
        tests = self.tests(inputs, {program: found for program, found, short in asked if not short})
        for program, found, short in asked:
            who = self.who(program=program, n=len(found), n_background=len(self.names))
            if not short:
                yield self.answered(inputs, wanted, who, found, tests(program))
            elif self.few:
                yield evidence.not_evaluable(inputs.identity, short, **who)

    @property
    def counted(self) -> bool:
        """Whether programs with too few units are found by `names`."""
        return True

    def asked(self, inputs: TestInputs) -> Iterator[tuple[str, np.ndarray, str]]:
        """Yield program, positions of its members, and why it cannot be asked; empty where it can."""
        enough = inputs.min_genes if self.unit == "gene" else inputs.min_perturbations
        refused = self.refused if callable(self.refused) else (self.refused or {}).get
        for program, found, short in each_program(inputs, self.names, enough, self.called):
            if self.programs is None or program in self.programs:
                yield program, found, (short if self.counted else "") or refused(program) or ""

    def tests(self, inputs: TestInputs, sets: Mapping[str, np.ndarray]) -> Callable[[str], Test | str]:
        """Return the function of a program's test."""
        return lambda program: self.test(program, sets[program], inputs.permutations, self.drawing(inputs, "", program))

    def answered(self, inputs: TestInputs, wanted: Wanted, who: Row, found: np.ndarray, test: Test | str) -> Row:
        """Return the row of one program that was tested."""
        program, units = who["program"], np.asarray(self.names)[found]
        if self.counts:
            who = {**who, **dict(zip(("n", "n_background"), self.counts(program), strict=True))}
        if isinstance(test, str):
            return evidence.not_evaluable(inputs.identity, evidence.joined(test, *self.notes), **who)
        columns = evidence.tested(test, *self.told(inputs, units))
        if wanted.interval and (interval := self.interval_of(inputs, program, found)):
            columns |= dict(zip(("ci_low", "ci_high"), interval, strict=True))
        if wanted.published and self.published:
            columns |= _published(self.published(found, self.drawing(inputs, "published", program)))
        return self.row(inputs, who, columns)

    def interval_of(self, inputs: TestInputs, program: str, found: np.ndarray) -> tuple[float, float] | None:
        """Return the interval of a program's estimate; None where there is none."""
        return self.interval(found) if self.interval else None


@dataclass(frozen=True, kw_only=True)
class Coherence(Each):
    """Are the units of a program alike: the mean of a similarity over their pairs, effect strength held."""

    similarity: np.ndarray | Callable[[], np.ndarray]
    """[units, units]."""
    strength: np.ndarray | None
    """What is held [units]; None: nothing."""
    held: np.ndarray | None = None
    """The similarity without what strength explains, where that is no trend to be removed."""
    scale: Callable[[int], float] | None = None
    """Number of members -> what their mean is multiplied by."""

    def drawing(self, inputs: TestInputs, what: str, program: str) -> np.random.Generator:
        """Return the generator of a draw: all coherences of a probe compare a program with the same sets."""
        return super().drawing(inputs, what, program) if self.draws else inputs.random(what or "coherence", program)

    @property
    def matrix(self) -> np.ndarray:
        """The similarity, made when it is asked for."""
        return self.similarity() if callable(self.similarity) else self.similarity

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield a row for each program, of one similarity."""
        yield from super(Coherence, replace(self, similarity=self.matrix)).rows(inputs, wanted)

    def tests(self, inputs: TestInputs, sets: Mapping[str, np.ndarray]) -> Callable[[str], Test]:
        """Test all programs at once, one by one where another similarity is held."""
        if self.held is None:
            drawing = lambda program: self.drawing(inputs, "", program)  # noqa: E731
            return coherence_tests(self.matrix, sets, self.strength, inputs.permutations, drawing).__getitem__
        return lambda program: self._by_itself(inputs, program, sets[program])

    def _by_itself(self, inputs: TestInputs, program: str, found: np.ndarray) -> Test:
        scale, random = self._scale(found), self.drawing(inputs, "", program)
        return coherence(
            scale * self.matrix, found, self.strength, inputs.permutations, random, adjusted=scale * self.held
        )

    def _scale(self, found: np.ndarray) -> float:
        return self.scale(len(found)) if self.scale else 1.0

    def interval_of(self, inputs: TestInputs, program: str, found: np.ndarray) -> tuple[float, float]:
        """Return the interval over resampled members."""
        random = self.drawing(inputs, "interval", program)
        return bootstrap_coherence(self._scale(found) * self.matrix, found, inputs.bootstrap, random)


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

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield a row for each program."""
        for program, found, short in self.asked(inputs):
            if not short:
                yield self._scored(inputs, wanted, program, self._pool(inputs, program))
            elif self.few:
                who = self.who(program=program, n=len(found), n_background=len(self.names))
                yield evidence.not_evaluable(inputs.identity, short, **who)

    @property
    def counted(self) -> bool:
        """Whether units are counted before a test is made: a pool may know them alone."""
        return self.pool is None or len(self.names) > 0

    def _pool(self, inputs: TestInputs, program: str) -> Pool:
        if self.pool:
            return self.pool(program)
        return Pool(np.asarray(self.names), self.scores, self.strength, inputs.programs[program])

    def _scored(self, inputs: TestInputs, wanted: Wanted, program: str, pool: Pool) -> Row:
        found = members(pool.names, pool.inside)
        who = self.who(program=program, n=len(found), n_background=len(pool.names))
        notes = [*self.notes, *pool.notes]
        if pool.short or len(found) in (0, len(pool.names)):
            short = pool.short or f"no {self.unit} is left to score"
            return evidence.not_evaluable(inputs.identity, evidence.joined(short, *notes), **who)
        test = mean_score(pool.scores, found, pool.strength, inputs.permutations, self.drawing(inputs, "", program))
        asked = replace(
            self,
            names=pool.names,
            scores=pool.scores[found],
            notes=notes,
            published=pool.published or self.published,
            withheld=pool.withheld or self.withheld,
        )
        return asked.answered(inputs, wanted, who, found, test)

    def interval_of(self, inputs: TestInputs, program: str, found: np.ndarray) -> tuple[float, float] | None:
        """Return the interval over resampled members."""
        if not self.with_interval:
            return None
        return bootstrap_mean(self.scores, inputs.bootstrap, self.drawing(inputs, "interval", program))


@dataclass(frozen=True, kw_only=True)
class Paired(Question):
    """Is each unit's own partner nearer than those of others like it: r_ii against r_ij, of a program or all units."""

    test: Callable[[str, np.ndarray | None, int, np.random.Generator], tuple[PairedTest, np.ndarray]]
    """Given program ("" = all units), positions of its members (None = all), draws and a generator, returns the test
    and what each unit that was used has more than its partners."""
    background: int | Callable[[str], int]
    """Units that could be used; program -> units, where they depend on it, or on what is costly."""
    fewest: str
    """What units are called that lack a number or a partner."""
    constant: str
    """What is left out for not varying."""
    alone: str
    """What is left out for want of a partner."""
    together: bool = False
    """Asked of all units, one with another, in place of programs."""
    fewest_together: int = 2
    few: bool = True
    """Whether programs with too few units have a row."""
    short: str = ""
    """Why it cannot be asked, where units are enough."""
    published: Callable[[PairedTest], Said] | None = None
    ceiling: Callable[[PairedTest, str, np.random.Generator], Ceiling | str] | None = None
    """Given the test, program and a generator, returns the ceiling, or why there is none."""
    more: Callable[[PairedTest], Sequence[str]] | None = None
    """Further notes."""

    def rows(self, inputs: TestInputs, wanted: Wanted) -> Iterator[Row]:
        """Yield a row for each program, or one of all units."""
        enough = inputs.min_genes if self.unit == "gene" else inputs.min_perturbations
        enough = self.fewest_together if self.together else enough
        asked = [("", None, "")] if self.together else each_program(inputs, self.names, enough, self.called)
        for program, found, few in asked:
            if not (short := few or self.short):
                yield self._row(inputs, wanted, program, found, enough)
            elif self.few:
                n = len(self.names if found is None else found)
                who = self.who(program=program, n=n, n_background=len(self.names))
                yield evidence.not_evaluable(inputs.identity, evidence.joined(short, *self.notes), **who)

    def _row(self, inputs: TestInputs, wanted: Wanted, program: str, found: np.ndarray | None, enough: int) -> Row:
        result, apart = self.test(program, found, inputs.permutations, self.drawing(inputs, "", program))
        background = self.background(program) if callable(self.background) else self.background
        who = self.who(program=program, n=len(result.genes), n_background=background)
        left_out = [*self._left_out(result), *(self.more(result) if self.more else ())]
        if len(result.genes) < enough:
            short = f"{len(result.genes)} {self.fewest}, {enough} needed"
            return evidence.not_evaluable(inputs.identity, evidence.joined(short, *left_out, *self.notes), **who)
        units = np.asarray(self.names)[result.genes] if program else ()
        columns = evidence.tested(result.test, *self.told(inputs, units, *left_out))
        if wanted.interval:
            interval = bootstrap_mean(apart, inputs.bootstrap, self.drawing(inputs, "interval", program))
            columns |= dict(zip(("ci_low", "ci_high"), interval, strict=True))
        if wanted.published and self.published:
            columns |= _published(self.published(result))
        row = self.row(inputs, who, columns)
        if not wanted.ceiling or self.ceiling is None:
            return row
        return _with_ceiling(row, self.ceiling(result, program, self.drawing(inputs, "ceiling", program)))

    def _left_out(self, result: PairedTest) -> Iterator[str]:
        for number, words in ((result.n_constant, self.constant), (result.n_without_partner, self.alone)):
            if number:
                yield f"{number} {words} left out"


@dataclass(frozen=True, kw_only=True)
class Whole(Question):
    """What of all units together: one row that names no program."""

    test: Callable[[int, np.random.Generator], Test]
    """Given draws of the null and a generator, returns the test."""
    called: str = "shared perturbations"
    fewest: int = 4
    most: int | None = None
    """Draws, at most; None: those of every test."""
    published: Callable[[], Said] | None = None
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
        short = f"{n} {self.called}, {self.fewest} needed" if n < self.fewest else self.short
        if short:
            yield evidence.not_evaluable(inputs.identity, short, **who)
            return
        draws = inputs.permutations if self.most is None else min(inputs.permutations, self.most)
        test = self.test(draws, self.drawing(inputs, "", ""))
        columns = evidence.tested(test, *self.told(inputs))
        if wanted.published and self.published:
            columns |= _published(self.published())
        row = self.row(inputs, who, columns)
        if wanted.ceiling and self.ceiling:
            row = _with_ceiling(row, self.ceiling(self.drawing(inputs, "ceiling", "")))
        yield row


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
        short = found.short or ("what it is made of does not vary" if np.isnan(found.estimate) else "")
        if short:
            yield evidence.not_evaluable(inputs.identity, evidence.joined(short, *notes), **who)
            return
        columns = {"estimate": found.estimate, "ci_low": found.low, "ci_high": found.high}
        yield self.row(inputs, who, {**columns, "reason": evidence.joined(*notes)})


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
    if inputs.reference is not None and inputs.comparison not in ("", *declaration.pairs):
        return iter(())  # a pair of a kind that it has no question about
    return answers(inputs, declaration, load_probe(probe).questions(inputs.limited_to(declaration)))


def answers(inputs: TestInputs, declaration: Declaration, questions: Iterable[Question]) -> Iterator[Row]:
    """Yield the evidence of questions, as far as they are asked of whoever `inputs` are about.

    Of untrained copies and planted models the control statistics alone, and of these the estimate with its null; the
    published statistic where the default thresholds read it.
    """
    role = inputs.identity.get("role", SUBJECT)
    for question in questions:
        if role == SUBJECT:
            asked = inputs if question.role == SUBJECT else inputs.as_role(question.role)
            yield from question.rows(asked, Wanted(True, True, question.role == SUBJECT))
        elif question.role == SUBJECT and _of_controls(question, declaration):
            yield from question.rows(inputs, Wanted(False, declaration.published_of_controls, False))


def _of_controls(question: Question, declaration: Declaration) -> bool:
    asked = question.statistic in declaration.control_statistics and question.adjustment == "centred"
    return asked and not isinstance(question, Refused)


def coherence_baselines(inputs: TestInputs, names: Iterable[str]) -> Iterator[Coherence]:
    """Yield the coherence of the observed responses, and of the co-expression of the knocked genes in control cells.

    Of the perturbations called `names` those that were observed, or whose genes are measured. Observed responses are
    matched by their own strength, co-expression by the model's.
    """
    observed = inputs.subject.observed
    if observed is None:
        return
    similarity, kept = similarity_reference(observed, sorted(names))
    if len(kept) > 2:
        strength = np.linalg.norm(observed["delta_y"].sel(perturbation=kept).values.astype(np.float64), axis=1)
        yield _baseline(OBSERVED, kept, similarity, strength)
    similarity, kept = coexpression_similarity(observed, sorted(names))
    if len(kept) > 2:
        yield _baseline(COEXPRESSION, kept, similarity, inputs.subject.strength.reindex(kept).to_numpy())


def _baseline(role: str, names: Sequence[str], similarity: np.ndarray, strength: np.ndarray) -> Coherence:
    return Coherence(statistic="coherence", role=role, names=np.array(names), similarity=similarity, strength=strength)


def _published(said: Said) -> Row:
    return dict(zip(("estimate_published", "p_published"), said, strict=True))


def _with_ceiling(row: Row, ceiling: Ceiling | str) -> Row:
    """Add a noise ceiling, or the reason why there is none."""
    columns, note = ({}, ceiling) if isinstance(ceiling, str) else evidence.ceilinged(ceiling)
    return {**row, **columns, "reason": evidence.joined(row["reason"], note)}


def per_set(*profiles: xr.DataArray) -> bool:
    """Return whether profiles hold cell sets apart, two or more of them: without, there is no noise ceiling."""
    return all("set" in each.dims and each.sizes["set"] > 1 for each in profiles)
