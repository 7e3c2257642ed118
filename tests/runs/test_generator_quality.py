"""How good a generator is: stubs whose numbers are known, and a run that is measured after it has learned."""

import csv
import functools
import json
import shutil
import types

import numpy as np
import pytest
from helpers import assert_same, blobs, saved_variables, silent
from helpers import small as options
from processes import refusal, small

from keras_cl import metrics, train
from keras_cl.errors import InputError
from keras_cl.networks import mlp
from keras_cl.runs.quality import examiner as examining
from keras_cl.runs.quality import judge, measurement, table
from keras_cl.runs.quality.examiner import Examiner, label_distance, label_names
from keras_cl.runs.quality.real import RealImages, some_of_each
from keras_cl.settings.config import Config
from keras_cl.sources import from_arrays
from keras_cl.streams import split

pytestmark = pytest.mark.usefixtures("eagerly", "few_steps")
CLASSES, IMAGES = 6, 300


@pytest.fixture
def few_steps(monkeypatch):
    """Classifiers that learn the easy images of these tests, and no more."""
    for name, value in {"STEPS": 100, "BATCH": 64, "RATE": 3e-3, "FEATURES": 16}.items():
        monkeypatch.setattr(judge, name, value)


@functools.cache
def stream_of(scenario="class"):
    return split(from_arrays(**blobs([100] * CLASSES, side=4)), tasks=3, scenario=scenario)


class Stub:
    """A memory that draws what a function of labels and a random generator gives.

    Args:
      stream: the stream.
      draw: function `(y, rng)` to raw images.
      conditional: whether it is asked for classes.
      units: what it draws if it is not asked: output units, by default all that were seen.
    """

    generates = True

    def __init__(self, stream, draw, conditional=False, units=None):
        self._stream, self._draw, self._conditional, self._units = stream, draw, conditional, units
        self.generator = types.SimpleNamespace(sample=self._sample)

    def conditions(self, tasks):
        return self._seen(tasks) if self._conditional else []

    def generated(self, n, seed, tasks):
        rng = np.random.default_rng(seed)
        y = rng.choice(self._seen(tasks) if self._units is None else self._units, n)
        own = (self._stream.labels >= 0)[:, y].argmax(axis=0)
        return self._draw(y, rng).astype(np.float32), y, own

    def _sample(self, n, seed, condition):
        assert n == len(condition)
        return self._draw(condition, np.random.default_rng(seed)) * self._stream.source.scale

    def _seen(self, tasks):
        return np.flatnonzero((self._stream.labels[:tasks] >= 0).any(axis=0)).tolist()


def real(stream, part="train"):
    """Draws real images of the labels."""
    opened = [stream.split(task.index, part).open() for task in stream]
    x, units = (np.concatenate(arrays) for arrays in zip(*opened, strict=True))

    def draw(y, rng):
        return np.stack([x[rng.choice(np.flatnonzero(units == unit))] for unit in y]).astype(float)

    return draw


def one_image(stream):
    x, _ = stream[0].train.open()
    return lambda y, rng: np.repeat(x[:1].astype(float), len(y), axis=0)


def measured(memory, stream, task=3, seed=0):
    record, neighbours = Examiner(stream, IMAGES).measure(memory, stream[task - 1], seed)
    return types.SimpleNamespace(**record), neighbours


# ---- stubs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("scenario", ["class", "task"])
def test_a_generator_of_real_images_is_as_good_as_these(scenario, conditional):
    stream = stream_of(scenario)
    found, neighbours = measured(Stub(stream, real(stream), conditional), stream)
    assert found.oracle_accuracy > 0.95 and found.oracle_on_fake > 0.95
    assert found.fake_to_real == pytest.approx(found.oracle_accuracy, abs=0.05)
    assert found.generated_label_distance < 0.1
    assert found.generated_frechet_distance < 2 * found.real_frechet_distance
    assert found.nearest_image_ratio == 0.0 and found.real_image_ratio > 0.5
    assert (neighbours.distances[:, 0] == 0).all()
    np.testing.assert_array_equal(neighbours.images, neighbours.near[:, 0])
    np.testing.assert_array_equal(neighbours.units, neighbours.near_units[:, 0])


