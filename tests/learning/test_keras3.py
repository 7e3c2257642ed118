"""Keras 3 networks: they answer as in Keras 3, learn as a tf_keras network does, and share their weights."""

import contextlib
import pathlib
import subprocess
import sys

import keras as keras3
import keras3_networks
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs
from keras3_networks import chain, layers

from keras_cl import learn, load, methods, sources, streams
from keras_cl.check import laws
from keras_cl.check.laws import LAWS
from keras_cl.check.subject import Subject
from keras_cl.errors import InputError
from keras_cl.importance import Fisher
from keras_cl.importance.products import in_products
from keras_cl.learning import loop
from keras_cl.learning.features import feature_extractor
from keras_cl.learning.keras3 import adopted
from keras_cl.learning.keras3_layers import Keras3Layer
from keras_cl.learning.keras3_optimizers import of_keras3, translated
from keras_cl.learning.layers import frozen_copy
from keras_cl.settings import catalog
from keras_cl.settings.config import SCENARIOS

STREAM = streams.split(sources.from_arrays(**blobs([12] * 4, side=8)), tasks=2, scenario="class")
SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.float32)
FILE = pathlib.Path(keras3_networks.__file__)
TRAINED = [name for name in catalog.names("method") if name != "generative_classifier"]
# Those that look into the network: importances, teachers, features, gates, generators.
FEW = ("ewc", "lwf", "icarl", "hat", "gdumb", "rtf", "dgr")
NETWORKS = {"hat": "dense", "rtf": "dense"}  # they need a chain of dense layers


def claimed(method):
    """The scenarios that a method claims to make sense in."""
    return catalog.choice("method", method).constants.get("scenarios", SCENARIOS)


def compiled(network, method=methods.Finetune, jit=False, optimizer="adam", **options):
    model = method(network, **options)
    model.compile(optimizer, jit=jit)
    return model


def taught(model, tasks=STREAM[:1], epochs=1):
    for task in tasks:
        model.begin_task(task)
        model.fit(model.batches(task, 6), epochs=epochs, verbose=0)
        model.end_task(task)
    return model


# ---- the same answers ------------------------------------------------------------------------------------


