"""What the tests of importances share: small networks, their rows, and one backward pass for every row."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

DENSE_ROWS, MAPPED_ROWS = 4, 3  # small blocks, so that every test fills more than one and leaves a rest
SUMMED_ROWS, DIRECTIONS = 3, 3
ROWS = 7
ALL = (True, True, True, True)
SOME = (True, True, False, True)


def chain(shape, *layers):
    x = images = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    network = keras.Model(images, x)
    rng = np.random.default_rng(1)
    for variable in network.variables:
        if variable.dtype.is_floating:  # no bias is zero and no batch norm the identity
            low = -1 if variable.shape.rank > 1 else 0.2
            variable.assign(rng.uniform(low, 1, variable.shape))
    return network


def linear(weights, bias=None):
    """A network of one dense layer with the kernel `weights` `[inputs, classes]`."""
    layer = keras.layers.Dense(np.shape(weights)[1], use_bias=bias is not None)
    network = chain((len(weights),), layer)
    layer.set_weights([np.asarray(part, np.float32) for part in (weights, bias) if part is not None])
    return network


def perceptron(*extra):
    """Three dense layers on bytes."""
    dense, relu = keras.layers.Dense, keras.layers.ReLU
    return chain((6,), keras.layers.Rescaling(1 / 255), dense(5), relu(), *extra, dense(4), relu(), dense(4))


class Power(keras.layers.Layer):
    """An operation on a weight that has no formula, and one that has."""

    def build(self, shape):
        self.power = self.add_weight("power", (shape[-1],))
        self.shift = self.add_weight("shift", (shape[-1],))

    def call(self, h):
        return tf.pow(tf.abs(h) + 0.5, self.power) + self.shift


def convolutional():
    """Convolution and batch norm before a dense layer."""
    norm, relu, flatten = keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Flatten()
    return chain((5, 5, 1), keras.layers.Conv2D(2, 3), norm, relu, flatten, keras.layers.Dense(4))


def rows_of(network, n=ROWS, seed=0):
    """`(x, y)`: random bytes where the network scales them, else normal numbers; labels among 0, 1 and 3."""
    rng = np.random.default_rng(seed)
    shape = (n, *network.input_shape[1:])
    scales = isinstance(network.layers[1], keras.layers.Rescaling)
    x = rng.integers(0, 256, shape, np.uint8) if scales else rng.normal(size=shape).astype(np.float32)
    return x, rng.choice([0, 1, 3], n).astype(np.int32)


def jacobian(network, x):
    """Logits and slopes of a chain of dense layers in float64.

    Returns:
      `(z, slopes)`: z `[n, C]`; for every variable the gradient of every row and logit, `[n, C, *shape]`.
    """
    h, passed = np.float64(x), []
    for layer in network.layers[1:]:
        passed.append((layer, h))
        if isinstance(layer, keras.layers.Dense):
            h = h @ layer.kernel.numpy().astype(float) + (layer.bias.numpy() if layer.use_bias else 0)
        elif isinstance(layer, keras.layers.ReLU):
            h = np.maximum(h, 0)
        else:
            h = h * layer.scale  # a Rescaling
    slopes, delta = [], np.broadcast_to(np.eye(h.shape[1]), (len(x), h.shape[1], h.shape[1]))
    for layer, inputs in reversed(passed):
        if isinstance(layer, keras.layers.Dense):
            of_kernel = np.einsum("ni,nck->ncik", inputs, delta)
            slopes[:0] = [of_kernel, delta] if layer.use_bias else [of_kernel]
            delta = delta @ layer.kernel.numpy().astype(float).T
        elif isinstance(layer, keras.layers.ReLU):
            delta = delta * (inputs > 0)[:, np.newaxis]
        else:
            delta = delta * layer.scale
    return h, slopes


def backward_passes(network, x):
    """The same of any network, in float32, by a backward pass for every row and logit."""
    logits, rows = [], []
    for row in x:
        with tf.GradientTape(persistent=True) as tape:
            z = network(row[np.newaxis], training=False)[0]
            each = tf.unstack(z)
        logits.append(z)
        none = tf.UnconnectedGradients.ZERO
        of_logits = [
            tape.gradient(one, network.trainable_variables, unconnected_gradients=none) for one in each
        ]
        of_logits = [[tf.convert_to_tensor(one) for one in each] for each in of_logits]  # some are sparse
        rows.append([np.stack(one).astype(float) for one in zip(*of_logits, strict=True)])
    return np.array(logits), [np.stack(one) for one in zip(*rows, strict=True)]


def assert_same(got, want, rtol=1e-5):
    """Equal to `rtol`, and to rounding where terms of a tensor's size cancel to nearly nothing."""
    for one, other in zip(got, want, strict=True):
        assert one.dtype == np.float32
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol, atol=1e-7 * np.abs(other).max())
