"""Pickles that call what they should not, multiply, nest, or break numpy: bare, and in the zip of torch."""

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from fault import Fault, Make, place
from judge import EXECUTED

TORCH = {
    "checkpoint": "models/a/checkpoints/final.ckpt",
    "map": "models/a/pert_onehot_map.pt",
    "batches": "models/a/batch_onehot_map.torch",
}
"""Files that torch writes: a zip with data.pkl."""
BARE = "models/a/var_dims.pkl"


def text(value: str) -> bytes:
    """Return opcodes that push a string."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def call(module: str, name: str, *arguments: bytes, protocol: bytes = b"\x80\x02") -> bytes:
    """Return a pickle that calls a global with arguments that opcodes push."""
    return protocol + b"c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR."


MKDIR = text(EXECUTED)
FORBIDDEN = {
    f"calls {module}.{name}": call(module, name, *arguments)
    for module, name, arguments in [
        ("os", "mkdir", (MKDIR,)), ("posix", "mkdir", (MKDIR,)), ("os", "makedirs", (MKDIR,)),
        ("posix", "system", (text(f"mkdir {EXECUTED}"),)), ("os", "system", (text(f"mkdir {EXECUTED}"),)),
        ("builtins", "eval", (text(f"__import__('os').mkdir('{EXECUTED}')"),)),
        ("builtins", "exec", (text(f"import os; os.mkdir('{EXECUTED}')"),)),
        ("__builtin__", "eval", (text(f"__import__('os').mkdir('{EXECUTED}')"),)),
        ("builtins", "getattr", (text("a"), text("upper"))), ("builtins", "open", (MKDIR, text("w"))),
        ("builtins", "print", (text("a"),)), ("builtins", "__import__", (text("antigravity"),)),
        ("subprocess", "run", (text(f"mkdir {EXECUTED}"),)), ("subprocess", "Popen", (text("true"),)),
        ("pathlib", "Path", (MKDIR,)), ("shutil", "rmtree", (text("nothing"),)), ("sys", "exit", ()),
        ("os", "_exit", ()),
        ("os", "abort", ()), ("signal", "raise_signal", (b"K\x09",)), ("time", "sleep", (b"K\x3c",)),
        ("numpy", "load", (text("x"),)), ("numpy.core.multiarray", "_reconstruct", (text("a"),)),
        ("numpy", "fromfile", (text("/etc/hostname"),)),
        ("numpy.testing._private.utils", "runstring", (text("1"), b"}")),
        ("torch", "load", (text("x"),)), ("torch.hub", "load", (text("x"), text("y"))),
        ("torch.storage", "_load_from_bytes", (b"C\x03abc",)), ("torch.serialization", "load", (text("x"),)),
        ("functools", "partial", (text("a"),)), ("operator", "attrgetter", (text("a"),)),
        ("codecs", "encode", (text("a"), text("latin1"))), ("_codecs", "encode", (text("a"), text("rot13"))),
        ("_codecs", "decode", (b"C\x01a", text("zip"))), ("importlib", "import_module", (text("antigravity"),)),
        ("pickle", "loads", (b"C\x01.",)), ("types", "FunctionType", ()),
        ("collections", "namedtuple", (text("a"), text("b"))),
        ("no_such_module", "thing", ()), ("pertprobe.files", "copy", (text("a"), text("b"))),
        ("os.path", "exists", (text("a"),)),
        ("io", "open_code", (text("/etc/hostname"),)), ("linecache", "getline", (text("x"), b"K\x01")),
    ]
}  # fmt: skip
"""Globals that no model directory needs."""


def memo_bomb(depth: int = 40) -> bytes:
    """Return a pickle of few bytes whose repr doubles with every level."""
    body = b"\x80\x02" + text("x" * 100)
    for level in range(depth):
        body += b"q" + bytes([level]) + b"h" + bytes([level]) + b"\x86"
    return body + b"."


def dtype(state: bytes, kind: str = "O8") -> bytes:
    """Return a pickle of numpy's dtype with a state of its own."""
    return b"\x80\x02cnumpy\ndtype\n" + text(kind) + b"K\x00K\x01\x87R" + state + b"b."


def scalar(kind: str, data: bytes) -> bytes:
    """Return a pickle of a numpy scalar of a dtype and bytes."""
    head = b"\x80\x03cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n"
    return head + text(kind) + b"K\x00K\x01\x87RC" + bytes([len(data)]) + data + b"\x86R."


