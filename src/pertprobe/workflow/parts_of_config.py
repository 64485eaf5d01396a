"""A config looked up part by part, whether defaults are filled in or not."""

from collections.abc import Iterator, Mapping
from typing import Any

from pertprobe.probes.declaration import Declaration, declared, probe_names

Config = Mapping[str, Any]


def section_of(config: Config, name: str) -> Mapping[str, Any]:
    """Return a part of a config in which defaults may not be filled in; empty where it is not there.

    Raises TypeError where something else stands in its place.
    """
    found = config.get(name) or {}
    if not isinstance(found, Mapping):
        raise TypeError(f"{name} is no section")
    return found


def asked_probes(config: Config) -> Iterator[tuple[Declaration, Mapping[str, Any]]]:
    """Yield the probes of the config that there are, each with its settings."""
    for probe, settings in section_of(config, "probes").items():
        if probe in probe_names():
            yield declared(probe), settings or {}


def referred(config: Config, to: str) -> Iterator[tuple[str, Any]]:
    """Yield (key of the config, value) of every setting of a probe that names something; defaults are not filled in."""
    for probe, settings in asked_probes(config):
        for setting in probe.referring(to):
            value = settings.get(setting, probe.settings[setting].get("default"))
            if value is not None:
                yield f"probes.{probe.name}.{setting}", value


def of_atlas(config: Config, key: str) -> list[str]:
    """Return the names that the atlas lists; none where it asks for all."""
    found = section_of(config, "atlas").get(key, "all")
    return [] if found == "all" else found
