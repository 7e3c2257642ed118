"""Heads: what a step may move of the output layer, whatever the optimizer keeps of earlier steps."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn

from keras_cl import methods, sources, streams
from keras_cl.errors import InputError
from keras_cl.learning.heads import outputs
from keras_cl.learning.slots import slots
from keras_cl.memories import Balanced, Reservoir, Ring
from keras_cl.networks import class_vaes, cnn, mlp
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.05),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "decay": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
    "averages": lambda: keras.optimizers.RMSprop(0.01, use_ema=True, ema_momentum=0.9),
    "plain sgd": lambda: keras.optimizers.SGD(0.1),
}


def stream_of(scenario="task", rows=(8,) * 6, **given):
    arrays = blobs(rows, **given)
    data = sources.from_arrays(
        *(arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")), name="b"
    )
    return streams.split(data, tasks=3, scenario=scenario)


def model_of(stream, method=methods.Finetune, optimizer="adam", network=None, jit=False, **options):
    model = method(network or mlp(stream, hidden=(8,)), reset_optimizer=False, **options)
    model.compile(OPTIMIZERS[optimizer](), jit=jit)
    return model


def columns(model, units):
    """The weights and the optimizer's state of some outputs."""
    weights = model.trained
    plain = type(model.optimizer) is keras.optimizers.SGD and not model.optimizer.momentum
    kinds = [weights, *([] if plain else slots(model.optimizer, weights))]  # plain SGD does not use its own
    assert len(weights[-2].shape) == 2  # the kernel and the bias of the last layer
    return [variable.numpy()[..., units] for kind in kinds for variable in kind[-2:]]


def moved(model, stream, **how):
    """Whether each task moved the outputs of each task, bool `[T, T]`; "moved" is any difference of bits."""
    table = []
    for task in stream:
        before = [columns(model, mask) for mask in stream.class_mask]
        list(learn(model, stream[task.index : task.index + 1], batch_size=4, **how))
        after = [columns(model, mask) for mask in stream.class_mask]
        pairs = zip(before, after, strict=True)
        table.append([any((a != b).any() for a, b in zip(*pair, strict=True)) for pair in pairs])
    return np.array(table)


OWN = np.eye(3, dtype=bool)
SEEN = np.tri(3, dtype=bool)


# ---- what moves ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_task_moves_its_own_outputs_alone(optimizer):
    stream = stream_of()
    np.testing.assert_array_equal(moved(model_of(stream, optimizer=optimizer), stream, epochs=2), OWN)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("optimizer", ["adam", "momentum", "decay", "averages"])
def test_without_isolation_the_optimizer_moves_the_outputs_of_other_tasks(optimizer):
    stream = stream_of()
    model = model_of(stream, optimizer=optimizer, isolate_heads=False)
    assert (moved(model, stream) & ~OWN).any()


@pytest.mark.parametrize("jit", [False, True])
def test_the_compiled_loop_holds_the_outputs_of_other_tasks(jit):
    stream = stream_of()
    np.testing.assert_array_equal(moved(model_of(stream, optimizer="decay", jit=jit), stream), OWN)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", ["EWC", "MAS", "SCP", "SI", "RWalk", "L2", "HAT"])
def test_penalties_do_not_reach_the_outputs_of_other_tasks(name):
    stream = stream_of()
    options = {"tasks": 3} if name == "HAT" else {"strength": 10.0}
    model = model_of(stream, getattr(methods, name), "momentum", **options)
    for task in stream:
        before = columns(model, ~stream.class_mask[task.index])
        list(learn(model, stream[task.index : task.index + 1], batch_size=4))
        assert_same(columns(model, ~stream.class_mask[task.index])[:2], before[:2])


@pytest.mark.usefixtures("eagerly")
def test_distillation_moves_the_outputs_that_have_been_taught():
    stream = stream_of()
    np.testing.assert_array_equal(moved(model_of(stream, methods.LwF), stream), SEEN)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", ["ER", "AGEM", "Cumulative"])
def test_rows_of_earlier_tasks_move_the_outputs_of_their_tasks(name):
    stream = stream_of()
    memory = {} if name == "Cumulative" else {"memory": Reservoir(stream, capacity=12)}
    np.testing.assert_array_equal(moved(model_of(stream, getattr(methods, name), **memory), stream), SEEN)


@pytest.mark.usefixtures("eagerly")
def test_a_step_moves_outputs_of_tasks_that_have_rows_of_weight_in_it():
    stream = stream_of()
    model = model_of(stream, methods.Cumulative)
    list(learn(model, stream, batch_size=4))
    x, y = stream[0].train.open()
    batch = next(iter(model.batches(stream[2], 4)))[0].step(0)
    weight = np.array([1, 1, 0, 0], np.float32)
    batch = batch._replace(x=x[:4], y=y[:4], task=tf.constant([0, 0, 1, 2]), weight=weight)
    before = [columns(model, mask) for mask in stream.class_mask]
    model._step(batch)
    after = [columns(model, mask) for mask in stream.class_mask]
    assert not np.array_equal(before[0][0], after[0][0])
    for t in (1, 2):
        assert_same(before[t], after[t])


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", ["LwF", "DER", "ER", "GEM"])
def test_no_gradient_is_lost(name):
    """Plain SGD moves what has a gradient and nothing else: to hold heads changes no bit."""
    ends = []
    for isolate in (True, False):
        stream = stream_of()
        policy = {"GEM": Ring, "DER": Reservoir, "ER": Reservoir}.get(name)
        memory = {"memory": policy(stream)} if policy else {}
        # A decay of nearly nothing, with which heads are held.
        model = model_of(stream, getattr(methods, name), isolate_heads=isolate, **memory)
        model.compile(keras.optimizers.SGD(0.1, weight_decay=1e-30), jit=False)
        list(learn(model, stream, batch_size=4))
        ends.append(model.network.get_weights())
    assert_same(*ends)


