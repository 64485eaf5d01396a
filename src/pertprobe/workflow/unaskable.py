"""Questions of a config that no model could be asked: said in every table, and not measured."""

from collections.abc import Mapping
from typing import Any

from pertprobe.probes.declaration import Declaration, all_declared
from pertprobe.workflow.settled import panels_measured


def unaskable(config: Mapping[str, Any]) -> dict[str, str]:
    """Return probe -> why a settled config leaves it nothing to ask, of probes of which that is known beforehand."""
    probes = all_declared(config["probes"])
    return {name: reason for name, probe in probes.items() if (reason := _why_not(config, probe))}


def unmeasured(config: Mapping[str, Any]) -> dict[str, str]:
    """Return measurement -> why it is not made: every probe that would read it has nothing to ask."""
    readers: dict[str, list[str]] = {}
    reasons = unaskable(config)
    for name, probe in all_declared(config["probes"]).items():
        readers.setdefault(probe.measurement, []).append(reasons.get(name, ""))
    return {measurement: each[0] for measurement, each in readers.items() if all(each)}


def _why_not(config: Mapping[str, Any], probe: Declaration) -> str:
    """Return why a probe has nothing to ask; empty where that depends on models and programs."""
    if probe.of_pairs and not any(config["pairs"][kind] for kind in probe.pairs):
        kinds = " or ".join(f"pairs.{kind}" for kind in probe.pairs)
        return f"no pair under {kinds}: two models are compared"
    if probe.of_panels and not panels_measured(config, probe.name):
        return "no panel for this program"
    return ""
