"""Builders of task streams, one file each: `permuted`, `rotated`, `split`."""

from keras_cl.streams.permuted import permuted
from keras_cl.streams.rotated import rotated
from keras_cl.streams.split import split

__all__ = ["permuted", "rotated", "split"]
