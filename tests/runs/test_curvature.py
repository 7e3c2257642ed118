"""Curvature: eigenvalues of known matrices, Hessians in closed form, and what --curvature leaves."""

import csv
import functools
import json
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import blobs, silent
from processes import refusal, small

from keras_cl import networks, sources, streams, train
from keras_cl.errors import InputError
from keras_cl.importance.hessian import MeanLoss, Rows
from keras_cl.learning.layers import Dropout
from keras_cl.learning.progress import QUIET
from keras_cl.numerics import eigenvalues
from keras_cl.report import plots
from keras_cl.runs import curvature, provenance, saved_model
from keras_cl.settings.config import Config

# ---- known matrices --------------------------------------------------------------------------------------

solvers = pytest.mark.parametrize("solver", [eigenvalues.power, eigenvalues.lanczos])


def matrix(*spectrum, seed=0):
    """A symmetric matrix with some eigenvalues, and the orthonormal columns that belong to them."""
    size = len(spectrum)
    U = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    return U @ np.diag(spectrum) @ U.T, U


def counted(A):
    """The product with A, and the list of vectors that it was asked for."""
    asked = []

    def product(v):
        asked.append(v)
        return A @ v

    return product, asked


DECAYING = tuple(20 * 0.8**i for i in range(40))


@solvers
@pytest.mark.parametrize(
    ("spectrum", "largest"),
    [
        (DECAYING, DECAYING[:4]),
        ((-9, 5, 3, 1, 0.5), (5, 3, 1, 0.5)),  # the largest magnitude is negative
        ((7, -6, 3, -2, 1), (7, 3, 1, -2)),  # and so it is once the first is taken out
        ((-1, -2, -4, -8), (-1, -2, -4, -8)),
        ((4, 0, 0, 0, 0), (4, 0, 0, 0)),
    ],
    ids=["decaying", "negative", "alternating", "all negative", "rank 1"],
)
def test_the_largest_eigenvalues_of_a_quadratic_are_found(solver, spectrum, largest):
    A, _ = matrix(*spectrum)
    values, vectors = solver(lambda v: A @ v, len(A), 4, seed=3, tol=1e-9, steps=300)
    np.testing.assert_allclose(values, largest, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(vectors @ A, values[:, np.newaxis] * vectors, atol=5e-3)


@solvers
def test_usual_settings_are_good_to_four_digits_and_repeat_themselves(solver):
    A, _ = matrix(*DECAYING)
    (values, _), (again, _) = (solver(lambda v: A @ v, len(A), 2, seed=1) for _ in range(2))
    np.testing.assert_allclose(values, DECAYING[:2], rtol=1e-4)
    np.testing.assert_array_equal(values, again)


def test_lanczos_needs_fewer_products_than_power_iteration():
    A, _ = matrix(*DECAYING)
    spent = {}
    for solver in (eigenvalues.power, eigenvalues.lanczos):
        product, asked = counted(A)
        solver(product, len(A), 3, seed=0)
        spent[solver] = len(asked)
    assert spent[eigenvalues.lanczos] < len(A) < spent[eigenvalues.power]


def test_lanczos_tells_opposite_eigenvalues_apart_and_finds_multiple_ones():
    values, _ = eigenvalues.lanczos(lambda v: np.array([5, -5, 2, 2, 1]) * v, 5, 4, seed=0)
    np.testing.assert_allclose(values, [5, 2, 2, 1], atol=1e-8)
    values, _ = eigenvalues.lanczos(lambda v: 3 * v, 4, 4, seed=0)
    np.testing.assert_allclose(values, [3, 3, 3, 3], atol=1e-8)


def test_a_trace_lies_within_three_standard_errors_and_that_of_a_diagonal_matrix_is_exact():
    A, _ = matrix(*DECAYING)
    mean, error = eigenvalues.trace(lambda v: A @ v, len(A), seed=0, probes=50)
    draws = np.random.default_rng(0).choice([-1.0, 1.0], (10_000, len(A)))
    spread = np.einsum("ni,ij,nj->n", draws, A, draws).std() / np.sqrt(50)
    assert abs(mean - np.trace(A)) <= 3 * error
    assert 0.6 * spread < error < 1.6 * spread  # the standard error is what it says
    assert eigenvalues.trace(lambda v: np.arange(5) * v, 5, seed=0, probes=2) == (10.0, 0.0)


# ---- a quadratic loss: Mirzadeh et al., section 3 --------------------------------------------------------


@pytest.mark.parametrize("spectrum", [DECAYING, (6, 2, -1, -8)], ids=["minimum", "saddle"])
def test_what_is_expected_of_a_quadratic_is_exact_and_the_bound_is_tight_along_the_first_eigenvector(
    spectrum,
):
    A, U = matrix(*spectrum)
    rng = np.random.default_rng(1)
    w, c = rng.normal(size=(2, len(A)))

    def loss(w):
        return (w - c) @ A @ (w - c) / 2

    largest = eigenvalues.lanczos(lambda v: A @ v, len(A), 1, seed=0)[0][0]
    for dw in (*rng.normal(size=(20, len(A))), 3 * U[:, 0]):
        change = curvature.expected(lambda v: A @ v, A @ (w - c), largest, dw)
        assert change["predicted"] + change["gradient_term"] == pytest.approx(
            loss(w + dw) - loss(w), abs=1e-9
        )
        assert change["predicted"] <= change["bound"] * (1 + 1e-9)
    assert change["predicted"] == pytest.approx(change["bound"], rel=1e-6)  # of the last one


# ---- the loss of a network -------------------------------------------------------------------------------

CLASSES, FEATURES = 4, 5
EVERYONE = np.ones(CLASSES, bool)


def chain(*layers, features=FEATURES):
    return keras.Sequential([keras.Input((features,)), *layers])


def some(n, seed=0, features=FEATURES, classes=CLASSES):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, features)).astype(np.float32), rng.integers(classes, size=n)


