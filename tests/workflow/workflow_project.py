"""A copy of the project in a folder of its own, in which Snakemake is run as a user runs it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pertprobe import made

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "rules", "scripts", "config", "envs", "profiles", "report", "src")
RESULTS = Path("results/tiny")
TARGETS = ("all", "pert_embedding")
RESHARDED = {
    "delta_y": "b_fewshot",
    "sae_features": "a_fewshot",
    "pert_embedding": "b_fewshot",
    "targeted_jacobian": "a_zeroshot",
    "knockout": "a_fewshot",
}
"""Probe -> the model measured again in shards: every probe and every model, at a third of the price."""
SHARDS = 3
"""One of them is smaller: three do not divide the genes that are knocked out."""
FURTHER = {
    "output_clustering": {"umap": False},
    "conserved_features": {},
    "concept_alignment": {"refits": 39, "outcome_refits": 19},
    "routing_coherence": {},
    "activation_patching": {"sae": "joint", "random": 1},
    "detached_jacobian": {},
    "cell_diagonal": {"error": 0.3},
    "knockout_linearity": {"genes": "all", "value": "observed"},
    "regulon_recovery": {"genes": 10, "regulons": {"simulated": "<results>/simulated/regulons.tsv"}},
    "regime_agreement": {},
    "jacobian_divergence": {},
    "input_sensitivity": {"draws": 2},
    "intervention_fidelity": {"value": "observed"},
}
"""Settings of the probes that the tiny demo does not run."""
NEW = "code_size"
"""A probe that the library does not have: its two files lie in new_probe/."""
TABLE = re.compile(r"^Job stats:\njob .*\n-.*\n((?:\w+ +\d+\n)+)", re.MULTILINE)
JOB = re.compile(r"^(?:local)?rule \w+:\n(?:    .*\n)*?    output: (.*)$", re.MULTILINE)


def tiny() -> dict[str, Any]:
    """Return the smallest config that runs every rule."""
    return yaml.safe_load((ROOT / ".test/config/config.yaml").read_text())


class Plan(NamedTuple):
    """What a dry run would do."""

    jobs: Counter[str]
    """Number of jobs of each rule."""
    outputs: set[str]
    """Files they would write, relative to the results of the run."""


def planned(said: str) -> Plan:
    """Return what a dry run says that it would do."""
    table = TABLE.search(said)
    if table is None:
        assert "Nothing to be done" in said, said
        return Plan(Counter(), set())
    lines = (line.split() for line in table.group(1).splitlines())
    jobs = Counter({rule: int(count) for rule, count in lines if rule not in ("total", *TARGETS)})
    written = (name for names in JOB.findall(said) for name in names.removesuffix(" (temp)").split(", "))
    return Plan(jobs, {name.split(" ")[0].partition("/tiny/")[2] for name in written})


@dataclass(frozen=True)
class Project:
    """One copy; library, rules and results are its own."""

    folder: Path

    @classmethod
    def fresh(cls, folder: Path) -> "Project":
        """Copy what a run needs, without results; times are kept, since Snakemake compares those of scripts."""
        for part in PARTS:
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, folder / part)
        return cls(folder)

    def copy(self, folder: Path) -> "Project":
        """Copy everything, results and Snakemake's records of them included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    @property
    def results(self) -> Path:
        """Where the tiny run writes."""
        return self.folder / RESULTS

    def start(
        self, *arguments: str, config: dict[str, Any] | None = None, environment: dict[str, str] | None = None
    ) -> subprocess.Popen:
        """Start Snakemake in a process group of its own; stdout and stderr are one stream."""
        given = []
        if config is not None:
            (self.folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
            given = ["--configfile", "run.yaml"]
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", *given, *arguments],
            cwd=self.folder,
            env=self._environment | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def _environment(self) -> dict[str, str]:
        """Return that of processes which find the library here first."""
        path = os.pathsep.join([str(self.folder / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**os.environ, "PYTHONPATH": path}

    def pertprobe(self, *words: str) -> subprocess.CompletedProcess:
        """Run a command on run.yaml as its user would, and return how it ended."""
        command = [sys.executable, "-m", "pertprobe.workflow.commands", *words, "--config", "run.yaml"]
        return subprocess.run(command, cwd=self.folder, env=self._environment, capture_output=True, text=True)

    def run(self, *arguments: str, **options: Any) -> tuple[int, str]:
        """Run Snakemake to its end; return its exit status and what it said."""
        process = self.start(*arguments, **options)
        said, _ = process.communicate()
        return process.returncode, said

    def finish(self, *arguments: str, **options: Any) -> str:
        """Run Snakemake, which must succeed; return what it said."""
        status, said = self.run(*arguments, **options)
        assert status == 0, said
        return said

    def plan(self, config: dict[str, Any], *targets: str, environment: dict[str, str] | None = None) -> Plan:
        """Return what a dry run would do."""
        return planned(self.finish("--dry-run", "--", *(targets or TARGETS), config=config, environment=environment))

    def times(self) -> dict[str, int]:
        """Return when each result was written; logs and records are not results."""
        files = (path for path in self.results.rglob("*") if path.is_file())
        names = {path.relative_to(self.results): path for path in files}
        return {
            str(name): path.stat().st_mtime_ns
            for name, path in names.items()
            if name.parts[0] not in ("logs", made.FOLDER)
        }


@contextmanager
def killed_at_last(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Kill the process and its children when the block ends, however it ends."""
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    """Kill -9 a process started by `Project.start`, with all its children: they share its process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended, and so have they
    finally:
        process.wait()
        process.stdout.close()
