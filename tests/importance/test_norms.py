"""Batch normalisation on a GPU: importances and curvature there are those of a CPU, by the same passes.

TensorFlow's operation for the whole of it has a gradient that fails on GPUs in inference mode.
"""

import contextlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from gradients import SOME, assert_same, chain, convolutional, rows_of

from keras_cl.devices import device
from keras_cl.importance.by_uses import ByUses
from keras_cl.importance.fisher import Fisher
from keras_cl.importance.hessian import MeanLoss, Rows
from keras_cl.importance.sensitivity import MeanSensitivity
from keras_cl.learning.precision import single
from keras_cl.methods import MAS

layers = keras.layers
norm = layers.BatchNormalization
MASK = np.array(SOME)
WHOLE = {"FusedBatchNormV3", "FusedBatchNormGradV3"}


@contextlib.contextmanager
def gpu(patch):
    """As on a GPU: the operation fails, here already in the forward pass."""

    def fails(*args, **kwargs):
        raise tf.errors.UnimplementedError(None, None, "A deterministic GPU implementation is not available.")

    with patch.context() as inside:
        inside.setattr(device, "kind", lambda: "gpu")
        inside.setattr(norm, "_fused_batch_norm", fails)
        yield


def nested():
    """Norms inside of models, one without a scale, and one that is made of elementary operations anyway."""
    inner = chain((5, 5, 2), norm(), layers.Conv2D(2, 2), keras.Sequential([norm(scale=False)]))
    return chain((5, 5, 2), inner, layers.ReLU(), norm(fused=False), layers.Flatten(), layers.Dense(4))


def narrow():
    convolution = layers.Conv2D(2, 3, dtype="mixed_bfloat16")
    return chain((5, 5, 1), convolution, norm(dtype="mixed_bfloat16"), layers.Flatten(), layers.Dense(4))


def fused(network):
    return [layer.fused for layer in network.submodules if isinstance(layer, norm)]


def operations(network):
    """Operations for the whole of a norm in the gradient of the logits, in inference mode, traced anew."""

    @tf.function
    def slope(x):
        with tf.GradientTape() as tape:
            logits = network(x, training=False)
        return tape.gradient(logits, network.trainable_variables)

    shape = [3, *network.input_shape[1:]]
    graph = slope.get_concrete_function(tf.TensorSpec(shape)).graph.as_graph_def()
    nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
    return {node.op for node in nodes if "BatchNorm" in node.op}


@pytest.mark.parametrize("make", [convolutional, nested, narrow])
def test_only_inside_and_only_on_a_gpu_a_norm_is_made_of_elementary_operations(make, monkeypatch):
    network = make()
    before = fused(network)
    assert True in before
    with single(network):
        assert operations(network) == WHOLE
    with monkeypatch.context() as patch:
        patch.setattr(device, "kind", lambda: "gpu")
        with pytest.raises(ValueError, match="broken"), single(network):
            assert not operations(network)
            raise ValueError("broken")
        assert fused(network) == before
        assert operations(network) == WHOLE


def fisher(kind):
    def importances(network, x, y):
        found = Fisher(network, kind, batch_size=3)
        return found(x, y, MASK, jit=False), found._pass

    return importances


def memory_aware(network, x, y):
    model = MAS(network)
    model.compile("sgd", jit=False)
    return model._sensitivity(x, of_task=(MASK,), jit=False), model._sensitivity


def sensitivity(network, x, y):
    along = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    return MeanSensitivity(network)(x, along, jit=False), None


KINDS = {kind: fisher(kind) for kind in ("exact", "sample", "batched")}
KINDS |= {"mas": memory_aware, "scp": sensitivity}


@pytest.mark.parametrize(
    ("make", "kind"), [*((convolutional, kind) for kind in KINDS), (nested, "exact"), (nested, "mas")]
)
def test_importances_on_a_gpu_are_those_of_a_cpu_by_the_same_passes(make, kind, monkeypatch):
    network = make()
    x, y = rows_of(network)
    expected, _ = KINDS[kind](network, x, y)
    with gpu(monkeypatch):
        found, passes = KINDS[kind](network, x, y)
        again, _ = KINDS[kind](network, x, y)
        if hasattr(passes, "passes"):
            assert {type(one) for one in passes.passes(x, jit=False)} == {ByUses}
            assert passes.usual_samples(x) == 0
    assert_same(found, expected, rtol=1e-4)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_curvature_on_a_gpu_is_that_of_a_cpu(monkeypatch):
    network = convolutional()
    rows, there, here = Rows.of(*rows_of(network), MASK, size=4), MeanLoss(network), MeanLoss(network)
    v = np.random.default_rng(0).normal(size=here.size)
    with gpu(monkeypatch):
        value, gradient, product = there.value(rows), there.gradient(rows), there.product(rows, v)
    assert value == pytest.approx(here.value(rows), rel=1e-6)
    for got, of in ((gradient, here.gradient(rows)), (product, here.product(rows, v))):
        np.testing.assert_allclose(got, of, rtol=1e-4, atol=1e-5 * np.abs(of).max())
