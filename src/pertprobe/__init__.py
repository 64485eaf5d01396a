"""Probes trained perturbation models: do they encode mechanism, or remember co-variation?"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pertprobe.data.cells import read_cells
    from pertprobe.data.programs import read_programs
    from pertprobe.interpret.atlas import open_atlas
    from pertprobe.models import load_model
    from pertprobe.stages.direct import probe
    from pertprobe.stages.results import read_run

__all__ = ["load_model", "open_atlas", "probe", "read_cells", "read_programs", "read_run"]
_HOMES = {"load_model": "models", "open_atlas": "interpret.atlas", "read_cells": "data.cells"}
_HOMES |= {"read_programs": "data.programs", "probe": "stages.direct", "read_run": "stages.results"}


def __getattr__(name: str) -> object:
    """Import the public functions when they are first used, so that `import pertprobe` stays fast (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pertprobe' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
