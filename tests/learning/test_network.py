"""The network contract of docs/networks.md: what a network may be, and what is refused before training."""

import pathlib
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_cl import methods, sources, streams
from keras_cl.errors import InputError
from keras_cl.learning import loop
from keras_cl.learning.network import checked, layers_of
from keras_cl.memories import Herding
from keras_cl.networks import cnn, mlp, resnet18
from keras_cl.settings import catalog

layers = keras.layers
Dense, Flatten, Lambda, Rescaling = layers.Dense, layers.Flatten, layers.Lambda, layers.Rescaling
IMAGE = (4, 4, 1)
PAGE = (pathlib.Path(__file__).parents[2] / "docs/networks.md").read_text()


def stream(shape=IMAGE, scenario="class", signals=False):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1, (16, *shape)).astype(np.float32), np.arange(16) % 4
    return streams.split(sources.from_arrays(x, y, x, y, signals=signals), tasks=2, scenario=scenario)


def sequential(*parts, shape=IMAGE, **given):
    return keras.Sequential([keras.Input(shape, **given), *parts], name="mine")


def plain(*hidden, last=None, shape=IMAGE):
    return sequential(*hidden, Flatten(), last or Dense(4, name="head"), shape=shape)


class Subclassed(keras.Model):
    """A model with a call of its own.

    Args:
      units: number of outputs.
      last: function of the logits.
    """

    def __init__(self, units=4, last=None):
        super().__init__(name="mine")
        self.flatten, self.hidden, self.head = Flatten(), Dense(5, "relu"), Dense(units)
        self.last = last

    def call(self, x, training=False):
        z = self.head(self.hidden(self.flatten(x)))
        return self.last(z) if self.last else z


def built(network):
    network.build((None, *IMAGE))
    return network


def called(network):
    network(np.zeros((3, *IMAGE), np.float32))
    return network


def of_two(join, outputs=1, second=(3,), dtype=None):
    images, other = keras.Input(IMAGE), keras.Input(second, dtype=dtype)
    x = Flatten()(images)
    z = [Dense(4)(join(x, other)) for _ in range(outputs)]
    return keras.Model([images, other], z[0] if outputs == 1 else z, name="mine")


def two_outputs():
    images = keras.Input(IMAGE)
    x = Flatten()(images)
    return keras.Model(images, [Dense(4)(x), Dense(4)(x)], name="mine")


def frozen():
    network = plain()
    network.trainable = False
    return network


def half(policy):
    return sequential(Flatten(), Dense(5, "relu", dtype=policy), Dense(4, dtype=policy))


def told_the_task():
    return of_two(lambda x, task: x + tf.cast(task, tf.float32)[:, tf.newaxis], second=(), dtype=tf.int32)


# One network for each row of the table "what a network is".
GIVEN = {
    "a functional or a sequential model": plain,
    "a subclassed model that was built": lambda: built(Subclassed()),
    "a subclassed model that was called": lambda: called(Subclassed()),
    "a sequential model that was called": lambda: called(keras.Sequential([Flatten(), Dense(4)])),
    "a model inside a model": lambda: sequential(plain(last=Dense(5)), Dense(4)),
    "images and their tasks as inputs": told_the_task,
    "images of whole numbers": lambda: sequential(
        layers.Rescaling(1 / 255), Flatten(), Dense(4), dtype="uint8"
    ),
    "images of any size": lambda: sequential(
        layers.Conv2D(2, 2), layers.GlobalAveragePooling2D(), Dense(4), shape=(None, None, 1)
    ),
    "logits of 16 bits": lambda: half("mixed_float16"),
    "something else than a model": lambda: Dense(4),
    "a model that does not know its input shape": Subclassed,
    "several inputs": lambda: of_two(lambda x, other: layers.Concatenate()([x, other])),
    "text as input": lambda: sequential(
        Lambda(lambda x: tf.strings.to_number(x)), Dense(4), dtype=tf.string, shape=(3,)
    ),
    "several outputs": two_outputs,
    "an output that is no matrix": lambda: sequential(layers.Reshape((4, 4)), Dense(4)),
    "whole numbers as output": lambda: plain(last=Lambda(lambda z: tf.cast(z, tf.int32))),
    "weights of 64 bits": lambda: plain(last=Dense(4, dtype="float64", name="head")),
    "no trainable weights": frozen,
    "a softmax at the end": lambda: plain(last=Dense(4, "softmax", name="head")),
    "a sigmoid at the end": lambda: plain(last=Dense(4, "sigmoid", name="head")),
    "images of another shape": lambda: plain(shape=(5, 5, 1)),
    "images without their channel": lambda: plain(shape=(4, 4)),
    "another number of outputs": lambda: plain(last=Dense(3)),
}


