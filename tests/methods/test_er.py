"""ER: whole steps against float64, its weightings, and what it refuses."""

import numpy as np
import pytest
from replays import B, assert_close, at_task, batch_of, entropies, gradient, step

from keras_cl.errors import InputError
from keras_cl.memories import Herding
from keras_cl.methods import ER, Finetune

SCENARIOS = ("task", "domain", "class")


def means(weight):
    """Weights of the rows of which those of the task, and those of the memory, each have sum 1."""
    current, replayed = weight.copy(), weight.copy()
    current[B:], replayed[:B] = 0, 0
    return current / current.sum(), replayed / max(1, replayed.sum())


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("held", [3, 1, 0])
def test_a_step_follows_the_mean_over_all_rows_each_under_its_own_classes(scenario, held):
    model, batch = at_task(3, ER, scenario), batch_of(3, held=held, scenario=scenario)
    weight = batch.weight.numpy().astype(float)
    _, delta = entropies(model, batch, model.network.get_weights())
    expected = gradient(batch, delta * (weight / weight.sum())[:, np.newaxis])
    assert_close(step(model, batch), expected)


@pytest.mark.parametrize("t", [1, 2, 3])
def test_share_gives_the_current_task_one_part_in_t(t):
    model, batch = at_task(t, ER, weighting="share"), batch_of(t)
    current, replayed = means(batch.weight.numpy().astype(float))
    _, delta = entropies(model, batch, model.network.get_weights())
    shares = current / t + (1 - 1 / t) * replayed
    assert_close(step(model, batch), gradient(batch, delta * shares[:, np.newaxis]))


@pytest.mark.parametrize("weighting", ["mean", "share"])
def test_with_nothing_in_the_memory_a_step_is_that_of_fine_tuning(weighting):
    batch = batch_of(1, held=0)
    found = step(at_task(1, ER, weighting=weighting), batch)
    assert_close(found, step(at_task(1, Finetune, memory=None), batch.current))
    assert np.abs(found[0]).max() > 0.01


def test_rows_are_offered_as_they_come_or_at_the_end_of_a_task():
    online, later = at_task(1, ER), at_task(1, ER, offers="task")
    task = batch_task(online)
    for model, expected in ((online, 6), (later, 0)):
        model.fit(model.batches(task, 4), verbose=0)
        assert len(model.memory) == expected
    online.end_task(task)
    assert int(online.memory.held().offered) == len(task.train)  # each once, not again at the end
    later.end_task(task)
    assert len(later.memory) == 6


def batch_task(model):
    from replays import stream_of

    return stream_of()[int(model.task)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": None}, "er replays from a memory; give it one"),
        ({"memory": Herding}, "chooses among all rows of a task.*offers=task"),
        ({"offers": "epoch"}, "offers 'epoch' is not known; possible: step, task"),
        ({"weighting": "men"}, "weighting 'men' is not known.*Did you mean mean"),
    ],
)
def test_what_cannot_be_used_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        at_task(1, ER, **options)


def test_a_memory_that_chooses_among_all_rows_is_filled_at_the_end():
    assert at_task(1, ER, memory=Herding, offers="task").memory is not None
