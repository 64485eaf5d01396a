"""What a fault is: a healthy project spoilt in one way, and what is expected of a reader that meets it."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

Expected = Literal["refused", "noted", "read", "either", "any"]
"""Refused in words before any long job; accepted with a word that names it; read as the healthy project is; refused, or
read as the healthy project is (random damage may hit what nobody reads); whichever, but in words."""
Make = Callable[[Path], None]
"""Spoils the healthy project that lies in a folder."""


class Fault(NamedTuple):
    """One case."""

    name: str
    """Unique; begins with its kind: `scale/log2 of all cells`."""
    make: Make
    expected: Expected = "refused"
    mentions: tuple[str, ...] = ()
    """Words of which a message must hold one to be clear: the file, the key, the value."""

    @property
    def kind(self) -> str:
        """What stands before the first slash of the name."""
        return self.name.partition("/")[0]


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config of a project."""
    return yaml.safe_load((folder / "run.yaml").read_text())


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the config of a project."""
    (folder / "run.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


def setting(*path: str | int, value: Any) -> Make:
    """Return what puts a value into the config, at the end of a path of keys; the last key may be new."""

    def make(folder: Path) -> None:
        config = read_config(folder)
        place = config
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        write_config(folder, config)

    return make


def without(*path: str | int) -> Make:
    """Return what takes a key out of the config."""

    def make(folder: Path) -> None:
        config = read_config(folder)
        place = config
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        write_config(folder, config)

    return make


def content(name: str, data: bytes | str) -> Make:
    """Return what puts other bytes in the place of a file."""
    return lambda folder: place(folder / name, data)


def place(path: Path, data: bytes | str) -> None:
    """Put bytes at a path, whatever was there."""
    remove(path)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def remove(path: Path) -> None:
    """Remove a file."""
    if path.exists() or path.is_symlink():
        os.unlink(path)


def edited(name: str, change: Callable[[str], str]) -> Make:
    """Return what rewrites a text file."""

    def make(folder: Path) -> None:
        before = (folder / name).read_text()
        after = change(before)
        assert after != before, f"the change of {name} changes nothing"
        (folder / name).write_text(after)

    return make


def both(*makes: Make) -> Make:
    """Return what does several things, one after another."""

    def make(folder: Path) -> None:
        for each in makes:
            each(folder)

    return make


def unique(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults as a list; two of one name are a mistake of whoever wrote them."""
    found = list(faults)
    names = [fault.name for fault in found]
    assert len(set(names)) == len(names), sorted({name for name in names if names.count(name) > 1})
    return found