class Subclassed(keras3.Model):
    """A model with a `call` of its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self.flatten, self.hidden, self.last = layers.Flatten(), layers.Dense(5, "relu"), layers.Dense(4)

    def call(self, x):
        return self.last(self.hidden(self.flatten(x)))

    def get_config(self):
        return {"name": self.name}


def subclassed():
    model = Subclassed()
    model(IMAGES)
    return model


def a_graph():
    """A shared layer, operations, several tensors in one argument, a model inside of the model."""
    images = keras3.Input(SHAPE)
    x = layers.Conv2D(3, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(images))
    shared = layers.Conv2D(3, 3, padding="same", name="twice")
    x = shared(shared(x)) + x
    x = keras3.ops.concatenate([x, 2 * x], axis=-1)
    inside = chain((8, 8, 6), layers.BatchNormalization(), layers.SpatialDropout2D(0.2), layers.Dense(3))
    x = layers.Flatten()(inside(x, training=False))
    return keras3.Model(images, layers.Dense(4)(layers.Dense(8, "gelu")(x)))


KINDS = {
    "subclassed": subclassed,
    "graph": a_graph,
    "recurrent": lambda: chain(SHAPE, layers.Reshape((8, 8)), layers.GRU(3), layers.Dense(4)),
    "softmax": lambda: chain(SHAPE, layers.Flatten(), layers.Dense(4), layers.Softmax()),
    "relus": lambda: chain(
        SHAPE,
        layers.Rescaling(0.02, -1),
        layers.Flatten(),
        layers.ReLU(2.0, 0.1, 0.5),
        layers.Dense(4, "tanh"),
    ),
    "half": lambda: chain(
        SHAPE, layers.Flatten(), layers.Dense(8, "relu", dtype="mixed_bfloat16"), layers.Dense(4)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_as_in_keras_3_and_so_does_a_copy(kind, eagerly):
    network = KINDS[kind]()
    for weight in network.weights:  # not zeros and ones, which biases and norms begin with
        weight.assign(np.random.default_rng(1).uniform(0.01, 0.02, weight.shape))
    one = adopted(network)
    assert isinstance(one, keras.Model) and adopted(one) is one
    assert {id(v) for v in one.weights} >= {id(v.value) for v in network.weights}
    expected = network.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(one(IMAGES), expected, rtol=1e-5, atol=1e-5)
    copy, teach = frozen_copy(one)
    assert not copy.trainable_variables and not {id(v) for v in copy.weights} & {id(v) for v in one.weights}
    np.testing.assert_allclose(copy(IMAGES), expected, rtol=1e-5, atol=1e-5)
    network.weights[-1].assign(network.weights[-1] * [0, 1, 2, 30])
    assert not np.allclose(copy(IMAGES), one(IMAGES))
    teach()
    np.testing.assert_array_equal(copy(IMAGES), one(IMAGES))


def test_a_network_with_convolutions_is_known():
    network = adopted(a_graph())
    assert not loop.prefers_xla(network)
    assert loop.prefers_xla(adopted(KINDS["relus"]()))


def test_dense_layers_of_keras_3_are_dense_layers():
    inside = chain((8,), layers.Dense(6, "relu"))
    network = adopted(chain(SHAPE, layers.Flatten(), layers.Dense(8), inside, layers.Dense(4)))
    dense = [layer for layer in network.layers if type(layer) is keras.layers.Dense]
    assert [layer.units for layer in dense] == [8, 6, 4]
    variables = network.trainable_variables
    assert {id(v) for v in in_products(network, variables, IMAGES)} == {id(v) for v in variables}
    assert feature_extractor(network).output_shape == (None, 6)


def test_importances_are_those_of_the_same_network_of_tf_keras():
    network = adopted(chain(SHAPE, layers.Flatten(), layers.Dense(5, "tanh"), layers.Dense(4)))
    parts = [keras.layers.Flatten(), keras.layers.Dense(5, "tanh"), keras.layers.Dense(4)]
    other = keras.Sequential([keras.Input(SHAPE), *parts])
    other.set_weights(network.get_weights())
    x, y, mask = IMAGES / 255, np.zeros(6, np.int32), np.ones(4, bool)
    for one, expected in zip(*(Fisher(net, "exact")(x, y, mask) for net in (network, other)), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-7)
        assert expected.any()


# ---- learning --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_model_of_the_user_knows_what_was_learned():
    network = keras3_networks.perceptron(STREAM)
    model = compiled(network, methods.EWC, jit=True, optimizer=keras3.optimizers.Adam(0.01))
    before = network.get_weights()
    taught(model, STREAM)
    assert model.jit and type(model.optimizer) is keras.optimizers.Adam
    changed = [not np.array_equal(old, new) for old, new in zip(before, network.get_weights(), strict=True)]
    assert all(changed)  # kernels, biases, scales and statistics
    np.testing.assert_allclose(model.predict_logits(IMAGES), network.predict(IMAGES, verbose=0), atol=1e-5)


def test_noise_and_dropout_begin_from_the_seed_of_the_model_alone(eagerly):
    def weights(seed):
        keras3.utils.set_random_seed(len(drawn))  # of the layers' own seeds
        drawn.append(taught(compiled(keras3_networks.perceptron(STREAM), seed=seed)).network)
        return drawn[-1].get_weights()

    drawn = []
    one, again, other = weights(3), weights(3), weights(4)
    assert_same(one, again)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))
    seeds = [v for layer in drawn[0].layers if isinstance(layer, Keras3Layer) for v in layer.seeds]
    assert len(seeds) == 1 and seeds[0].dtype == tf.int64 and seeds[0].numpy()[1] == 4  # steps taken


def test_regularisation_losses_count(eagerly):
    network = chain(
        SHAPE,
        layers.Flatten(),
        layers.Dense(5, kernel_regularizer="l2", activity_regularizer=keras3.regularizers.L2(0.1)),
        layers.Dense(4, kernel_regularizer=keras3.regularizers.L1(0.3)),
    )
    one = adopted(network)
    one(IMAGES / 255)
    network(IMAGES / 255)
    ours, theirs = (sum(float(loss) for loss in net.losses) for net in (one, network))
    assert theirs > 1
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_frozen_layers_stay_frozen(eagerly):
    inside = chain(SHAPE, layers.Flatten(), layers.Dense(6), layers.BatchNormalization())
    inside.trainable = False
    network = chain(SHAPE, inside, layers.Dense(4))
    frozen, head = inside.get_weights(), network.layers[-1].get_weights()
    taught(compiled(network))
    assert_same(inside.get_weights(), frozen)
    assert all((a != b).any() for a, b in zip(network.layers[-1].get_weights(), head, strict=True))


def test_the_loss_of_a_network_in_half_precision_is_scaled():
    half = layers.Dense(8, "relu", dtype="mixed_float16")
    model = compiled(chain(SHAPE, layers.Flatten(), half, layers.Dense(4)))
    assert isinstance(model.optimizer, keras.mixed_precision.LossScaleOptimizer)


def test_a_run_goes_on_where_it_was_stopped(tmp_path, eagerly):
    def begun():
        model = compiled(keras3_networks.perceptron(STREAM), optimizer=keras3.optimizers.Adam(0.01))
        model.run_eagerly = True
        return model

    def stop(epoch, logs):
        if model.task == 1:
            raise KeyboardInterrupt

    how = {"epochs": 1, "batch_size": 6}
    whole = begun()
    matrix = learn(whole, STREAM, run_dir=tmp_path / "whole", **how).matrix
    model = begun()
    with pytest.raises(KeyboardInterrupt):
        stopping = keras.callbacks.LambdaCallback(on_epoch_end=stop)
        learn(model, STREAM, run_dir=tmp_path / "stopped", callbacks=[stopping], **how)
    model = begun()
    np.testing.assert_array_equal(learn(model, STREAM, run_dir=tmp_path / "stopped", **how).matrix, matrix)
    assert_same(model.network.get_weights(), whole.network.get_weights())
    read = load(tmp_path / "whole", model=begun(), stream=STREAM).model
    assert_same(read.network.get_weights(), whole.network.get_weights())


@pytest.mark.slow
def test_an_exported_model_needs_no_keras(tmp_path):
    model = compiled(keras3_networks.perceptron(STREAM))
    learn(model, STREAM, epochs=1, batch_size=6, export_dir=tmp_path / "models")
    np.save(tmp_path / "images.npy", IMAGES)
    program = (
        "import sys; sys.modules['keras'] = sys.modules['tf_keras'] = None\n"
        "import numpy as np, tensorflow as tf\n"
        "answer = tf.saved_model.load('models/2').signatures['serving_default']\n"
        "np.save('logits.npy', answer(images=tf.constant(np.load('images.npy')))['logits'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, timeout=120)
    assert not done.returncode, done.stderr[-500:]
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), model.predict_logits(IMAGES), atol=1e-5)


# ---- every method ----------------------------------------------------------------------------------------


STEEP = ("ewc", "si")  # with SGD steps their usual penalties grow rounding


class Eager(Subject):
    how = {"eagerly": True}
    runs_eagerly = True


def subject_of(method, folder, kind=Subject, **settings):
    network = f"{FILE}:{NETWORKS.get(method, 'perceptron')}"
    # Batches of two rows leave a kernel before batch normalisation no gradient but rounding, of which Adam
    # would make whole steps.
    settings |= {"optimizer": "sgd", "learning_rate": 0.05}
    if method in STEEP:
        settings["options"] = {"method.strength": 1.0, **settings.get("options", {})}
    return kind(method, folder, network=network, **settings)


def quick(names, few):
    """All names; the tests of those that are not among the few are slow."""
    return [pytest.param(name, marks=[] if name in few else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("method", quick(TRAINED, FEW))
def test_every_method_learns(method, tmp_path):
    subject = subject_of(method, tmp_path, Eager, eager=claimed(method))
    laws.learns(subject, claimed(method)[-1])


@pytest.mark.parametrize("memory", quick(catalog.names("memory"), ("herding",)))
def test_every_memory_works(memory, tmp_path):
    subject = subject_of("finetune", tmp_path, Eager, memory=memory, eager=("class",))
    laws.learns(subject, "class")


@pytest.mark.slow
@pytest.mark.parametrize("method", TRAINED)
def test_every_method_keeps_the_laws(method, tmp_path):
    subject = subject_of(method, tmp_path)
    for law in LAWS:
        if law.check in (laws.two_devices, laws.xla_is_graph):
            continue
        with contextlib.suppress(laws.DoesNotApply):
            law.check(subject, claimed(method)[-1]) if law.everywhere else law.check(subject)


@pytest.mark.slow
@pytest.mark.parametrize("method", TRAINED)
def test_steps_compiled_by_xla_equal_those_of_a_graph(method, tmp_path):
    """Without noise, whose random numbers of TensorFlow are others under XLA; dropout is this library's."""
    options = {} if method in NETWORKS else {"network.noise": 0.0}
    laws.xla_is_graph(subject_of(method, tmp_path, options=options))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (methods.GenerativeClassifier, "class_vaes"),
        (lambda net: methods.HAT(net, tasks=2), "Task gates are for chains of dense layers"),
    ],
)
def test_a_method_that_needs_another_network_says_so(method, message):
    with pytest.raises(InputError, match=message):
        method(a_graph())


