"""Networks of a GAN: pairs of a generator and a critic, of dense layers or of strided convolutions.

A generator takes codes, and one-hot conditions if there are any, to flat images before their activation. A
critic takes flat images to a score and, if there are conditions, to logits of the conditions.

The convolutional pair has the layers of MeRGAN (Wu et al. 2018, arXiv:1809.02058): 5x5 kernels with stride 2,
no normalisation in the critic. It takes sides that halve evenly; other images get a black border, which the
critic sees and the generator cuts off.
"""

import math
from typing import Literal, get_args

import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.errors import pick, require
from keras_cl.numerics.random import GENERATOR, seed_of

Form = Literal["dense", "conv"]
WIDTHS = {"dense": (256, 256), "conv": (32, 64, 128)}


def pair(form, shape, *, hidden=(), latent, conditions=0, seed=0):
    """`(generator, critic)` of a form, "dense" or "conv"; two functional models.

    Args:
      form: "dense", perceptrons; "conv", strided convolutions.
      shape: shape of one image.
      hidden: widths (channels) of the critic's hidden layers; the generator has them in reverse order. Empty
        for 256, 256 of dense layers, and 32, 64, 128 channels.
      latent: length of a code.
      conditions: number of conditions, 0 for none.
      seed: seed of the initial weights.
    """
    hidden = tuple(hidden) or WIDTHS[pick("form", form, get_args(Form))]
    require(all(width >= 1 for width in hidden), f"hidden is {hidden}; a layer needs at least one unit.")
    require(
        form == "dense" or len(shape) == 3,
        f"form=conv is for images [height, width, channels], and these have the shape {list(shape)}; give "
        f"form=dense.",
    )
    make = (_dense_generator, _dense_critic) if form == "dense" else (_conv_generator, _conv_critic)
    codes = [keras.Input((latent,), name="z")]
    codes += [keras.Input((conditions,), name="condition")] if conditions else []
    images = keras.Input((math.prod(shape),), name="images")
    draws = _Initial(form, seed)
    outputs = make[0](codes, shape, hidden[::-1], draws)
    features = make[1](images, shape, hidden, draws)
    # A bias would cancel in the critic's loss, and Adam would make steps of the rounding that is left of it.
    judged = [draws.dense(1, name="score", use_bias=False)(features)]
    judged += [draws.dense(conditions, name="classes")(features)] if conditions else []
    one = codes[0] if len(codes) == 1 else codes
    return keras.Model(one, outputs, name="pixels"), keras.Model(images, judged, name="critic")


class ConditionalBatchNorm(keras.layers.Layer):
    """Batch normalisation whose statistics, scale and offset are those of an image's condition.

    In the original a batch is normalised as a whole. A batch of one class then differs from a mixed one, and
    an image depends on those that it is generated with. Here the rows of a condition are normalised by their
    own mean and variance, so neither batches of other conditions nor tasks that do not have a condition move
    it; outside of training running means stand for them, and an image depends on its code and condition
    alone. Without conditions this is the usual batch normalisation.

    Inputs are images `[B, height, width, channels]`, and one-hot conditions `[B, C]` if there are any.

    Args:
      momentum: weight of the old value in a running mean.
      epsilon: added to variances.
    """

    def __init__(self, momentum=0.95, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape):
        images, *condition = input_shape if isinstance(input_shape, list) else [input_shape]
        shape = (condition[0][-1] if condition else 1, images[-1])
        self.scale = self.add_weight("scale", shape, initializer="ones")
        self.offset = self.add_weight("offset", shape, initializer="zeros")
        self.mean = self.add_weight("mean", shape, initializer="zeros", trainable=False)
        self.variance = self.add_weight("variance", shape, initializer="ones", trainable=False)
        super().build(input_shape)

    def call(self, inputs, training=False):
        x, *condition = inputs if isinstance(inputs, list) else [inputs]
        condition = condition[0] if condition else tf.ones([tf.shape(x)[0], 1])
        mean, variance = self._of_batch(x, condition) if training else (self.mean, self.variance)
        scale = self.scale * tf.math.rsqrt(variance + self.epsilon)
        offset = self.offset - mean * scale
        scale, offset = (tf.matmul(condition, values)[:, None, None] for values in (scale, offset))
        return x * scale + offset

    def _of_batch(self, x, condition):
        """Means and variances `[C, channels]` of the rows of each condition; updates the running means."""
        count = tf.reduce_sum(condition, axis=0) * tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
        count = replicas.summed(count)[:, None]

        def mean_of(values):
            sums = tf.matmul(condition, tf.reduce_sum(values, axis=[1, 2]), transpose_a=True)
            return tf.math.divide_no_nan(replicas.summed(sums), count)

        mean = mean_of(x)
        variance = mean_of(tf.square(x - tf.matmul(condition, mean)[:, None, None]))
        for kept, new in ((self.mean, mean), (self.variance, variance)):
            moved = self.momentum * kept + (1 - self.momentum) * new
            kept.assign(tf.where(count > 0, tf.stop_gradient(moved), kept))
        return mean, variance

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


