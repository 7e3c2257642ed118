r"""Learning without forgetting: distils the outputs of the previous network on the new images.

Li and Hoiem 2016 (arXiv:1606.09282); distillation: Hinton et al. 2015 (arXiv:1503.02531); weightings: van de
Ven and Tolias 2018 (arXiv:1809.10635) and 2019 (arXiv:1904.07734). Not implemented: warm-up of the new head
alone.

$$ \mathcal{L} = \mathcal{L}_t + \lambda_o\, \mathrm{KD}, \qquad
\mathrm{KD} = -\frac{1}{B} \sum_n \sum_c q_{n,c} \log s_{n,c} \qquad \text{(eq. 2)} $$

$$ q = \operatorname{softmax}\left(\frac{z_{\mathrm{old}}}{T}\right), \qquad
s = \operatorname{softmax}\left(\frac{z}{T}\right) \qquad \text{(eq. 3)} $$
"""

from typing import Literal, get_args

import tensorflow as tf

from keras_cl.devices.state import integers
from keras_cl.errors import pick, require
from keras_cl.learning.batches import weighted_mean
from keras_cl.learning.layers import MASKED, frozen_copy
from keras_cl.methods.base import ContinualModel

Weighting = Literal["cited", "count", "constant", "share"]
Student = Literal["old", "all"]
CITED = {"task": "count", "domain": "share", "class": "share"}  # by scenario


class LwF(ContinualModel):
    """L = CE_t + strength * KD with KD = -1/B sum_n sum_c q_c log s_c   (eqs. 2 and 3 of the paper)

    q = softmax(z_old / T) are the outputs of the teacher, the network after the previous task; s = softmax(z
    / T) are those of the student on the same images. KD is the mean over the heads of old tasks in the
    task-incremental scenario, over the one shared head in the domain-incremental scenario, and over the
    classes seen before in the class-incremental scenario.

    Args:
      network: raw images to logits; a functional or sequential model, which is copied for the teacher.
      strength: lambda_o, weight of the distillation.
      temperature: T of the distillation.
      weighting: loss at task t: count, CE + (t-1) * strength * KD, the paper's sum over old heads; constant,
        CE + strength * KD; share, CE/t + (1 - 1/t) * strength * KD; cited, that of the source, count (Li and
        Hoiem) in the task-incremental scenario and share (van de Ven and Tolias) in the others.
      student: classes of the student's softmax in the class-incremental scenario: old, those of the teacher;
        all, including new classes, to which the teacher gives probability 0.
      scale_by_t2: whether KD is multiplied by T^2, so that its gradient does not shrink with T.
    """

    forgets_in = ("class",)
    search = {"strength": (0.1, 10.0)}

    def __init__(
        self,
        network,
        *,
        strength: float = 1.0,
        temperature: float = 2.0,
        weighting: Weighting = "cited",
        student: Student = "old",
        scale_by_t2: bool = False,
        **base,
    ):
        require(strength >= 0, f"strength is {strength}; it must not be negative.")
        require(temperature > 0, f"temperature is {temperature}; it must be above 0.")
        super().__init__(network, **base)
        self.strength = strength * temperature**2 if scale_by_t2 else strength
        self.T, self.weighting = temperature, pick("weighting", weighting, get_args(Weighting))
        self.student = pick("student", student, get_args(Student))
        self.teacher, self._teach = frozen_copy(self.network)
        self.taught = integers()  # tasks that the teacher has learned: t - 1

    def train_step(self, batch):
        z_old = self.teacher(batch.x, training=False)
        old = tf.cast(self.taught, tf.float32)
        weighting = CITED[self._scenario] if self.weighting == "cited" else self.weighting
        # Strength 0 is fine-tuning with each of the weightings.
        weight_ce = 1 / (old + 1) if weighting == "share" and self.strength else 1.0
        weight_kd = {"count": old, "constant": tf.sign(old), "share": 1 - 1 / (old + 1)}[weighting]
        with tf.GradientTape() as tape:
            z = self.network(batch.x, training=True)
            logits = self._masked(z, batch.task)
            KD = self._distillation(z_old, z, batch.weight)
            loss = weight_ce * self.task_loss(batch, logits) + self.strength * weight_kd * KD
        self.apply(self.gradients(tape, loss))
        return self.results(batch, logits)

    def end_task(self, task):
        super().end_task(task)
        self._teach()
        self.taught.assign(task.number)

    def _distillation(self, z_old, z, weight):
        """KD, the mean over old heads of the cross entropy between the softened outputs (eqs. 2 and 3)."""
        known = tf.maximum(self.taught, 1)  # KD has weight 0 before there is a teacher
        if self._scenario == "task":
            heads = self._class_mask[:, tf.newaxis]  # [T, 1, C]
        elif self._scenario == "class":
            heads = tf.gather(self._class_mask, known - 1)
        else:
            heads = tf.ones_like(z, tf.bool)
        answers = tf.gather(self._class_mask, self.task) if self._uses_all() else heads
        q = tf.nn.softmax(tf.where(heads, z_old, MASKED) / self.T)
        log_s = tf.nn.log_softmax(tf.where(answers, z, MASKED) / self.T)  # eq. 3
        KD = -tf.reduce_sum(tf.where(heads, q * log_s, 0.0), axis=-1)  # eq. 2; [B] or [T, B]
        KD = weighted_mean(KD, weight)
        if self._scenario != "task":
            return KD
        old = tf.cast(tf.range(len(KD), dtype=tf.int64) < known, tf.float32)
        return tf.reduce_sum(KD * old) / tf.reduce_sum(old)

    def _uses_all(self):
        return self._scenario == "class" and self.student == "all"
