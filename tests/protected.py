"""What tests of methods share that protect a conditional GAN: three tasks of two classes, tiny networks."""

import functools

import numpy as np

from keras_cl.check.subject import blobs
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config

B, STEPS, SIDE, LATENT = 4, 3, 4, 2  # rows of a batch, batches of a task, pixels of a side, length of a code
SMALL = {"network.hidden": (6,), "memory.hidden": (8,), "memory.latent": LATENT, "memory.critic_steps": 2}


@functools.cache
def dataset(folder):
    """The path of 30 images of six classes, in a folder."""
    path = folder / "blobs.npz"
    np.savez(path, **blobs([5] * 6, side=SIDE))
    return str(path)


def settings(dataset, method, *, options=None, **given):
    """Three tasks of two classes of 5 rows: the last of three batches has two rows."""
    fixed = {"stream": "split", "scenario": "class", "tasks": 3, "batch_size": B, "jit": "off"}
    return Config(method=method, dataset=dataset, options=SMALL | (options or {}), **{**fixed, **given})


def made(dataset, method, **given):
    """`(model, stream)` of an untrained model whose steps are not traced."""
    config = settings(dataset, method, **given)
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    model.run_eagerly = True
    return model, stream


def learn(model, tasks):
    """Learns tasks; a model that `made` made."""
    for task in tasks:
        model.begin_task(task)
        model.fit(model.batches(task, B), verbose=0)
        model.end_task(task)


def learned(dataset, method, tasks=3, **given):
    """A model that has learned the first tasks."""
    model, stream = made(dataset, method, **given)
    learn(model, stream[:tasks])
    return model


def moved(model, seed=1):
    """The model, whose generator's weights have been moved from where they were."""
    rng = np.random.default_rng(seed)
    pixels = model.memory.generator.pixels
    pixels.set_weights([w + rng.normal(0, 0.1, w.shape).astype(w.dtype) for w in pixels.get_weights()])
    return model


def weights(model):
    """Weights of the network, of the generator and of the critic."""
    parts = (model.network, model.memory.generator.pixels, model.memory.generator.critic)
    return [weight for part in parts for weight in part.get_weights()]
