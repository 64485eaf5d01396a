"""Errors that are a user's to mend: shown as plain text, never with a traceback."""

from collections.abc import Iterable


class PertprobeError(Exception):
    """A mistake in the config, a file or a checkpoint; its message says what, which value, where and the remedy."""


class Faults(PertprobeError):
    """Several mistakes found together, so that they can be mended together."""

    def __init__(self, messages: Iterable[str]) -> None:
        """Keep the single messages (`messages`) beside the joint text."""
        self.messages = tuple(messages)
        count = f"{len(self.messages)} faults" if len(self.messages) > 1 else "1 fault"
        super().__init__(f"{count}:\n" + "\n".join(f"  - {message}" for message in self.messages))
