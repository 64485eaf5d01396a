"""Why questions cannot be put, gathered: the commonest reasons in words, without each program's own numbers."""

import re
from collections import Counter
from collections.abc import Iterable

NUMBERED = re.compile(r"^\d+ (?P<what>.+?) of the (?P<whose>program|panel)(?P<more>.*), (?P<needed>\d+) needed$")
"""A reason of `stages.evaluability` that counts."""
NEVER_TRAINED = "more never trained"


def commonest(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Return (reason in words, how many programs) of those that cannot be asked, the commonest first."""
    return Counter(in_short(reason) for reason in reasons if reason).most_common()


def in_short(reason: str) -> str:
    """Return a reason without the numbers that differ from program to program."""
    return "; ".join(_short(part) for part in reason.split("; "))


def _short(part: str) -> str:
    part = part.removeprefix("not evaluable: ")
    if part.startswith("all but "):
        return "nearly all units are in the program: no background"
    if not (found := NUMBERED.match(part)):
        return part
    what = found["what"] if found["what"].endswith("s") else f"{found['what']}s"
    more = " (others never trained)" if NEVER_TRAINED in found["more"] else found["more"]
    return f"fewer than {found['needed']} {what} of the {found['whose']}{more}"
