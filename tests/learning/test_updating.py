"""Where XLA compiles the update and not the step: on CPUs with AMX, for wide networks in bfloat16."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_cl import methods
from keras_cl.devices import amx
from keras_cl.learning import precision, updating
from keras_cl.memories import Reservoir, VAEMemory
from keras_cl.networks import mlp
from keras_cl.streams import split

STREAM = split("digits", tasks=5, scenario="task")
ALL_METHODS = ("finetune", "ewc", "l2", "mas", "rwalk", "scp", "si")
OF = {
    "ewc": "EWC",
    "mas": "MAS",
    "scp": "SCP",
    "si": "SI",
    "l2": "L2",
    "rwalk": "RWalk",
    "finetune": "Finetune",
}


@pytest.fixture
def with_amx(monkeypatch):
    monkeypatch.setattr(amx, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(precision, "WIDE", 1)


def narrow(kind="mixed_bfloat16", **options):
    return mlp(STREAM, hidden=(8,), precision=kind, seed=3, **options)


def compiled(network, jit=None, **options):
    model = methods.Finetune(network, **options)
    model.compile("adam", jit=jit)
    return model


def trained(name, network, jit=None):
    model = getattr(methods, OF[name])(network)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), jit=jit)
    for task in STREAM[:2]:
        model.begin_task(task)
        model.fit(model.batches(task, 32, iterations=12), verbose=0)
        model.end_task(task)
    return model


def state_of(model):
    return [v.numpy() for v in (*model.network.variables, *model.method_variables)]


def programs(model):
    """Names of operations in what XLA compiles, and in what it does not, of the compiled loop of a model."""
    data = model.batches(STREAM[0], 16)
    model.begin_task(STREAM[0])
    chunk = next(iter(data))
    graph = model.make_train_function().steps.get_concrete_function(*chunk).graph
    inside, outside = set(), {operation.type for operation in graph.get_operations()}
    for function in graph.as_graph_def().library.function:
        names = {node.op for node in function.node_def}
        (inside if function.attr["_XlaMustCompile"].b else outside).update(names)
    return inside, outside


# ---- where it is so --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu amx_tile amx_bf16\n\nprocessor\t: 1\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_int8\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", False),
        (None, False),
    ],
)
def test_a_cpu_says_whether_it_has_amx(text, expected, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(amx, "CPUS", file)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    asked = amx.multiplies_bfloat16.__wrapped__
    assert asked() is expected
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert asked() is False


def test_wide_products_in_bfloat16_leave_the_step_to_the_library_of_the_cpu(with_amx, monkeypatch):
    assert precision.faster_alone(narrow())
    assert not precision.faster_alone(narrow("float32"))
    assert not precision.faster_alone(narrow("mixed_float16"))
    monkeypatch.setattr(precision, "WIDE", 64 * 8 + 1)
    assert not precision.faster_alone(narrow())  # the kernel of the logits is in float32
    monkeypatch.setattr(precision, "WIDE", 64 * 8)
    assert precision.faster_alone(narrow())
    monkeypatch.setattr(amx, "multiplies_bfloat16", lambda: False)
    assert not precision.faster_alone(narrow())


def test_xla_compiles_the_update_and_nothing_else(with_amx):
    inside, outside = programs(compiled(narrow()))
    assert "MatMul" in outside and "AssignVariableOp" in inside and "MatMul" not in inside
    roots = {"Sqrt", "Rsqrt"}  # of Adam
    assert roots & inside and not roots & outside


@pytest.mark.parametrize(
    ("kind", "jit"), [("float32", None), ("mixed_bfloat16", False), ("mixed_bfloat16", True)]
)
def test_what_was_asked_for_is_done_and_float32_stays_as_it_is(kind, jit, with_amx):
    model = compiled(narrow(kind), jit)
    inside, _ = programs(model)
    assert model.jit == (jit is not False)
    assert not inside  # either the whole loop is one program, or nothing is


def test_without_amx_the_whole_loop_is_one_program(monkeypatch):
    monkeypatch.setattr(amx, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(precision, "WIDE", 1)
    inside, outside = programs(compiled(narrow()))
    assert not inside and "MatMul" in outside


def test_a_memory_that_learns_in_the_step_keeps_it_in_one_program(with_amx):
    stored = compiled(narrow(), memory=Reservoir(STREAM, capacity=10))
    learning = compiled(narrow(), memory=VAEMemory(STREAM, hidden=(8,), latent=2))
    assert stored._alone and not learning._alone


# ---- that it changes nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_METHODS)
@pytest.mark.slow
def test_an_update_by_itself_is_the_update_of_the_whole_step(name, monkeypatch):
    whole = trained(name, narrow("float32"), jit=False)
    monkeypatch.setattr(updating, "faster_alone", lambda network: True)
    alone = trained(name, narrow("float32"))
    assert alone._alone and not whole._alone
    for one, other in zip(state_of(alone), state_of(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-5)


def test_gradients_path_integrals_and_weights_are_float32(with_amx):
    model = trained("si", narrow())
    assert model._alone
    kept = [*model.network.trainable_variables, *model.w, *model.penalty.importance, *model.penalty.anchor]
    assert {v.dtype for v in kept} == {tf.float32}
    assert all(np.any(v.numpy()) for v in model.penalty.importance)
    model.begin_task(STREAM[2])
    batch, _ = next(iter(model.batches(STREAM[2], 16)))
    with model._heads.step(batch.step(0)):
        _, gradients = model.task_gradients(batch.step(0))
    assert {g.dtype for g in gradients} == {tf.float32}
