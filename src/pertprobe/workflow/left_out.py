"""Models that a run goes on without, since a job failed on which all that is asked of them depends."""

from collections.abc import Mapping
from typing import Any

OF_A_MODEL = ("train", "seen", "card", "observe", "distribution", "quality", "program_quality", "draw_quality")
"""Rules whose jobs belong to one model: without one of them nothing can be asked of it."""
SHARED = ("measure", "gather")
"""Rules whose jobs do so where they measure the responses, which all probes read."""


def model_of(job: str) -> str:
    """Return the model that a job, named as its log is, belongs to; empty where it belongs to none, or to one probe."""
    from pertprobe.probes.declaration import SPACE_OF_RESPONSES  # help is shown without it

    rule, *of = job.split("/")
    if rule in OF_A_MODEL and of:
        return of[0]
    responses = rule in SHARED and len(of) > 1 and of[0] == SPACE_OF_RESPONSES
    return of[1] if responses else ""


def models_left_out(config: Mapping[str, Any]) -> dict[str, str]:
    """Return each model whose jobs were given up, and why."""
    found: dict[str, str] = {}
    for job, why in config["given_up"].items():
        if model := model_of(job):
            found.setdefault(model, why)
    return found


def leave_out(config: dict[str, Any]) -> dict[str, Any]:
    """Take the models whose jobs were given up out of a config that is filled in, with all that names them."""
    gone = models_left_out(config)
    if not gone:
        return config
    config["models"] = {name: entry for name, entry in config["models"].items() if name not in gone}
    for kind, pairs in config["pairs"].items():
        config["pairs"][kind] = [pair for pair in pairs if not gone.keys() & set(pair)]
    atlas = config.get("atlas") or {}
    for entry in (*config["sae"].values(), atlas):
        if isinstance(entry.get("models"), list):
            entry["models"] = [name for name in entry["models"] if name not in gone]
    return config
