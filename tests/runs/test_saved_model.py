"""SavedModels: their signatures and answers, other programs that read them, and the matrix made from them."""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import blobs, silent

from keras_cl import evaluate, sources, streams, train
from keras_cl.errors import InputError
from keras_cl.networks import mlp
from keras_cl.runs import directory, saved_model
from keras_cl.settings.config import Config

LABELS = (10, 20, 30, 40, 50, 60)
ORDER = "30,10,40,60,50,20"  # tasks of two: 30 and 10, 40 and 60, 50 and 20
BYTES = sources.from_arrays(**blobs([20] * 6, labels=LABELS))
FLOATS = sources.from_arrays(**blobs([20] * 6, labels=LABELS, dtype=np.float32))
STREAMS = {
    "split task": functools.partial(streams.split, BYTES, scenario="task", class_order=ORDER),
    "split class": functools.partial(streams.split, BYTES, scenario="class", class_order=ORDER),
    "split domain": functools.partial(streams.split, BYTES, scenario="domain", class_order=ORDER),
    "permuted domain": functools.partial(streams.permuted, BYTES, scenario="domain"),
    "permuted task": functools.partial(streams.permuted, BYTES, scenario="task"),
    "floats": functools.partial(streams.split, FLOATS, scenario="class", class_order=ORDER),
}
every_stream = pytest.mark.parametrize("kind", STREAMS)


