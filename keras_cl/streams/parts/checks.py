"""What the tasks of a stream have to be."""

from keras_cl.errors import require


def require_tasks(stream):
    """Raises `InputError` if the arguments of a `Stream` do not fit each other."""
    require(
        len(stream.views) == len(stream.task_classes),
        f"The stream has {len(stream.task_classes)} tasks and {len(stream.views)} views: give one for each.",
    )
    require(
        len(stream.shown_classes) == len(stream.task_classes),
        f"The stream has {len(stream.task_classes)} tasks and train_classes for {len(stream.shown_classes)}.",
    )
    for number, classes in enumerate(stream.shown_classes, 1):
        unknown = sorted({*classes} - {*stream.source.classes})
        require(
            not unknown,
            f"Task {number} has the classes {unknown}; the labels of {stream.source.name} are "
            f"{list(stream.source.classes)}.",
        )
        require(
            len({*classes}) == len(classes) > 0,
            f"Task {number} has the classes {list(classes)}: each must be named once, and one at least.",
        )
        tested = stream.task_classes[number - 1]
        require(
            {*tested} <= {*classes} and tested,
            f"Task {number} is tested on the classes {list(tested)} and trained on {list(classes)}: give "
            f"it training rows of all of them.",
        )
    require(
        0 <= stream.valid_fraction < 1,
        f"valid_fraction is {stream.valid_fraction}; it must be at least 0 and below 1.",
    )
