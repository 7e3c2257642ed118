"""Task streams: what a scenario asks, which rows a task holds, and what a view does to an image."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
from scipy import ndimage

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.streams.parts import kept
from keras_cl.streams.rotated import _angles, rotate, rotation_taps

SCENARIOS = ("task", "domain", "class")
PARTS = ("train", "valid", "test")


def toy(shape=(6, 6, 1), classes=4, rows=10, dtype=np.uint8, seed=0):
    """A source of noise with `rows` training rows a class, and half as many for testing."""
    rng = np.random.default_rng(seed)

    def part(count):
        x = rng.integers(0, 256, (count * classes, *shape)).astype(np.uint8)
        x = x if dtype == np.uint8 else (x / 255).astype(dtype)
        return x, rng.permutation(np.tile(np.arange(classes), count))

    return sources.from_arrays(*part(rows), *part(rows // 2), name="toy")


def one_image(image):
    """A source whose only image, for training and for testing, is `image`."""
    x, y = np.asarray(image)[np.newaxis], np.zeros(1, int)
    return sources.from_arrays(x, y, x, y, name="one")


def seen_by(stream, part="train"):
    """The first image of every task."""
    return [getattr(task, part).open()[0][0] for task in stream]


# ---- scenarios ---------------------------------------------------------------------------------------------

BUILDERS = {
    "split": lambda **given: streams.split(toy(), tasks=2, **given),
    "split in another order": lambda **given: streams.split(toy(), tasks=2, class_order="3,0,2,1", **given),
    "split into unequal tasks": lambda **given: streams.split(toy(classes=7), sizes=(3, 2, 2), **given),
    "split of some classes": lambda **given: streams.split(
        toy(classes=6), tasks=2, class_order="5,1,4,2", **given
    ),
    "permuted": lambda **given: streams.permuted(toy(), tasks=3, **given),
    "rotated": lambda **given: streams.rotated(toy(), tasks=3, **given),
    "corrupted": lambda **given: streams.corrupted(toy(), tasks=3, **given),
}
every_stream = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


@pytest.mark.parametrize(
    ("scenario", "labels", "mask"),
    [
        ("task", [[0, 1, -1, -1], [-1, -1, 2, 3]], [[1, 1, 0, 0], [0, 0, 1, 1]]),
        ("domain", [[0, 1], [2, 3]], [[1, 1], [1, 1]]),
        ("class", [[0, 1, -1, -1], [-1, -1, 2, 3]], [[1, 1, 0, 0], [1, 1, 1, 1]]),
    ],
)
def test_split_units_by_hand(scenario, labels, mask):
    stream = streams.split(toy(), tasks=2, scenario=scenario)
    np.testing.assert_array_equal(stream.labels, labels)
    np.testing.assert_array_equal(stream.class_mask, np.array(mask, bool))
    assert stream.num_classes == len(labels[0])


@pytest.mark.parametrize("build", [streams.permuted, streams.rotated])
@pytest.mark.parametrize(
    ("scenario", "labels", "mask"),
    [
        ("task", [[0, 1, -1, -1], [-1, -1, 0, 1]], [[1, 1, 0, 0], [0, 0, 1, 1]]),
        ("domain", [[0, 1], [0, 1]], [[1, 1], [1, 1]]),
        ("class", [[0, 1, -1, -1], [-1, -1, 0, 1]], [[1, 1, 0, 0], [1, 1, 1, 1]]),
    ],
)
def test_units_by_hand_when_tasks_share_their_classes(build, scenario, labels, mask):
    stream = build(toy(classes=2), tasks=2, scenario=scenario)
    np.testing.assert_array_equal(stream.labels, labels)
    np.testing.assert_array_equal(stream.class_mask, np.array(mask, bool))


@pytest.mark.parametrize("build", [streams.split, streams.permuted, streams.rotated])
def test_the_scenarios_coincide_for_one_task(build):
    first, *others = (build(toy(), tasks=1, scenario=scenario) for scenario in SCENARIOS)
    for other in others:
        np.testing.assert_array_equal(other.labels, first.labels)
        np.testing.assert_array_equal(other.class_mask, first.class_mask)
        for part in ("train", "test"):
            for ours, theirs in zip(other.split(0, part).open(), first.split(0, part).open(), strict=True):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("class_order", ["natural", "seeded", "3,0,2,1"])
def test_task_incremental_masks_are_disjoint_and_cover_all_classes(class_order):
    stream = streams.split(toy(), tasks=2, scenario="task", class_order=class_order)
    np.testing.assert_array_equal(stream.class_mask.sum(axis=0), 1)


@every_stream
def test_class_incremental_masks_only_grow_by_the_new_classes(build):
    stream = build(scenario="class")
    grown = np.diff(stream.class_mask.astype(int), axis=0, prepend=0)
    np.testing.assert_array_equal(grown, stream.labels >= 0)


@every_stream
@every_scenario
def test_labels_and_units_are_each_others_inverse(build, scenario):
    stream = build(scenario=scenario, valid_fraction=0.2)
    for task in stream:
        for part in PARTS:
            data = task.stream.split(task.index, part)
            _, units = data.open()
            labels = (stream.source.test if part == "test" else stream.source.train)[1][data.rows]
            assert units.dtype == np.int32
            np.testing.assert_array_equal(stream.labels[task.index, units], labels)
            assert stream.class_mask[task.index, units].all()
            assert set(labels) == set(task.classes)
            assert len(set(units)) == len(task.classes)


@every_scenario
def test_domain_units_are_positions_within_the_task(scenario):
    stream = streams.split(toy(), tasks=2, scenario=scenario, class_order="3,0,2,1")
    _, units = stream[0].train.open()
    labels = stream.source.train[1][stream[0].train.rows]
    expected = np.where(labels == 3, 0, 1) if scenario == "domain" else labels
    np.testing.assert_array_equal(units, expected)


@pytest.mark.parametrize("build", [streams.split, streams.permuted, streams.rotated])
def test_a_misspelled_scenario_gets_the_nearest_one(build):
    with pytest.raises(InputError, match="scenario 'clas' is not known; .* Did you mean class?"):
        build(toy(), tasks=2, scenario="clas")


# ---- split -------------------------------------------------------------------------------------------------


def test_every_row_of_a_split_belongs_to_one_task():
    stream = streams.split(toy(), tasks=2)
    for part, count in (("train", 40), ("test", 20)):
        rows = np.concatenate([stream.split(t, part).rows for t in range(2)])
        np.testing.assert_array_equal(np.sort(rows), np.arange(count))


def test_class_order_is_the_same_as_text_and_as_a_list():
    text, listed = (streams.split(toy(), tasks=2, class_order=o) for o in ("3,0,2,1", [3, 0, 2, 1]))
    assert [task.classes for task in text] == [task.classes for task in listed] == [(3, 0), (2, 1)]


def test_classes_left_out_of_the_order_are_not_used():
    stream = streams.split(toy(classes=6), tasks=2, class_order="5,1,4,2", scenario="task")
    used = {int(label) for task in stream for label in stream.source.train[1][task.train.rows]}
    assert used == {1, 2, 4, 5}
    assert not stream.class_mask[:, [0, 3]].any()


def test_a_seeded_order_is_a_permutation_that_the_seed_decides():
    orders = [
        sum((task.classes for task in streams.split(tasks=5, class_order="seeded", seed=seed)), ())
        for seed in (0, 0, 1, 2)
    ]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] == orders[1]
    assert len(set(orders)) == 3


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({"sizes": (4, 3, 2, 1)}, [4, 3, 2, 1]),
        ({"first": 6, "tasks": 3}, [6, 2, 2]),
        ({"first": 2}, [2, 2, 2, 2, 2]),
        ({"sizes": (1, 9)}, [1, 9]),
        ({"sizes": (3, 1), "class_order": "7,1,0,4"}, [3, 1]),
    ],
)
def test_tasks_have_as_many_classes_as_they_are_given(given, sizes):
    stream = streams.split(**given, scenario="class")
    assert [len(task.classes) for task in stream] == sizes
    order = [int(label) for label in given["class_order"].split(",")] if "class_order" in given else range(10)
    assert [label for task in stream for label in task.classes] == list(order)


def test_equal_sizes_are_the_split_without_sizes():
    plain = streams.split(tasks=5, class_order="seeded", valid_fraction=0.1)
    for given in ({"sizes": (2,) * 5}, {"first": 2, "tasks": 5}):
        same = streams.split(**given, class_order="seeded", valid_fraction=0.1)
        assert same.task_classes == plain.task_classes
        for task, other in zip(plain, same, strict=True):
            for part in PARTS:
                np.testing.assert_array_equal(getattr(task, part).rows, getattr(other, part).rows)


@pytest.mark.parametrize(
    ("scenario", "labels", "mask"),
    [
        ("task", [[0, 1, 2, -1, -1], [-1, -1, -1, 3, 4]], [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]),
        ("domain", [[0, 1, 2], [3, 4, -1]], [[1, 1, 1], [1, 1, 1]]),
        ("class", [[0, 1, 2, -1, -1], [-1, -1, -1, 3, 4]], [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
    ],
)
def test_units_of_unequal_tasks_by_hand(scenario, labels, mask):
    stream = streams.split(toy(classes=5), sizes=(3, 2), scenario=scenario)
    np.testing.assert_array_equal(stream.labels, labels)
    np.testing.assert_array_equal(stream.class_mask, np.array(mask, bool))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sizes": (4, 3, 2)}, "4,3,2 add up to 9, and digits has 10 classes to divide; nearest: 4,3,3"),
        ({"sizes": (9, 9, 9)}, "9,9,9 add up to 27, .*; nearest: 8,1,1"),
        ({"sizes": (4, 6), "class_order": "1,2,3"}, "add up to 10, and digits has 3 classes .*: 2,1"),
        ({"sizes": (4, 0, 6)}, "sizes are 4,0,6; every task needs at least one class"),
        ({"sizes": (1,) * 11}, "10 classes of digits cannot make 11 tasks"),
        ({"sizes": (4, 6), "first": 4}, "sizes 4,6 and first 4 are both given; .*: leave first out"),
        ({"sizes": (4, 6), "tasks": 5}, "2 sizes are given for 5 tasks; leave tasks out"),
        ({"sizes": (4, 5, 1)}, "Task 3, of one class, can only be class-incremental"),
        ({"first": 5}, "10 classes of digits, after 5 in the first task, .* into 5 tasks; possible: 2, 6"),
        ({"first": 10}, "first is 10, and digits has 10 classes: none is left for a second task"),
        ({"first": -1}, "first is -1; it must not be negative"),
        ({"first": 4, "tasks": 1}, "do not split into 1 tasks; possible: 2, 3, 4, 7"),
        ({"tasks": 3}, "possible: 1, 2, 5, 10"),
        ({"tasks": 0}, "at least one task, not 0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        streams.split(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": 0}, "at least one task, not 0"),
        ({"tasks": 3}, "10 classes of digits do not split into 3 equal tasks; possible: 1, 2, 5, 10"),
        ({"tasks": 11}, "10 classes of digits cannot make 11 tasks: at most 10"),
        ({"tasks": 10}, "can only be class-incremental"),
        ({"tasks": 10, "scenario": "domain"}, "can only be class-incremental"),
        ({"class_order": "sedeed"}, "'sedeed' is not known; .* Did you mean seeded?"),
        ({"class_order": "0,1,99"}, r"class_order names \[99\]; the labels of digits are \[0, 1"),
        ({"class_order": "0,1,1,2,3"}, "class_order names a class twice"),
        ({"valid_fraction": 1.0}, "valid_fraction is 1.0; it must be at least 0 and below 1"),
        ({"valid_fraction": -0.1}, "valid_fraction is -0.1"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        streams.split(**given)


def test_one_class_a_task_is_possible_when_classes_accumulate():
    assert len(streams.split(tasks=10, scenario="class")) == 10


# ---- validation --------------------------------------------------------------------------------------------


@every_stream
def test_validation_rows_are_cut_from_the_training_rows_alone(build):
    whole, cut = build(), build(valid_fraction=0.3)
    for before, after in zip(whole, cut, strict=True):
        assert not np.intersect1d(after.train.rows, after.valid.rows).size
        both = np.union1d(after.train.rows, after.valid.rows)
        np.testing.assert_array_equal(both, before.train.rows)
        np.testing.assert_array_equal(after.test.rows, before.test.rows)
        assert len(after.train) == len(after.train.rows)


def test_validation_takes_its_share_of_every_class():
    counts = [10, 20, 30, 40]
    y = np.repeat(np.arange(4), counts)
    data = sources.from_arrays(np.zeros((100, 2, 2), np.uint8), y, np.zeros((100, 2, 2), np.uint8), y)
    stream = streams.split(data, tasks=2, valid_fraction=0.1)
    kept = np.concatenate([y[task.valid.rows] for task in stream])
    np.testing.assert_array_equal(np.bincount(kept), [1, 2, 3, 4])


def test_validation_rows_follow_the_seed_and_nothing_else():
    def rows(**given):
        stream = streams.split(**{"tasks": 5, "valid_fraction": 0.2, **given})
        return np.sort(np.concatenate([task.valid.rows for task in stream])).tolist()

    assert rows() == rows() == rows(scenario="class") == rows(tasks=2)
    assert rows() == streams.permuted(tasks=1, valid_fraction=0.2)[0].valid.rows.tolist()
    assert rows() != rows(seed=1)


@every_stream
def test_without_a_validation_share_the_split_is_empty_and_opens(build):
    stream = build()
    for task in stream:
        x, y = task.valid.open()
        assert x.shape == (0, *stream.input_shape)
        assert y.shape == (0,)
        assert x.dtype == stream.source.dtype


def test_validation_images_are_the_sources_images_of_those_rows():
    stream = streams.split(toy(), tasks=2, valid_fraction=0.3)
    for task in stream:
        np.testing.assert_array_equal(task.valid.open()[0], stream.source.train[0][task.valid.rows])
        np.testing.assert_array_equal(task.test.open()[0], stream.source.test[0][task.test.rows])


# ---- a stream is a sequence --------------------------------------------------------------------------------


def test_a_stream_is_indexed_like_a_list():
    stream = streams.permuted(toy(), tasks=4)
    assert len(stream) == 4
    assert [task.index for task in stream] == [0, 1, 2, 3]
    assert [task.number for task in stream] == [1, 2, 3, 4]
    assert stream[-1].index == 3
    assert [task.index for task in reversed(stream)] == [3, 2, 1, 0]
    for index in (4, -5):
        with pytest.raises(IndexError):
            stream[index]


def test_a_slice_keeps_the_tasks_places_in_the_stream():
    stream = streams.permuted(toy(), tasks=4)
    assert [task.index for task in stream[1:3]] == [1, 2]
    assert [task.index for task in stream[::-2]] == [3, 1]
    assert [task.index for task in stream[1:][1:]] == [2, 3]
    assert stream[1:][-1].index == 3
    assert len(stream[4:]) == 0
    assert all(task.stream is stream for task in stream[1:])
    with pytest.raises(IndexError):
        stream[:2][2]


def test_iterations_may_be_nested():
    stream = streams.permuted(toy(), tasks=3)
    pairs = [(task.index, past.index) for task in stream for past in task.seen]
    assert pairs == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]


@every_stream
def test_opening_twice_gives_the_same_arrays_and_leaves_the_source_alone(build):
    stream = build()
    before = stream.source.train[0].copy()
    first, again = stream[-1].train.open(), stream[-1].train.open()
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(stream.source.train[0], before)


def permutations(shape=(6, 6, 1), tasks=3):
    """A stream that notes each time that a view is applied, and the notes."""
    stream, made = streams.permuted(toy(shape), tasks=tasks), []
    views = [lambda x, t=t, view=view: made.append(t) or view(x) for t, view in enumerate(stream.views)]
    return dataclasses.replace(stream, views=tuple(views)), made


def test_test_images_are_shown_anew_once_and_training_images_each_time():
    stream, made = permutations()
    first = [task.test.open() for task in stream]
    again = [task.test.open() for task in stream]
    assert made == [0, 1, 2, 0]
    for one, other in zip(first[1:], again[1:], strict=True):
        assert one[0] is other[0] and one[1] is other[1]
        assert not one[0].flags.writeable
    for _ in range(2):
        stream[1].train.open()
    assert made[4:] == [1, 1]


def test_images_that_are_shown_as_they_are_are_not_kept():
    stream, _ = permutations()
    assert np.shares_memory(stream[0].test.open()[0], stream.source.test[0])
    assert stream._kept.get(0, "test") is None
    parted = streams.split(toy(), tasks=2)
    assert parted[0].test.open()[0] is not parted[0].test.open()[0]


@pytest.mark.parametrize(("tasks", "shown"), [(3, [1]), (4, [1, 1])])
def test_test_images_are_kept_up_to_a_bound(tasks, shown, monkeypatch):
    stream, made = permutations(tasks=tasks)
    monkeypatch.setattr(kept, "MOST", 3 * stream.source.test[0].nbytes)
    for _ in range(2):
        stream[1].test.open()
    assert made == shown


def test_kept_images_go_with_the_stream():
    stream, _ = permutations()
    images = weakref.ref(stream[1].test.open()[0])
    assert images() is not None
    del stream
    gc.collect()
    assert images() is None


# ---- permuted ----------------------------------------------------------------------------------------------

POSITIONS = np.arange(36, dtype=np.uint8).reshape(6, 6, 1)


@pytest.mark.parametrize("first_identity", [True, False])
def test_every_permutation_is_a_bijection_and_differs_from_the_others(first_identity):
    images = seen_by(streams.permuted(one_image(POSITIONS), tasks=6, first_identity=first_identity))
    assert all(sorted(image.ravel()) == list(range(36)) for image in images)
    assert len({image.tobytes() for image in images}) == 6
    assert np.array_equal(images[0], POSITIONS) == first_identity


def test_training_and_test_images_are_permuted_alike():
    stream = streams.permuted(one_image(POSITIONS), tasks=4)
    np.testing.assert_array_equal(seen_by(stream, "train"), seen_by(stream, "test"))


@pytest.mark.parametrize("shape", [(6, 6, 1), (5, 7, 3), (9,)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_permuted_image_keeps_its_histogram_and_its_inverse_restores_it(shape, dtype):
    data = toy(shape, dtype=dtype)
    stream = streams.permuted(data, tasks=3)
    assert stream.input_shape == shape
    pixels = shape[0] if len(shape) == 1 else shape[0] * shape[1]
    for task in stream[1:]:
        x, _ = task.train.open()
        assert x.dtype == dtype
        assert x.shape == data.train[0].shape
        before, after = (images.reshape(len(x), pixels, -1) for images in (data.train[0], x))
        np.testing.assert_array_equal(np.sort(after, axis=1), np.sort(before, axis=1))
        assert not np.array_equal(after, before)
        place = np.arange(pixels, dtype=dtype)[:, np.newaxis]
        order = stream.views[task.index](np.broadcast_to(place, (pixels, before.shape[2])).reshape(1, *shape))
        inverse = np.argsort(order.reshape(pixels, -1)[:, 0])
        np.testing.assert_array_equal(after[:, inverse], before)


def test_the_channels_of_a_pixel_stay_together():
    image = np.stack([np.arange(36).reshape(6, 6) + 60 * c for c in range(3)], axis=-1).astype(np.uint8)
    moved = seen_by(streams.permuted(one_image(image), tasks=2))[1]
    np.testing.assert_array_equal(moved - moved[..., :1], np.broadcast_to([0, 60, 120], (6, 6, 3)))


def test_padding_comes_before_permuting():
    stream = streams.permuted(one_image(np.full((28, 28), 9, np.uint8)), tasks=2, pad=2)
    assert stream.input_shape == (32, 32, 1)
    first, second = seen_by(stream)
    assert first.shape == second.shape == (32, 32, 1)
    np.testing.assert_array_equal(first[2:-2, 2:-2], 9)
    border = np.ones((32, 32), bool)
    border[2:-2, 2:-2] = False
    assert not first[border].any()
    assert second[border].any()
    assert (second == 9).sum() == 28 * 28


def test_permutations_follow_the_streams_seed_and_nothing_else():
    def images(shape=(6, 6, 1), tasks=4, **given):
        stream = streams.permuted(toy(shape, seed=given.pop("data", 0)), tasks=tasks, **given)
        place = np.arange(36, dtype=np.uint8).reshape(1, *shape)
        return np.stack([view(place).ravel() for view in stream.views[:4]])

    plain = images()
    np.random.seed(1)
    np.testing.assert_array_equal(images(), plain)
    for other in ({"data": 1}, {"tasks": 6}, {"scenario": "class"}, {"valid_fraction": 0.5}):
        np.testing.assert_array_equal(images(**other), plain)
    np.testing.assert_array_equal(images(first_identity=False)[1:], plain[1:])
    assert all((one != other).any() for one, other in zip(images(seed=1)[1:], plain[1:], strict=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": 0}, "at least one task, not 0"),
        ({"pad": -1}, "pad is -1; it must not be negative"),
        ({"dataset": toy((9,)), "pad": 2}, "pad is for images; the rows of toy are not images"),
    ],
)
def test_a_permutation_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        streams.permuted(**given)


# ---- rotated -----------------------------------------------------------------------------------------------

every_interpolation = pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
every_type = pytest.mark.parametrize("dtype", [np.uint8, np.float32])
ANGLES = (10, 37.5, 60, 101.3, 180, 222, -25, 359)


def turned(x, angle, interpolation):
    return rotate(x, rotation_taps(x.shape[1], x.shape[2], angle, interpolation))


def smooth(side=21):
    """An image without any detail finer than a pixel, and no symmetry."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    image = np.exp(-30 * ((x - 0.15) ** 2 + y**2)) + 0.5 * np.exp(-30 * (x**2 + (y + 0.2) ** 2))
    return image[np.newaxis, ..., np.newaxis].astype(np.float32)


