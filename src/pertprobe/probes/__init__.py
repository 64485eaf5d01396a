"""One module per probe, each with NEEDS, LEVEL, UNIT, STATISTICS, measure(), test() and draw()."""

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any


def load_probe(name: str) -> ModuleType:
    """Return the module of the probe called `name`."""
    return import_module(f"pertprobe.probes.{name}")


def described(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return unit, level and needed capabilities of probes, as the evaluability table asks for them."""
    modules = {name: load_probe(name) for name in names}
    return {
        name: {"unit": module.UNIT, "level": module.LEVEL, "needs": module.NEEDS} for name, module in modules.items()
    }
