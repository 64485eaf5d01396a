"""A probe is two files: `<name>.yaml` declares what it is (`declaration`), `<name>.py` what it does."""

from importlib import import_module
from types import ModuleType


def load_probe(name: str) -> ModuleType:
    """Return the module of the probe called `name`."""
    return import_module(f"pertprobe.probes.{name}")
