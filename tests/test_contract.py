"""The contract of methods: laws that every method file must keep, without a test of its own.

Methods are found by file name, built from their defaults and trained on two tiny tasks of different length
(one chunk of batches and two), with dropout in the network. In one scenario of a method its steps are traced,
and the others are learned eagerly: tracing is what takes the time, and one law says that both are the same.
"""

import collections
import dataclasses
import functools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import SMALL, assert_same, blobs, saved_variables, silent, small

from keras_cl import train
from keras_cl.errors import InputError
from keras_cl.learning import batches
from keras_cl.methods.base import ContinualModel
from keras_cl.runs import saved_model
from keras_cl.runs.directory import RunDirectory
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.catalog import usual
from keras_cl.settings.config import SCENARIOS, Config
from keras_cl.streams.base import Stream

METHODS = catalog.names("method")
REGULARISERS = [
    name for name in METHODS if any(o.name == "strength" for o in catalog.choice("method", name).options)
]
ROWS = (3, 4, 5, 6)  # of the four classes: 4 steps and 6 steps, one chunk and two
BATCH, CHUNK = 2, 4


def claimed(method):
    """The scenarios that a method claims to make sense in."""
    return catalog.choice("method", method).constants.get("scenarios", SCENARIOS)


every_method = pytest.mark.parametrize("method", METHODS)
every_regulariser = pytest.mark.parametrize("method", REGULARISERS)
everywhere = pytest.mark.parametrize(
    ("method", "scenario"), [(method, scenario) for method in METHODS for scenario in claimed(method)]
)


def settings(method, scenario, dataset, **given):
    """A run over two tasks; options of the method by their names."""
    fields = {field.name for field in dataclasses.fields(Config)}
    options = {f"method.{name}": given.pop(name) for name in given.keys() - fields}
    return Config(
        method=method,
        scenario=scenario,
        stream="permuted" if scenario == "domain" else "split",
        dataset=dataset,
        tasks=2,
        epochs=1,
        batch_size=BATCH,
        options={**small(method), **options},
        **given,
    )


@dataclasses.dataclass
class Learned:
    """What is known about a model that learned its stream; lists have one entry a task."""

    model: ContinualModel
    stream: Stream
    chunks: list = dataclasses.field(default_factory=list)  # what the step is given: a type is a trace
    losses: list = dataclasses.field(default_factory=list)
    weights: list = dataclasses.field(default_factory=list)
    before_end: list = dataclasses.field(default_factory=list)  # logits of the task's test images
    after_end: list = dataclasses.field(default_factory=list)


