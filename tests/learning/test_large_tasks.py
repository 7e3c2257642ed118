"""A task that memory does not hold is learned as one that it does, bit for bit."""

import numpy as np
import pytest
from helpers import assert_same

from keras_cl.check.subject import Subject
from keras_cl.devices import ram
from keras_cl.settings import catalog
from keras_cl.sources.lazy import LazyArray

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
