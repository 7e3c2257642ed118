r"""Plain: the optimizer's learning rate, constant by default.

$$ \eta_k(e) = \max\left(\eta_0 \gamma^k, \eta_{\min}\right) \cdot \text{schedule}(e) \cdot
\text{warm-up}(e) $$
"""

from keras_cl.regimes.base import Regime


class Plain(Regime):
    """The learning rate follows the given schedule."""
