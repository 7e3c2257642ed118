"""Dynamic generative memory: what stays, what is replayed, how masks become sharp, what is refused."""

import math
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from bars import CLASSES, SIDE, source_of, stream_of
from helpers import assert_same, learn

from keras_cl.errors import InputError
from keras_cl.generators.masked_gan import MaskedGAN
from keras_cl.learning.batches import Batch
from keras_cl.learning.layers import MASKED
from keras_cl.methods.dgma import DGMa
from keras_cl.methods.dgmw import DGMw
from keras_cl.methods.finetune import Finetune
from keras_cl.networks.mlp import mlp
from keras_cl.runs.results import Results
from keras_cl.streams.split import split

TASKS, LATENT, HIDDEN = 4, 3, (6, 5)
pytestmark = pytest.mark.usefixtures("eagerly")
every_method = pytest.mark.parametrize("method", [DGMa, DGMw])


def model_of(method=DGMa, stream=None, *, eagerly=True, jit=False, rate=0.01, **options):
    stream = stream or stream_of(TASKS)
    small = {"tasks": len(stream), "hidden": HIDDEN, "latent": LATENT, "generator_rate": rate, "seed": 1}
    model = method(mlp(stream, hidden=(7,), seed=3), **small | options)
    model.compile(keras.optimizers.Adam(0.01), jit=jit, run_eagerly=eagerly)
    return model, stream


def learned(method=DGMa, tasks=TASKS, epochs=2, **options):
    """A model that learned some tasks, and its stream."""
    model, stream = model_of(method, **options)
    for _ in learn(model, stream[:tasks], batch_size=4, epochs=epochs):
        pass
    return model, stream


@pytest.fixture(scope="module", params=[DGMa, DGMw])
def after_three(request):
    return learned(request.param, tasks=3)


def generator_of(model):
    return model.memory.generator


def images(model, stream, task):
    """Images that are generated of the classes of a task."""
    classes = np.repeat(np.flatnonzero(stream.labels[task] >= 0), 5)
    return generator_of(model).sample(len(classes), 3, classes).numpy()


# ---- what stays --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dense", "conv"])
@every_method
def test_training_changes_no_bit_of_what_earlier_tasks_generate(method, form):
    model, stream = model_of(method, critic_steps=1, form=form)
    then = []
    for task in learn(model, stream, batch_size=4):
        then.append(images(model, stream, task.index))
        assert_same([images(model, stream, earlier) for earlier in range(task.number)], then)
    assert min(x.std(axis=0).max() for x in then) > 0  # of several codes
    assert np.abs(then[1] - then[0]).max() > 0.01


def test_as_much_is_free_after_every_task():
    model, stream = model_of()
    network = generator_of(model).masked
    for task in learn(model, stream[:3], batch_size=4):
        assert network.free == list(HIDDEN)
        used = [int(tf.reduce_sum(layer.reserved)) for layer in network.masked_layers]
        assert network.sizes == [n + r for n, r in zip(HIDDEN, used, strict=True)]
        assert network.finished.numpy() == task.number


@every_method
def test_the_optimizers_begin_anew_even_if_that_of_the_method_does_not(method):
    model, stream = learned(method, tasks=1, reset_optimizer=False, from_scratch=False)
    generator = generator_of(model)
    taken = [int(one.iterations.numpy()) for one in (model.optimizer, generator.optimizer)]
    assert min(taken) > 0
    model.begin_task(stream[1])
    assert model.optimizer.iterations.numpy() == taken[0]
    for optimizer, _ in generator.optimizers:
        assert not any(np.any(variable.numpy()) for variable in optimizer.variables if variable.shape.rank)
        assert optimizer.iterations.numpy() == 0


def test_blocked_gradients_are_in_the_order_of_the_trained_variables():
    generator = generator_of(model_of()[0])
    (_, trained), _ = generator.optimizers
    assert [v.ref() for v in trained] == [v.ref() for v in generator.masked.trainable_variables]


def test_the_critic_begins_anew_with_every_task():
    model, stream = model_of()
    first = generator_of(model).critic.get_weights()
    for _ in learn(model, stream[:1], batch_size=4):
        assert np.abs(generator_of(model).critic.get_weights()[0] - first[0]).max() > 1e-3
    model.begin_task(stream[1])
    assert_same(generator_of(model).critic.get_weights(), first)


# ---- what is learned and replayed --------------------------------------------------------------------------


def batch_of(model, task):
    return next(iter(model.batches(task, 4)))[0].step(0)


