"""Methods on a stream in which classes come back, each with one output if classes accumulate."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import blobs, learn, silent

import keras_cl
from keras_cl import evaluate, methods, sources
from keras_cl.memories import Balanced, Herding, Reservoir, Ring, VAEMemory
from keras_cl.networks import class_vaes, mlp
from keras_cl.streams import Stream

TASKS = ((0, 1), (1, 2), (2, 0))


def stream_of(scenario="class"):
    arrays = blobs((8, 8, 8))
    data = sources.from_arrays(*(arrays[f"{a}_{part}"] for part in ("train", "test") for a in "xy"), name="b")
    return Stream("returning", scenario, data, TASKS, (same,) * 3, data.input_shape)


def same(x):
    return x


METHODS = {
    "Finetune": {},
    "LwF": {},
    "ICaRL": {"memory": lambda stream: Herding(stream, capacity=12)},
    "GDumb": {"memory": lambda stream: Balanced(stream, capacity=12)},
    "ER": {"memory": lambda stream: Reservoir(stream, capacity=12)},
    "GEM": {"memory": lambda stream: Ring(stream, capacity=12)},
    "DGR": {"memory": lambda stream: VAEMemory(stream, hidden=(8,), latent=2, conditional=True)},
    "GenerativeClassifier": {},
}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", METHODS)
def test_methods_learn_a_stream_in_which_classes_come_back(name):
    stream = stream_of()
    kind, memory = getattr(methods, name), {key: make(stream) for key, make in METHODS[name].items()}
    network = class_vaes if name == "GenerativeClassifier" else mlp
    model = kind(network(stream, hidden=(8,)), **memory)
    model.compile("adam", jit=False)
    assert model.network.output_shape == (None, 3)
    rows = [model.accuracies(stream)]
    for _ in learn(model, stream, batch_size=4):
        rows.append(model.accuracies(stream))
        assert all(np.isfinite(weight).all() for weight in model.network.get_weights())
    measured = [[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]]
    np.testing.assert_array_equal(~np.isnan(rows), np.array(measured, bool))


@pytest.mark.usefixtures("eagerly")
def test_icarl_learns_a_class_that_comes_back_from_its_labels():
    stream = stream_of()
    model = methods.ICaRL(mlp(stream, hidden=(16,)), memory=Herding(stream, capacity=12))
    model.compile(keras.optimizers.Adam(0.05), jit=False)
    list(learn(model, stream[:1], batch_size=8))
    for theta in model.teacher.variables:
        theta.assign(tf.zeros_like(theta))  # it says 1/2 of every class
    task = stream[1]
    model.begin_task(task)
    model.fit(model.batches(task, 8), epochs=20, verbose=0)
    x, y = task.train.open()
    answers = tf.sigmoid(model.predict(x, verbose=0)).numpy()
    assert answers[y == 1, 1].mean() > 0.8
    assert answers[y == 2, 1].mean() < 0.2
    assert abs(answers[:, 0].mean() - 0.5) < 0.2


@pytest.mark.usefixtures("eagerly")
def test_gem_holds_all_rows_of_each_task_apart():
    stream = stream_of()
    model = methods.GEM(mlp(stream, hidden=(8,)), memory=Ring(stream, capacity=12))
    model.compile("sgd", jit=False)
    list(learn(model, stream, batch_size=4))
    for task in stream:
        rows = model.memory.of_task(task.index)
        held = rows.weight.numpy() > 0
        assert set(rows.y.numpy()[held]) == {*task.classes}
        assert set(rows.task.numpy()[held]) == {task.index}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_exported_models_answer_a_class_that_comes_back_alike(scenario, tmp_path):
    stream = stream_of(scenario)
    model = methods.Finetune(mlp(stream, hidden=(8,)))
    model.compile("adam")
    learned = keras_cl.learn(
        model,
        stream,
        run_dir=tmp_path / "run",
        export_dir=tmp_path / "models",
        display=silent(),
        epochs=2,
        batch_size=4,
    )
    exported = evaluate.accuracy_matrix(tmp_path / "models", stream=stream)
    np.testing.assert_array_equal(exported[1:], learned.matrix[1:])
