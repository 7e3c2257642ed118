"""Masked network: one of a generator, masked by every task on units or weights, grown by what tasks used.

Ostapenko et al. 2019 (arXiv:1904.03137); the masks are those of Serra et al. 2018 (arXiv:1801.01423).

Variables have the size of the limit from the beginning, and units that do not exist yet are masked in every
task. So growth changes no shape: a step is traced once for the stream, a checkpoint always fits, and images
of earlier tasks stay equal bit for bit.
"""

import math

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.devices.state import integers
from keras_cl.generators.masked_products import Dense, glorot
from keras_cl.learning.gates import WIDEST, attention, share_used
from keras_cl.numerics.random import GENERATOR, seed_of

BITS = 1 << np.arange(8, dtype=np.uint8)  # of a byte


class MaskedLayer(keras.layers.Layer):
    """Layer with ReLU, with a mask for every task; base class of both kinds of masks.

    Args:
      inputs: most inputs, and how many of them exist at first: a pair.
      units: most units, and how many of them exist at first: a pair.
      tasks: number of tasks.
      seed: seed of the initial kernel.
      product: how rows are multiplied by the kernel; in convolutions the units are channels.
    """

    def __init__(self, inputs, units, tasks, seed, product=None, **kwargs):
        super().__init__(**kwargs)
        self.product = product or Dense()
        (self.inputs, some_inputs), (self.units, some_units) = inputs, units
        random = glorot(some_inputs, some_units, self.product, seed)  # of the sizes at first
        shape = (*self.product.window, self.inputs, self.units)
        self.kernel = self.add_weight("kernel", shape, tf.float32, random)
        shape = self.shape_of_mask()
        self.embedding = self.add_weight("embedding", shape, tf.float32, "zeros")  # e of the current task
        fixed = {"initializer": "zeros", "trainable": False}
        self.reserved = self.add_weight("reserved", shape, tf.float32, **fixed)  # r, 1 in use
        self.packed = self.add_weight("masks", (tasks, -(-math.prod(shape) // 8)), tf.uint8, **fixed)
        self.size = integers(some_units, "size")  # units that exist
        self.built = True

    def there(self):
        """1 for units `[N]` that exist, 0 for those that may come."""
        return tf.cast(tf.range(self.units, dtype=tf.int64) < self.size, tf.float32)

    @property
    def count(self):
        """Number of units that exist."""
        return int(self.size.numpy())

    def masks(self):
        """Masks of all tasks, `[T, ...]`: 0 and 1, and 0 in tasks that are not finished."""
        bits = tf.bitwise.bitwise_and(self.packed[..., tf.newaxis], tf.constant(BITS)) != 0
        shape = self.shape_of_mask()
        bits = tf.reshape(bits, [self.packed.shape[0], -1])[:, : math.prod(shape)]
        return tf.cast(tf.reshape(bits, [-1, *shape]), tf.float32)

    def gates(self, s, sharpest, inputs):
        """Mask of the current task at the sharpness `s`; `inputs` `[I]` are those that exist."""
        return attention(self.embedding, s, sharpest) * self.existing(inputs)

    def free(self, inputs):
        """1 for what exists and no finished task uses."""
        return self.existing(inputs) * (1 - self.reserved)

    def reserve(self, task, inputs):
        """Keeps the mask of the current task, e > 0; returns how much of it no earlier task used."""
        mask = (tf.cast(self.embedding > 0, tf.float32) * self.existing(inputs)).numpy()
        taken = int((mask > self.reserved.numpy()).sum())
        packed = self.packed.numpy()
        packed[task] = np.packbits(mask.astype(bool).reshape(-1), bitorder="little")
        self.packed.assign(packed)
        self.reserved.assign(np.maximum(self.reserved.numpy(), mask))
        return taken


class MaskedUnits(MaskedLayer):
    """Masks on units: h = m * relu(W x + b)."""

    what = "units"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.bias = self.add_weight("bias", (self.units,), tf.float32, "zeros")

    def shape_of_mask(self):
        return (self.units,)

    def existing(self, inputs):
        """1 where a mask has something to mask."""
        return self.there()

    def masked(self, x, mask):
        """Outputs `[R, ..., N]` of the current task, of inputs `[R, ..., I]` and its mask."""
        return tf.nn.relu(self.product(x, self.kernel) + self.bias) * mask

    def replayed(self, x, chosen):
        """Outputs `[R, ..., N]` of rows of finished tasks, which are `chosen` `[R, T]`, one-hot."""
        return self.masked(x, self.product.beside(chosen @ self.masks()))

    def passing(self, before):
        """Factors of the gradients of kernel and bias: 0 for what a finished task uses; `before` is the
        reserved set of the layer before."""
        return [1 - tf.minimum(before[:, tf.newaxis], self.reserved), 1 - self.reserved]

    def weights_of_task(self):
        return [self.kernel, self.bias]

    def grown(self, taken, inputs, widened):
        """Units to add for `taken` newly reserved ones, so that as many are free as before."""
        return taken


class MaskedWeights(MaskedLayer):
    """Masks on weights: h = relu((m * W) x); there is no bias, which all tasks would share. In a convolution
    a weight is the whole window between two channels."""

    what = "weights"

    def shape_of_mask(self):
        return (self.inputs, self.units)

    def existing(self, inputs):
        """1 where a mask has something to mask."""
        return inputs[:, tf.newaxis] * self.there()

    def masked(self, x, mask):
        """Outputs `[R, ..., N]` of the current task, of inputs `[R, ..., I]` and its mask."""
        return tf.nn.relu(self.product(x, mask * self.kernel))

    def replayed(self, x, chosen):
        """Outputs `[R, ..., N]` of rows of finished tasks, which are `chosen` `[R, T]`, one-hot."""
        masks = self.masks()
        masks = tf.reshape(masks, [len(masks), *(1 for _ in self.product.window), *masks.shape[1:]])
        return tf.nn.relu(self.product.by_task(x, chosen, masks * self.kernel))

    def passing(self, before):
        """Factors of the gradient of the kernel: 0 for what a finished task uses."""
        return [1 - self.reserved]

    def weights_of_task(self):
        return [self.kernel]

    def grown(self, taken, inputs, widened):
        """Units to add for `taken` newly reserved weights, after the layer before grew by `widened` units to
        `inputs`, which gave weights too."""
        return units_for(taken, widened * self.count, inputs)


class MaskedNetwork(keras.layers.Layer):
    """Codes and classes to flat pixels before the sigmoid: two or more masked layers, and for each task an
    output layer of its own.

    Args:
      latent: dimension of the codes.
      conditions: number of classes.
      hidden: units of each hidden layer at first, which is the free capacity that growth restores.
      outputs: number of outputs, the values of an image.
      tasks: number of tasks.
      limit: most units of a hidden layer.
      kind: `MaskedUnits` or `MaskedWeights`.
      sharpest: s_max of the masks.
      seed: seed of the initial weights.
      products: how each layer multiplies, by default densely; one for each hidden layer and the last one.
    """

    def __init__(
        self,
        latent,
        conditions,
        hidden,
        outputs,
        *,
        tasks,
        limit,
        kind,
        sharpest,
        seed,
        products=(),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.sharpest, inputs = sharpest, latent + conditions
        *inner, self.product = products or [Dense() for _ in (*hidden, outputs)]
        # A task uses at most what is free, which is as much as at first.
        widths = [(inputs, inputs), *((min(limit, tasks * units), units) for units in hidden)]
        self.masked_layers = [
            kind(*pair, tasks, seed_of(seed, place, GENERATOR), product, name=f"masked_{place}")
            for place, (*pair, product) in enumerate(zip(widths, widths[1:], inner, strict=False))
        ]
        most, some = widths[-1]
        units = self.product.units(outputs)
        random = glorot(some, units, self.product, seed_of(seed, len(hidden), GENERATOR))
        shape = (*self.product.window, most, units)
        self.kernel = self.add_weight("kernel", shape, tf.float32, random)
        self.bias = self.add_weight("bias", (outputs,), tf.float32, "zeros")
        self._initial = [self.kernel.numpy(), self.bias.numpy()]
        fixed = {"initializer": "zeros", "trainable": False}
        self.kernels = self.add_weight("kernels", (tasks, *shape), tf.float32, **fixed)
        self.biases = self.add_weight("biases", (tasks, outputs), tf.float32, **fixed)
        self.home = self.add_weight("home", (conditions, tasks), tf.float32, **fixed)  # 1: task of a class
        self.finished = integers(name="finished")  # number of tasks
        self.initial = self.free  # what is free in each layer at first
        self.built = True

    # ---- generating --------------------------------------------------------------------------------------

    def call(self, inputs):
        """Pixels `[R, D]` of rows of finished tasks, from codes `[R, Z]` and one-hot classes `[R, C]`."""
        chosen = inputs[1] @ self.home
        x = tf.concat(inputs, axis=1)
        for layer in self.masked_layers:
            x = layer.replayed(x, chosen)
        return self.product.by_task(x, chosen, self.kernels) + chosen @ self.biases

    def current(self, inputs, s):
        """As `call`, of rows of the current task, with masks of the sharpness `s`."""
        x = tf.concat(inputs, axis=1)
        for layer, mask in zip(self.masked_layers, self.gates(s), strict=True):
            x = layer.masked(x, mask)
        return self.product(x, self.kernel) + self.bias

    def gates(self, s):
        """Masks of the current task at the sharpness `s`, by layer."""
        return [layer.gates(s, self.sharpest, there) for layer, there in self._with_inputs()]

    # ---- learning ----------------------------------------------------------------------------------------

    def used(self, s):
        """R: the share of the free capacity that the masks of this task use at the sharpness `s`."""
        free = [layer.free(there) for layer, there in self._with_inputs()]
        return share_used(self.gates(s), free)

    def blocked(self, gradients):
        """Gradients of `trainable_variables`, 0 for the weights that a finished task uses."""
        before, factors = tf.ones(self.masked_layers[0].inputs), {}
        for layer in self.masked_layers:
            own = zip(layer.weights_of_task(), layer.passing(before), strict=True)
            factors |= {id(theta): factor for theta, factor in own}
            before = layer.reserved
        known = zip(gradients, self.trainable_variables, strict=True)
        return [g * factors[id(theta)] if id(theta) in factors else g for g, theta in known]

    def hold(self):
        """Keeps the embeddings within bounds after a step."""
        for layer in self.masked_layers:
            layer.embedding.assign(tf.clip_by_value(layer.embedding, -WIDEST, WIDEST))

    def begin(self):
        """Begins a task: new embeddings of its masks, and a new output layer."""
        for layer in self.masked_layers:
            layer.embedding.assign(tf.zeros_like(layer.embedding))
        for variable, value in zip((self.kernel, self.bias), self._initial, strict=True):
            variable.assign(value)

    def end(self, task):
        """Ends the task of the index `task`: keeps its masks and output layer, and grows by what it used."""
        for kept, variable in ((self.kernels, self.kernel), (self.biases, self.bias)):
            kept.assign(tf.tensor_scatter_nd_update(kept, [[task]], variable[tf.newaxis]))
        taken = [layer.reserve(task, there) for layer, there in self._with_inputs()]
        inputs, widened = self.masked_layers[0].inputs, 0
        for layer, count in zip(self.masked_layers, taken, strict=True):
            size = layer.count
            layer.size.assign(min(layer.units, size + layer.grown(count, inputs, widened)))
            inputs, widened = layer.count, layer.count - size
        self.finished.assign(task + 1)

    # ---- sizes -------------------------------------------------------------------------------------------

    @property
    def sizes(self):
        """Units of each hidden layer that exist now."""
        return [layer.count for layer in self.masked_layers]

    @property
    def free(self):
        """What is free in each layer: units, or weights."""
        return [int(tf.reduce_sum(layer.free(there))) for layer, there in self._with_inputs()]

    @property
    def kept(self):
        """What has to be kept to go on and to generate, as `tf.TensorSpec`s: weights of the units that exist,
        masks of the finished tasks as bits, and of their output layers the weights of units that they use."""
        tasks, specs = int(self.finished.numpy()), []
        for layer, there in self._with_inputs():
            inputs = int(tf.reduce_sum(there))
            specs += [
                (*layer.product.window, inputs, layer.count),
                *((layer.count,) for _ in layer.weights_of_task()[1:]),
            ]
            bits = tasks * int(tf.reduce_sum(layer.existing(there)))
            masks = layer.masks().numpy()[:tasks]
            specs.append(-(-bits // 8))
        (*window, _, channels), pixels = self.kernel.shape, self.bias.shape[0]
        used = masks.reshape(tasks, -1, layer.units).any(axis=1).sum(axis=1) if tasks else []
        specs += [shape for units in used for shape in ((*window, int(units), channels), (pixels,))]
        return [
            tf.TensorSpec([shape], tf.uint8) if isinstance(shape, int) else tf.TensorSpec(shape, tf.float32)
            for shape in specs
        ]

    def _with_inputs(self):
        there = tf.ones(self.masked_layers[0].inputs)
        for layer in self.masked_layers:
            yield layer, there
            there = layer.there()


def units_for(taken, gained, fan_in):
    """Units of `fan_in` weights each that replace `taken` reserved weights, after `gained` new ones."""
    return -(-max(taken - gained, 0) // fan_in)
