"""Corrupted images: the released formulas and severities, and noise that belongs to a row."""

import numpy as np
import pytest
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import correlate1d

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.numerics import corruptions
from keras_cl.streams.parts import kept

NOISE = ("gaussian_noise", "speckle_noise", "impulse_noise", "fog")
every_corruption = pytest.mark.parametrize("name", corruptions.NAMES)


def images(rows=3, shape=(12, 10, 3), dtype=np.float32, seed=0):
    x = np.random.default_rng(seed).random((rows, *shape))
    return np.rint(255 * x).astype(np.uint8) if dtype == np.uint8 else x.astype(dtype)


def source_of(x, x_test=None):
    """A source of two classes whose test images are those of training, or others."""
    y, x_test = np.arange(len(x)) % 2, x if x_test is None else x_test
    return sources.from_arrays(x, y, x_test, np.arange(len(x_test)) % 2, name="toy")


def stream_of(x, *names, **given):
    return streams.corrupted(source_of(x), tasks=len(names), corruptions=names, **given)


def opened(x, name, **given):
    return stream_of(x, name, **given)[0].train.open()[0]


# ---- formulas ----------------------------------------------------------------------------------------------


def blurred(image, given):
    place = np.arange(-round(4 * given), round(4 * given) + 1)
    kernel = np.exp(-((place / given) ** 2) / 2)
    for axis in (0, 1):
        image = correlate1d(image, kernel / kernel.sum(), axis, mode="nearest")
    return image


def pixelated(image, given):
    height, width = image.shape[:2]
    channels = []
    for channel in np.moveaxis(image, -1, 0):
        small = Image.fromarray(channel).resize(
            (int(width * given), int(height * given)), Image.Resampling.BOX
        )
        channels.append(np.asarray(small.resize((width, height), Image.Resampling.BOX)))
    return np.stack(channels, axis=-1)


def brightened(image, given):
    hsv = rgb_to_hsv(image)
    hsv[..., 2] = np.clip(hsv[..., 2] + given, 0, 1)
    return hsv_to_rgb(hsv)


def contrasted(image, given):
    return np.stack([(c - c.mean()) * given + c.mean() for c in np.moveaxis(image, -1, 0)], axis=-1)


FORMULAS = {
    "gaussian_blur": blurred,
    "pixelate": pixelated,
    "brightness": brightened,
    "contrast": contrasted,
}


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_corruption_is_its_formula_image_by_image(name, severity):
    x = images()
    given = corruptions.SEVERITIES[name][32][severity - 1]
    expected = [FORMULAS[name](image, given).clip(0, 1) for image in x]
    np.testing.assert_allclose(opened(x, name, severity=severity), expected, atol=2e-6)


def test_gaussian_speckle_and_impulse_noise_have_the_released_strength():
    x = np.full((300, 10, 10, 1), 0.5, np.float32)
    assert opened(x, "gaussian_noise").std() == pytest.approx(0.1, rel=0.02)
    assert opened(x, "speckle_noise").std() == pytest.approx(0.5 * 0.2, rel=0.02)
    values, counts = np.unique(opened(x, "impulse_noise"), return_counts=True)
    np.testing.assert_array_equal(values, [0, 0.5, 1])
    np.testing.assert_allclose(counts / x.size, [0.035, 0.93, 0.035], atol=0.004)


def test_speckle_noise_leaves_black_black():
    assert not opened(np.zeros((4, 6, 6, 1), np.float32), "speckle_noise").any()


def clouds(rng, side, decay):
    """The diamond-square algorithm on a torus, point by point."""
    height, step, wibble = np.zeros((side, side)), side, 100.0
    while step >= 2:
        half, places = step // 2, range(0, side, step)
        for down, right, corners in (
            (half, half, [(-half, -half), (-half, half), (half, -half), (half, half)]),
            (0, half, [(0, -half), (0, half), (-half, 0), (half, 0)]),
            (half, 0, [(0, -half), (0, half), (-half, 0), (half, 0)]),
        ):
            noise = rng.random((1, len(places), len(places)), np.float32)[0] * 2 - 1
            for i, y in enumerate(places):
                for j, x in enumerate(places):
                    around = [height[(y + down + a) % side, (x + right + b) % side] for a, b in corners]
                    height[y + down, x + right] = np.mean(around) + wibble**2 * noise[i, j]
        step, wibble = half, wibble / decay
    return (height - height.min()) / (height.max() - height.min())


@pytest.mark.parametrize("decay", [3, 1.75])
def test_clouds_are_those_of_the_diamond_square_algorithm(decay):
    expected = clouds(np.random.default_rng(5), 16, decay)[:9, :12]
    found = corruptions.plasma(np.random.default_rng(5), 1, (9, 12, 3), decay)
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-5)


def test_fog_adds_clouds_and_keeps_the_brightest_value():
    x, drawn = images(), np.random.default_rng(0).random((3, 12, 10, 1), np.float32)
    most = x.reshape(3, -1).max(axis=1).reshape(3, 1, 1, 1)
    found = corruptions.corrupted("fog", x, drawn, (1.5, 1.75))
    np.testing.assert_allclose(found, (x + 1.5 * drawn) * most / (most + 1.5), rtol=1e-5)
    assert not corruptions.corrupted("fog", 0 * x, drawn, (1.5, 1.75)).any()


