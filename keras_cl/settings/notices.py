"""Remarks of a run on its own results."""

from keras_cl.settings import catalog


def expectation(config):
    """A sentence about results that look like an error but are expected, or about a guarantee that does not
    hold with these settings; None if there is neither."""
    name, constants = config.name_of("method"), catalog.choice("method", config.method).constants
    if constants.get("plain_sgd") and (config.optimizer != "sgd" or config.momentum):
        how = f"{config.optimizer} with momentum" if config.momentum else config.optimizer
        return (
            f"{name} projects gradients, and what it promises holds for --optimizer=sgd without "
            f"momentum; this run used {how}."
        )
    if config.scenario not in constants.get("forgets_in", ()):
        return None
    return (
        f"{name} alone forgets nearly everything in the {config.scenario}-incremental scenario: "
        f"this is expected, not a fault."
    )
