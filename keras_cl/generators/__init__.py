"""Generators: models that learn images and generate similar ones; `memory` makes a memory of one."""

from keras_cl.generators.gan import GAN
from keras_cl.generators.memory import GenerativeMemory
from keras_cl.generators.vae import VAE

__all__ = ["GAN", "VAE", "GenerativeMemory"]
