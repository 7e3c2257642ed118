"""A loaded version: it answers as its signatures do, alone and in a batch, and refuses what is wrong."""

import numpy as np
import pytest
import tensorflow as tf
from served import answers, at_once, images

from keras_cl.serve.batching import Batching
from keras_cl.serve.errors import ServingError
from keras_cl.serve.servable import Servable

WAITING = Batching(batch_timeout_micros=100_000, max_batch_size=64)  # batches form in any case


@pytest.fixture(scope="module")
def servable(exported):
    return Servable("tiny", 3, exported / "3", WAITING)


def saved(folder, function, *specs, name="serving_default"):
    """Saves a function as the signature of a SavedModel that this library did not write."""
    module = tf.Module()
    tf.saved_model.save(module, str(folder), signatures={name: function.get_concrete_function(*specs)})
    return folder


def sizes(folder, factor=1):
    """A model whose output says how many rows were in its batch."""
    rows = tf.function(lambda x: {"rows": factor * tf.fill(tf.shape(x)[:1], tf.shape(x)[0])})
    return saved(folder, rows, tf.TensorSpec([None, 2], tf.float32, name="x"))


def refusal(servable, signature="", outputs=(), **inputs):
    with pytest.raises(ServingError) as refused:
        servable.call(signature, inputs, outputs)
    return refused.value.code, refused.value.message


# ---- answers ---------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_signature(servable, exported):
    x, task = images(5), np.array([0, 1, 2, 0, 1], np.int32)
    for name, inputs in [
        ("serving_default", {"images": x}),
        ("bytes", {"images": x.astype(np.uint8)}),
        ("with_task", {"images": x, "task": task}),
    ]:
        expected = answers(
            exported / "3",
            name=name,
            x=inputs["images"],
            **{k: tf.constant(v) for k, v in inputs.items() if k != "images"},
        )
        found = servable.call(name, inputs)
        assert found.keys() == expected.keys()
        for alias in expected:
            np.testing.assert_allclose(found[alias], expected[alias], rtol=1e-5, atol=1e-30)
            assert found[alias].dtype == expected[alias].dtype


def test_outputs_can_be_chosen(servable):
    assert list(servable.call("", {"images": images(1)}, ["class"])) == ["class"]


def test_a_version_describes_itself(servable):
    assert servable.description["task"] == 3
    assert servable.signatures["with_task"].inputs["task"].dtype == tf.int32
    assert servable.signature_defs["with_task"].inputs["task"].name.startswith("with_task_task")


def test_no_rows_give_no_rows(servable):
    assert servable.call("", {"images": images(0)})["class"].shape == (0,)


def test_more_rows_than_a_batch_may_have_are_answered(servable, exported):
    x = images(65)
    np.testing.assert_array_equal(
        servable.call("", {"images": x})["class"], answers(exported / "3", x)["class"]
    )


def test_nan_and_infinity_are_numbers_like_others(tmp_path):
    double = tf.function(lambda x: {"y": 2 * x})
    servable = Servable(
        "double", 1, saved(tmp_path / "1", double, tf.TensorSpec([None, 3], tf.float32, name="x"))
    )
    x = np.array([[np.nan, np.inf, 1], [2, 3, -np.inf]], np.float32)
    np.testing.assert_array_equal(servable.call("", {"x": x})["y"], 2 * x)


# ---- batches ---------------------------------------------------------------------------------------------


def test_concurrent_requests_share_a_call(tmp_path):
    servable = Servable("rows", 1, sizes(tmp_path / "1"), WAITING)
    assert servable.description == {}

    def ask():
        return servable.call("", {"x": np.zeros([1, 2], np.float32)})["rows"].item()

    assert max(max(at_once([ask] * 8)) for _ in range(5)) > 1
    assert ask() == 1


def test_batches_are_padded_to_the_allowed_sizes(tmp_path):
    batching = Batching(batch_timeout_micros=100_000, max_batch_size=32, allowed_batch_sizes=(16, 32))
    servable = Servable("rows", 1, sizes(tmp_path / "1"), batching)
    servable.warm_up()  # what is alone is not batched, so some are asked together

    def ask():
        return servable.call("", {"x": np.zeros([1, 2], np.float32)})["rows"].tolist()

    found = [rows for _ in range(5) for rows in at_once([ask] * 8)]
    assert {len(rows) for rows in found} == {1}
    assert {rows[0] for rows in found} <= {1, 16}
    assert [16] in found


def test_models_do_not_share_batches(tmp_path):
    models = [Servable("rows", k, sizes(tmp_path / str(k), 100**k), WAITING) for k in (0, 1)]
    ask = [
        lambda model=model: model.call("", {"x": np.zeros([1, 2], np.float32)})["rows"].item()
        for model in models
    ]
    for first, second in zip(*[iter(at_once(ask * 8))] * 2, strict=True):
        assert first < 100 <= second


