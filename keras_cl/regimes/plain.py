"""Plain: the optimizer's learning rate, constant if nothing else is said."""

from keras_cl.regimes.base import Regime


class Plain(Regime):
    """The learning rate follows the schedule that is given."""
