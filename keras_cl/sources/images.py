"""Images of one size and colour: resizing, padding and colours by stated rules, for bytes and floats.

Sizes follow `image_dataset_from_directory` of Keras: bilinear, without antialiasing; bytes are rounded. Grey
is `tf.image.rgb_to_grayscale`; a grey image in colour has three equal channels; an alpha channel is dropped.
"""

import functools

import numpy as np

from keras_cl.sources.base import Source

BATCH_BYTES = 16 * 2**20  # of images that are changed, or decoded, at a time


def fitted(images, reading):
    """A tensor of images `[..., height, width, channels]` as a `Reading` asks for them, of the same dtype.

    With the resizing "pad", images larger than the size stay as they are.
    """
    images = _coloured(images, reading.color_mode)
    if not reading.size:
        return images
    return _sized(images, reading.size, reading.resizing)


def batch_rows(shape):
    """Rows of images of a shape that are worked on at a time."""
    return max(1, BATCH_BYTES // int(np.prod(shape)))


def refitted(source, reading):
    """A `Source` with the images of another one as a `Reading` asks for them.

    Raises:
      InputError: if they cannot be brought to that size.
    """
    shape = reading.shape(source.name, source.input_shape)
    if not reading.image_size and not reading.color_mode:
        return source
    load = functools.partial(_refit, source, reading, shape)
    return Source(source.name, shape, source.classes, source.scale, load, source.class_names)


def _refit(source, reading, shape):
    import tensorflow as tf

    def changed(x):
        found = np.empty((len(x), *shape), x.dtype)
        size = batch_rows(max(shape, x.shape[1:], key=np.prod))
        for start in range(0, len(x), size):
            found[start : start + size] = fitted(tf.constant(x[start : start + size]), reading)
        return found

    with tf.device("CPU:0"):
        return tuple((changed(x), y) for x, y in source.read())


def _coloured(images, mode):
    import tensorflow as tf

    def grey():
        return images[..., :1]

    def colour():
        return tf.ensure_shape(images[..., :3], [*[None] * (len(images.shape) - 1), 3])

    if not mode:
        return images
    known = images.shape[-1]
    has_colour = tf.shape(images)[-1] >= 3 if known is None else tf.constant(known >= 3)
    if mode == "rgb":
        ways = colour, lambda: tf.repeat(grey(), 3, axis=-1)
    else:
        ways = (lambda: tf.image.rgb_to_grayscale(colour())), grey
    return tf.cond(has_colour, *ways) if known is None else ways[0 if known >= 3 else 1]()


def _sized(images, size, resizing):
    import tensorflow as tf

    height, width = tf.shape(images)[-3], tf.shape(images)[-2]
    if resizing == "pad":
        fits = (height <= size[0]) & (width <= size[1])
        return tf.cond(fits, lambda: _framed(images, *size), lambda: images)
    ratio_height, ratio_width = width * size[0] // size[1], height * size[1] // size[0]
    if resizing == "crop_to_aspect_ratio":
        kept = tf.minimum(height, ratio_height), tf.minimum(width, ratio_width)
        top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
        images = images[..., top : top + kept[0], left : left + kept[1], :]
    elif resizing == "pad_to_aspect_ratio":
        images = _framed(images, tf.maximum(height, ratio_height), tf.maximum(width, ratio_width))
    resized = tf.image.resize(images, size)
    return tf.saturate_cast(tf.round(resized) if images.dtype.is_integer else resized, images.dtype)


def _framed(images, height, width):
    """Images in the middle of zeros, in images of `height` x `width`; nearer to the top and the left."""
    import tensorflow as tf

    above, below = _halves(height - tf.shape(images)[-3])
    left, right = _halves(width - tf.shape(images)[-2])
    outer = [[0, 0]] * (len(images.shape) - 3)
    return tf.pad(images, [*outer, [above, below], [left, right], [0, 0]])


def _halves(missing):
    return missing // 2, missing - missing // 2
