"""What a GPU asks of state and of steps, as far as a CPU can tell."""

import json
import types
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from helpers import blobs
from processes import ROOT, start
from second_device import TRACED, config_of

from keras_cl import networks, sources, streams
from keras_cl.check import placement
from keras_cl.check.compare import Broken
from keras_cl.devices import device
from keras_cl.devices.state import integers
from keras_cl.methods import Finetune
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model, make_stream

EVERY = catalog.names("method")


# ---- the laws --------------------------------------------------------------------------------------------


def subject_of(body, dtype):
    """What the laws look at: a model with a counter, and a step with `body` that counts."""
    stream = streams.split(sources.from_arrays(**blobs([3] * 4)), tasks=2)
    model = Finetune(networks.mlp(stream, hidden=(4,)))
    model.compile()
    model.counter = tf.Variable(0, dtype=dtype, name="counter")

    @tf.function
    def steps(x):
        model.counter.assign_add(1)
        return body(x)

    model.train_function = types.SimpleNamespace(steps=steps)
    kind = (tf.TensorSpec([3], tf.float32),)
    result = types.SimpleNamespace(model=model, chunks=[kind])
    return types.SimpleNamespace(trained=lambda *_, **how: result, scenarios=["task"])


def test_lawful_steps_pass():
    subject = subject_of(tf.sort, tf.int64)
    placement.state_goes_to_a_gpu(subject, "task")
    placement.compiles_for_a_gpu(subject)


def test_a_counter_that_would_stay_on_the_host_is_named():
    subject = subject_of(tf.sort, tf.int32)
    with pytest.raises(Broken, match="int32 variables: counter:0; give them dtype=tf.int64"):
        placement.state_goes_to_a_gpu(subject, "task")
    with pytest.raises(Broken, match="int32 variables: counter:0"):
        placement.compiles_for_a_gpu(subject)


def by_numpy(x):
    return tf.ensure_shape(tf.numpy_function(np.sort, [x], tf.float32), [3])


def in_a_loop(x):
    return tf.while_loop(lambda k, _: k < 2, lambda k, x: (k + 1, by_numpy(x)), (0, x))


def of_a_type(x):
    return tf.identity(tf.constant("text"))


@pytest.mark.parametrize(
    ("body", "named"),
    [(by_numpy, "PyFunc"), (in_a_loop, "PyFunc"), (of_a_type, r"Identity\(string\)")],
)
def test_an_operation_without_a_kernel_is_named(body, named):
    with pytest.raises(Broken, match=f"there is no kernel for {named}"):
        placement.compiles_for_a_gpu(subject_of(body, tf.int64))


@pytest.mark.parametrize("network", catalog.names("network"))
@pytest.mark.parametrize("regime", catalog.names("regime"))
def test_networks_and_regimes_keep_no_int32(network, regime, tmp_path):
    config = config_of(tmp_path, network, regime=regime)
    model = make_model(config, make_stream(config), 0)
    result = types.SimpleNamespace(model=model)
    placement.state_goes_to_a_gpu(types.SimpleNamespace(trained=lambda *_: result), "class")
    assert model.regime.step.dtype == tf.int64


def test_every_memory_is_the_usual_one_of_a_method():
    """So that the laws, which are put to every method, are put to every memory."""
    assert {catalog.usual(method)["memory"] for method in EVERY} >= set(catalog.names("memory"))


@pytest.mark.slow
def test_steps_compiled_for_another_device_find_their_variables_there():
    done = start(ROOT / "tests/second_device.py")
    output, errors = done.communicate(timeout=1800)
    assert done.returncode == 0, errors
    found = {name: why for line in output.splitlines() for name, why in json.loads(line).items()}
    assert found == dict.fromkeys(["rows", *EVERY, *TRACED], "")


# ---- the memory of a GPU ---------------------------------------------------------------------------------


@pytest.fixture
def gpus():
    """Two GPUs that TensorFlow seems to find; how their memory grows."""
    growth = {"gpu_0": None, "gpu_1": None}
    with (
        mock.patch.object(tf.config, "list_physical_devices", lambda kind: list(growth)),
        mock.patch.object(tf.config.experimental, "get_memory_growth", growth.get),
        mock.patch.object(tf.config.experimental, "set_memory_growth", growth.__setitem__),
    ):
        yield growth


def test_memory_grows_as_it_is_needed(gpus):
    device.grow_memory()
    assert gpus == {"gpu_0": True, "gpu_1": True}


def test_memory_that_a_program_has_settled_is_left_alone(gpus):
    gpus["gpu_0"] = False
    device.grow_memory()
    assert gpus == {"gpu_0": False, "gpu_1": None}


@pytest.mark.parametrize("error", [RuntimeError, ValueError])  # TensorFlow has started; a GPU is divided
def test_memory_that_can_no_longer_be_settled_is_no_error(error, gpus):
    with mock.patch.object(tf.config.experimental, "set_memory_growth", side_effect=error):
        device.grow_memory()
    assert set(gpus.values()) == {None}


def test_a_stream_settles_it_before_there_is_a_network(gpus):
    streams.split(sources.from_arrays(**blobs([3] * 4)), tasks=2)
    assert set(gpus.values()) == {True}


def test_commands_compute_on_a_gpu_with_the_precision_of_a_cpu(gpus):
    names = ("enable_tensor_float_32_execution", "enable_op_determinism")
    with mock.patch.multiple(tf.config.experimental, **dict.fromkeys(names, mock.DEFAULT)) as called:
        assert device.prepare("auto", starts=False) == "gpu"
    called[names[0]].assert_called_once_with(False)
    assert set(gpus.values()) == {True}


def test_integers_of_a_state_are_int64():
    assert integers().dtype == integers([0, 1], "state").dtype == tf.int64
