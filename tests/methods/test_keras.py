"""Every public method of a Keras model works or is refused, as docs/keras.md says."""

import copy
import pathlib
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.learning.keras_api import OF_NETWORK, REFUSED, REFUSED_BY_COMPILE, REFUSED_BY_FIT
from keras_cl.memories import Reservoir
from keras_cl.methods import ER, EWC, HAT, SI, Finetune, GDumb
from keras_cl.networks import mlp
from keras_cl.regimes import Plain

pytestmark = pytest.mark.usefixtures("eagerly")

PAGE = pathlib.Path(__file__).parents[2] / "docs/keras.md"
STREAM = streams.split(sources.from_arrays(**blobs([10] * 6)), tasks=3, scenario="class", valid_fraction=0.2)
PUBLIC = {
    name for name in dir(keras.Model) if not name.startswith("_") and callable(getattr(keras.Model, name))
}


def model_of(method=Finetune, stream=STREAM, optimizer=None, compiled=True, **options):
    model = method(mlp(stream, hidden=(8,), seed=3), seed=1, **options)
    if compiled:
        model.compile(optimizer or keras.optimizers.Adam(0.01), jit=False)
    return model


@pytest.fixture
def model():
    """A model that learns the first task."""
    model = model_of()
    model.begin_task(STREAM[0])
    return model


def rows(part="train", task=0):
    return getattr(STREAM[task], part).open()


# ---- the table -------------------------------------------------------------------------------------------

# What each method that works does here: the table of the page, and a function that tries it.
WORKS = {
    "add_variable": ("as in Keras", lambda m, path: m.add_variable("v", (2,), trainable=False)),
    "add_weight": ("as in Keras, for the state of a method", lambda m, path: m.add_weight("w", (2,))),
    "build": ("does nothing: the network is built", lambda m, path: m.build((None, 4, 4, 1))),
    "call": ("the logits of all classes", lambda m, path: same(m(rows()[0]), m.predict_logits(rows()[0]))),
    "compile": ("optimizer, loss, metrics, class weights, regime", lambda m, path: m.compile("sgd")),
    "compute_loss": (
        "mean loss of rows, from output units and masked logits",
        lambda m, path: same(m.compute_loss(None, rows()[1], m.predict(rows()[0])), m.evaluate(*rows())[0]),
    ),
    "compute_mask": ("as in Keras", lambda m, path: m.compute_mask(rows()[0], None)),
    "compute_metrics": (
        "updates loss, accuracy and metrics",
        lambda m, path: m.compute_metrics(None, rows()[1], m.predict(rows()[0]), None)["accuracy"],
    ),
    "evaluate": ("loss, accuracy and metrics among the active classes", lambda m, path: m.evaluate(*rows())),
    "finalize_state": ("as in Keras", lambda m, path: m.finalize_state()),
    "fit": ("takes `model.batches(task)` or a task", lambda m, path: m.fit(STREAM[0], verbose=0)),
    "get_metrics_result": ("as in Keras", lambda m, path: m.get_metrics_result()["loss"]),
    "get_weight_paths": ("as in Keras", lambda m, path: m.get_weight_paths()["task"]),
    "get_weights": (
        "those of network, method and memory, without the optimizer",
        lambda m, path: assert_same(m.get_weights(), [w.numpy() for w in m.weights]),
    ),
    "load_weights": (
        "reads what `save_weights` has written, and checks that it fits",
        lambda m, path: m.save_weights(path) or model_of().load_weights(path),
    ),
    "make_predict_function": (
        "as in Keras",
        lambda m, path: m.make_predict_function()(iter(tf.data.Dataset.from_tensors((rows()[0],)))),
    ),
    "make_test_function": (
        "as in Keras",
        lambda m, path: m.make_test_function()(iter(tf.data.Dataset.from_tensors(rows())))["loss"],
    ),
    "make_train_function": (
        "the compiled loop over a chunk of batches",
        lambda m, path: m.make_train_function()(iter(m.batches(STREAM[0], 4)))["loss"],
    ),
    "predict": ("masked logits", lambda m, path: m.predict(rows()[0])),
    "predict_on_batch": (
        "as `predict`",
        lambda m, path: same(m.predict_on_batch(rows()[0]), m.predict(rows()[0])),
    ),
    "predict_step": (
        "masked logits of a batch of the current task",
        lambda m, path: same(m.predict_step((rows()[0],)), m.predict(rows()[0])),
    ),
    "reset_metrics": ("as in Keras", lambda m, path: m.reset_metrics()),
    "reset_states": ("as in Keras", lambda m, path: m.reset_states()),
    "save_weights": (
        "writes the whole state in TensorFlow's format: network, method, memory and optimizer",
        lambda m, path: m.save_weights(path),
    ),
    "set_weights": ("as `get_weights`", lambda m, path: m.set_weights(m.get_weights())),
    "test_on_batch": (
        "as `evaluate`",
        lambda m, path: same(m.test_on_batch(*rows()), m.evaluate(*rows(), verbose=0)),
    ),
    "test_step": (
        "updates and returns loss, accuracy and metrics of a batch of the current task",
        lambda m, path: m.test_step(rows())["loss"],
    ),
    "train_step": (
        "takes a `keras_cl.learning.Batch`; this is what a method defines",
        lambda m, path: m.train_step(next(iter(m.batches(STREAM[0], 4)))[0].step(0))["loss"],
    ),
    "with_name_scope": ("as in Keras", lambda m, path: type(m).with_name_scope(lambda self: 1)),
}
PASSED_ON = {
    "compute_output_shape": lambda m: m.compute_output_shape((None, 4, 4, 1)) == (None, 6),
    "compute_output_signature": lambda m: (
        m.compute_output_signature(tf.TensorSpec((None, 4, 4, 1), tf.float32)).shape == [None, 6]
    ),
    "count_params": lambda m: m.count_params() == m.network.count_params(),
    "export": None,  # a test of its own
    "get_layer": lambda m: m.get_layer("dense_1") is m.network.layers[-1],
    "summary": lambda m: m.summary(print_fn=lambda line: None) is None,
}


