"""Regimes: what the learning rate is at every step, and what a named regime supplies."""

import csv
import shutil

import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same, blobs, learn, saved_variables, silent

from keras_cl import sources, streams, train
from keras_cl.errors import InputError
from keras_cl.methods import EWC, Finetune, GDumb
from keras_cl.networks import mlp
from keras_cl.numerics import schedules
from keras_cl.regimes import Plain, Stable
from keras_cl.regimes.base import Regime
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config

SOURCE = sources.from_arrays(**blobs([12] * 4))
SPLIT = streams.split(SOURCE, tasks=2, scenario="class")


def rates(regime, high=1.0, epochs=4, steps=3, tasks=(0,)):
    """Learning rates of some epochs of tasks, `steps` each: one list a task."""
    found = []
    for task in tasks:
        regime.begin(SPLIT[task] if task < 2 else type("Task", (), {"index": task}))
        regime.watch(steps)
        found.append([float(regime.rate(high)) for _ in range(epochs * steps)])
    return found


def by_epoch(regime, epochs, **options):
    return rates(regime, epochs=epochs, steps=1, **options)[0]


# ---- schedules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "step", "every": 2},
        {"schedule": "exponential"},
        {"schedule": "inverse"},
        {"schedule": "cosine", "length": 4},
        {"schedule": "restarts", "length": 4},
        {"schedule": "plateau"},
        {},
    ],
)
def test_a_schedule_begins_with_the_optimizers_rate(options):
    assert by_epoch(Regime(**options), 1, high=0.3) == [pytest.approx(0.3)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "step", "every": 2, "factor": 0.1}, [1, 1, 0.1, 0.1, 0.01]),
        ({"schedule": "exponential", "factor": 0.5}, [1, 0.5, 0.25, 0.125, 0.0625]),
        ({"schedule": "inverse", "factor": 1.0}, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
        ({"schedule": "cosine", "length": 4, "low": 0.2}, [1, 0.6 + 0.4 * 0.5**0.5, 0.6, None, 0.2, 0.2]),
        ({"schedule": "restarts", "length": 2}, [1, 0.5, 1, 0.5, 1]),
        ({"schedule": "constant", "warmup": 4}, [0.25, 0.5, 0.75, 1, 1]),
        ({"schedule": "exponential", "factor": 0.5, "warmup": 2}, [0.5, 0.5, 0.25]),
    ],
)
def test_the_schedules_have_these_values(options, expected):
    found = by_epoch(Regime(**options), len(expected))
    pairs = [(one, other) for one, other in zip(found, expected, strict=True) if other is not None]
    np.testing.assert_allclose(*zip(*pairs, strict=True), rtol=1e-6)


def test_restarts_twice_as_long_each_come_after_these_epochs():
    found = by_epoch(Regime(schedule="restarts", length=1, times=2), 256)
    assert [e for e, rate in enumerate(found) if rate == 1] == [0, 1, 3, 7, 15, 31, 63, 127, 255]


@pytest.mark.parametrize(
    "shape",
    [
        lambda e: schedules.step(e, 3, 0.5),
        lambda e: schedules.exponential(e, 0.9),
        lambda e: schedules.inverse(e, 0.1),
        lambda e: schedules.cosine(e, 20, 0.1),
    ],
)
def test_schedules_without_restarts_never_rise(shape):
    values = [float(shape(tf.constant(float(e)))) for e in range(30)]
    assert (np.diff(values) <= 1e-7).all() and min(values) >= 0


def test_a_loss_that_does_not_improve_reduces_the_rate_once_in_patience_epochs():
    regime = Regime(schedule="plateau", patience=3, factor=0.1)
    regime.begin(SPLIT[0])
    found = []
    for _ in range(1 + 3):  # the first epoch is the best so far
        regime.after_epoch(2.0)
        found.append(float(regime.rate(1.0)))
    np.testing.assert_allclose(found, [1, 1, 1, 0.1])


def test_better_epochs_and_a_cooldown_keep_a_plateau_from_counting():
    regime = Regime(schedule="plateau", patience=2, factor=0.5, cooldown=2)
    regime.begin(SPLIT[0])
    found = []
    for loss in [5, 4, 4, 3, 3, 3, 3, 3, 3, 3]:
        regime.after_epoch(float(loss))
        found.append(float(regime.rate(1.0)))
    np.testing.assert_allclose(found, [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25])


# ---- clocks and tasks ------------------------------------------------------------------------------------


