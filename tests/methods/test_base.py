"""ContinualModel: a loop of ten lines, masks, padding, accuracies, optimizer state, precision, Keras fit."""

import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn

import keras_cl
from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.learning import loop
from keras_cl.learning.batches import Batch
from keras_cl.methods import EWC, Cumulative, Finetune, Joint
from keras_cl.networks import mlp

SOURCE = sources.from_arrays(**blobs([30] * 6))
SCENARIOS = ("task", "domain", "class")


def stream_of(scenario="task", tasks=3):
    return streams.split(SOURCE, tasks=tasks, scenario=scenario)


def model_of(stream, method=Finetune, *, optimizer="sgd", jit=False, network=None, **options):
    network = network or mlp(stream, hidden=(8,), seed=3)
    model = method(network, seed=1, **options)
    model.compile(optimizer, jit=jit)
    return model


def batch_of(*rows):
    """A `Batch` of `(x, y, task, weight)` rows."""
    x, y, task, weight = zip(*rows, strict=True)
    return Batch(
        tf.constant(np.stack(x)),
        tf.constant(y, tf.int32),
        tf.constant(task, tf.int32),
        tf.constant(weight, tf.float32),
    )


def rows_of(task, count):
    """The first `count` training rows of a task."""
    x, y = task.train.open()
    return [(x[row], y[row], task.index, 1) for row in range(count)]


def weights_of(model):
    return [variable.numpy() for variable in model.network.variables]


# ---- the sentence that the library makes true ------------------------------------------------------------


def test_ten_lines_are_a_whole_experiment():
    matrix = []

    stream = keras_cl.streams.permuted("digits", tasks=2, seed=0)
    model = keras_cl.methods.EWC(keras_cl.networks.mlp(stream, hidden=(16,)), strength=100.0)
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    for task in stream:
        model.begin_task(task)
        model.fit(model.batches(task, batch_size=128), epochs=5, verbose=0)
        model.end_task(task)
        matrix.append(model.accuracies(stream))

    assert np.shape(matrix) == (2, 2)
    assert matrix[0][0] > 0.8  # learned
    assert matrix[1][0] > 0.8  # and remembered,
    assert matrix[1][1] > matrix[0][1] + 0.1  # and more was learned.


# ---- masks -----------------------------------------------------------------------------------------------


def changed_units(model, batch):
    """Output units whose bias, and those whose kernel, one step of plain SGD on `batch` changes."""
    kernel, bias = model.network.layers[-1].trainable_variables
    before = kernel.numpy(), bias.numpy()
    model.train_step(batch)
    return (
        np.flatnonzero((kernel.numpy() != before[0]).any(axis=0)).tolist(),
        np.flatnonzero(bias.numpy() != before[1]).tolist(),
    )


@pytest.mark.parametrize(
    ("scenario", "units"), [("task", [2, 3]), ("domain", [0, 1]), ("class", [0, 1, 2, 3])]
)
def test_a_class_that_may_not_answer_gets_no_gradient(scenario, units):
    stream = stream_of(scenario)
    model = model_of(stream)
    model.begin_task(stream[1])
    assert changed_units(model, batch_of(*rows_of(stream[1], 8))) == (units, units)


@pytest.mark.parametrize(
    ("scenario", "units"), [("task", [0, 1]), ("domain", [0, 1]), ("class", [0, 1, 2, 3, 4, 5])]
)
def test_a_row_of_the_past_keeps_its_own_mask_where_the_task_is_known(scenario, units):
    stream = stream_of(scenario)
    model = model_of(stream)
    model.begin_task(stream[2])
    assert changed_units(model, batch_of(*rows_of(stream[0], 8))) == (units, units)


def test_rows_of_two_tasks_in_one_batch_do_not_share_a_mask():
    stream = stream_of("task")
    model = model_of(stream)
    model.begin_task(stream[1])
    both = batch_of(*rows_of(stream[0], 4), *rows_of(stream[1], 4))
    answering = model.logits(both).numpy() > -1e8
    np.testing.assert_array_equal(answering, stream.class_mask[both.task.numpy()])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_loss_is_the_cross_entropy_among_the_classes_that_may_answer(scenario):
    stream = stream_of(scenario)
    model = model_of(stream)
    model.begin_task(stream[1])
    batch = batch_of(*rows_of(stream[1], 8))
    chosen = {"task": [2, 3], "domain": [0, 1], "class": [0, 1, 2, 3]}[scenario]
    logits = model.predict_logits(batch.x.numpy())[:, chosen].astype(float)
    own = logits[np.arange(8), np.searchsorted(chosen, batch.y)]
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - own)
    np.testing.assert_allclose(model.task_loss(batch, model.logits(batch)), expected, rtol=1e-5)


