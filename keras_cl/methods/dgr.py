r"""Deep generative replay: trains a network and a generator on each task and on images of earlier tasks.

Shin et al. 2017 (arXiv:1705.08690), with a VAE as in van de Ven and Tolias 2018 (arXiv:1809.10635).

$$ \mathcal{L}_t = r\, \mathbb{E}_{(x, y) \sim D_t}\left[ \mathrm{CE}(S(x), y) \right]
+ (1 - r)\, \mathbb{E}_{x' \sim G_{t-1}}\left[ \mathrm{CE}(S(x'), y') \right] \qquad \text{(eq. 1)} $$

$$ y' = \arg\max S_{t-1}(x'), \qquad r = \frac{1}{t} $$
"""

from keras_cl.errors import require
from keras_cl.methods.finetune import Finetune


class DGR(Finetune):
    """L = 1/t CE(S(x), y) + (1 - 1/t) CE(S(x'), y'),  x' ~ G_{t-1},  y' = argmax S_{t-1}(x')   (eq. 1)

    The memory generates x', labels them and weights the rows. In the same step the generator learns from x
    and x' with the same weights. G_{t-1} and S_{t-1} are frozen copies from the end of the previous task.

    Args:
      network: raw images to logits, S; a functional or sequential model, which is copied.
    """

    needs_boundaries = "replays from the generator of the tasks before"
    usual = {"memory": "vae"}
    stored = False
    search = {"memory.weighting": ["share", "mean"]}

    def __init__(self, network, **base):
        super().__init__(network, **base)
        require(self.memory is not None, f"{self.name} replays from a generator; give it a memory.")
