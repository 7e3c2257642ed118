"""Losses, class weights and metrics of one's own: one loss for each row, among the classes that are active.

Inactive classes have the logit `MASKED`. The loss that is used without any is the cross entropy.
"""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import InputError, require
from keras_cl.learning.layers import MASKED

POSSIBLE = (
    "SparseCategoricalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy and "
    "BinaryCrossentropy, each with from_logits=True, or a function of one's own, of output units [B] and "
    "logits [B, C], that returns the loss of each row [B]"
)
METRICS = ("SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "SparseCategoricalCrossentropy")
SHOWN_ANYWAY = ("accuracy", "acc", "loss")


class LossMixin:
    """The part of a `ContinualModel` that computes the loss of a row; needs its `name` and `own_loss`."""

    def _compile_losses(self, loss=None, metrics=None, class_weight=None):
        """Sets the loss, the metrics and the class weights, as `compile` takes them."""
        own_loss = weights = None
        if loss is not None:
            own_loss = row_loss(loss, self.network.output_shape[-1])
        if class_weight is not None:
            weights = weights_of(class_weight, self.network.output_shape[-1])
        own_metrics = row_metrics(metrics)
        for given, what in ((own_loss, "loss"), (weights, "class_weight")):
            require(
                given is None or not self.own_loss,
                f"{self.name} takes no {what} in compile: it {self.own_loss}.",
            )
        # Not tracked by Keras: a checkpoint does not depend on what was measured.
        object.__setattr__(self, "compiled_with", (own_loss, weights, own_metrics))
        told = {"loss": loss, "metrics": metrics, "class_weight": class_weight}
        object.__setattr__(self, "told_losses", {k: told_of(v) for k, v in told.items() if v is not None})

    def row_losses(self, y, logits, training=True):
        """Loss of each row `[B]`, by its output unit `[B]` and its logits `[B, C]`; by default the cross
        entropy. Class weights count in training only, as in Keras."""
        loss, weights, _ = self.compiled_with
        if loss is None:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        else:
            losses = loss(y, logits)
        return losses if weights is None or not training else losses * tf.gather(weights, y)

    @property
    def own_metrics(self):
        """The metrics that `compile` was given."""
        return self.compiled_with[2]

    def _measure(self, y, logits, weight, training=True, batch=None):
        """Updates loss, accuracy and the metrics of one's own with rows; `logits` are masked, and a `Batch`
        has sample weights and labels of mixed images."""
        answers = tf.argmax(logits, axis=1, output_type=tf.int32)

        def losses(y):
            return self.row_losses(y, logits, training)

        def correct(y):
            return tf.cast(answers == y, tf.float32)

        self._loss.update_state(losses(y) if batch is None else batch.counted(batch.labelled(losses)), weight)
        self._accuracy.update_state(correct(y) if batch is None else batch.labelled(correct), weight)
        for metric in self.own_metrics:
            metric.update_state(y, logits, sample_weight=weight)


def row_loss(loss, outputs):
    """The function of output units `[B]` and logits `[B, C]` that gives the loss `[B]` of each row.

    Args:
      loss: what `compile` was given, see `POSSIBLE`.
      outputs: C.

    Returns:
      None for the cross entropy of the default.

    Raises:
      InputError: if the loss is not one of integer labels, or not finite where classes are not active.
    """
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    losses, of_keras = keras.losses, getattr(loss, "__module__", type(loss).__module__).startswith("tf_keras")
    require(callable(loss) and not (of_keras and not isinstance(loss, losses.Loss)), _unusable(name))
    if not of_keras:
        return _checked(loss.call if isinstance(loss, losses.Loss) else loss, name, outputs)
    how = dict(loss.get_config())
    require(how.get("from_logits", True), f"Networks return logits: give {name} from_logits=True.")
    require(how["reduction"] != "sum", f"{name} has the reduction sum; a loss here is the mean over rows.")
    smoothing = how.get("label_smoothing", 0.0)
    if type(loss) is losses.SparseCategoricalCrossentropy and how.get("ignore_class") is None:
        return None
    if type(loss) is losses.CategoricalCrossentropy:
        return lambda y, logits: tf.nn.softmax_cross_entropy_with_logits(
            _smoothed(y, logits, smoothing), logits
        )
    if type(loss) is losses.CategoricalFocalCrossentropy:
        options = {"alpha": how["alpha"], "gamma": how["gamma"], "from_logits": True}
        return lambda y, logits: losses.categorical_focal_crossentropy(
            _smoothed(y, logits, smoothing), logits, **options
        )
    if type(loss) is losses.BinaryCrossentropy:
        return lambda y, logits: _one_against_all(y, logits, smoothing)
    raise InputError(_unusable(name))


def _unusable(name):
    return f"The loss {name} is not one of rows with an integer class; possible: {POSSIBLE}."


def _checked(function, name, outputs):
    """A loss of one's own, tried on two rows in which one class is not active."""
    logits = np.linspace(-1.0, 1.0, 2 * outputs, dtype=np.float32).reshape(2, outputs)
    logits[:, 1:2] = MASKED
    try:
        losses = tf.convert_to_tensor(function(tf.zeros(2, tf.int32), tf.constant(logits)))
    except (TypeError, ValueError, tf.errors.OpError) as error:
        said = str(error).strip().split("\n")[0]
        raise InputError(
            f"The loss {name} cannot be computed from units [B] and logits [B, C]: {said}"
        ) from None
    shape = losses.shape.as_list()
    require(shape == [2], f"The loss {name} has to return one number a row; of 2 rows it returns {shape}.")
    require(
        bool(tf.reduce_all(tf.abs(losses) < -MASKED / 1e3)),
        f"The loss {name} is {losses.numpy().max():g} for a row in which a class is not active: leave out "
        f"the classes whose logit is {MASKED:g}.",
    )
    return function


def _active(logits):
    return tf.cast(logits > MASKED / 2, logits.dtype)


def _smoothed(y, logits, smoothing):
    """Class probabilities `[B, C]`: 1 - smoothing for the own class, the rest for all active ones alike."""
    active, own = _active(logits), tf.one_hot(y, logits.shape[-1], dtype=logits.dtype)
    share = active / tf.reduce_sum(active, axis=-1, keepdims=True)
    return (1 - smoothing) * own + smoothing * share if smoothing else own


def _one_against_all(y, logits, smoothing):
    """Mean over active classes of the binary cross entropy of being the row's class."""
    active, own = _active(logits), tf.one_hot(y, logits.shape[-1], dtype=logits.dtype)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(own * (1 - smoothing) + smoothing / 2, logits)
    return tf.reduce_sum(tf.where(active > 0, losses, 0.0), axis=-1) / tf.reduce_sum(active, axis=-1)


def row_metrics(metrics):
    """List of Keras metrics of output units `[B]` and masked logits `[B, C]`; loss and accuracy are shown
    anyway.

    Raises:
      InputError: if one of them is not a metric of integer labels.
    """
    metrics = metrics if isinstance(metrics, list | tuple) else [] if metrics is None else [metrics]
    shown = [isinstance(metric, str) and metric in SHOWN_ANYWAY for metric in metrics]
    made = [_metric(metric) for metric, already in zip(metrics, shown, strict=True) if not already]
    names = [metric.name for metric in made]
    clash = sorted({n for n in names if names.count(n) > 1 or n in SHOWN_ANYWAY})
    require(not clash, f"Two metrics have the name {', '.join(clash)}.")
    return made


def _metric(given):
    if isinstance(given, str):
        given = keras.metrics.get(given)
        require(
            getattr(given, "__name__", "").startswith("sparse_"),
            f"The metric {getattr(given, '__name__', given)} is not one of integer labels; possible: "
            f"{', '.join(METRICS)}, or one of one's own.",
        )
        return keras.metrics.MeanMetricWrapper(given, name=given.__name__)
    if not isinstance(given, keras.metrics.Metric):
        require(callable(given), f"A metric is a keras.metrics.Metric or a function, not {given!r}.")
        return keras.metrics.MeanMetricWrapper(given, name=getattr(given, "__name__", "metric"))
    name, of_keras = type(given).__name__, type(given).__module__.startswith("tf_keras")
    require(
        not of_keras or name in (*METRICS, "MeanMetricWrapper"),
        f"The metric {name} is not one of integer labels and logits; possible: {', '.join(METRICS)}, or one "
        f"of one's own.",
    )
    require(
        not of_keras or getattr(given, "_fn_kwargs", {}).get("from_logits", True),
        f"Networks return logits: give the metric {name} from_logits=True.",
    )
    return given


def weights_of(class_weight, outputs):
    """Weights `[C]` of the rows of each output unit, from `{unit: weight}`; 1 for units not named.

    Raises:
      InputError: if a unit does not exist, or a weight is negative or not finite.
    """
    require(isinstance(class_weight, dict), f"class_weight is {{unit: weight}}, not {class_weight!r:.40}.")
    weights = np.ones(outputs, np.float32)
    for unit, weight in class_weight.items():
        require(
            isinstance(unit, int | np.integer) and 0 <= unit < outputs,
            f"class_weight has the output unit {unit!r}, and the network has the units 0 to {outputs - 1}.",
        )
        require(
            np.isfinite(weight) and weight >= 0,
            f"class_weight is {weight} for unit {unit}; it must not be negative.",
        )
        weights[unit] = weight
    return tf.constant(weights)


def told_of(given):
    """Plain values that identify a loss, metrics or class weights in the settings of a run."""
    if isinstance(given, dict):
        return {str(key): float(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [told_of(one) for one in given]
    if isinstance(given, str):
        return given
    if isinstance(given, keras.losses.Loss | keras.metrics.Metric):
        return {"class": type(given).__name__, **given.get_config()}
    return getattr(given, "__qualname__", type(given).__name__)
