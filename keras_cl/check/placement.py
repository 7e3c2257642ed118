"""What a GPU asks of a step and a CPU does not: laws that need no GPU."""

import contextlib
import functools

import tensorflow as tf
from tensorflow.python.framework import kernels

from keras_cl.check.compare import CLOSE, DoesNotApply, difference, hold

COMPILED_GPU = "XLA_GPU_JIT"  # the name of XLA's compiler for GPUs among TensorFlow's kernels


def state_goes_to_a_gpu(subject, scenario):
    """Of integers, TensorFlow keeps int32 variables on the host, even where there is a GPU."""
    model = subject.trained(scenario).model
    _hold_no_int32([*model.variables, *model.optimizer.variables])


def compiles_for_a_gpu(subject):
    """TensorFlow lists its kernels for GPUs also where there is none."""
    function = traced(subject.trained(subject.scenarios[-1], eagerly=False))
    _hold_no_int32(function.graph.variables)
    missing = without_gpu_kernel(function)
    hold(not missing, f"there is no kernel for {', '.join(missing)}")


def other_device(subject):
    """Needs a process with two devices; see `keras_cl.check.__main__`."""
    if len(tf.config.list_logical_devices("CPU")) == 1:
        raise DoesNotApply("this process has one device")
    there = subject.trained(subject.scenarios[-1], jit="on", device="CPU:1")
    away = sorted({v.name for v in traced(there).graph.variables if not v.device.endswith("CPU:1")})
    hold(not away, f"variables on the first device: {', '.join(away)}")
    here = subject.trained(subject.scenarios[-1], eagerly=True)
    apart = difference(there.weights, here.weights)
    hold(apart <= CLOSE, f"weights are up to {apart:.2g} apart")


@contextlib.contextmanager
def as_on_gpu(device):
    """Inside, the CPU device `device` stands for a GPU: int32 variables stay on the first CPU, the host."""

    def made(creator, **options):
        value, dtype = options["initial_value"], options.get("dtype")
        dtype = dtype or tf.convert_to_tensor(value() if callable(value) else value).dtype
        with tf.device("CPU:0" if dtype == tf.int32 else device):
            return creator(**options)

    with tf.device(device), tf.variable_creator_scope(made):
        yield


def without_gpu_kernel(function):
    """Operations of a `ConcreteFunction`, and of all functions that it calls, that XLA cannot compile for a
    GPU: a sorted list of "operation(types)". TensorFlow lists its kernels also where there is no GPU."""
    graph = function.graph.as_graph_def()
    bodies = [graph.node, *(part.node_def for part in graph.library.function)]
    passed = {"Placeholder", *(part.signature.name for part in graph.library.function)}
    nodes = [node for body in bodies for node in body if node.op not in passed]
    return sorted({f"{node.op}({', '.join(_types(node))})" for node in nodes if not _compiles(node)})


def _hold_no_int32(variables):
    found = sorted({variable.name for variable in variables if variable.dtype == tf.int32})
    hold(not found, f"int32 variables: {', '.join(found)}; give them dtype=tf.int64")


def traced(result):
    """The `ConcreteFunction` of the steps that a `Trained` model took last."""

    def given(spec):  # tensors: for their types alone it would be traced again
        return tf.zeros(spec.shape, spec.dtype) if isinstance(spec, tf.TensorSpec) else None

    return result.model.train_function.steps.get_concrete_function(
        *tf.nest.map_structure(given, result.chunks[-1])
    )


def _compiles(node):
    return any(all(_fits(node, rule) for rule in kernel.constraint) for kernel in _kernels(node.op))


def _fits(node, rule):
    return set(_listed(node.attr[rule.name])) <= set(_listed(rule.allowed_values))


@functools.cache
def _kernels(name):
    _registered()
    found = kernels.get_registered_kernels_for_op(name).kernel
    return [kernel for kernel in found if kernel.device_type == COMPILED_GPU]


@functools.cache
def _registered():
    """XLA registers its kernels when it first compiles something."""
    tf.function(lambda: tf.constant(0) + 1, jit_compile=True)()


def _types(node):
    return sorted({tf.as_dtype(number).name for value in node.attr.values() for number in _listed(value)})


def _listed(value):
    """The types, as numbers, that an attribute of a node or a rule of a kernel names."""
    return [value.type] if value.type else list(value.list.type)
