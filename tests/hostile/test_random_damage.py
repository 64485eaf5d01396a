"""Files damaged at random, with fixed seeds: refused in words, or read with the very content; nothing ends the process.

`PERTPROBE_DAMAGES=500 pytest tests/hostile/test_random_damage.py -s` tries more, and shows the counts.
"""

import os
import pickle
import signal
from collections import Counter

import numpy as np
import pytest
import slow_state as slow
import torch
from made_cells import write_good

from pertprobe.data.h5ad import CellFile, shape, take
from pertprobe.errors import PertprobeError
from pertprobe.models.state.load import load_state
from pertprobe.readers.saved import read_saved
from pertprobe.readers.through import fault_of

TRIED = int(os.environ.get("PERTPROBE_DAMAGES", "50"))
SEED = next(seed for seed in range(99) if slow.random_case(seed)[0]["backbone"] == "llama"
            and slow.random_case(seed)[0]["pattern"] == "bidirectional"
            and slow.random_case(seed)[0]["batch_encoder"] and not slow.random_case(seed)[0]["lora"])  # fmt: skip
SECONDS, SECONDS_APART = 60, 5


def damaged(data, seed):
    """Return the bytes with one bit, some bytes, a block or the end changed."""
    rng = np.random.default_rng(seed)
    found, at = bytearray(data), int(rng.integers(len(data)))
    kind = seed % 5
    if kind == 0:
        found[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        found[at : at + 16] = rng.bytes(min(16, len(data) - at))
    elif kind == 2:
        found[at : at + 512] = bytes(min(512, len(data) - at))
    elif kind == 3:
        del found[at:]
    else:
        del found[at : at + int(rng.integers(1, 9))]
    return bytes(found)


def counted(what, path, read, tried=TRIED):
    """Return how often a damaged file was refused in words, read rightly, read as something else, or ended otherwise.

    Each is read in a fork, so that a crash of a library is counted and not suffered.
    """
    whole, good = path.read_bytes(), read(path)
    found = Counter()
    for seed in range(tried):
        path.write_bytes(damaged(whole, seed))
        found[outcome(path, read, good)] += 1
    path.write_bytes(whole)
    print(f"\n{what}: {tried} tried, {dict(found)}")
    return found


def outcome(path, read, good):
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        os._exit(judged(path, read, good))
    _, status = os.waitpid(child, 0)
    ended = os.waitstatus_to_exitcode(status)
    return ("read rightly", "in words", "other content", "traceback")[ended] if ended >= 0 else f"signal {-ended}"


def judged(path, read, good):
    try:
        return 0 if read(path) == good else 2
    except PertprobeError as error:
        return 1 if str(error) else 3
    except Exception:
        return 3


def content(value):
    """Return a value as bytes that are alike for what is alike."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return [(str(key), content(each)) for key, each in value.items()]
    return [content(each) for each in value] if isinstance(value, list | tuple) else repr(value)


def model_in(path):
    folder = path.parents[1] if path.parent.name == "checkpoints" else path.parent
    model = load_state(folder)
    names = model.genes, model.output_genes, model.perturbations, model.batches, model.control
    card = {key: value for key, value in model.card.items() if key != "sha256"}
    return names, content(dict(model.parameters)), content(model.perturbation_features), repr(card)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    _, options = slow.random_case(SEED)
    return slow.write_directory(tmp_path_factory.mktemp("state") / "model", options, slow.random_weights(options, 0))


@pytest.mark.parametrize(("name", "tried"), [("checkpoints/final.ckpt", TRIED), ("pert_onehot_map.pt", TRIED // 2)])
def test_a_damaged_checkpoint_is_never_another(directory, name, tried):
    found = counted(name, directory / name, model_in, tried)
    assert set(found) <= {"in words", "read rightly"}
    assert found["in words"] > tried / 2


def test_a_damaged_pickle_is_refused_or_read(directory):
    """A pickle has no checksum: a letter of a name may be another, and nothing else."""
    found = counted("var_dims.pkl", directory / "var_dims.pkl", model_in)
    assert set(found) <= {"in words", "read rightly"}


def test_a_damaged_legacy_map_ends_nothing(tmp_path):
    path = tmp_path / "batch_onehot_map.pkl"
    path.write_bytes(pickle.dumps({np.str_(f"b{i}"): row for i, row in enumerate(torch.eye(4))}))
    found = counted("batch_onehot_map.pkl", path, lambda file: content(read_saved(file)), TRIED // 2)
    assert set(found) <= {"in words", "read rightly", "other content"}


def look_through_apart(path):
    """Do what `check_apart` does, in a fork that costs no start of Python: an end of it is words."""
    child = os.fork()
    if not child:
        signal.alarm(SECONDS_APART)
        os._exit(bool(fault_of(str(path), ["X", "dense", "columns", "X_small"])))
    if os.waitpid(child, 0)[1]:
        raise PertprobeError("refused, or reading it ended its process")


def cells_in(path):
    """Return all that a file of cells holds, read as job one does: through a look at the whole, then as it is used."""
    look_through_apart(path)
    with CellFile(path) as file:
        frames = [(each, file.index(each).tolist()) for each in ("obs", "var")]
        frames += [(name, file.column(f, name).tolist()) for f in ("obs", "var") for name in file.columns(f)]
        matrices = []
        for name, node in file.spaces().items():
            rows, columns = map(np.arange, shape(node))
            matrices.append((name, take(node, rows, columns).tobytes()))
    return frames, matrices


@pytest.mark.parametrize(("compression", "tried"), [(None, TRIED), ("gzip", TRIED // 2)])
def test_a_damaged_file_of_cells_ends_nothing(tmp_path, compression, tried):
    """What is not packed has no checksum: single numbers may be others. The identity of the file tells."""
    found = counted(f"cells.h5ad, {compression}", write_good(tmp_path / "cells.h5ad", compression), cells_in, tried)
    assert set(found) <= {"in words", "read rightly", "other content"}
    assert found["other content"] <= tried * (0.2 if compression is None else 0.04)
