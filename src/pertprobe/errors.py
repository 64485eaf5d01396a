"""Errors that are a user's to mend: plain text, never a traceback; and the small parts of a good message."""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

G, R = TypeVar("G"), TypeVar("R")
"""What is given, and what is read of it."""


LONGEST_NAME = 255
"""Letters of a name that a user chose: longer ones are no names but something read wrongly."""
SHOWN_LETTERS = 20
"""Letters of such a name that a message shows."""


class PertprobeError(Exception):
    """A mistake in the config, a file or a checkpoint; its message says what, which value, where and the remedy."""


class Faults(PertprobeError):
    """Several mistakes found together, so that they can be mended together."""

    def __init__(self, messages: Iterable[str]) -> None:
        """Keep the single messages (`messages`) beside the joint text."""
        self.messages = tuple(messages)
        count = f"{len(self.messages)} faults" if len(self.messages) > 1 else "1 fault"
        super().__init__(f"{count}:\n" + "\n".join(f"  - {message}" for message in self.messages))


def listed(names: Iterable[object], limit: int = 10) -> str:
    """Return the first `limit` names in words and how many there are in all, or "none"."""
    names = [str(name) for name in names]
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "none"


def in_a_row(names: Sequence[str]) -> str:
    """Return names as people list them: "", "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def number_of(n: int, noun: str) -> str:
    """Return a number with its noun: "1 job", "2 jobs"."""
    return f"{n} {noun}" + ("" if n == 1 else "s")


def nearest(name: object, known: Iterable[object], n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the `n` known names that are nearest in spelling, alike by `cutoff` at least; capitals do not count."""
    by_lower = {str(other).lower(): str(other) for other in known}
    return [by_lower[each] for each in difflib.get_close_matches(str(name).lower(), by_lower, n=n, cutoff=cutoff)]


def meant(name: object, known: Iterable[object]) -> str:
    """Return " Did you mean 'x'?" for the known name that is nearest in spelling, or nothing."""
    near = nearest(name, known, cutoff=0.75)
    return f" Did you mean '{near[0]}'?" if near else ""


def unknown_name(what: str, name: object, known: Collection[object]) -> PertprobeError:
    """Return the error for a name that is none of the known ones; `what` it should be the name of."""
    near = listed(nearest(name, known, n=5, cutoff=0.5))
    return PertprobeError(f"{what} '{name}' is unknown (of {len(known)}; near matches: {near})")


def unseen_sign(text: str) -> str:
    """Return, in words, the first sign of a text that no screen or figure shows; empty where there is none."""
    sign = next((each for each in text if not each.isprintable()), "")
    return f"the sign U+{ord(sign):04X}, which cannot be shown" if sign else ""


def name_fault(name: str) -> str:
    """Return what keeps a name that a user chose from being shown in tables and figures; empty where nothing does."""
    if not name.strip():
        return "is empty"
    if sign := unseen_sign(name):
        return f"holds {sign}"
    return f"has {len(name)} letters, {LONGEST_NAME} are the most" if len(name) > LONGEST_NAME else ""


def escaped(text: str) -> str:
    """Return a text with signs that cannot be shown as their numbers."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)


def name_faults(names: Iterable[str]) -> list[str]:
    """Return the names that cannot be shown, each with why."""
    return [f"the name '{escaped(name[:SHOWN_LETTERS])}' {fault}" for name in names if (fault := name_fault(name))]


def messages(error: PertprobeError) -> list[str]:
    """Return the single messages of an error: one, or all that were found together."""
    return list(getattr(error, "messages", (str(error),)))


@contextmanager
def gathering(faults: list[str], prefix: str = "") -> Iterator[None]:
    """Turn a `PertprobeError` raised inside into messages appended to `faults`, each behind `prefix`."""
    try:
        yield
    except PertprobeError as error:
        faults.extend(prefix + message for message in messages(error))


def read_together(given: Mapping[str, G], read: Callable[[str, G], R]) -> dict[str, R]:
    """Return name -> what is read of each thing given; raises `Faults` of all that cannot be, behind their names."""
    found, faults = {}, []
    for name, each in given.items():
        with gathering(faults, f"{name}: "):
            found[name] = read(name, each)
    raise_together(faults)
    return found


def raise_together(faults: list[str], prefix: str = "") -> None:
    """Raise `Faults` with all messages, each behind `prefix`, if there are any."""
    if faults:
        raise Faults(prefix + message for message in faults)
