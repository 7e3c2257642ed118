"""Options: what the memories of all generators can be asked for."""

from typing import Literal

from keras_cl.errors import require

Labels = Literal["hard", "soft", "condition"]
Weighting = Literal["share", "constant", "mean"]


def conditions_of(stream, conditional, labels):
    """Number of conditions of a memory's generator: the classes of a `Stream`, or its tasks where all tasks
    have the same classes; 0 if it is not `conditional`.

    Raises:
      InputError: if `labels` need a class that the generator is not asked for.
    """
    domain = stream.scenario == "domain"
    require(
        labels != "condition" or not domain,
        "labels=condition takes a generator's class for a row's, and in the domain-incremental "
        "scenario it generates by task.",
    )
    return (len(stream) if domain else stream.num_classes) if conditional else 0
