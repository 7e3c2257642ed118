"""Methods that learn from their memory alone, with and without tasks."""

from keras_cl.learning import batches, loop
from keras_cl.learning.layers import logits_of
from keras_cl.numerics.random import ORDER, seed_of


class MemoryPassesMixin:
    """The part of a `ContinualModel` that trains on the rows in the memory; it needs `passes` and
    `start_again(steps)`.

    With tasks, these rows are the training rows of a task. Without, the steps of the pass only offer their
    rows, and measure the network as it is; it is trained before each measurement. What was learned before
    has no part in that, so measurements do not change what is learned.
    """

    _behind = False  # whether rows were stored since the network was trained

    def training_rows(self, task):
        return super().training_rows(task) if task.stream.every else self.memory.rows()

    def batches(self, task, batch_size=128, *more, **options):
        self._batch_size = batch_size
        return super().batches(task, batch_size, *more, **options)

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            jit = self.jit and not self._alone
            self._learn_memory = loop.train_function(self, super()._step, jit, strategy=self._strategy)
        return super().make_train_function(force)

    def _step(self, batch):
        if not self.online:
            return super()._step(batch)
        logits = logits_of(self.network, batch.x, batch.task, training=False)
        return self.results(batch, self._masked(logits, batch.task))

    def after_steps(self, chunk):
        super().after_steps(chunk)
        self._behind |= self.online and bool((chunk.stored.numpy() >= 0).any())

    def begin_measurement(self, task):
        """Trains on the memory, if that was not done since a row was stored."""
        if not self._behind:
            return
        kept = [(v, v.numpy()) for metric in self.metrics for v in metric.variables]  # of the pass
        self.start_again(-(-len(self.memory) // self._batch_size))
        self._begin_training(task)
        self._make_passes(seed_of(self.seed, task.index, ORDER))
        for variable, value in kept:
            variable.assign(value)
        self._behind = False

    def _make_passes(self, seed):
        """Passes over the memory, each in an order of its own."""
        x, y, own = self.memory.rows()
        # A length for any number of rows, so that the loop is compiled once.
        most = min(batches.MOST, -(-self.memory.capacity // self._batch_size))
        length = batches.chunk_length(self._batch_size, x[0].nbytes, most)
        data = batches.chunks(x, y, own, batch_size=self._batch_size, seed=seed, length=length)
        chunks, count = iter(data.repeat(self.passes)), self.passes * len(data)
        with self.progress.phase("training on the memory", count) as advance:
            for _ in range(count):
                self._learn_memory(chunks)
                advance()
