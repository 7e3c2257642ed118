"""Puts the law of two devices to every method: `python strategies.py traced|quick [method ...]`.

A process of its own, because the number of devices is settled before TensorFlow starts. Prints JSON for
each method: why the law is broken, or "".
"""

import contextlib
import json
import sys
import tempfile

from keras_cl.check.compare import Broken, difference, hold
from keras_cl.check.devices import mirrored, on_devices
from keras_cl.check.laws import CLOSE, two_devices
from keras_cl.check.subject import Subject
from keras_cl.devices import device
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import SCENARIOS

# Its penalty is felt from the second step of the generator on, and Adam makes steps of rounding errors.
SLOW_GAN = {"memory.critic_steps": 1, "memory.learning_rate": 1e-5}
# Settings and options, beside those that keep a method small, that several devices could get wrong:
# weight decay has no rows, a regime changes the optimizer, draws are of another size, images are mixed with
# those of another device.
MORE = {
    "finetune": ({"regime": "stable"}, {"network.weight_decay": 0.5}),
    "ewc": ({"memory": "ring", "replay_batch_size": 6}, {"method.strength": 50.0}),
    "scp": ({}, {"method.strength": 1.0}),
    "er": (
        {"optimizer": "adam", "augment": ("crop", "mirror", "cutmix")},
        {"method.weighting": "share", "augment.crop.padding": 1, "augment.cutmix.probability": 1.0},
    ),
    "dgr": ({}, {"memory.conditional": True}),
    "dgr_distill": ({"memory": "gan"}, {}),
    "generative_replay": ({}, {"memory.epochs": 2}),
    "mergan": ({}, SLOW_GAN | {"method.strength": 1e4, "method.reduction": "mean"}),
    "ewc_m": ({}, SLOW_GAN | {"method.strength": 1e6, "method.n_samples": 20}),
}
HANDED_OVER = "er"  # to other devices between the tasks
# What a method does otherwise by an option, and several devices could get wrong there.
SMALL_MEMORY = {"method.hidden": (8,), "method.latent": 2, "method.memory_iterations": 6}
OTHERWISE = {
    "lgm": (
        {"method.embedder": "frozen"},
        {"method.backend": "cvae", "method.embedder": "ewc", **SMALL_MEMORY},
        {"method.backend": "cgan", "method.embedder": "free", **SMALL_MEMORY},
    ),
    "ogm": (
        {"method.variant": "distill"},
        {"method.variant": "project", "method.tolerance": 0.01},
        {"method.second_order": True},
    ),
}
HEADS = "er"  # also learned with momentum of earlier tasks, which heads of other tasks must not follow
# Methods that two devices also learn in a traced graph in the quick form; tracing takes time, so the others
# take the same steps together eagerly.
TRACED = ("er",)


def verdict(method, eager):
    """Why two devices do not come to the weights of one, or ""."""
    settings, options = MORE.get(method, ({}, {}))
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(method, folder, options=options, eager=SCENARIOS if eager else (), **settings)
        try:
            two_devices(subject)
            for place, other in enumerate(OTHERWISE.get(method, ())):
                two_devices(Subject(method, f"{folder}/{place}", options=other, eager=subject.eager))
            if method == HANDED_OVER:
                handed_over(subject)
                evaluated(subject)
            if method == HEADS:
                heads_held(subject)
        except Broken as error:
            return str(error)
    return ""


def handed_over(subject):
    """A model that goes from one device to two after its first task, or back, ends in the same weights."""
    two = mirrored()
    one = on_devices(subject, None, None)
    for strategies in ((None, two), (two, None)):
        apart = difference(one, on_devices(subject, *strategies))
        hold(apart <= CLOSE, f"handed over, weights or metrics are up to {apart:.2g} apart")


def heads_held(subject):
    """Which heads a step moves depends on the rows of all devices."""
    given = {"scenario": "task", "momentum": 0.9, "reset_optimizer": False}
    one, two = (on_devices(subject, *[strategy] * 2, **given) for strategy in (None, mirrored()))
    hold(difference(one, two) <= CLOSE, f"with heads, weights are up to {difference(one, two):.2g} apart")


def evaluated(subject):
    """Two devices evaluate a model as one does: each row counts once."""
    config, found = subject.config(subject.scenarios[-1], dataset=subject.larger, batch_size=8), []
    stream = make_stream(config)
    for strategy in (None, mirrored()):
        with strategy.scope() if strategy else contextlib.nullcontext():
            model = make_model(config, stream, seed=0)
        model.begin_task(stream[0])
        found.append(model.evaluate(stream[0].test, verbose=0))
    hold(difference(*found) <= CLOSE, f"evaluated on one device and on two: {found}")


def main(how, *methods):
    """Prints a line for each method."""
    device.divide_cpu(2)
    assert mirrored().num_replicas_in_sync == 2
    for method in methods or catalog.names("method"):
        eager = how == "quick" and method not in TRACED
        print(json.dumps({method: verdict(method, eager)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
