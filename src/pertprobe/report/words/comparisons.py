"""Two models beside each other, in words: few-shot and zero-shot, or the same in two contexts."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pertprobe.stages.verdict import FAIL, PASS

LEVELS = ("representation", "routing", "causal")
BOTH, FIRST, SECOND, NEITHER = "both pass", "only the first passes", "only the second passes", "neither passes"


def compared(first: str, second: str) -> str:
    """Return which of two verdicts of a level passes; why they cannot be compared where one is no clear answer."""
    if {first, second} <= {PASS, FAIL}:
        return {(PASS, PASS): BOTH, (PASS, FAIL): FIRST, (FAIL, PASS): SECOND, (FAIL, FAIL): NEITHER}[first, second]
    return "cannot be compared"


def comparison_sentence(level: str, pairs: Sequence[tuple[str, str]], first: str, second: str) -> str:
    """Return how two models compare at a level.

    Args:
        level: its name.
        pairs: for each program the verdict of the one and of the other.
        first: the one model in words, such as "the few-shot model a".
        second: the other.
    """
    found = Counter(compared(*pair) for pair in pairs)
    able = sum(found[word] for word in (BOTH, FIRST, SECOND, NEITHER))
    if not able:
        return f"At the {level} level no program could be asked of both {first} and {second}."
    programs = f"{able} program{'s' * (able != 1)}"
    return (
        f"At the {level} level {programs} could be asked of both: {found[BOTH]} pass in both, {found[FIRST]} only in "
        f"{first}, {found[SECOND]} only in {second}, {found[NEITHER]} in neither."
    )


def program_sentence(levels: Mapping[str, tuple[str, str]], first: str, second: str) -> str:
    """Return how two models compare for one program at the levels where both have a clear answer; or nothing."""
    words = {
        BOTH: f"{first} and {second} both pass",
        FIRST: f"{first} passes and {second} does not",
        SECOND: f"{second} passes and {first} does not",
        NEITHER: f"neither {first} nor {second} passes",
    }
    found = {level: compared(*pair) for level, pair in levels.items()}
    return "; ".join(f"at the {level} level {words[word]}" for level, word in found.items() if word in words)
