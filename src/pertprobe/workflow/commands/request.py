"""What is asked of Snakemake: configs, targets, cores, a profile; and where the results of the run lie."""

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pertprobe.errors import PertprobeError, listed, meant
from pertprobe.workflow.commands.place import workflow_folder

PROFILE = "config.v9+.yaml"
"""Name of the file in the folder of a profile."""
COUNTED = ("cores", "jobs", "executor")
"""Keys of a profile that say by themselves how much runs at a time."""


@dataclass(frozen=True)
class Request:
    """One call of Snakemake."""

    configs: Sequence[Path]
    """As with Snakemake, later ones win over earlier ones. Paths in them are relative to the current folder."""
    targets: Sequence[str] = ()
    """Probes, rules or files; without any, all that belongs to the run."""
    cores: int | None = None
    """None: all of the machine, or what the profile says."""
    profile: str = ""
    """Name of a folder in profiles/, or a folder."""
    dry_run: bool = False
    further: Sequence[str] = ()
    """Arguments for Snakemake that are passed on as they are."""

    @cached_property
    def results(self) -> Path:
        """Folder of the results, by the last config that names the run; raises PertprobeError for an unreadable one."""
        from pertprobe.workflow.settled import read_configs

        return Path("results") / str(read_configs(self.configs).get("run", "demo"))

    @property
    def arguments(self) -> list[str]:
        """Return what Snakemake is called with."""
        given = [
            *("--snakefile", str(workflow_folder() / "Snakefile"), "--configfile", *map(str, self.configs)),
            *(("--workflow-profile", str(profile_folder(self.profile))) if self.profile else ()),
            *self._amount(),
            *(["--dry-run"] if self.dry_run else []),
            *self.further,
        ]
        return [*given, *(["--", *self.targets] if self.targets else [])]

    @property
    def in_words(self) -> str:
        """Return the command that does the same without us."""
        return shlex.join(["snakemake", *self.arguments])

    def _amount(self) -> list[str]:
        """Return the argument of how much runs at a time: nothing where a profile says it."""
        if self.cores is None and self.profile:
            from pertprobe.workflow.config_files import read_keys

            said = read_keys(profile_folder(self.profile) / PROFILE)
            if any(key in said for key in COUNTED):
                return []
        return ["--cores", str(self.cores or all_cores())]


def all_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split(given: Iterable[str] | None) -> tuple[list[str], list[str]]:
    """Return the targets, and what follows from the first word that begins with a dash: Snakemake's own arguments."""
    words = list(given or [])
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    return words[:first], words[first:]


def profile_folder(name: str) -> Path:
    """Return the folder of a profile, here or beside the workflow; raises PertprobeError where there is none."""
    shipped = workflow_folder() / "profiles"
    for folder in (Path(name), Path("profiles") / name, shipped / name):
        if (folder / PROFILE).is_file():
            return folder
    known = sorted(path.parent.name for path in shipped.glob(f"*/{PROFILE}"))
    found = f"found there: {listed(known)}"
    raise PertprobeError(f"profile '{name}': no {PROFILE} in it, here or in {shipped} ({found}).{meant(name, known)}")
