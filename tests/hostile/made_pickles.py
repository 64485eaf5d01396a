"""Pickles and files of torch.save that no honest program wrote: name -> bytes, and words of the refusal."""

import collections
import io
import pickle
import struct
import zipfile

import numpy as np
import torch


def opcodes(*parts):
    return b"\x80\x04" + b"".join(parts) + b"."


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(full):
    module, _, own = full.rpartition(".")
    return text(module) + text(own) + b"\x93"


def called(full, *arguments):
    return name(full) + b"(" + b"".join(arguments) + b"tR"


def small(number):
    return b"J" + struct.pack("<i", number)


def raw(data):
    return b"B" + struct.pack("<I", len(data)) + data


def dtype(code, *state):
    return called("numpy.dtype", text(code), b"\x89", b"\x88") + (b"(" + b"".join(state) + b"tb" if state else b"")


def array(shape, code, content, build=True):
    made = called("numpy._core.multiarray._reconstruct", name("numpy.ndarray"), small(0) + b"\x85", raw(b"b"))
    sizes = (
        b"(" + b"".join(small(size) if size < 2**31 else b"\x8a\x08" + struct.pack("<q", size) for size in shape) + b"t"
    )
    return made + (b"(" + small(1) + sizes + dtype(code) + b"\x89" + content + b"tb" if build else b"")


def multiplied(container, levels=40):
    """Ten times the former, in each of many levels: a few hundred bytes, and 10^40 letters to show."""
    steps = [text("x" * 50) + b"q\x00"]
    for level in range(levels):
        again = b"h" + bytes([level])
        if container == "list":
            steps.append(b"](" + again * 10 + b"e")
        elif container == "tuple":
            steps.append(b"(" + again * 10 + b"t")
        else:
            steps.append(b"}(" + b"".join(text(f"k{i}") + again for i in range(10)) + b"u")
        steps.append(b"q" + bytes([level + 1]))
    return opcodes(*steps)


