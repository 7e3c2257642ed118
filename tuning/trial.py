"""One configuration: learns the first tasks of a stream and is measured on validation rows."""

import dataclasses

import numpy as np

from keras_cl import metrics
from keras_cl.errors import require
from keras_cl.runs.learn import learn_task
from keras_cl.settings.build import make_model, stream_of_seed


def validation_matrix(config, stream, seed, tasks):
    """Accuracies on the validation rows of the first `tasks` tasks, which are learned in turn.

    Args:
      config: a `Config`; its stream holds out validation rows.
      stream: the stream of the seed.
      seed: seed of the model.
      tasks: number of tasks to learn.

    Returns:
      float array `[tasks + 1, tasks]` like the accuracy matrix of a run; test images are not read.

    Raises:
      Diverged: if the loss or the weights are no longer finite.
      InputError: if the configuration is impossible, or trains on none of these tasks.
    """
    config = dataclasses.replace(config, eval_every="task")  # after each epoch, test images would be used
    model, first = make_model(config, stream, seed), stream[:tasks]
    R, trained = [model.accuracies(first, after=0, part="valid")], False
    for task in first:
        trained |= bool(learn_task(model, task, config))
        R.append(model.accuracies(first, part="valid"))
    name = config.name_of("method")
    require(trained, f"{name} as it is set up does not train on any of the first {tasks} tasks.")
    return np.array(R)


def numbers(config, stream, tasks):
    """`{name: number}` of `keras_cl.metrics` over the first tasks, means over the seeds of `config`.

    Undefined metrics are left out.

    Raises:
      Diverged, InputError: as `validation_matrix`.
    """
    streams = [stream_of_seed(config, stream, seed) for seed in config.seeds]
    each = zip(streams, config.seeds, strict=True)
    found = [metrics.summary(validation_matrix(config, own, seed, tasks)) for own, seed in each]
    means = {name: each["mean"] for name, each in metrics.over_seeds(found).items()}
    return {name: mean for name, mean in means.items() if mean is not None}
