"""Memories of features: what is drawn, moved along with the network, kept, and learned from which rows."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same

from keras_cl.errors import Diverged, InputError
from keras_cl.generators import features, gaussians
from keras_cl.generators.features import affine_change
from keras_cl.generators.gaussians import Gaussians
from keras_cl.generators.trained_features import feature_memory
from keras_cl.learning.batches import Batch
from keras_cl.runs.results import size_in_bytes
from keras_cl.sources.base import Source
from keras_cl.streams.split import split

D, CLASSES = 5, 6


def stream_of(scenario="class", tasks=3):
    y = np.repeat(np.arange(CLASSES), 4)
    data = np.zeros((len(y), 2), np.float32), y
    return split(
        Source("rows", (2,), tuple(range(CLASSES)), 1.0, lambda: (data, data)), tasks=tasks, scenario=scenario
    )


def head(size=D, outputs=CLASSES):
    return keras.Sequential([keras.Input((size,)), keras.layers.Dense(outputs)])


def some_features(n=400, seed=0, size=D):
    """Correlated features of two classes, 0 and 1, with other means."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    V = rng.normal(size=(n, size)) @ rng.normal(size=(size, size)) + 3 * y[:, np.newaxis]
    return V.astype(np.float32), y.astype(np.int32)


def learned(V, y, stream=None):
    """Gaussians that have learned a first task and are in the second."""
    stream = stream or stream_of()
    memory = Gaussians(head(outputs=stream.num_classes), seed=3)
    memory.begin(stream[0])
    memory.learned(stream[0], V, y)
    memory.begin(stream[1])
    return memory


# ---- draws -----------------------------------------------------------------------------------------------


def test_drawn_features_have_the_moments_of_the_learned_ones():
    V, y = some_features()
    memory = learned(V, y)
    memory.least.assign(-1e9)
    v, unit, task = (part.numpy() for part in memory.drawn(60_000))
    assert set(unit) == {0, 1} and set(task) == {0}
    for own in (0, 1):
        mine = v[unit == own]
        assert len(mine) == pytest.approx(30_000, rel=0.03)
        np.testing.assert_allclose(mine.mean(axis=0), V[y == own].mean(axis=0), atol=0.08)
        S = np.cov(V[y == own], rowvar=False, bias=True) + 1e-3 * np.eye(D)
        np.testing.assert_allclose(np.cov(mine, rowvar=False), S, atol=0.03 * np.abs(S).max())


def test_drawn_features_are_never_below_the_smallest_one_there_was():
    V, y = some_features()
    memory = learned(np.maximum(V, 0), y)
    v, *_ = memory.drawn(1000)
    assert v.numpy().min() == 0
    memory.least.assign(-1e9)
    assert memory.drawn(1000)[0].numpy().min() < -0.1  # which it would be otherwise


def test_draws_are_those_of_the_seed_and_the_task():
    memory = learned(*some_features())
    first, second = memory.drawn(7)[0].numpy(), memory.drawn(7)[0].numpy()
    assert np.abs(first - second).min() > 0
    memory.begin(stream_of()[1])
    np.testing.assert_array_equal(memory.drawn(7)[0].numpy(), first)
    memory.begin(stream_of()[2])
    assert np.abs(memory.drawn(7)[0].numpy() - first).max() > 0


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_old_classes_of_all_tasks_are_drawn_alike(scenario):
    stream = stream_of(scenario)
    memory = Gaussians(head(outputs=stream.num_classes))
    for task in stream[:2]:
        memory.begin(task)
        units = np.flatnonzero(stream.labels[task.index] >= 0)
        V = np.tile(10 * task.index + units[:, np.newaxis], (1, D)).repeat(3, axis=0).astype(np.float32)
        memory.learned(task, V, units.repeat(3))
    memory.begin(stream[2])
    v, unit, task = (part.numpy() for part in memory.drawn(4000))
    np.testing.assert_allclose(v, np.tile((10 * task + unit)[:, np.newaxis], (1, D)), atol=0.2)
    cells, counts = np.unique(np.stack([task, unit]), axis=1, return_counts=True)
    expected = [[0, 0], [0, 1], [1, 0], [1, 1]] if scenario == "domain" else [[0, 0], [0, 1], [1, 2], [1, 3]]
    assert cells.T.tolist() == expected
    np.testing.assert_allclose(counts, 1000, rtol=0.1)


def test_what_the_head_makes_of_generated_features_is_told():
    V = np.eye(D, dtype=np.float32)[[0, 1]].repeat(5, axis=0)
    memory = learned(V, np.repeat([0, 1], 5))
    kernel = np.zeros((D, CLASSES), np.float32)
    kernel[0, 0] = kernel[1, 1] = 1  # right of both classes
    answers = Gaussians(sure := head(), seed=3)
    sure.set_weights([kernel, np.zeros(CLASSES)])
    answers.begin(stream_of()[0])
    for one, other in zip(answers.variables, memory.variables, strict=True):
        one.assign(other)
    assert answers.accuracy(1, rows=500) == 1.0
    sure.set_weights([kernel[:, [1, 0, *range(2, CLASSES)]], np.zeros(CLASSES)])
    assert answers.accuracy(1, rows=500) == 0.0
    x, y, task = answers.generated(50, 1, 1)
    assert x.shape == (50, D) and set(y) == {0, 1} and set(task) == {0}