def test_one_image_for_all_is_what_the_oracle_expects_and_teaches_nothing():
    stream = stream_of()
    unit = int(stream[0].train.open()[1][0])
    found, _ = measured(Stub(stream, one_image(stream), units=[unit]), stream)
    assert found.oracle_on_fake == 1.0
    assert found.fake_to_real == pytest.approx(1 / CLASSES, abs=0.01)
    assert found.generated_label_distance == pytest.approx(1 - 1 / CLASSES)
    assert vars(found)[f"label_{stream.labels.max(axis=0)[unit]}"] == found.images == IMAGES
    assert "collapsed" in table.told(vars(found))
    good, _ = measured(Stub(stream, real(stream)), stream)
    assert found.generated_frechet_distance > 3 * good.generated_frechet_distance
    assert "collapsed" not in table.told(vars(good))


def test_a_conditional_generator_is_asked_and_judged_by_what_it_was_asked_for():
    stream = stream_of()
    wrong = real(stream)
    found, _ = measured(Stub(stream, lambda y, rng: wrong((y + 1) % CLASSES, rng), conditional=True), stream)
    assert found.oracle_on_fake < 0.05 and found.fake_to_real < 0.05
    assert found.generated_label_distance < 0.01  # they are equally many, under the wrong names


def test_only_classes_that_were_seen_count():
    stream = stream_of()
    found, _ = measured(Stub(stream, real(stream)), stream, task=2)
    assert (found.task, found.classes, found.images) == (2, 4, IMAGES)
    assert found.fake_to_real == pytest.approx(
        (found.fake_to_real_task_1 + found.fake_to_real_task_2) / 2, abs=1e-5
    )
    assert found.fake_to_real_task_3 is None
    assert sum(vars(found)[f"label_{name}"] for name in label_names(stream)[4:]) == 0


def test_noise_is_far_from_real_images_and_copies_are_found_out():
    stream = stream_of()
    test, copies = real(stream, "test"), real(stream)
    noise, _ = measured(Stub(stream, lambda y, rng: rng.uniform(0, 255, (len(y), 4, 4, 1))), stream)
    new, _ = measured(Stub(stream, test), stream)
    copied, _ = measured(Stub(stream, copies), stream)
    assert noise.generated_frechet_distance > 3 * new.generated_frechet_distance
    assert noise.nearest_image_ratio == pytest.approx(noise.real_image_ratio, abs=0.2)
    assert copied.nearest_image_ratio == 0


def test_numbers_that_are_not_finite_are_one_sentence():
    stream = stream_of()

    def draw(y, rng):
        x = np.ones((len(y), 4, 4, 1))
        x[:7] = np.nan
        return x

    with pytest.raises(InputError) as error:
        measured(Stub(stream, draw), stream, task=2)
    assert str(error.value) == (
        "The generator after task 2 draws images with numbers that are not finite, 7 of 300: how good it is "
        "cannot be measured."
    )


def test_what_is_no_image_of_the_stream_is_one_sentence():
    stream = stream_of()
    with pytest.raises(InputError, match=r"measures images, and .* draws arrays of the shape \(64,\)"):
        measured(Stub(stream, lambda y, rng: np.zeros((len(y), 64))), stream)