NONE7 = b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ft"
BOMBS = {
    "a memo bomb": memo_bomb(),
    "a list that holds itself": b"\x80\x02]q\x00h\x00a.",
    "a dict that holds itself": b"\x80\x02}q\x00" + text("a") + b"h\x00s.",
    "a nest of 100,000 lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "a nest of 100,000 tuples": b"\x80\x02)" + b"\x85" * 100_000 + b".",
    "a string of four gigabytes": b"\x80\x02X\xff\xff\xff\xffabc.",
    "bytes of eight exabytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.",
    "a bytearray of eight exabytes": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"abc.",
    "a number of 300 million digits": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"1.",
    "a number of long text": b"L" + b"9" * 200_000 + b"L\n.",
    "a memo index of four billion": b"\x80\x02]r\xff\xff\xff\xff.",
    "a memo that is not there": b"\x80\x02h\x07.",
    "a mark that is not there": b"\x80\x02t.",
    "an empty stack": b"\x80\x02.",
    "no stop": b"\x80\x02]",
    "an unknown opcode": b"\x80\x02\xff.",
    "protocol 200": b"\x80\xc8].",
    "a persistent id": b"\x80\x02" + text("storage") + b"Q.",
    "an extension code": b"\x80\x02\x82\x01.",
    "a frame too long": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"].",
    "a frame too short": b"\x80\x04\x95" + struct.pack("<Q", 1) + b"]]a.",
    "an unhashable key": b"\x80\x02}]" + text("a") + b"s.",
    "a key of NaN": b"\x80\x02}G\x7f\xf8\x00\x00\x00\x00\x00\x00" + text("a") + b"s.",
    "protocol 0 of text": b"(lp0\nI1\na.",
    "a number for a dictionary": b"\x80\x02K\x01.",
    "a list for a dictionary": pickle.dumps([1, 2, 3]),
    "None": pickle.dumps(None),
    "a set": pickle.dumps({1, 2}),
    "a string": pickle.dumps("x"),
    "a dict of None": pickle.dumps({None: None}),
    "a dict of numbers": pickle.dumps({1: 2}),
    "a dict of bytes": pickle.dumps({b"a": b"b"}),
    "a dict with a nest": pickle.dumps({"input_dim": {"a": [1] * 1000}}),
    "a dtype of objects with no state": dtype(b"N"),
    "a dtype of a crafted state": dtype(NONE7),
    "a dtype of a state of one": dtype(b"K\x01"),
    "a dtype of an empty state": dtype(b")"),
    "a dtype of a huge item": dtype(b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\x7fJ\x01\x00\x00\x00K\x00t", "V8"),
    "a dtype of fields that are none": dtype(b"(K\x03" + text("|") + b"N" + text("ab") + b"}K\x08K\x01K\x00t", "V8"),
    "a dtype of subarrays": dtype(b"(K\x03" + text("|") + b"K\x01K\x02\x86NNK\x08K\x01K\x00t", "V8"),
    "a dtype of an unknown letter": dtype(b"N", "Z9"),
    "a dtype of a long name": dtype(b"N", "(1000000000,1000000000)f8"),
    "a dtype of an order of its own": dtype(b"(K\x03" + text("??") + b"NNNK\x08K\x01K\x00t", "i8"),
    "a dtype of version 9": dtype(b"(K\x09" + text("|") + b"NNNK\x08K\x01K\x00t", "i8"),
    "a scalar of objects": scalar("O8", b"\x00" * 8),
    "a scalar of an address": scalar("O8", struct.pack("<Q", 0xDEADBEEF)),
    "a scalar too short": scalar("i8", b"\x00"),
    "a scalar of no bytes": scalar("i8", b""),
    "a scalar of letters out of range": scalar("U1", b"\xff\xff\xff\xff"),
    "a scalar of a record": scalar("V8", b"\x00" * 8),
    "a scalar of a long text": scalar("U2000000000", b"a"),
    "a scalar of dates": scalar("M8[ns]", b"\x00" * 8),
}
"""Pickles that use nothing forbidden."""
NAMES = {**FORBIDDEN, **BOMBS}


def in_zip(name: str, data: bytes, **more: bytes) -> Make:
    """Return what puts a pickle into a file of torch."""

    def make(folder: Path) -> None:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            for part, each in {"data.pkl": data, "byteorder": b"little", "version": b"3\n", **more}.items():
                archive.writestr(f"archive/{part}", each)
        place(folder / name, held.getvalue())

    return make


def faults() -> Iterator[Fault]:
    """Every pickle bare, and every one in one of torch's files: each kind of file has its share."""
    for name, data in NAMES.items():
        make = lambda folder, data=data: place(folder / BARE, data)  # noqa: E731
        yield Fault(f"pickle/bare: {name}", make, "either", (Path(BARE).name,))
    for i, (name, data) in enumerate(NAMES.items()):
        file = list(TORCH.values())[i % len(TORCH)]
        yield Fault(f"pickle/zip: {name}", in_zip(file, data), "refused", (Path(file).name, "model"))
    file = TORCH["batches"]
    legacy = str(Path(file).with_suffix(".pkl"))
    for name in list(FORBIDDEN)[:8] + list(BOMBS)[:8]:

        def make(folder: Path, data: bytes = NAMES[name]) -> None:
            (folder / file).unlink()
            place(folder / legacy, data)

        yield Fault(f"pickle/of an older State: {name}", make, "refused", (Path(legacy).name,))