def table(title):
    """`{first cell: second cell}` of the rows of a table of the page."""
    lines = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {row[0]: row[1] for row in rows[2:]}


def learned(network, given=None, method=methods.Finetune, **options):
    """A model that learned two tasks eagerly, or the sentence with which it was refused before that."""
    given = given or stream()
    try:
        model = method(network, **options)
        model.compile("sgd", run_eagerly=True, jit=False)
        model.begin_task(given[0])
    except InputError as error:
        assert "\n" not in str(error)
        return str(error)
    for task in given:
        if task.index:
            model.begin_task(task)
        model.fit(model.batches(task, 4), verbose=0)
        model.end_task(task)
    row = model.accuracies(given)
    assert np.isfinite(row).all()
    return model


def test_every_row_of_the_table_has_a_network():
    assert table("What a network is").keys() == GIVEN.keys()


@pytest.mark.parametrize(("row", "said"), table("What a network is").items())
@pytest.mark.usefixtures("eagerly")
def test_a_network_is_taken_or_refused_as_the_table_says(row, said):
    result = learned(GIVEN[row]())
    if said.startswith("works"):
        assert isinstance(result, methods.Finetune)
    else:
        assert result == said.strip("`")


def test_a_call_that_needs_values_is_refused_in_a_sentence():
    def numbers(z):
        return z.numpy()

    network = called(Subclassed(last=numbers))
    with pytest.raises(InputError, match="mine cannot be called on symbolic images: ") as error:
        checked(network)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "last",
    [
        lambda: layers.Softmax(name="head"),
        lambda: layers.Activation("softmax", name="head"),
        lambda: Lambda(tf.nn.softmax, name="head"),
        lambda: sequential(Dense(4, "softmax", name="head"), shape=(64,)),
    ],
)
def test_a_softmax_is_found_in_every_form(last):
    with pytest.raises(InputError, match="mine ends in a softmax, in the layer head"):
        checked(plain(Dense(4), last=last()))


def test_a_softmax_of_a_subclassed_model_is_found_by_its_values():
    with pytest.raises(InputError, match="mine ends in a softmax"):
        checked(built(Subclassed(last=tf.nn.softmax)))
    checked(built(Subclassed(last=tf.nn.log_softmax)))


def test_the_network_of_a_model_is_the_one_that_was_given():
    network = plain()
    assert methods.Finetune(network).network is network


@pytest.mark.parametrize("make", [lambda: built(Subclassed()), lambda: half("mixed_bfloat16")])
def test_a_model_around_a_network_has_its_weights_and_its_answers(make):
    network = make()
    around = checked(network)
    assert [id(v) for v in around.weights] == [id(v) for v in network.weights]
    x = np.random.default_rng(0).normal(size=(3, *IMAGE)).astype(np.float32)
    np.testing.assert_array_equal(around(x), tf.cast(network(x), tf.float32))
    assert around.output.dtype == tf.float32
    assert checked(around) is around


# ---- what methods need on top -----------------------------------------------------------------------------

# Methods that take a network with a call of its own apart, and one of all that copy it.
APART = {
    "hat": "chains of dense layers",
    "icarl": "no dense layer among its own",
    "lgm": "no dense layer among its own",
    "lsa": "no dense layer among its own",
    "rtf": "no dense layer among",
}


