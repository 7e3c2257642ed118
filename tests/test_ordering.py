"""No step reads a variable while it may be updated: without XLA, too, results repeat bit for bit."""

import pytest
import tensorflow as tf
from ordering import executed_graphs, unordered

from keras_cl.check.subject import Subject, short_chunks
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model, make_stream

GENERATORS = {"dgr": "gan", "generative_replay": "gan"}  # their usual one is a VAE


def graphs_of(method, folder):
    """The graphs of two tasks."""
    memory = GENERATORS.get(method, "")
    subject = Subject(method, folder, **({"memory": memory} if memory else {}))
    config = subject.config(subject.scenarios[-1])
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    with executed_graphs() as graphs:
        for task in stream:
            model.begin_task(task)
            with short_chunks():
                data = model.batches(task, config.batch_size, 0, config.replay_batch_size)
            model.fit(data, verbose=0)
            model.end_task(task)
    return graphs


@pytest.mark.parametrize(
    "method",
    [
        "generative_replay",
        *(pytest.param(name, marks=pytest.mark.slow) for name in catalog.names("method")),
    ],
)
def test_a_variable_is_read_before_or_after_its_update_in_every_step(method, tmp_path):
    graphs = graphs_of(method, tmp_path)
    assert any(node.op == "NextIteration" for graph in graphs for node in graph.node)
    assert [pair for graph in graphs for pair in unordered(graph)] == []


@pytest.mark.parametrize("waits", [False, True])
def test_a_read_without_order_is_found(waits):
    with tf.Graph().as_default() as graph:
        theta = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[3])
        score = tf.reduce_sum(tf.raw_ops.ReadVariableOp(resource=theta, dtype=tf.float32))
        with tf.control_dependencies([score] if waits else []):
            tf.raw_ops.AssignSubVariableOp(resource=theta, value=[1.0, 2.0, 3.0])
    assert unordered(graph.as_graph_def()) == ([] if waits else [("ReadVariableOp", "AssignSubVariableOp")])
