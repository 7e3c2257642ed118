"""Fixed gates: the share of closed ones, what they do to the decoder, and that they never change."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same

from keras_cl.generators import VAE
from keras_cl.generators.gates import FixedGates
from keras_cl.learning.batches import Batch
from keras_cl.learning.layers import frozen_copy

SHAPE, C = (2, 3, 1), 3
X = np.random.default_rng(5).uniform(size=(6, *SHAPE)).astype(np.float32)


def gates_of(closed, units=500, seed=1):
    gates = FixedGates(C, closed, seed)
    gates.build([(None, units), (None, C)])
    return gates


def vae_of(gate_prop=0.5, hidden=(6, 5), **options):
    return VAE(SHAPE, hidden=hidden, latent=2, conditions=C, gate_prop=gate_prop, seed=1, **options)


def layers_of(vae):
    """Gates, dense layers of the decoder, from the codes on."""
    kinds = FixedGates, keras.layers.Dense
    return [[layer for layer in vae.decoder.layers if isinstance(layer, kind)] for kind in kinds]


@pytest.mark.parametrize("closed", [0.1, 0.8])
def test_the_given_share_is_closed_and_classes_differ(closed):
    masks = gates_of(closed).masks.numpy()
    assert masks.dtype == bool and masks.shape == (C, 500)
    assert 1 - masks.mean() == pytest.approx(closed, abs=4 * np.sqrt(closed * (1 - closed) / 1500))
    assert (masks[0] != masks[1]).any() and (masks[1] != masks[2]).any()
    assert (gates_of(closed, seed=2).masks.numpy() != masks).any()


def test_none_closed_changes_nothing():
    h = np.random.default_rng(0).normal(size=(4, 500)).astype(np.float32)
    np.testing.assert_array_equal(gates_of(0.0)([h, tf.one_hot([0, 1, 2, 0], C)]), h)


def test_a_vae_without_closed_gates_has_none():
    vae = VAE(SHAPE, hidden=(6, 5), latent=2, conditions=C, prior="gmm", seed=1)
    assert layers_of(vae)[0] == [] and len(vae.decoder.inputs) == 1


def test_pre_activations_of_hidden_layers_are_gated_and_outputs_are_not():
    vae = vae_of()
    gates, dense = layers_of(vae)
    assert [layer.masks.shape[1] for layer in gates] == [5, 6]
    rng = np.random.default_rng(0)
    vae.decoder.set_weights(
        [
            rng.normal(size=w.shape).astype(w.dtype) if w.dtype != bool else w
            for w in vae.decoder.get_weights()
        ]
    )
    q = rng.dirichlet(np.ones(C), 4).astype(np.float32)
    z = x = rng.normal(size=(4, 2)).astype(np.float32)
    for layer, gate in zip(dense, [*gates, None], strict=True):
        x = x @ layer.kernel.numpy() + layer.bias.numpy()
        x = np.maximum(x * (q @ gate.masks.numpy()), 0) if gate else x
    found = vae.decode(z, q).mean()
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-x.reshape(4, *SHAPE))), rtol=1e-4)
    hard = vae.decode(z, np.array([0, 1, 2, 1])).mean()
    np.testing.assert_array_equal(vae.decode(z, np.eye(C, dtype=np.float32)[[0, 1, 2, 1]]).mean(), hard)


def test_masks_stay_through_training_and_copies_have_them():
    vae = vae_of(prior="gmm")
    vae.compile(keras.optimizers.Adam(0.1), jit=False)
    gates, dense = layers_of(vae)
    masks, kernels = ([layer.get_weights()[0] for layer in of] for of in (gates, dense))
    y, ones = tf.constant(np.arange(6) % C, tf.int32), tf.ones(6)
    for _ in range(5):
        vae.train_step(Batch(tf.constant(X), y, y, ones))
    assert_same([gate.masks.numpy() for gate in gates], masks)
    assert not any(np.array_equal(layer.kernel, old) for layer, old in zip(dense, kernels, strict=True))
    assert not any(v.dtype == tf.bool for v in vae.trainable_variables)
    copy, _ = frozen_copy(vae.pixels)
    chosen = [np.ones((C, 2), np.float32), np.eye(C, dtype=np.float32)]
    np.testing.assert_array_equal(copy(chosen), vae.pixels(chosen))
    remade = [layer for layer in copy.submodules if isinstance(layer, FixedGates)]
    assert sorted(layer.masks.numpy().tolist() for layer in remade) == sorted(m.tolist() for m in masks)
