"""A sequence of data sets: images of one shape, classes side by side, each data set as it is alone."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers import blobs, learn
from PIL import Image

from keras_cl import methods, sources, streams
from keras_cl.errors import InputError
from keras_cl.memories import Herding, Reservoir, VAEMemory
from keras_cl.networks import mlp
from keras_cl.settings.build import make_stream
from keras_cl.settings.config import Config
from keras_cl.sources.reading import data_name

SCENARIOS = ("task", "domain", "class")
PARTS = ("train", "valid", "test")


def data(name, shape=(6, 6, 1), labels=(0, 1), dtype=np.uint8, rows=8, seed=0):
    arrays = blobs((rows,) * len(labels), labels=labels, shape=shape, dtype=dtype, seed=seed)
    return sources.from_arrays(
        *(arrays[f"{a}_{part}"] for part in ("train", "test") for a in "xy"), name=name
    )


def small():
    """Two grey classes, and three in colour and larger, whose labels are 2, 5 and 9."""
    return [data("grey"), data("colour", (8, 10, 3), (2, 5, 9), seed=1)]


def written(folder, *made):
    """The .npz files of some data sets."""
    for source in made:
        (x, y), (x_test, y_test) = source.train, source.test
        np.savez(folder / f"{source.name}.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return [str(folder / f"{source.name}.npz") for source in made]


def first_images(made, **given):
    return [task.train.open()[0] for task in streams.datasets(made, **given)]


# ---- classes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "labels", "mask"),
    [
        ("task", [[0, 1, -1, -1, -1], [-1, -1, 2, 3, 4]], [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]]),
        ("domain", [[0, 1, -1], [2, 3, 4]], [[1, 1, 1], [1, 1, 1]]),
        ("class", [[0, 1, -1, -1, -1], [-1, -1, 2, 3, 4]], [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]),
    ],
)
def test_classes_of_different_data_sets_are_different(scenario, labels, mask):
    stream = streams.datasets(small(), scenario=scenario)
    np.testing.assert_array_equal(stream.labels, labels)
    np.testing.assert_array_equal(stream.class_mask, np.array(mask, bool))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_row_has_the_unit_of_its_class(scenario):
    stream = streams.datasets(small(), scenario=scenario, valid_fraction=0.25)
    first = 0 if scenario == "domain" else 2
    for task, source, offset in zip(stream, small(), (0, first), strict=True):
        for part in PARTS:
            split = task.stream.split(task.index, part)
            y = (source.test if part == "test" else source.train)[1][split.rows]
            np.testing.assert_array_equal(split.open()[1], offset + np.searchsorted(source.classes, y))
            assert split.open()[1].dtype == np.int32


def test_a_data_set_has_the_rows_that_it_has_alone():
    stream = streams.datasets(small(), valid_fraction=0.25, seed=3)
    for task, source in zip(stream, small(), strict=True):
        alone = streams.permuted(source, tasks=1, valid_fraction=0.25, seed=3)[0]
        for part in PARTS:
            np.testing.assert_array_equal(getattr(task, part).rows, getattr(alone, part).rows)
            assert len(getattr(task, part))


def test_messages_name_data_set_and_class():
    stream = streams.datasets(small())
    assert stream.name == "datasets grey,colour"
    assert repr(stream[1]) == "<Task 2 of 2 of datasets grey,colour, classes colour 2, colour 5, colour 9>"


# ---- images ------------------------------------------------------------------------------------------------


def test_images_have_the_largest_size_and_colour_if_one_has_it():
    stream = streams.datasets(small())
    assert stream.input_shape == (8, 10, 3)
    grey, colour = first_images(small())
    np.testing.assert_array_equal(colour, small()[1].train[0])
    assert grey.shape == (16, 8, 10, 3)
    assert (grey == grey[..., :1]).all()
    alike = first_images([data("a"), data("b", seed=1)])
    np.testing.assert_array_equal(alike[0], data("a").train[0])


def test_padding_puts_images_into_the_middle_of_zeros():
    grey, _ = first_images(small(), resizing="pad", image_size="8x10")
    x = small()[0].train[0]
    for channel in range(3):
        np.testing.assert_array_equal(grey[:, 1:7, 2:8, channel], x[..., 0])
    grey[:, 1:7, 2:8] = 0
    assert not grey.any()


def test_stretching_is_bilinear():
    x = data("grey", (6, 6, 1)).train[0]
    grey, _ = first_images([data("grey", (6, 6, 1)), data("b", (12, 12, 1))])
    wanted = [
        Image.fromarray(image[..., 0].astype(np.float32)).resize((12, 12), Image.Resampling.BILINEAR)
        for image in x
    ]
    np.testing.assert_allclose(grey[..., 0], np.stack(wanted), atol=0.51)


def test_colour_becomes_grey_as_in_tensorflow():
    _, colour = first_images(small(), color_mode="grayscale", image_size="8x10")
    assert colour.shape == (24, 8, 10, 1)
    np.testing.assert_array_equal(colour, tf.image.rgb_to_grayscale(small()[1].train[0]))


@pytest.mark.parametrize(("image_size", "shape"), [("9", (9, 9, 3)), ("9x12", (9, 12, 3)), (16, (16, 16, 3))])
def test_a_size_of_ones_own(image_size, shape):
    stream = streams.datasets(small(), image_size=image_size)
    assert stream.input_shape == shape
    assert {task.test.open()[0].shape[1:] for task in stream} == {shape}


def test_bytes_of_another_scale_become_bytes_and_beside_floats_all_are_floats():
    digits = sources.source("digits")
    both = streams.datasets(["digits", data("b", (8, 8, 1))])
    assert both.source.scale == 1 / 255
    x = both[0].train.open()[0]
    assert x.dtype == both.source.dtype == np.uint8
    np.testing.assert_array_equal(x, np.rint(255 / 16 * digits.train[0].astype(float)))
    floats = streams.datasets(["digits", data("f", (8, 8, 1), dtype=np.float32)])
    assert floats.source.scale == 1
    for task in floats:
        assert task.train.open()[0].dtype == floats.source.dtype == np.float32
    np.testing.assert_allclose(floats[0].train.open()[0], digits.train[0] / 16)


def test_rows_and_signals_of_one_shape_are_taken_as_they_are():
    for shape in ((5,), (7, 1)):
        one, two = data("one", shape, dtype=np.float32), data("two", shape, dtype=np.float32, seed=1)
        for x, source in zip(first_images([one, two]), (one, two), strict=True):
            np.testing.assert_array_equal(x, source.train[0])


def test_the_source_has_all_rows_as_the_tasks_show_them():
    stream = streams.datasets(small(), scenario="class")
    for part in ("train", "test"):
        x, y = getattr(stream.source, part)
        opened = [getattr(task, part).open() for task in stream]
        np.testing.assert_array_equal(x, np.concatenate([x for x, _ in opened]))
        np.testing.assert_array_equal(y, np.concatenate([y for _, y in opened]))
        assert y.dtype == np.int32


def test_images_stay_in_their_sources_until_a_task_is_opened():
    read = []

    def lazy(name, made):
        load = lambda: read.append(name) or (made.train, made.test)  # noqa: E731
        return sources.Source(name, made.input_shape, made.classes, made.scale, load)

    stream = streams.datasets([lazy(source.name, source) for source in small()])
    VAEMemory(stream, hidden=(4,), latent=2).require_images(stream)  # bytes are pixels
    assert read == []
    stream[1].train.open()
    assert read == ["colour"]


# ---- methods -----------------------------------------------------------------------------------------------

MEMORIES = {"ER": Reservoir, "DERpp": Reservoir, "ICaRL": Herding}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("ER", "class"),
        ("ER", "domain"),
        ("DERpp", "class"),
        ("ICaRL", "class"),
        ("EWC", "domain"),
        ("LwF", "task"),
        ("HAT", "task"),
        ("Joint", "class"),
    ],
)
def test_methods_learn_data_sets_of_unequal_numbers_of_classes(name, scenario):
    stream = streams.datasets(small(), scenario=scenario, image_size="4", color_mode="grayscale")
    memory = {"memory": MEMORIES[name](stream, capacity=10)} if name in MEMORIES else {}
    model = getattr(methods, name)(mlp(stream, hidden=(8,)), **memory)
    model.compile("adam", jit=False)
    for task in learn(model, stream, batch_size=8):
        assert np.isfinite(model.accuracies(stream))[: task.number].all()
    units = model.predict_units(stream[1].test.open()[0], stream.class_mask[1], 1)
    assert stream.class_mask[1, units].all()


# ---- the command -------------------------------------------------------------------------------------------


def test_the_command_takes_a_list_of_data_sets(tmp_path):
    files = written(tmp_path, *small())
    config = Config(stream="datasets", dataset=",".join(files), resizing="pad", image_size="12")
    assert (config.tasks, config.scenario) == (2, "task")
    assert config.name.startswith("ewc-datasets-grey,colour-task-")
    assert config.settings["tasks"] == 2
    stream = make_stream(config)
    assert [len(task.classes) for task in stream] == [2, 3]
    again = Config.from_settings(config.settings)
    assert again.settings == config.settings
    written(tmp_path, data("colour", (8, 10, 3), (2, 5, 9), seed=2))
    with pytest.raises(InputError, match="colour.npz has changed since this run was started"):
        Config.from_settings(config.settings)


def test_one_data_set_has_five_tasks_unless_told_otherwise():
    assert Config().tasks == 5
    assert Config(tasks=3).settings["tasks"] == 3
    assert Config(stream="datasets", dataset="mnist,cifar10,cifar100").tasks == 3


def test_a_path_with_a_comma_is_one_data_set(tmp_path):
    (file,) = written(tmp_path, data("a,b"))
    assert sources.names(file) == [file]
    assert streams.permuted(file, tasks=1)[0].train.open()[0].shape == (16, 6, 6, 1)
    assert data_name(file) == "a,b"
    assert data_name("folder/a.npz,mnist") == "a,mnist"


@pytest.mark.parametrize(
    ("made", "given", "message"),
    [
        ([data("a"), data("a", seed=1)], {}, "a is named twice; every task has a data set of its own"),
        ("digits,digits", {}, "digits is named twice"),
        ("digits,mnits", {}, "dataset 'mnits' is not known; .*Did you mean mnist?"),
        ("digits", {}, "Every data set is a task of this stream, and digits is one alone; name several, as"),
        ("digits,own.py", {}, "own.py cannot be one of several data sets; save its arrays as .npz, or pass"),
        (small(), {"tasks": 5}, "2 data sets are given for 5 tasks; every data set is one task"),
        ([data("a"), data("r", (5,))], {}, "a has images of 6x6x1 and r has rows of 5: only images can be"),
        ([data("r", (5,)), data("s", (6,))], {}, "r has rows of 5 and s has rows of 6: only images can be"),
        (
            [data("r", (5,)), data("s", (5,))],
            {"image_size": "8"},
            "--image_size is for images; the rows of r are not images",
        ),
        ([data("a"), data("b", (6, 6, 2))], {}, "a has images of 1 channels, which cannot become 2"),
        (
            small(),
            {"image_size": "7", "resizing": "pad"},
            "colour has images of 8x10 pixels, which --resizing=pad cannot bring to --image_size=7x7",
        ),
        (
            small(),
            {"image_size": "7by7"},
            "--image_size is 7by7; give the number of pixels of a side, as 32, or height and",
        ),
        (small(), {"image_size": "0"}, "--image_size is 0; give the number of pixels"),
        (small(), {"resizing": "strech"}, "resizing 'strech' is not known; .*Did you mean stretch?"),
        (small(), {"color_mode": "grey"}, "color_mode 'grey' is not known; possible: grayscale, rgb"),
    ],
)
def test_data_sets_that_make_no_sequence_are_refused(made, given, message):
    with pytest.raises(InputError, match=message):
        streams.datasets(made, **given)


@pytest.mark.parametrize("build", [streams.split, streams.permuted, streams.rotated, streams.corrupted])
def test_other_streams_take_one_data_set(build):
    with pytest.raises(InputError, match="'digits,mnist' names several data sets: --stream=datasets makes a"):
        build("digits,mnist")


def test_data_sets_are_read_one_by_one_and_not_joined():
    made = [
        dataclasses.replace(one, load=lambda _, one=one: one.read(), shows_progress=True) for one in small()
    ]
    stream = streams.datasets(made)
    stream.read(None)
    assert all("_arrays" in vars(one) for one in made)
    assert "_arrays" not in vars(stream.source)
