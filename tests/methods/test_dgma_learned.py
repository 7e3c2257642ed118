"""Dynamic generative memory on bars: what it learns and keeps in traced steps, and what it exports."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from bars import CLASSES, stream_of
from helpers import assert_same, learn

from keras_cl.check import laws, placement, programs
from keras_cl.check.laws import LAWS
from keras_cl.check.subject import Subject
from keras_cl.methods.dgma import DGMa
from keras_cl.methods.dgmw import DGMw
from keras_cl.networks.mlp import mlp
from keras_cl.numerics.random import random_normal
from keras_cl.runs import saved_model

pytestmark = pytest.mark.slow
TASKS = 4


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("method", [DGMa, DGMw])
def test_it_learns_bars_forgets_little_and_changes_no_bit_of_earlier_images(method, jit):
    stream = stream_of(TASKS, rows=500)
    network = mlp(stream, hidden=(32,), seed=3)
    model = method(network, tasks=TASKS, hidden=(32, 32), latent=8)
    model.compile(keras.optimizers.Adam(3e-3), jit=jit)
    then, classes = [], np.repeat(np.arange(CLASSES).reshape(TASKS, -1), 5, axis=1)
    for task in learn(model, stream, batch_size=64, epochs=20):
        images = [model.memory.generator.sample(10, 3, classes[t]).numpy() for t in range(task.number)]
        assert_same(images[:-1], then)
        then = images
    found = model.accuracies(stream)
    assert found.mean() > 0.85 and found[0] > 0.75


def test_the_exported_generator_draws_the_images_of_its_classes(tmp_path):
    stream = stream_of(TASKS)
    model = DGMa(mlp(stream, hidden=(8,)), tasks=TASKS, hidden=(6, 5), latent=3)
    model.compile(jit=False, run_eagerly=True)
    for _ in learn(model, stream[:2], batch_size=4):
        pass
    memory, condition = model.memory, tf.constant([0, 1, 2, 3, 3], tf.int32)
    saved_model.export_generator(memory.generator, memory.conditions(2), tmp_path, {})
    signatures = tf.saved_model.load(str(tmp_path)).signatures
    found = signatures["generate_classes"](condition=condition, seed=tf.constant([4, 2]))["images"]
    z = random_normal(4, 2, [5, 3])
    np.testing.assert_allclose(found, memory.generator.generate(z, condition), atol=1e-6)
    some = signatures["generate"](num=tf.constant(7), seed=tf.constant([4, 2]))["images"]
    assert some.shape == (7, 4, 4, 1)


COMPILED = (
    laws.one_trace,
    programs.one_program,
    laws.xla_is_graph,
    laws.resumes,
    placement.compiles_for_a_gpu,
)


@pytest.mark.parametrize("method", ["dgma", "dgmw"])
def test_the_convolutional_form_keeps_the_laws_of_compiled_steps(method, tmp_path):
    subject = Subject(method, tmp_path, options={"method.form": "conv"})
    for law in (one for one in LAWS if one.check in COMPILED):
        law.check(subject, "class") if law.everywhere else law.check(subject)