@every_interpolation
@every_type
@pytest.mark.parametrize("shape", [(6, 6, 1), (7, 7, 3)], ids=str)
@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4, -1])
def test_quarter_turns_are_exact_and_counter_clockwise(shape, quarters, dtype, interpolation):
    x, _ = toy(shape, dtype=dtype).train
    expected = np.rot90(x, quarters, axes=(1, 2))
    np.testing.assert_array_equal(turned(x, 90 * quarters, interpolation), expected)


@every_interpolation
def test_what_is_on_the_right_goes_to_the_top(interpolation):
    image = np.zeros((1, 7, 7, 1), np.uint8)
    image[0, 3, 6] = 255
    up = turned(image, 90, interpolation)
    assert up[0, 0, 3, 0] == 255
    assert up.sum() == 255


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 9, 3)], ids=str)
def test_bilinear_rotation_agrees_with_scipy(shape, angle):
    x, _ = toy(shape, rows=2, dtype=np.float32).train
    expected = ndimage.rotate(x, angle, axes=(1, 2), reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(turned(x, angle, "bilinear"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("angle", ANGLES)
def test_nearest_rotation_agrees_with_scipy(angle):
    x, _ = toy((9, 9, 1), rows=2).train
    expected = ndimage.rotate(x, angle, axes=(1, 2), reshape=False, order=0, mode="grid-constant")
    np.testing.assert_array_equal(turned(x, angle, "nearest"), expected)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize(("interpolation", "error"), [("nearest", 0.25), ("bilinear", 0.055)])
def test_turning_back_restores_the_centre(angle, interpolation, error):
    x = smooth()
    back = turned(turned(x, angle, interpolation), -angle, interpolation)
    centre = (slice(None), slice(6, 15), slice(6, 15))
    np.testing.assert_allclose(back[centre], x[centre], rtol=0, atol=error)


@every_interpolation
@every_type
@pytest.mark.parametrize("angle", ANGLES)
def test_rotation_keeps_shape_type_and_range(angle, dtype, interpolation):
    x = np.ones((2, 7, 9, 3), dtype) * (255 if dtype == np.uint8 else 1)
    image = turned(x, angle, interpolation)
    assert image.shape == x.shape
    assert image.dtype == dtype
    assert image.min() >= 0
    assert image.max() <= x.max() * (1 + 1e-6)
    np.testing.assert_allclose(image[:, 3, 4], x[:, 3, 4], rtol=1e-6)


@every_interpolation
def test_outside_of_the_image_is_zero(interpolation):
    corners = turned(np.full((1, 9, 9, 1), 255, np.uint8), 45, interpolation)[0, ::8, ::8]
    assert not corners.any()


@every_interpolation
@every_type
def test_many_images_are_rotated_as_each_alone(dtype, interpolation):
    x, _ = toy((5, 4, 3), rows=150, dtype=dtype).train
    alone = np.concatenate([turned(image[np.newaxis], 30, interpolation) for image in x])
    np.testing.assert_array_equal(turned(x, 30, interpolation), alone)


def test_integer_images_are_rounded_not_cut():
    x, _ = toy(rows=5).train
    exact = turned(x.astype(np.float32), 30, "bilinear")
    assert np.abs(turned(x, 30, "bilinear") - exact).max() <= 0.5001


@every_interpolation
def test_a_task_turns_training_and_test_images_by_its_own_angle(interpolation):
    image = toy().train[0][0]
    stream = streams.rotated(one_image(image), tasks=3, angles=(0, 20, 75), interpolation=interpolation)
    expected = [turned(image[np.newaxis], angle, interpolation)[0] for angle in (0, 20, 75)]
    np.testing.assert_array_equal(seen_by(stream, "train"), expected)
    np.testing.assert_array_equal(seen_by(stream, "test"), expected)


@pytest.mark.parametrize(
    ("given", "angles"),
    [
        ({"tasks": 4}, (0, 45, 90, 135)),
        ({"tasks": 3, "max_angle": 90}, (0, 30, 60)),
        ({"tasks": 1}, (0,)),
    ],
)
def test_even_angles_start_at_zero_and_leave_the_end_out(given, angles):
    even = streams.rotated(toy(), **given)
    listed = streams.rotated(toy(), tasks=len(angles), angles=angles)
    np.testing.assert_array_equal(seen_by(even), seen_by(listed))


def test_binned_angles_fall_one_into_each_bin():
    for seed in range(20):
        angles = np.array(_angles("bins", 6, 90, seed))
        np.testing.assert_array_equal(angles // 15, np.arange(6))


def test_uniform_angles_fill_the_range():
    angles = np.array(_angles("uniform", 2000, 90, 0))
    assert angles.min() >= 0
    assert angles.max() <= 90
    assert abs(angles.mean() - 45) < 4 * 90 / np.sqrt(12 * 2000)
    assert (np.diff(angles) < 0).any()


@pytest.mark.parametrize("rule", ["bins", "uniform"])
def test_drawn_angles_follow_the_streams_seed(rule):
    first, same, other = (
        np.stack(seen_by(streams.rotated(toy(), tasks=4, rule=rule, seed=seed))) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": 0}, "at least one task, not 0"),
        ({"dataset": toy((9,))}, "Only images can be rotated; the rows of toy are not images"),
        ({"tasks": 3, "angles": (0, 10)}, "2 angles are given for 3 tasks"),
        ({"rule": "evn"}, "rule 'evn' is not known; .* Did you mean even?"),
        ({"interpolation": "linear"}, "interpolation 'linear' is not known; .* Did you mean bilinear?"),
    ],
)
def test_a_rotation_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        streams.rotated(**given)


# ---- classes that come back --------------------------------------------------------------------------------


def returning(scenario, tasks=((0, 1), (1, 2), (2, 0)), classes=3, **given):
    """A stream in which every class is in two of three tasks."""
    data = toy(classes=classes)
    return streams.Stream(
        name="returning",
        scenario=scenario,
        source=data,
        task_classes=tasks,
        views=(lambda x: x,) * len(tasks),
        input_shape=data.input_shape,
        **given,
    )


@pytest.mark.parametrize(
    ("scenario", "labels", "mask"),
    [
        (
            "task",
            [[0, 1, -1, -1, -1, -1], [-1, -1, 1, 2, -1, -1], [-1, -1, -1, -1, 2, 0]],
            [[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]],
        ),
        ("domain", [[0, 1], [1, 2], [2, 0]], [[1, 1], [1, 1], [1, 1]]),
        ("class", [[0, 1, -1], [-1, 1, 2], [0, -1, 2]], [[1, 1, 0], [1, 1, 1], [1, 1, 1]]),
    ],
)
def test_units_by_hand_when_classes_come_back(scenario, labels, mask):
    stream = returning(scenario)
    np.testing.assert_array_equal(stream.labels, labels)
    np.testing.assert_array_equal(stream.class_mask, np.array(mask, bool))
    for task in stream:
        y = stream.source.train[1][task.train.rows]
        np.testing.assert_array_equal(stream.labels[task.index][task.train.open()[1]], y)


def test_a_label_can_be_another_class_in_every_task():
    own = returning("class", distinct_classes=True)
    np.testing.assert_array_equal(own.labels, returning("task").labels)
    np.testing.assert_array_equal(own.class_mask.sum(axis=1), [2, 4, 6])


def test_a_task_is_answered_as_soon_as_all_its_classes_are_known():
    stream = returning("class")
    answered = [[stream.answering(task.index, after) is not None for task in stream] for after in range(4)]
    np.testing.assert_array_equal(answered, [[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(stream.answering(2, 2), [True, True, True])


@every_stream
@every_scenario
def test_without_returns_a_task_is_answered_once_it_is_learned(build, scenario):
    stream = build(scenario=scenario)
    for after in range(len(stream) + 1):
        answered = [stream.answering(task.index, after) is not None for task in stream]
        known = [task.index < after or scenario != "class" for task in stream]
        assert answered == known


@every_stream
@every_scenario
def test_a_cell_is_a_class_of_a_task_where_classes_do_not_come_back(build, scenario):
    stream = build(scenario=scenario)
    task, unit = np.nonzero(stream.labels >= 0)
    np.testing.assert_array_equal(stream.home[task, unit], task)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": ((0, 1), (1, 7))}, r"Task 2 has the classes \[7\]; the labels of toy are \[0, 1, 2\]"),
        ({"tasks": ((0, 0), (1, 2))}, r"Task 1 has the classes \[0, 0\]: each must be named once"),
        ({"tasks": ((0, 1), ())}, r"Task 2 has the classes \[\]: .* one at least"),
    ],
)
def test_tasks_that_the_data_cannot_have_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        returning("class", **given)


def test_every_task_has_a_view():
    with pytest.raises(InputError, match="The stream has 2 tasks and 1 views: give one for each"):
        streams.Stream("own", "class", toy(), ((0,), (1,)), (lambda x: x,), (6, 6, 1))


# ---- what is shown -----------------------------------------------------------------------------------------


def test_representations_are_one_short_line():
    stream = streams.split(toy(classes=8), tasks=1, scenario="class")
    many = streams.permuted(toy(), tasks=8)
    assert repr(stream) == "<Stream split toy, class-incremental: 1 task, 8 outputs>"
    unequal = streams.split(sizes=(4, 3, 3))
    assert repr(unequal) == "<Stream split digits, task-incremental: 3 tasks of 4, 3, 3 classes, 10 outputs>"
    assert repr(stream[0]) == "<Task 1 of 1 of split toy, classes 0, 1, 2, 3, 4, ... (8 of them)>"
    assert repr(many[1]) == "<Task 2 of 8 of permuted toy, classes 0, 1, 2, 3>"
    assert repr(many[2].train) == "<Split of 40 rows>"
    assert repr(many[1:3]) == "<2 tasks of permuted toy: 2, 3>"
    assert repr(many[1:]) == "<7 tasks of permuted toy: 2, 3, 4, 5, 6, ...>"
    assert repr(many[:0]) == "<0 tasks of permuted toy: none>"
