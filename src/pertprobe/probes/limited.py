"""Requests of which a probe reads only what it declares: a change of what it forgot to declare would not rerun it."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

Request = TypeVar("Request")


class UndeclaredError(RuntimeError):
    """A probe reads a field of its request that its declaration does not name."""


class Undeclared:
    """Stands in a request for a field that was not declared: whatever is done with it is an error."""

    def __init__(self, field: str, probe: str) -> None:
        """Remember whose field it is."""
        self.__dict__.update(field=field, probe=probe)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Raise UndeclaredError."""
        field, probe = self.__dict__["field"], self.__dict__["probe"]
        raise UndeclaredError(f"probes.{probe} reads {field}, which probes/{probe}.yaml does not declare")

    __getattr__ = __getitem__ = __call__ = __iter__ = __len__ = __bool__ = __contains__ = _refuse
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = __index__ = __int__ = __float__ = __str__ = _refuse


def limited(request: Request, probe: str, fields: Collection[str], declared: Collection[str]) -> Request:
    """Return a dataclass of which, among `fields`, only those that are `declared` can be read by `probe`."""
    return replace(request, **{field: Undeclared(field, probe) for field in fields if field not in declared})