# ---- optimizers ------------------------------------------------------------------------------------------

SETTINGS = [
    {},
    {"weight_decay": 0.1},
    {"clipnorm": 0.5},
    {"nesterov": True, "momentum": 0.9},
    {"amsgrad": True},
]


@pytest.mark.parametrize("name", ["Adafactor", "Adam", "AdamW", "Adamax", "Lion", "Nadam", "RMSprop", "SGD"])
def test_an_optimizer_of_keras_3_takes_the_same_steps(name):
    rng = np.random.default_rng(0)
    start, *gradients = rng.normal(size=(4, 5, 3)).astype(np.float32)
    for settings in SETTINGS:
        try:
            optimizer = getattr(keras3.optimizers, name)(learning_rate=0.1, **settings)
        except (TypeError, ValueError):  # it has no such setting
            continue
        other, theirs, ours = translated(optimizer), keras3.Variable(start), tf.Variable(start)
        assert type(other) is getattr(keras.optimizers, name)
        for gradient in gradients:
            optimizer.apply_gradients([(tf.constant(gradient), theirs)])
            other.apply_gradients([(tf.constant(gradient), ours)])
        np.testing.assert_allclose(ours, theirs.value, atol=1e-6)
        assert not np.allclose(start, ours)


OPTIMIZERS = keras3.optimizers
SCHEDULE = OPTIMIZERS.schedules.CosineDecay(0.1, 10)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (
            lambda: OPTIMIZERS.Muon(),
            "optimizer Muon has no counterpart in tf_keras; possible: Ada",
        ),
        (lambda: OPTIMIZERS.Lamb(), "Lamb has no counterpart"),
        (
            lambda: OPTIMIZERS.Adam(SCHEDULE),
            "give Adam a number, and compile a regime",
        ),
        (lambda: OPTIMIZERS.SGD(gradient_accumulation_steps=2), "gradient_accumulation_steps"),
        (lambda: OPTIMIZERS.SGD(loss_scale_factor=2), "loss_scale_factor"),
        (lambda: OPTIMIZERS.SGD(use_ema=True), "use_ema"),
    ],
)
def test_an_optimizer_that_tf_keras_does_not_have_is_refused(optimizer, message):
    with pytest.raises(InputError, match=message):
        compiled(chain(SHAPE, layers.Flatten(), layers.Dense(4)), optimizer=optimizer())


