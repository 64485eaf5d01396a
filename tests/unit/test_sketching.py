"""The sketch keeps inner products: exactly for short vectors, to the error that its page states for long ones."""

import numpy as np
import torch

from pertprobe.interpret.sketches import sample_sketch


def vectors(n, k=2, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=(k, n)))


def test_a_short_vector_is_kept_as_it_is():
    values = vectors(50)
    torch.testing.assert_close(sample_sketch(50, 64, 0).of(values), values)


def test_a_sketch_is_the_sum_of_what_the_slow_way_adds_up():
    values, sketch = vectors(300), sample_sketch(300, 16, 3, "a")
    slow = np.zeros((2, 16))
    for entry in range(300):
        slow[:, sketch.buckets[entry]] += float(sketch.signs[entry]) * values[:, entry].numpy()
    np.testing.assert_allclose(sketch.of(values), slow, rtol=1e-12, atol=1e-12)


def test_a_sketch_is_linear_and_the_sum_of_the_sketches_of_its_parts():
    (x, y), sketch = vectors(300), sample_sketch(300, 32, 1)
    torch.testing.assert_close(sketch.of(2 * x - y), 2 * sketch.of(x) - sketch.of(y))
    torch.testing.assert_close(sketch.of(x[:100]) + sketch.of(x[100:], start=100), sketch.of(x))


def test_the_same_names_draw_the_same_map_and_others_another():
    x = vectors(300, 1)
    torch.testing.assert_close(sample_sketch(300, 32, 1, "a").of(x), sample_sketch(300, 32, 1, "a").of(x))
    assert not torch.equal(sample_sketch(300, 32, 1, "a").of(x), sample_sketch(300, 32, 1, "b").of(x))


def test_inner_products_are_unbiased_and_spread_no_more_than_is_said():
    """Of matrices of rank 1 too, which other structured maps keep less well."""
    n, size, draws = 400, 64, 400
    left, right = vectors(20, 4), vectors(20, 4, seed=1)
    pairs = {
        "dense": (vectors(n)[0], (vectors(n)[0] + vectors(n)[1])),
        "rank 1": (torch.outer(left[0], right[0]).flatten(), torch.outer(left[0], right[1]).flatten()),
        "one entry": (torch.eye(n)[3].double(), torch.eye(n)[3].double()),
    }
    for name, (x, y) in pairs.items():
        products = [
            float(each.of(x) @ each.of(y)) for each in (sample_sketch(n, size, 0, name, i) for i in range(draws))
        ]
        true, scale = float(x @ y), float(x.norm() * y.norm())
        bound = np.sqrt((scale**2 + true**2) / size)
        assert abs(np.mean(products) - true) < 4 * bound / np.sqrt(draws)
        assert np.std(products) < 1.15 * bound
