r"""Stable SGD: dropout and a large learning rate for wide minima in early tasks, small steps in later tasks.

Mirzadeh et al. 2020 (arXiv:2006.06958).

$$ \eta_t = \max\left(\eta_0 \gamma^t, 5 \cdot 10^{-5}\right) $$
"""

from keras_cl.regimes.base import Regime


class Stable(Regime):
    """lr_t = max(lr_0 decay^t, 5e-5), counting from t = 1 as the released code does; SGD with momentum .8.

    Batch size and dropout are the values that the author gave later, instead of 10 and .5 in the released
    script.
    """

    usual = {
        "optimizer": "sgd",
        "momentum": 0.8,
        "learning_rate": 0.1,
        "batch_size": 64,
        "network.dropout": 0.25,
        "regime.decay": 0.8,
        "regime.decay_from": 1,
    }
    search = {
        "learning_rate": (0.01, 0.3),
        "decay": (0.5, 1.0),
        "batch_size": [10, 32, 64],
        "network.dropout": [0.0, 0.25, 0.5],
    }
