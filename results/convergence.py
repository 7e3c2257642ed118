"""How many steps a new task takes to a given accuracy under each schedule of the learning rate.

    TFDS_DATA_DIR=... python -m results.convergence

Every schedule trains a stream of its own for each seed; validation images are measured every few steps.
Writes results/convergence.json; `python -m results.figures` draws it.
"""

import functools
import json
import pathlib
import shlex

import numpy as np
from absl import app

from keras_cl.devices import device
from keras_cl.settings.flags import parse

HERE = pathlib.Path(__file__).parent
BASE = (
    "--method=finetune --stream=permuted --stream.valid_fraction=.1 --dataset=mnist --tasks=5 "
    "--network.hidden=100,100 --optimizer=sgd --learning_rate=.1 --batch_size=10"
)
EVERY, TIMES = 20, 100  # steps between two measurements, a tick of the schedules' clock; measurements a task
TARGET = 0.9
SEEDS = (0, 1, 2)
SCHEDULES = {
    "constant": "",
    "step": "--regime.schedule=step --regime.every=25 --regime.factor=.5",
    "exponential": "--regime.schedule=exponential --regime.factor=.97",
    "inverse": "--regime.schedule=inverse --regime.factor=.1",
    "cosine": "--regime.schedule=cosine --regime.length=100",
    "restarts": "--regime.schedule=restarts --regime.length=15 --regime.times=2",
    "plateau": "--regime.schedule=plateau --regime.patience=10 --regime.factor=.5",
    "warm-up": "--regime.warmup=10",
    "decay": "--regime.decay=.5",
}


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    content = {"base": BASE, "target": TARGET, "every": EVERY, "seeds": list(SEEDS), "schedules": {}}
    for name, said in SCHEDULES.items():
        config = parse(["", *shlex.split(BASE), *shlex.split(said)])
        curves, final = zip(*(learned(config, seed) for seed in SEEDS), strict=True)
        content["schedules"][name] = found = summary(np.array(curves), np.array(final))
        print(name, found, flush=True)
    (HERE / "convergence.json").write_text(json.dumps(content, indent=2) + "\n")


def learned(config, seed):
    """Validation accuracies of one seed: of the task at hand at every measurement `[T, TIMES]`, and of all
    tasks at the end `[T]`."""
    import tf_keras as keras

    from keras_cl.settings.build import make_model, make_stream

    stream = make_stream(config)
    model = make_model(config, stream, seed)
    curves = []

    def measure(task, *_):
        curves.append(model.accuracies(stream[task.index : task.number], part="valid")[0])

    for task in stream:
        model.begin_task(task)
        measured = keras.callbacks.LambdaCallback(on_epoch_end=functools.partial(measure, task))
        batches = model.batches(task, config.batch_size, iterations=EVERY)
        model.fit(batches, epochs=TIMES, verbose=0, callbacks=[measured])
        model.end_task(task)
    return np.reshape(curves, (len(stream), TIMES)), model.accuracies(stream, part="valid")


def summary(curves, final):
    """What is kept of the accuracies `[seeds, T, TIMES]` on the way and `[seeds, T]` at the end; drop is the
    mean one of a task from its best measurement while it was learned."""
    steps = np.array([[steps_to(TARGET, curve) for curve in seed] for seed in curves])
    drop = (curves[:, :-1].max(axis=2) - final[:, :-1]).mean(axis=1)
    return {
        "steps": {"mean": steps.mean(axis=0).tolist(), "std": steps.std(axis=0, ddof=1).round(1).tolist()},
        "missed": int((curves.max(axis=2) < TARGET).sum()),
        "learning_accuracy": round(float(curves[:, :, -1].mean()), 4),
        "average_accuracy": round(float(final.mean()), 4),
        "drop": round(float(drop.mean()), 4),
    }


def steps_to(target, curve):
    """Steps until an accuracy, measured every `EVERY` steps, reaches `target`; all steps if it never does."""
    reached = np.flatnonzero(curve >= target)
    return EVERY * (int(reached[0]) + 1 if len(reached) else len(curve))


if __name__ == "__main__":
    app.run(main)
