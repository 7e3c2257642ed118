"""Corruptions of images: noise, blur, fog and others of Hendrycks & Dietterich 2019 (arXiv:1903.12261).

Formulas and severities are those of the released programs for CIFAR-10-C (32 pixels), Tiny ImageNet-C (64)
and ImageNet-C (224): https://github.com/hendrycks/robustness, `ImageNet-C/create_c`. Lengths such as the
width of a blur are in pixels, as there, so the table for the nearest size is used; 8x8 and 28x28 images have
that of 32. Here all images of a block are corrupted at once, and a result is rounded to bytes, not cut.
"""

import functools
import math

import numpy as np
from scipy import ndimage

# Parameters of severities 1 to 5, by the size of the images that they were released for.
SEVERITIES = {
    "gaussian_noise": {  # standard deviation
        32: (0.04, 0.06, 0.08, 0.09, 0.10),
        64: (0.04, 0.08, 0.12, 0.15, 0.18),
        224: (0.08, 0.12, 0.18, 0.26, 0.38),
    },
    "speckle_noise": {  # standard deviation, in units of the pixel
        32: (0.06, 0.1, 0.12, 0.16, 0.2),
        64: (0.15, 0.2, 0.25, 0.3, 0.35),
        224: (0.15, 0.2, 0.35, 0.45, 0.6),
    },
    "impulse_noise": {  # fraction of values that become 0 or 1
        32: (0.01, 0.02, 0.03, 0.05, 0.07),
        64: (0.01, 0.02, 0.05, 0.08, 0.14),
        224: (0.03, 0.06, 0.09, 0.17, 0.27),
    },
    "gaussian_blur": {  # standard deviation, in pixels
        32: (0.4, 0.6, 0.7, 0.8, 1),
        64: (0.5, 0.75, 1, 1.25, 1.5),
        224: (1, 2, 3, 4, 6),
    },
    "pixelate": {  # side of the small image, as a fraction
        32: (0.95, 0.9, 0.85, 0.75, 0.65),
        64: (0.9, 0.8, 0.7, 0.6, 0.5),
        224: (0.6, 0.5, 0.4, 0.3, 0.25),
    },
    "fog": {  # thickness, and decay of its roughness from one scale to the next
        32: ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        64: ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
        224: ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    },
    "contrast": {  # factor of the distance from the mean
        32: (0.75, 0.5, 0.4, 0.3, 0.15),
        64: (0.4, 0.3, 0.2, 0.1, 0.05),
        224: (0.4, 0.3, 0.2, 0.1, 0.05),
    },
    "brightness": {  # added to the value of hue, saturation and value
        32: (0.05, 0.1, 0.15, 0.2, 0.3),
        64: (0.1, 0.2, 0.3, 0.4, 0.5),
        224: (0.1, 0.2, 0.3, 0.4, 0.5),
    },
}
NAMES = tuple(SEVERITIES)


def parameters(name, severity, shape):
    """The released parameters of a corruption for images of `shape`, `(height, width, channels)`."""
    side = min(shape[:2])
    table = SEVERITIES[name]
    nearest = min(table, key=lambda size: abs(math.log(size / side)))
    return table[nearest][severity - 1]


def draws(name, rng, count, shape, given):
    """What is random in the corruption of images, float32 `[count, ...]`; None if nothing is.

    Args:
      name: one of `NAMES`.
      rng: NumPy random generator.
      count, shape: number and shape of the images.
      given: the `parameters`.
    """
    if name in ("gaussian_noise", "speckle_noise"):
        return rng.standard_normal((count, *shape), np.float32)
    if name == "impulse_noise":
        return rng.random((count, *shape), np.float32)
    return plasma(rng, count, shape, given[1]) if name == "fog" else None


def corrupted(name, x, drawn, given):
    """Images `[n, height, width, channels]` with values in [0, 1], corrupted; values can leave [0, 1].

    Args:
      name: one of `NAMES`.
      x: float32 images.
      drawn: the `draws` for these images.
      given: the `parameters`.
    """
    match name:
        case "gaussian_noise":
            return x + given * drawn
        case "speckle_noise":
            return x + given * x * drawn
        case "impulse_noise":
            return np.where(drawn < given / 2, 0, np.where(drawn >= 1 - given / 2, 1, x))
        case "gaussian_blur":
            return ndimage.gaussian_filter(x, (0, given, given, 0), mode="nearest")
        case "pixelate":
            count, rows, columns, channels = x.shape
            flat = x.reshape(count, rows, columns * channels)
            across = np.kron(_boxes(columns, given), np.eye(channels, dtype=np.float32))
            return (_boxes(rows, given) @ flat @ across.T).reshape(x.shape)
        case "fog":
            largest, (thickness, _) = x.max(axis=(1, 2, 3), keepdims=True), given
            return (x + thickness * drawn) * (largest / (largest + thickness))
        case "contrast":
            mean = x.mean(axis=(1, 2), keepdims=True)
            return (x - mean) * given + mean
        case "brightness":  # hue and saturation stay where red, green and blue keep their ratios
            value = functools.reduce(np.maximum, np.moveaxis(x, -1, 0))[..., np.newaxis]
            brighter = np.minimum(value + given, 1)
            return np.where(value > 0, x * (brighter / np.maximum(value, 1e-12)), brighter)


def plasma(rng, count, shape, decay):
    """Clouds `[count, height, width, 1]` from 0 to 1, by the diamond-square algorithm (Fournier et al. 1982).

    The map is a torus whose side is a power of two, and the image its upper left corner. Each pass halves the
    distance of known points, and adds noise that falls by the factor `decay`.
    """
    side = 2 ** math.ceil(math.log2(max(2, *shape[:2])))
    height = np.zeros((count, side, side), np.float32)
    step, wibble = side, 100.0

    def between(total):
        noise = rng.random(total.shape, np.float32) * 2 - 1
        return total / 4 + wibble * wibble * noise

    while step >= 2:
        half, corners = step // 2, height[:, ::step, ::step]
        square = corners + np.roll(corners, -1, axis=1)
        centres = between(square + np.roll(square, -1, axis=2))
        height[:, half::step, half::step] = centres
        beside = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=2)
        height[:, ::step, half::step] = between(beside)
        below = centres + np.roll(centres, 1, axis=2) + corners + np.roll(corners, -1, axis=1)
        height[:, half::step, ::step] = between(below)
        step, wibble = half, wibble / decay
    height -= height.min(axis=(1, 2), keepdims=True)
    height /= height.max(axis=(1, 2), keepdims=True)
    return height[:, : shape[0], : shape[1], np.newaxis]


@functools.cache
def _boxes(side, fraction):
    """The matrix `[side, side]` that makes a row of pixels smaller and large again, by the box filter."""
    small = max(1, int(side * fraction))
    pixel, box = np.arange(side) + 0.5, np.arange(small)[:, np.newaxis] + 0.5
    place = pixel * small / side - box  # of a pixel in a box of width 1
    smaller = ((place > -0.5) & (place <= 0.5)).astype(np.float32)
    smaller /= smaller.sum(axis=1, keepdims=True)
    return smaller[(pixel * small / side).astype(int)]
