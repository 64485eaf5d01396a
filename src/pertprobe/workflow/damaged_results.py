"""Results that are not as their jobs left them, made again with all that was made of them, whatever their dates."""

from collections.abc import Callable, Iterable
from typing import Any

from pertprobe.identity import KnownFiles
from pertprobe.made import damaged


def make_again(workflow: Any, folders: Iterable[str], files: KnownFiles, say: Callable[[str], None]) -> None:
    """Name every damaged file in these folders, and have its job planned, as --forcerun would.

    `workflow` is Snakemake's: a Snakefile is parsed before there are the settings that name files to be made again.
    """
    found = {path: fault for folder in folders for path, fault in damaged(folder, files).items()}
    for fault in found.values():
        say(f"{fault}. It is made again, with all that was made of it.")
    build = workflow._build_dag

    def planned() -> None:
        """Plan with these files among those to be made again."""
        workflow.dag.forcefiles.update(found)
        build()

    workflow._build_dag = planned
