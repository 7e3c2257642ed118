"""Latent space alignment: what a task changes, what bridges are fitted to, and what is saved and exported."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, saved_variables

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.learning.bridges import bridges_of, unbridged
from keras_cl.learning.progress import Progress
from keras_cl.memories import Balanced, Reservoir, VAEMemory
from keras_cl.methods import LSA, Finetune
from keras_cl.networks import mlp
from keras_cl.runs import saved_model
from keras_cl.settings.config import Config

STREAM = streams.split(sources.from_arrays(**blobs([12] * 6)), tasks=3, scenario="task")
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
}


def made(method=LSA, optimizer="adam", memory=None, eagerly=True, **options):
    if method is LSA:
        options = {"tasks": 3, "hidden": 6, "bridge_iterations": 4, **options}
    model = method(mlp(STREAM, hidden=(8, 5), weight_decay=1e-3, seed=1), memory=memory, seed=2, **options)
    model.compile(OPTIMIZERS[optimizer](), jit=False)
    model.run_eagerly = eagerly
    return model


def learn(model, tasks=STREAM, batch_size=8):
    for task in tasks:
        model.begin_task(task)
        model.fit(model.batches(task, batch_size), verbose=0)
        model.end_task(task)
    return model


def memory_of(kind):
    if kind == "vae":
        return VAEMemory(STREAM, hidden=(8,), latent=2)
    return {"reservoir": Reservoir, "balanced": Balanced}[kind](STREAM, capacity=12) if kind else None


def network_weights(model):
    """Weights of the features and heads, without bridges."""
    return [v.numpy() for v in model.network.trainable_variables]


# ---- what a task changes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["", "reservoir"])
def test_features_and_heads_are_those_of_fine_tuning_bit_for_bit_whatever_bridges_are_fitted_to(memory):
    model, plain = learn(made(memory=memory_of(memory))), learn(made(Finetune))
    assert_same(network_weights(model), network_weights(plain))
    x = STREAM[0].test.open()[0]
    with unbridged(model.network):
        np.testing.assert_array_equal(model.predict_logits(x), plain.predict_logits(x))
    assert np.abs(model.predict_logits(x) - plain.predict_logits(x))[:, :4].max() > 0.01


def test_a_stream_of_one_task_is_plain_training():
    stream = streams.split(STREAM.source, tasks=1, scenario="task")
    model, plain = learn(made(tasks=1), stream), learn(made(Finetune), stream)
    x = stream[0].test.open()[0]
    np.testing.assert_array_equal(model.predict_logits(x), plain.predict_logits(x))
    assert model.report() == {"alignment_r2": 1.0}


@pytest.mark.parametrize(
    ("optimizer", "memory", "reset"),
    [("adamw", "", True), ("momentum", "", False), ("adamw", "reservoir", False), ("momentum", "vae", False)],
)
def test_no_task_changes_heads_or_bridges_of_earlier_ones(optimizer, memory, reset):
    model, kept = made(optimizer=optimizer, memory=memory_of(memory), reset_optimizer=reset), []
    layer = bridges_of(model.network)
    for task in STREAM:
        learn(model, [task])
        heads = [
            layer.layer.kernel.numpy()[:, : 2 * task.number],
            layer.layer.bias.numpy()[: 2 * task.number],
        ]
        bridges = [part.numpy()[: task.index] for part in layer.maps]
        for old in kept:
            place = old[0].shape[1], len(old[2])
            assert_same(old[:2], [heads[0][:, : place[0]], heads[1][: place[0]]])
            assert_same(old[2:], [part[: place[1]] for part in bridges])
        kept.append([*heads, *bridges])
    assert all(part.any() for bridge in zip(*kept[2][2:], strict=True) for part in bridge if part.ndim > 1)


def test_the_task_itself_needs_no_bridge():
    model = made()
    learn(model, STREAM[:1])
    for task in STREAM[1:]:
        x = task.test.open()[0]
        model.begin_task(task)
        model.fit(model.batches(task, 8), verbose=0)
        before = model.predict_logits(x)
        model.end_task(task)
        own = task.stream.labels[task.index] >= 0
        later = (task.stream.labels >= 0).argmax(axis=0) >= task.index
        np.testing.assert_array_equal(model.predict_logits(x)[:, own | later], before[:, own | later])
        assert (np.abs(model.predict_logits(x) - before).max(axis=0) > 1e-3)[~(own | later)].all()


@pytest.mark.parametrize("init", ["sequential", "independent"])
def test_features_begin_as_they_ended_or_anew(init):
    model, ends = made(init=init), []
    f = model._alignment.features
    first = f.get_weights()
    for task in STREAM:
        model.begin_task(task)
        if ends:
            for begins, ended, initial in zip(f.get_weights(), ends[-1], first, strict=True):
                same = np.array_equal(begins, ended)
                assert same == (init == "sequential")
                assert init == "sequential" or begins.std() == 0 or not np.array_equal(begins, initial)
            assert_same(model._alignment.previous.get_weights(), ends[-1])
        model.fit(model.batches(task, 8), verbose=0)
        model.end_task(task)
        ends.append(f.get_weights())


# ---- what a bridge is fitted to --------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["", "reservoir", "balanced", "vae"])
def test_a_bridge_is_fitted_to_the_rows_of_the_task_or_to_what_the_memory_gives(memory):
    model, seen = made(memory=memory_of(memory)), []
    step = model._alignment._step
    model._alignment._step = lambda rows: seen.append(rows) or step(rows)
    learn(model, STREAM[:2])
    assert len(seen) == 4
    x = np.concatenate([rows.x.numpy()[rows.weight.numpy() > 0] for rows in seen])
    wanted = STREAM[0] if memory else STREAM[1]
    known = {image.tobytes() for image in wanted.train.open()[0].astype(np.float32)}
    assert memory == "vae" or {image.tobytes() for image in x.astype(np.float32)} <= known
    if memory == "vae":
        assert len(np.unique(x, axis=0)) == len(x) == 4 * 8  # each drawn anew
        assert {int(unit) for rows in seen for unit in rows.y} <= {0, 1}


def test_the_generator_learns_from_its_own_images_beside_the_rows():
    model, seen = made(memory=memory_of("vae")), []
    step = model.memory.generator.train_step
    model.memory.generator.train_step = lambda batch: seen.append(len(batch.x)) or step(batch)
    learn(model, STREAM[:2])
    assert seen == [8] * 3 + [16] * 3


def test_a_fit_needs_the_batches_of_the_task():
    model = learn(made(), STREAM[:1])
    model.begin_task(STREAM[1])
    with pytest.raises(InputError, match=r"lsa aligns on batches\(task\); call that before end_task"):
        model.end_task(STREAM[1])


class Told(Progress):
    def __init__(self):
        self.phases = []

    @contextlib.contextmanager
    def phase(self, name, total):
        self.phases.append([name, total, 0])
        yield lambda amount=1: self.phases[-1].__setitem__(2, self.phases[-1][2] + amount)


def test_the_fit_is_told_as_progress():
    model, told = made(), Told()
    object.__setattr__(model, "progress", told)
    learn(model, STREAM[:2])
    assert told.phases == [["fit of the bridge", 4, 4]]


def test_steps_fits_and_answers_are_traced_once_for_all_tasks():
    model = learn(made(eagerly=False, bridge_iterations=3))
    for function in (model.train_function.steps, model._alignment._run.steps):
        assert function.experimental_get_tracing_count() == 1
    for task in STREAM:
        model.predict_logits(task.test.open()[0])
    assert model._forward.experimental_get_tracing_count() == 1


# ---- what is saved and exported --------------------------------------------------------------------------


def test_features_of_the_task_before_and_the_state_of_the_fit_are_in_no_checkpoint(tmp_path):
    model, plain = learn(made()), learn(made(Finetune))
    sizes = []
    for one in (model, plain):
        saved = saved_variables(tf.train.Checkpoint(model=one).write(str(tmp_path / one.name)))
        sizes.append(sum(value.size for value in saved.values()))
    layer = bridges_of(model.network)
    assert sizes[0] - sizes[1] == sum(v.shape.num_elements() for v in layer.non_trainable_variables)


def test_the_exported_model_answers_earlier_tasks_through_bridges(tmp_path):
    model = learn(made(bridge_iterations=20))
    saved_model.export(model.network, STREAM[2], tmp_path / "model", {})
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["with_task"]
    for task in STREAM:
        x = task.test.open()[0]
        given = {"images": tf.constant(x, tf.float32), "task": tf.fill([len(x)], task.index)}
        told = signature(**given)["logits"].numpy()
        own = STREAM.labels[task.index] >= 0
        np.testing.assert_allclose(told[:, own], model.predict_logits(x)[:, own], atol=1e-5)
        with unbridged(model.network):
            apart = np.abs(told - model.predict_logits(x))[:, own].max()
        assert apart < 1e-5 if task.index == 2 else apart > 0.01


# ---- what it is good for ---------------------------------------------------------------------------------


def test_a_bridge_of_rows_of_earlier_tasks_leads_independent_features_back_to_earlier_heads():
    """With rows of all classes a bridge need not extrapolate, and nothing else ties the features together."""
    stream = streams.split(sources.from_arrays(**blobs([60] * 6, seed=3)), tasks=3, scenario="task")
    options = {"init": "independent", "hidden": 32, "bridge_iterations": 400, "bridge_learning_rate": 0.01}
    memory = Reservoir(stream, capacity=240)
    model = LSA(mlp(stream, hidden=(32, 16), seed=1), tasks=3, memory=memory, **options)
    model.compile(keras.optimizers.Adam(0.01), jit=False)
    for task in stream:
        model.begin_task(task)
        model.fit(model.batches(task, 32), epochs=15, verbose=0)
        model.end_task(task)
    bridged = model.accuracies(stream)
    with unbridged(model.network):
        without = model.accuracies(stream)
    print(bridged, without)
    assert bridged[2] == without[2] > 0.9
    assert bridged[:2].min() > 0.85
    assert without[:2].mean() < 0.75


# ---- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden is 0; a bridge needs at least one hidden unit"),
        ({"bridge_iterations": 0}, "bridge_iterations is 0; give at least 1"),
        ({"bridge": "lineer"}, "bridge 'lineer' is not known.*Did you mean linear"),
        ({"init": "sequental"}, "init 'sequental' is not known.*Did you mean sequential"),
        ({"isolate_heads": False}, "isolate_heads cannot be false"),
        ({"init": "independent", "reset_optimizer": False}, "reset_optimizer cannot be false"),
        ({"distillation": -1.0}, "distillation is -1.0; it must not be negative"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        made(**options)


def test_more_tasks_than_heads_are_refused_before_training():
    with pytest.raises(InputError, match="lsa has heads for 2 tasks, and split .* has 3"):
        made(tasks=2).begin_task(STREAM[0])


def test_a_scenario_without_heads_of_its_own_is_refused():
    with pytest.raises(InputError, match="The method lsa does not support the class-incremental scenario"):
        Config(method="lsa", stream="split", scenario="class")


def test_a_memory_with_less_room_than_a_step_is_refused():
    model = made(memory=Reservoir(STREAM, capacity=4))
    model.begin_task(STREAM[0])
    with pytest.raises(InputError, match="replays 8 rows and the memory has room for 4"):
        model.batches(STREAM[0], 8)


def test_its_usual_network_is_the_one_of_its_source():
    assert Config(method="lsa", stream="split", scenario="task").options_of("network")["hidden"] == (256, 64)


def test_a_task_costs_16576_numbers_with_the_usual_network_and_bridge():
    """Of features of 64 numbers: 64-128-64 with biases, 66 kB, the bytes of 84 grey images of 28x28."""
    model = LSA(mlp(STREAM, hidden=LSA.usual["network.hidden"], seed=1), tasks=3)
    maps = bridges_of(model.network).maps
    assert sum(part.shape.num_elements() for part in maps) == 2 * 16_576
    assert {part.dtype for part in maps} == {tf.float32}