class Exported:
    """A random network, saved as it would be after the second of three tasks.

    Attributes:
      x: the test images of all tasks, one after the other.
      task: index of the task that each is from.
      logits: of `x`, calculated by numpy.
    """

    def __init__(self, kind, folder):
        self.stream, self.folder = STREAMS[kind](tasks=3), folder
        parts = [task.test.open()[0] for task in self.stream]
        self.x = np.concatenate(parts)
        self.task = np.repeat([0, 1, 2], [len(part) for part in parts]).astype(np.int32)
        network = mlp(self.stream, hidden=(8,), dropout=0.5, seed=1)
        first, last = (layer for layer in network.layers if layer.name.startswith("dense"))
        images = self.x.reshape(len(self.x), -1) * (1 if kind == "floats" else 1 / 255)
        logits = np.maximum(images @ first.kernel.numpy(), 0) @ last.kernel.numpy()
        last.bias.assign(-logits.mean(axis=0))  # so that every class is the answer to some image
        self.logits = logits + last.bias.numpy()
        saved_model.export(network, self.stream[1], folder, {"written": "beside"})
        self.signatures = tf.saved_model.load(str(folder)).signatures

    def answer(self, name="serving_default", dtype=np.float32, **inputs):
        return self.signatures[name](images=tf.constant(self.x.astype(dtype)), **inputs)

    def units(self, allowed):
        """Likeliest of the units that `allowed` `[n, C]` or `[C]` names."""
        return np.where(allowed, self.logits, -np.inf).argmax(axis=1)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Function of a kind of stream that gives an `Exported`, made once."""
    return functools.cache(lambda kind: Exported(kind, tmp_path_factory.mktemp("export") / "2"))


# ---- signatures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("split task", {"serving_default", "bytes", "with_task"}),
        ("split class", {"serving_default", "bytes"}),
        ("split domain", {"serving_default", "bytes", "with_task"}),
        ("permuted domain", {"serving_default", "bytes"}),
        ("permuted task", {"serving_default", "bytes", "with_task"}),
        ("floats", {"serving_default"}),
    ],
)
def test_signatures_follow_the_scenario_and_the_type_of_the_images(kind, names, exported):
    model = exported(kind)
    assert set(model.signatures) == names | {"description"}
    classes = model.stream.num_classes
    images = {"serving_default": tf.float32, "bytes": tf.uint8, "with_task": tf.float32}
    for name in names:
        _, inputs = model.signatures[name].structured_input_signature
        expected = {"images": tf.TensorSpec((None, 4, 4, 1), images[name], "images")}
        if name == "with_task":
            expected["task"] = tf.TensorSpec((None,), tf.int32, "task")
        assert inputs == expected
        outputs = model.signatures[name].structured_outputs
        assert {key: (value.dtype, value.shape.as_list()) for key, value in outputs.items()} == {
            "logits": (tf.float32, [None, classes]),
            "probabilities": (tf.float32, [None, classes]),
            "class": (tf.int64, [None]),
        }


# ---- answers ---------------------------------------------------------------------------------------------


@every_stream
def test_logits_are_those_of_raw_images_with_the_scaling_inside(kind, exported):
    model = exported(kind)
    np.testing.assert_allclose(model.answer()["logits"], model.logits, rtol=0, atol=1e-5)


@every_stream
def test_floats_and_bytes_get_the_same_answer(kind, exported):
    model = exported(kind)
    if "bytes" in model.signatures:
        floats, raw = model.answer(), model.answer("bytes", np.uint8)
        assert floats.keys() == raw.keys()
        for name in floats:
            np.testing.assert_array_equal(raw[name], floats[name])


@pytest.mark.parametrize("kind", ["split task", "split class", "floats"])
def test_classes_are_original_labels_among_those_seen(kind, exported):
    model = exported(kind)
    seen = np.isin(LABELS, [30, 10, 40, 60])
    said = model.answer()["class"].numpy()
    np.testing.assert_array_equal(said, np.array(LABELS)[model.units(seen)])
    assert not np.isin(said, [50, 20]).any()
    assert len(set(said)) > 1


def test_all_classes_of_a_permuted_stream_may_answer(exported):
    model = exported("permuted domain")
    np.testing.assert_array_equal(model.answer()["class"], np.array(LABELS)[model.units(np.ones(6, bool))])


def test_without_a_task_a_permuted_stream_with_units_for_every_task_answers_by_the_units_seen(exported):
    model = exported("permuted task")
    units = model.units(np.arange(18) < 12)
    np.testing.assert_array_equal(model.answer()["class"], np.array(LABELS * 3)[units])


def test_with_task_only_the_task_s_own_classes_answer(exported):
    model = exported("split task")
    own = np.array([np.isin(LABELS, pair) for pair in ([30, 10], [40, 60], [50, 20])])[model.task]
    said = model.answer("with_task", task=tf.constant(model.task))
    np.testing.assert_array_equal(said["class"], np.array(LABELS)[model.units(own)])


def test_the_task_of_each_image_counts_not_that_of_the_batch(exported):
    model = exported("permuted task")
    own = np.arange(18) // 6 == model.task[:, np.newaxis]
    said = model.answer("with_task", task=tf.constant(model.task))
    np.testing.assert_array_equal(said["class"], np.array(LABELS * 3)[model.units(own)])
    turned = model.answer("with_task", task=tf.constant(2 - model.task))
    assert (turned["class"].numpy() != said["class"].numpy()).any()
    np.testing.assert_array_equal(turned["logits"], said["logits"])  # the task is a mask and nothing else


def test_a_domain_incremental_split_answers_positions_and_with_the_task_labels(exported):
    model = exported("split domain")
    position = model.units(np.ones(2, bool))
    np.testing.assert_array_equal(model.answer()["class"], position)
    tasks = np.array([[30, 10], [40, 60], [50, 20]])
    said = model.answer("with_task", task=tf.constant(model.task))
    np.testing.assert_array_equal(said["class"], tasks[model.task, position])


@every_stream
def test_probabilities_are_the_softmax_over_the_classes_that_may_answer(kind, exported):
    model = exported(kind)
    allowed = np.broadcast_to(model.stream.class_mask[:2].any(axis=0), model.logits.shape)
    for name, mask in (("serving_default", allowed), ("with_task", model.stream.class_mask[model.task])):
        if name in model.signatures:
            task = {"task": tf.constant(model.task)} if name == "with_task" else {}
            raised = np.where(mask, np.exp(model.logits), 0)
            expected = raised / raised.sum(axis=1, keepdims=True)
            said = model.answer(name, **task)["probabilities"]
            np.testing.assert_allclose(said, expected, rtol=0, atol=1e-5)
            assert (said.numpy()[~mask] == 0).all()


def test_the_description_lies_beside_the_model(exported):
    folder = exported("split class").folder
    assert saved_model.read_description(folder) == {"written": "beside"}
    assert json.loads((folder / "task.json").read_text()) == {"written": "beside"}


def test_the_description_is_an_answer_of_the_model_too(exported):
    said = exported("split class").signatures["description"](row=tf.zeros(2, tf.int32))["description"]
    assert [json.loads(text) for text in said.numpy()] == [{"written": "beside"}] * 2


# ---- other programs --------------------------------------------------------------------------------------

FRESH = """
import sys
import numpy as np
import tensorflow as tf
answer = tf.saved_model.load("model").signatures["serving_default"](images=tf.constant(np.load("x.npy")))
assert not {"keras_cl", "tf_keras"} & set(sys.modules), "loaded more than tensorflow"
np.savez("answer.npz", **answer)
"""


def outside(command, folder):
    """Runs a command that knows nothing of this library; returns what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def served(exported, tmp_path):
    """An `Exported` whose model is in `tmp_path`/model, with its images beside it."""
    model = exported("split class")
    shutil.copytree(model.folder, tmp_path / "model")
    np.save(tmp_path / "x.npy", model.x.astype(np.float32))
    return model


