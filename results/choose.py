"""How EWC's default strength was chosen: on validation data of another stream.

    python -m results.choose

Five tasks of permuted digits whose permutations (stream seed 1) are not those of the default stream. A fifth
of the training images is kept for validation; test images are never read.
"""

import json
import pathlib

import numpy as np

STRENGTHS = (0.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
TASKS, EPOCHS, BATCH, SEEDS = 5, 10, 32, (0, 1, 2)


def main():
    from keras_cl import device

    device.prepare("cpu")
    import keras_cl

    stream = keras_cl.streams.permuted("digits", tasks=TASKS, seed=1, valid_fraction=0.2)
    accuracy = {f"{strength:g}": validated(stream, strength) for strength in STRENGTHS}
    best = max(accuracy, key=accuracy.get)
    content = {"validation_accuracy": accuracy, "chosen": float(best), "seeds": SEEDS, "tasks": TASKS}
    path = pathlib.Path(__file__).parent / "strength.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(path.read_text())


def validated(stream, strength):
    """Mean validation accuracy over all tasks at the end, over the seeds."""
    import tf_keras as keras

    import keras_cl

    found = []
    for seed in SEEDS:
        model = keras_cl.methods.EWC(keras_cl.networks.mlp(stream, seed=seed), strength=strength, seed=seed)
        model.compile(keras.optimizers.Adam(1e-3))
        for task in stream:
            model.begin_task(task)
            model.fit(model.batches(task, BATCH), epochs=EPOCHS, verbose=0)
            model.end_task(task)
        found.append(np.mean(model.accuracies(stream, part="valid")))
    return round(float(np.mean(found)), 4)


if __name__ == "__main__":
    main()