# ---- padding ---------------------------------------------------------------------------------------------


def padding(count):
    return [(np.full(SOURCE.input_shape, 255, np.uint8), 0, 0, 0)] * count


@pytest.mark.parametrize("method", [Finetune, EWC])
def test_padding_does_not_change_the_step(method):
    stream = stream_of()
    rows = rows_of(stream[1], 5)
    after = []
    for batch in (batch_of(*rows), batch_of(*rows, *padding(3))):
        model = model_of(stream, method, network=mlp(stream, hidden=(8,), dropout=0.5, seed=3))
        model.begin_task(stream[1])
        reported = model.train_step(batch)
        after.append((weights_of(model), {name: float(value) for name, value in reported.items()}))
    (alone, results), (padded, same) = after
    for one, other in zip(alone, padded, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-7)
    assert same == pytest.approx(results, rel=1e-6)


def test_an_epoch_reports_the_mean_over_its_rows_whatever_the_batches():
    stream = stream_of("class")
    x, y = stream[0].train.open()
    for batch_size in (7, 16, 60):  # 60 rows: two incomplete last batches and a complete one
        model = model_of(stream, optimizer=keras.optimizers.SGD(0.0))
        model.begin_task(stream[0])
        reported = model.fit(model.batches(stream[0], batch_size), verbose=0).history
        batch = batch_of(*rows_of(stream[0], 60))
        np.testing.assert_allclose(reported["loss"], model.task_loss(batch, model.logits(batch)), rtol=1e-5)
        right = model.predict_units(x, stream.class_mask[0]) == y
        np.testing.assert_allclose(reported["accuracy"], right.mean(), rtol=1e-6)


# ---- what it refuses -------------------------------------------------------------------------------------


