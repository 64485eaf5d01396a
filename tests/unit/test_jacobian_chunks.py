"""What is computed at once comes from sizes and budget, and does not show in the numbers."""

import pytest
import torch
from slow_jacobian import at_cells, close, codes_of, explicit_jacobian
from tiny import MeanShift, cell_sets, random_state

from pertprobe.batching import BLOCK, WIDEST, assigned, batch_block, block_of, power_of_2, units_of_shard
from pertprobe.interpret.jacobian import (
    cells_point,
    hutchinson_diagonal,
    panel_jacobian,
    routing_jacobian,
)
from pertprobe.interpret.jacobian.chunks import CACHED, Chunks, chunks, footprint, in_batches, next_power_of_2
from pertprobe.interpret.jacobian.linear_ends import factorised

ASKED = {
    "panel": lambda m, c, p, gb: panel_jacobian(m, c, p, [1, 5, 8, 11], [0, 5], memory_gb=gb).values,
    "panel, reverse": lambda m, c, p, gb: panel_jacobian(m, c, p, [1, 5], [0, 5, 7], memory_gb=gb).values,
    "diagonal": lambda m, c, p, gb: panel_jacobian(m, c, p, [1, 5], [0, 5, 7], "diagonal", gb).values,
    "signs": lambda m, c, p, gb: hutchinson_diagonal(m, c, p, [1], [0, 5], error=0.02, seed=0, memory_gb=gb).values,
    "routing": lambda m, c, p, gb: routing_jacobian(m, c, p, memory_gb=gb),
    "whole": lambda m, c, p, gb: explicit_jacobian(m, c, p, memory_gb=gb),
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_smaller_budget_gives_the_same_numbers(asked):
    model = random_state()
    codes, point = codes_of(model, model.perturbations), at_cells(model)
    wanted = ASKED[asked](model, codes, point, 1.0)
    for memory_gb in (1e-3, 1e-9):
        close(ASKED[asked](model, codes, point, memory_gb), wanted, 1e-12)


def wide(dtype=torch.float32):
    """Return a model whose matrix products are of the sizes of real ones, and its cells."""
    model = random_state(dtype=dtype, spread=0.1, hidden_dim=41, head_dim=23, intermediate_dim=77)
    return model, cell_sets(n_sets=3, set_size=13)


def shards(names, n):
    """Yield the positions of the names of each shard."""
    for shard in range(n):
        yield [names.index(name) for name in units_of_shard(names, shard, n)]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("memory_gb", [1.0, 2e-3])
def test_numbers_are_the_same_for_any_number_of_shards(asked, memory_gb):
    """Bit by bit, in float32, with sizes at which the last bit depends on a row's place."""
    model, cells = wide()
    names = [f"{i:02d}" for i in range(19)]
    codes = torch.randn(19, model.architecture.hidden_dim, generator=torch.Generator().manual_seed(0))
    point = cells_point(cells.values, model.batch_indices(cells.batches), codes)
    wanted = ASKED[asked](model, codes, point, memory_gb)
    for own in (*shards(names, 2), *shards(names, 3)):
        assert torch.equal(ASKED[asked](model, codes[own], point, memory_gb), wanted[own])


def test_batches_lie_within_blocks():
    names = [f"{i:03d}" for i in range(100)]
    found = [units_of_shard(reversed(names), shard, 3) for shard in range(3)]
    assert sorted(name for each in found for name in each) == names
    for size in (power_of_2(n) for n in range(1, BLOCK + 1)):
        whole = {tuple(names[start : start + size]) for start in range(0, 100, size)}
        cut = {tuple(each[start : start + size]) for each in found for start in range(0, len(each), size)}
        assert cut == whole


@pytest.mark.parametrize(("n", "power"), [(-1, 1), (0, 1), (1, 1), (2, 2), (3, 2), (7, 4), (8, 8), (9, 8)])
def test_powers_of_2(n, power):
    assert power_of_2(n) == power


@pytest.mark.parametrize(("n", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (7, 8), (8, 8), (9, 16)])
def test_next_powers_of_2(n, power):
    assert next_power_of_2(n) == power


@pytest.mark.parametrize(("n", "size"), [(1, 8), (80, 8), (225, 16), (512, 32), (2024, 128), (18_000, WIDEST)])
def test_many_units_stay_together_in_larger_blocks_and_leave_a_dozen_jobs(n, size):
    assert block_of(n) == size
    assert n / size >= 12 or size == BLOCK
    names = [f"{i:05d}" for i in range(n)]
    shards = [units_of_shard(names, shard, 3) for shard in range(3)]
    assert sorted(name for each in shards for name in each) == names
    assert shards[1][:size] == names[size : 2 * size]


def test_a_job_knows_how_its_units_were_dealt_and_nothing_else_does():
    with assigned(2024):
        assert batch_block() == WIDEST
    assert batch_block() == BLOCK
    with pytest.raises(ValueError, match="on purpose"), assigned(2024):
        raise ValueError("on purpose")
    assert batch_block() == BLOCK


def test_every_full_batch_has_one_shape_and_nothing_of_the_padding_is_returned():
    seen = []

    def work(codes):
        seen.append(codes.shape)
        return codes.sum(1), codes

    codes = torch.arange(14.0).reshape(7, 2)
    sums, same = in_batches(codes, 4, work)
    assert seen == [(4, 2), (4, 2)]
    assert torch.equal(sums, codes.sum(1))
    assert torch.equal(same, codes)


def test_the_footprint_counts_what_is_made_and_no_views():
    class Widening(MeanShift):
        def decode(self, mixed, encoded, X):
            return (mixed.h.repeat(1, 1, 1, 4) * 2.0)[..., :12]

    cells = cell_sets(n_sets=2, set_size=5)
    at = factorised(Widening(), cells_point(cells.values, None, torch.zeros(1).double()))
    largest, everything = footprint(at, codes_of(Widening())[0])
    number = 2 * 5 * 12 * 8  # sets, cells, genes, bytes
    assert largest == 4 * number
    assert everything == (1 + 4 + 4) * number


def test_chunks_follow_the_budget_and_the_sizes_alone():
    model = random_state()
    at, code = factorised(model, at_cells(model)), codes_of(model)[0]
    one, _ = footprint(at, code)
    assert chunks(at, code, 20, 1.0, reverse=False) == Chunks(8, 20)
    assert chunks(at, code, 20, 1e-9, reverse=False) == Chunks(1, 1)
    assert chunks(at, code, 20, 8 * 5 * one / 1e9, reverse=False) == Chunks(1, 5)
    budget = 8 * 90 * one / 1e9
    assert chunks(at, code, 20, budget, reverse=False) == Chunks(4, 20)
    assert chunks(at, code, 20, budget, reverse=True).perturbations < 4
    assert chunks(at, code, 20, budget, reverse=False, result=8 * 20 * one).perturbations == 1
    many = int(3 * CACHED // one)
    assert chunks(at, code, many, 1e3, reverse=False) == Chunks(1, int(CACHED // one))


@pytest.mark.parametrize("asked", ASKED)
def test_float32_is_float64_but_for_rounding(asked):
    model32, model64 = (random_state(dtype=dtype) for dtype in (torch.float32, torch.float64))
    cells = cell_sets()
    found, wanted = (
        ASKED[asked](m, codes_of(m), cells_point(cells.values, m.batch_indices(cells.batches), codes_of(m)), 1.0)
        for m in (model32, model64)
    )
    assert found.dtype == torch.float32
    close(found.double(), wanted, 1e-4)