@pytest.fixture(scope="module", autouse=True)
def short_chunks():
    """Chunks of few steps, so that few steps are more than one chunk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "chunk_length", lambda *_: CHUNK)
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs(ROWS))
    return str(path)


@pytest.fixture(scope="module")
def learned(dataset):
    """Function of a method and a scenario that gives a `Learned`, trained once for the same arguments."""

    def trained(method, scenario, *, jit="off", eagerly=None, **options):
        eagerly = scenario != claimed(method)[-1] if eagerly is None else eagerly
        return once(method, scenario, jit, eagerly, **options)

    @functools.cache
    def once(method, scenario, jit, eagerly, **options):
        config = settings(method, scenario, dataset, jit=jit, **options)
        stream = make_stream(config)
        model = make_model(config, stream, seed=0)
        model.run_eagerly = eagerly
        result = Learned(model, stream)
        for task in stream:
            x, _ = task.test.open()
            model.begin_task(task)
            data = model.batches(task, BATCH)
            fitted = model.fit(data, verbose=0)
            result.chunks.append(data.element_spec)
            result.before_end.append(model.predict_logits(x))
            model.end_task(task)
            result.after_end.append(model.predict_logits(x))
            result.weights.append(model.network.get_weights())
            result.losses += fitted.history["loss"]
        return result

    return trained


@pytest.fixture(scope="module")
def exported(learned, tmp_path_factory):
    """Function of a method and a scenario that gives the folder of a SavedModel, made after the last task."""

    @functools.cache
    def made(method, scenario):
        model, stream = learned(method, scenario).model, learned(method, scenario).stream
        folder = tmp_path_factory.mktemp(f"{method}-{scenario}") / "model"
        saved_model.export(model.network, stream[-1], folder, {})
        return folder

    return made


@pytest.fixture(scope="module")
def command(dataset):
    """Function that runs the command for a method in a folder, without figures and SavedModels.

    These take time and are not in question.
    """

    def run(method, folder):
        places = {"run_dir": str(folder / "run"), "export_dir": str(folder / "models")}
        chosen = settings(method, claimed(method)[-1], dataset, jit="off", **places)
        with pytest.MonkeyPatch.context() as patch:
            for module in (train.figures, train.samples):
                patch.setattr(module, "draw", lambda *_: None)
            for name in ("export", "export_generator"):
                patch.setattr(saved_model, name, described)
            train.run(chosen, display=silent())

    return run


def described(model, task, folder, description):
    """In place of a SavedModel, what is written beside it."""
    (folder / saved_model.DESCRIPTION).write_text(json.dumps(description))


@pytest.fixture(scope="module")
def commanded(command, tmp_path_factory):
    """Function of a method that gives the folder of its run, made once."""

    @functools.cache
    def made(method):
        folder = tmp_path_factory.mktemp(method)
        command(method, folder)
        return folder

    return made


# ---- training --------------------------------------------------------------------------------------------


@everywhere
def test_every_task_is_learned_with_a_finite_loss(method, scenario, learned):
    result = learned(method, scenario)
    assert len(result.losses) == 2
    assert np.isfinite(result.losses).all()
    assert all(np.isfinite(values).all() for weights in result.weights for values in weights)
    assert any((one != other).any() for one, other in zip(*result.weights, strict=True))


@everywhere
def test_the_step_is_traced_once_for_tasks_of_any_length(method, scenario, learned):
    """And once more where a generator begins to replay, in the second task."""
    result = learned(method, scenario)
    model = result.model
    replays = model.memory is not None and model.memory.generates and model.draws > 0
    assert len(set(result.chunks)) == 1 + replays
    if not model.run_eagerly:
        assert model.train_function.steps.experimental_get_tracing_count() == 1 + replays


@everywhere
def test_the_end_of_a_task_changes_predictions_only_where_a_method_says_so(method, scenario, learned):
    result = learned(method, scenario)
    if result.model.answers_at_end:
        assert (result.before_end[-1] != result.after_end[-1]).any()
    else:
        assert_same(result.before_end, result.after_end)


@every_method
@pytest.mark.parametrize("other", [{"jit": "on"}, {"eagerly": True}], ids=["xla", "eager"])
def test_compiled_and_eager_steps_are_the_same_steps(method, other, learned):
    scenario = claimed(method)[-1]
    graph, result = learned(method, scenario), learned(method, scenario, **other)
    for weights, expected in zip(result.weights, graph.weights, strict=True):
        for value, wanted in zip(weights, expected, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-5)


# ---- repeating -------------------------------------------------------------------------------------------


@every_method
def test_a_rerun_by_the_command_is_bit_identical(method, learned, commanded):
    folder = commanded(method)
    by_hand = learned(method, claimed(method)[-1])
    for number, weights in enumerate(by_hand.weights, 1):
        again = {key: value for key, value in state(folder, number).items() if "/network/" in key}
        assert_same(sorted_by_bytes(again.values()), sorted_by_bytes(weights))
    records = RunDirectory(folder / "run").finished()
    assert [epoch["loss"] for record in records for epoch in record["epochs"]] == by_hand.losses
    everything = saved_variables(tf.train.Checkpoint(model=by_hand.model).write(str(folder / "by_hand")))
    assert everything.keys() == state(folder, 2).keys()
    assert_same(everything.values(), [state(folder, 2)[key] for key in everything])


@every_method
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(method, command, commanded, tmp_path):
    whole, stopped = commanded(method), tmp_path / "stopped"
    shutil.copytree(whole, stopped)
    for later in ("run/checkpoints/task_002", "models/run/2"):
        shutil.rmtree(stopped / later)
    for later in ("DONE", "matrix.csv", "metrics.csv", "summary.json"):
        (stopped / "run" / later).unlink()
    command(method, stopped)

    def text(folder, name):
        return (folder / "run" / name).read_text()

    assert text(stopped, "checkpoints/task_001/DONE") == text(whole, "checkpoints/task_001/DONE")
    assert state(stopped, 2).keys() == state(whole, 2).keys()
    assert_same(state(stopped, 2).values(), [state(whole, 2)[key] for key in state(stopped, 2)])
    assert text(stopped, "matrix.csv") == text(whole, "matrix.csv")
    assert (stopped / "run/DONE").exists()


def state(folder, number):
    """All variables after a task of the run in `folder`."""
    return saved_variables(folder / f"run/checkpoints/task_00{number}/variables")


def sorted_by_bytes(arrays):
    return sorted(map(np.asarray, arrays), key=lambda array: (array.shape, array.tobytes()))


# ---- what is exported ------------------------------------------------------------------------------------


@everywhere
def test_the_exported_model_answers_like_the_model(method, scenario, exported, learned):
    model, stream = learned(method, scenario).model, learned(method, scenario).stream
    signatures = tf.saved_model.load(str(exported(method, scenario))).signatures
    for task in stream:
        x, _ = task.test.open()
        answer = signatures["serving_default"](images=tf.constant(x, tf.float32))
        np.testing.assert_allclose(answer["logits"], model.predict_logits(x), rtol=0, atol=1e-5)
        seen = stream.class_mask.any(axis=0)
        np.testing.assert_array_equal(
            answer["class"], stream.labels.max(axis=0)[model.predict_units(x, seen)]
        )
        if scenario == "task":
            own = signatures["with_task"](
                images=tf.constant(x, tf.float32), task=tf.fill([len(x)], task.index)
            )
            units = model.predict_units(x, stream.class_mask[task.index], task.index)
            np.testing.assert_array_equal(own["class"], stream.labels[task.index][units])


@everywhere
def test_the_exported_model_holds_the_networks_variables_and_nothing_else(
    method, scenario, exported, learned
):
    saved = saved_variables(exported(method, scenario) / "variables" / "variables")
    model, stream = learned(method, scenario).model, learned(method, scenario).stream
    assert_same(sorted_by_bytes(saved.values()), sorted_by_bytes(model.network.variables))
    kind = usual(method)["network"]
    bare = catalog.load("network", kind)(stream, **SMALL["network"][kind])  # without a method around it
    expected = collections.Counter(tuple(v.shape) for v in bare.variables)
    added = collections.Counter(value.shape for value in saved.values()) - expected
    assert added.total() == (len(saved) - expected.total())
    # Only a network that asks for the task, or one that answers by what `end_task` settles, has more.
    assert not added or "task" in model.network.input_names or model.answers_at_end


# ---- curvature -------------------------------------------------------------------------------------------


@every_method
def test_a_network_without_a_hessian_says_why(method, learned):
    """That is one which does not answer by the logits of the images alone."""
    network = learned(method, claimed(method)[-1]).model.network
    plain = len(network.inputs) == 1 and isinstance(network.layers[-1], keras.layers.Dense)
    assert plain != bool(catalog.choice("method", method).constants.get("no_curvature"))


# ---- ties to fine-tuning ---------------------------------------------------------------------------------


@every_regulariser
def test_strength_0_is_fine_tuning_bit_for_bit(method, learned):
    scenario = claimed(method)[-1]
    plain = learned("finetune", scenario, jit="on")
    off = learned(method, scenario, jit="on", strength=0.0)
    for weights, expected in zip(off.weights, plain.weights, strict=True):
        assert_same(weights, expected)


@every_regulariser
def test_the_first_task_is_fine_tuning_bit_for_bit_and_the_second_is_not(method, learned):
    scenario = claimed(method)[-1]
    result, plain = (learned(name, scenario, jit="on") for name in (method, "finetune"))
    assert_same(result.weights[0], plain.weights[0])
    assert any((one != other).any() for one, other in zip(result.weights[1], plain.weights[1], strict=True))


# ---- scenarios -------------------------------------------------------------------------------------------


@every_method
def test_a_scenario_that_is_not_claimed_is_refused_before_data_is_read(method):
    for scenario in SCENARIOS:
        if scenario in claimed(method):
            settings(method, scenario, "no/such/file.npz")
        else:
            with pytest.raises(InputError, match=f"makes no sense in the {scenario}-incremental scenario"):
                settings(method, scenario, "no/such/file.npz")


def test_the_refusal_names_what_is_possible(tmp_path, monkeypatch):
    (tmp_path / "picky.py").write_text('class Picky:\n    """."""\n\n    scenarios = ("task", "class")\n')
    monkeypatch.setitem(catalog.AXES, "method", str(tmp_path))
    settings("picky", "class", "no/such/file.npz")
    with pytest.raises(InputError, match="picky makes no sense in the domain-inc.* possible: task, class"):
        settings("picky", "domain", "no/such/file.npz")


@every_method
def test_what_the_source_says_is_what_the_class_has(method):
    read, loaded = catalog.choice("method", method).constants, catalog.load("method", method)
    assert tuple(read.get("scenarios", SCENARIOS)) == loaded.scenarios
    assert read.get("forgets_in", ()) == loaded.forgets_in
    assert read.get("search", {}) == loaded.search
    assert read.get("usual", {}) == loaded.usual
    possible = read.get("memories")
    assert possible == (None if loaded.memories is None else tuple(loaded.memories))