def refused(function, *arguments, **options):
    """The one sentence by which a call is refused."""
    with pytest.raises(InputError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_network_with_another_number_of_outputs_is_refused():
    model = model_of(stream_of("class"), network=mlp(stream_of("domain"), hidden=(8,)))
    assert refused(model.begin_task, stream_of("class")[0]) == (
        "The network has 2 outputs and the class-incremental stream split arrays needs 6."
    )


def test_a_second_stream_is_refused():
    model = model_of(stream_of())
    model.begin_task(stream_of()[0])
    other = streams.split(SOURCE, tasks=3, class_order="seeded")
    assert (
        refused(model.begin_task, other[0]) == "A model learns one stream; make a new model for another one."
    )


def test_fit_before_begin_task_is_refused():
    stream = stream_of()
    model = model_of(stream)
    assert refused(model.fit, model.batches(stream[0], 8), verbose=0).startswith(
        "Call begin_task(task) before fit"
    )


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("kind", ["arrays", "dataset"])
def test_plain_arrays_are_refused_by_fit(jit, kind):
    stream = stream_of()
    model = model_of(stream, jit=jit)
    model.begin_task(stream[0])
    data = stream[0].train.open()
    given = data if kind == "arrays" else (tf.data.Dataset.from_tensor_slices(data).batch(8),)
    assert refused(model.fit, *given, verbose=0).startswith(
        "fit takes model.batches(task, batch_size=...), not plain arrays"
    )


def test_a_batch_larger_than_the_task_is_refused():
    stream = stream_of()
    model = model_of(stream)
    assert refused(model.batches, stream[1], 61) == (
        "batch_size is 61 and task 2 has only 60 training rows; give at most that many."
    )
    assert refused(model.batches, stream[1], 0) == "batch_size is 0; it must be at least 1."
    assert model.batches(stream[1], 60)


# ---- accuracies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_accuracies_are_nan_only_for_classes_that_may_not_answer_yet(scenario):
    stream = stream_of(scenario)
    model = model_of(stream)
    later = np.arange(3) if scenario == "class" else np.full(3, -1)
    np.testing.assert_array_equal(np.isnan(model.accuracies(stream)), later >= 0)
    for task in stream:
        model.begin_task(task)
        row = model.accuracies(stream)
        np.testing.assert_array_equal(np.isnan(row), later > task.index)
        np.testing.assert_array_equal(row, model.accuracies(stream, after=task.number))
        model.end_task(task)
    np.testing.assert_array_equal(np.isnan(model.accuracies(stream, after=0)), later >= 0)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_accuracy_is_the_share_of_right_answers_among_the_classes_that_may_answer(scenario):
    stream = streams.split(SOURCE, tasks=3, scenario=scenario, valid_fraction=0.2)
    model = model_of(stream)
    model.begin_task(stream[1])
    allowed = {"task": [[0, 1], [2, 3], [4, 5]], "domain": [[0, 1]] * 3, "class": [[0, 1, 2, 3]] * 2}
    for part in ("test", "valid"):
        row = model.accuracies(stream, part=part)
        for task, units in zip(stream, allowed[scenario], strict=False):
            x, y = getattr(task, part).open()
            said = np.array(units)[model.predict_logits(x)[:, units].argmax(axis=1)]
            assert row[task.index] == np.mean(said == y)


def test_predictions_do_not_depend_on_the_block_that_a_row_is_in(monkeypatch):
    stream = stream_of()
    model = model_of(stream)
    x, _ = stream[0].train.open()
    whole = model.predict_logits(x)
    monkeypatch.setattr(keras_cl.learning.layers, "ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(model.predict_logits(x), whole, rtol=0, atol=1e-6)


# ---- the optimizer's state -------------------------------------------------------------------------------

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01),  # starts from accumulators of 0.1, not 0
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_but_the_weights_comes_over_from_earlier_tasks(name):
    """Trained on from the same weights, a model with a past and one without come to the same."""
    stream = stream_of()
    old, new = (
        model_of(stream, optimizer=OPTIMIZERS[name](), network=mlp(stream, hidden=(8,), dropout=0.3, seed=3))
        for _ in range(2)
    )
    list(learn(old, stream[:1]))
    for weight, value in zip(new.network.trainable_variables, old.network.trainable_variables, strict=True):
        weight.assign(value)
    for model in (old, new):
        list(learn(model, stream[1:2]))
    assert_same(weights_of(old), weights_of(new))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fresh_optimizer_is_as_keras_makes_it(name):
    stream = stream_of()
    model = model_of(stream, optimizer=OPTIMIZERS[name]())
    made = [variable.numpy() for variable in model.optimizer.variables]
    list(learn(model, stream[:1]))
    assert any(
        (one.numpy() != other).any() for one, other in zip(model.optimizer.variables, made, strict=True)
    )
    model.begin_task(stream[1])
    assert_same([variable.numpy() for variable in model.optimizer.variables], made)


def test_the_optimizers_state_can_be_kept():
    stream = stream_of()
    model = model_of(stream, optimizer=keras.optimizers.Adam(0.01), reset_optimizer=False)
    list(learn(model, stream[:1]))
    before = [variable.numpy() for variable in model.optimizer.variables]
    model.begin_task(stream[1])
    assert model.optimizer.iterations == 2  # 60 rows in batches of 32
    assert_same([variable.numpy() for variable in model.optimizer.variables], before)


def test_a_fresh_optimizer_keeps_its_learning_rate():
    stream = stream_of()
    model = model_of(stream, optimizer=keras.optimizers.Adam(0.01))
    model.begin_task(stream[0])
    model.optimizer.learning_rate = 0.25
    model.end_task(stream[0])
    model.begin_task(stream[1])
    assert float(model.optimizer.learning_rate) == 0.25


def test_a_model_is_represented_in_one_line():
    stream = stream_of()
    model = model_of(stream, network=mlp(stream, hidden=(8,)))
    weights = sum(int(np.prod(theta.shape)) for theta in model.network.trainable_variables)
    assert repr(model) == f"<Finetune: network mlp, {weights:,} weights, no task begun>"
    model.begin_task(stream[1])
    assert repr(model) == f"<Finetune: network mlp, {weights:,} weights, task 2>"


# ---- randomness ------------------------------------------------------------------------------------------


def test_a_model_s_seed_decides_order_and_dropout():
    stream = stream_of()

    def trained(seed):
        model = Finetune(mlp(stream, hidden=(8,), dropout=0.3, seed=3), seed=seed)
        model.compile("sgd", jit=False)
        list(learn(model, stream[:1]))
        return model.network.get_weights()[0]

    assert (trained(1) == trained(1)).all()
    assert (trained(1) != trained(2)).any()


# ---- precision -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.slow
def test_mixed_precision_trains_with_variables_of_full_precision(precision, jit):
    stream = stream_of()
    network = mlp(stream, hidden=(8,), dropout=0.2, precision=precision, seed=3)
    assert network.layers[-2].compute_dtype == precision.removeprefix("mixed_")
    model = model_of(stream, EWC, optimizer="adam", jit=jit, network=network, strength=10.0)
    losses = []
    for task in stream[:2]:
        model.begin_task(task)
        losses += model.fit(model.batches(task, 16), epochs=2, verbose=0).history["loss"]
        model.end_task(task)
    assert np.isfinite(losses).all()
    assert losses[1] < losses[0]
    floats = [v for v in model.network.variables if v.dtype.is_floating]
    assert {v.dtype for v in [*floats, *model.penalty.importance, *model.penalty.anchor]} == {tf.float32}
    assert all(np.isfinite(F).all() and np.any(F) for F in model.penalty.importance)
    assert model.predict_logits(stream[0].test.open()[0]).dtype == np.float32


def test_small_gradients_survive_float16():
    """Signals of 1e-8 vanish in float16 unless the loss is scaled before the backward pass."""
    stream = stream_of()
    batch = batch_of(*rows_of(stream[0], 32))
    steps = []
    for precision in ("float32", "mixed_float16"):
        network = mlp(stream, hidden=(8,), precision=precision, seed=3)
        network.layers[-1].kernel.assign(1e-6 * network.layers[-1].kernel)
        model = model_of(stream, network=network, optimizer=keras.optimizers.SGD(1e6))
        model.begin_task(stream[0])
        before = network.layers[-1 - 2].kernel.numpy()
        model.train_step(batch)
        steps.append(network.layers[-1 - 2].kernel.numpy() - before)
    exact, half = steps
    assert np.abs(exact).max() > 1e-3
    np.testing.assert_allclose(half, exact, rtol=0, atol=0.02 * np.abs(exact).max())


# ---- upper bounds ----------------------------------------------------------------------------------------


def rows_in(data):
    """Images, units and tasks of all real rows in a dataset of chunks, in a fixed order."""
    rows = []
    for batch, _ in data:
        real = batch.weight.numpy().ravel() > 0
        x, y, task = (part.numpy().reshape(-1, *part.shape[2:])[real] for part in batch[:3])
        rows += [(image.tobytes(), unit, own) for image, unit, own in zip(x, y, task, strict=True)]
    return sorted(rows)


def rows_seen(*tasks):
    opened = [(task.index, *task.train.open()) for task in tasks]
    return sorted(
        (image.tobytes(), unit, index) for index, x, y in opened for image, unit in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("method", [Cumulative, Joint])
def test_upper_bounds_train_once_on_every_row_seen_under_its_own_task(method):
    stream = stream_of()
    model = model_of(stream, method)
    for task in stream:
        assert rows_in(model.batches(task, 16)) == rows_seen(*task.seen)


def test_other_methods_train_on_the_current_task_alone():
    stream = stream_of()
    model = model_of(stream)
    for task in stream:
        assert rows_in(model.batches(task, 16)) == rows_seen(task)


def test_joint_that_waits_is_the_untrained_network_until_the_last_task_and_then_joint_bit_for_bit():
    stream = streams.split(SOURCE, tasks=3, scenario="domain")
    waiting, plain = (
        model_of(stream, Joint, optimizer=keras.optimizers.Adam(0.01), offline=offline)
        for offline in (True, False)
    )
    initial, untrained = weights_of(waiting), waiting.accuracies(stream)
    for task in stream[:2]:
        waiting.begin_task(task)
        waiting.end_task(task)
        assert_same(weights_of(waiting), initial)
        np.testing.assert_array_equal(waiting.accuracies(stream), untrained)
    list(learn(waiting, stream[2:]))
    list(learn(plain, stream))
    assert_same(weights_of(waiting), weights_of(plain))
    np.testing.assert_array_equal(waiting.accuracies(stream), plain.accuracies(stream))
    assert not np.array_equal(waiting.accuracies(stream), untrained)


def test_joint_that_waits_has_batches_for_the_last_task_alone():
    stream = stream_of()
    model = model_of(stream, Joint, offline=True)
    for task, number in zip(stream[:2], (1, 2), strict=True):
        assert refused(model.batches, task, 16) == f"joint does not train on task {number}."
        assert refused(model.batches, task, 16, iterations=3) == f"joint does not train on task {number}."
    assert rows_in(model.batches(stream[2], 16)) == rows_seen(*stream)


@pytest.mark.parametrize(("options", "tasks"), [({}, [1, 2, 3]), ({"offline": True}, [0, 0, 3])])
def test_joint_trains_at_every_task_unless_it_is_told_to_wait(options, tasks):
    stream = stream_of()
    model = model_of(stream, Joint, **options)
    assert [len(model.training_tasks(task)) for task in stream] == tasks


def test_joint_starts_again_from_its_initial_weights_and_cumulative_goes_on():
    stream = stream_of()
    for method, again in ((Joint, True), (Cumulative, False)):
        model = model_of(stream, method)
        initial = weights_of(model)
        list(learn(model, stream[:1]))
        trained = weights_of(model)
        assert any((one != other).any() for one, other in zip(trained, initial, strict=True))
        model.begin_task(stream[1])
        assert_same(weights_of(model), initial if again else trained)


def test_joint_is_the_same_whatever_it_learned_before():
    stream = stream_of()
    step_by_step, at_once = (
        model_of(stream, Joint, optimizer="adam"),
        model_of(stream, Joint, optimizer="adam"),
    )
    list(learn(step_by_step, stream))
    list(learn(at_once, stream[2:]))
    assert_same(weights_of(step_by_step), weights_of(at_once))


# ---- a number of steps in place of an epoch --------------------------------------------------------------

UNEVEN = streams.split(sources.from_arrays(**blobs([20, 21, 30, 30, 24, 9])), tasks=3)


def steps_in(data):
    return sum(int(real) for _, real in data)


@pytest.mark.parametrize(
    ("method", "tasks"),
    [(Finetune, (1, 1, 1)), (EWC, (1, 1, 1)), (Cumulative, (1, 2, 3)), (Joint, (1, 2, 3))],
)
@pytest.mark.parametrize("iterations", [1, 7])
def test_an_iteration_is_one_step_for_each_task_that_is_trained_on(method, tasks, iterations):
    model = model_of(UNEVEN, method)
    for task, several in zip(UNEVEN, tasks, strict=True):
        data = model.batches(task, 16, iterations=iterations)
        assert steps_in(data) == iterations * several
        assert len(rows_in(data)) == iterations * several * 16  # no step has padding


def test_joint_that_waits_takes_the_steps_of_all_tasks_at_the_end():
    model = model_of(UNEVEN, Joint, offline=True)
    assert steps_in(model.batches(UNEVEN[2], 16, iterations=7)) == 21


def test_without_a_number_of_iterations_a_pass_is_an_epoch():
    model = model_of(UNEVEN)
    assert steps_in(model.batches(UNEVEN[0], 16)) == 3  # 41 rows
    assert rows_in(model.batches(UNEVEN[0], 16, iterations=0)) == rows_seen(UNEVEN[0])


def test_fit_takes_the_steps_asked_for_and_one_trace_serves_all_tasks_and_epochs_too():
    model = model_of(UNEVEN, optimizer=keras.optimizers.Adam(0.01), jit=True)
    for task in UNEVEN:
        model.begin_task(task)
        model.fit(model.batches(task, 16, iterations=5), verbose=0)
        assert model.optimizer.iterations == 5
        model.fit(model.batches(task, 16, iterations=130), epochs=2, verbose=0)  # two chunks a pass
        assert model.optimizer.iterations == 5 + 2 * 130
        model.fit(model.batches(task, 16), verbose=0)
        assert model.optimizer.iterations == 5 + 2 * 130 + -(-len(task.train) // 16)
        model.end_task(task)
    assert model.train_function.steps.experimental_get_tracing_count() == 1


def test_another_number_of_steps_is_the_same_program_for_xla():
    total = tf.Variable(0.0)
    model = types.SimpleNamespace(metrics=[], run_eagerly=False)
    steps = loop.train_function(model, lambda batch: total.assign_add(batch.weight[0]), jit=True).steps
    chunk = Batch(*tf.ones([4, 5, 2]))
    programs = [steps.experimental_get_compiler_ir(chunk, tf.constant(count))("hlo") for count in (5, 3)]
    assert programs[0] == programs[1]
    assert steps(chunk, tf.constant(3)) == {} and total == 3.0


def test_rows_of_given_steps_come_in_an_order_that_the_seed_and_the_task_decide():
    stream = streams.permuted(SOURCE, tasks=2)  # whose tasks have the same labels, row by row

    def labels(seed, task):
        model = Finetune(mlp(stream, hidden=(8,)), seed=seed)
        (batch, _), *_ = model.batches(task, 16, iterations=2)
        return tuple(batch.y.numpy()[:2].ravel())

    assert labels(1, stream[0]) == labels(1, stream[0])
    assert len({labels(1, stream[0]), labels(2, stream[0]), labels(1, stream[1])}) == 3


def test_a_negative_number_of_iterations_is_refused():
    model = model_of(UNEVEN)
    assert refused(model.batches, UNEVEN[0], 16, iterations=-1) == (
        "iterations is -1; it must not be negative."
    )


def test_a_batch_larger_than_the_task_is_refused_with_iterations_too():
    model = model_of(UNEVEN)
    assert refused(model.batches, UNEVEN[2], 34, iterations=5) == (
        "batch_size is 34 and task 3 has only 33 training rows; give at most that many."
    )


# ---- Keras -----------------------------------------------------------------------------------------------


def test_predict_and_call_give_the_logits_of_the_network():
    stream = stream_of()
    model = model_of(stream)
    x, _ = stream[0].test.open()
    np.testing.assert_allclose(model.predict(x, verbose=0), model.predict_logits(x), rtol=0, atol=1e-6)
    np.testing.assert_allclose(model(x), model.predict_logits(x), rtol=0, atol=1e-6)


def test_the_learning_rate_scheduler_reaches_the_compiled_loop():
    stream = stream_of()
    model = model_of(stream, optimizer=keras.optimizers.SGD(0.1), jit=True)
    model.begin_task(stream[0])
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 if epoch == 0 else 0.0)
    after = []
    snapshot = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: after.append(weights_of(model))
    )
    history = model.fit(model.batches(stream[0], 16), epochs=3, verbose=0, callbacks=[schedule, snapshot])
    np.testing.assert_allclose(history.history["lr"], [0.1, 0, 0])
    assert any(
        (one != other).any() for one, other in zip(after[0], weights_of(model_of(stream)), strict=True)
    )
    assert_same(after[1], after[0])


def test_history_and_early_stopping_follow_the_epochs():
    stream = stream_of()
    model = model_of(stream, optimizer=keras.optimizers.SGD(0.0))
    model.begin_task(stream[0])
    patient = keras.callbacks.EarlyStopping(monitor="loss", patience=2, min_delta=1e-3)
    history = model.fit(model.batches(stream[0], 16), epochs=10, verbose=0, callbacks=[patient])
    assert sorted(history.history) == ["accuracy", "loss"]
    assert history.epoch == [0, 1, 2]


def test_the_progress_bar_of_keras_counts_chunks_and_shows_loss_and_accuracy(capsys):
    stream = streams.split(sources.from_arrays(**blobs([300, 300])), tasks=1)
    model = model_of(stream)
    model.begin_task(stream[0])
    model.fit(model.batches(stream[0], 1), epochs=2, verbose=2)  # 600 steps: a chunk of 512 and one of 88
    shown = capsys.readouterr().out
    assert "Epoch 2/2" in shown
    assert "2/2 - " in shown
    assert "loss: " in shown
    assert "accuracy: " in shown


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_option_that_is_not_finite_is_refused(value):
    with pytest.raises(InputError, match=f"strength is {value}; it must be a finite number"):
        EWC(None, strength=value)
