r"""Dark experience replay with labels: adds to DER the cross entropy on a second draw from the memory.

DER++ of Buzzega et al. 2020 (arXiv:2004.07211).

$$ \mathcal{L} = \mathcal{L}_t + \alpha\, \mathbb{E}_{(x', y', z') \sim \mathcal{M}}
\left[ \lVert z' - h_\theta(x') \rVert_2^2 \right] + \beta\, \mathbb{E}_{(x'', y'', z'') \sim \mathcal{M}}
\left[ \mathrm{CE}(f_\theta(x''), y'') \right] \qquad \text{(eq. 6)} $$
"""

import tensorflow as tf

from keras_cl.errors import require
from keras_cl.learning.batches import total
from keras_cl.methods.der import DER, Head, Reduction


class DERpp(DER):
    """L = CE_t + alpha * ||z' - h(x')||^2 + beta * CE(x'', y''), means over two draws   (eq. 6 of the paper)

    Args:
      network: raw images to logits.
      alpha: weight of the loss on stored logits.
      beta: weight of the cross entropy on stored labels.
      reduction: how the squared differences of a row are reduced over classes: mean or sum (see `der`).
      head: classes of the cross entropies in the class-incremental scenario: all or seen.
    """

    usual = {"memory": "reservoir"}
    generated = False
    needs_boundaries = ""
    online = True
    draws = 2
    search = {"alpha": (0.1, 10.0), "beta": (0.1, 10.0)}

    def __init__(
        self,
        network,
        *,
        alpha: float = 0.2,
        beta: float = 0.5,
        reduction: Reduction = "mean",
        head: Head = "all",
        **base,
    ):
        require(beta >= 0, f"beta is {beta}; it must not be negative.")
        super().__init__(network, alpha=alpha, reduction=reduction, head=head, **base)
        self.beta = beta

    def objective(self, batch, h, logits):
        second = batch.replayed(1, self.draws)
        entropy = self.row_losses(second.y, logits[-second.x.shape[0] :])
        CE = tf.math.divide_no_nan(total(entropy * second.weight), total(second.weight))
        return super().objective(batch, h, logits) + self.beta * CE  # eq. 6
