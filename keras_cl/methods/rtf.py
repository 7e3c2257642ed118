"""Replay through feedback: one network is both classifier and generator; its decoder generates the replay.

Van de Ven and Tolias 2018 (arXiv:1809.10635).
"""

from typing import Literal, get_args

import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import pick
from keras_cl.generators import VAE
from keras_cl.generators.memory import GenerativeMemory
from keras_cl.learning.layers import feature_extractor
from keras_cl.learning.network import image_shape
from keras_cl.methods.base import ContinualModel

Labels = Literal["hard", "soft"]


class Feedback(GenerativeMemory):
    """The decoder of the method's own network, which learns in the method's step."""

    def learn(self, batch):
        """Does nothing: the method's step trains the decoder."""
        return  # AutoGraph cannot convert a function that is a docstring alone


class RtF(ContinualModel):
    """L = 1/t [L_gen(x) + CE(x, y)] + (1 - 1/t) [L_gen(x') + T^2 KD(x', q)],  x' and q from task t-1

    The last hidden layer h of the network feeds its logits and q(z|h) of a VAE, whose decoder has the hidden
    layers in reverse order. L_gen is the VAE's loss per pixel, so that it does not dominate the
    classification loss.

    Args:
      network: raw images to logits; a functional or sequential model, which is copied.
      latent: dimension of the latent codes z.
      labels: labels of generated images: soft, class probabilities; hard, the most likely class.
      temperature: T of soft labels.
      scale_by_t2: whether the loss of soft labels is multiplied by T^2.
    """

    memories = ()
    search = {"latent": [20, 50, 100], "temperature": [1.0, 2.0, 4.0]}

    def __init__(
        self,
        network,
        *,
        latent: int = 100,
        labels: Labels = "soft",
        temperature: float = 2.0,
        scale_by_t2: bool = True,
        **base,
    ):
        super().__init__(network, **base)
        network = self.network
        h = feature_extractor(network)
        hidden = [layer.units for layer in h.layers if isinstance(layer, keras.layers.Dense)]
        vae = VAE(image_shape(network), hidden=hidden, latent=latent, per_pixel=True, trunk=h, seed=self.seed)
        self.memory = Feedback(
            vae,
            labels=pick("labels", labels, get_args(Labels)),
            temperature=temperature,
            scale_by_t2=scale_by_t2,
            seed=self.seed,
        )
        self.joint = keras.Model(network.inputs, [network.output, vae.parameters_of.output])
        self.way_back = vae.decoder

    def train_step(self, batch):
        vae = self.memory.generator
        with tf.GradientTape() as tape:
            z, parameters = self.joint(batch.x, training=True)
            logits = self._masked(z, batch.task)
            L_gen = vae.objective(batch, vae.posterior(parameters))
            loss = L_gen + self.task_loss(batch, logits)
        self.apply(self.gradients(tape, loss))
        return self.results(batch, logits)

    @property
    def trained(self):
        return self.joint.trainable_variables + self.way_back.trainable_variables
