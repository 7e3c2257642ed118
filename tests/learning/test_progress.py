"""Progress: which long work is told, and that what is told adds up to all of it."""

import contextlib

import pytest
from helpers import blobs, learn, small

from keras_cl import sources, streams
from keras_cl.importance.fisher import Fisher
from keras_cl.learning.progress import QUIET, Progress, shown_by
from keras_cl.networks import mlp
from keras_cl.settings.build import make_model
from keras_cl.settings.config import Config

SOURCE = sources.from_arrays(**blobs([20] * 4))


class Told(Progress):
    """Keeps each phase with its total and what was done."""

    def __init__(self):
        self.phases = []

    @contextlib.contextmanager
    def phase(self, name, total):
        phase = [name, total, 0]
        self.phases.append(phase)

        def advance(amount=1):
            phase[2] += amount

        yield advance


def told_of(method, scenario):
    """The phases of two tasks with a method, in eager steps, and of one evaluation after them."""
    stream = streams.split(SOURCE, tasks=2, scenario=scenario)
    settings = {"tasks": 2, "batch_size": 8, "jit": "off", "options": small(method)}
    config = Config(method=method, scenario=scenario, **settings)
    model, told = make_model(config, stream, seed=0), Told()
    model.run_eagerly = True
    with shown_by(told, model):
        for _ in learn(model, stream, batch_size=8):
            pass
        model.evaluate_tasks(stream)
    assert model.progress is QUIET
    return told.phases


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("method", "scenario", "phase"),
    [
        ("ewc", "task", ["importance of the weights", 40]),
        ("mas", "task", ["importance of the weights", 40]),
        ("scp", "task", ["importance of the weights", 40]),
        ("icarl", "class", ["features", 40]),
        ("generative_replay", "class", ["training of the generator", 2]),
    ],
)
def test_long_work_of_methods_is_told(method, scenario, phase):
    phases = told_of(method, scenario)
    assert [phase, phase] == [[name, total] for name, total, _ in phases if name == phase[0]][:2]
    assert phases[-1] == ["evaluation", 40, 40]
    assert all(total == done for _, total, done in phases)


def test_the_passes_of_a_batched_fisher_are_told():
    stream = streams.split(SOURCE, tasks=2)
    x, y = stream[0].train.open()
    told, mask = Told(), stream.class_mask[0]
    F = Fisher(mlp(stream, hidden=(4,)), "batched", batch_size=8)(x, y, mask, progress=told)
    assert told.phases == [["importance of the weights", 5, 5]] and len(F) == 4