@pytest.mark.usefixtures("eagerly")
def test_the_decay_of_the_network_itself_moves_no_other_outputs():
    stream, tables = stream_of(), []
    for isolate in (True, False):
        network = mlp(stream, hidden=(8,), weight_decay=0.1)
        model = model_of(stream, optimizer="plain sgd", network=network, isolate_heads=isolate)
        tables.append(moved(model, stream))
    np.testing.assert_array_equal(tables[0], OWN)
    assert tables[1].all()


@pytest.mark.usefixtures("eagerly")
def test_the_decay_of_the_network_itself_moves_its_own_outputs_as_ever():
    stream = stream_of()
    ends = []
    for isolate in (True, False):
        network = mlp(stream, hidden=(8,), weight_decay=0.1, seed=3)
        model = model_of(stream, optimizer="plain sgd", network=network, isolate_heads=isolate)
        list(learn(model, stream[:1], batch_size=4))
        ends.append(columns(model, stream.class_mask[0]))
    assert_same(*ends)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("optimizer", ["adam", "plain sgd"])
def test_the_decay_of_a_method_moves_no_other_outputs(optimizer):
    stream = stream_of()
    memory = Balanced(stream, capacity=16)
    model = methods.GDumb(mlp(stream, hidden=(8,)), memory=memory, weight_decay=0.1)
    model.compile(OPTIMIZERS[optimizer](), jit=False)
    before = [columns(model, mask)[:2] for mask in stream.class_mask]
    list(learn(model, stream[:1], batch_size=4))
    after = [columns(model, mask)[:2] for mask in stream.class_mask]
    assert not np.array_equal(before[0][0], after[0][0])
    for t in (1, 2):
        assert_same(before[t], after[t])


@pytest.mark.usefixtures("eagerly")
def test_a_loss_that_is_scaled_moves_its_own_outputs_alone():
    stream = stream_of()
    network = mlp(stream, hidden=(8,), precision="mixed_float16")
    np.testing.assert_array_equal(moved(model_of(stream, optimizer="decay", network=network), stream), OWN)


def test_an_optimizer_without_state_needs_no_holding():
    stream = stream_of()
    for optimizer, needed in (("plain sgd", False), ("momentum", True), ("decay", True), ("averages", True)):
        model = model_of(stream, optimizer=optimizer)
        model.begin_task(stream[0])
        model.make_train_function()
        assert model._heads._needed == needed


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_one_head_needs_no_holding(scenario):
    stream = stream_of(scenario)
    model = model_of(stream, optimizer="decay")
    model.begin_task(stream[0])
    model.make_train_function()
    assert not model._heads._needed


def test_one_head_cannot_be_isolated_nor_not():
    config = Config(method="finetune", isolate_heads=False)
    with pytest.raises(InputError, match="--noisolate_heads is for the task-incremental scenario"):
        make_model(config, make_stream(config), seed=0)


# ---- the weights of an output ----------------------------------------------------------------------------


def found(network, stream):
    weights = network.trainable_variables
    return [(weights[at].name.split("/")[-1], axis) for at, axis in outputs(network, weights, stream)]


KERNEL_AND_BIAS = [("kernel:0", 1), ("bias:0", 0)]


class Wrapped(keras.layers.Layer):
    """A layer that hides its own, of which the first is as wide as the last."""

    def __init__(self):
        super().__init__()
        self.hidden, self.last = keras.layers.Dense(6, "tanh"), keras.layers.Dense(6)

    def call(self, x):
        return self.last(self.hidden(x))


def ending_in(layer, hidden=6):
    x = keras.Input((4, 4, 1))
    return keras.Model(x, layer(keras.layers.Dense(hidden, "tanh")(keras.layers.Flatten()(x))))


def normalised():
    return keras.Sequential([keras.layers.Dense(6), keras.layers.BatchNormalization()])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda stream: mlp(stream, hidden=(6,)), KERNEL_AND_BIAS),
        (lambda stream: mlp(stream, hidden=(6,), precision="mixed_float16"), KERNEL_AND_BIAS),
        (lambda stream: ending_in(Wrapped()), KERNEL_AND_BIAS),
        (lambda stream: ending_in(keras.layers.Dense(6, use_bias=False)), KERNEL_AND_BIAS[:1]),
        (lambda stream: ending_in(keras.layers.Dense(6, "softmax")), []),
        (
            lambda stream: ending_in(
                keras.Sequential([keras.layers.Dense(6), keras.layers.BatchNormalization()])
            ),
            [*KERNEL_AND_BIAS, ("gamma:0", 0), ("beta:0", 0)],
        ),
    ],
    ids=["mlp", "float16", "wrapped", "no bias", "softmax", "normalised"],
)
def test_the_weights_of_an_output_are_found_by_their_gradient(make, expected):
    stream = stream_of()
    assert found(make(stream), stream) == expected


def test_a_generator_of_each_class_belongs_to_its_class():
    stream = stream_of()
    network = class_vaes(stream, hidden=(8,), latent=2)
    places = outputs(network, network.trainable_variables, stream)
    assert places == [(at, 0) for at in range(len(network.trainable_variables))]


def test_convolutions_have_their_outputs_at_the_end():
    stream = stream_of(side=8)
    assert found(cnn(stream), stream) == KERNEL_AND_BIAS
