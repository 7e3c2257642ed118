"""How a layer of a masked generator multiplies rows by its kernel: densely, or as a transposed convolution.

A product takes rows `[R, ...]` and a kernel `[*window, I, N]`; `by_task` is the product of each row with the
kernel of its own task, given one-hot tasks `[R, T]` and kernels `[T, *window, I, N]`. `taps` is how many
entries of the window are summed in one output.
"""

import math

import tensorflow as tf
import tf_keras as keras

from keras_cl.generators.gan_networks import padding


class Dense:
    """x W, `[R, N]` of rows `[R, I]`."""

    window, taps = (), 1

    def units(self, outputs):
        """Units of a kernel that makes so many outputs."""
        return outputs

    def __call__(self, x, kernel):
        return x @ kernel

    def by_task(self, x, chosen, kernels):
        """A row lies in the place of its task in a longer row of zeros. That is one product, and what is
        multiplied by zero changes no bit."""
        tasks, inputs, outputs = kernels.shape
        x = tf.reshape(chosen[:, :, tf.newaxis] * x[:, tf.newaxis], [-1, tasks * inputs])
        return x @ tf.reshape(kernels, [tasks * inputs, outputs])

    def beside(self, mask):
        """Masks of rows `[R, N]` in the shape of the outputs."""
        return mask


class FirstMap(Dense):
    """The first map of a convolutional generator, `[R, *window, N]` of codes `[R, I]`."""

    def __init__(self, sides):
        self.window = tuple(sides)

    def __call__(self, x, kernel):
        return self._shaped(super().__call__(x, _matrix(kernel)), kernel)

    def by_task(self, x, chosen, kernels):
        return self._shaped(super().by_task(x, chosen, _matrix(kernels)), kernels)

    def beside(self, mask):
        return mask[:, tf.newaxis, tf.newaxis]

    def _shaped(self, y, kernel):
        return tf.reshape(y, [-1, *self.window, kernel.shape[-1]])


class Upsampling:
    """Transposed convolution by a 4x4 window and stride 2: maps `[R, h, w, I]` of twice the sides."""

    window, taps = (4, 4), 4

    def __call__(self, x, kernel):
        return _convolved(x, tf.transpose(kernel, [0, 1, 3, 2]))

    def by_task(self, x, chosen, kernels):
        """One row after the other, with the kernel of its task; so the work does not grow with the tasks."""
        kernels, task = tf.transpose(kernels, [0, 1, 2, 4, 3]), tf.argmax(chosen, axis=1)
        return tf.map_fn(
            lambda row: _convolved(row[0][tf.newaxis], tf.gather(kernels, row[1]))[0],
            (x, task),
            fn_output_signature=tf.float32,
        )

    def beside(self, mask):
        return mask[:, tf.newaxis, tf.newaxis]


class Painting(Upsampling):
    """The last transposed convolution: flat images, without the border `((top, bottom), (left, right))`."""

    def __init__(self, channels, border):
        self.channels, self.border = channels, border

    def units(self, outputs):
        """Units of a kernel that makes so many outputs."""
        return self.channels

    def __call__(self, x, kernel):
        return self._cut(super().__call__(x, kernel))

    def by_task(self, x, chosen, kernels):
        return self._cut(super().by_task(x, chosen, kernels))

    def _cut(self, maps):
        (top, bottom), (left, right) = self.border
        kept = maps[:, top : maps.shape[1] - bottom, left : maps.shape[2] - right]
        return tf.reshape(kept, [-1, math.prod(kept.shape[1:])])


def upsampling(shape, hidden):
    """Products of a convolutional generator of images: the first of `hidden` layers makes a small map, whose
    sides the others and the last one double."""
    sides, border = padding(shape, hidden)
    return [FirstMap(sides), *(Upsampling() for _ in range(hidden - 1)), Painting(shape[-1], border)]


def glorot(inputs, units, product, seed):
    """Glorot's uniform initial values of a kernel between numbers of inputs and of units."""
    wide = math.sqrt(6 / (product.taps * (inputs + units)))
    return keras.initializers.RandomUniform(-wide, wide, seed)


def _matrix(kernels):
    """Matrices `[..., I, h * w * N]` of kernels `[..., h, w, I, N]`."""
    *before, h, w, inputs, outputs = kernels.shape
    first = len(before)
    order = [*range(first), first + 2, first, first + 1, first + 3]
    return tf.reshape(tf.transpose(kernels, order), [*before, inputs, h * w * outputs])


def _convolved(x, kernel):
    """Maps `[R, 2h, 2w, N]` of maps `[R, h, w, I]` and a kernel `[4, 4, N, I]`."""
    h, w = x.shape[1:3]
    return tf.nn.conv2d_transpose(x, kernel, [tf.shape(x)[0], 2 * h, 2 * w, kernel.shape[2]], 2, "SAME")
