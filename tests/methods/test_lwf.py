"""LwF: worked numbers, whole steps against float64, the teacher, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same

from keras_cl.errors import InputError
from keras_cl.learning.batches import Batch
from keras_cl.learning.layers import Dropout
from keras_cl.methods.lwf import LwF
from keras_cl.sources.base import Source
from keras_cl.streams.split import split

WIDTH, FEATURES, ROWS = 3, 4, 5  # three tasks of three classes; rows of a batch
SCENARIOS = ("task", "domain", "class")


class Told(LwF):
    """LwF that tells the loss of its last step."""

    def gradients(self, tape, loss):
        self.total = float(loss)
        return super().gradients(tape, loss)


class Distilled(Told):
    """The distillation alone: there is no cross entropy with the labels."""

    def task_loss(self, batch, logits):
        return 0.0


def stream_of(scenario, width=WIDTH):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3 * width), 4)
    data = rng.normal(size=(len(labels), FEATURES)).astype(np.float32), labels
    source = Source("rows", (FEATURES,), tuple(range(3 * width)), 1.0, lambda: (data, data))
    return split(source, tasks=3, scenario=scenario)


def linear(stream):
    return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(stream.num_classes)])


def random_weights(stream, seed, size=1.0):
    rng = np.random.default_rng(seed)
    shapes = (FEATURES, stream.num_classes), (stream.num_classes,)
    return [rng.normal(0, size, shape).astype(np.float32) for shape in shapes]


def at_task(t, stream, old, new, method=Told, rate=1.0, network=None, **options):
    """A model that begins task t, whose teacher has the weights `old` and whose student has `new`."""
    model = method(network or linear(stream), **options)
    model.compile(keras.optimizers.SGD(rate), jit=False)
    for task in stream[: t - 1]:
        model.begin_task(task)
        if task.number == t - 1:
            model.network.set_weights(old)
        model.end_task(task)
    model.network.set_weights(new)
    model.begin_task(stream[t - 1])
    return model


def batch_of(stream, t, seed=2):
    """Rows of task t, and after them one of padding that is far from all others."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS + 1, FEATURES))
    x[-1] = 50
    first = 0 if stream.scenario == "domain" else WIDTH * (t - 1)
    y = first + rng.integers(0, WIDTH, ROWS + 1)
    weight = [1.0] * ROWS + [0.0]
    return Batch(
        tf.constant(x, tf.float32),
        tf.constant(y, tf.int32),
        tf.fill([ROWS + 1], t - 1),
        tf.constant(weight, tf.float32),
    )


# ---- numbers worked by hand ------------------------------------------------------------------------------


def worked(student, **options):
    """`(loss, gradient by the logits)` of the distillation from a teacher that says (2, 0), at T = 2."""
    stream = stream_of("domain", width=2)
    kernel, old, new = np.zeros((FEATURES, 2)), np.array([2.0, 0.0]), np.array(student)
    options = {"weighting": "constant", **options}
    model = at_task(2, stream, [kernel, old], [kernel, new], Distilled, **options)
    x, y = stream[1].train.open()
    model.train_step(Batch(tf.constant(x), tf.constant(y), tf.ones(len(y), tf.int32), tf.ones(len(y))))
    return model.total, new - model.network.get_weights()[1]  # the bias has the gradient of the logits


def test_the_distillation_of_an_undecided_student_is_log_2():
    loss, gradient = worked([0.0, 0.0])
    assert loss == pytest.approx(0.693147, abs=1e-6)
    np.testing.assert_allclose(gradient, [-0.115529, 0.115529], rtol=0, atol=1e-6)
    q = gradient * -2 + 0.5  # the gradient is (s - q) / T
    np.testing.assert_allclose(q, [0.731059, 0.268941], rtol=0, atol=2e-6)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_the_distillation_is_least_where_student_and_teacher_agree(shift):
    loss, gradient = worked([2 + shift, shift])  # the softmax does not see a shift
    assert loss == pytest.approx(0.582203, abs=1e-6)
    np.testing.assert_allclose(gradient, [0, 0], rtol=0, atol=1e-7)
    for other in ([2.1, 0.0], [1.9, 0.0], [-2.0, 0.0]):
        assert worked(other)[0] > loss


def test_scaled_by_the_square_of_the_temperature_loss_and_gradient_are_four_times_as_large():
    loss, gradient = worked([0.0, 0.0], scale_by_t2=True)
    assert loss == pytest.approx(4 * 0.693147, abs=4e-6)
    np.testing.assert_allclose(gradient, [-0.462117, 0.462117], rtol=0, atol=1e-6)


# ---- the definition --------------------------------------------------------------------------------------


