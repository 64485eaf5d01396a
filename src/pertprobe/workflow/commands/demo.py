"""`pertprobe demo`: the workflow on simulated cells whose truth is known."""

import json

from pertprobe.workflow.commands.app import command
from pertprobe.workflow.commands.pace import in_words
from pertprobe.workflow.commands.performing import perform
from pertprobe.workflow.commands.place import workflow_folder
from pertprobe.workflow.commands.request import Request
from pertprobe.workflow.commands.run import Cores, DryRun, Verbose
from pertprobe.workflow.commands.words import say


@command
def demo(cores: Cores = None, verbose: Verbose = False, dry_run: DryRun = False) -> None:
    """Run the demo: simulated cells whose truth is known, three small State models, every probe.

    Results go to results/demo in the current folder.
    """
    if cost := cost_of_demo():
        say(cost)
    perform(Request([workflow_folder() / "config" / "config.yaml"], cores=cores, dry_run=dry_run), verbose)


def cost_of_demo() -> str:
    """Return how long the demo took where it was measured, and what else was; empty where no measurement came along."""
    path = workflow_folder() / "benchmarks" / "demo.json"
    if not path.is_file():
        return ""
    held = json.loads(path.read_text())
    measured, machine = held["measured"], held["machine"]
    jobs = f" for {measured['demo_jobs']} jobs" if "demo_jobs" in measured else ""
    took = f"{in_words(measured['demo_seconds'])} on {machine['cores_given']} cores{jobs}"
    memory = f", {measured['demo_peak_gb']:.1f} GB of memory" if "demo_peak_gb" in measured else ""
    disk = f", {measured['demo_disk_gb']:.1f} GB of disk" if "demo_disk_gb" in measured else ""
    return f"When last measured, the demo took {took}{memory}{disk}."
