"""CutMix: replaces a box of each image by that of another image (Yun et al. 2019, arXiv:1905.04899)."""

import tensorflow as tf


def cutmix(x, uniform, order):
    """Mixes images with a box of relative area 1 - lam, with lam from Beta(1, 1), which is uniform.

    Args:
      x: images `[B, H, W, channels]`.
      uniform: three uniform numbers in [0, 1): lam, and the vertical and horizontal centre of the box.
      order: index of the image that each box comes from, `[B]`.

    Returns:
      `(mixed, lam)`; lam is the fraction of an image's own pixels, after the box was clipped at the edges.
    """
    H, W = x.shape[1:3]
    side = tf.sqrt(1 - uniform[0])

    def inside(length, middle):
        half = tf.floor(tf.floor(length * side) / 2)
        middle, place = tf.floor(middle * length), tf.range(length, dtype=tf.float32)
        return tf.logical_and(place >= middle - half, place < middle + half)

    box = tf.logical_and(inside(float(H), uniform[1])[:, tf.newaxis], inside(float(W), uniform[2]))
    mixed = tf.where(box[..., tf.newaxis], tf.gather(x, order), x)
    return mixed, 1 - tf.reduce_mean(tf.cast(box, tf.float32))