class _Initial:
    """Makes layers with seeded initial weights: Glorot's for dense layers, N(0, 0.02) for convolutions."""

    def __init__(self, form, seed):
        self._form, self._seed, self._made = form, seed, 0

    def dense(self, units, activation=None, **options):
        return keras.layers.Dense(units, activation, kernel_initializer=self._next(), **options)

    def conv(self, kind, channels, **options):
        options |= {"strides": 2, "padding": "same", "kernel_initializer": self._next()}
        return kind(channels, 5, **options)

    def _next(self):
        seed, self._made = seed_of(self._seed, self._made, GENERATOR), self._made + 1
        if self._form == "dense":
            return keras.initializers.GlorotUniform(seed)
        return keras.initializers.RandomNormal(0.0, 0.02, seed)


def _dense_generator(codes, shape, hidden, initial):
    x = keras.layers.Concatenate()(codes) if len(codes) > 1 else codes[0]
    for width in hidden:
        x = initial.dense(width, "relu")(x)
    return initial.dense(math.prod(shape))(x)


def _dense_critic(x, shape, hidden, initial):
    for width in hidden:
        x = keras.layers.LeakyReLU(0.2)(initial.dense(width)(x))
    return x


def _conv_generator(codes, shape, hidden, initial):
    """Doubles the sides of a small map with each layer, and cuts off the border."""
    sides, border = padding(shape, len(hidden))
    x = initial.dense(math.prod(sides) * hidden[0])(codes[0])
    x = keras.layers.Reshape((*sides, hidden[0]))(x)
    for place, width in enumerate((*hidden[1:], shape[-1]), start=1):
        x = keras.layers.ReLU()(ConditionalBatchNorm()([x, *codes[1:]] if codes[1:] else x))
        last = place == len(hidden)  # before a normalisation a bias would cancel
        x = initial.conv(keras.layers.Conv2DTranspose, width, use_bias=last)(x)
    return keras.layers.Flatten()(keras.layers.Cropping2D(border)(x))


def _conv_critic(x, shape, hidden, initial):
    """Halves the sides of an image, with a border of -1, with each layer."""
    _, border = padding(shape, len(hidden))
    x = keras.layers.Rescaling(1.0, 1.0)(keras.layers.Reshape(shape)(x))  # a border is of zeros in Keras
    x = keras.layers.Rescaling(1.0, -1.0)(keras.layers.ZeroPadding2D(border)(x))
    for width in hidden:
        x = keras.layers.LeakyReLU(0.2)(initial.conv(keras.layers.Conv2D, width)(x))
    return keras.layers.Flatten()(x)


def padding(shape, layers):
    """Sides of the smallest map, and the border `((top, bottom), (left, right))` that makes sides fit."""
    sides = [-(-side // 2**layers) for side in shape[:2]]
    missing = [small * 2**layers - side for small, side in zip(sides, shape, strict=False)]
    return sides, tuple((rest // 2, rest - rest // 2) for rest in missing)
