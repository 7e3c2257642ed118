"""Requests that come together share one call, by TensorFlow's batching op, as in TensorFlow Serving."""

import dataclasses
import itertools
import os

import tensorflow as tf

# One scheduler, hence one set of threads, serves the queues of all models, as in TensorFlow Serving.
_QUEUES = itertools.count()


@dataclasses.dataclass(frozen=True)
class Batching:
    """How requests are batched; names and meaning are those of TensorFlow Serving's batching parameters.

    Args:
      max_batch_size: rows of a batch; a request that has more runs by itself.
      batch_timeout_micros: microseconds that a batch waits for more requests while a thread is free; at 0 no
        request waits without need, and batches form while all threads are busy.
      num_batch_threads: batches that run at a time; 0 stands for the number of processors.
      max_enqueued_batches: batches of one signature that wait; more requests are refused: UNAVAILABLE.
      allowed_batch_sizes: sizes to which batches are padded, increasing, ending with max_batch_size; none for
        no padding. Fewer shapes are compiled on a device that compiles for each shape.
    """

    max_batch_size: int = 256
    batch_timeout_micros: int = 0
    num_batch_threads: int = 0
    max_enqueued_batches: int = 100
    allowed_batch_sizes: tuple[int, ...] = ()


def can_be_batched(inputs, outputs):
    """Whether rows of several requests can be joined: every input and output has an open first dimension, and
    all other dimensions of the inputs are known.

    Args:
      inputs, outputs: lists of `tf.TensorSpec`.
    """
    shapes = [spec.shape for spec in [*inputs, *outputs]]
    return (
        bool(inputs and outputs)
        and all(shape.rank and shape[0] is None for shape in shapes)
        and all(spec.shape[1:].is_fully_defined() for spec in inputs)
    )


def batched(function, specs, batching):
    """A concrete function like `function` whose concurrent calls share calls of `function`.

    Args:
      function: concrete function of tensors `[B, ...]` that returns a list of tensors `[B, ...]`.
      specs: `tf.TensorSpec`s of its arguments.
      batching: `Batching`.
    """
    # One of the functions of a queue answers all its requests, so every function has a queue of its own.
    queue = f"queue_{next(_QUEUES)}"

    @tf.function(input_signature=specs)
    def call(*tensors):
        return tf.raw_ops.BatchFunction(
            in_tensors=tensors,
            captured_tensors=function.captured_inputs,
            f=function,
            Tout=[output.dtype for output in function.outputs],
            num_batch_threads=batching.num_batch_threads or os.cpu_count(),
            max_batch_size=batching.max_batch_size,
            batch_timeout_micros=batching.batch_timeout_micros,
            max_enqueued_batches=batching.max_enqueued_batches,
            allowed_batch_sizes=list(batching.allowed_batch_sizes),
            shared_name=_scheduler_of(batching),
            batching_queue=queue,
        )

    return call.get_concrete_function()


def _scheduler_of(batching):
    """Name of the scheduler: its options are fixed when it is first used."""
    return "scheduler_" + "_".join(str(value) for value in dataclasses.astuple(batching))