@pytest.fixture(scope="module")
def smooth():
    """`(network, its loss)`: a small perceptron without kinks."""
    keras.utils.set_random_seed(0)
    network = chain(keras.layers.Dense(6, "tanh"), keras.layers.Dense(CLASSES))
    return network, MeanLoss(network)


def full(loss, rows):
    """The whole Hessian `[P, P]`."""
    return np.array([loss.product(rows, v) for v in np.eye(loss.size)])


def test_the_hessian_of_logistic_regression_is_the_known_one():
    # Of two classes p = sigmoid(z_1 - z_0), so that d2L / dz dz' = p (1 - p) [[1, -1], [-1, 1]].
    keras.utils.set_random_seed(1)
    network = chain(keras.layers.Dense(2, bias_initializer="normal"), features=3)
    x, y = some(20, features=3, classes=2)
    loss = MeanLoss(network)
    z = network(x).numpy().astype(float)
    p = 1 / (1 + np.exp(z[:, 0] - z[:, 1]))
    ones = np.hstack([x, np.ones((20, 1))])  # the bias is a weight of 1, the last one
    of_weights = np.einsum("n,ni,nj->ij", p * (1 - p), ones, ones) / 20
    H = np.kron(of_weights, [[1, -1], [-1, 1]])  # kernels [3, 2] and then biases [2], row by row
    rows = Rows.of(x, y, [True, True], size=8)
    np.testing.assert_allclose(full(loss, rows), H, atol=1e-6)
    values, _ = eigenvalues.lanczos(functools.partial(loss.product, rows), loss.size, 2, seed=0)
    np.testing.assert_allclose(values, 2 * np.linalg.eigvalsh(of_weights)[:-3:-1], rtol=1e-4)


def test_value_gradient_and_product_agree_with_finite_differences(smooth):
    network, loss = smooth
    rows, w, eps = Rows.of(*some(10), EVERYONE, size=4), loss.weights, 3e-2
    rng = np.random.default_rng(2)

    def place(theta):
        parts = np.split(theta, np.cumsum([v.shape.num_elements() for v in network.trainable_variables])[:-1])
        network.set_weights([p.reshape(v.shape) for p, v in zip(parts, network.weights, strict=True)])

    def around(of, v):
        both = []
        for sign in (1, -1):
            place(w + sign * eps * v)
            both.append(of(rows))
        place(w)
        return (both[0] - both[1]) / (2 * eps)

    for v in rng.normal(size=(3, loss.size)):
        v /= np.linalg.norm(v)
        assert loss.gradient(rows) @ v == pytest.approx(around(loss.value, v), abs=2e-4)
        Hv = loss.product(rows, v)
        np.testing.assert_allclose(Hv, around(loss.gradient, v), atol=2e-3 * np.abs(Hv).max())
    np.testing.assert_array_equal(loss.weights, w)


