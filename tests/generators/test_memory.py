"""A generator as a memory: copies, labels, weights, what a method learns from it, and what is refused."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same, blobs, learn

from keras_cl.errors import Diverged, InputError
from keras_cl.generators.drawn import Drawn
from keras_cl.learning.batches import Batch
from keras_cl.learning.layers import ROWS_AT_ONCE
from keras_cl.memories import VAEMemory
from keras_cl.runs.history import EpochHistory
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import SCENARIOS, Config
from keras_cl.streams.base import Stream

pytestmark = pytest.mark.usefixtures("any_order")

B, STEPS = 4, 3  # of a task
SIDE = 4
OWN = {"memory.hidden": (8,), "memory.latent": 2}
METHODS = [("dgr", 0), ("dgr", 2), ("rtf", 0), ("generative_replay", 2), ("ewc", 0)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs([5] * 6, side=SIDE))
    return str(path)


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "floats.npz"
    arrays = blobs([5] * 6, side=SIDE, dtype=np.float32)
    arrays["x_train"][3, 0, 0], arrays["x_train"][5, 1, 1] = -1.5, 3.0
    np.savez(path, **arrays)
    return str(path)


def settings(dataset, method="dgr", *, options=None, **given):
    """Three tasks of two classes of 5 rows: the last of three batches has two rows."""
    given = {"memory": "vae" if method == "ewc" else "", **given}
    own = {} if method in ("rtf", "finetune") else OWN
    own = own | {"method.images": 12} if method == "generative_replay" else own
    fixed = {"stream": "split", "scenario": "class", "tasks": 3, "batch_size": B, "jit": "off"}
    options = {"network.hidden": (6,)} | own | (options or {})
    return Config(method=method, dataset=dataset, options=options, **{**fixed, **given})


def made(config, eagerly=True):
    model = make_model(config, make_stream(config), seed=0)
    model.run_eagerly = eagerly
    return model


def learned(config, tasks=3, **options):
    model = made(config, **options)
    for _ in learn(model, make_stream(config)[:tasks], batch_size=B):
        pass
    return model


@functools.cache
def untrained(dataset, method, scenario, options):
    return made(settings(dataset, method, scenario=scenario, options=dict(options)))


def at_task(t, dataset, method="dgr", *, scenario="class", options=None):
    """A model of random weights, and its random copies, that begins task t."""
    model = untrained(dataset, method, scenario, tuple((options or {}).items()))
    rng = np.random.default_rng(1)
    for part in (model.network, model.memory.generator):
        part.set_weights([randomised(weight, rng) for weight in part.get_weights()])
    model.memory._copy_solver()
    model.memory._copy_pixels()
    model.begin_task(make_stream(settings(dataset, scenario=scenario))[t - 1])
    return model


def randomised(weight, rng):
    large = weight.dtype == np.float32 and weight.ndim
    return rng.normal(size=weight.shape).astype(np.float32) if large else weight


def begun(t, dataset, **memory):
    """The memory of a model that begins task t."""
    scenario = memory.pop("scenario", "class")
    options = {f"memory.{name}": value for name, value in memory.items()}
    return at_task(t, dataset, scenario=scenario, options=options).memory


def batch_of(t, R=B, weight=(1, 1, 1, 1), scenario="class", seed=2):
    """B rows of task t and room for R generated ones."""
    rng = np.random.default_rng(seed)
    first = 0 if scenario == "domain" else 2 * (t - 1)
    return Batch(
        tf.constant(rng.uniform(0, 255, (B, SIDE, SIDE, 1)), tf.uint8),
        tf.constant(first + rng.integers(0, 2, B), tf.int32),
        tf.fill([B], t - 1),
        tf.constant(weight, tf.float32),
        drawn=tf.fill([R], -1) if R else None,
    )


def old_units(stream, tasks):
    return np.flatnonzero((stream.labels[:tasks] >= 0).any(axis=0)).tolist()


def weights_of(model):
    """What is learned, and averages over batches."""
    return [v.numpy() for v in model.variables if "total" not in v.name and v.dtype == tf.float32]


def moved(before, after):
    return any(np.abs(one - other).max() > 1e-5 for one, other in zip(before, after, strict=True))


# ---- a stream of tasks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_first_task_has_no_generated_rows_and_later_ones_do(dataset, scenario):
    model, sizes = made(settings(dataset, scenario=scenario)), []
    stream, mixed = make_stream(settings(dataset, scenario=scenario)), model.memory.mixed

    def watched(batch):
        sizes.append((batch.drawn is None, *map(len, mixed(batch)[:4])))
        return mixed(batch)

    model.memory.mixed = watched
    for _ in learn(model, stream[:2], batch_size=B):
        pass
    assert sizes == [(True, *[B] * 4)] * STEPS + [(False, *[2 * B] * 4)] * STEPS


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("dgr", {}),
        ("dgr_distill", {"memory.weighting": "mean"}),
        ("generative_replay", {}),
    ],
)
def test_the_first_task_is_that_of_fine_tuning_bit_for_bit(dataset, method, options):
    network = learned(settings(dataset, method, options=options), tasks=1).network
    plain = learned(settings(dataset, "finetune"), tasks=1).network
    assert_same(network.get_weights(), plain.get_weights())


def test_with_all_weight_on_current_rows_every_task_is_that_of_fine_tuning(dataset):
    options = {"memory.weighting": "constant", "memory.current": 1.0}
    given = {"optimizer": "sgd", "learning_rate": 0.1}
    found = learned(settings(dataset, options=options, **given)).network.get_weights()
    plain = learned(settings(dataset, "finetune", **given)).network.get_weights()
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("method", "epochs", "options"),
    [
        *((method, epochs, {}) for method, epochs in METHODS if method != "ewc"),
        ("dgr_distill", 0, {"network.batch_norm": True, "network.dropout": 0.5}),
    ],
)
@pytest.mark.slow
def test_copies_do_not_change_while_a_task_is_learned(dataset, method, epochs, options):
    own = {} if method == "rtf" else {"memory.epochs": epochs}
    model = learned(settings(dataset, method, options=own | options), tasks=1)
    memory, task = model.memory, make_stream(settings(dataset, method))[1]
    copies = [weights_of(memory.solver), weights_of(memory.pixels)]
    for copy, original in zip(copies, (model.network, memory.generator.pixels), strict=True):
        assert_same(sorted(copy, key=np.sum), sorted(weights_of(original), key=np.sum))
    before = [weights_of(model.network), weights_of(memory.generator)]
    model.begin_task(task)
    model.fit(model.batches(task, B), verbose=0)
    for copy, now in zip(copies, (memory.solver, memory.pixels), strict=True):
        assert_same(copy, weights_of(now))
    assert moved(before[0], weights_of(model.network))
    assert moved(before[1], weights_of(memory.generator)) == (not epochs)
    model.end_task(task)
    assert moved(before[1], weights_of(memory.generator))
    assert moved(copies[0], weights_of(memory.solver))
    assert moved(copies[1], weights_of(memory.pixels))


@pytest.mark.parametrize("method", ["dgr", "rtf"])
def test_copies_are_never_trained(dataset, method):
    model = at_task(2, dataset, method)
    copies = {id(v) for copy in (model.memory.solver, model.memory.pixels) for v in copy.variables}
    assert not model.memory.solver.trainable_variables and not model.memory.pixels.trainable_variables
    learning = [*model.trained, *model.memory.generator.trainable_variables]
    assert not copies & {id(variable) for variable in learning}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("method", "epochs"), METHODS)
@pytest.mark.slow
def test_every_method_learns_and_never_reads_rows_of_earlier_tasks(dataset, method, epochs, monkeypatch):
    config = settings(dataset, method, options={} if method == "rtf" else {"memory.epochs": epochs})
    model, stream, opened, now = made(config), make_stream(config), Stream._open, []

    def guarded(self, index, part, rows):
        assert index == now[-1] and part == "train", f"task {index} was read in task {now[-1]}"
        return opened(self, index, part, rows)

    monkeypatch.setattr(Stream, "_open", guarded)
    for index in range(2):
        now.append(index)
        for _ in learn(model, stream[index : index + 1], batch_size=B):
            pass
    with pytest.raises(AssertionError, match="was read"):
        stream[0].train.open()
    assert len(model.memory) == 0
    for part in (model.network, model.memory.generator, model.memory.pixels):
        assert all(np.isfinite(weight).all() for weight in part.get_weights())


@pytest.mark.usefixtures("eagerly")
def test_a_generator_with_epochs_of_its_own_learns_when_the_task_ends(dataset):
    config = settings(dataset, options={"memory.epochs": 2})
    model, stream = made(config), make_stream(config)
    generator = model.memory.generator
    assert [metric.name for metric in model.metrics] == ["loss", "accuracy"]
    for task in stream[:2]:
        before = weights_of(generator)
        model.begin_task(task)
        model.fit(model.batches(task, B), epochs=3, verbose=0)
        assert_same(before, weights_of(generator))
        assert int(generator.state[1]) == 0
        model.end_task(task)
        assert moved(before, weights_of(generator))
        assert int(generator.state[1]) == 2 * STEPS


def test_a_generator_without_epochs_of_its_own_shows_its_loss_beside_the_methods(dataset):
    model, stream = made(settings(dataset)), make_stream(settings(dataset))
    model.begin_task(stream[0])
    history = model.fit(model.batches(stream[0], B), verbose=0).history
    assert list(history) == ["loss", "accuracy", "generator_loss"]
    assert 0 < history["generator_loss"][0] < 100


# ---- independence of network and generator -----------------------------------------------------------------


@pytest.mark.usefixtures("eagerly")
@pytest.mark.slow
def test_when_the_generator_learns_does_not_change_what_the_network_learns(dataset):
    """In its own epochs or beside the network: only the copies count."""
    beside, alone = (learned(settings(dataset, options={"memory.epochs": n}), tasks=1) for n in (0, 2))
    assert_same(beside.network.get_weights(), alone.network.get_weights())
    alone.memory.pixels.set_weights(beside.memory.pixels.get_weights())
    for model in (beside, alone):
        for _ in learn(model, make_stream(settings(dataset))[1:2], batch_size=B):
            pass
    assert_same(beside.network.get_weights(), alone.network.get_weights())


@pytest.mark.usefixtures("eagerly")
def test_the_generator_does_not_see_what_the_network_learns_in_the_same_task(dataset):
    config, generators = settings(dataset), []
    for rate in (1e-3, 1e-1):
        model = learned(config, tasks=1)
        model.optimizer.learning_rate = rate
        for _ in learn(model, make_stream(config)[1:2], batch_size=B):
            pass
        generators.append([v.numpy() for v in model.memory.generator.trainable_variables])
    assert_same(*generators)


# ---- what is generated -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("conditional", [False, True])
def test_generated_rows_are_labelled_with_classes_of_finished_tasks(dataset, scenario, conditional):
    memory = begun(3, dataset, scenario=scenario, conditional=conditional)
    stream = make_stream(settings(dataset, scenario=scenario))
    for tasks in (1, 2, 3):
        x, y, task = memory.generated(500, 1, tasks)
        assert x.shape == (500, SIDE, SIDE, 1) and x.dtype == np.float32
        assert 0 < x.min() < 60 and 200 < x.max() < 255
        assert set(task.tolist()) <= set(range(tasks))
        assert len(set(y.tolist())) > 1
        assert set(y.tolist()) <= set(old_units(stream, tasks))
        if scenario == "task":
            np.testing.assert_array_equal(task, y // 2)


def hard_labels(memory, stream, x, task, tasks):
    logits = memory.solver(x).numpy()
    known = stream.class_mask[task] if stream.scenario == "task" else stream.class_mask[[tasks - 1] * len(x)]
    return np.where(known, logits, -np.inf)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("conditional", [False, True])
def test_hard_labels_are_the_likeliest_old_classes_of_the_network_before(dataset, scenario, conditional):
    model = at_task(3, dataset, scenario=scenario, options={"memory.conditional": conditional})
    memory, stream = model.memory, make_stream(settings(dataset, scenario=scenario))
    model.network.set_weights([np.zeros_like(w) for w in model.network.get_weights()])  # it does not matter
    x, y, task = memory.generated(300, 1, 2)
    np.testing.assert_array_equal(y, hard_labels(memory, stream, x, task, 2).argmax(axis=1))


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_soft_labels_are_the_probabilities_of_old_classes(dataset, scenario, temperature):
    memory = begun(3, dataset, scenario=scenario, labels="soft", temperature=temperature)
    stream = make_stream(settings(dataset, scenario=scenario))
    batch = memory.mixed(batch_of(3, R=50, scenario=scenario))
    x, task, target = batch.x[B:].numpy(), batch.task[B:].numpy(), batch.target.numpy()
    logits = hard_labels(memory, stream, x, task, 2).astype(float) / temperature
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(target, p / p.sum(axis=1, keepdims=True), rtol=0, atol=1e-4)
    np.testing.assert_allclose(target.sum(axis=1), 1, rtol=0, atol=1e-6)
    assert not target[np.isneginf(logits)].any()
    assert np.isneginf(logits).any() == (scenario != "domain")
    np.testing.assert_array_equal(batch.y[B:], target.argmax(axis=1))


def test_labels_that_are_not_soft_have_no_probabilities(dataset):
    assert begun(2, dataset).mixed(batch_of(2)).target is None


def test_generated_rows_depend_on_the_seed_alone(dataset):
    memory = begun(2, dataset)
    one, again, other = (memory.generated(40, seed, 1) for seed in (3, 3, 4))
    assert_same(one, again)
    assert np.abs(one[0] - other[0]).max() > 1
    assert len(np.unique(one[0].reshape(40, -1), axis=0)) == 40
    assert int(memory.state[1]) == 0  # what a step draws is drawn as before


def test_the_same_rows_are_generated_with_and_without_a_compiler(dataset):
    memory = begun(3, dataset, scenario="task", conditional=True)
    found = tf.function(memory._drawn, jit_compile=True)(30, *map(tf.constant, (3, 0, 2)))
    for one, other in zip(found, memory.generated(30, 3, 2), strict=False):
        np.testing.assert_allclose(one, other, rtol=0, atol=0.01)


def test_any_number_of_rows_can_be_generated(dataset):
    memory = begun(2, dataset)
    assert [len(part) for part in memory.generated(0, 1, 1)] == [0, 0, 0]
    many = memory.generated(ROWS_AT_ONCE + 5, 1, 1)
    assert [len(part) for part in many] == [ROWS_AT_ONCE + 5] * 3
    assert len(np.unique(many[0].reshape(ROWS_AT_ONCE + 5, -1), axis=0)) > ROWS_AT_ONCE


def test_each_step_generates_other_rows_and_a_task_begun_again_the_same_ones(dataset):
    model = at_task(2, dataset)
    first, second = (model.memory.mixed(batch_of(2)).x[B:].numpy() for _ in range(2))
    assert np.abs(first - second).max() > 1
    stream = make_stream(settings(dataset))
    model.begin_task(stream[1])
    np.testing.assert_array_equal(model.memory.mixed(batch_of(2)).x[B:], first)
    model.begin_task(stream[2])
    assert np.abs(model.memory.mixed(batch_of(3)).x[B:] - first).max() > 1


def test_generated_rows_stand_behind_those_of_the_task(dataset):
    batch = batch_of(2)
    mixed = begun(2, dataset).mixed(batch)
    for part in ("x", "y", "task"):
        np.testing.assert_array_equal(getattr(mixed.current, part), getattr(batch, part))
    assert set(mixed.replayed().y.numpy()) <= {0, 1}
    assert not mixed.replayed().task.numpy().any()


# ---- generators that are asked for a class -----------------------------------------------------------------


def evenly(values, possible):
    counts = np.bincount(values, minlength=max(possible) + 1)
    share = 1 / len(possible)
    spread = 4 * np.sqrt(len(values) * share * (1 - share))
    assert counts.sum() == counts[possible].sum()
    assert (np.abs(counts[possible] - len(values) * share) <= spread).all()


@pytest.mark.parametrize("scenario", ["task", "class"])
def test_conditional_generators_draw_each_old_class_as_often(dataset, scenario):
    memory = begun(3, dataset, scenario=scenario, conditional=True, labels="condition")
    stream = make_stream(settings(dataset, scenario=scenario))
    for tasks in (1, 2, 3):
        _, y, task = memory.generated(2000, 5, tasks)
        evenly(y, old_units(stream, tasks))
        np.testing.assert_array_equal(task, y // 2)
        assert memory.conditions(tasks) == old_units(stream, tasks)


@pytest.mark.parametrize(("scenario", "conditional"), [("domain", True), ("domain", False), ("task", False)])
def test_where_rows_belong_to_a_task_each_old_task_is_drawn_as_often(dataset, scenario, conditional):
    memory = begun(3, dataset, scenario=scenario, conditional=conditional)
    for tasks in (1, 2, 3):
        _, _, task = memory.generated(2000, 5, tasks)
        evenly(task, list(range(tasks)))
        assert memory.conditions(tasks) == (list(range(tasks)) if conditional else [])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_image_is_one_of_the_class_that_was_asked_for(dataset, scenario):
    """The decoder lights the pixel with the number of its condition, whatever the code."""
    labels = "hard" if scenario == "domain" else "condition"
    memory = begun(3, dataset, scenario=scenario, conditional=True, labels=labels, hidden=())
    kernel, bias = (np.full_like(weight, 0) for weight in memory.pixels.get_weights())
    latent = 2
    kernel[latent:] = 20 * np.eye(len(kernel) - latent, SIDE * SIDE) - 10
    memory.pixels.set_weights([kernel, bias])
    x, y, task = memory.generated(100, 1, 2)
    lit = x.reshape(100, -1).argmax(axis=1)
    np.testing.assert_array_equal(lit, task if scenario == "domain" else y)
    assert len(set(lit.tolist())) == (2 if scenario == "domain" else 4)


@pytest.mark.parametrize(
    ("scenario", "labels"), [("task", "soft"), ("domain", "hard"), ("class", "condition")]
)
@pytest.mark.slow
def test_a_conditional_generator_learns_in_every_scenario(dataset, scenario, labels):
    options = {"memory.conditional": True, "memory.labels": labels}
    model = learned(settings(dataset, scenario=scenario, options=options), tasks=2)
    assert all(np.isfinite(weight).all() for weight in model.memory.generator.get_weights())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_conditional_generator_learns_rows_under_their_class_or_their_task(dataset, scenario, monkeypatch):
    model = at_task(3, dataset, scenario=scenario, options={"memory.conditional": True})
    asked = []
    monkeypatch.setattr(model.memory.generator, "train_step", lambda batch: asked.append(batch.y.numpy()))
    batch = model.memory.mixed(batch_of(3, scenario=scenario))
    model.memory.learn(batch)
    np.testing.assert_array_equal(asked[0], batch.task if scenario == "domain" else batch.y)


# ---- weights and the loss ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({}, lambda t: (1 / t, 1 - 1 / t)),
        ({"weighting": "constant", "current": 0.3}, lambda t: (0.3, 0.7)),
        ({"weighting": "constant", "current": 1.0}, lambda t: (1.0, 0.0)),
        ({"weighting": "mean"}, lambda t: (4, 6)),
    ],
)
def test_current_and_generated_rows_have_their_shares(dataset, options, shares):
    memory = begun(2, dataset, **options)
    for t in (2, 3):
        memory.begin(make_stream(settings(dataset))[t - 1])
        weight = memory.mixed(batch_of(t, R=6)).weight.numpy()
        assert (weight[:B].sum(), weight[B:].sum()) == pytest.approx(shares(t), abs=1e-6)
        assert np.ptp(weight[:B]) == np.ptp(weight[B:]) == 0


@pytest.mark.parametrize("weighting", ["share", "constant", "mean"])
def test_a_batch_that_is_half_full_has_half_the_generated_rows(dataset, weighting):
    memory = begun(2, dataset, weighting=weighting)
    for R, there in [(4, 2), (6, 3), (3, 2), (2, 1)]:
        mixed = memory.mixed(batch_of(2, R=R, weight=(1, 1, 0, 0))).weight.numpy()
        assert np.count_nonzero(mixed[:2]) == 2 and not mixed[2:B].any()
        assert np.count_nonzero(mixed[B : B + there]) == there and not mixed[B + there :].any()
        if weighting != "mean":
            assert (mixed[:B].sum(), mixed[B:].sum()) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    ("weighting", "scenario", "t"),
    [(weighting, "class", t) for weighting in ("share", "constant", "mean") for t in (2, 3)]
    + [("share", "task", 3), ("share", "domain", 3)],
)
def test_if_the_rows_themselves_were_generated_the_loss_would_not_change(
    dataset, scenario, weighting, t, monkeypatch
):
    options = {"memory.weighting": weighting, "memory.current": 0.3}
    model, batch = at_task(t, dataset, scenario=scenario, options=options), batch_of(t, scenario=scenario)
    again = Drawn(tf.cast(batch.x, tf.float32), batch.y, batch.task, None, None, None)
    monkeypatch.setattr(model.memory, "_drawn", lambda *_: again)
    losses = [
        float(model.task_loss(part, model.logits(part)))
        for part in (model.memory.mixed(batch), batch._replace(drawn=None))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("method", ["dgr", "dgr_distill"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_loss_is_the_weighted_sum_of_its_parts(dataset, method, scenario):
    model = at_task(3, dataset, method, scenario=scenario)
    batch = model.memory.mixed(batch_of(3, weight=(1, 1, 1, 0), scenario=scenario))
    logits = model.logits(batch)
    h, y = logits.numpy().astype(float), batch.y.numpy()

    def log_softmax(h):
        return h - np.logaddexp.reduce(h, axis=1, keepdims=True)

    entropy = -log_softmax(h)[np.arange(len(y)), y]
    if method == "dgr_distill":
        q = batch.target.numpy().astype(float)
        entropy[B:] = -4 * np.where(q > 0, q * log_softmax(h[B:] / 2), 0).sum(axis=1)
    expected = entropy[:3].mean() / 3 + 2 / 3 * entropy[B : B + 3].mean()
    assert float(model.task_loss(batch, logits)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("scale_by_t2", "golden"), [(False, 0.9580201), (True, 3.8320803)])
def test_the_entropy_of_soft_labels_is_the_known_number(dataset, scale_by_t2, golden):
    memory = begun(2, dataset, labels="soft", temperature=2.0, scale_by_t2=scale_by_t2)
    q = tf.nn.softmax(tf.constant([[2.0, 0.0, -1e9]]) / 2)
    np.testing.assert_allclose(q, [[0.7310586, 0.2689414, 0.0]], rtol=0, atol=1e-6)
    np.testing.assert_allclose(memory.entropy(q, tf.constant([[1.0, 1.0, 0.0]])), [golden], rtol=1e-6)


def test_the_entropy_and_its_gradient_are_finite_where_a_class_may_not_answer(dataset):
    memory = begun(2, dataset, labels="soft")
    q, z = tf.constant([[0.7, 0.3, 0.0]]), tf.constant([[1.0, 2.0, -1e9]])
    with tf.GradientTape() as tape:
        tape.watch(z)
        entropy = memory.entropy(q, z)
    p = np.exp([0.5, 1.0]) / np.exp([0.5, 1.0]).sum()
    np.testing.assert_allclose(entropy, [-4 * (q.numpy()[0, :2] * np.log(p)).sum()], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(entropy, z), [[*2 * (p - [0.7, 0.3]), 0]], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("labels", "still"), [("soft", True), ("hard", False)])
@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_soft_labels_of_the_network_itself_teach_it_nothing(dataset, scenario, labels, still):
    """The network and its copy are the same when a task begins; only the generated rows have weight."""
    options = {"memory.labels": labels, "memory.weighting": "constant", "memory.current": 0.0}
    model = at_task(2, dataset, scenario=scenario, options=options)
    batch = model.memory.mixed(batch_of(2, R=20, scenario=scenario))
    _, gradients = model.task_gradients(batch)
    largest = max(np.abs(gradient).max() for gradient in gradients)
    assert (largest < 1e-4) == still
    assert still or largest > 1e-2


def test_in_the_class_incremental_scenario_soft_labels_hold_new_classes_down(dataset):
    options = {"memory.weighting": "constant", "memory.current": 0.0}
    model = at_task(2, dataset, "dgr_distill", options=options)
    batch = model.memory.mixed(batch_of(2, R=20))
    *_, bias = model.task_gradients(batch)[1]
    assert (bias.numpy()[2:4] > 0).all() and not bias.numpy()[4:].any()


# ---- broken generators, refusals ---------------------------------------------------------------------------


def test_a_generator_of_black_images_is_lived_with(dataset):
    model = learned(settings(dataset), tasks=1)
    *below, bias = model.memory.pixels.get_weights()
    model.memory.pixels.set_weights([*(0 * weight for weight in below), 0 * bias - 200])
    x, y, _ = model.memory.generated(50, 1, 1)
    assert not x.any() and len(set(y.tolist())) == 1
    for _ in learn(model, make_stream(settings(dataset))[1:2], batch_size=B):
        pass
    for part in (model.network, model.memory.generator):
        assert all(np.isfinite(weight).all() for weight in part.get_weights())


@pytest.mark.parametrize("jit", ["on", "off"])
def test_a_generator_that_diverges_in_its_own_epochs_is_reported(dataset, jit):
    config = settings(dataset, options={"memory.epochs": 2}, jit=jit)
    model, task = made(config), make_stream(config)[0]
    model.begin_task(task)
    model.batches(task, B)
    model.memory.generator.trainable_variables[-1].assign_add([np.nan] * SIDE**2)
    with pytest.raises(Diverged, match="generator's loss became nan in task 1, epoch 1/2 of its own"):
        model.end_task(task)


@pytest.mark.usefixtures("eagerly")
def test_a_generator_that_learns_too_fast_is_reported(dataset):
    config = settings(dataset, options={"memory.epochs": 1, "memory.learning_rate": 1e30})
    with pytest.raises(Diverged, match=r"generator's loss became (inf|nan) in task 1, epoch 1/1"):
        learned(config, tasks=1)


def test_a_generator_that_diverges_beside_the_method_is_reported(dataset):
    model, task = made(settings(dataset)), make_stream(settings(dataset))[0]
    model.begin_task(task)
    model.memory.generator.trainable_variables[-1].assign_add([np.nan] * SIDE**2)
    with pytest.raises(Diverged, match="generator loss became nan in task 1/3, epoch 1/1"):
        model.fit(model.batches(task, B), verbose=0, callbacks=[EpochHistory(model, task)])


def test_epochs_of_its_own_need_the_tasks_batches(dataset):
    config = settings(dataset, options={"memory.epochs": 1})
    model, task = made(config), make_stream(config)[0]
    model.begin_task(task)
    with pytest.raises(InputError, match=r"learns from batches\(task\); call that before end_task"):
        model.end_task(task)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "latent is 0; a generator needs at least one latent unit"),
        ({"hidden": (8, 0)}, "a layer needs at least one unit"),
        ({"beta": -1.0}, "beta is -1.0; it must not be negative"),
        ({"posterior": "norml"}, "posterior 'norml' is not known.*Did you mean normal"),
        ({"labels": "condition"}, "conditional generator was asked for; this one is none"),
        (
            {"labels": "sotf"},
            "labels 'sotf' is not known; possible: hard, soft, condition.*Did you mean soft",
        ),
        ({"weighting": "shares"}, "weighting 'shares' is not known.*Did you mean share"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        ({"temperature": -2.0}, "temperature is -2.0; it must be above 0"),
        ({"current": 1.5}, "current is 1.5; it must be at least 0 and at most 1"),
        ({"current": -0.1}, "current is -0.1"),
        ({"epochs": -1}, "epochs is -1; it must not be negative"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must not be negative"),
    ],
)
def test_options_that_cannot_be_used_are_refused(dataset, options, message):
    with pytest.raises(InputError, match=message):
        VAEMemory(make_stream(settings(dataset)), **options)


def test_in_the_domain_incremental_scenario_a_condition_is_no_label(dataset):
    stream = make_stream(settings(dataset, scenario="domain"))
    with pytest.raises(InputError, match="in the domain-incremental scenario it generates by task"):
        VAEMemory(stream, conditional=True, labels="condition")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory.labels": "sotf"}, "--memory.labels 'sotf' is not known.*Did you mean soft"),
        ({"memory.temprature": 1.0}, "no option --memory.temprature.*--memory.temperature"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_data_is_read(options, message):
    with pytest.raises(InputError, match=message):
        settings("no/such/file.npz", options=options)


def test_images_that_are_no_pixels_are_refused_with_their_range(floats, dataset):
    for path in (dataset, floats):
        stream = make_stream(settings(path))
        memory = VAEMemory(stream, hidden=(8,), latent=2)
        if path == dataset:
            memory.require_images(stream)
            continue
        with pytest.raises(InputError, match=r"in \[0, 1\].*go from -1.5 to 3; scale them first"):
            memory.require_images(stream)


def test_a_generator_and_the_network_begin_with_different_weights(dataset):
    options = {"network.hidden": (8,), "memory.hidden": (8,)}
    model = made(settings(dataset, options=options))
    network, encoder = (part.trainable_variables[0] for part in (model.network, model.memory.generator))
    assert network.shape == encoder.shape
    correlation = np.corrcoef(network.numpy().ravel(), encoder.numpy().ravel())[0, 1]
    assert abs(correlation) < 0.5
