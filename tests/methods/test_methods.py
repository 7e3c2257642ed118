"""What methods hold in memory, as multiples of the number of weights."""

import numpy as np
import pytest
import tf_keras as keras

from keras_cl.networks.mlp import mlp
from keras_cl.settings import catalog
from keras_cl.streams.split import split

STREAM = split("digits", tasks=5, scenario="task")
SCALARS = 64  # counters and the like, which no one minds
# A weight.
FLOATS = {"finetune": 0, "l2": 1, "lwf": 1, "ogm": 1, "ewc": 2, "mas": 2, "scp": 2, "si": 3, "rwalk": 7}


def size(variables):
    return sum(v.shape.num_elements() for v in variables)


def ids(variables):
    return {id(v) for v in variables}


@pytest.mark.parametrize(("method", "floats"), FLOATS.items())
def test_the_state_of_a_method_is_what_is_documented_and_no_optimizer_moves_it(method, floats):
    model = catalog.load("method", method)(mlp(STREAM, hidden=(8,)))
    weights = size(model.network.variables)
    assert weights > 5 * SCALARS
    made = model.method_variables
    model.compile(keras.optimizers.Adam(0.01), jit=False)
    for task in STREAM[:2]:
        model.begin_task(task)
        chunk, _ = next(iter(model.batches(task, 32)))
        before = model.network.get_weights()
        model.train_step(chunk.step(0))
        assert any(np.any(old != new) for old, new in zip(before, model.network.get_weights(), strict=True))
        model.end_task(task)
    held = model.method_variables
    assert ids(held) == ids(made)  # nothing grows with the tasks, and the optimizer's is not counted
    assert 0 <= size(held) - floats * weights <= SCALARS
    assert ids(model.trainable_variables) == ids(model.network.trainable_variables)
    assert ids(held).isdisjoint(ids(model.network.variables) | ids(model.optimizer.variables))
