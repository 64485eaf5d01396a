"""Files that are none of their kind: of other formats, links, pipes, devices, bombs; every given file has each."""

import gzip
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from fault import Fault, place, remove

FILES = {
    "cells": "cells.h5ad", "programs": "programs.gmt", "regulons": "regulons.tsv", "split": "models/a/split.toml",
    "config of a model": "models/a/config.yaml", "dims": "models/a/var_dims.pkl",
    "checkpoint": "models/a/checkpoints/final.ckpt", "map": "models/a/pert_onehot_map.pt",
    "batches": "models/a/batch_onehot_map.torch", "config of an autoencoder": "sae/cfg.json",
    "autoencoder": "sae/sae_weights.safetensors", "config": "run.yaml",
}  # fmt: skip
"""What is given -> its path in the project."""
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 123456\n"
PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>403</body></html>\n"
CONTENTS: dict[str, bytes | str] = {
    "empty": b"",
    "an LFS pointer": POINTER,
    "a web page": PAGE,
    "an error of a server": '{"error": "Repository not found"}',
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "gzip": gzip.compress(b"g001\tg002\n" * 100),
    "zeros": bytes(4096),
    "NULs and text": b"program_1\x00\tx\tg001\x00\tg002\n",
    "random bytes": np.random.default_rng(0).bytes(4096),
    "a mark alone": b"\xef\xbb\xbf",
    "UTF-16": "program_1\tx\tg001\tg002\n".encode("utf-16"),
    "one long line": b"a" * 2_000_000,
    "a hundred thousand brackets": b"[" * 100_000,
    "a hundred thousand braces": b'{"a":' * 100_000,
    "only newlines": b"\n" * 100_000,
}
"""Bytes that are no file of any kind that is given."""


