"""Put the workflow into the wheel, where `pertprobe.workflow.commands.place` finds it: pip is then enough to run it."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARTS = ("Snakefile", "rules", "scripts", "config", "envs", "profiles", "report")
"""What a run needs, as it lies in the repository."""


class Workflow(BuildHookInterface):
    """The workflow as data of the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the parts, except to an editable install: that has the checkout's, and a copy would grow stale."""
        if version != "editable":
            build_data["force_include"] |= {part: f"pertprobe/_workflow/{part}" for part in PARTS}
