"""Plain: the optimizer's learning rate, constant by default."""

from keras_cl.regimes.base import Regime


class Plain(Regime):
    """The learning rate follows the given schedule."""