# ---- transport -------------------------------------------------------------------------------------------


def test_features_that_did_not_change_are_not_moved():
    V, y = some_features()
    A, b = affine_change(V, V, 0.1)
    np.testing.assert_allclose(A, np.eye(D), atol=1e-5)
    np.testing.assert_allclose(b, 0, atol=1e-5)
    memory = learned(V, y)
    before = [v.numpy() for v in memory.kept]
    memory.move(A, b)
    for one, other in zip(memory.kept, before, strict=True):
        np.testing.assert_allclose(one.numpy(), other, atol=1e-5)


def test_moments_follow_an_affine_change():
    V, y = some_features(2000)
    rng = np.random.default_rng(1)
    M, c = np.eye(D) + 0.3 * rng.normal(size=(D, D)), rng.normal(size=D)
    V1 = (V @ M + c).astype(np.float32)
    memory, there = learned(V, y), learned(V1, y)
    before = memory.mean.numpy()
    memory.move(*affine_change(V[:1000], V1[:1000], 0.1))
    assert np.abs(before[:2] - there.mean.numpy()[:2]).max() > 0.5
    for one, other in zip(memory.kept, there.kept, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=0.02 * np.abs(other.numpy()).max())
    assert not memory.mean.numpy()[2:].any()  # of classes that were not learned


def test_without_evidence_the_map_is_the_identity():
    rng = np.random.default_rng(0)
    V0 = np.zeros((50, D))
    V0[:, 0] = rng.normal(size=50)  # the other features say nothing
    A, b = affine_change(V0, 2 * V0, 0.1)
    assert A[0, 0] == pytest.approx(2, abs=0.01)
    np.testing.assert_allclose(A[1:], np.eye(D)[1:], atol=1e-12)
    strong, _ = affine_change(V0, 2 * V0, 1e9)
    np.testing.assert_allclose(strong, np.eye(D), atol=1e-6)


def test_the_map_is_the_least_one_of_its_definition():
    rng = np.random.default_rng(2)
    V0, V1, ridge = rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), 0.7
    A, b = affine_change(V0, V1, ridge)

    def cost(A, b):
        return ((V0 @ A + b - V1) ** 2).sum() + ridge * (((A - np.eye(3)) ** 2).sum() + (b**2).sum())

    for _ in range(20):
        dA, db = 1e-3 * rng.normal(size=(3, 3)), 1e-3 * rng.normal(size=3)
        assert cost(A, b) < cost(A + dA, b + db)


# ---- what is kept ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenario", "cells"), [("class", 6), ("task", 6), ("domain", 6)])
def test_a_class_takes_the_floats_of_a_mean_and_half_a_covariance(scenario, cells):
    stream = stream_of(scenario)
    memory = Gaussians(head(64, stream.num_classes))
    memory.bind(stream)
    assert size_in_bytes(memory.kept) == cells * 4 * (64 + 64 * 65 // 2) == cells * 8576


def test_what_is_kept_does_not_grow_with_the_tasks_learned():
    memory = Gaussians(head())
    sizes, there = [], []
    for task in (stream := stream_of()):
        memory.begin(task)
        V, y = some_features(20)
        memory.learned(task, V, y + 2 * task.index)
        sizes.append(size_in_bytes(memory.kept))
        there.append((memory.mean.numpy() != 0).any(axis=1).sum())
    assert len(set(sizes)) == 1 and there == [2, 4, 6] and len(stream) == 3


def test_a_class_of_one_row_can_be_drawn():
    memory = learned(np.ones((2, D), np.float32), np.array([0, 1]))
    v, *_ = memory.drawn(2000)
    np.testing.assert_allclose(v.numpy().mean(), 1, atol=0.05)


def test_covariances_that_rounding_made_indefinite_can_be_drawn():
    rng = np.random.default_rng(0)
    V = (1e4 * rng.normal(size=(300, 1)) @ rng.normal(size=(1, D))).astype(np.float32)  # of rank 1
    memory = learned(V, rng.integers(0, 2, 300))
    assert np.isfinite(memory.drawn(100)[0].numpy()).all()
    S = np.diag([1.0, -1e-9])
    L = gaussians._roots(S[np.newaxis])[0]
    np.testing.assert_allclose(L @ L.T, np.diag([1.0, 0]), atol=1e-12)


def test_features_that_are_not_finite_are_said():
    with pytest.raises(Diverged, match="no longer finite after task 1"):
        learned(np.full((4, D), np.nan, np.float32), np.array([0, 1, 0, 1]))


def test_a_memory_that_cannot_fit_is_refused():
    memory = Gaussians(head(70_000))
    with pytest.raises(
        InputError, match=r"memory of 6 classes of 70,000 features: at least .* fewer features"
    ):
        memory.bind(stream_of())


# ---- trained generators ----------------------------------------------------------------------------------


def trained(backend, **options):
    embedder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(D, "relu")])
    given = {"hidden": (32,), "latent": 3, "iterations": 1, "seed": 0} | options
    memory = feature_memory(backend, embedder, head(), **given)
    memory.attach(None, jit=False)
    return memory


