"""Records within a task that is trained for a number of steps."""

from keras_cl.runs.history import EpochHistory

POINTS = 20  # records of a task, at most


class StepHistory(EpochHistory):
    """`EpochHistory` of a task with `--iterations`: a record has the number of the step, and its loss and
    other numbers are means over the steps since the record before it.

    Args:
      steps: steps of the task.
      chunk: steps between two calls of `on_train_batch_end`, which a record cannot divide.
      **history: arguments of `EpochHistory`.
    """

    def __init__(self, *history, steps, chunk, **options):
        super().__init__(*history, **options)
        self._steps, self._chunk = steps, chunk
        self._recorded, self._sums = 0, {}

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        step = min((batch + 1) * self._chunk, self._steps)
        if step < self._steps and self._is_recorded(step):
            super().on_epoch_end(0, self._since(step, logs))

    def _is_recorded(self, step):
        return step - self._recorded >= self._steps / POINTS

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, self._since(self._steps, logs))

    def _since(self, step, logs):
        """The step, and the means since the last record of what Keras gives as means since the beginning."""
        sums = {name: mean * step for name, mean in logs.items() if not name.startswith("val_")}
        steps = step - self._recorded
        means = {name: (total - self._sums.get(name, 0.0)) / steps for name, total in sums.items()}
        self._recorded, self._sums = step, sums
        return {"step": step, **logs, **means}