@pytest.mark.parametrize("method", sorted(set(catalog.names("method")) - {"generative_classifier"}))
@pytest.mark.usefixtures("eagerly")
def test_every_method_learns_a_subclassed_network_or_refuses_it_when_the_model_is_made(method):
    kind = catalog.load("method", method)
    given = stream(scenario=kind.scenarios[-1])
    memory = kind.usual.get("memory") or ("ring" if "gem" in method else "reservoir")
    memory = catalog.load("memory", memory)
    small = {"hidden": (4,), "latent": 2} if memory.generates else {"capacity": 8}
    options = {"memory": memory(given, **small)} if kind.memories != () else {}
    options |= {"images": 8} if method == "generative_replay" else {}
    result = learned(built(Subclassed()), given, kind, **options)
    assert APART[method] in result if method in APART else isinstance(result, kind)


def test_a_memory_that_selects_by_features_refuses_a_network_without_any_when_the_model_is_made():
    with pytest.raises(InputError, match="no dense layer among its own"):
        methods.ER(built(Subclassed()), memory=Herding(stream(), capacity=8), offers="task")


# ---- signals and volumes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ((6, 1), lambda: layers.Conv1D(2, 3)),
        ((6, 3), lambda: layers.LSTM(3, dropout=0.5, recurrent_dropout=0.5)),
        ((3, 3, 3, 1), lambda: layers.Conv3D(2, 2)),
        ((7,), lambda: Dense(3)),
    ],
)
@pytest.mark.usefixtures("eagerly")
def test_signals_and_volumes_are_learned_as_they_are(shape, first):
    given = stream(shape, signals=True)
    assert given.input_shape == shape
    learned(plain(first(), shape=shape), given)


def test_a_network_of_images_refuses_signals():
    for make in (cnn, resnet18):
        with pytest.raises(InputError, match=r"is for images, and a row of .* has the shape \(6, 1\)"):
            make(stream((6, 1)))
    assert mlp(stream((6, 1))).input_shape == (None, 6, 1)


# ---- XLA --------------------------------------------------------------------------------------------------


def text(x):
    return tf.strings.to_number(tf.strings.as_string(x))


UNCOMPILED = {
    "rotation": (lambda: plain(layers.RandomRotation(0.1)), "ImageProjectiveTransformV3"),
    "text": (lambda: plain(Lambda(text)), "AsString"),
}


@pytest.mark.parametrize(("make", "operation"), UNCOMPILED.values(), ids=UNCOMPILED)
def test_what_xla_cannot_compile_runs_without_it_and_says_so_once(make, operation):
    model = methods.Finetune(make())
    with pytest.warns(UserWarning, match=f"XLA cannot compile mine .{operation}., so .* runs without XLA"):
        model.compile("sgd")
    assert not model.jit
    with pytest.raises(InputError, match=f"XLA cannot compile mine .{operation}.; give jit=None"):
        model.compile("sgd", jit=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.compile("sgd", jit=False)


@pytest.mark.parametrize(
    "part", [lambda: layers.RandomFlip(), lambda: Lambda(tf.abs), lambda: layers.Resizing(3, 3)]
)
def test_what_xla_compiles_is_compiled(part):
    assert loop.uses_xla(plain(part()))
    assert loop.uses_xla(built(Subclassed()))


def test_usual_layers_are_not_tried(monkeypatch):
    monkeypatch.setattr(tf, "function", None)
    given = stream()
    for network in (
        plain(layers.Dropout(0.5), layers.MaxPooling2D()),
        mlp(given, dropout=0.5, batch_norm=True),
    ):
        assert loop.uses_xla(network)
    assert not loop.uses_xla(plain(layers.Conv2D(2, 2)))


def test_layers_are_listed_also_where_tensorflow_cannot_go_through_them():
    network = sequential(layers.LSTM(3, dropout=0.5), Dense(4), shape=(6, 1))
    kinds = [type(layer).__name__ for layer in layers_of(network)]
    assert {"LSTM", "LSTMCell", "Dense"} <= {*kinds}
