"""Generators: models of images that replay what they learned; one file each."""

from keras_cl.generators.vae import VAE

__all__ = ["VAE"]
