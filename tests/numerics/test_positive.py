"""Systems of positive definite matrices: the solution of NumPy, with and without XLA."""

import numpy as np
import pytest
import tensorflow as tf

from keras_cl.numerics.positive import solved


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("n", [1, 2, 17])
def test_it_is_the_solution_of_an_ill_conditioned_system(n, jit):
    rng = np.random.default_rng(n)
    axes, _ = np.linalg.qr(rng.normal(size=(n, n)))
    M = axes * np.geomspace(1e3, 1e-5, n) @ axes.T
    M = (M + M.T) / 2
    right = rng.normal(size=(n, 3))
    compiled = tf.function(lambda M, right: solved(M, right, jit), jit_compile=jit)
    found = compiled(tf.constant(M), tf.constant(right)).numpy()
    np.testing.assert_allclose(M @ found, right, atol=1e-6)
    np.testing.assert_allclose(found, np.linalg.solve(M, right), rtol=1e-6, atol=1e-6)


def test_there_may_be_no_unknowns():
    for jit in (True, False):
        assert solved(tf.zeros([0, 0]), tf.zeros([0, 2]), jit).shape == (0, 2)
