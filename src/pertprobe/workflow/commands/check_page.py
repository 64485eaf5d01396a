"""What `check` found, for people: a table on a terminal, tab-separated lines elsewhere, then sentences."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pertprobe.errors import listed
from pertprobe.workflow.prospects.answers import Reach
from pertprobe.workflow.prospects.askable import PAIR
from pertprobe.workflow.prospects.cost import Cost, Expected
from pertprobe.workflow.prospects.prospect import Asked, Prospect

HEAD = ("probe", "model", "programs asked", "smallest d", "why not")
UNKNOWN = "not known before a run on this machine"


def page(found: Prospect, console: Console | None = None) -> None:
    """Print what can be asked, answers, cost, remedies and the conclusion."""
    console = console or Console(highlight=False)
    say = partial(_say, console)
    if found.questions:
        _table(found, console) if console.is_terminal else _lines(found, say)
    for title, lines in _sections(found):
        if lines:
            say(f"\n{title}", "bold")
            for line in lines:
                say(f"  {line}")
    say(f"\n{found.conclusion}", "bold green" if found.anything else "bold red")


def _say(console: Console, text: str, style: str = "") -> None:
    """Print a line: wrapped by the terminal alone, and elsewhere as it is, tabs included."""
    if console.is_terminal:
        console.print(text, style=style, markup=False, soft_wrap=True)
    else:
        console.file.write(f"{text}\n")


def _sections(found: Prospect) -> Iterator[tuple[str, list[str]]]:
    yield "Power", list(power_in_words(found))
    yield "Answers", list(answers_in_words(found.answers))
    yield "Cost", list(cost_in_words(found.cost))
    yield "What would make more askable", [f"- {each}" for each in found.remedies]
    yield "Worth knowing", [f"- {each}" for each in found.notes]


def _lines(found: Prospect, say: Callable[[str], None]) -> None:
    """Print a line for each probe and model, tab-separated."""
    say("\t".join(HEAD))
    for each in found.questions:
        say("\t".join(row(each)))


def _table(found: Prospect, console: Console) -> None:
    """Print a row for each probe and for those of its models of which the same is to be said."""
    table = Table(*HEAD, title="What can be asked", title_justify="left", title_style="bold", show_lines=False)
    last = ""
    for probe, models, rest in merged(found.questions):
        style = "dim" if rest[0].startswith("0 ") else ""
        table.add_row(*map(Text, ("" if probe == last else probe, models, *rest)), style=style)
        last = probe
    console.print(table)


def merged(questions: tuple[Asked, ...]) -> list[tuple[str, str, list[str]]]:
    """Return probe, its models together that share all other words, and these."""
    found: dict[tuple[str, ...], list[str]] = {}
    for each in questions:
        probe, model, *rest = row(each)
        found.setdefault((probe, *rest), []).append(model)
    every = len({each.model for each in questions if each.model and PAIR not in each.model})
    return [(probe, _together(models, every), list(rest)) for (probe, *rest), models in found.items()]


def _together(models: list[str], every: int) -> str:
    """Return models in one cell of a table: a line each, or one where they are all that there are."""
    whole = len(models) == every > 1 and not any(PAIR in model for model in models)
    return f"all {every} models" if whole else "\n".join(models)


def row(asked: Asked) -> list[str]:
    """Return the cells of one probe and model."""
    return [asked.probe, asked.model or "-", f"{asked.asked} of {asked.programs}", effect(asked), why_not(asked)]


def effect(asked: Asked) -> str:
    """Return the range of the smallest effects that are found: of the largest program to the smallest."""
    ends = dict.fromkeys(f"{end:.2g}" for end in (asked.d_low, asked.d_high) if end is not None)
    counts = {"only together": asked.only_together, "never": asked.unreachable}
    said = [" to ".join(ends), *(f"{n} {words}" for words, n in counts.items() if n)]
    return ", ".join(filter(None, said)) or "-"


def why_not(asked: Asked, most: int = 2) -> str:
    """Return the commonest reasons, each behind the number of programs that it keeps from being asked."""
    said = [f"{n}: {reason}" for reason, n in asked.why_not[:most]]
    more = sum(n for _, n in asked.why_not[most:])
    return "; ".join(said + ([f"{more}: other reasons"] if more else []))


def power_in_words(found: Prospect) -> Iterator[str]:
    """Yield what the column of effects means, beside the effect of interest."""
    if not found.questions:
        return
    yield (
        f"smallest d: the effect, in sd of a unit, that is found with probability {found.power:g} though no other "
        "program of its probe is, from the largest program to the smallest. At best: strength is held too, and pairs "
        "say less than units."
    )
    yield f"The config's effect of interest: power.d = {found.power_d:g}. '-': not known before a run."
    if together := sum(each.only_together for each in found.questions):
        yield f"only together: q falls below its threshold only if others are found too, for {together} questions."
    if never := sum(each.unreachable for each in found.questions):
        yield f"never: q cannot fall below its threshold whatever is found, for {never} of the questions."


def answers_in_words(reached: Sequence[Reach]) -> Iterator[str]:
    """Yield what can be reached, once for all models of which the same is to be said."""
    models: dict[str, list[str]] = {}
    for each in reached:
        models.setdefault(answer_in_words(each), []).append(each.model)
    return (f"{', '.join(names)}: {text}" for text, names in models.items())


def answer_in_words(reach: Reach) -> str:
    """Return what can be reached for a model, in one sentence."""
    if reach.missing:
        return f"no answer can be reached: {reach.missing}"
    programs = f"programs that can have an answer of their own: {reach.programs}"
    few = ". So few genes often leave it unresolved (docs/answer.md)" if reach.few else ""
    genes = f"{len(reach.genes)} knocked-down genes are inputs ({listed(reach.genes)}), {reach.needed} needed"
    later = "Whether two halves of their cells agree enough to tell is known after a run"
    return f"an answer can be reached: {genes}; {programs}{few}. {later}"


def cost_in_words(cost: Cost) -> Iterator[str]:
    """Yield what is known of the cost, and what is not."""
    yield (
        f"jobs that measure: {cost.measuring} ({cost.measurements} measurements x {cost.models} models x {cost.shards} "
        "shards), beside those that test, draw and report (`snakemake --dry-run` counts all)"
    )
    if cost.expected:
        yield from expected_in_words(cost.expected)
    else:
        yield f"hours, memory of the largest job, disk: {UNKNOWN}, since none of the models can be timed before"
    if cost.earlier:
        yield (
            f"the earlier run of this name ({cost.earlier.path}, as its config was): {amount(cost.earlier.hours)} in "
            f"{cost.earlier.jobs} jobs, the largest {cost.earlier.peak_gb:.2g} GB of memory; results take "
            f"{cost.earlier.disk_gb:.2g} GB"
        )
    yield f"working memory of derivatives in a job that measures, beside its result: {cost.memory_gb:g} GB (memory_gb)"


MOST = 4
"""Parts of a run that are named, the largest."""


def expected_in_words(expected: Expected) -> Iterator[str]:
    """Yield what a run is expected to take, and how that is known."""
    how = f"corrected by what its pilot took ({expected.pilot})" if expected.pilot else "by timing the models here"
    yield (
        f"CPU time of all jobs: {amount(expected.hours_low)} to {amount(expected.hours_high)} ({how}); less on a GPU. "
        "Divide by the cores that it is given"
    )
    named = ", ".join(f"{what} {amount(hours)}" for what, hours in expected.parts[:MOST])
    rest = sum(hours for _, hours in expected.parts[MOST:])
    yield f"of it, in the middle of that range: {named}, all else {amount(rest)}"
    gb = dict.fromkeys(f"{end:.2g}" for end in (expected.gb_low, expected.gb_high))
    yield f"memory of the largest job: {' to '.join(gb)} GB; measurements take {expected.disk_gb:.2g} GB of disk"
    if expected.untimed:
        yield f"not in these numbers, since they cannot be timed before they are made: {listed(expected.untimed)}"
    if not expected.pilot:
        yield "nearer: `pertprobe run --pilot` runs all of it at a fraction, and measures"


def amount(hours: float) -> str:
    """Return CPU hours as people say them: in minutes or seconds where they are few."""
    if hours >= 1:
        return f"{hours:.2g} h" if hours < 99 else f"{hours:,.0f} h"
    return f"{60 * hours:.2g} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"
