"""Seconds of a Fisher pass over 60,000 rows, in epochs of training of the same network.

python -m benchmarks.fisher [--rounds=3] [--save]
"""

from absl import app, flags

from keras_cl import device

HIDDEN, BATCH = (1024, 512, 256), 128


def main(argv):
    del argv
    device.prepare("cpu")
    import functools

    import keras_cl
    from benchmarks.steps import method_epochs, random_stream
    from benchmarks.timing import interleaved, save
    from keras_cl.importance import Fisher
    from keras_cl.methods import Finetune

    stream = random_stream()
    network = keras_cl.networks.mlp(stream, hidden=HIDDEN)
    x, y = stream[0].train.open()
    variants = {"epoch": method_epochs(Finetune, stream, HIDDEN, BATCH, "adam", epochs=1)}
    for kind in ("exact", "sample", "empirical", "argmax", "batched"):
        variants[kind] = functools.partial(Fisher(network, kind), x, y, stream.class_mask[0])
    seconds = interleaved(variants, flags.FLAGS.rounds)
    for name, value in seconds.items():
        print(f"{name:12s}{value:7.2f} s  {value / seconds['epoch']:6.2f} epochs")
    if flags.FLAGS.save:
        times = {name: round(value, 3) for name, value in seconds.items()}
        save("fisher", {"rounds": flags.FLAGS.rounds, "seconds": times})


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 3, "rounds of which the fastest counts")
    flags.DEFINE_boolean("save", False, "write results/fisher.json")
    app.run(main)