def _to(target: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        remove(path)
        path.symlink_to(target)

    return make


def _folder(path: Path) -> None:
    remove(path)
    path.mkdir()


def _pipe(path: Path) -> None:
    remove(path)
    os.mkfifo(path)


def _sparse(path: Path) -> None:
    remove(path)
    with open(path, "wb") as file:
        file.truncate(2**34)


PLACES = {
    "a link to nothing": _to("nowhere"),
    "a link to itself": lambda path: _to(path.name)(path),
    "a link to endless zeros": _to("/dev/zero"),
    "a link to endless noise": _to("/dev/urandom"),
    "a folder": _folder,
    "a pipe that nobody writes": _pipe,
    "sixteen gigabytes of holes": _sparse,
}
"""What may lie at the path of a file."""


def in_the_place_of_files() -> Iterator[Fault]:
    """Every content and every kind of place for every given file."""
    for what, name in FILES.items():
        words = (Path(name).name, what, name.partition("/")[0].rstrip("s"))
        for how, data in CONTENTS.items():
            yield Fault(f"content/{what}: {how}", lambda f, n=name, d=data: place(f / n, d), "refused", words)
        for how, make in PLACES.items():
            yield Fault(f"place/{what}: {how}", lambda f, n=name, m=make: m(f / n), "refused", words)


def zip_bomb(size: int = 2**32) -> bytes:
    """Return a file of torch whose data.pkl is so long when unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # What is packed up to a full flush stands for itself: it can be repeated instead of packed again.
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = block * (size // 2**24) + packer.flush()
    parts = [(b"archive/data.pkl", 8, 0, bomb, size - 1)]
    parts += [(f"archive/{name}".encode(), 0, zlib.crc32(data), data, len(data)) for name, data in SMALL.items()]
    body, listed = b"", b""
    for name, method, check, data, long in parts:
        told = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, check, len(data), long, len(name), 0)
        listed += b"PK\x01\x02" + struct.pack("<H", 20) + told + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\x03\x04" + told + name + data
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(parts), len(parts), len(listed), len(body), 0)
    return body + listed + end


SMALL = {"version": b"3\n", "byteorder": b"little"}
"""What torch looks for beside the pickle."""


def _archive(**parts: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name.replace("__", "/"), data)
    return held.getvalue()


def _saved(value: object) -> bytes:
    held = io.BytesIO()
    torch.save(value, held)
    return held.getvalue()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "a zip bomb": zip_bomb,
    "a zip of nothing": lambda: _archive(),
    "a zip without a pickle": lambda: _archive(archive__version=b"3"),
    "a zip with a path above": lambda: _archive(**{"../executed": b"x", "archive/data.pkl": b"\x80\x02}."}),
    "a zip with a script": lambda: _archive(archive__code__model_py=b"print(1)", archive__data_pkl=b"\x80\x02}."),
    "a script of torch": lambda: _archive(**{"archive/constants.pkl": b"\x80\x02}.", "archive/code/a.py": b"x"}),
    "a tensor alone": lambda: _saved(torch.zeros(2)),
    "a module": lambda: _saved(torch.nn.Linear(2, 2)),
    "tensors of meta": lambda: _saved({"state_dict": {"a": torch.zeros(2, device="meta")}}),
    "a quantised tensor": lambda: _saved(
        {"state_dict": {"a": torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8)}}
    ),
    "names of numbers": lambda: _saved({"state_dict": {1: torch.zeros(2)}}),
    "a dictionary of nothing": lambda: _saved({}),
    "nested state dicts": lambda: _saved({"state_dict": {"a": {"b": torch.zeros(2)}}}),
}


def archives() -> Iterator[Fault]:
    """Files of torch that are bombs, escape, or hold no weights."""
    for what in ("checkpoint", "map", "batches"):
        for how, data in ARCHIVES.items():
            if (what, how) != ("batches", "a dictionary of nothing"):
                make = lambda f, n=FILES[what], d=data: place(f / n, d())  # noqa: E731
                yield Fault(f"archive/{what}: {how}", make, "refused", (Path(FILES[what]).name, "model"))


def _tensors(head: object, data: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


def _entry(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


SAFETENSORS = {
    "a head of eight exabytes": struct.pack("<Q", 2**63) + b"{}",
    "a head longer than the file": struct.pack("<Q", 1000) + b"{}",
    "a head that is no JSON": _tensors(b"{{{{"),
    "a head of a list": _tensors([1]),
    "no tensors": _tensors({}),
    "offsets beyond the file": _tensors({"W_enc": _entry(offsets=(0, 2**40))}),
    "offsets backwards": _tensors({"W_enc": _entry(offsets=(8, 0))}, bytes(8)),
    "offsets that overlap": _tensors({"W_enc": _entry(), "b_enc": _entry()}, bytes(8)),
    "an unknown dtype": _tensors({"W_enc": _entry("F3")}, bytes(8)),
    "a shape that overflows": _tensors({"W_enc": _entry(shape=(2**40, 2**40))}, bytes(8)),
    "a negative shape": _tensors({"W_enc": _entry(shape=(-2,))}, bytes(8)),
    "a shape of words": _tensors({"W_enc": _entry(shape=("a",))}, bytes(8)),
    "a name twice": _tensors(b'{"W_enc":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"W_enc":{"dtype":"F32",'
                             b'"shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "a deep head": _tensors(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "metadata of numbers": _tensors({"__metadata__": {"a": 1}, "W_enc": _entry()}, bytes(8)),
}  # fmt: skip


def safetensors() -> Iterator[Fault]:
    """Autoencoders whose head lies about what follows."""
    for how, data in SAFETENSORS.items():
        make = lambda f, d=data: place(f / "sae/sae_weights.safetensors", d)  # noqa: E731
        yield Fault(f"safetensors/{how}", make, "refused", ("sae_weights.safetensors",))


def faults() -> Iterator[Fault]:
    """All of them."""
    yield from in_the_place_of_files()
    yield from archives()
    yield from safetensors()
