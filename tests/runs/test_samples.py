"""What a generator leaves: a grid of images, counts of labels, a SavedModel of its own, and its size."""

import csv
import functools
import json
import shutil
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same, blobs, saved_variables, silent

from keras_cl import metrics, train
from keras_cl.errors import InputError
from keras_cl.generators import GAN, VAE
from keras_cl.memories import VAEMemory
from keras_cl.networks import mlp
from keras_cl.numerics.random import random_normal
from keras_cl.report import plots
from keras_cl.runs.console import Display
from keras_cl.runs.exports import claim
from keras_cl.runs.results import Results, bytes_told
from keras_cl.runs.samples import GRID, draw, label_counts, tiled
from keras_cl.runs.saved_model import export_generator
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config
from keras_cl.sources import from_arrays
from keras_cl.streams import split


@functools.cache
def generating(shape=(4, 4, 1), dtype=np.uint8):
    """A stream of images of a shape, and a memory with random weights that generates such images."""
    arrays = blobs([2] * 6, side=4, dtype=dtype)
    for part in ("x_train", "x_test"):
        n = len(arrays[part])
        arrays[part] = np.resize(arrays[part], (n, *shape))
    stream = split(from_arrays(**arrays), tasks=3, scenario="class")
    memory = VAEMemory(stream, hidden=(8,), latent=2)
    memory.bind(stream)
    memory.attach(mlp(stream, hidden=(6,)), jit=False)
    randomise(memory.solver, 4)
    randomise(memory.pixels, 5)
    return stream, memory


def randomise(model, seed):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in model.get_weights()])


def drawn(path, task=1, **given):
    stream, memory = generating(**given)
    draw(path, stream[task - 1], memory)


@pytest.fixture
def generated(monkeypatch):
    """Number of finished tasks and rows of each time that a memory is asked for rows."""
    calls, real = [], VAEMemory.predicted

    def watched(self, n, seed, tasks):
        calls.append((tasks, *real(self, n, seed, tasks)))
        return calls[-1][1:]

    monkeypatch.setattr(VAEMemory, "predicted", watched)
    return calls


def png(file):
    return tf.io.decode_png(file.read_bytes()).numpy()


# ---- a grid of images --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "times"),
    [((4, 4, 1), 10), ((4, 6, 3), 10), ((28, 28, 1), 2), ((48, 8, 1), 1), ((41, 41, 1), 1), ((39, 4, 1), 2)],
)
def test_a_grid_has_ten_tiles_each_way_and_is_large_enough_to_look_at(shape, times):
    height, width, channels = shape
    image = tiled(np.zeros((100, *shape), np.uint8))
    assert image.shape == (10 * height * times, 10 * width * times, channels)
    assert image.shape[0] >= 400 and image.dtype == np.uint8


def test_images_stand_in_a_grid_row_by_row():
    x = np.random.default_rng(0).integers(0, 256, (100, 4, 6, 3), np.uint8)
    image = tiled(x)
    for i, one in enumerate(x):
        row, column = divmod(i, 10)
        tile = image[40 * row : 40 * row + 40, 60 * column : 60 * column + 60].reshape(4, 10, 6, 10, 3)
        np.testing.assert_array_equal(tile, np.broadcast_to(one[:, None, :, None], tile.shape))


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 4, 1), np.uint8), ((4, 4, 1), np.float32), ((4, 6, 3), np.uint8)]
)
def test_a_png_shows_images_in_the_order_of_their_labels(tmp_path, shape, dtype, generated):
    drawn(tmp_path, 3, shape=shape, dtype=dtype)
    assert [entry.name for entry in (tmp_path / "samples").iterdir()] == ["task_003.png"]
    ((tasks, x, y, _),) = generated
    assert tasks == 3 and len(set(y.tolist())) > 1 and (np.diff(y) < 0).any()
    x = x[np.argsort(y, kind="stable")] * (1 if dtype == np.uint8 else 255)
    image = png(tmp_path / "samples" / "task_003.png")
    np.testing.assert_array_equal(image, tiled(np.floor(x + 0.5).astype(np.uint8)))
    assert image.shape[0] == 400 and image.max() > 200 and np.ptp(image) > 150


