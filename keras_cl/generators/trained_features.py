"""Generators of features: conditional ones, trained at the end of a task on its features and generated ones.

As for images, the generator of the previous task stands for the rows of earlier tasks. Here its features are
first moved to where the network has moved them.
"""

from typing import Literal, get_args

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import Diverged, pick, require
from keras_cl.generators import gan
from keras_cl.generators.features import FeatureMemory, Hidden
from keras_cl.generators.gaussians import Gaussians
from keras_cl.generators.vae import VAE
from keras_cl.learning import batches, loop
from keras_cl.learning.batches import total, weighted_mean
from keras_cl.learning.layers import frozen_copy
from keras_cl.learning.network import some_images
from keras_cl.learning.slots import FreshState
from keras_cl.numerics.random import KEEP, LATENT, ORDER, seed_of

Backend = Literal["gauss", "cvae", "cgan"]
ROWS = 128  # of a step, and as many generated ones


class TrainedFeatures(FeatureMemory):
    """A generator of features whose condition is the cell.

    Args:
      head, seed: as in `FeatureMemory`.
      make: function of a number of conditions that returns a compiled generator, such as
        `keras_cl.generators.VAE`.
      latent: length of its codes.
      iterations: least number of steps on the features of a task, in whole passes over them.
      align: weight of the squared distance of features from those of the previous task's generator, which are
        moved, for the same codes and cells (as `mergan` aligns images).
    """

    def __init__(self, head, make, *, latent, iterations, align=0.0, seed=0):
        super().__init__(head, codes=latent, seed=seed)
        self._make, self.iterations, self.align = make, iterations, align
        self.jit, self._strategy = True, None

    def build(self):
        self.model = self._make(self.cells)
        if self.align:
            self.model.penalty = self._alignment
        self.decoder, self._freeze = frozen_copy(self.model.pixels)
        self._fresh = [FreshState(*pair) for pair in self.model.optimizers]
        # The map of the next training; it is used up when the task ends, and belongs to no checkpoint.
        sizes = ([self.size, self.size], [self.size])
        self._map = [Hidden(tf.Variable(tf.zeros(size), trainable=False)) for size in sizes]
        self._train = None

    def attach(self, network, jit):
        self.jit = jit
        self._strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None

    def begin(self, task, reset_optimizer=True):
        super().begin(task, reset_optimizer)
        self.model.reseed(seed_of(self.seed, task.index, LATENT))
        self.move(np.eye(self.size), np.zeros(self.size))
        for fresh in self._fresh if reset_optimizer else ():
            fresh.restore()

    def features_of(self, cell, eps):
        return self.model.images(self.decoder([eps, tf.one_hot(cell, self.cells)]))

    def move(self, A, b):
        for held, value in zip(self._map, (A, b), strict=True):
            held.variable.assign(value.astype(np.float32))

    def learn_features(self, task, V, cell):
        if self._train is None:
            self._train = loop.train_function(self.model, self._step, self.jit, strategy=self._strategy)
        seeds = (seed_of(self.seed, task.index, purpose) for purpose in (ORDER, KEEP))
        data = batches.chunks(V, cell, np.zeros(len(V)), batch_size=ROWS, seed=next(seeds))
        self.state.assign([next(seeds), 0])
        count, epochs = int(data.cardinality()), -(-self.iterations // -(-len(V) // ROWS))
        iterator = iter(data.repeat(epochs))
        with self.progress.phase("training of the generator", epochs * count) as advance:
            for chunk in range(epochs * count):
                for metric in self.model.metrics if not chunk % count else ():
                    metric.reset_state()
                self._train(iterator)
                advance()
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            raise Diverged(f"The generator's weights are no longer finite after task {task.number}")
        self._freeze()

    def report(self):
        """The generator's losses in its last pass."""
        return {metric.name: float(metric.result()) for metric in self.model.metrics if self.cells}

    @property
    def kept(self):
        return self.model.trainable_variables

    def _step(self, batch):
        """A step on features of the task and on as many of earlier ones, which weigh t - 1 times as much."""
        B = batch.x.shape[0]
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        cell, eps = self._codes(B, seed, step, tf.gather(self._first, self.task))
        v = self._moved(cell, eps)
        weight = tf.cast(self.task, tf.float32) * total(batch.weight) / total(tf.ones(B))
        pairs = (batch.x, v), (batch.y, cell), (batch.task, batch.task), (batch.weight, tf.fill([B], weight))
        self.model.train_step(batches.Batch(*(tf.concat(pair, axis=0) for pair in pairs)))

    def _moved(self, cell, eps):
        """Features of earlier cells, where the network has moved them."""
        A, b = (held.variable for held in self._map)
        return self._bounded(tf.matmul(self._bounded(self.features_of(cell, eps)), A) + b)

    def _alignment(self, batch):
        """align |G(eps, c) - (G_{t-1}(eps, c) A + b)|^2, mean over as many codes as the batch has rows."""
        B, (seed, step) = batch.x.shape[0], tf.unstack(self.state)
        # Of numbers that no replay has, which counts from 0 upwards.
        cell, eps = self._codes(B, seed, -step, tf.gather(self._first, self.task))
        now = self.model.images(self.model.pixels([eps, tf.one_hot(cell, self.cells)], training=True))
        distance = tf.reduce_sum(tf.square(now - tf.stop_gradient(self._moved(cell, eps))), axis=1)
        weight = tf.where(self.task > 0, self.align, 0.0)  # nothing is earlier than the first task
        return weight * weighted_mean(distance, tf.ones(B))


def feature_memory(backend, embedder, head, *, hidden, latent, iterations, seed, align=0.0):
    """The `FeatureMemory` of a backend.

    Args:
      backend: gauss, `Gaussians`; cvae, a conditional VAE; cgan, a conditional GAN.
      embedder: model from raw images to features, f.
      head: model from features to logits, h.
      hidden: widths of the encoder's or the critic's hidden layers; the other half has them in reverse order.
      latent: length of the codes of cvae and cgan.
      iterations: steps of cvae and cgan on the features of a task, in whole passes over them.
      seed: seed of weights and draws.
      align: weight of the squared distance of generated features from earlier ones, of cvae and cgan.
    """
    pick("backend", backend, get_args(Backend))
    require(align >= 0, f"align is {align}; it must not be negative.")
    require(not align or backend != "gauss", "align is of cvae and cgan: gauss forgets no class.")
    require(iterations >= 1, f"memory_iterations is {iterations}; it must be at least 1.")
    require(latent >= 1, f"latent is {latent}; a generator needs at least one latent unit.")
    require(all(width >= 1 for width in hidden), f"hidden is {hidden}; a layer needs at least one unit.")
    size = (head.input_shape[-1],)
    options = {"hidden": tuple(hidden), "latent": latent, "seed": seed}

    def cvae(cells):
        vae = VAE(size, likelihood="normal", conditions=cells, **options)
        vae.compile(keras.optimizers.Adam(1e-3))
        return vae

    def cgan(cells):
        # Features that are never negative end in a ReLU, and so do those that are generated.
        never_negative = tf.reduce_min(embedder(some_images(embedder), training=False)) >= 0
        made = gan.GAN(size, conditions=cells, activation="relu" if never_negative else "linear", **options)
        made.compile()
        return made

    if backend == "gauss":
        return Gaussians(head, seed=seed)
    make = {"cvae": cvae, "cgan": cgan}[backend]
    return TrainedFeatures(head, make, latent=latent, iterations=iterations, align=align, seed=seed)