def test_the_clock_ticks_by_task_epoch_or_step():
    options = {"schedule": "exponential", "factor": 0.5}
    step, epoch, task = (
        rates(Regime(**options, clock=clock), epochs=2, steps=2, tasks=(0, 1))
        for clock in ("step", "epoch", "task")
    )
    assert step == [[1, 0.5, 0.25, 0.125]] * 2
    assert epoch == [[1, 1, 0.5, 0.5]] * 2
    assert task == [[1] * 4, [0.5] * 4]


@pytest.mark.parametrize(("clock", "expected"), [("step", 2.0**-4), ("epoch", 2.0**-2)])
def test_a_schedule_that_does_not_restart_goes_on_in_the_next_task(clock, expected):
    regime = Regime(schedule="exponential", factor=0.5, clock=clock, restart=False)
    assert rates(regime, epochs=2, steps=2, tasks=(0, 1))[1][0] == expected


def test_a_plateau_that_does_not_restart_is_remembered():
    for restart, expected in ((True, 1.0), (False, 0.5)):
        regime = Regime(schedule="plateau", patience=1, factor=0.5, restart=restart)
        rates(regime)
        regime.after_epoch(1.0)
        regime.after_epoch(1.0)
        assert rates(regime, tasks=(1,))[0][0] == expected


def test_the_rate_decays_from_task_to_task_down_to_a_floor():
    regime = Regime(decay=0.55, decay_from=1)
    found = [task[0] for task in rates(regime, high=0.1, epochs=1, steps=1, tasks=range(14))]
    np.testing.assert_allclose(found[:2], [0.055, 0.03025], rtol=1e-5)
    assert found[11] > 5e-5 and found[12] == pytest.approx(5e-5) and found[13] == pytest.approx(5e-5)
    assert rates(Regime(decay=0.5), high=0.1)[0][0] == pytest.approx(0.1)


def test_decay_multiplies_the_schedule():
    regime = Regime(schedule="exponential", factor=0.5, decay=0.1)
    np.testing.assert_allclose(rates(regime, epochs=2, steps=1, tasks=(1,))[0], [0.1, 0.05], rtol=1e-6)


# ---- in the compiled loop --------------------------------------------------------------------------------


def model_of(regime, method=Finetune, jit=False, **options):
    model = method(mlp(SPLIT, hidden=(8,), seed=1), seed=1, **options)
    model.compile("adam", regime=regime, jit=jit)
    return model


