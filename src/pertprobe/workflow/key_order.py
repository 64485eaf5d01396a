"""One order for the keys of a config, whatever order they were written in, so that another order is no change."""

from collections.abc import Mapping, Sequence
from typing import Any


def in_order(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with its keys as the schema has them, and the names that users give sorted; lists as they are.

    YAML gives keys no order, and neither does pertprobe: pages and figures show models, cells and programs by name.
    """
    sections = schema["properties"]
    names = _sorted(config, sections)
    return {name: _ordered(config[name], sections.get(name, {}).get("properties", {})) for name in names}


def _ordered(value: Any, known: Sequence[str] | Mapping[str, Any] = ()) -> Any:
    if isinstance(value, Mapping):
        return {name: _ordered(value[name]) for name in _sorted(value, known)}
    return [_ordered(each) for each in value] if isinstance(value, list) else value


def _sorted(value: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Return keys: those that are known in their own order, then all others by name."""
    return [name for name in known if name in value] + sorted((name for name in value if name not in known), key=str)
