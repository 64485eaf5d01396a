"""Given files as the rules of the workflow have them: inputs whose dates do not count, and params of what they hold."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from pertprobe.workflow.given_content import Hash, digest, held, held_by_all, held_by_model
from pertprobe.workflow.given_files import agent_files, given_paths


class GivenInputs:
    """What a config names and the run does not make itself."""

    def __init__(self, config: Mapping[str, Any], sha256: Hash, undated: Callable[[str], str]) -> None:
        """Look nothing up yet.

        Args:
            config: as `settled` returns it.
            sha256: of a file, which is looked up once.
            undated: marks an input as one whose date does not count, as Snakemake's `ancient` does.
        """
        self._config, self._sha256, self._undated = config, sha256, undated
        self.paths = frozenset(given_paths(config))
        self._known: dict[tuple[str, str], str] = {}

    def inputs(self, paths: str | Iterable[str]) -> Any:
        """Return a path or paths as inputs whose dates do not count, where they are given; `content` is their param."""
        if isinstance(paths, str):
            return self._undated(paths) if paths in self.paths else paths
        return [self.inputs(path) for path in paths]

    def content(self, *inputs: str | Iterable[str]) -> dict[str, str]:
        """Return what those files and folders of these inputs hold that are given; Snakemake follows all others."""
        paths = {path for each in inputs for path in ([each] if isinstance(each, str) else each)}
        return {path: self._digest("", path) for path in sorted(self.paths & paths)}

    def content_of_models(self, *models: str) -> dict[str, str]:
        """Return what those of these models are read from that are given, the code of their kinds with it."""
        entries = self._config["models"]
        return {name: self._digest("models", name) for name in models if entries[name].get("path") in self.paths}

    @cached_property
    def content_of_agents(self) -> dict[str, str]:
        """Return what the files hold that say what labels mean."""
        return self.content(agent_files(self._config))

    @cached_property
    def whole(self) -> dict[str, str]:
        """Name -> SHA-256 of every file that is given."""
        return held_by_all(self._config, self._sha256)

    def _digest(self, section: str, name: str) -> str:
        if (section, name) not in self._known:
            entry = self._config[section][name] if section else name
            found = held_by_model(entry, self._sha256) if section else held(name, self._sha256)
            self._known[section, name] = digest(found)
        return self._known[section, name]