def test_the_oracle_is_trained_once_for_a_number_of_tasks_and_numbers_are_those_of_the_seed(monkeypatch):
    stream, learned = stream_of(), []
    learn = judge.Judge.learn
    monkeypatch.setattr(judge.Judge, "learn", lambda self, x, y: learned.append(len(x)) or learn(self, x, y))
    memory, examiner = Stub(stream, real(stream)), Examiner(stream, IMAGES)

    def numbers(examiner, seed):
        record, _ = examiner.measure(memory, stream[1], seed)
        return {name: value for name, value in record.items() if name != "seconds"}

    first, other, again = (numbers(examiner, seed) for seed in (0, 1, 0))
    assert learned == [400, IMAGES, IMAGES, IMAGES]
    assert first == again == numbers(Examiner(stream, IMAGES), 0)
    assert first["generated_frechet_distance"] != other["generated_frechet_distance"]
    assert first["oracle_accuracy"] == other["oracle_accuracy"]


def test_the_distance_of_labels_from_equal_shares():
    assert label_distance([5, 5]) == 0
    assert label_distance([10, 0]) == 0.5
    assert label_distance([3, 0, 0, 1]) == 0.5


@pytest.mark.parametrize(
    ("labels", "count", "expected"),
    [
        ([3, 3, 3, 3, 1, 3, 0, 3], 3, [0, 1, 3]),
        ([3, 3, 3, 3, 1, 3, 0, 3], 5, [0, 1, 3, 3, 3]),
        ([2, 2, 1, 1], 2, [1, 2]),
        ([5, 5], 10, [5, 5]),
    ],
)
def test_classes_that_are_rare_are_among_some_images_of_each(labels, count, expected):
    chosen = some_of_each(np.array(labels), count)
    assert np.array(labels)[chosen].tolist() == expected and len(set(chosen)) == len(chosen)
    assert chosen[0] == labels.index(expected[0])  # the first of its class


def test_a_picture_of_neighbours_has_each_class_that_the_oracle_sees():
    stream, rare = stream_of(), np.array([0] * 290 + [1, 2, 3, 4, 5] * 2)
    draw = real(stream)
    memory = Stub(stream, lambda y, rng: draw(rare, rng))
    _, neighbours = measured(memory, stream)
    assert np.unique(neighbours.units).tolist() == [0, 1, 2, 3, 4, 5] and len(neighbours.units) == 10


def test_frechet_distances_are_of_equally_many_images_of_each_class():
    arrays = blobs([100] * CLASSES, side=4)
    kept = np.concatenate([np.flatnonzero(arrays["y_test"] == unit)[:7] for unit in range(CLASSES)])
    arrays |= {name: arrays[name][kept] for name in ("x_test", "y_test")}
    stream = split(from_arrays(**arrays), tasks=3, scenario="class")
    found, _ = measured(Stub(stream, real(stream)), stream)
    assert found.images == IMAGES and found.real_images == 7 * CLASSES
    images = RealImages(stream)
    x, y = images.rows(3, "train")
    for count in (7 * CLASSES, 20):
        taken = images.balanced(3, "train", count, 0).reshape(count, -1)
        of = [y[(x.reshape(len(x), -1) == row).all(axis=1)][0] for row in taken]
        assert np.ptp(np.bincount(of, minlength=CLASSES)) <= 1


# ---- a run -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(file, **blobs([60] * 4, side=4))
    return str(file)


def settings(data, **given):
    own = {"method": "dgr", "stream": "split", "scenario": "class", "batch_size": 20, "export": "none"}
    own |= {"dataset": data, "keep": "all", "options": options("dgr", "vae")}
    return own | given


@pytest.fixture
def hardly_trained(monkeypatch):
    """Classifiers of few steps, where their numbers are not in question."""
    monkeypatch.setattr(judge, "STEPS", 3)


def run(folder, data, **given):
    config = small(folder, **settings(data, **given))
    return config, train.run(config, display=silent())


