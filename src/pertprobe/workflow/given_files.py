"""The files and folders that a config names and the run does not make itself, and what keeps them from being read."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pertprobe.readers.paths import Wanted, path_fault
from pertprobe.workflow.parts_of_config import Config, referred, section_of

STATE = "state"
"""The kind of a model that is a folder; what another kind reads is its own."""


class Given(NamedTuple):
    """A file or folder that the config names."""

    key: str
    """What its faults stand behind."""
    path: str
    wanted: Wanted

    @property
    def fault(self) -> str:
        """What keeps it from being read; empty where nothing does."""
        return path_fault(self.path, self.wanted)


def given_files(config: Config) -> list[Given]:
    """Return the files and folders that the config names and the run does not make itself."""
    places = (
        ("cells", "path", ""),
        *(("models", key, ending) for key, ending in (("path", ""), ("split", ".split"), ("genes", ".genes"))),
        ("sae", "path", ".path"),
    )
    named = [
        Given(f"{section}.{name}{ending}", entry[key], _wanted(section, entry, key))
        for section, key, ending in places
        for name, entry in given_entries(config, section, key)
    ]
    named += [Given("programs", path, "file") for path in program_files(config)]
    table = section_of(config, "perturbations").get("table")
    named += [Given("perturbations.table", table, "file")] if table else []
    named += [Given(key, path, "file") for key, path in regulon_files(config).items()]
    return named + ([Given("style", config["style"], "file")] if config.get("style") else [])


def given_paths(config: Config) -> list[str]:
    """Return the paths of all that is given, each once."""
    return list(dict.fromkeys(each.path for each in given_files(config)))


def path_faults(config: Config) -> list[str]:
    """Return what keeps given files from being read, each behind its key; opens pointers of Git alone."""
    return [f"{each.key}: {fault}" for each in given_files(config) if (fault := each.fault)]


def given_entries(config: Config, section: str, key: str = "path") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the entries of a section that name a file or folder which the run does not make itself."""
    for name, entry in section_of(config, section).items():
        if entry.get(key) and not _made_by_run(config, entry[key]):
            yield name, entry


def readable_entries(config: Config, section: str, key: str = "path") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the entries of `given_entries` whose path nothing keeps from being read; the faults of others are told."""
    for name, entry in given_entries(config, section, key):
        if readable(entry[key], _wanted(section, entry, key)):
            yield name, entry


def readable(path: str, wanted: Wanted = "file") -> bool:
    """Return whether nothing keeps a path from being read."""
    return not path_fault(path, wanted)


def _wanted(section: str, entry: Mapping[str, Any], key: str) -> Wanted:
    """Return what an entry of a section must name."""
    if section == "models" and key == "path":
        return "folder" if entry.get("kind", STATE) == STATE else "either"
    return "either" if section == "sae" else "file"


def program_files(config: Config) -> list[str]:
    """Return the files of programs that the run does not make itself."""
    return [path for path in section_of(config, "programs").get("gmt", []) if not _made_by_run(config, path)]


def agent_files(config: Config) -> list[str]:
    """Return the files that say what labels mean."""
    section = section_of(config, "perturbations")
    cells = [entry["path"] for entry in section_of(config, "cells").values()] if section.get("columns") else []
    return [*([section["table"]] if section.get("table") else []), *cells]


def regulon_files(config: Config) -> dict[str, str]:
    """Return key of the config -> table of signed edges that it names and the run does not make itself."""
    files = [(f"{key}.{name}", path) for key, named in referred(config, "regulons") for name, path in named.items()]
    files += [("controls.network", path) for path in [section_of(config, "controls").get("network")] if path]
    return {key: path for key, path in files if not _made_by_run(config, path)}


def _made_by_run(config: Config, path: str) -> bool:
    """Return whether a file lies in the results of a run that simulates its own input."""
    return "simulate" in config and (path.startswith("<results>") or f"results/{config.get('run')}/" in path)