def test_tensorboard_has_a_grid_for_each_task(tmp_path):
    for task in (1, 2):
        drawn(tmp_path, task)
    found = {}
    for file in (tmp_path / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                assert value.tag == "generator"
                found[event.step] = tf.io.decode_png(value.tensor.string_val[2]).numpy()
    assert sorted(found) == [1, 2]
    for task, image in found.items():
        np.testing.assert_array_equal(image, png(tmp_path / "samples" / f"task_00{task}.png"))


def test_a_grid_is_drawn_again_in_place_of_what_is_there(tmp_path):
    drawn(tmp_path)
    file = tmp_path / "samples" / "task_001.png"
    before = file.read_bytes()
    file.write_bytes(b"half")
    drawn(tmp_path)
    assert file.read_bytes() == before
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("shape", [(16,), (4, 4, 2), (4, 4, 4)])
def test_what_is_no_image_is_not_drawn(tmp_path, shape):
    drawn(tmp_path, shape=shape)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("task", [1, 3])
def test_labels_of_2000_images_are_counted_for_every_class(task, generated):
    stream, memory = generating()
    counts = label_counts(stream[task - 1], memory, 6)
    assert len(counts) == 6 and sum(counts) == 2000 and all(type(count) is int for count in counts)
    assert sum(counts[: 2 * task]) == 2000
    assert np.count_nonzero(counts) > 1
    ((tasks, _, y, _),) = generated
    assert tasks == task and counts == [int((y == c).sum()) for c in range(6)]


# ---- a generator as a SavedModel ---------------------------------------------------------------------------

KINDS = {
    "plain": {"posterior": "normal"},
    "triangle": {"posterior": "tril"},
    "conditional": {"posterior": "logvar", "conditions": 4},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
SCALE = 1 / 255


class Exported:
    """A generator of random weights, saved and loaded.

    Attributes:
      vae: the generator; a conditional one knows the conditions 1 and 3.
      asked: conditions of five images by name of the input, empty for others.
    """

    def __init__(self, kind, folder):
        self.vae = VAE((4, 4, 1), scale=SCALE, hidden=(8,), latent=2, **KINDS[kind])
        self.vae.compile()
        randomise(self.vae, 2)
        self.folder = folder
        export_generator(self.vae, [1, 3] if kind == "conditional" else [], folder, {"written": "beside"})
        self.signatures = tf.saved_model.load(str(folder)).signatures
        self.asked = {"condition": tf.constant([1, 3, 0, 2, 1])} if kind == "conditional" else {}

    def images(self, name, **given):
        return self.signatures[name](**{k: tf.constant(v) for k, v in given.items()})["images"].numpy()

    def generate(self, num, seed):
        return self.images("generate", num=num, seed=seed)

    def of_classes(self, conditions, seed):
        return self.images("generate_classes", condition=conditions, seed=seed)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Function of a kind of generator that gives an `Exported`, made once."""
    return functools.cache(lambda kind: Exported(kind, tmp_path_factory.mktemp("generator") / "2"))


X = np.random.default_rng(4).uniform(0, 255, (5, 4, 4, 1)).astype(np.float32)
Z = np.random.default_rng(5).normal(size=(5, 2)).astype(np.float32)


def same_images(found, expected):
    """Raw images are the same to 1e-5 of the range of pixels."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=255e-5)
    assert np.max(found) > 100 and np.ptp(found) > 50


@every_kind
def test_a_generator_has_its_signatures(kind, exported):
    names = {"generate", "encode", "decode", "reconstruct"}
    expected = names | ({"generate_classes", "generate_labelled"} if kind == "conditional" else set())
    assert set(exported(kind).signatures) == expected
    assert json.loads((exported(kind).folder / "task.json").read_text()) == {"written": "beside"}


@every_kind
def test_images_are_the_same_for_a_seed_and_others_for_another(kind, exported):
    one, again, other, third = (exported(kind).generate(6, seed) for seed in ([1, 2], [1, 2], [1, 9], [3, 2]))
    np.testing.assert_array_equal(one, again)
    assert one.shape == (6, 4, 4, 1) and one.dtype == np.float32
    assert np.abs(one - other).max() > 5 and np.abs(one - third).max() > 5
    assert exported(kind).generate(1, [1, 2]).shape == (1, 4, 4, 1)


@pytest.mark.parametrize("kind", ["plain", "triangle"])
def test_generated_images_are_those_of_the_decoder(kind, exported):
    codes = random_normal(7, 3, [6, 2])
    expected = exported(kind).vae.decode(codes).mean() * 255
    same_images(exported(kind).generate(6, [7, 3]), expected)


def test_images_of_classes_are_those_of_the_decoder(exported):
    asked = [0, 1, 2, 3, 3, 0]
    expected = exported("conditional").vae.decode(random_normal(7, 3, [6, 2]), tf.constant(asked)).mean()
    same_images(exported("conditional").of_classes(asked, [7, 3]), expected * 255)


def test_only_classes_that_were_learned_are_generated(exported, tmp_path):
    images = exported("conditional").generate(40, [7, 3])
    ones, threes = (exported("conditional").of_classes([c] * 40, [7, 3]) for c in (1, 3))
    found = [
        {c for c, theirs in ((1, one), (3, three)) if np.abs(image - theirs).max() < 1e-2}
        for image, one, three in zip(images, ones, threes, strict=True)
    ]
    assert all(len(classes) == 1 for classes in found)
    assert 10 < sum(1 in classes for classes in found) < 30


def test_labelled_images_are_those_without_labels_and_of_their_classes(exported):
    whole = exported("conditional")
    found = whole.signatures["generate_labelled"](num=tf.constant(20), seed=tf.constant([7, 3]))
    same_images(found["images"], whole.generate(20, [7, 3]))
    same_images(found["images"], whole.of_classes(found["condition"].numpy().tolist(), [7, 3]))
    assert set(found["condition"].numpy().tolist()) == {1, 3}


@pytest.mark.parametrize("conditions", [0, 4])
def test_a_gan_generates_and_judges(conditions, tmp_path):
    gan = GAN((4, 4, 1), scale=SCALE, hidden=(8,), latent=2, conditions=conditions)
    gan.compile()
    randomise(gan, 2)
    export_generator(gan, [1, 3] if conditions else [], tmp_path / "1", {})
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    names = {"generate", "decode", "judge"}
    assert set(signatures) == names | ({"generate_classes", "generate_labelled"} if conditions else set())
    one = "generate_labelled" if conditions else "generate"
    found = signatures[one](num=tf.constant(6), seed=tf.constant([7, 3]))
    asked = [found["condition"]] if conditions else []
    same_images(found["images"], gan.generate(random_normal(7, 3, [6, 2]), *asked) / SCALE)
    judged = signatures["judge"](images=tf.constant(X))
    score, logits = gan.judge(X)
    np.testing.assert_allclose(judged["score"], score, rtol=1e-4, atol=1e-4)
    assert set(judged) == {"score"} | ({"probabilities"} if conditions else set())
    if conditions:
        np.testing.assert_allclose(judged["probabilities"], tf.nn.softmax(logits), rtol=0, atol=1e-5)
        np.testing.assert_allclose(judged["probabilities"].numpy().sum(axis=1), 1, rtol=1e-5)


def test_a_generator_that_learned_one_class_generates_it_always(exported, tmp_path):
    whole = exported("conditional")
    export_generator(whole.vae, [2], tmp_path / "1", {})
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["generate"]
    images = signature(num=tf.constant(9), seed=tf.constant([4, 4]))["images"]
    same_images(images, whole.of_classes([2] * 9, [4, 4]))


@every_kind
def test_codes_of_images_are_those_of_the_encoder(kind, exported):
    one = exported(kind)
    found = one.signatures["encode"](images=tf.constant(X), **one.asked)
    q = one.vae.encode(X, *one.asked.values())
    np.testing.assert_allclose(found["mean"], q.mean(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["deviation"], q.stddev(), rtol=1e-5, atol=1e-5)
    assert set(found) == {"mean", "deviation"} and np.ptp(found["mean"]) > 0.1


@every_kind
def test_codes_become_images_and_images_are_reconstructed(kind, exported):
    one = exported(kind)
    asked = list(one.asked.values())
    decoded = one.signatures["decode"](codes=tf.constant(Z), **one.asked)["images"]
    same_images(decoded, one.vae.decode(Z, *asked).mean() / SCALE)
    again = one.signatures["reconstruct"](images=tf.constant(X), **one.asked)["images"]
    same_images(again, one.vae.reconstruct(X, *asked) / SCALE)


@every_kind
def test_the_model_holds_the_generators_variables_and_nothing_else(kind, exported):
    def ordered(arrays):
        return sorted(map(np.asarray, arrays), key=lambda array: (array.shape, array.tobytes()))

    saved = saved_variables(exported(kind).folder / "variables" / "variables")
    assert_same(ordered(saved.values()), ordered(exported(kind).vae.variables))


# ---- sizes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "large.npz"
    np.savez(path, **blobs([1] * 10, side=28))
    return str(path)


def costs(dataset, method, **options):
    """What a run of five tasks would say about its costs, without its training."""
    options = {name.replace("_", ".", 1): value for name, value in options.items()}
    config = Config(method=method, stream="split", scenario="class", dataset=dataset, options=options)
    stream, results = make_stream(config), Results()
    model = make_model(config, stream, seed=0)
    for task in range(6):
        record = results.add(model, np.zeros(5), 12_000 if task else 0, row_bytes=stream.row_bytes)
        if task:
            record["generated_labels"] = [200] * 10
            record["generator_collapsed"] = task == 2
    return results.summary()


def test_a_report_on_vaes_for_split_mnist_has_the_known_sizes(large):
    found = costs(large, "generative_replay")
    assert found["sizes"] == {
        "network": {"parameters": 44_860, "mib": 0.17, "rows": 229},
        "generator": {"parameters": 1_068_820, "mib": 4.08, "rows": 5_446},
        "together": {"parameters": 1_113_680, "mib": 4.25, "rows": 5_675},
    }
    assert found["network_bytes"] == 179_440 and found["memory_bytes"] == [4_275_280] * 5
    assert found["generated_labels"] == [[200] * 10] * 5
    assert found["generator_collapsed"] == [0, 1, 0, 0, 0]
    assert json.loads(json.dumps(found))["sizes"] == found["sizes"]


def test_a_generator_that_is_counted_on_use_gives_the_known_efficiency(large):
    expected = metrics.model_size_efficiency([42_310] + [1_112_094] * 4)
    assert expected == pytest.approx(0.2304363, abs=5e-8)
    found = costs(large, "dgr", network_hidden=(50, 50), memory_hidden=(400, 400), memory_latent=100)
    sizes = {name: part["parameters"] for name, part in found["sizes"].items()}
    assert sizes == {"network": 42_310, "generator": 1_069_784, "together": 1_112_094}
    assert found["model_size_efficiency_on_use"] == pytest.approx(expected, rel=1e-9)
    assert found["model_size_efficiency"] == 1.0  # it is there from the first task on


DGR = {"network_hidden": (400, 400), "memory_hidden": (400, 400), "memory_latent": 100}


@pytest.mark.parametrize(
    ("method", "options", "kept", "rows"),
    [
        ("dgr", DGR, 6_192_776, 7_889),
        ("rtf", {"network_hidden": (400, 400)}, 4_295_176, 5_472),
        ("rtf", {"network_hidden": (400, 400), "method_prior": "gmm"}, 4_295_176 + 8_000, 5_482),
        # Ten VAEs 784-85-85-5, and 16 bytes of counters.
        ("generative_classifier", {}, 6_005_560 + 16, 7_650),
        # A mean and a covariance of 64 features for each of ten classes, 8.6 kB; the method's state are the
        # layers that gave the features of the previous task, and the least of these.
        ("lgm", {"network_hidden": (50, 64)}, 4 * 43_164 + 10 * 8_576 + 4 * 42_514 + 4, 546),
        # 500 rows, each with unit, task and number, and two counters.
        ("er", {"network_hidden": (50, 50), "memory_capacity": 500}, 169_240 + 500 * 796 + 8, 723),
    ],
)
def test_what_is_kept_is_compared_with_as_many_bytes_of_images(large, method, options, kept, rows):
    found = costs(large, method, **options)
    parts = found["network_bytes"], found["method_bytes"][-1], found["memory_bytes"][-1]
    assert (sum(parts), found["equal_rows"]) == (kept, [rows] * 5)
    said = []
    with mock.patch.object(Display, "say", lambda self, text: said.append(text)):
        silent().sizes(found)
    assert f"together {bytes_told(kept)}: as many bytes as {rows:,} images of the stream" in said[0]


def test_state_of_the_method_counts_beside_the_generator(large):
    found = costs(large, "ewc_m", network_hidden=(50, 50))
    weights = (128 + 10) * 256 + 256 + 256 * 256 + 256 + 256 * 784 + 784  # of the perceptron that generates
    assert 2 * 4 * weights <= found["method_bytes"][-1] <= 2 * 4 * weights + 64
    sizes = found["sizes"]
    assert list(sizes) == ["network", "method", "generator", "together"]
    assert sizes["method"]["rows"] == round(2 * 4 * weights / 785)
    assert sizes["together"]["rows"] == found["equal_rows"][-1]
    assert abs(sizes["together"]["mib"] - sum(sizes[name]["mib"] for name in list(sizes)[:3])) < 0.02


def test_without_a_generator_there_are_no_sizes_of_one(large):
    found = costs(large, "er", network_hidden=(4,), memory_capacity=40)
    assert "sizes" not in found and "generated_labels" not in found


# ---- a run -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs([10] * 4))
    return str(path)


def settings(dataset, folder, **given):
    options = {"network.hidden": (6,), "memory.hidden": (8,), "memory.latent": 2, "memory.conditional": True}
    fixed = {"method": "dgr", "stream": "split", "scenario": "class", "tasks": 2, "epochs": 2}
    fixed |= {"batch_size": 5, "jit": "off", "eval_every": "epoch"}
    places = {"run_dir": str(folder / "run"), "export_dir": str(folder / "models")}
    return Config(dataset=dataset, options=options, **{**fixed, **places, **given})


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """Folder and summary of a run."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train.run(settings(dataset, folder), display=silent())


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of that run, to be spoiled."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def no_figures(monkeypatch):
    """Figures of results take time and are not in question."""
    monkeypatch.setattr(train.figures, "draw", lambda path: None)


def names_in(folder):
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}


def generator_of(folder, task):
    return saved_variables(folder / f"models/run/generator/{task}/variables/variables")


@pytest.mark.slow
def test_the_grids_are_in_the_file_of_the_logger_of_tensorboard(dataset, tmp_path, no_figures):
    train.run(settings(dataset, tmp_path, tensorboard=True), display=silent())
    (file,) = (tmp_path / "run/tensorboard").iterdir()
    found = {}
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(event.step)
    assert found["generator"] == found["matrix"] == [1, 2] and "epoch/generator_loss" in found


def test_a_run_leaves_grids_generators_and_figures(finished):
    folder, summary = finished
    assert names_in(folder / "run" / "samples") == {"task_001.png", "task_002.png"}
    assert len(names_in(folder / "run" / "tensorboard")) == 2
    assert names_in(folder / "models" / "run") == {"1", "2", "generator"}
    assert names_in(folder / "models" / "run" / "generator") == {"1", "2"}
    for image in ("training.png", "matrix.png", "accuracy.png"):
        assert png(folder / "run" / image).shape[2] == 4
    assert [sum(counts) for counts in summary["generated_labels"]] == [2000, 2000]
    assert summary["generated_labels"][0][2:] == [0, 0]
    assert summary == json.loads((folder / "run" / "summary.json").read_text())


def test_accuracies_and_the_generators_loss_are_there_for_every_epoch(finished):
    with open(finished[0] / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["epoch"]) for row in rows] == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    assert all(float(row["generator_loss"]) > 0 and row["task_1"] for row in rows)
    assert [bool(row["task_2"]) for row in rows] == [False, False, True, True]


def test_the_generator_of_a_task_knows_the_classes_so_far_and_says_whose_it_is(finished, dataset):
    folder, _ = finished
    for task, classes in ((1, {0, 1}), (2, {0, 1, 2, 3})):
        version = folder / "models" / "run" / "generator" / str(task)
        about = json.loads((version / "task.json").read_text())
        assert (about["task"], about["method"]) == (task, "dgr")
        assert about["settings_hash"] == settings(dataset, folder).hash
        signatures = tf.saved_model.load(str(version)).signatures
        seed = tf.constant([1, 1])
        images = signatures["generate"](num=tf.constant(30), seed=seed)["images"]
        of_class = [
            signatures["generate_classes"](condition=tf.fill([30], c), seed=seed)["images"] for c in range(4)
        ]
        distance = np.abs(images - np.array(of_class)).max(axis=(2, 3, 4))
        assert set(distance.argmin(axis=0).tolist()) == classes and distance.min(axis=0).max() < 1e-2


@pytest.mark.parametrize(
    ("task", "parts"), [(1, ("generator/1", "1")), (2, ("generator/2", "2")), (1, ("generator/1",))]
)
def test_models_that_went_missing_are_exported_again(copy, dataset, task, parts, no_figures, monkeypatch):
    monkeypatch.setattr("keras_cl.runs.learn._fit", lambda *_: pytest.fail("something was trained"))
    before = generator_of(copy, task)
    for gone in parts:
        shutil.rmtree(copy / "models" / "run" / gone)
    train.run(settings(dataset, copy), display=silent())
    assert names_in(copy / "models" / "run" / "generator") == {"1", "2"}
    again = generator_of(copy, task)
    assert again.keys() == before.keys()
    assert_same(again.values(), before.values())
    other = generator_of(copy, 3 - task)
    assert any((again[key] != other[key]).any() for key in again)


@pytest.mark.slow
def test_a_run_that_lost_a_task_draws_and_exports_it_the_same(copy, dataset, no_figures):
    kept = copy / "kept"
    shutil.copytree(copy / "run", kept)
    before = generator_of(copy, 2)
    for gone in ("run/checkpoints/task_002", "run/samples", "models/run/2", "models/run/generator/2"):
        shutil.rmtree(copy / gone)
    (copy / "run/DONE").unlink()
    summary = train.run(settings(dataset, copy), display=silent())
    assert_same(generator_of(copy, 2).values(), before.values())
    assert names_in(copy / "run" / "samples") == {"task_002.png"}
    name = "samples/task_002.png"
    assert (copy / "run" / name).read_bytes() == (kept / name).read_bytes()
    whole = json.loads((kept / "summary.json").read_text())
    assert summary["generated_labels"] == whole["generated_labels"]


def test_generators_of_another_run_are_not_written_beside(copy, dataset):
    other = settings(dataset, copy, learning_rate=0.5, run_dir=str(copy / "other" / "run"))
    with pytest.raises(InputError, match="holds the models of another run"):
        claim(copy / "models" / "run", {"": other.hash}, other.overwrite)
    assert names_in(copy / "models" / "run" / "generator") == {"1", "2"}
    again = settings(dataset, copy, learning_rate=0.5, overwrite=True)
    claim(copy / "models" / "run", {"": again.hash}, again.overwrite)
    assert not (copy / "models" / "run").exists()


def test_what_cannot_be_drawn_does_not_stop_a_run(dataset, tmp_path, no_figures):
    with np.load(dataset) as arrays:
        flat = {k: v.reshape(len(v), -1) if k.startswith("x") else v for k, v in arrays.items()}
    np.savez(tmp_path / "features.npz", **flat)
    config = settings(str(tmp_path / "features.npz"), tmp_path, tasks=1, epochs=1)
    summary = train.run(config, display=silent())
    assert [len(counts) for counts in summary["generated_labels"]] == [4]
    assert not {"samples", "tensorboard"} & names_in(tmp_path / "run")
    assert names_in(tmp_path / "models" / "run" / "generator") == {"1"}


def test_figures_know_how_many_images_a_grid_has():
    assert plots.samples.GRID == GRID
