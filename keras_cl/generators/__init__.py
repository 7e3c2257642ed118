"""Generators, one file each: models that learn images and generate similar ones for replay."""

from keras_cl.generators.vae import VAE

__all__ = ["VAE"]
