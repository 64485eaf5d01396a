"""The small parts of a good message: what was found, what may have been meant, and several faults at once."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pertprobe.errors import Faults, PertprobeError


def listed(names: Iterable[object], limit: int = 10) -> str:
    """Return the first `limit` names in words and how many there are in all, or "none"."""
    names = [str(name) for name in names]
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "none"


def meant(name: object, known: Iterable[object]) -> str:
    """Return " Did you mean 'x'?" for the known name that is nearest in spelling, or nothing."""
    by_lower = {str(other).lower(): str(other) for other in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.75)
    return f" Did you mean '{by_lower[near[0]]}'?" if near else ""


@contextmanager
def gathering(faults: list[str], prefix: str = "") -> Iterator[None]:
    """Turn a `PertprobeError` raised inside into messages appended to `faults`, each behind `prefix`."""
    try:
        yield
    except PertprobeError as error:
        faults.extend(prefix + message for message in getattr(error, "messages", (str(error),)))


def raise_together(faults: list[str], prefix: str = "") -> None:
    """Raise `Faults` with all messages, each behind `prefix`, if there are any."""
    if faults:
        raise Faults(prefix + message for message in faults)