@pytest.mark.parametrize(("side", "size"), [(8, 32), (28, 32), (32, 32), (64, 64), (96, 64), (224, 224)])
def test_severities_are_those_of_the_nearest_released_size(side, size):
    found = corruptions.parameters("gaussian_blur", 2, (side, side + 4, 3))
    assert found == corruptions.SEVERITIES["gaussian_blur"][size][1]


@every_corruption
def test_a_higher_severity_changes_images_more(name):
    x = images(shape=(16, 16, 3), rows=20)
    changes = [np.abs(opened(x, name, severity=s) - x).mean() for s in (1, 2, 3, 4, 5)]
    assert changes[0] > 0
    assert np.all(np.diff(changes) > 0)


# ---- rows --------------------------------------------------------------------------------------------------


@every_corruption
def test_type_shape_and_range_stay_and_none_is_none(name):
    digits = streams.corrupted("digits", tasks=2, corruptions=("none", name))
    for part in ("train", "test"):
        plain, changed = (digits.split(index, part).open()[0] for index in range(2))
        assert changed.dtype == np.uint8
        assert changed.shape == plain.shape
        assert changed.max() <= 16
        assert (changed != plain).any()
        np.testing.assert_array_equal(plain, getattr(digits.source, part)[0])
    for dtype in (np.uint8, np.float32):
        x = images(shape=(7, 9, 3), dtype=dtype)
        changed = opened(x, name)
        assert (changed.dtype, changed.shape) == (dtype, x.shape)
        assert changed.min() >= 0
        assert changed.max() <= (255 if dtype == np.uint8 else 1)


@every_corruption
def test_bytes_are_the_rounded_result_of_the_same_floats(name):
    x = images(dtype=np.uint8)
    floats = opened((x / 255).astype(np.float32), name)
    assert np.abs(opened(x, name).astype(float) - 255 * floats).max() <= 0.501


@pytest.mark.parametrize("name", NOISE)
def test_noise_belongs_to_a_row_whichever_rows_are_opened(name):
    x = images(rows=600, shape=(4, 4, 1))
    whole = opened(x, name)
    cut = stream_of(x, name, valid_fraction=0.3)
    for part in ("train", "valid"):
        split = cut.split(0, part)
        np.testing.assert_array_equal(split.open()[0], whole[split.rows])


@pytest.mark.parametrize("name", NOISE)
def test_noise_differs_by_row_part_task_and_seed_and_by_nothing_else(name):
    x = np.tile(images(rows=1, shape=(16, 16, 1)), (300, 1, 1, 1))  # one image in two blocks

    def parts(**given):
        stream = stream_of(x, name, name, **given)
        return [stream.split(index, part).open()[0] for index in range(2) for part in ("train", "test")]

    seen = np.concatenate([*parts(), *parts(seed=1)]).reshape(8 * len(x), -1)
    assert len(np.unique(seen, axis=0)) == len(seen)
    for one, same in zip(parts(), parts(), strict=True):
        np.testing.assert_array_equal(one, same)


def test_test_images_are_corrupted_once_if_they_take_little_memory(monkeypatch):
    made = []
    once = corruptions.corrupted
    monkeypatch.setattr(corruptions, "corrupted", lambda *given: made.append(given[0]) or once(*given))
    stream = stream_of(images(), "contrast", "fog")
    first = [task.test.open()[0] for task in stream]
    for task, x in zip(stream, first, strict=True):
        assert task.test.open()[0] is x
    assert made == ["contrast", "fog"]
    for _ in range(2):
        stream[0].train.open()
    assert made[2:] == ["contrast"] * 2
    monkeypatch.setattr(kept, "MOST", first[0].nbytes)  # of one task
    stream = stream_of(images(), "contrast", "fog")
    for _ in range(2):
        stream[1].test.open()
    assert made[4:] == ["fog"] * 2


# ---- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"corruptions": ("none", "gausian_noise")}, "'gausian_noise' is not known; .*mean gaussian_noise?"),
        ({"severity": 0}, "severity is 0; it must be a whole number from 1 to 5"),
        ({"severity": 6}, "severity is 6; it must be a whole number from 1 to 5"),
        ({"tasks": 0}, "at least one task, not 0"),
        ({"tasks": 3, "corruptions": ("none", "fog")}, "2 corruptions are given for 3 tasks"),
        ({"tasks": 10}, "10 tasks need 10 corruptions; list them"),
        ({"dataset": source_of(images(shape=(9,)))}, "Only images can be corrupted; the rows of toy are not"),
        ({"dataset": source_of(images(shape=(9, 1)))}, "Only images can be corrupted; the rows of toy are"),
    ],
)
def test_corruptions_that_make_no_sense_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        streams.corrupted(**{"tasks": 2, **given})


def test_floats_beyond_0_and_1_are_refused_in_the_first_task():
    stream = stream_of(4 * images() - 2, "none", "fog")
    with pytest.raises(
        InputError, match=r"pixels in \[0, 1\], and those of toy go from -.* to .*; scale them"
    ):
        stream[0].train.open()


def test_without_a_list_the_first_tasks_of_the_usual_order_are_shown():
    assert streams.corrupted(tasks=3).corruptions == ("none", "gaussian_noise", "gaussian_blur")
    assert {*streams.corrupted(tasks=9).corruptions} == {"none", *corruptions.NAMES}