ORDER = (small(3), text("<"), b"N", b"N", b"N")
PICKLES = {
    "os.system": (opcodes(called("os.system", text("true"))), r"asks for the global 'os\.system'"),
    "posix.system": (b"cposix\nsystem\n(S'true'\ntR.", r"the global 'posix\.system'"),
    "eval": (b"cbuiltins\neval\n(S'1+1'\ntR.", r"the global 'builtins\.eval'"),
    "getattr": (opcodes(called("builtins.getattr", text("a"), text("b"))), r"builtins\.getattr"),
    "partial": (opcodes(called("functools.partial", name("builtins.print"))), r"functools\.partial"),
    "copyreg": (opcodes(called("copyreg._reconstructor", b"N")), "copyreg"),
    "numpy.ones": (opcodes(called("numpy.ones", small(2**30))), r"numpy\.ones"),
    "numpy.load": (opcodes(called("numpy.load", text("x"))), r"numpy\.load"),
    "importlib": (opcodes(called("importlib.import_module", text("os"))), "importlib"),
    "dotted name": (opcodes(text("torch"), text("hub.load"), b"\x93"), r"torch\.hub\.load"),
    "a name of bytes": (opcodes(raw(b"os"), text("system"), b"\x93"), "without a name"),
    "inst": (b"(S'true'\nios\nsystem\n.", "INST"),
    "obj": (b"(cos\nsystem\nS'true'\no.", r"os\.system"),
    "ext": (opcodes(b"\x82\x01"), "EXT1"),
    "newobj_ex": (opcodes(name("collections.OrderedDict"), b")", b"}", b"\x92"), "NEWOBJ_EX"),
    "persid": (b"Pabc\n.", "PERSID"),
    "binpersid": (opcodes(text("a"), b"Q"), "lies in another file"),
    "out of band": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "call of a text": (opcodes(text("a"), b")R"), "calls what is no function"),
    "a function kept": (opcodes(b"]", name("collections.OrderedDict"), b"a"), "a name of code"),
    "a function alone": (opcodes(name("collections.OrderedDict")), "a name of code"),
    "state of a dict": (opcodes(b"}", b"}", b"b"), "gives a state to a dict"),
    "ordered with content": (opcodes(called("collections.OrderedDict", b"](NNe")), "OrderedDict with a content"),
    "codec": (opcodes(called("_codecs.encode", text("a"), text("zlib_codec"))), "encodes a text otherwise"),
    "dtype void": (opcodes(dtype("V8")), "numpy type 'V8'"),
    "dtype date": (opcodes(dtype("M8[ns]")), "numpy type 'M8"),
    "dtype of a list": (opcodes(called("numpy.dtype", b"]")), "numpy type"),
    "dtype state fields": (opcodes(dtype("V16", *ORDER)), "numpy type 'V16'"),
    "dtype state names": (
        opcodes(dtype("f8", small(3), text("<"), b"N", b"(" + text("a") + b"t", b"}", small(8), small(8), small(0))),
        "fields of its own",
    ),
    "dtype state subarray": (
        opcodes(dtype("f8", small(3), text("<"), b"]", b"N", b"N", small(8), small(8), small(0))),
        "fields of its own",
    ),
    "dtype state short": (opcodes(dtype("f8", *ORDER)), "fields of its own"),
    "dtype state width": (
        opcodes(dtype("f8", *ORDER, small(2**30), small(8), small(63))),
        "contradicts itself",
    ),
    "dtype state order": (
        opcodes(dtype("f8", small(3), text("?"), b"N", b"N", b"N", small(-1), small(-1), small(0))),
        "contradicts itself",
    ),
    "dtype state of a text": (opcodes(dtype("f8"), text("x"), b"b"), "fields of its own"),
    "number too short": (opcodes(called("numpy._core.multiarray.scalar", dtype("f8"), raw(b"1234"))), "4 bytes for 1"),
    "number of any object": (
        opcodes(called("numpy._core.multiarray.scalar", dtype("O8"), raw(b"12345678"))),
        "any object",
    ),
    "number without a type": (
        opcodes(called("numpy._core.multiarray.scalar", text("f8"), raw(b"12"))),
        "without a type",
    ),
    "letters that do not exist": (
        opcodes(called("numpy._core.multiarray.scalar", dtype("U1"), raw(b"\xff\xff\xff\x7f"))),
        "letters that do not exist",
    ),
    "half letters": (opcodes(b"X" + struct.pack("<I", 3) + b"\xed\xa0\x80"), "damaged"),
    "truth of 2": (
        opcodes(called("numpy._core.multiarray.scalar", dtype("b1"), raw(b"\x02"))),
        "neither true nor false",
    ),
    "array of 10^12": (opcodes(array((10**12,), "f8", raw(b""))), "0 bytes for 1000000000000"),
    "array of wrong length": (opcodes(array((3,), "f8", raw(b"1234"))), "4 bytes for 3 numbers"),
    "array of negative size": (opcodes(array((-1,), "f8", raw(b""))), "array of the shape"),
    "array of 40 axes": (opcodes(array((1,) * 40, "f8", raw(b"12345678"))), "array of the shape"),
    "array of dictionaries": (opcodes(array((1,), "O8", b"]}a")), "objects of the type dict"),
    "array of pointers": (opcodes(array((1,), "O8", raw(b"12345678"))), "without its objects"),
    "array without content": (opcodes(b"]", array((1,), "f8", b"", build=False), b"a"), "without its content"),
    "lists that multiply": (multiplied("list"), "values that multiply"),
    "tuples that multiply": (multiplied("tuple"), "values that multiply"),
    "dictionaries that multiply": (multiplied("dict"), "values that multiply"),
    "a text encoded again and again": (
        opcodes(text("a" * 2**20), b"q\x00", *[called("_codecs.encode", b"h\x00")] * 60),
        "unpacks to .* more than 20 times",
    ),
    "an array made again and again": (
        opcodes(raw(bytes(2**20)), b"q\x00", *[array((2**17,), "f8", b"h\x00")] * 60),
        "unpacks to .* more than 20 times",
    ),
    "a set made again and again": (
        opcodes(b"](", *[small(i) for i in range(5000)], b"eq\x00", *[called("builtins.set", b"h\x00")] * 120),
        "unpacks to .* more than 20 times",
    ),
    "a list in itself": (opcodes(b"]q\x00h\x00a"), "holds itself"),
    "lists in lists": (opcodes(b"]" * 50_000 + b"a" * 49_999), "more than 64 deep"),
    "tuples in tuples as key": (opcodes(b"}", b")" + b"\x85" * 50_000, b"Ns"), "a key that is a tuple"),
    "a list as key": (opcodes(b"}", b"]", b"Ns"), "a key that is a list"),
    "an array as key": (opcodes(b"}", array((1,), "f8", raw(b"12345678")), b"Ns"), "a key that is a ndarray"),
    "keys in one place": (
        opcodes(b"}(", *(b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(1, 2000)), b"u"),
        "a key of 61 bits",
    ),
    "a number of a million bits": (opcodes(b"\x8b" + struct.pack("<i", 125_000) + b"\x7f" * 125_000), "999999 bits"),
    "digits": (b"I" + b"9" * 10_000 + b"\n.", "damaged"),
    "odd dictionary": (opcodes(b"}(Nu"), "a key without a value"),
    "items of no list": (opcodes(b"}(NNe"), "a dict where a list is expected"),
    "nothing kept": (opcodes(b"h\x07"), "damaged"),
    "nothing on the stack": (opcodes(b"\x85"), "damaged"),
    "no mark": (opcodes(b"Nt"), "damaged"),
    "below the mark": (opcodes(b"N(\x85"), "damaged"),
    "no end": (b"\x80\x04}(N", "damaged"),
    "empty": (b"", "damaged"),
    "zeros": (bytes(2000), "damaged"),
    "a page": (b"<!DOCTYPE html><html><body>404</body></html>", "damaged"),
    "a text longer than the file": (b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a.", "damaged"),
    "bytes longer than the file": (b"\x80\x04\x8e" + struct.pack("<Q", 2**63 + 5) + b"a.", "damaged"),
    "letters that are none": (opcodes(b"X" + struct.pack("<I", 2) + b"\xff\xfe"), "damaged"),
    "an unknown step": (b"\x80\x04\xff.", "damaged"),
    "a pointer of LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer"),
}