def same(one, other):
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def table_of(said):
    return "\n".join(f"| `{name}` | {said[name]} |" for name in sorted(said))


def test_the_page_has_every_public_method():
    assert set(WORKS) | set(PASSED_ON) | {name for name in REFUSED if name[0] != "_"} == PUBLIC
    assert set(PASSED_ON) == set(OF_NETWORK)
    said = {name: what for name, (what, _) in WORKS.items()}
    said |= {name: f"as `model.network.{name}`" for name in OF_NETWORK}
    said |= {name: f"refused: {reason}" for name, reason in REFUSED.items() if name in PUBLIC}
    assert table_of(said) in PAGE.read_text()


@pytest.mark.parametrize("reasons", [REFUSED_BY_COMPILE, REFUSED_BY_FIT], ids=["compile", "fit"])
def test_the_page_has_every_argument_that_is_refused(reasons):
    assert table_of(reasons) in PAGE.read_text()


@pytest.mark.parametrize("name", WORKS)
def test_what_works_works(name, model, tmp_path):
    WORKS[name][1](model, str(tmp_path / "weights"))


@pytest.mark.parametrize("name", sorted(set(PASSED_ON) - {"export"}))
def test_what_is_passed_on_is_the_networks(name, model):
    assert PASSED_ON[name](model)


def test_the_exported_network_answers(model, tmp_path):
    model.export(str(tmp_path))
    x, loaded = tf.constant(rows()[0], tf.float32), tf.saved_model.load(str(tmp_path))
    same(loaded.serve(x), model.predict_logits(x))


@pytest.mark.parametrize("name", sorted(set(REFUSED) & PUBLIC))
def test_what_is_refused_says_so(name, model):
    with pytest.raises(InputError, match=f"has no {name}: ") as error:
        getattr(model, name)(None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps, keras.models.clone_model])
def test_copies_are_refused(make, model):
    with pytest.raises(InputError, match="make the method again with its constructor"):
        make(model)


@pytest.mark.parametrize("name", REFUSED_BY_FIT)
def test_an_argument_of_fit_that_would_do_nothing_is_refused(name, model):
    with pytest.raises(InputError, match=f"fit takes no {name} here"):
        model.fit(model.batches(STREAM[0], 4), verbose=0, **{name: 1})


@pytest.mark.parametrize("name", REFUSED_BY_COMPILE)
def test_an_argument_of_compile_that_would_do_nothing_is_refused(name):
    with pytest.raises(InputError, match=f"compile takes no {name} here"):
        model_of(compiled=False).compile("sgd", **{name: 1})


def test_unknown_arguments_are_typing_errors(model):
    with pytest.raises(TypeError, match="fit has no argument epoch"):
        model.fit(model.batches(STREAM[0], 4), epoch=3)


