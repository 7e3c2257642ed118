"""Finetune: train on each task in turn and do nothing else. The lower bound."""

import tensorflow as tf

from keras_cl.model import ContinualModel


class Finetune(ContinualModel):
    """Minimises the cross entropy of the current task, starting from the weights of the task before.

    It forgets: this is the lower bound that every method is compared with.
    """

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            logits = self.logits(batch)
            loss = self.task_loss(batch, logits)
        self.apply(self.gradients(tape, loss))
        return self.results(batch, logits)