def softmax(z):
    raised = np.exp(z - z.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def classes(task, until=None):
    """Output units of the tasks from `task` on and before `until`, numbered from 0."""
    return np.arange(WIDTH * task, WIDTH * (task + 1 if until is None else until))


def pairs(scenario, t, student):
    """For every distillation in task t, the units that the teacher's softmax is over, and the student's."""
    if t == 1:
        return []
    if scenario == "domain":
        return [(classes(0), classes(0))]
    if scenario == "task":
        return [(classes(head), classes(head)) for head in range(t - 1)]
    return [(classes(0, t - 1), classes(0, t if student == "all" else t - 1))]


def losses(z, z_old, y, t, scenario, temperature=2.0, student="old"):
    """`(CE, its gradient by z, KD, its gradient by z)`, column by column in float64."""
    count, rows = len(z), np.arange(len(z))
    own = {"domain": classes(0), "task": classes(t - 1), "class": classes(0, t)}[scenario]
    p = np.zeros_like(z)
    p[:, own] = softmax(z[:, own])
    CE, by_CE = -np.mean(np.log(p[rows, y])), p.copy()
    by_CE[rows, y] -= 1
    KD, by_KD, both = 0.0, np.zeros_like(z), pairs(scenario, t, student)
    for teacher, answers in both:
        q = np.zeros((count, len(answers)))
        q[:, : len(teacher)] = softmax(z_old[:, teacher] / temperature)
        s = softmax(z[:, answers] / temperature)
        KD -= np.sum(q * np.log(s)) / count / len(both)
        by_KD[:, answers] += (s - q) / temperature / len(both)
    return CE, by_CE / count, KD, by_KD / count


SHARES = {  # of CE and KD in the tasks 1, 2 and 3
    "count": [(1, 0), (1, 1), (1, 2)],
    "constant": [(1, 0), (1, 1), (1, 1)],
    "share": [(1, 0), (1 / 2, 1 / 2), (1 / 3, 2 / 3)],
}


def check_step(scenario, t, *, weighting="", strength=1.0, scale=1.0, given=None, **definition):
    """One step of SGD of a model with the options `given` is the one of the definition."""
    stream = stream_of(scenario)
    old, new = random_weights(stream, 0), random_weights(stream, 1)
    model = at_task(t, stream, old, new, **(given or {}))
    batch = batch_of(stream, t)
    result = model.train_step(batch)
    x, y = batch.x.numpy()[:-1].astype(float), batch.y.numpy()[:-1]  # padding counts for nothing
    z, z_old = (x @ kernel.astype(float) + bias for kernel, bias in (new, old))
    CE, by_CE, KD, by_KD = losses(z, z_old, y, t, scenario, **definition)
    cited = "count" if scenario == "task" else "share"  # Li and Hoiem; van de Ven and Tolias
    of_CE, of_KD = SHARES[weighting or cited][t - 1]
    of_KD *= strength * scale
    assert model.total == pytest.approx(of_CE * CE + of_KD * KD, rel=1e-5)
    assert float(result["loss"]) == pytest.approx(CE, rel=1e-5)  # what is shown is what is learned
    delta = of_CE * by_CE + of_KD * by_KD
    kernel, bias = model.network.get_weights()
    np.testing.assert_allclose(new[0] - kernel, x.T @ delta, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(new[1] - bias, delta.sum(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("t", [1, 2, 3])
@pytest.mark.parametrize("weighting", SHARES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_step_is_the_one_of_the_definition(scenario, weighting, t):
    check_step(scenario, t, weighting=weighting, given={"weighting": weighting})


@pytest.mark.parametrize("t", [1, 2, 3])
def test_a_student_over_all_classes_is_taught_that_the_new_ones_are_impossible(t):
    check_step("class", t, student="all", given={"student": "all"})


@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_without_new_classes_in_a_head_the_student_s_classes_make_no_difference(scenario):
    check_step(scenario, 3, given={"student": "all"})


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("temperature, scaled", [(1.0, False), (5.0, False), (5.0, True), (0.5, True)])
def test_temperature_and_its_square(scenario, temperature, scaled):
    scale = temperature**2 if scaled else 1
    given = {"temperature": temperature, "scale_by_t2": scaled}
    check_step(scenario, 3, temperature=temperature, scale=scale, given=given)


@pytest.mark.parametrize("weighting", SHARES)
def test_strength_weighs_the_distillation_alone(weighting):
    given = {"weighting": weighting, "strength": 0.3}
    check_step("task", 3, weighting=weighting, strength=0.3, given=given)


# ---- laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.0])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_student_that_agrees_is_not_moved_and_its_loss_is_the_entropy(scenario, temperature):
    stream = stream_of(scenario)
    weights = random_weights(stream, 3)
    options = {"temperature": temperature, "weighting": "constant"}
    model = at_task(3, stream, weights, weights, Distilled, **options)
    batch = batch_of(stream, 3)
    model.train_step(batch)
    for got, want in zip(model.network.get_weights(), weights, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    z = batch.x.numpy()[:-1].astype(float) @ weights[0] + weights[1]
    answers = [softmax(z[:, units] / temperature) for units, _ in pairs(scenario, 3, "old")]
    entropy = np.mean([-np.sum(q * np.log(q), axis=1) for q in answers])
    assert model.total == pytest.approx(entropy, rel=1e-5)


def step_from(old, new, stream, method=Distilled, **options):
    """`(loss, weights)` of one step in task 2."""
    model = at_task(2, stream, old, new, method, **options)
    model.train_step(batch_of(stream, 2))
    return model.total, model.network.get_weights()


@pytest.mark.parametrize("scenario, student", [("task", "old"), ("class", "old"), ("class", "all")])
def test_what_the_teacher_says_of_classes_it_never_saw_does_not_matter(scenario, student):
    stream = stream_of(scenario)
    old, new = random_weights(stream, 4), random_weights(stream, 5)
    loss, weights = step_from(old, new, stream, Told, student=student)
    old[1][WIDTH:] += 100
    old[0][:, WIDTH:] *= -3
    other_loss, other_weights = step_from(old, new, stream, Told, student=student)
    assert other_loss == loss
    assert_same(other_weights, weights)
    old[1][0] += 1
    assert step_from(old, new, stream, Told, student=student)[0] != loss


@pytest.mark.parametrize("scenario, student", [("task", "old"), ("class", "old"), ("class", "all")])
def test_new_classes_are_distilled_only_where_the_student_s_softmax_has_them(scenario, student):
    stream = stream_of(scenario)
    old, new = random_weights(stream, 6), random_weights(stream, 7)
    _, (kernel, bias) = step_from(old, new, stream, student=student)
    moved = np.flatnonzero((kernel != new[0]).any(axis=0) & (bias != new[1]))
    last = 2 * WIDTH if student == "all" else WIDTH
    np.testing.assert_array_equal(moved, np.arange(last))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_padding_rows_count_for_nothing(scenario):
    stream = stream_of(scenario)
    old, new = random_weights(stream, 8), random_weights(stream, 9)
    whole = batch_of(stream, 2)
    after = []
    for batch in (whole, Batch(*(part[:-1] for part in whole[:4]))):
        model = at_task(2, stream, old, new)
        model.train_step(batch)
        after.append((model.total, *model.network.get_weights()))
    for one, other in zip(*after, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


# ---- the teacher -----------------------------------------------------------------------------------------


def noisy(stream):
    """A network that is another one in training mode: dropout and batch norm."""
    x = images = keras.Input((FEATURES,))
    for layer in (
        keras.layers.Dense(6, "relu"),
        keras.layers.BatchNormalization(momentum=0.5),
        Dropout(0.5),
        keras.layers.Dense(stream.num_classes),
    ):
        x = layer(x)
    return keras.Model(images, x)


def overheard(model, monkeypatch):
    """The list to which every answer of the teacher is added."""
    answers, call = [], model.teacher.call

    def listening(x, **kwargs):
        answers.append((x.numpy(), call(x, **kwargs).numpy()))
        return tf.constant(answers[-1][1])

    monkeypatch.setattr(model.teacher, "call", listening)
    return answers


def test_the_teacher_is_the_network_as_it_was_at_the_end_of_the_task_before():
    stream = stream_of("class")
    model = LwF(noisy(stream), seed=1)
    model.compile(keras.optimizers.Adam(0.05), jit=False)
    for task in stream:
        before = model.teacher.get_weights()
        model.begin_task(task)
        model.fit(model.batches(task, 4), epochs=2, verbose=0)
        assert_same(model.teacher.get_weights(), before)  # seeds of dropout and statistics of the norm too
        learned = model.network.get_weights()
        assert any((one != old).any() for one, old in zip(learned, before, strict=True))
        model.end_task(task)
        assert_same(model.teacher.get_weights(), learned)
        assert_same(model.network.get_weights(), learned)


def test_the_teacher_answers_the_current_rows_in_inference_mode(monkeypatch):
    stream = stream_of("task")
    model = LwF(noisy(stream), seed=1)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.begin_task(stream[0])
    model.fit(model.batches(stream[0], 4), epochs=2, verbose=0)
    model.end_task(stream[0])
    batch = batch_of(stream, 2)
    old = model.predict_logits(batch.x.numpy())
    model.begin_task(stream[1])
    answers = overheard(model, monkeypatch)
    for _ in range(3):
        model.train_step(batch)
    assert len(answers) == 3  # one forward pass a step
    for x, answer in answers:
        np.testing.assert_array_equal(x, batch.x)
        np.testing.assert_allclose(answer, old, rtol=1e-6, atol=1e-6)
    assert not np.allclose(model.predict_logits(batch.x.numpy()), old, atol=1e-3)


def test_nothing_is_learned_by_the_teacher():
    into = []

    class Asked(LwF):
        def gradients(self, tape, loss):
            into.extend(tape.gradient(loss, self.teacher.variables))
            return [tf.zeros_like(v) for v in self.network.trainable_variables]

    stream = stream_of("class")
    old, new = random_weights(stream, 10), random_weights(stream, 11)
    model = at_task(2, stream, old, new, Asked)
    model.train_step(batch_of(stream, 2))
    assert into == [None, None]
    assert model.teacher.trainable_variables == []
    assert len(model.trainable_variables) == 2
    shared = {id(v) for v in model.teacher.variables} & {id(v) for v in model.network.variables}
    assert not shared


def test_the_teacher_is_all_that_is_kept():
    stream = stream_of("class")
    model = at_task(2, stream, random_weights(stream, 0), random_weights(stream, 1))
    floats = [v for v in model.method_variables if v.dtype.is_floating]
    assert {id(v) for v in floats} == {id(v) for v in model.teacher.variables}


class Norms(keras.layers.Layer):
    """Two batch norms in one layer, whose variables change places when it stops being trainable."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norms = [keras.layers.BatchNormalization(), keras.layers.BatchNormalization()]

    def call(self, x, training=False):
        for norm in self.norms:
            x = norm(x, training=training)
        return x


def nested(stream):
    """A network within a network."""
    inner = keras.Sequential([keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dense(6)])
    return keras.Sequential(
        [keras.Input((FEATURES,)), keras.layers.Dense(6), inner, keras.layers.Dense(stream.num_classes)]
    )


def composed(stream):
    layers = keras.Input((FEATURES,)), Norms(), keras.layers.Dense(stream.num_classes)
    return keras.Sequential(layers)


@pytest.mark.parametrize("make", [linear, noisy, nested, composed])
def test_the_teacher_answers_what_the_network_answered(make):
    stream = stream_of("class")
    network, rng = make(stream), np.random.default_rng(0)

    def shuffle():
        for variable in network.variables:
            if variable.dtype.is_floating:
                variable.assign(rng.uniform(0.5, 2, variable.shape))

    shuffle()
    model = LwF(network)
    model.compile("sgd")
    x = stream[0].train.open()[0]
    np.testing.assert_allclose(model.teacher(x, training=False), network(x, training=False), rtol=1e-6)
    shuffle()
    model.begin_task(stream[0])
    model.end_task(stream[0])
    np.testing.assert_allclose(model.teacher(x, training=False), network(x, training=False), rtol=1e-6)


# ---- what it refuses -------------------------------------------------------------------------------------


class Subclassed(keras.Model):
    """A network that Keras cannot take apart, but make again."""

    def __init__(self, width=3):
        super().__init__(name="mine")
        self.dense = keras.layers.Dense(width)

        self.factor = 1.0

    def call(self, x, training=False):
        return self.factor * self.dense(x)


class Unknown(Subclassed):
    """One that does not know how it was made, either."""

    def __init__(self, dense):
        super().__init__()
        self.dense = dense

    def get_config(self):
        raise NotImplementedError


def changed():
    network = Subclassed()
    network.factor = 2.0  # which its settings do not say
    return network


def test_a_subclassed_network_teaches_as_it_is():
    stream = stream_of("class")
    network = Subclassed(stream.num_classes)
    network.build((None, FEATURES))
    model, x = LwF(network), np.ones((2, FEATURES), np.float32)
    model.compile("sgd")
    network.dense.kernel.assign_add(tf.ones_like(network.dense.kernel))
    model.begin_task(stream[0])
    model.end_task(stream[0])
    np.testing.assert_allclose(model.teacher(x, training=False), network(x, training=False), rtol=1e-6)


@pytest.mark.parametrize("make", [changed, lambda: Unknown(keras.layers.Dense(3))])
def test_a_network_that_cannot_be_copied_is_refused_in_a_sentence(make):
    network = make()
    network(keras.Input((FEATURES,)))
    with pytest.raises(InputError) as error:
        LwF(network)
    assert str(error.value).startswith("The method copies its network, and mine cannot be made again")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strength": -0.1}, "strength is -0.1; it must not be negative."),
        ({"temperature": 0}, "temperature is 0; it must be above 0."),
        ({"temperature": -2.0}, "temperature is -2.0; it must be above 0."),
        ({"weighting": "shares"}, "Did you mean share?"),
        ({"weighting": "shares"}, "possible: cited, count, constant, share."),
        ({"student": "new"}, "possible: old, all."),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(options, message):
    with pytest.raises(InputError) as error:
        LwF(linear(stream_of("class")), **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
