"""A call of a signature: arrays are checked as TensorFlow Serving does, then batched with other calls."""

import dataclasses
import re
import threading

import numpy as np
import tensorflow as tf

from keras_cl.serve.batching import batched, can_be_batched
from keras_cl.serve.errors import NAMES, ServingError

CODES = {
    tf.errors.InvalidArgumentError: "INVALID_ARGUMENT",
    tf.errors.FailedPreconditionError: "FAILED_PRECONDITION",
    tf.errors.NotFoundError: "NOT_FOUND",
    tf.errors.ResourceExhaustedError: "RESOURCE_EXHAUSTED",
    tf.errors.UnimplementedError: "UNIMPLEMENTED",
    tf.errors.UnavailableError: "UNAVAILABLE",
    tf.errors.DeadlineExceededError: "DEADLINE_EXCEEDED",
    tf.errors.InternalError: "INTERNAL",
}


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature of a SavedModel.

    Attributes:
      name: its key.
      inputs, outputs: dicts of `tf.TensorSpec`, by alias.
      method_name: "tensorflow/serving/predict" or another of TensorFlow Serving's.
    """

    name: str
    inputs: dict
    outputs: dict
    method_name: str


class Caller:
    """Checks the arrays of a request and calls a signature.

    Args:
      key: name of the signature.
      function: concrete function of a SavedModel.
      method_name: of its `SignatureDef`.
      batching: `Batching`.
    """

    def __init__(self, key, function, method_name, batching):
        inputs = dict(sorted(function.structured_input_signature[1].items()))
        outputs = {
            alias: tf.TensorSpec(output.shape, output.dtype)
            for alias, output in sorted(function.structured_outputs.items())
        }
        self.signature = Signature(key, inputs, outputs, method_name)
        self._dtypes = {alias: spec.dtype for alias, spec in inputs.items()}
        self._dims = {alias: _dims(spec.shape) for alias, spec in inputs.items()}
        specs = list(inputs.values())

        @tf.function(input_signature=specs)
        def flat(*tensors):
            answered = function(**dict(zip(inputs, tensors, strict=True)))
            return [answered[alias] for alias in outputs]

        self._direct, self._batched = flat.get_concrete_function(), None
        self._largest = batching.max_batch_size
        self._lock, self._running = threading.Lock(), 0
        if can_be_batched(specs, list(outputs.values())):
            self._batched = batched(self._direct, specs, batching)

    def __call__(self, inputs, outputs=()):
        if inputs.keys() != self._dtypes.keys():
            _refuse_names(set(inputs), set(self._dtypes))
        outputs = self._asked(outputs)
        tensors = [self._tensor(alias, inputs[alias]) for alias in self._dtypes]
        self._require_rows(tensors)
        answered = dict(zip(self.signature.outputs, self._run(tensors), strict=True))
        return {alias: answered[alias].numpy() for alias in outputs}

    def _asked(self, outputs):
        """The aliases of the outputs of a request, which may name some of them."""
        known = self.signature.outputs
        for alias in outputs:
            if alias not in known:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                    f"{{{','.join(known)}}}.",
                )
        if len(set(outputs)) < len(outputs):
            twice = next(alias for place, alias in enumerate(outputs) if alias in outputs[:place])
            raise ServingError("INVALID_ARGUMENT", f"duplicate output tensor alias: {twice}")
        return outputs or known

    def _tensor(self, alias, array):
        dtype = self._dtypes[alias]
        given = tf.string if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype)
        if given != dtype:
            place = list(self._dtypes).index(alias)
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Expects arg[{place}] to be {_named(dtype)} but {_named(given)} is provided",
            )
        dims = self._dims[alias]
        if dims is not None and not _fits(array.shape, dims):
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Input {alias} has the shape {list(array.shape)}, but the signature {self.signature.name} "
                f"takes {[-1 if dim is None else dim for dim in dims]}",
            )
        return tf.convert_to_tensor(array, dtype)

    def _require_rows(self, tensors):
        """Inputs of a signature that can be batched have a row for each example."""
        if self._batched and len({tensor.shape[0] for tensor in tensors}) > 1:
            raise ServingError(
                "INVALID_ARGUMENT",
                "Batching input tensors supplied in a given op invocation must have equal 0th-dimension size",
            )

    def _run(self, tensors):
        with self._lock:
            alone = not self._running
            self._running += 1
        try:
            return self._direct(*tensors) if alone else self._run_batched(tensors)
        except tf.errors.OpError as error:
            raise serving_error(error) from error
        finally:
            with self._lock:
                self._running -= 1

    def _run_batched(self, tensors):
        rows = tensors[0].shape[0] if self._batched else 0
        if not 0 < rows <= self._largest:
            return self._direct(*tensors)
        try:
            return self._batched(*tensors)
        except (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError):
            # Some request of the batch was wrong: the others are answered, and it is told why.
            return self._direct(*tensors)

    def warm_up(self):
        """Calls the signature once with zeros; finds out whether its outputs have the rows of its inputs."""
        specs = self.signature.inputs.values()
        if any(spec.dtype == tf.string or not _sized(spec.shape) for spec in specs):
            return  # no request can be made up that it must answer
        zeros = {
            alias: np.zeros([2 if dim is None else dim for dim in spec.shape], spec.dtype.as_numpy_dtype)
            for alias, spec in self.signature.inputs.items()
        }
        tensors = [tf.convert_to_tensor(array) for array in zeros.values()]
        if self._batched and any(output.shape[:1] != [2] for output in self._run(tensors)):
            self._batched = None
        self(zeros)
        self._run_batched(tensors)


def serving_error(error):
    """The `ServingError` of an error of TensorFlow."""
    return ServingError(CODES.get(type(error), "UNKNOWN"), _plain(error.message))


def _plain(message):
    """What a message of TensorFlow says, without where in the graph it happened."""
    lines = [line.partition(" [Op:")[0] for line in message.splitlines()]
    said = [line for line in lines if line.strip() and not line.startswith(("\t", " ", "[["))]
    return re.sub(r"^(\{\{.*?\}\}\s*)+", "", said[-1]) if said else message


def _refuse_names(given, known):
    """Raises the error of a request whose inputs are not those of the signature."""
    if len(given) == len(known):
        alias = min(given - known)
        raise ServingError(
            "INVALID_ARGUMENT",
            f"input tensor alias not found in signature: {alias}. Inputs expected to be in the set "
            f"{{{','.join(sorted(known))}}}.",
        )
    sets = [",".join(sorted(names)) for names in (given, known, given - known, known - given)]
    raise ServingError(
        "INVALID_ARGUMENT",
        "input size does not match signature: {}!={} len({{{}}}) != len({{{}}}). Sent extra: {{{}}}. Missing "
        "but required: {{{}}}.".format(len(given), len(known), *sets),
    )


def _named(dtype):
    return NAMES.get(dtype.name, dtype.name)


def _dims(shape):
    """The dimensions of a shape, None for open ones; None for a shape of unknown rank."""
    return None if shape.rank is None else tuple(shape)


def _fits(shape, dims):
    return len(shape) == len(dims) and all(
        dim is None or dim == size for dim, size in zip(dims, shape, strict=True)
    )


def _sized(shape):
    """Whether all dimensions but the first are known."""
    return shape.rank is not None and shape[1:].is_fully_defined()
