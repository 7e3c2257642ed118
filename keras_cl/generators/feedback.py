"""Feedback: the generator is a part of the method's own network, and may generate that network's features.

van de Ven and Tolias 2018 (arXiv:1809.10635), and with features in place of images, van de Ven, Siegelmann
and Tolias 2020 (Nature Communications 11:4069).
"""

import tensorflow as tf

from keras_cl.errors import require
from keras_cl.generators.memory import GenerativeMemory


class Feedback(GenerativeMemory):
    """The decoder of the method's own network, which learns in the method's step.

    With an extractor, the rows are its features: it is applied to images of the task, never to generated
    rows, which enter the network behind it.

    Args:
      generator: a VAE that is not compiled, on the network's own layers.
      condition: class of a generated row in the loss of a conditional generator: sampled, the one that it was
        generated for; soft, its class probabilities.
      extractor: model from raw images to the features that are generated; None to generate images.
      rest: network from these features to logits.
      **options: those of `GenerativeMemory`.
    """

    def __init__(self, generator, *, condition="sampled", extractor=None, rest=None, **options):
        super().__init__(generator, **options)
        require(
            condition == "sampled" or self.labels == "soft",
            f"condition={condition} takes the probabilities of soft labels, and labels is {self.labels}.",
        )
        self.condition, self.extractor, self.rest = condition, extractor, rest
        self.generator.makes = "images" if extractor is None else "features"

    def attach(self, network, jit):
        super().attach(network if self.rest is None else self.rest, jit)

    def bind(self, stream):
        super().bind(stream)
        expected = len(stream) if stream.scenario == "domain" else stream.num_classes
        kind = "tasks" if stream.scenario == "domain" else "classes"
        require(
            self.generator.conditions in (0, expected),
            f"The generator is for {self.generator.conditions} classes or tasks, and {stream.name} has "
            f"{expected} {kind}; give scenario={stream.scenario!r} and tasks={len(stream)} to the method.",
        )
        if self.extractor is not None:
            self.generator.scale = 1.0

    def require_images(self, stream):
        if self.extractor is None:
            super().require_images(stream)

    def inputs(self, x):
        x = super().inputs(x)
        return x if self.extractor is None else self.extractor(x, training=False)

    def learn(self, batch):
        """Does nothing: the method's step trains the decoder."""
        return  # AutoGraph cannot convert a function that is a docstring alone

    # ---- parts of the method's step ----------------------------------------------------------------------

    def rows(self, batch):
        """What the network behind the extractor takes: images, or features of images in the first task, or
        the features that the batch then has (see `inputs`)."""
        if self.extractor is None or batch.drawn is not None:
            return batch.x
        return self.extractor(batch.x, training=True)

    def conditioned(self, batch, x):
        """The batch as the generator takes it, with the rows `x` and what it is told of each as `y`: a class,
        the task in the domain-incremental scenario, or class probabilities `[B, C]`."""
        batch = self._conditioned(batch)._replace(x=tf.stop_gradient(x))
        if batch.condition is None or self._scenario == "domain":
            return batch
        current = batch.y[: -batch.condition.shape[0]]
        if self.condition == "sampled":
            return batch._replace(y=tf.concat([current, batch.condition], axis=0))
        known = tf.one_hot(current, self.generator.conditions)
        return batch._replace(y=tf.concat([known, batch.target], axis=0))

    def freed(self, batch, gradients, variables):
        """The gradients, None for variables of an extractor whose features are replayed."""
        frozen = self.extractor is not None and batch.drawn is not None
        held = {id(v) for v in self.extractor.variables} if frozen else ()
        return [None if id(v) in held else g for g, v in zip(gradients, variables, strict=True)]
