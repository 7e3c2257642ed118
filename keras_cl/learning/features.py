"""The features of a network: the parts before and behind the input of one of its dense layers."""

import tf_keras as keras

from keras_cl.errors import InputError, require
from keras_cl.learning.layers import NearestMean
from keras_cl.learning.network import asks_for_task


def feature_extractor(network):
    """The network up to the input of its last dense layer, or of what is around that layer."""
    dense = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Dense) or getattr(layer, "reads_features", False)
    ]
    require(
        dense,
        f"{network.name} has no dense layer among its own, whose input could be an image's features; make it "
        f"a functional or sequential model that ends in one.",
    )
    return keras.Model(network.inputs, dense[-1].get_input_at(0))  # other models may apply it again


def classified_by_means(network):
    """A network of the same layers that classifies by the nearest mean; `NearestMean` is its last layer."""
    features = feature_extractor(network).output
    scores = NearestMean(dtype="float32")([features, network.output])
    return keras.Model(network.inputs, scores, name=f"{network.name}_by_means")


def split_at_features(network):
    """Two networks of the same layers: raw images to the input of the first dense layer, and that to logits.

    Returns:
      `(extractor, rest, hidden)`; `hidden` is from the same features to the input of the last dense layer.
    """
    last = feature_extractor(network).output  # says so if there is no dense layer
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Dense))
    features = first.get_input_at(0)
    ends = [network.output] if last is features else [network.output, last]
    try:
        rest = keras.Model(features, ends)
    except ValueError:
        raise InputError(
            f"The features of {network.name} are the input of its first dense layer, {first.name}, and its "
            f"logits also depend on its images in another way."
        ) from None
    extractor = keras.Model(network.inputs, features, name=f"{network.name}_features")
    x, logits = rest.inputs[0], rest.outputs[0]
    hidden = (
        rest.outputs[1]
        if len(ends) > 1
        else keras.layers.Activation("linear", name=f"{network.name}_input")(x)
    )
    return extractor, keras.Model(x, logits, name=f"{network.name}_behind"), keras.Model(x, hidden)


def embedder_and_head(network):
    """The two parts of a network: from images to features `[n, d]`, and from features to logits.

    The features are the input of its last dense layer, as in `feature_extractor`.
    """
    embedder = feature_extractor(network)
    shape = embedder.output_shape
    require(
        not asks_for_task(network),
        f"{network.name} takes the task of an image, and features are those of the image alone.",
    )
    require(
        len(shape) == 2,
        f"{network.name} has features of the shape {shape[1:]} before its last dense layer; pool or flatten "
        f"them.",
    )
    try:
        return embedder, keras.Model(embedder.output, network.output)
    except ValueError:  # another way leads around them
        raise InputError(
            f"{network.name} does not answer by the features before its last dense layer alone."
        ) from None
