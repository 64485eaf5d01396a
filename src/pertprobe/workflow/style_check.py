"""Whether a user's style sheet is one: matplotlib draws on with no more than a line in a log where a key is unknown."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pertprobe.errors import PertprobeError
from pertprobe.readers.texts import read_text


def check_style(path: str) -> None:
    """Raise PertprobeError where a style sheet cannot be read, or has a line that matplotlib leaves out."""
    import matplotlib as mpl

    read_text(path)
    with _said_by("matplotlib") as said:
        try:
            mpl.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
        except (KeyError, ValueError, RuntimeError) as error:
            said.append(str(error))
    if said:
        raise PertprobeError(f"is no style sheet of matplotlib: {' '.join(said[0].splitlines()[0].split())}")


@contextmanager
def _said_by(name: str) -> Iterator[list[str]]:
    """Gather what a logger says, in place of where it says it."""
    said: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger(name)
    handler.emit = lambda record: said.append(record.getMessage().strip())  # type: ignore[method-assign]
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