def test_a_wrong_request_does_not_spoil_a_batch(servable, exported):
    x = images(6)

    def ask(place, task):
        row = {"images": x[place : place + 1], "task": np.array([task], np.int32)}
        return servable.call("with_task", row)["class"]

    found = at_once([lambda place=place: ask(place, 99 if place == 3 else 1) for place in range(6)])
    assert (found[3].code, found[3].message) == ("INVALID_ARGUMENT", "indices[0] = 99 is not in [0, 3)")
    task = tf.ones([6], tf.int32)
    right = answers(exported / "3", x, "with_task", task=task)["class"]
    assert [found[place].item() for place in (0, 1, 2, 4, 5)] == [right[place] for place in (0, 1, 2, 4, 5)]


def test_a_full_queue_is_unavailable(tmp_path):
    @tf.function
    def slow(x):
        y = tf.eye(256) + x[0, 0]
        for _ in tf.range(300):
            y = y @ y
        return {"y": x[:, 0] + y[0, 0]}

    folder = saved(tmp_path / "1", slow, tf.TensorSpec([None, 2], tf.float32, name="x"))
    servable = Servable(
        "slow", 1, folder, Batching(max_batch_size=1, num_batch_threads=1, max_enqueued_batches=1)
    )
    found = at_once([lambda: servable.call("", {"x": np.zeros([1, 2], np.float32)})] * 12)
    refused = [one for one in found if isinstance(one, ServingError)]
    assert 0 < len(refused) < 12
    assert {one.code for one in refused} == {"UNAVAILABLE"}
    assert refused[0].message.startswith(
        "The batch scheduling queue to which this task was submitted is full"
    )


def test_a_signature_without_rows_is_called_by_itself(tmp_path):
    count = tf.function(lambda num, seed: {"images": tf.zeros([num, 2]) + tf.cast(seed[0], tf.float32)})
    specs = tf.TensorSpec([], tf.int32, name="num"), tf.TensorSpec([2], tf.int32, name="seed")
    servable = Servable("made", 1, saved(tmp_path / "1", count, *specs, name="generate"))
    servable.warm_up()
    given = {"num": np.array(3, np.int32), "seed": np.array([7, 0], np.int32)}
    found = at_once([lambda: servable.call("generate", given)["images"]] * 4)
    assert all((one == np.full([3, 2], 7)).all() for one in found)


def test_a_signature_that_changes_the_number_of_rows_is_not_batched(tmp_path):
    twice = tf.function(lambda x: {"y": tf.repeat(x[:, 0], 2)})
    servable = Servable(
        "twice", 1, saved(tmp_path / "1", twice, tf.TensorSpec([None, 2], tf.float32, name="x")), WAITING
    )
    servable.warm_up()
    found = at_once(
        [lambda k=k: servable.call("", {"x": np.full([1, 2], k, np.float32)})["y"].tolist() for k in range(4)]
    )
    assert found == [[k, k] for k in range(4)]


# ---- refusals, in TensorFlow Serving's words -------------------------------------------------------------


def test_an_unknown_signature_is_refused(servable):
    assert refusal(servable, "nothing") == (
        "FAILED_PRECONDITION",
        'Serving signature key "nothing" not found.',
    )


def test_wrong_names_are_refused(servable):
    x = images(1)
    assert refusal(servable, "with_task", images=x) == (
        "INVALID_ARGUMENT",
        "input size does not match signature: 1!=2 len({images}) != len({images,task}). Sent extra: {}. "
        "Missing but required: {task}.",
    )
    assert refusal(servable, pixels=x) == (
        "INVALID_ARGUMENT",
        "input tensor alias not found in signature: pixels. Inputs expected to be in the set {images}.",
    )
    assert refusal(servable, images=x, outputs=["label"]) == (
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: label Outputs expected to be in the set "
        "{class,logits,probabilities}.",
    )
    assert (
        refusal(servable, images=x, outputs=["class", "class"])[1] == "duplicate output tensor alias: class"
    )


def test_wrong_arrays_are_refused(servable):
    x = images(2)
    assert refusal(servable, images=x.astype(np.float64)) == (
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but double is provided",
    )
    assert refusal(servable, images=np.array([b"text"], object))[1].endswith("but string is provided")
    for wrong in (x[0], x[..., 0], x[:, :7]):
        code, message = refusal(servable, images=wrong)
        assert code == "INVALID_ARGUMENT"
        assert str(list(wrong.shape)) in message
        assert "[-1, 8, 8, 1]" in message
    code, message = refusal(servable, "with_task", images=x, task=np.zeros([3], np.int32))
    assert (code, "equal 0th-dimension size" in message) == ("INVALID_ARGUMENT", True)
