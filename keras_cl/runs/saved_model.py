"""SavedModels: a trained network for TensorFlow Serving, or for any TensorFlow without this library.

Signatures (raw images, which the model scales; task indices count from 0):

    serving_default  images float32 [B, ...]            -> logits, probabilities [B, C], class [B]
    bytes            the same for uint8 images
    with_task        images float32, task int32 [B]     -> the same, if the prediction depends on the task
    description      row int32 [B]                      -> description string [B], the text of task.json

By `description` a client of a server learns what a model is, because TensorFlow Serving hands out no file.
(It has an input because TensorFlow Serving asks for one; the text is the same for every row.)

A generator is a SavedModel of its own, with the signatures

    generate           num int32, seed int32 [2]        -> images [num, ...], equal for equal seeds
    generate_labelled  num, seed                        -> the same images, condition int32 [num]
    generate_classes   condition int32 [B], seed        -> images
    decode             codes float32 [B, Z]             -> images
    encode             images float32                   -> mean, deviation [B, Z]
    reconstruct        images float32                   -> images
    judge              images float32                   -> score [B], probabilities of the conditions [B, C]

A conditional generator has those with a condition, and takes it with codes and with images to encode too. A
generator with an encoder encodes, one with a critic judges. Input and output images are raw. A generator of
the features of a network has `features` in place of images.

A network with a task input gets the latest task if the signature has no task.

`class` is the original label. In the domain-incremental scenario of a split stream the label depends on the
task, which `serving_default` does not get. There `class` is the position within the task, and `with_task`
returns the label.
"""

import contextlib
import hashlib
import json
import os
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from keras_cl.errors import require
from keras_cl.learning.layers import MASKED, logits_of
from keras_cl.numerics.random import random_uniform
from keras_cl.runs.files import read_json

DESCRIPTION = "task.json"
EVALUATION = "evaluation.json"  # beside it, from the Pusher of a pipeline


