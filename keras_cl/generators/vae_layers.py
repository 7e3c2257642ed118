"""The layers of a VAE: dense ones, those of distributions, and models of them."""

from typing import Literal

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras as keras

from keras_cl.errors import require
from keras_cl.generators.gates import FixedGates
from keras_cl.numerics.random import GATES, GENERATOR, seed_of

tfd, tfpl = tfp.distributions, tfp.layers

Posterior = Literal["normal", "logvar", "tril"]
Likelihood = Literal["bernoulli", "normal"]
Prior = Literal["standard", "gmm"]


def require_conditions(prior, modes, gate_prop, conditions, hidden):
    """Raises `InputError` for a conditional prior or gates that cannot be."""
    require(modes >= 1, f"modes is {modes}; a conditional prior needs at least one for each class.")
    require(modes == 1 or prior == "gmm", f"modes is {modes}, and the prior {prior} has one; give prior=gmm.")
    require(0 <= gate_prop < 1, f"gate_prop is {gate_prop}; it must be at least 0 and below 1.")
    require(conditions or prior == "standard", f"The prior {prior} has modes of each class; give conditions.")
    require(
        conditions or not gate_prop, "gate_prop is the share of units that a class closes; give conditions."
    )
    require(hidden or not gate_prop, "gate_prop closes hidden units, and this decoder has no hidden layer.")


def dense_from(seed, weight_decay):
    """Function that applies a new dense layer; `place` gives its first weights."""
    decay = keras.regularizers.L2(weight_decay / 2) if weight_decay else None

    def dense(x, units, place, activation=None):
        initial = keras.initializers.GlorotUniform(seed_of(seed, place, GENERATOR))
        layer = keras.layers.Dense(
            units,
            activation,
            kernel_initializer=initial,
            kernel_regularizer=decay,
            name=f"generator_dense_{place}",  # a model of these and of a trunk's layers has each name once
        )
        return layer(x)

    return dense


def behind(prior, pixels):
    """A model from standard normal noise and one-hot modes `[n, C * M]` to what `pixels` makes of codes."""
    noise = keras.Input((prior.latent,), name="noise")
    chosen = keras.Input((prior.conditions * prior.modes,), name="mode")
    codes = [prior([noise, chosen])]
    if len(pixels.inputs) > 1:
        codes.append(tf.reduce_sum(tf.reshape(chosen, [-1, prior.conditions, prior.modes]), axis=2))
    # `call` applies the layers one by one: a model inside of a model could not be copied with own layers.
    return keras.Model([noise, chosen], pixels.call(codes), name="pixels_of_noise")


def inputs(input_shape, scale, conditions):
    """Inputs of an encoder, and the input of its first layer."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten()(keras.layers.Rescaling(scale)(images))
    x, inputs = with_condition(x, conditions)
    return [images, *inputs[1:]], x


def with_condition(x, conditions):
    """`x` concatenated with a class, if there are classes, and the list of inputs."""
    if not conditions:
        return x, [x]
    condition = keras.Input((conditions,), name="condition")
    return keras.layers.Concatenate()([x, condition]), [x, condition]


def likelihood(kind, shape):
    """The layer that turns flat pre-activations into p(x|z); its tensor value is the mean."""
    mean = tfd.Distribution.mean
    if kind == "bernoulli":
        return tfpl.IndependentBernoulli(shape, convert_to_tensor_fn=mean)

    def normal(pixels):
        return tfd.Independent(tfd.Normal(tf.reshape(pixels, [-1, *shape]), 1.0), len(shape))

    return tfpl.DistributionLambda(normal, convert_to_tensor_fn=mean)


def decoded(latent, conditions, hidden, dense, gates=()):
    """Inputs of a decoder, and the output of its hidden layers.

    Args:
      latent: dimension of z.
      conditions: number of classes of which one is an extra input of the first layer; 0 for none.
      hidden: widths of the encoder's hidden layers.
      dense: as `dense_from` returns it.
      gates: number of classes, probability that a gate is 0, and seed of the gates; empty for no gates.
    """
    x, codes = with_condition(keras.Input((latent,), name="z"), conditions)
    if gates:
        conditions, closed, seed = gates
        codes.append(keras.Input((conditions,), name="condition"))
    for place, width in enumerate(reversed(hidden), start=len(hidden) + 1):
        if gates:
            layer = FixedGates(conditions, closed, seed_of(seed, place, GATES))
            x = keras.layers.ReLU()(layer([dense(x, width, place), codes[1]]))
        else:
            x = dense(x, width, place, "relu")
    return codes, x


def posterior(kind, latent):
    """Number of encoder outputs, and the layer that turns them into a distribution.

    Its tensor value is the mean: a sample would come from a random generator that ignores the seed.
    """
    mean = tfd.Distribution.mean
    if kind == "tril":
        units = tfpl.MultivariateNormalTriL.params_size(latent)
        return units, tfpl.MultivariateNormalTriL(latent, convert_to_tensor_fn=mean)
    if kind == "normal":
        return 2 * latent, tfpl.IndependentNormal(latent, convert_to_tensor_fn=mean)

    def normal(parameters):
        mu, logvar = tf.split(parameters, 2, axis=-1)
        return tfd.Independent(tfd.Normal(mu, tf.exp(logvar / 2)), 1)

    return 2 * latent, tfpl.DistributionLambda(normal, convert_to_tensor_fn=mean)
