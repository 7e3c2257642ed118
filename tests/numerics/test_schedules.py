"""Schedules: learning rates by the epoch."""

import numpy as np
import pytest

from keras_cl.numerics.schedules import warm_restarts


@pytest.mark.parametrize("epoch", [1, 2, 4, 8, 16, 32, 64, 128, 256, 4096])
def test_the_cosine_restarts_at_every_power_of_two(epoch):
    np.testing.assert_allclose(warm_restarts(epoch, 0.05, 0.01), 0.05, rtol=1e-6)
    if epoch > 1:
        before = 0.01 + 0.02 * (1 + np.cos(np.pi * (epoch / 2 - 1) / (epoch / 2)))
        np.testing.assert_allclose(warm_restarts(epoch - 1, 0.05, 0.01), before, rtol=1e-5)


@pytest.mark.parametrize(("epoch", "share"), [(3, 0.5), (5, 0.853553), (6, 0.5), (7, 0.146447), (96, 0.5)])
def test_between_restarts_it_falls_as_a_cosine(epoch, share):
    np.testing.assert_allclose(warm_restarts(epoch, 0.05, 0.01), 0.01 + 0.04 * share, rtol=1e-5)


def test_the_first_epoch_warms_up():
    np.testing.assert_allclose(warm_restarts(0, 0.05, 0.01), 0.005, rtol=1e-6)