def test_a_fresh_process_needs_nothing_but_tensorflow(served, tmp_path):
    outside([sys.executable, "-c", FRESH], tmp_path)
    here = served.answer()
    with np.load(tmp_path / "answer.npz") as there:
        assert set(there) == set(here)
        for name in there:
            np.testing.assert_array_equal(there[name], here[name])


# TensorFlow's program, each command line in a fork of a process that has imported it.
SAVED_MODEL_CLI = """
import os
import sys
from tensorflow.python.tools import saved_model_cli
for line in sys.argv[1:]:
    if not os.fork():
        sys.argv = ["saved_model_cli", *line.split()]
        saved_model_cli.main()
    assert os.wait()[1] == 0, line
"""


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_the_model(served, tmp_path):
    show = "show --dir model --all"
    run = "run --dir model --tag_set serve --signature_def serving_default --inputs images=x.npy --outdir ."
    shown = outside([sys.executable, "-c", SAVED_MODEL_CLI, show, run], tmp_path)
    for text in ("signature_def['serving_default']", "signature_def['bytes']", "inputs['images']"):
        assert text in shown
    for name, value in served.answer().items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), value, rtol=0, atol=1e-6)


# ---- the matrix from the models alone --------------------------------------------------------------------

RUNS = {
    "task": ("split", "task"),
    "class": ("split", "class"),
    "domain": ("split", "domain"),
    "permuted": ("permuted", "domain"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Function of a key of `RUNS` that gives the `Config` of a finished run, trained once."""

    @functools.cache
    def trained(kind):
        stream, scenario = RUNS[kind]
        folder = tmp_path_factory.mktemp(kind)
        np.savez(folder / "data.npz", **blobs([20] * 6, labels=LABELS))
        config = Config(
            method="finetune",
            stream=stream,
            scenario=scenario,
            dataset=str(folder / "data.npz"),
            tasks=3,
            epochs=2,
            batch_size=16,
            learning_rate=0.01,
            jit="off",
            run_dir=str(folder / "a_run"),
            export_dir=str(folder / "models"),
            options={"network.hidden": (8,)} | ({"stream.class_order": ORDER} if stream == "split" else {}),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train.figures, "draw", lambda path: None)  # figures are not in question here
            train.run(config, display=silent())
        return config

    return trained


def models_of(config):
    return pathlib.Path(config.export_dir, config.name)


@pytest.mark.parametrize("kind", RUNS)
def test_the_models_alone_give_the_matrix_of_training(kind, run):
    config = run(kind)
    trained = directory.read_matrix(config.directory / "matrix.csv")
    rebuilt = evaluate.accuracy_matrix(models_of(config))
    assert np.isnan(rebuilt[0]).all()
    np.testing.assert_allclose(rebuilt[1:], trained[1:], rtol=0, atol=1e-6)
    assert len(np.unique(trained[1:])) > 2


def test_models_of_the_tasks_so_far_give_the_rows_so_far(run, tmp_path, capsys):
    config = run("class")
    shutil.copytree(models_of(config), tmp_path / "models")
    shutil.rmtree(tmp_path / "models" / "3")
    expected = evaluate.accuracy_matrix(models_of(config))
    np.testing.assert_array_equal(evaluate.accuracy_matrix(tmp_path / "models"), expected[:3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_cl.devices.device.prepare", lambda *_, **__: None)
        evaluate.main(evaluate.parse(["evaluate", f"--saved_model={tmp_path / 'models'}"]))
    said = " ".join(capsys.readouterr().out.split())
    assert "There is no model of a later task than 2: the metrics are of the tasks so far." in said
    assert f"average accuracy {expected[2, :2].mean():.4f}" in said


def test_task_json_tells_what_was_learned(run):
    config = run("class")
    matrix = directory.read_matrix(config.directory / "matrix.csv")
    for number in (1, 2, 3):
        description = saved_model.read_description(models_of(config) / str(number))
        accuracies = description["metrics"].pop("accuracies")
        np.testing.assert_allclose(np.array(accuracies, float), matrix[number], rtol=0, atol=1e-6)
        assert description == {
            "run": "a_run",
            "method": "finetune",
            "scenario": "class",
            "task": number,
            "tasks": [
                {"index": 0, "classes": [30, 10]},
                {"index": 1, "classes": [40, 60]},
                {"index": 2, "classes": [50, 20]},
            ][:number],
            "class_means": "label",
            "labels": [10, 20, 30, 40, 50, 60],
            "scale": 1 / 255,
            "metrics": {},
            "settings_hash": config.hash,
            "settings": json.loads(json.dumps(config.settings)),
            "seed": 0,
        }


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [("task", "label"), ("domain", "position in the task"), ("permuted", "label")],
)
def test_task_json_tells_what_a_class_means(kind, meaning, run):
    assert saved_model.read_description(models_of(run(kind)) / "1")["class_means"] == meaning


def test_versions_are_in_the_order_of_numbers(tmp_path):
    for name in ("10", "9", "1", "x", ".2.aside"):
        (tmp_path / name).mkdir()
    (tmp_path / "3").write_text("no folder")
    assert [version.name for version in saved_model.versions(tmp_path)] == ["1", "9", "10"]


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


DATA = "2/variables/variables.data-00000-of-00001"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (shutil.rmtree, "There is no folder {0}."),
        (lambda models: [shutil.rmtree(part) for part in models.iterdir()], "{0} holds no exported model: "),
        (lambda models: shutil.rmtree(models / "2"), "{0} lacks the models of the tasks 2 of 3; "),
        (lambda models: shutil.rmtree(models / "1"), "{0} lacks the models of the tasks 1 of 3; "),
        (lambda models: (models / "2/saved_model.pb").unlink(), "The model {0}/2 is damaged or incomplete; "),
        (lambda models: cut(models / "2/saved_model.pb", 0), "The model {0}/2 is damaged or incomplete; "),
        (lambda models: cut(models / "2/saved_model.pb", 5000), "The model {0}/2 is damaged or incomplete; "),
        (lambda models: (models / DATA).unlink(), "The model {0}/2 is damaged or incomplete; "),
        (lambda models: cut(models / DATA, 100), "The model {0}/2 is damaged or incomplete; "),
        (lambda models: flip(models / DATA), "The model {0}/2 is damaged or incomplete; "),
        (
            lambda models: (models / "1/task.json").unlink(),
            "{0}/1/task.json is missing, damaged or of another",
        ),
        (lambda models: cut(models / "1/task.json", 30), "{0}/1/task.json is missing, damaged or of another"),
        (lambda models: (models / "1/task.json").write_text("{}"), "{0}/1/task.json is missing, damaged or"),
    ],
)
def test_missing_and_damaged_models_are_refused_in_a_sentence(harm, message, run, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(models_of(run("class")), models)
    harm(models)
    with pytest.raises(InputError) as error:
        evaluate.accuracy_matrix(models)
    assert str(error.value).startswith(message.format(models))
    assert "\n" not in str(error.value)
