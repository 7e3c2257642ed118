"""Mirror: swaps left and right in half of the images."""

import tensorflow as tf

from keras_cl.learning.augment.base import Augmentation


class Mirror(Augmentation):
    """Swaps left and right with probability 1/2"""

    numbers = 1

    def __call__(self, x, u, top):
        column = tf.range(x.shape[2])
        # A choice between two images would make XLA compute what comes before for each of them.
        columns = tf.where(u < 0.5, column[::-1], column)
        return tf.gather(x, columns, axis=2, batch_dims=1)