def test_the_hessian_is_symmetric_bounded_by_its_largest_eigenvalue_and_has_the_trace_that_is_estimated(
    smooth,
):
    _, loss = smooth
    rows = Rows.of(*some(10), EVERYONE, size=4)
    H = full(loss, rows)
    np.testing.assert_allclose(H, H.T, atol=1e-6)
    exact = np.linalg.eigvalsh(H)[::-1]
    assert exact[0] > 0 > exact[-1]  # a random network is no minimum
    product = functools.partial(loss.product, rows)
    for solver in (eigenvalues.power, eigenvalues.lanczos):
        np.testing.assert_allclose(solver(product, loss.size, 3, seed=0)[0], exact[:3], rtol=1e-3)
    for dw in np.random.default_rng(3).normal(size=(20, loss.size)):
        assert dw @ product(dw) <= exact[0] * (dw @ dw)
    mean, error = eigenvalues.trace(product, loss.size, seed=0, probes=16)
    assert 0 < abs(mean - np.trace(H)) <= 3 * error


@pytest.mark.parametrize("size", [3, 4, 10, 16])
def test_the_size_of_the_blocks_does_not_matter(smooth, size):
    _, loss = smooth
    x, y = some(10)
    rows, whole = Rows.of(x, y, EVERYONE, size=size), Rows.of(x, y, EVERYONE, size=10)
    v = np.random.default_rng(0).normal(size=loss.size)
    assert loss.value(rows) == pytest.approx(loss.value(whole), rel=1e-6)
    np.testing.assert_allclose(loss.gradient(rows), loss.gradient(whole), atol=1e-6)
    np.testing.assert_allclose(loss.product(rows, v), loss.product(whole, v), atol=1e-6)
    # The mean over blocks of their means, a known fault, counts the two rows of the last block twice.
    parts = [Rows.of(x[i : i + 4], y[i : i + 4], EVERYONE, size=4) for i in (0, 4, 8)]
    faulty = np.mean([loss.product(part, v) for part in parts], axis=0)
    assert np.abs(faulty - loss.product(rows, v)).max() > 0.02 * np.abs(faulty).max()


def test_a_loss_is_traced_once_for_tasks_of_any_length_and_follows_the_weights():
    keras.utils.set_random_seed(0)
    network = chain(keras.layers.Dense(CLASSES))
    loss, found = MeanLoss(network), []
    for n, mask in ((10, EVERYONE), (3, [True, True, False, False]), (9, EVERYONE)):
        x, y = some(n, classes=2)
        rows = Rows.of(x, y.astype(np.int64 if n == 3 else np.uint8), mask, task=n, size=4)
        for _ in range(2):
            v = loss.weights
            found.append((loss.value(rows), loss.gradient(rows) @ v, loss.product(rows, v) @ v))
            network.set_weights([0.5 * value for value in network.get_weights()])
    assert len({round(number, 7) for one in found for number in one}) == 18
    traced = [one.experimental_get_tracing_count() for one in (loss._loss, loss._slope, loss._product)]
    assert traced == [1, 1, 1]


