"""Arrays with their shapes in signatures: `Float[Array, "unit feature"]`, a name for each axis.

The tests import jaxtyping first, and check every call: axes of one name have one length (tests/conftest.py). Everywhere
else a shape is for the reader, and costs a job nothing: `Float[Array, "unit feature"]` is then `Array`. An axis that
stands alone is written with a space before it (" unit"), so that linters do not take it for the name of a type.
"""

import sys
from typing import Any

import numpy as np

Array = np.ndarray
Like = Any
"""What numpy reads and what has a shape: an array, a tensor, a series of pandas."""


class _Unchecked:
    """A kind of number that no one checks."""

    def __class_getitem__(cls, annotation: tuple[Any, str]) -> Any:
        """Return what is annotated, without its shape."""
        return annotation[0]


class _Kinds:
    """Jaxtyping's names for kinds of numbers."""

    Bool = Float = Integer = Num = Shaped = _Unchecked


_kinds = sys.modules.get("jaxtyping", _Kinds)
Bool, Float, Integer, Num, Shaped = _kinds.Bool, _kinds.Float, _kinds.Integer, _kinds.Num, _kinds.Shaped