# ---- weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [SI, ER])
def test_a_model_with_saved_weights_goes_on_as_if_it_had_not_stopped(method, tmp_path):
    def made():
        memory = {"memory": Reservoir(STREAM, capacity=8)} if method is ER else {}
        return model_of(method, reset_optimizer=False, **memory)

    model, other = made(), made()
    list(learn(model, STREAM[:1], batch_size=4))
    model.save_weights(str(tmp_path / "w"))
    other.load_weights(str(tmp_path / "w"))
    with pytest.raises(InputError, match="has learned 1 of . tasks, in their order, and this is task 1"):
        other.begin_task(STREAM[0])
    for one in (model, other):
        list(learn(one, STREAM[1:2], batch_size=4))
    assert_same(model.get_weights(), other.get_weights())


def test_weights_of_another_model_are_refused(tmp_path):
    model_of().save_weights(str(tmp_path / "w"))
    with pytest.raises(InputError, match="holds the state of another model"):
        model_of(EWC).load_weights(str(tmp_path / "w"))


def test_weights_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"There is no .*w.index, which save_weights writes"):
        model_of().load_weights(str(tmp_path / "w"))


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5", "w.keras"])
def test_formats_that_lose_the_state_of_the_method_are_refused(name, model, tmp_path):
    with pytest.raises(InputError, match="give .* no such ending"):
        model.save_weights(str(tmp_path / name))


# ---- the order of calls ----------------------------------------------------------------------------------


def refused(function, *given, **options):
    with pytest.raises(InputError) as error:
        function(*given, **options)
    return str(error.value)


def test_tasks_begin_and_end_in_turn():
    model, (one, two, three) = model_of(GDumb, memory=Reservoir(STREAM, capacity=12)), STREAM
    assert refused(model.end_task, one) == "Call begin_task(task) before end_task(task)."
    model.begin_task(one)
    offered = int(model.memory._offered)
    assert refused(model.begin_task, one) == (
        "Task 1 has begun: call end_task for it before begin_task of task 1."
    )
    assert int(model.memory._offered) == offered  # nothing was done before it was refused
    assert refused(model.end_task, two) == "Task 1 has begun, and this is the end of task 2."
    model.end_task(one)
    assert refused(model.end_task, one) == "Task 1 has ended already."
    assert refused(model.begin_task, three).startswith("The model has learned 1 of ")
    assert refused(model.begin_task, one).endswith("in their order, and this is task 1.")
    model.begin_task(two)
    model.end_task(two)


def test_a_task_of_another_stream_is_refused():
    def seeded(seed):
        return streams.permuted(STREAM.source, tasks=2, seed=seed)

    model = model_of(stream=seeded(0))
    model.begin_task(seeded(0)[0])  # an equal stream is the same one
    assert refused(model.end_task, seeded(1)[0]).startswith("A model learns one stream")
    model.end_task(seeded(0)[0])
    assert refused(model.begin_task, seeded(1)[1]).startswith("A model learns one stream")


def test_fit_is_in_its_place():
    model = model_of(compiled=False)
    for call, *given in ((model.begin_task, STREAM[0]), (model.fit, STREAM[0]), (model.evaluate, *rows())):
        assert refused(call, *given) == "Compile the model first: model.compile(optimizer)."
    model.compile("sgd", jit=False)
    model.begin_task(STREAM[0])
    assert refused(model.fit, model.batches(STREAM[1], 4)) == (
        "Task 1 has begun, and these are the batches of task 2."
    )
    data = model.batches(STREAM[0], 4)
    model.end_task(STREAM[0])
    assert refused(model.fit, data) == ("Task 1 has ended: call begin_task of the next task before fit.")


def test_a_call_that_fails_does_not_begin_the_task():
    model = model_of(EWC, fisher="batched", fisher_batch=1000)
    assert "fisher_batch" in refused(model.begin_task, STREAM[0])
    assert not model.begun


def test_epochs_in_a_loop_are_the_epochs_of_one_fit():
    def trained(fits):
        model = model_of(optimizer="sgd")
        model.begin_task(STREAM[0])
        for epochs in fits:
            model.fit(model.batches(STREAM[0], 4), epochs=epochs, verbose=0)
        return model.network.get_weights()[0]

    np.testing.assert_array_equal(trained([1, 1, 1]), trained([3]))
    np.testing.assert_array_equal(trained([2, 1]), trained([3]))


