"""Every given file and every result read whole: what is not as it was when the run was made."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from pertprobe.identity import VERIFY, KnownFiles
from pertprobe.workflow.commands.place import workflow_folder

Verify = Annotated[
    bool,
    typer.Option("--verify", help="Read every byte of given files and results, those too that look as they did."),
]


def read_all_whole() -> None:
    """Have this process and all that it starts read files whole."""
    os.environ[VERIFY] = "1"


def unlike(configs: list[Path]) -> list[str]:
    """Return in words what differs from the run of these configs: changed given files, and damaged results."""
    from pertprobe.made import damaged
    from pertprobe.workflow.config import whole_schema
    from pertprobe.workflow.given_content import held_by_all
    from pertprobe.workflow.settled import read_configs, settled

    config = settled(read_configs(configs), whole_schema(workflow_folder() / "config" / "schema.yaml"))
    files, results = KnownFiles(verify=True), Path("results") / config["run"]
    then, now = _given_to(results), held_by_all(config, files.sha256)
    changed = [name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name)] if then else []
    anew = "is not what the run was made from. The next run makes anew what depends on it"
    return [f"{name} {anew}" for name in changed] + [
        f"{fault}. The next run makes it again" for fault in damaged(results, files).values()
    ]


def _given_to(results: Path) -> Mapping[str, str]:
    """Return what a run was given, as it noted it; nothing where there is no run, or an earlier version made it."""
    checks = results / "checks.json"
    return json.loads(checks.read_text()).get("given", {}) if checks.is_file() else {}