def test_dropout_and_batch_statistics_are_off_penalties_do_not_count_and_nothing_in_the_network_moves():
    keras.utils.set_random_seed(0)
    decay = keras.regularizers.L2(1.0)
    first, last = keras.layers.Dense(6, "tanh", kernel_regularizer=decay), keras.layers.Dense(CLASSES)
    norm = keras.layers.BatchNormalization()
    noisy = chain(first, norm, Dropout(0.5), keras.layers.Dropout(0.5), last)
    rng = np.random.default_rng(0)
    norm.set_weights([rng.uniform(0.5, 2, 6) for _ in range(4)])
    gamma, beta, mean, variance = (tf.constant(value) for value in norm.get_weights())
    scale = gamma / tf.sqrt(variance + norm.epsilon)
    plain = chain(first, keras.layers.Lambda(lambda h: (h - mean) * scale + beta), last)
    noisy_loss, loss = MeanLoss(noisy), MeanLoss(plain)
    rows, before = Rows.of(*some(10), EVERYONE, size=4), noisy.get_weights()
    v = rng.normal(size=noisy_loss.size)
    v[36:48] = 0  # gamma and beta, which the plain network does not have
    without = np.delete(v, slice(36, 48))
    assert noisy_loss.value(rows) == pytest.approx(loss.value(rows), rel=1e-5)
    Hv = np.delete(noisy_loss.product(rows, v), slice(36, 48))
    np.testing.assert_allclose(Hv, loss.product(rows, without), atol=1e-5)
    for now, old in zip(noisy.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, old)


def test_classes_that_may_not_answer_do_not_count(smooth):
    network, loss = smooth
    x, y = some(10, classes=2)
    mask = np.array([True, True, False, False])
    hidden, last = network.layers
    two = chain(hidden, keras.layers.Dense(2))
    two.layers[1].set_weights([values[..., :2] for values in last.get_weights()])
    alone = MeanLoss(two)
    rows = Rows.of(x, y, mask, size=4)
    assert loss.value(rows) == pytest.approx(alone.value(Rows.of(x, y, mask[:2], size=4)), rel=1e-5)
    kept = np.ones(loss.size, bool)
    kept[36:60] = np.tile(mask, 6)
    kept[60:] = mask
    H = full(loss, rows)
    assert not H[~kept].any() and not H[:, ~kept].any()
    expected = full(alone, Rows.of(x, y, mask[:2], size=4))
    np.testing.assert_allclose(H[np.ix_(kept, kept)], expected, atol=1e-6)


def test_a_network_that_asks_for_the_task_is_told_it():
    images, task = keras.Input((FEATURES,)), keras.Input((), dtype=tf.int32)
    own = keras.layers.Lambda(lambda pair: pair[0] * tf.cast(pair[1], tf.float32)[:, tf.newaxis])(
        [images, task]
    )
    loss = MeanLoss(keras.Model([images, task], keras.layers.Dense(CLASSES)(own)))
    x, y = some(6)
    v = np.random.default_rng(0).normal(size=loss.size)

    def product(x, task):
        return loss.product(Rows.of(x, y, EVERYONE, task, size=4), v)

    np.testing.assert_allclose(product(x, 2), product(2 * x, 1), atol=1e-6)
    assert np.abs(product(x, 2) - product(x, 1)).max() > 0.01


# ---- along a stream --------------------------------------------------------------------------------------

TASKS = 3


@pytest.fixture(scope="module")
def wandering():
    """Function of a scenario that gives `(stream, network, states)`: weights after each of three tasks."""

    def made(scenario):
        arrays = blobs((12, 15, 20, 13, 30, 11))
        source = sources.from_arrays(
            *(arrays[f"{axis}_{part}"] for part in ("train", "test") for axis in "xy")
        )
        stream = streams.split(source, tasks=TASKS, scenario=scenario)
        network = networks.mlp(stream, hidden=(5,))
        rng, states = np.random.default_rng(0), [network.get_weights()]
        for _ in range(TASKS):
            states.append([value + 0.3 * rng.normal(size=value.shape) for value in states[-1]])
        return stream, network, states[1:]

    return functools.cache(made)


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_every_number_is_that_of_the_rows_and_weights_of_its_task(wandering, scenario):
    stream, network, states = wandering(scenario)
    records = list(curvature.measure(network, stream, states, eigenvalues=2, rows=1000, seed=0))

    def loss_of(task, state):
        network.set_weights(state)
        x, y = task.train.open()
        z = network(x.astype(np.float32)).numpy().astype(float)
        z[:, ~stream.class_mask[task.index]] = -np.inf
        return np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y])

    flat = [np.concatenate([value.ravel() for value in state]).astype(float) for state in states]
    for t, record in enumerate(records):
        L = loss_of(stream[t], states[t])
        assert (record["task"], record["rows"]) == (t + 1, len(stream[t].train))
        assert record["loss"] == pytest.approx(L, rel=1e-4)
        assert record["weight_norm"] == pytest.approx(np.linalg.norm(flat[t]), rel=1e-4)
        assert record["eigenvalue_1"] >= record["eigenvalue_2"]
        assert record["residual"] <= 1e-3 * record["eigenvalue_1"]
        if t + 1 < TASKS:
            way = np.linalg.norm(flat[t + 1] - flat[t])
            assert record["distance"] == pytest.approx(way, rel=1e-4)
            assert record["relative_distance"] == pytest.approx(way / np.linalg.norm(flat[t]), rel=1e-4)
            assert record["forgetting"] == pytest.approx(loss_of(stream[t], states[t + 1]) - L, abs=1e-4)
            assert record["bound"] == pytest.approx(record["eigenvalue_1"] * way**2 / 2, rel=1e-4)
            assert record["predicted"] <= record["bound"]
        if t:
            F = loss_of(stream[0], states[t]) - loss_of(stream[0], states[0])
            assert record["task_1_forgetting"] == pytest.approx(F, abs=1e-4)
    nothing = {name for name, value in records[-1].items() if value is None}
    of_next = {"predicted", "gradient_term", "bound", "forgetting"}
    assert nothing == {"distance", "relative_distance", *of_next}
    assert all(records[0][f"task_1_{name}"] is None for name in of_next)
    assert all(records[1][f"task_1_{name}"] == records[0][name] for name in of_next)