def test_a_task_of_several_fits_shuffles_and_draws_anew_each_time():
    orders, draws = [], []
    model = model_of(ER, memory=Reservoir(STREAM, capacity=16))
    model.begin_task(STREAM[0])
    for _ in range(3):
        chunk, _ = next(iter(model.batches(STREAM[0], 4)))
        orders.append(chunk.x.numpy()[:, :4].tolist())
        draws.append(chunk.drawn.numpy().tolist())
        model.fit(model.batches(STREAM[0], 4), verbose=0)
    assert orders[0] != orders[1] != orders[2]
    assert draws[1] != draws[2]  # from a memory that was full before both


# ---- callbacks -------------------------------------------------------------------------------------------


def test_a_reduced_learning_rate_ends_with_its_task():
    model = model_of(optimizer=keras.optimizers.SGD(0.5))
    reduce = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", patience=1, min_delta=100.0, factor=0.1)
    rates = []
    for task in STREAM[:2]:
        model.begin_task(task)
        rates.append(float(model.optimizer.learning_rate))
        for _ in range(2):
            how = {"validation_data": task.valid, "callbacks": [reduce]}
            model.fit(model.batches(task, 4), epochs=3, verbose=0, **how)
            rates.append(float(model.optimizer.learning_rate))
        model.end_task(task)
    np.testing.assert_allclose(rates, [0.5, 0.5e-2, 0.5e-4] * 2, rtol=1e-5)
    assert float(model.optimizer.learning_rate) == 0.5


@pytest.mark.parametrize(
    "callback", [keras.callbacks.ReduceLROnPlateau(), keras.callbacks.LearningRateScheduler(abs)]
)
def test_a_rate_that_the_steps_set_is_not_set_by_callbacks(callback):
    model = model_of()
    model.compile("sgd", jit=False, regime=Plain(schedule="cosine", length=3))
    dumb = model_of(GDumb, optimizer="sgd", memory=Reservoir(STREAM, capacity=12), low=0.0)
    for one in (model, dumb):
        one.begin_task(STREAM[0])
        said = refused(one.fit, one.batches(STREAM[0], 4), callbacks=[callback], verbose=0)
        assert f"{type(callback).__name__} would change nothing" in said


def test_checkpoints_by_keras_hold_the_state(model, tmp_path):
    path = str(tmp_path / "{epoch}")
    keep = keras.callbacks.ModelCheckpoint(path, save_weights_only=True, monitor="val_loss")
    model.fit(STREAM[0], epochs=2, batch_size=4, verbose=0, callbacks=[keep], validation_data=STREAM[0].valid)
    other = model_of()
    other.load_weights(str(tmp_path / "2"))
    assert_same(other.get_weights(), model.get_weights())


@pytest.mark.parametrize(
    "callback",
    [
        lambda path: keras.callbacks.ModelCheckpoint(path),
        lambda path: keras.callbacks.ModelCheckpoint(path + ".h5", save_weights_only=True),
        lambda path: keras.callbacks.ModelCheckpoint(path, save_weights_only=True, save_freq=10),
        lambda path: keras.callbacks.BackupAndRestore(path),
    ],
)
def test_checkpoints_that_nobody_could_use_are_refused_before_training(callback, model, tmp_path):
    before = model.get_weights()
    assert refused(model.fit, STREAM[0], callbacks=[callback(str(tmp_path / "c"))], verbose=0)
    assert_same(model.get_weights(), before)


def test_logs_and_tensorboard_have_the_validation(model, tmp_path):
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    board = keras.callbacks.TensorBoard(str(tmp_path / "board"), histogram_freq=1)
    how = {"validation_data": STREAM[0].valid, "callbacks": [log, board], "verbose": 0}
    model.fit(STREAM[0], epochs=2, batch_size=4, **how)
    assert (tmp_path / "log.csv").read_text().startswith("epoch,accuracy,loss,val_accuracy,val_loss\n0,")
    (events,) = (tmp_path / "board/validation").iterdir()
    seen = [
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    ]
    assert seen.count("epoch_loss") == 2


def test_early_stopping_of_keras_follows_the_validation_loss(model):
    stop = keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True, min_delta=100.0)
    seen = []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(model.network.get_weights()))
    how = {"validation_data": STREAM[0].valid, "callbacks": [keep, stop], "verbose": 0}
    history = model.fit(STREAM[0], epochs=9, batch_size=4, **how).history
    assert len(set(history["val_loss"])) == 2
    assert_same(model.network.get_weights(), seen[0])


def test_a_gated_network_is_called_with_the_current_task():
    stream = streams.split(STREAM.source, tasks=3, scenario="task")
    model = model_of(HAT, stream=stream, tasks=3)
    x = stream[1].test.open()[0]
    model.begin_task(stream[0])
    same(model(x), model.predict_logits(x, task=0))
