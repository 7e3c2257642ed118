"""Masked GAN: a GAN whose generator is masked by task, and the memory that replays from it.

Ostapenko et al. 2019 (arXiv:1904.03137). What finished tasks use of the generator is fixed, so it generates
the same images for ever: it needs no copy, and the class that is asked for is the label.
"""

import warnings
from typing import Literal, get_args

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.devices.state import integers
from keras_cl.errors import Notice, pick, require
from keras_cl.generators.gan import GAN
from keras_cl.generators.masked import MaskedNetwork, MaskedUnits, MaskedWeights
from keras_cl.generators.masked_products import upsampling
from keras_cl.generators.memory import GenerativeMemory
from keras_cl.learning.gates import sharpness
from keras_cl.learning.layers import MASKED

Masks = Literal["units", "weights"]
LONGEST = 1e4  # norm of the generator's gradient


class MaskedGAN(GAN):
    """L_D of `GAN` on the rows of the task;  L_G of `GAN` + sparsity * (units now / units at first) * R

    The critic predicts the class among those of the task, so it does not where a task has one class. It
    starts anew with every task, as does the output layer of the generator.

    Args:
      input_shape: shape of one raw image.
      conditions: number of classes.
      tasks: number of tasks.
      masks: what every task masks: units (DGMa) or weights (DGMw).
      units: units of the generator's hidden layers at first.
      limit: most units of a hidden layer.
      sparsity: cost of using what no earlier task uses.
      s_max: sharpness of the masks at the end of a task.
      form: networks of generator and critic: dense, perceptrons; conv, convolutions of images, with masks of
        channels or of the windows between two channels, and growth by channels.
      **gan: further arguments of `GAN`.
    """

    def __init__(
        self,
        input_shape,
        *,
        conditions,
        tasks,
        masks="units",
        units=(64, 64),
        limit=1024,
        sparsity=0.1,
        s_max=400.0,
        form="dense",
        seed=0,
        **gan,
    ):
        pick("masks", masks, get_args(Masks))
        require(units and min(units) >= 1, f"hidden is {units}; a layer needs at least one unit.")
        require(
            limit >= max(units),
            f"limit is {limit}, and a hidden layer has {max(units)} units at first; growth needs a limit "
            f"that is not below that.",
        )
        require(sparsity >= 0, f"sparsity is {sparsity}; it must not be negative.")
        require(s_max > 1, f"s_max is {s_max}; it must be above 1.")
        require(
            None not in input_shape,
            f"A generator makes images of one size, and the network takes {tuple(input_shape)}; give "
            f"it one with that of the images.",
        )
        super().__init__(input_shape, form=form, conditions=conditions, seed=seed, **gan)
        self.units, self.sparsity, self.s_max = tuple(units), sparsity, s_max
        kind = MaskedUnits if masks == "units" else MaskedWeights
        sizes = {"tasks": tasks, "limit": limit, "kind": kind, "sharpest": s_max, "seed": seed}
        if form == "conv":
            sizes["products"] = upsampling(tuple(input_shape), len(units))
        outputs = int(np.prod(input_shape))
        self.masked = MaskedNetwork(self.latent, conditions, self.units, outputs, **sizes, name="masked")
        codes = [keras.Input((self.latent,), name="z"), keras.Input((conditions,), name="condition")]
        self.pixels = keras.Model(codes, self.masked(codes), name="pixels")
        self.classes = tf.Variable(tf.zeros(conditions), trainable=False, name="classes")  # 1: of this task
        self._fresh_critic = self.critic.get_weights()
        # Steps taken in this training of a task, steps per pass over its rows, and passes.
        self.taken, self.steps, self.passes = integers(), integers(1), integers(1)

    def begin(self, task):
        """Begins a `Task`, and says if growth has come to its limit."""
        self.masked.begin()
        self.critic.set_weights(self._fresh_critic)
        self.classes.assign(tf.cast(task.stream.labels[task.index] >= 0, tf.float32))
        layers = zip(self.masked.masked_layers, self.masked.free, self.masked.initial, strict=True)
        for layer, left, free in layers:
            if left < free:
                warnings.warn(
                    f"Layer {layer.name} of the generator has grown to its limit of {layer.units} units: "
                    f"{left} of {free} {layer.what} are free for task {task.number}; a larger "
                    f"--method.limit leaves room.",
                    Notice,
                    stacklevel=2,
                )

    def end(self, task):
        """Ends a `Task`, and says if its masks were kept before they were sharp."""
        left = int((self.steps * self.passes - self.taken).numpy())
        if left > 0:
            warnings.warn(
                f"The masks of task {task.number} are kept at the sharpness {float(self.sharpness()):.4g} of "
                f"{self.s_max:g}, as training ended {left} steps early: made binary, they generate other "
                f"images; leave out --early_stopping.",
                Notice,
                stacklevel=2,
            )
        self.masked.end(task.index)

    def train_step(self, batch):
        """Takes a step of `GAN` on rows of the current task, with the masks of this moment."""
        results = super().train_step(batch)
        self.masked.hold()
        self.taken.assign_add(1)
        return results

    def sharpness(self):
        """s, which rises over all passes of a training."""
        steps = tf.cast(self.steps * self.passes, tf.float32)
        return sharpness(tf.minimum(tf.cast(self.taken, tf.float32) / steps, 1.0), self.s_max)

    def penalty(self, batch):
        size = tf.add_n([layer.size for layer in self.masked.masked_layers])
        growth = tf.cast(size, tf.float32) / sum(self.units)
        return self.sparsity * growth * self.masked.used(self.sharpness())

    def judged(self, shown, training=False):
        scores, logits = super().judged(shown, training)
        return scores, tf.where(self.classes > 0, logits, MASKED)

    def pixels_now(self, codes):
        return self.masked.current(codes, self.sharpness())

    def allowed(self, gradients):
        return tf.clip_by_global_norm(self.masked.blocked(gradients), LONGEST)[0]


class ExactReplay(GenerativeMemory):
    """Replays from a `MaskedGAN` as it is, since what it generates of finished tasks does not change."""

    def copied(self, model):
        return model, lambda: None

    def bind(self, stream):
        require(
            stream.scenario == "class",
            f"Tasks are masked by their classes: the scenario has to be class, and it is {stream.scenario}.",
        )
        home = self.generator.masked.home
        require(
            len(stream) <= home.shape[1],
            f"The generator has masks for {home.shape[1]} tasks, and {stream.name} has {len(stream)}; give "
            f"as many.",
        )
        super().bind(stream)
        own = np.asarray(stream.labels >= 0).T  # [C, T]; a class is of the first task that shows it
        first = own & (np.cumsum(own, axis=1) == 1)
        home.assign(np.pad(first, [(0, 0), (0, home.shape[1] - len(stream))]).astype(np.float32))

    def begin(self, task, reset_optimizer=True):
        super().begin(task, reset_optimizer=True)  # momenta of an earlier task would move fixed weights
        self.generator.begin(task)

    def learn(self, batch):
        """Trains the generator on the rows of the task alone."""
        self.generator.train_step(batch.current)

    def update(self, task, features=None):
        self.generator.end(task)
        super().update(task, features)

    def report(self):
        return {**super().report(), "generator_units": float(sum(self.generator.masked.sizes))}

    @property
    def kept(self):
        return self.generator.masked.kept
