"""How each task of a stream is trained, and whether a model and a stream can be trained that way."""

import dataclasses
import math

from keras_cl.devices.ram import require_fits
from keras_cl.errors import require
from keras_cl.methods.base import ContinualModel
from keras_cl.runs.early_stopping import early_stopping as stops
from keras_cl.settings import checks
from keras_cl.streams.base import Stream

COPIES = 3  # of the images of a task: as the source has them, as the task shows them, as a constant
MOST_ROWS = 2**30  # of all steps of a task, which are numbered with 32 bits
BYTES_OF_A_ROW = 16  # in the order of a task's rows: shuffled, joined, padded, cut into chunks


@dataclasses.dataclass(frozen=True)
class Plan:
    """How each task is trained; a `Config` also has these attributes. See `learn`."""

    epochs: int
    iterations: int
    batch_size: int
    replay_batch_size: int
    eval_every: str
    early_stopping: int
    eval_tasks: str = "all"

    @property
    def settings(self):
        """`{name: value}`; without eval_tasks if all are evaluated, as in runs of earlier versions."""
        told = dataclasses.asdict(self)
        if self.eval_tasks == "all":
            del told["eval_tasks"]
        return told


def check(model, stream, plan, tasks=None):
    """Raises `InputError` for unusable arguments, before training; reads the data of the `tasks` that will be
    learned, by default of all."""
    tasks = stream if tasks is None else tasks
    require(isinstance(model, ContinualModel), f"learn takes a ContinualModel, not {type(model).__name__}.")
    require(isinstance(stream, Stream), f"learn takes a whole Stream, not {type(stream).__name__}.")
    model.require_compiled()
    require(plan.epochs >= 1, f"epochs is {plan.epochs}; it must be at least 1.")
    if stream.every:
        checks.check_one_pass(plan)
        checks.check_boundaries(model)
        stream.require_measurable(plan.batch_size)
    require(
        not (plan.iterations and model.regime.by_epoch),
        "With --iterations there are no epochs, which the schedule of the learning rate counts; give "
        "--regime.clock=step or task, and another schedule than plateau.",
    )
    for task in tasks:
        stops(plan, task)
        rows = len(task.train)
        require(
            rows >= plan.batch_size,
            f"--batch_size is {plan.batch_size} and task {task.number} has only {rows} training rows; give "
            f"at most that many.",
        )
        require(len(task.test), f"Task {task.number} has no test rows: its classes are {task.classes}.")
        if task.train.unread is None:  # a task that can be read in chunks need not fit
            size = COPIES * rows * math.prod(stream.input_shape) * stream.source.dtype.itemsize
            require_fits(size, f"The {rows:,} images of task {task.number}", "give smaller images")
    parts = max(1, plan.batch_size * max(len(model.training_tasks(task)) for task in tasks))
    require(
        plan.iterations * parts < MOST_ROWS,
        f"--iterations is {plan.iterations}; with --batch_size={plan.batch_size} it must be below "
        f"{MOST_ROWS // parts}.",
    )
    require_fits(BYTES_OF_A_ROW * plan.iterations * parts, "The order of the rows", "give fewer --iterations")
    if model.memory is not None:
        model.memory.require_images(stream)


def passes(plan):
    """Number of passes of `fit` over the data set of a task; with --iterations one pass has all its steps."""
    return 1 if plan.iterations else plan.epochs


def size(model, tasks, plan):
    """Rows, or steps, of the training on each of the tasks that the method trains on."""
    parts = [model.training_tasks(task) for task in tasks]
    if plan.iterations:
        return [plan.iterations * len(own) for own in parts if own]
    return [plan.epochs * sum(len(part.train) for part in own) for own in parts if own]
