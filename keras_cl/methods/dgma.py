r"""Dynamic generative memory by masks on units: its generator grows and overwrites nothing.

Ostapenko et al. 2019 (arXiv:1904.03137), with the masks of `hat`. Their classifier is a head of the critic;
here it is the network that is given. Not implemented: batch normalisation of the generator.

$$ m^t_l = \sigma(s\, e^t_l), \qquad \mathcal{L}_G = -\mathbb{E}\left[ f(G(z, c)) \right]
+ \lambda_{\mathrm{RU}} \frac{n_t}{n_1} R^t, \qquad
R^t = \frac{\sum_l \sum_i m^t_{l,i} (1 - r_{l,i})}{\sum_l \sum_i (1 - r_{l,i})} $$

$$ \Delta W_{l,ij} \leftarrow \left[ 1 - \min(r_{l-1,i}, r_{l,j}) \right] \Delta W_{l,ij}, \qquad
\mathcal{L}_S = \tfrac{1}{t} \mathrm{CE}(S(x), y) + \left(1 - \frac{1}{t}\right) \mathrm{CE}(S(G(z, c)), c) $$
"""

import tf_keras as keras

from keras_cl.errors import require
from keras_cl.generators.gan_networks import Form
from keras_cl.generators.masked_gan import ExactReplay, MaskedGAN
from keras_cl.learning.network import image_shape
from keras_cl.methods.finetune import Finetune


class DGMa(Finetune):
    """L_S = 1/t CE(S(x), y) + (1 - 1/t) CE(S(G(z, c)), c), c of earlier tasks;  G learns x, within its masks

    Every task masks the units of the generator's hidden layers, m = sigmoid(s e), and has an output layer of
    its own. Units that a task used are fixed, and as many new ones come. So what G generates of earlier tasks
    never changes, and c is the label of G(z, c). s rises from 1/s_max to s_max over the epochs of a task.

    Args:
      network: raw images to logits, S; the classifier.
      tasks: number of tasks, which is the number of masks and of output layers.
      form: networks of generator and critic: dense, perceptrons; conv, strided convolutions, whose units are
        channels and whose weights are the 4x4 windows between two of them.
      hidden: units of the generator's hidden layers at first, and number that is free for each task.
      limit: most units of a hidden layer; at most `tasks` times the first ones can be needed.
      latent: dimension of the codes z.
      sparsity: lambda_RU, cost of using units that no earlier task uses.
      s_max: sharpness of the masks at the end of a task.
      critic_steps: steps of the critic for each one of the generator; each step of the method is one.
      penalty_weight: weight of the critic's gradient penalty.
      generator_rate: learning rate of generator and critic, Adam.
      from_scratch: whether every task starts with the initial weights of the network, as in the paper.
    """

    scenarios = ("class",)
    needs_boundaries = "grows its generator task by task"
    memories = ()
    search = {"sparsity": (0.01, 1.0), "generator_rate": (2e-4, 5e-3)}
    masks = "units"

    def __init__(
        self,
        network,
        *,
        tasks: int = 5,
        form: Form = "dense",
        hidden: tuple[int, ...] = (64, 64),
        limit: int = 1024,
        latent: int = 64,
        sparsity: float = 0.1,
        s_max: float = 400.0,
        critic_steps: int = 3,
        penalty_weight: float = 10.0,
        generator_rate: float = 2e-3,
        from_scratch: bool = True,
        **base,
    ):
        require(
            base.get("reset_optimizer", True) or not from_scratch,
            "from_scratch starts again at every task, its optimizer too: reset_optimizer cannot be false.",
        )
        require(generator_rate > 0, f"generator_rate is {generator_rate}; it must be above 0.")
        super().__init__(network, **base)
        generator = MaskedGAN(
            image_shape(self.network),
            conditions=self.network.output_shape[-1],
            tasks=tasks,
            form=form,
            masks=self.masks,
            units=hidden,
            limit=limit,
            sparsity=sparsity,
            s_max=s_max,
            latent=latent,
            critic_steps=critic_steps,
            penalty_weight=penalty_weight,
            seed=self.seed,
        )
        generator.compile(*(keras.optimizers.Adam(generator_rate, 0.5, 0.999) for _ in range(2)))
        self.memory = ExactReplay(generator, labels="condition", seed=self.seed)
        self._initial_weights = from_scratch and self.network.get_weights()

    def begin_task(self, task):
        if self._initial_weights:
            self.network.set_weights(self._initial_weights)
        super().begin_task(task)

    def batches(self, task, batch_size=128, iterations=0, *more, **options):
        self.memory.generator.steps.assign(iterations or -(-len(task.train) // batch_size))
        return super().batches(task, batch_size, iterations, *more, **options)

    def fit(self, x=None, y=None, batch_size=None, epochs=1, *more, initial_epoch=0, **options):
        """As `fit` of every method; the masks become sharp over its epochs."""
        self.memory.generator.taken.assign(0)
        self.memory.generator.passes.assign(max(epochs - initial_epoch, 1))
        return super().fit(x, y, batch_size, epochs, *more, initial_epoch=initial_epoch, **options)