class Replaced(pickle.Pickler):
    """Pickles storages as torch does, with what it says of them changed."""

    def __init__(self, file, storages):
        super().__init__(file, 2)
        self.storages = storages

    def persistent_id(self, value):
        return self.storages.get(id(value)) if isinstance(value, Marker) else None


class Marker:
    """Stands for a storage."""


class View:
    """Pickles as a tensor of a storage with any offset, size and stride."""

    def __init__(self, storage, offset, size, stride):
        self.parts = storage, offset, size, stride, False, collections.OrderedDict()

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.parts


def archive(views, asked=None, storages=None, order=b"little", pack=zipfile.ZIP_STORED, more=()):
    """Return a file of torch.save: `views` are (offset, size, stride) of one storage, of which `asked` is said."""
    marker, buffer = Marker(), io.BytesIO()
    said = asked or ("storage", torch.FloatStorage, "0", "cpu", 6)
    Replaced(buffer, {id(marker): said}).dump({f"w{i}": View(marker, *view) for i, view in enumerate(views)})
    members = {"a/data.pkl": buffer.getvalue(), "a/byteorder": order}
    members |= storages if storages is not None else {"a/data/0": np.arange(6, dtype=np.float32).tobytes()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", pack) as file:
        for member, content in [*members.items(), *more]:
            file.writestr(member, content)
    return out.getvalue()


def swapped(data, old, new):
    assert data.count(old) >= 1
    return data.replace(old, new)


def of_storage(kind, n, content, *rest):
    return archive([(0, (n,), (1,))], ("storage", kind, "0", "cpu", n, *rest), {"a/data/0": content})


def sequence(count=6, stored=6, keep=24):
    """Return a file from before torch 1.6, with what it says of its storage changed."""
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(6.0)}, buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    start, place = data[: len(data) - 32], data.rfind(struct.pack("<q", 6))
    assert place == len(data) - 32
    start = swapped(start, b"K\x06N", b"J" + struct.pack("<i", count) + b"N") if count != 6 else start
    return start + struct.pack("<q", stored) + data[-24:][:keep]