def rows(config, name=table.FILE, part=""):
    with open(config.directory / part / name, newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def fails(*_, **__):
    raise AssertionError("something was measured or trained again")


@pytest.mark.usefixtures("hardly_trained")
def test_a_run_is_measured_whenever_it_is_asked_to_and_stays_as_it_is(tmp_path, data, monkeypatch):
    plain, without = run(tmp_path, data)
    files = ("matrix.csv", "metrics.csv", "loss.csv")
    before = {name: (plain.directory / name).read_bytes() for name in files}
    weights = [saved_variables(plain.directory / f"checkpoints/task_00{t}/variables") for t in (1, 2)]
    with monkeypatch.context() as patch:  # a finished run is not trained again
        patch.setattr("keras_cl.runs.learn._fit", fails)
        asked, summary = run(tmp_path, data, generator_quality=200)
    assert {name: (plain.directory / name).read_bytes() for name in files} == before
    assert {name: summary[name] for name in metrics.DESCRIPTIONS} == {
        name: without[name] for name in metrics.DESCRIPTIONS
    }
    found = rows(asked)
    assert [(row["task"], row["images"]) for row in found] == [("1", "200"), ("2", "200")]
    written = json.loads((asked.directory / "summary.json").read_text())
    for name in metrics.GENERATOR:
        assert written[name] == summary[name] == [float(row[name]) for row in found]
    assert "generator after task 2: the oracle gives" in (asked.directory / "log.txt").read_text()
    for name in ("generator_quality.png", "nearest.png", "samples/nearest_002.png"):
        assert (asked.directory / name).read_bytes().startswith(b"\x89PNG")
    near = rows(asked, table.NEAREST)
    assert len(near) == 2 * 10 * 5 and float(near[0]["distance"]) <= float(near[1]["distance"])

    # Measured in one go, it is the same run with the same numbers; the same command does nothing again.
    other, _ = run(tmp_path / "other", data, generator_quality=200)
    assert {name: (other.directory / name).read_bytes() for name in files[::2]} == {
        name: before[name] for name in files[::2]
    }
    for t, own in enumerate(weights, start=1):
        found_there = saved_variables(other.directory / f"checkpoints/task_00{t}/variables")
        assert_same([own[name] for name in own], [found_there[name] for name in own])
    assert rows(other) == found and rows(other, table.NEAREST) == near
    monkeypatch.setattr(examining.Examiner, "measure", fails)
    assert run(tmp_path, data, generator_quality=200)[1] == summary
    assert run(tmp_path, data)[1] == summary


@pytest.mark.slow
@pytest.mark.usefixtures("hardly_trained")
def test_a_measurement_that_was_stopped_goes_on_and_damage_is_measured_again(tmp_path, data, monkeypatch):
    whole, _ = run(tmp_path / "whole", data, generator_quality=200)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    stopped = tmp_path / "stopped" / "run"
    for name in ("DONE", "summary.json", "report.html", "generator_quality.png", "nearest.png"):
        (stopped / name).unlink()
    for name, kept in ((table.FILE, 2), (table.NEAREST, 51)):
        lines = (stopped / name).read_text().splitlines(keepends=True)
        (stopped / name).write_text("".join(lines[:kept]))
    measure, tasks = Examiner.measure, []

    def watched(self, memory, task, *given):
        tasks.append(task.number)
        return measure(self, memory, task, *given)

    monkeypatch.setattr(examining.Examiner, "measure", watched)
    config, _ = run(tmp_path / "stopped", data, generator_quality=200)
    assert tasks == [2] and rows(config) == rows(whole)
    assert rows(config, table.NEAREST) == rows(whole, table.NEAREST)

    # Edited, it is measured again where that is asked for.
    file = stopped / table.FILE
    file.write_text(file.read_text().replace("200", "201"))
    tasks.clear()
    run(tmp_path / "stopped", data)
    assert tasks == []
    run(tmp_path / "stopped", data, generator_quality=200)
    assert tasks == [1, 2] and rows(config) == rows(whole)
    tasks.clear()
    run(tmp_path / "stopped", data, generator_quality=100)  # of other images
    assert tasks == [1, 2] and [row["images"] for row in rows(config)] == ["100", "100"]


@pytest.mark.slow
@pytest.mark.usefixtures("hardly_trained")
@pytest.mark.parametrize(
    ("method", "memory"),
    [
        ("dgr", "gan"),
        ("generative_replay", "vae"),
        ("rtf", ""),
        ("mergan", ""),
        ("ewc_m", ""),
        ("dgma", ""),
        ("dgmw", ""),
        ("ogm", "vae"),
    ],
)
def test_every_generator_of_images_can_be_measured(tmp_path, data, method, memory):
    config, summary = run(
        tmp_path, data, method=method, memory=memory, options=options(method, memory), generator_quality=100
    )
    assert [row["images"] for row in rows(config)] == ["100", "100"]
    assert all(np.isfinite(summary[name]).all() for name in metrics.GENERATOR)


@pytest.mark.slow
@pytest.mark.usefixtures("hardly_trained")
def test_several_seeds_have_a_file_each_and_means_in_the_summary(tmp_path, data):
    config, summary = run(tmp_path, data, seeds=(0, 1), generator_quality=200)
    parts = [rows(config, part=f"seed_{seed}") for seed in (0, 1)]
    for name in metrics.GENERATOR:
        means = [np.mean([float(part[t][name]) for part in parts]) for t in (0, 1)]
        assert summary[name] == pytest.approx(means, abs=6e-4)
    assert parts[0][0]["oracle_accuracy"] == parts[1][0]["oracle_accuracy"]
    assert parts[0] != parts[1]
    plain, _ = run(tmp_path / "plain", data, seeds=(0, 1))  # the second seed is trained after a measurement
    for seed in (0, 1):
        pair = [one.directory / f"seed_{seed}" / "matrix.csv" for one in (config, plain)]
        assert pair[0].read_bytes() == pair[1].read_bytes()
        pair = [one.directory / f"seed_{seed}/checkpoints/task_002/variables" for one in (config, plain)]
        kept = [list(saved_variables(path).values()) for path in pair]
        assert_same(*kept)


# ---- what makes no sense ---------------------------------------------------------------------------------


def test_a_run_without_a_generator_is_refused_before_data_are_read(monkeypatch):
    monkeypatch.setattr(train, "check", fails)
    assert refusal("--method=ewc", "--generator_quality=200", "--run_dir=none") == (
        "--generator_quality measures the generator of a memory, and this ewc has none; --memory=vae is one."
    )


def test_too_few_images_and_too_few_checkpoints_are_refused():
    network, generator = mlp(stream_of(), hidden=()), types.SimpleNamespace(image_shape=(4, 4, 1))
    memory = types.SimpleNamespace(generates=True, generator=generator)
    model = types.SimpleNamespace(memory=memory, network=network)
    with pytest.raises(InputError, match="--generator_quality is 99 images; give at least 100, or 0"):
        measurement.check(Config(method="dgr", generator_quality=99), model)
    measurement.check(Config(method="dgr", generator_quality=100), model)
    generator.image_shape = (64,)  # features
    with pytest.raises(InputError, match=r"of the shape \(4, 4, 1\) here, and .* draws .* shape \(64,\)"):
        measurement.check(Config(method="dgr", generator_quality=100), model)
    measurement.check(Config(), types.SimpleNamespace(memory=None))
    with pytest.raises(InputError, match="--generator_quality is measured from the checkpoints of all tasks"):
        Config(method="dgr", generator_quality=200, keep="last")


@pytest.mark.parametrize("content", ["", "task,images\n1,x\n", "\0\xff", "task,images\n1,200\n", "a\nb\n"])
def test_a_damaged_file_is_no_measurement(tmp_path, content):
    (tmp_path / table.FILE).write_text(content, encoding="latin-1")
    assert table.records(tmp_path) == [] and table.numbers(tmp_path, 1) == {}
