"""A pickle read by an interpreter of its own, which builds plain values and calls nothing that the pickle names.

pickle.Unpickler with a list of allowed names is not safe: numpy.dtype alone, given a crafted state, ends the process.
Here a name stands for an entry of a closed table (`pertprobe.readers.saved.TABLE`), and every argument is checked.
"""

import io
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from pertprobe.readers.budget import ITEMS, Clock, Damaged, Refused, StandIn, check_growth, check_whole
from pertprobe.readers.numbers import Array, TypeOfNumbers

Called = Callable[..., Any]
MOST_BITS = 256
"""Of a whole number: states of random generators have 128."""
KEY_BITS = 60
"""Of a whole number that is a key: larger ones can be chosen so that all fall into one place of a dictionary."""
PLACE_BYTES = 64
"""What a set takes for each of its members."""
CHECKED_EACH = 256
"""Steps between two looks at the clock."""
WRITTEN = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE",
    "BINUNICODE8",
}  # fmt: skip
"""Steps that put down the value they are written with."""
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
GATHERED = {"LIST": list, "TUPLE": tuple, "FROZENSET": frozenset}
SKIPPED = {"PROTO", "FRAME"}
RECALLS, KEEPS = {"GET", "BINGET", "LONG_BINGET"}, {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}


class Named(StandIn):
    """A name of the table, before it is called."""

    def __init__(self, name: str, call: Called) -> None:
        """Keep what is called in its place."""
        self.name, self.call = name, call


def read_pickle(
    data: bytes, table: dict[str, Any], stored: Callable[[Any], Any] | None = None, start: int = 0
) -> tuple[Any, int]:
    """Return what the pickle at `start` of `data` holds, and where it ends.

    Args:
        data: the bytes.
        table: name -> function that is called in its place, or a plain value.
        stored: what is meant by a value that lies outside of the pickle (a storage of torch).
        start: where the pickle begins.

    Raises:
        Refused: it names what is not in the table, or breaks a budget.
        Damaged: it is no whole pickle.
    """
    machine = _Machine(table, stored, len(data))
    value, end = machine.run(data, start)
    check_whole(value, len(data))
    return value, end