GOOD = archive([(0, (2, 3), (3, 1))])
ARCHIVES = {
    "stride 0": (archive([(0, (10**6,), (0,))]), "numbers share places"),
    "overlapping strides": (archive([(0, (2, 3), (1, 1))]), "numbers share places"),
    "beyond the storage": (archive([(0, (3, 3), (3, 1))]), "reaches beyond the 6"),
    "offset beyond": (archive([(6, (1,), (1,))]), "reaches beyond the 6"),
    "negative offset": (archive([(-1, (2,), (1,))]), "without storage, sizes and strides"),
    "negative stride": (archive([(5, (2,), (-1,))]), "without storage, sizes and strides"),
    "size of text": (archive([(0, ("2",), (1,))]), "without storage, sizes and strides"),
    "sizes and strides": (archive([(0, (2, 3), (1,))]), "2 sizes and 1 strides"),
    "20 axes": (archive([(0, (1,) * 20, (1,) * 20)]), "20 sizes"),
    "empty and huge": (archive([(0, (0, 2**60), (1, 1))]), "lies outside its storage"),
    "empty and outside": (archive([(99, (0,), (1,))]), "lies outside its storage"),
    "many views": (
        archive(
            [(0, (60_000,), (1,))] * 200,
            ("storage", torch.FloatStorage, "0", "cpu", 60_000),
            {"a/data/0": bytes(240_000)},
            pack=zipfile.ZIP_DEFLATED,
        ),
        "show the same numbers again",
    ),
    "storage longer": (
        archive([(0, (6,), (1,))], ("storage", torch.FloatStorage, "0", "cpu", 10**9)),
        "24 bytes for 1000000000",
    ),
    "storage of another type": (
        archive([(0, (6,), (1,))], ("storage", torch.DoubleStorage, "0", "cpu", 6)),
        "24 bytes for 6",
    ),
    "storage of no type": (archive([(0, (6,), (1,))], ("storage", "x", "0", "cpu", 6)), "not named as torch does"),
    "storage of minus one": (
        archive([(0, (6,), (1,))], ("storage", torch.FloatStorage, "0", "cpu", -1)),
        "storage of -1",
    ),
    "storage elsewhere": (
        archive([(0, (6,), (1,))], ("storage", torch.FloatStorage, "../../etc/passwd", "cpu", 6)),
        "is missing",
    ),
    "storage missing": (archive([(0, (6,), (1,))], storages={}), "storage 0 is missing"),
    "storage quantised": (of_storage(torch.QInt8Storage, 6, b"123456"), r"the global 'torch\.QInt8Storage'"),
    "storage of a view": (of_storage(torch.FloatStorage, 1, b"1234", ("0", 0, 1)), "storage of 1 numbers"),
    "truth of 7": (of_storage(torch.BoolStorage, 3, b"\x00\x01\x07"), "neither true nor false"),
    "another order of bytes": (archive([(0, (6,), (1,))], order=b"big"), "another order of bytes"),
    "a bomb": (
        archive([(0, (6,), (1,))], pack=zipfile.ZIP_DEFLATED, more=[("a/data/9", bytes(2**26))]),
        "unpacks to 67,1",
    ),
    "packed otherwise": (archive([(0, (6,), (1,))], pack=zipfile.ZIP_BZIP2), "packed as torch does not"),
    "encrypted": (
        swapped(GOOD, b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
        "encrypted",
    ),
    "no pickle": (swapped(GOOD, b"data.pkl", b"date.pkl"), "no data.pkl in it"),
    "two pickles": (archive([(0, (6,), (1,))], more=[("b/data.pkl", b"N.")]), "no data.pkl in it"),
    "a number changed": (swapped(GOOD, struct.pack("<2f", 4, 5), struct.pack("<2f", 4, 6)), "damaged .*CRC"),
    "an unused part changed": (
        swapped(archive([(0, (6,), (1,))], more=[("a/data/1", b"unused!!")]), b"unused!!", b"unuseD!!"),
        "damaged .*CRC",
    ),
    "cut": (GOOD[:-40], "damaged"),
    "cut early": (GOOD[:200], "damaged"),
    "sequence with another count": (sequence(stored=7), "has 7 numbers, 6 are asked for"),
    "sequence of 2^31": (sequence(count=2**31 - 1), "numbers, 2147483647 are asked for"),
    "sequence cut": (sequence(keep=10), "10 bytes for 6"),
    "sequence without storage": (sequence()[:-32], "storage .* is missing"),
}


def bomb_in_bytes():
    """Return a pickle whose nested file of torch.save holds another."""
    inner = opcodes(called("torch.storage._load_from_bytes", raw(b"x")))
    return opcodes(called("torch.storage._load_from_bytes", raw(inner)))


PICKLES["a file in a file in a file"] = (bomb_in_bytes(), r"map\.pkl: refused.*_load_from_bytes")
PICKLES["a nested file that is none"] = (
    opcodes(called("torch.storage._load_from_bytes", raw(b"N."))),
    "nested storage",
)
PICKLES["nested text"] = (opcodes(called("torch.storage._load_from_bytes", text("N."))), "not bytes")