@pytest.mark.parametrize("jit", [False, True])
def test_steps_use_the_schedules_rates_and_trace_once(jit):
    model = model_of(Regime(schedule="inverse", clock="step", factor=1.0, decay=0.5), jit=jit)
    for task in learn(model, SPLIT, batch_size=8, epochs=2):
        steps = 2 * -(-len(task.train) // 8)
        expected = 1e-3 * 0.5**task.index / steps
        assert float(model.optimizer.learning_rate) == pytest.approx(expected, rel=1e-5)
    assert model.train_function.steps.experimental_get_tracing_count() == 1


def test_one_step_of_sgd_is_the_rate_times_the_gradient():
    moved = []
    for regime in (None, Regime(warmup=4)):
        model = Finetune(mlp(SPLIT, hidden=(), seed=1), seed=1)
        model.compile("sgd", regime=regime, jit=False)
        before = model.network.get_weights()
        model.begin_task(SPLIT[0])
        rows = len(SPLIT[0].train)
        model.fit(model.batches(SPLIT[0], rows), verbose=0)
        moved.append([new - old for new, old in zip(model.network.get_weights(), before, strict=True)])
    for whole, quarter in zip(*moved, strict=True):
        np.testing.assert_allclose(quarter, whole / 4, atol=1e-7)


def test_a_regime_that_changes_nothing_is_no_part_of_the_step():
    plain, bare = model_of(Plain()), model_of(None)
    for model in (plain, bare):
        list(learn(model, SPLIT, batch_size=8))
    assert not plain.regime.changes
    assert_same(plain.network.get_weights(), bare.network.get_weights())


def test_a_plateau_is_fed_by_fit():
    model = model_of(Regime(schedule="plateau", patience=1, factor=0.1), EWC)
    model.compile("sgd", regime=Regime(schedule="plateau", patience=1, factor=0.1), jit=False)
    model.optimizer.learning_rate = model._learning_rate = 1e-9  # nothing improves
    model.begin_task(SPLIT[0])
    model.fit(model.batches(SPLIT[0], 8), epochs=4, verbose=0)
    assert float(model.regime.reduced) == pytest.approx(1e-3)


def test_counters_are_saved_and_restored_in_the_middle_of_a_cycle(tmp_path):
    def fresh():
        return Regime(schedule="restarts", length=5, times=2, clock="step", restart=False)

    whole, stopped, resumed = fresh(), fresh(), fresh()
    expected = rates(whole, epochs=1, steps=20)[0]
    first = rates(stopped, epochs=1, steps=8)[0]
    tf.train.Checkpoint(regime=stopped).write(str(tmp_path / "state"))
    tf.train.Checkpoint(regime=resumed).read(str(tmp_path / "state")).assert_consumed()
    assert first + [float(resumed.rate(1.0)) for _ in range(12)] == expected


# ---- on the command line ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs([12] * 4))
    return str(path)


def test_a_named_regime_supplies_what_was_not_given():
    stable = Config(method="finetune", regime="stable")
    assert (stable.optimizer, stable.momentum, stable.learning_rate, stable.batch_size) == (
        "sgd",
        0.8,
        0.1,
        64,
    )
    assert stable.settings["network.dropout"] == 0.25 and stable.settings["regime.decay"] == 0.8
    given = Config(
        method="finetune",
        regime="stable",
        learning_rate=0.5,
        batch_size=7,
        momentum=0.0,
        options={"regime.decay": 0.4, "network.dropout": 0.0},
    )
    assert (given.learning_rate, given.batch_size, given.momentum) == (0.5, 7, 0.0)
    assert given.settings["regime.decay"] == 0.4 and given.settings["network.dropout"] == 0.0


def test_another_optimizer_goes_without_the_momentum_and_the_rate_of_the_usual_one():
    for chosen in ({"method": "finetune", "regime": "stable"}, {"method": "ogm"}):
        assert (Config(**chosen).optimizer, Config(**chosen).learning_rate) == ("sgd", 0.1)
        other = Config(optimizer="adam", **chosen)
        assert (other.momentum, other.learning_rate) == (0.0, 1e-3)


def test_stable_has_the_options_of_every_regime():
    assert Stable(decay=0.8).changes
    assert Config(regime="stable", options={"regime.schedule": "cosine", "regime.length": 3})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regime.decay": 0.0}, "decay is 0.0; it must be above 0 and at most 1"),
        ({"regime.decay": 1.5}, "decay is 1.5; it must be above 0 and at most 1"),
        ({"regime.schedule": "cosine"}, "The schedule cosine needs --regime.length, at least 1; it is 0"),
        ({"regime.schedule": "restarts"}, "The schedule restarts needs --regime.length"),
        ({"regime.factor": 0.0}, "factor is 0.0"),
        ({"regime.warmup": -1}, "warmup is -1"),
        ({"regime.low": 2.0}, "low is 2.0"),
        ({"regime.decay_from": 2}, "decay_from is 2"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(dataset, options, message):
    config = Config(method="finetune", stream="split", dataset=dataset, tasks=2, options=options)
    with pytest.raises(InputError, match=message):
        make_model(config, make_stream(config), seed=0)


def test_an_unknown_schedule_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="'cosin' is not known.*Did you mean cosine"):
        Config(options={"regime.schedule": "cosin"})


def test_a_method_with_a_schedule_of_its_own_takes_no_other():
    from keras_cl.memories import Balanced

    model = GDumb(mlp(SPLIT, hidden=(8,)), memory=Balanced(SPLIT, capacity=8))
    with pytest.raises(InputError, match="gdumb has a schedule of its own"):
        model.compile("sgd", regime=Stable(decay=0.5))


def test_a_stopped_run_goes_on_with_the_same_rates_and_records_them(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(train.figures, "draw", lambda path: None)

    def run(folder):
        train.run(
            Config(
                method="ewc",
                regime="stable",
                stream="split",
                dataset=dataset,
                tasks=2,
                epochs=2,
                batch_size=10,
                jit="off",
                run_dir=str(folder / "run"),
                export_dir=str(folder / "models"),
                options={"network.hidden": (8,), "regime.schedule": "inverse", "regime.restart": False},
            ),
            display=silent(),
        )

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole)
    shutil.copytree(whole, stopped)
    shutil.rmtree(stopped / "run/checkpoints/task_002")
    shutil.rmtree(stopped / "models/run/2")
    (stopped / "run/DONE").unlink()
    run(stopped)
    states = [saved_variables(folder / "run/checkpoints/task_002/variables") for folder in (whole, stopped)]
    assert_same(states[0].values(), [states[1][key] for key in states[0]])
    with open(whole / "run/metrics.csv", newline="") as file:
        found = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    expected = [0.1 * 0.8 / 1, 0.1 * 0.8 / 1.5, 0.1 * 0.64 / 2, 0.1 * 0.64 / 2.5]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
