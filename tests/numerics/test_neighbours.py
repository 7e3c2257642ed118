"""Nearest rows: the same as by all distances, in blocks and for bytes."""

import numpy as np
import pytest

from keras_cl.numerics import neighbours


@pytest.mark.parametrize("block", [3, 7, 1000])
@pytest.mark.parametrize("k", [1, 4])
def test_the_nearest_of_all_distances_come_first(monkeypatch, block, k):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    rng = np.random.default_rng(0)
    x, others = (rng.integers(0, 256, (n, 4, 4, 1), np.uint8) for n in (5, 20))
    all_of = np.linalg.norm((x[:, None] / 255.0 - others / 255.0).reshape(5, 20, -1), axis=-1)
    distances, places = neighbours.nearest(x, others, k, scale=1 / 255)
    order = np.argsort(all_of, axis=1)[:, :k]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_allclose(distances, np.take_along_axis(all_of, order, axis=1), rtol=1e-5)


def test_an_equal_row_is_at_distance_zero_exactly():
    others = np.random.default_rng(0).normal(100, 1, (50, 784)).astype(np.float32)
    distances, places = neighbours.nearest(others[[7, 3]], others, 2)
    assert distances[:, 0].tolist() == [0, 0] and places[:, 0].tolist() == [7, 3]
    assert (distances[:, 1] > 0).all()


def test_there_are_no_more_neighbours_than_rows():
    rows = np.eye(3, dtype=np.float32)
    assert neighbours.nearest(rows[:2], rows, 9)[1].shape == (2, 3)
