"""The public methods of a Keras model: which of them a method has as they are, passes on, or refuses.

docs/keras.md has a table of all of them; a test compares it with this file and with `tf_keras.Model`.
"""

import tensorflow as tf

from keras_cl.errors import InputError
from keras_cl.learning.layers import logits_of

# Passed on to `model.network`, the plain Keras model.
OF_NETWORK = (
    "compute_output_shape",
    "compute_output_signature",
    "count_params",
    "export",
    "get_layer",
    "summary",
)

_MAKE_AGAIN = (
    "make the method again with its constructor, and give it the state with save_weights and load_weights"
)
_SAVE = (
    "model.network.save(path) saves the network, save_weights the whole state, and keras_cl.learn(model, "
    "stream, run_dir=...) keeps and resumes a run"
)
_OF_ONE_INPUT = "ask model.network"

# Refused, each with the way that does.
REFUSED = {
    "add_loss": "steps use the losses of layers: add it in a layer of the network, or give compile a loss",
    "add_metric": "give compile metrics=[...]",
    "add_update": "Keras has no updates any more",
    "build_from_config": _MAKE_AGAIN,
    "compile_from_config": _MAKE_AGAIN,
    "evaluate_generator": "evaluate takes a tf.data.Dataset",
    "fit_generator": "fit takes model.batches(task)",
    "from_config": _MAKE_AGAIN,
    "get_build_config": _MAKE_AGAIN,
    "get_compile_config": _MAKE_AGAIN,
    "get_config": _MAKE_AGAIN,
    "get_input_at": _OF_ONE_INPUT,
    "get_input_mask_at": _OF_ONE_INPUT,
    "get_input_shape_at": _OF_ONE_INPUT,
    "get_output_at": _OF_ONE_INPUT,
    "get_output_mask_at": _OF_ONE_INPUT,
    "get_output_shape_at": _OF_ONE_INPUT,
    "load_own_variables": "load_weights reads what save_weights has written",
    "predict_generator": "predict takes a tf.data.Dataset",
    "save": _SAVE,
    "save_own_variables": "save_weights writes the whole state",
    "save_spec": _OF_ONE_INPUT,
    "to_json": "model.network.to_json() describes the network",
    "to_yaml": "model.network.to_json() describes the network",
    "train_on_batch": (
        "rows need their task and the plan of a memory: fit takes model.batches(task), and "
        "model.train_step(batch) a keras_cl.learning.Batch"
    ),
    # What `copy` and `pickle` call.
    "__copy__": _MAKE_AGAIN,
    "__deepcopy__": _MAKE_AGAIN,
    "__reduce__": _MAKE_AGAIN,
}

# Arguments of Keras that compile and fit refuse, each with the way that does.
REFUSED_BY_COMPILE = {
    "loss_weights": "there is one output, and a method's own weights are its options",
    "weighted_metrics": "metrics count rows by their weight anyway: give metrics",
    "steps_per_execution": "fit runs many steps per call already",
    "jit_compile": "give jit=True, False or None",
    "pss_evaluation_shards": "there is no parameter server",
    "auto_scale_loss": "a loss is scaled where layers compute in float16",
}
REFUSED_BY_FIT = {
    "batch_size": "give it to model.batches(task, batch_size=...)",
    "class_weight": "give it to compile: it is part of the compiled step",
    "sample_weight": "give it to model.batches(task, sample_weight=...)",
    "shuffle": "model.batches(task) shuffles each epoch anew",
    "steps_per_epoch": "give model.batches(task, iterations=...) the number of steps",
    "validation_split": "give the stream a valid_fraction, and fit validation_data=task.valid",
    "validation_steps": "validation_data is evaluated as a whole: give fewer rows",
}
NO_EFFECT_IN_FIT = ("max_queue_size", "workers", "use_multiprocessing", "validation_batch_size")


def refuse(call, given, reasons):
    """Raises `InputError` for the first argument `given` to `call` that has a reason; `TypeError` for an
    unknown one."""
    for name in given:
        if name not in reasons:
            raise TypeError(f"{call} has no argument {name}.")
        raise InputError(f"{call} takes no {name} here: {reasons[name]}.")


class KerasMixin:
    """The part of a `ContinualModel` that is Keras's, apart from training and evaluation."""

    def __repr__(self):
        weights = sum(theta.shape.num_elements() for theta in self.network.trainable_variables)
        memory = "" if self.memory is None else f", memory {type(self.memory).__name__}"
        place = f"task {int(self.task.numpy()) + 1}" if self.begun else "no task begun"
        return f"<{type(self).__name__}: network {self.network.name}, {weights:,} weights{memory}, {place}>"

    def call(self, x, training=None):
        if isinstance(x, list | tuple):
            return self.network(x, training=training)
        return logits_of(self.network, x, tf.fill([tf.shape(x)[0]], self.task), training)

    @property
    def distribute_strategy(self):
        """The caller's strategy: Keras must not distribute chunks of steps among devices."""
        return tf.distribute.get_strategy()

    def build(self, input_shape=None):
        """Does nothing: the network is built."""
        self.built = True

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        """Mean loss of rows with output units `y` `[B]` and masked logits `y_pred` `[B, C]`."""
        losses = self.row_losses(tf.reshape(tf.cast(y, tf.int32), [-1]), y_pred)
        losses = losses if sample_weight is None else losses * sample_weight
        return tf.math.add_n([tf.reduce_mean(losses), *self.network.losses])

    def compute_metrics(self, x, y, y_pred, sample_weight):
        """Updates loss, accuracy and metrics with rows as in `compute_loss`, and returns them."""
        self._measure(tf.reshape(tf.cast(y, tf.int32), [-1]), y_pred, sample_weight, training=False)
        return self.get_metrics_result()

    def save_weights(self, filepath, overwrite=True, save_format=None, options=None):
        """Writes the whole state in TensorFlow's format: network, method, memory and optimizer."""
        path = str(filepath)
        if save_format in ("h5", "keras") or path.endswith((".h5", ".keras")):
            raise InputError(
                f"save_weights writes TensorFlow's format, which holds the state of the method too; give "
                f"{path} no such ending, or save the network alone: model.network.save_weights(path)."
            )
        return super().save_weights(filepath, overwrite, "tf", options)

    def load_weights(self, filepath, skip_mismatch=False, by_name=False, options=None):
        """Reads what `save_weights` of the same method, network, memory and optimizer has written."""
        if skip_mismatch or by_name:
            raise InputError("load_weights reads the whole state: neither skip_mismatch nor by_name.")
        self.require_compiled()
        if not tf.io.gfile.exists(f"{filepath}.index"):
            raise InputError(f"There is no {filepath}.index, which save_weights writes.")
        try:
            return super().load_weights(filepath, options=options).assert_existing_objects_matched()
        except (AssertionError, ValueError):
            raise InputError(f"{filepath} holds the state of another model.") from None


def _passed_on(name):
    def method(self, *given, **options):
        return getattr(self.network, name)(*given, **options)

    method.__name__, method.__doc__ = name, f"As `model.network.{name}`."
    return method


def _refusal(name, reason):
    def method(self, *given, **options):
        raise InputError(f"A continual-learning method has no {name}: {reason}.")

    method.__name__, method.__doc__ = name, f"Refused: {reason}."
    return classmethod(method) if name == "from_config" else method


for _name in OF_NETWORK:
    setattr(KerasMixin, _name, _passed_on(_name))
for _name, _reason in REFUSED.items():
    setattr(KerasMixin, _name, _refusal(_name, _reason))
