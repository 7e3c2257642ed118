"""The order of calls: `begin_task`, `fit` and `end_task` for one task of a stream after the other."""

import functools

import tensorflow as tf

from keras_cl.errors import require
from keras_cl.learning import noise


class OrderMixin:
    """The part of a `ContinualModel` that knows which task it learns, and where that starts from; needs its
    `_bind`, `network`, `seed`, `augment` and optimizer.

    Checks `begin_task` and `end_task` of every subclass before they change anything.
    """

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name, check, done in (
            ("begin_task", "_may_begin", "_has_begun"),
            ("end_task", "_may_end", "_has_ended"),
        ):
            if name in vars(cls):
                setattr(cls, name, _in_turn(vars(cls)[name], check, done))

    def _begin_order(self):
        # Numbers of the last task that was begun and of the last one that was ended; 0 for none.
        self.turn = tf.Variable([0, 0], trainable=False, dtype=tf.int64, name="turn")
        self._inside = False  # in a call of begin_task or end_task

    def _begin_training(self, task):
        """Random numbers, and the optimizer unless it is kept, as at the beginning of `task`."""
        noise.reseed(self.network, self.seed, task.index)
        self.augment.reseed(self.seed, task.index)
        if self.reset_optimizer:
            self._fresh_optimizer.restore()

    @property
    def begun(self):
        """Whether the model has begun to learn a stream."""
        return bool(self._turns[0])

    @property
    def in_task(self):
        """Whether a task has begun and not ended."""
        begun, ended = self._turns
        return begun != ended

    @property
    def _turns(self):
        return tuple(map(int, self.turn.numpy()))

    def _place(self, begun, ended):
        self.turn.assign([begun, ended])

    def restore(self, stream, tasks, read):
        """Restores the state after some tasks of a stream.

        Args:
          stream: the `Stream` that the model learns.
          tasks: number of tasks that it had learned.
          read: function that assigns the variables.
        """
        if tasks:
            self._bind(stream)
        read()
        self._place(tasks, tasks)

    def _may_begin(self, task):
        self.require_compiled()
        self._bind(task.stream)
        begun, ended = self._turns
        require(
            begun == ended,
            f"Task {begun} has begun: call end_task for it before begin_task of task {task.number}.",
        )
        require(
            not ended or task.number == ended + 1,
            f"The model has learned {ended} of {len(task.stream)} tasks, in their order, and this is task "
            f"{task.number}.",
        )

    def _has_begun(self, task):
        self._place(task.number, task.number - 1)

    def _may_end(self, task):
        begun, ended = self._turns
        require(begun, "Call begin_task(task) before end_task(task).")
        require(begun != ended, f"Task {ended} has ended already.")
        require(task.number == begun, f"Task {begun} has begun, and this is the end of task {task.number}.")
        self._bind(task.stream)

    def _has_ended(self, task):
        self._place(task.number, task.number)

    def require_learning(self, call="fit"):
        """Raises `InputError` if no task has begun, or the last one has ended; `call` was called."""
        begun, ended = self._turns
        require(begun, f"Call begin_task(task) before {call}: the step needs the stream's class mask.")
        require(begun != ended, f"Task {ended} has ended: call begin_task of the next task before {call}.")


def _in_turn(method, check, done):
    """A method of a task that is checked before and recorded after; not where it extends another one."""

    @functools.wraps(method)
    def called(self, task):
        if self._inside:
            method(self, task)
            return
        getattr(self, check)(task)
        self._inside = True
        try:
            method(self, task)
        finally:
            self._inside = False
        getattr(self, done)(task)

    return called
