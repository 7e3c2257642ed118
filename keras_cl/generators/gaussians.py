r"""Gaussians: a mean and a covariance of the features of each cell, in closed form.

$$ v' = \max(m_c + L_c \epsilon,\, v_{\min}), \qquad L_c L_c^\top = S_c + 10^{-3} I, \quad
\epsilon \sim N(0, I) $$
"""

import numpy as np
import tensorflow as tf

from keras_cl.generators.features import FeatureMemory, Hidden

SHRINKAGE = 1e-3  # added to the variances: a class with few rows has no full covariance


class Gaussians(FeatureMemory):
    """d + d (d + 1) / 2 numbers for each cell, which nothing has to train.

    Args:
      head, seed: as in `FeatureMemory`.
    """

    def __init__(self, head, seed=0):
        super().__init__(head, codes=head.input_shape[-1], seed=seed)

    def cell_bytes(self):
        d = self.size
        return 4 * (d + d * (d + 1) // 2) + 4 * d**2  # the last are those of L

    def build(self):
        self._rows, self._columns = np.tril_indices(self.size)
        self.mean, self.covariance = (
            tf.Variable(tf.zeros([self.cells, size]), trainable=False, name=name)
            for name, size in (("mean", self.size), ("covariance", len(self._rows)))
        )
        # L follows from the covariances: it is made before draws, and belongs to no checkpoint.
        self._roots = Hidden(tf.Variable(tf.zeros([self.cells, self.size, self.size]), trainable=False))

    def prepare(self, cells):
        roots = np.zeros(self._roots.variable.shape, np.float32)
        roots[:cells] = _roots(self._full()[:cells] + SHRINKAGE * np.eye(self.size))
        self._roots.variable.assign(roots)

    def features_of(self, cell, eps):
        L = tf.gather(self._roots.variable, cell)
        return tf.gather(self.mean, cell) + tf.linalg.matvec(L, eps)

    def move(self, A, b):
        old = self._first[int(self.task.numpy())]
        mean, S = self.mean.numpy(), self._full()
        mean[:old], S[:old] = mean[:old] @ A + b, A.T @ S[:old] @ A
        self._keep(mean, S)

    def learn_features(self, task, V, cell):
        mean, S = self.mean.numpy(), self._full()
        for own in np.unique(cell):
            rows = V[cell == own].astype(np.float64)
            mean[own] = m = rows.mean(axis=0)
            S[own] = (rows - m).T @ (rows - m) / len(rows)
        self._keep(mean, S)

    def _full(self):
        """The covariances of all cells `[n, d, d]`, float64."""
        S = np.zeros([self.cells, self.size, self.size])
        S[:, self._rows, self._columns] = S[:, self._columns, self._rows] = self.covariance.numpy()
        return S

    def _keep(self, mean, S):
        self.mean.assign(mean)
        self.covariance.assign(S[:, self._rows, self._columns].astype(np.float32))


def _roots(S):
    """Matrices L with L L^T = S, of covariances `[n, d, d]`."""
    try:
        return np.linalg.cholesky(S)
    except np.linalg.LinAlgError:  # rounding of large variances can make small ones negative
        values, axes = np.linalg.eigh(S)
        return axes * np.sqrt(np.maximum(values, 0))[:, np.newaxis]