def test_the_residual_tells_how_far_from_true_eigenvalues_a_search_stopped():
    true = np.arange(2000.0)  # so close to each other that 100 products do not find them
    phase = functools.partial(curvature._phase, QUIET, 1, lambda v: true * v)
    found = curvature._spectrum(phase, len(true), 3, seed=0)
    away = [np.abs(found[f"eigenvalue_{i}"] - true).min() for i in (1, 2, 3)]
    assert 1e-3 < max(away) <= found["residual"] < 100


def test_a_small_step_does_to_the_loss_what_gradient_and_curvature_predict(wandering):
    stream, _, _ = wandering("task")
    keras.utils.set_random_seed(0)
    layers = keras.layers  # without kinks, which no Hessian sees
    smooth = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(5, "tanh")]
    network = keras.Sequential([keras.Input(stream.input_shape), *smooth, layers.Dense(stream.num_classes)])
    w, rng = network.get_weights(), np.random.default_rng(0)
    states = [w, [value + 0.01 * rng.normal(size=value.shape) for value in w]]
    first, second = curvature.measure(network, stream[:2], states, eigenvalues=1, rows=1000, seed=0)
    beyond = first["forgetting"] - first["gradient_term"]  # what the gradient does not explain
    assert first["predicted"] == pytest.approx(beyond, rel=0.1) and abs(beyond) > 1e-5
    assert "eigenvalue_2" not in first and second["distance"] is None


def test_rows_are_drawn_by_the_seed_and_are_the_same_for_all_that_is_said_of_a_task(wandering):
    stream, network, states = wandering("class")

    def measured(states, seed):
        return list(curvature.measure(network, stream[:2], states[:2], eigenvalues=1, rows=9, seed=seed))

    records, others = measured(states, 0), measured(states, 1)
    assert records == measured(states, 0)
    assert [record["rows"] for record in records] == [9, 9]
    assert all(one["loss"] != other["loss"] for one, other in zip(records, others, strict=True))
    still = measured([states[0]] * 2, 0)
    assert still[0]["forgetting"] == still[0]["distance"] == still[0]["bound"] == 0.0


# ---- a run -----------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Runs without what takes time and is not in question: SavedModels and the other figures."""
    monkeypatch.setattr(saved_model, "export", lambda model, task, folder, said: describe(folder, said))
    for plot in (plots.matrix, plots.tasks):
        monkeypatch.setattr(plot, "applies", lambda groups: False)


def describe(folder, description):
    (folder / saved_model.DESCRIPTION).write_text(json.dumps(description))


def records_of(config, part=""):
    with open(config.directory / part / "curvature.csv", newline="") as file:
        return list(csv.DictReader(file))


def fails(*_, **__):
    raise AssertionError("something was measured or trained again")


