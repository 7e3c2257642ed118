"""SavedModels: a trained network for TensorFlow Serving, or for any TensorFlow without this library.

Signatures (raw images, which the model scales; task indices count from 0):

    serving_default  images float32 [B, ...]            -> logits, probabilities [B, C], class [B]
    bytes            the same for uint8 images
    with_task        images float32, task int32 [B]     -> the same, if the prediction depends on the task

A generator is a SavedModel of its own, with the signatures

    generate           num int32, seed int32 [2]        -> images [num, ...], equal for equal seeds
    generate_classes   condition int32 [B], seed        -> images; for a conditional generator
    encode             images float32                   -> mean, deviation [B, Z]
    decode             codes float32 [B, Z]             -> images
    reconstruct        images float32                   -> images

(A conditional generator also takes the condition with images and codes.) Input and output images are raw.

A network with a task input gets the latest task if the signature has no task.

`class` is the original label. In the domain-incremental scenario of a split stream the label depends on the
task, which `serving_default` does not get. There `class` is the position within the task, and `with_task`
returns the label.
"""

import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_cl.learning.layers import MASKED, logits_of
from keras_cl.numerics.random import random_normal, random_uniform
from keras_cl.runs.files import read_json

DESCRIPTION = "task.json"


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
    tf.saved_model.save(served, str(folder), signatures=signatures)
    (pathlib.Path(folder) / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")


def export_generator(generator, conditions, folder, description):
    """Writes a SavedModel of a generator, and `description` beside it as task.json.

    Args:
      generator: a `keras_cl.generators.VAE`.
      conditions: conditions that it has learned, from which `generate` draws; empty if it is not conditional.
      folder: folder to write to; the caller renames it.
      description: dict that can be written as JSON.
    """
    images = tf.TensorSpec([None, *generator.image_shape], tf.float32, name="images")
    codes = tf.TensorSpec([None, generator.latent], tf.float32, name="codes")
    seed = tf.TensorSpec([2], tf.int32, name="seed")
    asked = [tf.TensorSpec([None], tf.int32, name="condition")] if generator.conditions else []
    known = tf.constant(conditions, tf.int32)

    def raw(distribution):
        return {"images": distribution.mean() / generator.scale}

    def drawn(num, seed, *condition):
        z = random_normal(seed[0], seed[1], tf.stack([num, generator.latent]))
        return raw(generator.decode(z, *condition))

    def generate(num, seed):
        if not asked:
            return drawn(num, seed)
        place = random_uniform(seed[0], seed[1] + 1, [num]) * len(known)
        return drawn(num, seed, tf.gather(known, tf.cast(place, tf.int32)))

    def generate_classes(condition, seed):
        return drawn(len(condition), seed, condition)

    def encode(images, *condition):
        q = generator.encode(images, *condition)
        return {"mean": q.mean(), "deviation": q.stddev()}

    def decode(codes, *condition):
        return raw(generator.decode(codes, *condition))

    def reconstruct(images, *condition):
        return raw(generator.decode(generator.encode(images, *condition).mean(), *condition))

    served = _holding(generator.variables)
    signatures = {
        "generate": tf.function(generate, [tf.TensorSpec([], tf.int32, name="num"), seed]),
        "encode": tf.function(encode, [images, *asked]),
        "decode": tf.function(decode, [codes, *asked]),
        "reconstruct": tf.function(reconstruct, [images, *asked]),
    }
    if asked:
        signatures["generate_classes"] = tf.function(generate_classes, [*asked, seed])
    tf.saved_model.save(served, str(folder), signatures=signatures)
    (pathlib.Path(folder) / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")


def describe(task):
    """The part of task.json about the outputs: scenario, tasks so far and the meaning of `class`."""
    return {
        "scenario": task.stream.scenario,
        "task": task.number,
        "tasks": [{"index": one.index, "classes": list(one.classes)} for one in task.seen],
        "class_means": "position in the task" if _ambiguous(task.stream) else "label",
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


def read_description(folder):
    """The dict in the task.json of an exported model; `OSError` or `ValueError` if there is none."""
    return read_json(pathlib.Path(folder) / DESCRIPTION)


def versions(folder):
    """Version folders in `folder`, sorted by number."""
    found = [entry for entry in os.scandir(folder) if entry.name.isdigit() and entry.is_dir()]
    return [pathlib.Path(entry) for entry in sorted(found, key=lambda entry: int(entry.name))]


def _ambiguous(stream):
    """Whether some unit stands for different labels in different tasks."""
    used = np.where(stream.labels >= 0, stream.labels, stream.labels.max(axis=0))
    return bool((used != used[0]).any())


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
        mask = tf.gather(tf.constant(stream.labels >= 0), task)
        unit_labels = tf.gather(tf.constant(stream.labels, tf.int64), task)
        return _outputs(logits_of(network, images, task), mask, unit_labels)

    return answer


def _outputs(logits, mask, unit_labels):
    """Outputs of a signature; `mask` and `unit_labels` are `[C]` or `[B, C]`."""
    masked = tf.where(mask, logits, MASKED)
    unit = tf.argmax(masked, axis=1)
    label = tf.gather(unit_labels, unit, axis=-1, batch_dims=len(unit_labels.shape) - 1)
    return {"logits": logits, "probabilities": tf.nn.softmax(masked), "class": label}