class _Machine:
    """The stack of values, the marks on it, and what is kept to be used again."""

    def __init__(self, table: dict[str, Any], stored: Callable[[Any], Any] | None, size: int) -> None:
        self.table, self.stored, self.size = table, stored, size
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.kept: dict[int, Any] = {}
        self.clock = Clock()
        self.steps = self.made = 0

    def run(self, data: bytes, start: int) -> tuple[Any, int]:
        """Carry out every step up to the end of the pickle."""
        source = io.BytesIO(data)
        source.seek(start)
        try:
            for step, argument, place in pickletools.genops(source):
                if step.name == "STOP":
                    return self.popped(), place + 1
                self.count()
                self.carry_out(step.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
            raise Damaged(str(error) or type(error).__name__) from error
        raise Damaged("it has no end")

    def count(self, n: int = 1) -> None:
        """Raise `Refused` when steps or seconds are used up."""
        self.steps += n
        if self.steps > ITEMS:
            raise Refused(f"holds more than {ITEMS:,} items")
        if self.steps % CHECKED_EACH == 0:
            self.clock.check()

    def carry_out(self, name: str, argument: Any) -> None:
        """Carry out one step; raises `Refused` for those that only code needs."""
        if name in WRITTEN:
            self.stack.append(_small(argument))
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in SHORT_TUPLES:
            self.stack.append(tuple(self.last(SHORT_TUPLES[name])))
        elif name in RECALLS:
            self.stack.append(self.kept[int(argument)])
        elif name in KEEPS:
            self.kept[len(self.kept) if argument is None else int(argument)] = self.stack[-1]
        elif name in GATHERED:
            parts = self.marked()
            self.stack.append(GATHERED[name](self.keys(parts) if name == "FROZENSET" else parts))
        elif name not in SKIPPED:
            step = STEPS.get(name)
            if step is None:
                raise Refused(f"has the step {name} of a pickle, which builds objects of classes")
            step(self, argument)

    def popped(self) -> Any:
        """Take the value on top; it must be whole."""
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise Damaged("a value is missing")
        return _whole(self.stack.pop())

    def drop(self) -> None:
        """Take the value on top, or the mark above it, away."""
        if self.marks and len(self.stack) == self.marks[-1]:
            self.marks.pop()
        else:
            self.stack.pop()

    def last(self, n: int) -> list[Any]:
        """Take the last values, in their order."""
        return [self.popped() for _ in range(n)][::-1]

    def marked(self) -> list[Any]:
        """Take the values above the last mark, and the mark."""
        place = self.marks.pop()
        parts = [_whole(each) for each in self.stack[place:]]
        del self.stack[place:]
        return parts

    def top(self, kind: type) -> Any:
        """Return the value on top, which must be of this type."""
        if not isinstance(self.stack[-1], kind):
            raise Damaged(f"a {type(self.stack[-1]).__name__} where a {kind.__name__} is expected")
        return self.stack[-1]

    def keys(self, values: Iterable[Any]) -> Iterable[Any]:
        """Yield values that may be keys; raises `Refused` for others."""
        for i, value in enumerate(values):
            if i % CHECKED_EACH == 0:
                self.clock.check()
            refuse_as_key(value)
            yield value

    def fill(self, flat: list[Any]) -> None:
        """Put keys and values in turn into the dictionary on top."""
        target = self.top(dict)
        if len(flat) % 2:
            raise Damaged("a key without a value")
        target.update(zip(self.keys(flat[::2]), flat[1::2], strict=True))

    def name(self, module: Any, name: Any) -> None:
        """Put down what the table has for a name."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Damaged("a global without a name")
        full = f"{module}.{name}"
        known = full.replace("numpy.core.", "numpy._core.").replace("__builtin__.", "builtins.")
        if known not in self.table:
            raise Refused(f"asks for the global '{full[:100]}'")
        found = self.table[known]
        self.stack.append(Named(full, found) if callable(found) else found)

    def call(self) -> None:
        """Call what the table has, with arguments from the pickle."""
        arguments, called = self.popped(), self.popped()
        if not isinstance(called, Named) or not isinstance(arguments, tuple):
            raise Refused("calls what is no function")
        self.count(len(arguments))
        self.stack.append(self.weighed(called.call(*arguments)))

    def weighed(self, value: Any) -> Any:
        """Return what a call made; raises `Refused` where calls, of the same content again and again, make too much."""
        if isinstance(value, np.ndarray | np.generic):
            self.made += value.nbytes
        elif isinstance(value, bytes | set | frozenset):
            self.made += len(value) * (1 if isinstance(value, bytes) else PLACE_BYTES)
        check_growth(self.made, self.size)
        return value

    def build(self) -> None:
        """Give the value on top its state: types and arrays of numpy; attributes of a dictionary are left out."""
        state, target = self.popped(), self.stack[-1]
        if isinstance(target, TypeOfNumbers | Array):
            target.build(state)
            self.weighed(target.value if isinstance(target, Array) else None)
        elif not isinstance(target, OrderedDict):
            raise Refused(f"gives a state to a {type(target).__name__}")

    def outside(self) -> None:
        """Put down a value that lies outside of the pickle."""
        if self.stored is None:
            raise Refused("asks for a value that lies in another file")
        self.stack.append(self.stored(self.popped()))


def _small(value: Any) -> Any:
    """Return a written value; raises `Refused` for numbers that nothing needs."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise Refused(f"holds a whole number of {value.bit_length()} bits")
    if isinstance(value, str):
        value.encode()  # half a letter, which pickles can hold, could be written nowhere
    return value


def _whole(value: Any) -> Any:
    """Return the array in place of what builds it."""
    if not isinstance(value, Array):
        return value
    if value.value is None:
        raise Damaged("an array without its content")
    return value.value


def refuse_as_key(value: Any, depth: int = 3) -> None:
    """Raise `Refused` for what cannot be hashed safely: only names, numbers and small tuples of them can."""
    if isinstance(value, tuple) and depth:
        for part in value:
            refuse_as_key(part, depth - 1)
    elif isinstance(value, int) and value.bit_length() > KEY_BITS:
        raise Refused(f"has a key of {value.bit_length()} bits")
    elif not isinstance(value, str | bytes | int | float | np.generic | None):
        raise Refused(f"has a key that is a {type(value).__name__}")


def _append(machine: _Machine, parts: list[Any]) -> None:
    machine.top(list).extend(parts)


def _add(machine: _Machine, parts: list[Any]) -> None:
    machine.top(set).update(machine.keys(parts))


def _dictionary(machine: _Machine, _: Any) -> None:
    parts = machine.marked()
    machine.stack.append({})
    machine.fill(parts)


STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.drop(),
    "POP_MARK": lambda machine, _: machine.marked(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "DICT": _dictionary,
    "APPEND": lambda machine, _: _append(machine, machine.last(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.marked()),
    "SETITEM": lambda machine, _: machine.fill(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.fill(machine.marked()),
    "ADDITEMS": lambda machine, _: _add(machine, machine.marked()),
    "GLOBAL": lambda machine, text: machine.name(*text.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.last(2)),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.outside(),
    "BYTEARRAY8": lambda machine, content: machine.stack.append(bytes(content)),
}
"""The other steps; those that build objects of classes (INST, OBJ, EXT1, ...) are not among them."""
