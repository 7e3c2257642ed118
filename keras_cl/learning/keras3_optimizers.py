"""Optimizers of Keras 3 as optimizers of tf_keras."""

import sys

import tf_keras as keras

from keras_cl.errors import did_you_mean, require

# Settings of a Keras 3 optimizer that tf_keras does not have, or not in the same sense; what to do instead.
OTHER = {
    "loss_scale_factor": "compile scales the loss of a network in half precision by itself",
    "gradient_accumulation_steps": "give model.batches a larger batch_size",
    "use_ema": "an average begins in another way there, so give an optimizer of tf_keras",
}


def of_keras3(thing):
    """Whether an object is of Keras 3 (`import keras`); tf_keras is another package."""
    return any(kind.__module__.partition(".")[0] == "keras" for kind in type(thing).__mro__)


def translated(optimizer):
    """The tf_keras optimizer of the same class and settings as a Keras 3 optimizer; any other as it is.

    Raises:
      InputError: if tf_keras has no such optimizer, or the optimizer has a setting that tf_keras has not.
    """
    if not of_keras3(optimizer):
        return optimizer
    name, kinds = type(optimizer).__name__, _optimizers()
    require(
        name in kinds and type(optimizer) is getattr(sys.modules["keras"].optimizers, name),
        f"The Keras 3 optimizer {name} has no counterpart in tf_keras; possible: {', '.join(kinds)}."
        + did_you_mean(name, kinds),
    )
    config = optimizer.get_config()
    require(
        not isinstance(config["learning_rate"], dict),
        f"The learning rate of {name} is a schedule of Keras 3; give {name} a number, and compile a regime: "
        "compile(optimizer, regime=keras_cl.regimes.Plain(schedule=...)).",
    )
    for setting, instead in OTHER.items():
        require(not config.get(setting), f"{name} has {setting}, which tf_keras does not have; {instead}.")
    known = getattr(keras.optimizers, name)().get_config()
    del config["name"]  # which counts what was made before, and would differ from run to run
    config = {setting: value for setting, value in config.items() if setting in known}
    return getattr(keras.optimizers, name).from_config(config)


def _optimizers():
    """Names of the optimizers that Keras 3 and tf_keras both have."""
    known = vars(sys.modules["keras"].optimizers).items()
    names = [name for name, kind in known if isinstance(kind, type) and hasattr(keras.optimizers, name)]
    return sorted(set(names) - {"Optimizer", "LossScaleOptimizer"})
