"""VAE: a variational auto-encoder learns every task's images and draws others like them."""

from typing import Literal, get_args

from keras_cl.errors import pick, require
from keras_cl.generators import VAE
from keras_cl.generators.memory import GenerativeMemory, adam
from keras_cl.generators.vae import Posterior

Labels = Literal["hard", "soft", "condition"]
Weighting = Literal["share", "constant", "mean"]


class VAEMemory(GenerativeMemory):
    """Images are drawn from `keras_cl.generators.VAE` as it was after the task before.

    Args:
      stream: whose images are to be generated.
      hidden: width of the encoder's hidden layers; the decoder has them in reverse.
      latent: length of the codes.
      posterior: how the encoder's outputs give a distribution of codes: normal, mean and softplus of the
        deviation; logvar, mean and log of the variance; tril, mean and a lower triangle.
      beta: weight of the KL term.
      conditional: whether images are drawn by class (domain-incremental: by task), all old ones alike.
      labels: of drawn images: hard, the class that the network of the task before finds most likely; soft,
        its probabilities; condition, the class that was asked for.
      temperature: of soft labels.
      scale_by_t2: whether the loss of soft labels is multiplied by the temperature's square.
      weighting: share, 1/t for the rows of task t and 1 - 1/t for drawn ones, in the method's loss and in the
        generator's; constant, `current` and 1 - `current`; mean, every row alike.
      current: weight of the current rows where weighting is constant.
      epochs: passes that the generator learns in by itself, after the method; 0 for the method's own steps.
      learning_rate: of the generator's optimizer, Adam.
      weight_decay: factor of the generator's kernels in their gradient.
      seed: of everything that is generated.
    """

    generates = True

    def __init__(
        self,
        stream,
        *,
        hidden: tuple[int, ...] = (400, 400),
        latent: int = 100,
        posterior: Posterior = "normal",
        beta: float = 1.0,
        conditional: bool = False,
        labels: Labels = "hard",
        temperature: float = 2.0,
        scale_by_t2: bool = True,
        weighting: Weighting = "share",
        current: float = 0.5,
        epochs: int = 0,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        seed: int = 0,
    ):
        pick("labels", labels, get_args(Labels))
        pick("weighting", weighting, get_args(Weighting))
        require(
            labels != "condition" or stream.scenario != "domain",
            "labels=condition takes a generator's class for a row's, and in the domain-incremental "
            "scenario it generates by task.",
        )
        conditions = len(stream) if stream.scenario == "domain" else stream.num_classes
        generator = VAE(
            stream.input_shape,
            scale=stream.source.scale,
            hidden=hidden,
            latent=latent,
            posterior=posterior,
            beta=beta,
            conditions=conditions if conditional else 0,
            weight_decay=weight_decay,
            seed=seed,
        )
        generator.compile(adam(learning_rate))
        super().__init__(
            generator,
            labels=labels,
            temperature=temperature,
            scale_by_t2=scale_by_t2,
            weighting=weighting,
            current=current,
            epochs=epochs,
            seed=seed,
        )
