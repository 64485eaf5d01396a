"""What torch.save writes: a zip of a pickle and its storages, or, before torch 1.6, the same one after the other."""

import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import torch

from pertprobe.readers.budget import Damaged, Refused, check_growth
from pertprobe.readers.pickles import read_pickle
from pertprobe.readers.tensors import Storage, StorageOf, storage_asked, storage_of

BLOCK = 2**20
MEMBERS = 200_000
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""The first two values of a file from before torch 1.6."""


def read_zip(file: BinaryIO, size: int, table: Mapping[str, Any]) -> Any:
    """Return what a zip of torch.save holds. Every member is read once, and its checksum compared.

    Raises `Refused` or `Damaged`; what zipfile raises for a damaged zip passes.
    """
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        _check_members(archive.infolist(), members, size)
        root = _root(members)
        _check_order(archive, members, root)
        storages: dict[StorageOf, Storage] = {}

        def stored(asked: Any) -> Storage:
            """Return the storage that is meant, read when it is first asked for."""
            wanted = storage_asked(asked)
            if wanted not in storages:
                member = members.get(f"{root}data/{wanted.key}")
                if member is None:
                    raise Damaged(f"storage {wanted.key[:40]} is missing")
                storages[wanted] = storage_of(_content(archive, member), wanted)
            return storages[wanted]

        value, _ = read_pickle(bytes(_content(archive, members[f"{root}data.pkl"])), dict(table), stored)
        read = {f"{root}data/{each.key}" for each in storages} | {f"{root}data.pkl"}
        for name in set(members) - read:
            _content(archive, members[name], keep=False)
    return value


def _check_members(all_members: list[zipfile.ZipInfo], by_name: Mapping[str, Any], size: int) -> None:
    """Raise unless sizes are possible, names are unique and nothing is encrypted: before anything is unpacked."""
    if len(all_members) > MEMBERS:
        raise Refused(f"is a zip of {len(all_members):,} files")
    if len(by_name) != len(all_members):
        raise Damaged("two files of the zip have one name")
    for member in all_members:
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"is a zip whose {member.filename[:60]} is encrypted, or packed as torch does not")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            raise Damaged(f"{member.filename[:60]} contradicts its size")
    check_growth(sum(member.file_size for member in all_members), size)


def _root(members: Mapping[str, Any]) -> str:
    """Return the folder of the zip that torch wrote into, with its slash."""
    found = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
    if len(found) != 1:
        raise Damaged("it is a zip, but not one of torch.save: no data.pkl in it")
    return found[0].removesuffix("data.pkl")


def _check_order(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], root: str) -> None:
    member = members.get(f"{root}byteorder")
    if member is not None and member.file_size < 16 and bytes(_content(archive, member)) != b"little":
        raise Refused("was written by a machine with another order of bytes")


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, keep: bool = True) -> bytearray:
    """Return the bytes of a member, or read them for their checksum alone; zipfile compares it at the end."""
    content, read = bytearray(member.file_size if keep else 0), 0
    with archive.open(member) as file:
        while block := file.read(BLOCK):
            if keep:
                content[read : read + len(block)] = block
            read += len(block)
    if read != member.file_size:
        raise Damaged(f"{member.filename[:60]} has {read} bytes of {member.file_size}")
    return content


def is_sequence(data: bytes) -> bool:
    """Return whether the bytes begin as torch.save began its files before torch 1.6."""
    try:
        value, _ = read_pickle(data[:64], {})
    except (Refused, Damaged):
        return False
    return value == MAGIC


def read_sequence(data: bytes, table: Mapping[str, Any]) -> Any:
    """Return what a file from before torch 1.6 holds: four pickles, their storages' names, and the storages."""
    _, place = read_pickle(data, {})
    protocol, place = read_pickle(data, {}, start=place)
    system, place = read_pickle(data, {}, start=place)
    if protocol != PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("was written by a torch, or a machine, that is not known")
    asked: dict[str, StorageOf] = {}
    _, end = read_pickle(data, dict(table), lambda what: _noted(what, asked), start=place)
    keys, tail = read_pickle(data, {}, start=end)
    storages = _storages(data, tail, keys, asked)
    value, _ = read_pickle(data, dict(table), lambda what: storages[storage_asked(what).key], start=place)
    return value


def _noted(what: Any, asked: dict[str, StorageOf]) -> Storage:
    """Return a storage without numbers in place of one that comes later in the file."""
    wanted = storage_asked(what)
    if asked.setdefault(wanted.key, wanted) != wanted:
        raise Damaged(f"storage {wanted.key[:40]} is of two types")
    return Storage(torch.empty(wanted.count, dtype=wanted.dtype, device="meta"))


def _storages(data: bytes, place: int, keys: Any, asked: Mapping[str, StorageOf]) -> dict[str, Storage]:
    """Return name -> storage, in the order of `keys`, each behind the number of its numbers."""
    if not isinstance(keys, list) or set(map(str, keys)) != set(asked) or len(keys) != len(asked):
        raise Damaged("the storages are not those that the tensors ask for")
    found = {}
    for key in map(str, keys):
        wanted = asked[key]
        if place + 8 > len(data):
            raise Damaged(f"storage {key[:40]} is missing")
        (count,) = struct.unpack_from("<q", data, place)
        end = place + 8 + wanted.count * wanted.dtype.itemsize
        if count != wanted.count:
            raise Damaged(f"storage {key[:40]} has {count} numbers, {wanted.count} are asked for")
        found[key] = storage_of(bytearray(data[place + 8 : end]), wanted)
        place = end
    return found