def test_a_run_measures_its_checkpoints_whenever_it_is_asked_to(tmp_path, quick, monkeypatch):
    settings = {"options": {"network.hidden": (8,), "network.dropout": 0.2}}
    plain = small(tmp_path / "one", **settings)
    train.run(plain, display=silent())
    assert not list(plain.directory.glob("curvature*"))
    before = {
        name: (plain.directory / name).read_bytes() for name in ("summary.json", "config.json", "matrix.csv")
    }

    # A finished run is measured and nothing else: no training, no other number.
    asked = small(tmp_path / "one", curvature=2, curvature_rows=300, **settings)
    with monkeypatch.context() as patch:
        patch.setattr("keras_cl.runs.learn._fit", fails)
        train.run(asked, display=silent())
    assert {name: (plain.directory / name).read_bytes() for name in before} == before
    records = records_of(asked)
    assert [(r["task"], r["rows"]) for r in records] == [("1", "300"), ("2", "300")]
    assert "eigenvalue_2" in records[0] and "eigenvalue_3" not in records[0]
    assert records[0]["task_1_bound"] == "" and float(records[1]["task_1_bound"]) > 0
    assert (asked.directory / "curvature.png").read_bytes().startswith(b"\x89PNG")
    assert "curvature of task 2: largest eigenvalue" in (asked.directory / "log.txt").read_text()

    # The same command has it already; another one measures anew; without the flag the file stays.
    with monkeypatch.context() as patch:
        patch.setattr(curvature, "measure", fails)
        train.run(asked, display=silent())
        train.run(plain, display=silent())
    train.run(small(tmp_path / "one", curvature=1, curvature_rows=300, **settings), display=silent())
    assert "eigenvalue_2" not in records_of(asked)[0]

    # A run that was stopped goes on and measures what the whole run would; several seeds have a file each.
    several = small(tmp_path / "two", seeds=(0, 1), curvature=2, curvature_rows=300, **settings)
    stopped = several.directory / "seed_0"
    shutil.copytree(plain.directory, stopped)
    for name in ("DONE", "curvature.csv", "curvature.png", "summary.json"):
        (stopped / name).unlink()
    shutil.rmtree(stopped / "checkpoints" / "task_002")
    about = {"settings": several.settings, **provenance.about()}
    (several.directory / "config.json").write_text(json.dumps(about))  # without which the folder is not ours
    train.run(several, display=silent())
    assert records_of(several, "seed_0") == records != records_of(several, "seed_1")
    assert all((several.directory / f"seed_{n}" / "curvature.png").exists() for n in (0, 1))
    assert not (several.directory / "curvature.csv").exists()


# ---- what makes no sense ---------------------------------------------------------------------------------


def test_a_method_whose_network_has_no_hessian_is_refused_before_data_are_read(monkeypatch):
    monkeypatch.setattr(train, "check", fails)
    assert refusal("--method=hat", "--stream=split", "--curvature=2", "--run_dir=none") == (
        "--curvature is for networks whose answers are logits; that of hat has gates whose gradient is not "
        "that of the loss."
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"method": "icarl"}, "that of icarl answers by distances to means."),
        (
            {"method": "generative_classifier"},
            "that of generative_classifier answers by the likelihood of imag",
        ),
        ({"method": "joint", "options": {"method.offline": True}}, "joint --method.offline learns but once."),
        ({"precision": "mixed_bfloat16"}, "is measured in float32, and --precision is mixed_bfloat16."),
        ({"curvature": 9}, "--curvature is 9 and the network has 8 weights, and no more eigenvalues."),
    ],
    ids=["icarl", "generative_classifier", "offline", "precision", "weights"],
)
def test_what_cannot_be_measured_is_refused(given, sentence):
    config = Config(**{"method": "finetune", "stream": "split", "scenario": "class", "curvature": 8, **given})
    network = types.SimpleNamespace(trainable_variables=[tf.zeros([2, 3]), tf.zeros(2)])
    with pytest.raises(InputError) as error:
        curvature.check(config, network)
    assert sentence in str(error.value) and "\n" not in str(error.value)
    curvature.check(Config(**{**config.__dict__, "curvature": 0}), network)
