"""Generators: models of images that replay what they learned; `memory` makes a memory of one."""

from keras_cl.generators.memory import GenerativeMemory
from keras_cl.generators.vae import VAE

__all__ = ["VAE", "GenerativeMemory"]
