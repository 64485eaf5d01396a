"""`pertprobe`: its commands, and how each ends.

Every command is a function of a module of its own, which imports what is heavy when it runs: `--help` must be quick.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from pertprobe.errors import PertprobeError

WRONG = 1
"""Exit status where a config, a file or a checkpoint is the user's to mend."""
FAILED = 3
"""Exit status of a run that ended without all that was asked of it."""

ORDER = ("init", "check", "run", "report", "figures", "demo")
"""Commands as they are needed one after the other."""


class InOrder(TyperGroup):
    """Shows commands in the order in which they are needed."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        """Return the names of all commands; one without a place is the last."""
        return sorted(self.commands, key=lambda name: (name not in ORDER, ORDER.index(name) if name in ORDER else 0))


app = typer.Typer(
    name="pertprobe",
    cls=InOrder,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
"""All commands."""


@app.callback()
def main() -> None:
    """Probe trained perturbation models: do they encode mechanism, or remember co-variation?"""


errors = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where errors and progress are written: results go to standard output."""


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function a command whose `PertprobeError` is told in words and ends with status 1."""

    @wraps(function)
    def told(*given: Any, **named: Any) -> Any:
        """Call it, and tell what is the user's to mend."""
        try:
            return function(*given, **named)
        except PertprobeError as error:
            errors.print(str(error), style="red", markup=False)
            raise typer.Exit(WRONG) from None

    return app.command()(told)
