"""A task that memory does not hold is learned as one that it does, bit for bit."""

import dataclasses

import numpy as np
import pytest
from helpers import assert_same

from keras_cl.check.subject import Subject
from keras_cl.devices import ram
from keras_cl.errors import InputError
from keras_cl.methods import Finetune
from keras_cl.networks import mlp
from keras_cl.runs.plan import Plan, check
from keras_cl.settings import catalog
from keras_cl.sources.lazy import LazyArray
from keras_cl.streams import split

METHODS = catalog.names("method")
FEW = ("er", "ewc")  # a memory that takes rows as they come; rows that are gone through after a task


def learned(method, folder, scenario, kind):
    """What a method has learned, and its evaluation, on tasks whose images are of this `kind`."""
    found = Subject(method, folder)._learned(scenario, "off", True)
    assert {type(task.train.open()[0]) for task in found.stream} == {kind}
    evaluation = found.model.evaluate_tasks(found.stream)
    kept = [variable.numpy() for variable in found.model.variables]
    return [*kept, found.losses, *found.before_end, *found.after_end, *evaluation[:2]]


def assert_learned_alike(method, folder, monkeypatch):
    scenarios = catalog.choice("method", method).constants.get("scenarios", ("class",))
    whole = learned(method, folder / "whole", scenarios[-1], np.ndarray)
    monkeypatch.setattr(ram, "largest_whole", lambda: 0)
    assert_same(learned(method, folder / "large", scenarios[-1], LazyArray), whole)


@pytest.mark.parametrize("method", FEW)
def test_a_large_task_is_learned_as_a_small_one(method, tmp_path, monkeypatch, eagerly):
    assert_learned_alike(method, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_a_large_task_as_a_small_one(method, tmp_path, monkeypatch):
    assert_learned_alike(method, tmp_path, monkeypatch)


def test_a_task_may_be_larger_than_memory(monkeypatch):
    stream = split("digits", tasks=2)
    model = Finetune(mlp(stream, hidden=(4,)))
    model.compile("sgd", jit=False)
    memory = 40_000  # bytes: less than the images of a task, which have 64 bytes
    assert 64 * len(stream[0].train) > memory
    monkeypatch.setattr(ram, "main_memory", lambda: memory)
    plan = Plan(1, 0, 10, 0, "task", 0)
    check(model, stream, plan)
    held = dataclasses.replace(stream[0].train, unread=None)
    monkeypatch.setattr(type(stream), "split", lambda *_: held)
    with pytest.raises(InputError, match="The .* images of task 1: at least .* GiB are needed"):
        check(model, stream, plan)
