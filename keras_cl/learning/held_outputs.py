"""Outputs on rows of earlier tasks that a method holds: the rows, the targets, the slope of the distance."""

import tensorflow as tf

from keras_cl.devices import replicas
from keras_cl.learning.batches import total
from keras_cl.learning.layers import MASKED, logits_of
from keras_cl.learning.slots import LOSS_SCALED, undone


class HeldOutputsMixin:
    """The part of a `ContinualModel` that compares outputs with those of a teacher; needs its `teacher`, a
    frozen copy of the network after the previous task or None, and its temperature `T`.

    The network is in inference mode: dropout masks and batch statistics are left to the rows of the task.
    """

    def held_rows(self, batch):
        """The rows X of a step, with weight 0 in the first task; None if nothing can be generated yet.

        Without a memory they are the current rows. If the task of a row is known, each stands for one of the
        earlier tasks then, in turn; rows are shuffled, so that in expectation each stands for all of them.
        """
        if self.memory is not None:
            return None if batch.drawn is None else batch.replayed()
        earlier = tf.cast(self.task, tf.int32)
        turn = replicas.places(batch.x.shape[0]) % tf.maximum(earlier, 1)
        task = turn if self._scenario == "task" else batch.task
        return batch._replace(task=task, weight=batch.weight * tf.cast(tf.sign(earlier), tf.float32))

    def held_probabilities(self, X):
        """y_X `[R, C]`: those of the teacher, which knows the classes of earlier tasks only, or of the
        network as it is."""
        z = logits_of(self.teacher or self.network, X.x, X.task)
        if self.teacher is not None and self._scenario == "class":
            z = tf.where(tf.gather(self._class_mask, tf.maximum(self.task - 1, 0)), z, MASKED)
        return tf.nn.softmax(self._masked(z, X.task) / self.T)

    def discrepancy(self, X, y):
        """d = T^2 KL(y || softmax(f(X) / T)), the mean over rows with weight; 0 if there are none."""
        z = self._masked(logits_of(self.network, X.x, X.task), X.task)
        difference = tf.math.xlogy(y, y) - y * tf.nn.log_softmax(z / self.T)
        KL = total(tf.reduce_sum(difference, axis=1) * X.weight)
        return self.T**2 * tf.math.divide_no_nan(KL, total(X.weight))

    def take_step(self, batch):
        """The optimizer's step on the loss of a batch; returns the results of the step."""
        logits, gradients = self.task_gradients(batch)
        self.apply(gradients)
        return self.results(batch, logits)

    def slope(self, X, y):
        """Gradient of d."""
        with tf.GradientTape() as tape:
            d = self.discrepancy(X, y)
        return self.gradients(tape, d)

    def slope_ahead(self, batch, X, y, second_order=False):
        """Gradient of d(theta + Delta) for the step Delta of the optimizer on a batch, which is then undone.

        It is v, the gradient of d at theta + Delta, if Delta counts as a constant; else v - alpha H v, with H
        the Hessian of the loss at theta, for the step Delta = -alpha * gradient of plain sgd.
        """
        with undone([*self.network.variables, *self.optimizer.variables]):
            self.apply(self.task_gradients(batch)[1])
            v = self.slope(X, y)
        if not second_order:
            return v
        with undone(self.network.non_trainable_variables), tf.GradientTape() as tape:
            _, g = self.task_gradients(batch)
            along = tf.add_n([tf.reduce_sum(g_i * v_i) for g_i, v_i in zip(g, v, strict=True)])
        Hv = self.gradients(tape, along)
        alpha = self.optimizer.learning_rate
        return [v_i - alpha * Hv_i for v_i, Hv_i in zip(v, Hv, strict=True)]

    def descend(self, slope, size):
        """A plain gradient step, whatever the optimizer; left out where loss scaling has overflowed."""
        scaled = isinstance(self.optimizer, LOSS_SCALED)
        sound = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in slope])
        for theta, g in zip(self.trained, slope, strict=True):
            new = theta - size * g
            new = new if theta.constraint is None else theta.constraint(new)
            theta.assign(tf.where(sound, new, theta) if scaled else new)
