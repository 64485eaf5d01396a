"""A config as it was written -> as a run reads it, and what of it each measurement depends on. Opens no data."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pertprobe.data.programs import parts_of_panels, sets_of
from pertprobe.errors import gathering, raise_together
from pertprobe.probes.declaration import declared, of_copies, probe_names
from pertprobe.workflow.config import expanded, fill_in, normalised, schema_faults, variable_faults
from pertprobe.workflow.config_files import read_keys
from pertprobe.workflow.key_order import in_order
from pertprobe.workflow.leaves import leaf_faults
from pertprobe.workflow.left_out import leave_out
from pertprobe.workflow.references import check_references, control_faults, path_variable_faults


def settled(config: Mapping[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a config with defaults and paths filled in; raises `Faults`: all that can be seen without its files."""
    raise_together(config_faults(config, schema))
    found = filled(config, schema)
    raise_together([*leaf_faults(found, schema), *control_faults(found)])  # variables may hold anything
    return found


def filled(config: Mapping[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a config with defaults and paths filled in and keys in order, whatever else is wrong with it."""
    found = deepcopy(_asked(config))
    fill_in(found, schema)
    if not found["controls"]["redrawn"]:
        found["thresholds"] |= _without_copies(found["thresholds"], config.get("thresholds") or {})
    found = in_order(normalised(expanded(found, f"results/{found['run']}"), schema), schema)
    for entry in found["sae"].values():
        entry |= {"seeds": 1} if "path" in entry else {}  # trained elsewhere: from whatever seed
    return leave_out(with_agents(found))


def _asked(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without the probes that it says `false` of, as a second file does of those of a first."""
    probes = config.get("probes")
    if not isinstance(probes, Mapping):
        return dict(config)
    left_out = {name for name in probe_names() if probes.get(name) is False}
    return {**config, "probes": {name: settings for name, settings in probes.items() if name not in left_out}}


def _without_copies(thresholds: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return default thresholds without what they ask of untrained copies; those that a config gives are its own."""
    return {
        probe: [condition for condition in conditions if not of_copies(condition)]
        for probe, conditions in thresholds.items()
        if probe not in given
    }


def with_agents(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config whose cells and programs say how labels are read (`agent_table.agents_of`), in one object."""
    agents = dict(config["perturbations"])
    if agents["columns"]:
        controls: dict[tuple[str, str], list[str]] = {}
        for entry in config["cells"].values():
            file = entry["path"], entry["perturbation_column"]
            controls[file] = [*controls.get(file, ()), entry["control"], *entry["further_controls"]]
        agents["cells"] = [[*file, labels] for file, labels in controls.items()]
    for entry in (config["programs"], *config["cells"].values()):
        entry["agents"] = agents
    return config


def without_agents(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `with_agents` was given, as it can be written."""
    found = deepcopy(dict(config))
    for entry in (found["programs"], *found["cells"].values()):
        entry.pop("agents", None)
    return found


def config_faults(config: Mapping[str, Any], schema: dict[str, Any]) -> list[str]:
    """Return what breaks the schema, and the names that nothing in the config has."""
    config = _asked(config)
    faults = schema_faults(config, schema)
    keys = {fault.partition(":")[0] for fault in faults}
    further = [] if any("a key is" in fault for fault in faults) else list(variable_faults(config, schema))
    further += check_references(config, shapeless=bool(faults))
    return faults + [each for each in further if each.partition(":")[0] not in keys]


def read_configs(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Return files merged as Snakemake does: later into earlier, key by key, a list in place of a list.

    Raises `Faults` of all files that cannot be read, and of what Snakemake would fail on before it says a word.
    """
    merged: dict[str, Any] = {}
    faults: list[str] = []
    for path in map(Path, paths):
        with gathering(faults):
            _merge(merged, read_keys(path))
    raise_together([*faults, *path_variable_faults(merged)])
    return merged


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def asked_panels(config: Mapping[str, Any], *probes: str) -> dict[str, Any]:
    """Return the panels that any of these probes asks about."""
    wanted = [config["probes"].get(probe, {}).get("panels", []) for probe in probes]
    return {
        name: panel for name, panel in config["panels"].items() if any(each == "all" or name in each for each in wanted)
    }


def panels_measured(config: Mapping[str, Any], probe: str) -> dict[str, Any]:
    """Return the panels that a measurement may depend on: those that its probe chooses, or all."""
    return asked_panels(config, probe) if "panels" in declared(probe).settings else config["panels"]


def layer_of(config: Mapping[str, Any], settings: Mapping[str, Any]) -> str | int:
    """Return the layer that a probe with these settings reads: its autoencoder's, or its own."""
    sae = config["sae"].get(settings.get("sae"))
    return sae["layer"] if sae else settings.get("layer", "middle")


def depended_on(config: Mapping[str, Any], probe: str) -> dict[str, Any]:
    """Return all of a config that a probe's measurement depends on, by what the probe declares."""
    declaration, given = declared(probe), config["probes"].get(probe, {})
    depends = declaration.depends
    wanted = given if depends["settings"] == "all" else depends["settings"]
    found: dict[str, Any] = {"settings": {key: given[key] for key in wanted if key in given}}
    if depends["layer"]:
        found["layer"] = layer_of(config, given)
    if depends["panels"]:
        found["panels"] = parts_of_panels(panels_measured(config, probe), depends["panels"])
    if "programs" in declaration.reads:
        found["programs"] = sets_of(config["programs"])
    if depends["seed"]:
        found["seed"] = config["seed"]
    return found
