"""Progress of anything that may take long: counts and rate, as log lines."""

import logging
import time
from collections.abc import Collection, Iterator
from typing import TypeVar

SECONDS_BETWEEN_LINES = 5.0

log = logging.getLogger(__name__)

T = TypeVar("T")


def counted(items: Collection[T], what: str) -> Iterator[T]:
    """Yield `items`, logging every few seconds how many of `what` are done, how many there are, and the rate."""
    started = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last > SECONDS_BETWEEN_LINES:
            log.info("%s: %d of %d, %.3g per second", what, done, len(items), done / (now - started))
            last = now
        yield item
    log.info("%s: %d done in %.1f s", what, len(items), time.monotonic() - started)