def cluster(task, n=256, at=None):
    """Features of two classes of a task around two places of each."""
    rng = np.random.default_rng(task)
    y = rng.integers(0, 2, n)
    places = np.eye(D)[[task, task + 1]] * 4 if at is None else at
    return np.maximum(places[y] + rng.normal(0, 0.1, (n, D)), 0).astype(np.float32), y + 2 * task


def test_a_vae_of_features_replays_moved_ones_while_it_learns_new_ones():
    memory, stream = trained("cvae", iterations=600), stream_of()
    memory.begin(stream[0])
    memory.learned(stream[0], *cluster(0))
    memory.begin(stream[1])
    shift = np.full(D, 2.0)
    memory.move(np.eye(D), shift)
    memory.learned(stream[1], *cluster(1))
    memory.begin(stream[2])
    v, unit, _ = (part.numpy() for part in memory.drawn(2000))
    for own, place in enumerate([*(np.eye(D)[:2] * 4 + shift), *np.eye(D)[1:3] * 4]):
        np.testing.assert_allclose(v[unit == own].mean(axis=0), place, atol=0.6)


@pytest.mark.parametrize("backend", ["cvae", "cgan"])
def test_training_is_traced_once_and_changes_the_generator(backend):
    memory, before = trained(backend, iterations=5), None  # of which one is the GAN's generator's
    for task, rows in zip(stream_of(), (130, 300, 40), strict=True):
        memory.begin(task)
        memory.learned(task, *(part[:rows] for part in cluster(task.index, 300)))
        assert memory.state.numpy()[1] == {130: 6, 300: 6, 40: 5}[rows]  # whole passes of 2, 3 and 1 steps
        now = memory.decoder.get_weights()
        assert before is None or any((a != b).any() for a, b in zip(now, before, strict=True))
        assert_same(now, memory.model.pixels.get_weights())
        before = now
    assert memory._train.steps.experimental_get_tracing_count() == 1
    assert all(np.isfinite(value) for value in memory.report().values())


@pytest.mark.parametrize("ends_in", ["relu", None])
def test_a_gan_generates_negative_features_only_of_a_network_that_has_some(ends_in):
    minus = keras.initializers.Constant(-1)
    embedder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(D, ends_in, kernel_initializer=minus)])
    memory = feature_memory("cgan", embedder, head(), hidden=(8,), latent=3, iterations=1, seed=0)
    memory.bind(stream_of())
    assert memory.model.activation == (ends_in or "linear")


@pytest.mark.parametrize("backend", ["cvae", "cgan"])
def test_alignment_is_the_distance_from_what_was_generated_before_where_the_network_moved_it(backend):
    memory, stream, B = trained(backend, align=0.5), stream_of(), 6
    batch = Batch(x=tf.zeros((B, D)), y=None, task=None, weight=None)
    memory.begin(stream[0])
    assert memory.model.penalty(batch).numpy() == 0
    memory.learned(stream[0], *cluster(0))
    memory.begin(stream[1])
    A, b = np.diag([1.0, 2.0, 3.0, 4.0, 5.0]), np.arange(5.0)
    memory.move(A, b)
    memory.state.assign([7, 3])
    cell, eps = memory._codes(B, 7, -3, 2)
    before = np.maximum(memory.features_of(cell, eps), memory.least.numpy())
    moved = np.maximum(before @ A + b, memory.least.numpy())
    for weights in memory.model.pixels.trainable_variables:
        weights.assign_add(tf.ones_like(weights) * 0.1)
    now = memory.model.images(memory.model.pixels([eps, tf.one_hot(cell, memory.cells)])).numpy()
    wanted = 0.5 * np.sum((now - moved) ** 2, axis=1).mean()
    assert wanted > 1
    np.testing.assert_allclose(memory.model.penalty(batch), wanted, rtol=1e-5)


@pytest.mark.parametrize("backend", ["cvae", "cgan"])
def test_aligned_generators_change_less(backend):
    changes = []
    for align in (0.0, 100.0):
        memory, stream = trained(backend, iterations=60, align=align), stream_of()
        memory.begin(stream[0])
        memory.learned(stream[0], *cluster(0))
        cell, eps = memory._codes(200, 1, 0, 2)
        before = memory.features_of(cell, eps)
        memory.begin(stream[1])
        memory.learned(stream[1], *cluster(1))
        changes.append(np.square(memory.features_of(cell, eps) - before).mean())
    assert changes[1] < changes[0] / 2


def test_two_maps_hold_no_state():
    for backend in ("gauss", "cvae"):
        memory = feature_memory(backend, head(2, D), head(), hidden=(8,), latent=3, iterations=1, seed=0)
        memory.bind(stream_of())
        shapes = [tuple(v.shape) for v in memory.variables]
        assert (D, D) not in shapes and (6, D, D) not in shapes
    assert isinstance(memory._map[0], features.Hidden)
