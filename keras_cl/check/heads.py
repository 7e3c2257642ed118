"""What a method does to the heads of other tasks."""

import numpy as np

from keras_cl.check.compare import same
from keras_cl.learning import heads
from keras_cl.settings.build import make_model


def later_outputs_moved(subject, optimizer):
    """Whether the first of two tasks of a `Subject` moved the outputs of the second."""
    result = subject.trained("task", eagerly=True, optimizer=optimizer)
    network = make_model(subject.config("task", optimizer=optimizer), result.stream, seed=0).network
    later = ~result.stream.class_mask[0]
    position = {id(variable): at for at, variable in enumerate(network.weights)}
    for at, axis in heads.outputs(network, network.trainable_variables, result.stream):
        before = network.trainable_variables[at]
        after = result.weights[0][position[id(before)]]
        if not same(*([np.compress(later, array, axis)] for array in (before.numpy(), after))):
            return True
    return False
