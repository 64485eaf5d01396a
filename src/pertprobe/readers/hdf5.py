"""An HDF5 file looked through before it is used: nothing of it lies elsewhere, and what it says of sizes holds."""

import math
from collections.abc import Callable, Iterator

import h5py
import numpy as np

from pertprobe.readers.budget import DEPTH, Damaged, Refused

OBJECTS = 200_000
CHUNK_BYTES = 2**30
BLOCK_BYTES = 32 * 2**20
GROWTH, FREE_BYTES = 200, 2**30
"""How many times its size a file may unpack to, and what any file may: zeros pack a thousand times."""
NUMBERS = "biuf"
Beat = Callable[[], None]


def check_links(file: h5py.File, beat: Beat) -> None:
    """Raise `Refused` where a part of the file lies in another: by a link, or by where its values are stored.

    Links of names to names inside the file are followed by HDF5 itself. `beat` is called for every object.
    """
    seen, stack = set(), [(file["/"], 0)]
    while stack:
        group, depth = stack.pop()
        if depth > DEPTH:
            raise Refused(f"is nested more than {DEPTH} deep")
        for name in group:
            beat()
            link = group.get(name, getlink=True)
            where = f"{group.name.rstrip('/')}/{name}"
            if isinstance(link, h5py.ExternalLink):
                raise Refused(f"keeps {where[:100]} in another file ({link.filename[:100]})")
            if isinstance(link, h5py.SoftLink):
                continue
            each = group[name]
            key = h5py.h5o.get_info(each.id).addr
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > OBJECTS:
                raise Refused(f"holds more than {OBJECTS:,} objects")
            if isinstance(each, h5py.Dataset):
                _refuse_elsewhere(each)
            elif isinstance(each, h5py.Group):
                stack.append((each, depth + 1))


def _refuse_elsewhere(dataset: h5py.Dataset) -> None:
    made = dataset.id.get_create_plist()
    if made.get_layout() == h5py.h5d.VIRTUAL:
        raise Refused(f"keeps the values of {dataset.name[:100]} in other files (a virtual dataset)")
    if made.get_external_count():
        raise Refused(f"keeps the values of {dataset.name[:100]} in another file (raw storage outside)")


def check_stored(dataset: h5py.Dataset, size: int) -> None:
    """Raise unless all values of a dataset were written, can be unpacked here, and are no more than they may be.

    What was never written would be read as zeros. `size` is that of the file in bytes.
    """
    name, made = dataset.name[:100], dataset.id.get_create_plist()
    count, width = dataset.size or 0, max(dataset.dtype.itemsize, dataset.id.get_type().get_size())
    unpacked = count * width
    if unpacked > GROWTH * size + FREE_BYTES:
        raise Refused(f"unpacks {name} to {unpacked:,} bytes from {size:,}, more than {GROWTH} times its size")
    for i in range(made.get_nfilters()):
        code, _, _, label = made.get_filter(i)
        if not h5py.h5z.filter_avail(code):
            words = label.decode(errors="replace")[:60] or f"filter {code}"
            raise Refused(f"packs {name} with {words}, which HDF5 lacks here. Write it again with gzip, for it")
    if not count:
        return
    if made.get_layout() == h5py.h5d.CHUNKED:
        chunk = dataset.chunks
        if math.prod(chunk) * width > CHUNK_BYTES:
            raise Refused(f"stores {name} in chunks of {math.prod(chunk) * width:,} bytes")
        wanted = math.prod(-(-length // each) for length, each in zip(dataset.shape, chunk, strict=True))
        if (found := dataset.id.get_num_chunks()) != wanted:
            raise Damaged(f"{name} has {found} of its {wanted} chunks, the others would be read as zeros")
    elif dataset.id.get_storage_size() != unpacked and (dataset.dtype != object or not dataset.id.get_storage_size()):
        raise Damaged(f"{name} has {dataset.id.get_storage_size()} bytes stored of {unpacked}")


def blocks(dataset: h5py.Dataset) -> Iterator[np.ndarray]:
    """Yield all values of a dataset, block by block of its chunks; each chunk is unpacked once."""
    if not dataset.size:
        return
    shape, chunk = dataset.shape, dataset.chunks or (1,) * dataset.ndim
    fit = max(1, BLOCK_BYTES // dataset.dtype.itemsize)
    step = list(chunk)
    for axis in reversed(range(len(shape))):
        others = math.prod(step[:axis] + step[axis + 1 :])
        step[axis] = min(shape[axis], max(1, fit // max(1, others * chunk[axis])) * chunk[axis])
    for start in np.ndindex(*(-(-length // each) for length, each in zip(shape, step, strict=True))):
        yield dataset[tuple(slice(at * each, (at + 1) * each) for at, each in zip(start, step, strict=True))]
