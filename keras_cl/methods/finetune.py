"""Finetune: train on each task in turn and do nothing else. The lower bound."""

from keras_cl.methods.base import ContinualModel


class Finetune(ContinualModel):
    """Minimises the cross entropy of the current task, starting from the weights of the task before.

    It forgets: this is the lower bound that every method is compared with.
    """

    def train_step(self, batch):
        logits, gradients = self.task_gradients(batch)
        self.apply(gradients)
        return self.results(batch, logits)