# ---- what is no network ----------------------------------------------------------------------------------


def two_outputs():
    images = keras3.Input(SHAPE)
    x = layers.Flatten()(images)
    return keras3.Model(images, [layers.Dense(4)(x), layers.Dense(4)(x)])


def a_tied_kernel():
    images, hidden = keras3.Input((8,)), layers.Dense(8, name="tied")
    x = hidden(images)
    return keras3.Model(images, keras3.ops.matmul(x, hidden.kernel))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (a_tied_kernel, "uses the variable tied/kernel outside of its layer"),
        (lambda: layers.Dense(4), "a whole model, and this is a Keras 3 Dense"),
        (lambda: keras3.Sequential([layers.Dense(4)]), "does not know its input shape yet"),
        (two_outputs, "has 2 outputs"),
        (
            lambda: chain(SHAPE, layers.Flatten(), layers.Dense(4, kernel_constraint="non_neg")),
            "has a constraint",
        ),
    ],
)
def test_what_is_no_network_is_refused(network, message):
    with pytest.raises(InputError, match=message):
        methods.Finetune(network())


def test_another_backend_is_refused(monkeypatch):
    network = chain(SHAPE, layers.Flatten(), layers.Dense(4))
    monkeypatch.setattr(keras3.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="Keras 3 runs on jax here.*KERAS_BACKEND=tensorflow"):
        methods.Finetune(network)


def test_tf_keras_is_not_taken_for_keras_3():
    network = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(4)])
    assert not of_keras3(network) and adopted(network) is network
    optimizer = keras.optimizers.SGD()
    assert not of_keras3(optimizer) and translated(optimizer) is optimizer
    assert of_keras3(layers.Dense(4))