def export(network, task, folder, description):
    """Writes a SavedModel of `network` after `task`, and `description` beside it as task.json.

    Args:
      network: raw images to logits `[B, C]`.
      task: the `Task` that was just learned.
      folder: folder to write to; the caller renames it.
      description: dict that can be written as JSON.
    """
    stream = task.stream
    served = _holding(network.variables)
    images = tf.TensorSpec([None, *stream.input_shape], tf.float32, name="images")
    signatures = {"serving_default": _answer(network, task).get_concrete_function(images)}
    if np.issubdtype(stream.source.dtype, np.integer):
        raw = tf.TensorSpec(images.shape, tf.uint8, name="images")
        signatures["bytes"] = _answer(network, task).get_concrete_function(raw)
    if needs_task(stream):
        index = tf.TensorSpec([None], tf.int32, name="task")
        signatures["with_task"] = _answer_with_task(network, stream).get_concrete_function(images, index)
    row = tf.TensorSpec([None], tf.int32, name="row")
    signatures["description"] = _repeated(json.dumps(description)).get_concrete_function(row)
    tf.saved_model.save(served, str(folder), signatures=signatures)
    (pathlib.Path(folder) / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    _identify(folder)


def export_generator(generator, conditions, folder, description):
    """Writes a SavedModel of a generator, and `description` beside it as task.json.

    Args:
      generator: a `keras_cl.generators.VAE` or `GAN`.
      conditions: conditions that it has learned, from which `generate` draws; empty if it is not conditional.
      folder: folder to write to; the caller renames it.
      description: dict that can be written as JSON.
    """
    made = generator.makes
    images = tf.TensorSpec([None, *generator.image_shape], tf.float32, name=made)
    codes = tf.TensorSpec([None, generator.latent], tf.float32, name="codes")
    seed = tf.TensorSpec([2], tf.int32, name="seed")
    asked = [tf.TensorSpec([None], tf.int32, name="condition")] if generator.conditions else []
    known = tf.constant(conditions, tf.int32)

    def decode(codes, *condition):
        return {made: generator.generate(codes, *condition) / generator.scale}

    def drawn(num, seed, *condition):
        return decode(generator.codes(num, seed[0], seed[1], *condition), *condition)

    def generate_labelled(num, seed):
        place = random_uniform(seed[0], seed[1] + 1, [num]) * len(known)
        condition = tf.gather(known, tf.cast(place, tf.int32))
        return drawn(num, seed, condition) | {"condition": condition}

    def generate(num, seed):
        return {made: generate_labelled(num, seed)[made]} if asked else drawn(num, seed)

    def generate_classes(condition, seed):
        return drawn(len(condition), seed, condition)

    def encode(images, *condition):
        q = generator.encode(images, *condition)
        return {"mean": q.mean(), "deviation": q.stddev()}

    def reconstruct(images, *condition):
        return decode(generator.encode(images, *condition).mean(), *condition)

    def judge(images):
        score, logits = generator.judge(images)
        return {"score": score} | ({"probabilities": tf.nn.softmax(logits)} if asked else {})

    drawing = [tf.TensorSpec([], tf.int32, name="num"), seed]
    signatures = {"generate": (generate, drawing), "decode": (decode, [codes, *asked])}
    if asked:
        signatures["generate_labelled"] = (generate_labelled, drawing)
        signatures["generate_classes"] = (generate_classes, [*asked, seed])
    if hasattr(generator, "encode"):
        signatures["encode"] = (encode, [images, *asked])
        signatures["reconstruct"] = (reconstruct, [images, *asked])
    if hasattr(generator, "judge"):
        signatures["judge"] = (judge, [images])
    signatures = {name: tf.function(*of) for name, of in signatures.items()}
    tf.saved_model.save(_holding(generator.variables), str(folder), signatures=signatures)
    (pathlib.Path(folder) / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    _identify(folder)


def describe(task):
    """The part of task.json about inputs and outputs: scenario, tasks so far, the meaning of `class`, the
    label of each output, and the factor from raw images to [0, 1]."""
    return {
        "scenario": task.stream.scenario,
        "task": task.number,
        "tasks": [{"index": one.index, "classes": list(one.classes)} for one in task.seen],
        "class_means": "position in the task" if _ambiguous(task.stream) else "label",
        "labels": labels(task.stream).tolist(),
        "scale": task.stream.source.scale,
    }


def anyone(task):
    """bool `[C]`: active units after `task` if the task of an image is not given."""
    return task.stream.class_mask[: task.number].any(axis=0)


def labels(stream):
    """int array `[C]`: the output `class` of each unit if the task is not given."""
    if _ambiguous(stream):
        return np.arange(stream.num_classes)
    return stream.labels.max(axis=0)


def needs_task(stream):
    """Whether predictions depend on the task of an image."""
    return stream.scenario == "task" or _ambiguous(stream)


def require_known_stream(settings, where, call):
    """Raises `InputError` if the settings in the description of a model do not say all of its stream.

    Args:
      settings: the settings in its task.json.
      where: the model, for the sentence.
      call: what to call from Python with the stream, for the sentence.
    """
    program = settings.get("program")
    require(
        program != "keras_cl.learn",
        f"{where} was trained by keras_cl.learn, and its stream is known in Python alone: call {call}.",
    )
    require(
        program != "pipelines.run",
        f"{where} learned examples that arrived as files: its matrix is matrix.csv in the Evaluation of the "
        f"line; or call {call} with stream = pipelines.examples.recorded.stream_of(examples).",
    )


def read_description(folder):
    """The dict in the task.json of an exported model, with the accuracies that a pipeline measured later;
    `OSError` or `ValueError` if there is none."""
    found = read_json(pathlib.Path(folder) / DESCRIPTION)
    with contextlib.suppress(OSError, ValueError):
        found["metrics"] = read_json(pathlib.Path(folder) / EVALUATION)
    return found


def versions(folder):
    """Version folders in `folder`, sorted by number."""
    found = [entry for entry in os.scandir(folder) if entry.name.isdigit() and entry.is_dir()]
    return [pathlib.Path(entry) for entry in sorted(found, key=lambda entry: int(entry.name))]


def _ambiguous(stream):
    """Whether some unit stands for different labels in different tasks."""
    used = np.where(stream.labels >= 0, stream.labels, stream.labels.max(axis=0))
    return bool((used != used[0]).any())


def _identify(folder):
    """Replaces the random identifier of a SavedModel by one of its content: equal models are equal files."""
    file = pathlib.Path(folder) / "fingerprint.pb"
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(file.read_bytes())
    fingerprint.ClearField("uuid")
    content = hashlib.sha256(fingerprint.SerializeToString(deterministic=True)).digest()
    fingerprint.uuid = str(int.from_bytes(content[:16], "big"))
    file.write_bytes(fingerprint.SerializeToString(deterministic=True))


def _holding(variables):
    """A module with variables only: for a Keras model, TensorFlow also saves the functions of all layers."""
    module = tf.Module()
    module.kept = list(variables)
    return module


def _answer(network, task):
    mask, unit_labels = anyone(task), tf.constant(labels(task.stream), tf.int64)

    @tf.function
    def answer(images):
        latest = tf.fill(tf.shape(images)[:1], task.index)
        return _outputs(logits_of(network, images, latest), mask, unit_labels)

    return answer


def _answer_with_task(network, stream):
    @tf.function
    def answer(images, task):
        mask = tf.gather(tf.constant(stream.class_mask), task)
        unit_labels = tf.gather(tf.constant(stream.labels, tf.int64), task)
        return _outputs(logits_of(network, images, task), mask, unit_labels)

    return answer


def _repeated(text):
    @tf.function
    def repeated(row):
        return {"description": tf.fill(tf.shape(row), text)}

    return repeated


def _outputs(logits, mask, unit_labels):
    """Outputs of a signature; `mask` and `unit_labels` are `[C]` or `[B, C]`."""
    masked = tf.where(mask, logits, MASKED)
    unit = tf.argmax(masked, axis=1)
    label = tf.gather(unit_labels, unit, axis=-1, batch_dims=len(unit_labels.shape) - 1)
    return {"logits": logits, "probabilities": tf.nn.softmax(masked), "class": label}
