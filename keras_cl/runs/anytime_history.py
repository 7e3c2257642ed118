"""Records within a pass without tasks, each a measurement at any time."""

from keras_cl.runs.results import plain
from keras_cl.runs.step_history import StepHistory


class AnytimeHistory(StepHistory):
    """`StepHistory` with a record every `stream.every` steps and at the end, each with the accuracy on all
    test rows, and what `Online.measured` says of the classes seen so far.

    Args:
      batch_size: rows of a step.
      **history: arguments of `StepHistory`.
    """

    def __init__(self, *history, batch_size, **options):
        super().__init__(*history, **options)
        self._rows = len(self._task.train), batch_size

    def _is_recorded(self, step):
        return step % self._task.stream.every == 0

    def on_test_begin(self, logs=None):
        self._learner.begin_measurement(self._task)  # Keras evaluates the validation rows first

    def _measures(self):
        self._learner.begin_measurement(self._task)
        stream, (most, size) = self._task.stream, self._rows
        evaluation = self._learner.evaluate_tasks(stream)
        measured = stream.measured(min(self._recorded * size, most), evaluation.by_class(stream)[0])
        return {"accuracies": plain(evaluation.accuracies), **measured}