def test_replayed_rows_are_generated_of_finished_tasks_and_have_their_class(after_three):
    model, stream = after_three
    x, y, task = model.memory.generated(200, 5, 3)
    assert set(y) == set(range(6))
    np.testing.assert_array_equal(task, y // 2)
    again = model.memory.generated(200, 5, 3)
    assert_same((x, y, task), again)
    assert x.shape == (200, SIDE, SIDE, 1) and x.min() >= 0 and x.max() <= 1


@every_method
def test_the_generator_learns_rows_of_the_task_alone_and_the_network_all(method, monkeypatch):
    model, stream = learned(method, tasks=1)
    seen = {}
    monkeypatch.setattr(MaskedGAN, "train_step", lambda _, batch: seen.update(generator=batch))
    monkeypatch.setattr(method, "task_loss", lambda _, batch, logits: seen.update(network=batch) or 0.0)
    monkeypatch.setattr(method, "gradients", lambda *_: [])
    monkeypatch.setattr(method, "apply", lambda *_: None)
    model.begin_task(stream[1])
    batch = batch_of(model, stream[1])
    model._step(batch)
    np.testing.assert_array_equal(seen["generator"].x, batch.x)
    assert set(seen["generator"].y.numpy()) <= {2, 3}
    y, weight = seen["network"].y.numpy(), seen["network"].weight.numpy()
    assert set(y[:4]) <= {2, 3} and set(y[4:]) <= {0, 1} and len(y) == 8
    np.testing.assert_allclose([weight[:4].sum(), weight[4:].sum()], 0.5)


def test_the_network_distinguishes_exactly_the_classes_seen(after_three):
    model, stream = after_three
    for task in stream[:3]:
        model.task.assign(task.index)
        logits = model.logits(batch_of_rows(stream, task)).numpy()
        assert (logits != MASKED).sum(axis=1).tolist() == [2 * task.number] * len(logits)


def batch_of_rows(stream, task):
    x, y = task.test.open()
    return Batch(tf.constant(x), tf.constant(y, tf.int32), tf.fill([len(x)], task.index), tf.ones(len(x)))


@pytest.mark.parametrize(("tasks", "learns"), [(8, False), (4, True)])
def test_the_critic_predicts_classes_only_where_a_task_has_several(tasks, learns):
    model, stream = model_of(stream=stream_of(tasks))
    model.begin_task(stream[0])
    generator, batch = generator_of(model), batch_of(model, stream[0])
    before = generator.critic.get_layer("classes").get_weights()[0]
    generator.train_step(batch)
    moved = np.abs(generator.critic.get_layer("classes").get_weights()[0] - before).max(axis=0)
    assert (moved > 0).tolist() == [learns and c in (0, 1) for c in range(CLASSES)]


def test_every_task_starts_with_the_initial_weights_unless_it_is_to_go_on():
    for from_scratch in (True, False):
        model, stream = model_of(from_scratch=from_scratch)
        first = model.network.get_weights()
        for _ in learn(model, stream[:1], batch_size=4):
            last = model.network.get_weights()
        model.begin_task(stream[1])
        assert np.abs(last[0] - first[0]).max() > 1e-3
        assert_same(model.network.get_weights(), first if from_scratch else last)


def test_a_cost_makes_tasks_use_less_of_the_generator():
    units = [sum(generator_of(learned(sparsity=c, tasks=1)[0]).masked.sizes) for c in (0.0, 100.0)]
    assert units[0] > units[1]


def test_the_cost_rises_with_the_size_of_the_generator():
    model, stream = model_of(sparsity=0.5)
    model.begin_task(stream[0])
    generator = generator_of(model)
    first = float(generator.penalty(None))
    assert first == pytest.approx(0.5 * 0.5)  # masks of 0.5, of a generator of the first size
    for layer in generator.masked.masked_layers:
        layer.size.assign(2 * layer.size)
    assert float(generator.penalty(None)) == pytest.approx(2 * first)


# ---- how masks become sharp --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"iterations": 3}])
def test_masks_become_sharp_over_all_epochs_of_a_task(how, monkeypatch):
    model, stream = model_of()
    told = []
    step = MaskedGAN.train_step
    monkeypatch.setattr(
        MaskedGAN, "train_step", lambda self, batch: told.append(float(self.sharpness())) or step(self, batch)
    )
    model.begin_task(stream[0])
    for epochs in (2, 3):  # every call of fit anew
        told.clear()
        data = model.batches(stream[0], 4, **how)
        model.fit(data, epochs=epochs, verbose=0)
        count = epochs * 3
        low, high = 1 / 400, 400
        expected = [low + (high - low) * step / count for step in range(count)]
        np.testing.assert_allclose(told, expected, rtol=1e-5)


def test_epochs_that_are_left_out_do_not_count():
    model, stream = model_of()
    model.begin_task(stream[0])
    model.fit(model.batches(stream[0], 4), epochs=5, initial_epoch=3, verbose=0)
    generator = generator_of(model)
    assert (int(generator.passes.numpy()), int(generator.taken.numpy())) == (2, 6)
    assert float(generator.sharpness()) == pytest.approx(400)


class Stops(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1


def test_masks_of_a_training_that_ends_early_are_said_to_be_soft():
    model, stream = model_of()
    model.begin_task(stream[0])
    model.fit(model.batches(stream[0], 4), epochs=5, callbacks=[Stops()], verbose=0)
    said = r"masks of task 1 are kept at the sharpness 160 of 400, as training ended 9 steps early"
    with pytest.warns(UserWarning, match=said):
        model.end_task(stream[0])


@every_method
def test_one_task_is_plain_training_of_the_network(method):
    stream = stream_of(1)
    model, _ = model_of(method, stream)
    plain = Finetune(mlp(stream, hidden=(7,), seed=3), seed=1)
    plain.compile(keras.optimizers.Adam(0.01), jit=False, run_eagerly=True)
    for one in (model, plain):
        for _ in learn(one, stream, batch_size=4):
            pass
    assert_same(model.network.get_weights(), plain.network.get_weights())


# ---- what is kept ------------------------------------------------------------------------------------------


def test_what_is_kept_are_units_in_being_masks_as_bits_and_output_layers(after_three):
    model, _ = after_three
    network, inputs, pixels, finished = generator_of(model).masked, LATENT + CLASSES, SIDE**2, 3
    (one, two), by_units = network.sizes, isinstance(model, DGMa) and not isinstance(model, DGMw)
    weights = inputs * one + one * two + (one + two) * by_units
    masked = [one, two] if by_units else [inputs * one, one * two]
    masks = network.masked_layers[1].masks().numpy()
    used = [int(mask.reshape(-1, mask.shape[-1]).any(axis=0).sum()) for mask in masks[:finished]]
    outputs = sum(units * pixels + pixels for units in used)
    size = 4 * (weights + outputs) + sum(math.ceil(finished * n / 8) for n in masked)
    record = Results().add(model, np.zeros(TASKS))
    assert record["memory_bytes"] == size
    assert record["generator_parameters"] == weights + outputs
    assert record["report"]["generator_units"] == one + two


def test_nothing_but_the_generator_of_the_first_size_is_kept_at_first():
    model, stream = model_of()
    one, two = HIDDEN
    model.memory.bind(stream)
    record = Results().add(model, np.zeros(TASKS))
    assert record["memory_bytes"] == 4 * ((LATENT + CLASSES + 1) * one + (one + 1) * two)


def test_the_convolutional_form_has_convolutions_and_as_many_options():
    generator = generator_of(model_of(form="conv")[0])
    assert any(isinstance(layer, keras.layers.Conv2D) for layer in generator.critic.layers)
    one, two = generator.masked.masked_layers
    assert one.kernel.shape[:2] == (1, 1) and two.kernel.shape[:2] == (4, 4)
    assert generator.masked.kernel.shape == (4, 4, TASKS * HIDDEN[1], 1)
    assert generator.sample(3, 0, [0, 1, 2]).shape == (3, SIDE, SIDE, 1)


# ---- limits ------------------------------------------------------------------------------------------------


def test_a_generator_at_its_limit_is_said_in_a_sentence_and_goes_on():
    model, stream = model_of(limit=7, sparsity=0.0, critic_steps=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in learn(model, stream, batch_size=4):
            pass
    said = [str(one.message) for one in caught if "--method.limit" in str(one.message)]
    assert said and "has grown to its limit of 7 units" in said[0] and "free for task" in said[0]
    assert max(generator_of(model).masked.sizes) == 7
    assert np.isfinite(model.accuracies(stream)).all()


def test_a_generator_with_room_says_nothing():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(has grown to its limit|masks of task)")
        learned(tasks=3, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 5}, "limit is 5, and a hidden layer has 6 units at first"),
        ({"limit": 0}, "growth needs a limit"),
        ({"hidden": (4, 0)}, "a layer needs at least one unit"),
        ({"hidden": ()}, "a layer needs at least one unit"),
        ({"sparsity": -1.0}, "sparsity is -1.0; it must not be negative"),
        ({"s_max": 1.0}, "s_max is 1.0; it must be above 1"),
        ({"rate": 0.0}, "generator_rate is 0.0; it must be above 0"),
        ({"critic_steps": 0}, "critic_steps is 0"),
        ({"reset_optimizer": False}, "reset_optimizer cannot be false"),
    ],
)
@every_method
def test_what_is_impossible_is_refused(method, options, message):
    with pytest.raises(InputError, match=message):
        model_of(method, **options)


def test_more_tasks_than_masks_and_other_scenarios_are_refused():
    model, stream = model_of(tasks=3)
    with pytest.raises(InputError, match="has masks for 3 tasks, and .* has 4"):
        model.begin_task(stream[0])
    model, _ = model_of()
    with pytest.raises(InputError, match="the scenario has to be class, and it is domain"):
        model.memory.bind(split(source_of(), tasks=TASKS, scenario="domain"))


def test_fewer_tasks_than_masks_are_learned():
    model, stream = model_of(tasks=6)
    for _ in learn(model, stream[:2], batch_size=4):
        pass
    assert model.memory.generated(20, 5, 2)[0].std() > 0


def test_a_network_for_images_of_any_size_is_refused():
    images = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(images))
    with pytest.raises(InputError, match="makes images of one size"):
        DGMa(keras.Model(images, keras.layers.Dense(CLASSES)(pooled)))
