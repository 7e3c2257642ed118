"""Cost of augmentation: milliseconds per step of a ResNet-18 with and without, and their ratio.

    python -m benchmarks.augment [--rounds=5]

The network has 20 filters and SGD, the images are random bytes of CIFAR's size. Variants take turns, a few
steps each, so that other work on the machine slows down all of them.
"""

from absl import app, flags

from keras_cl.devices import device

STEPS = {10: 6, 32: 3}  # by batch size: steps per call to fit
PLAIN = "plain"
VARIANTS = {
    PLAIN: (),
    "crop,mirror": ("crop", "mirror"),
    "crop,mirror,jitter,cutout,mixup": ("crop", "mirror", "jitter", "cutout", "mixup"),
}


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import interleaved

    for batch, steps in STEPS.items():
        best = interleaved(variants(batch, steps), flags.FLAGS.rounds)
        times = {name: round(1e3 * seconds / steps, 2) for name, seconds in best.items()}
        for name, value in times.items():
            print(f"batch {batch:3d}  {name:34s}{value:8.2f} ms  {value / times[PLAIN]:.3f} x plain")


def variants(batch, steps):
    """`{name: function that takes some steps}`."""
    from benchmarks.steps import random_images

    stream = random_images(batch * steps)
    return {name: training(stream, batch, names) for name, names in VARIANTS.items()}


def training(stream, batch, names):
    """A function that trains a new network for one epoch."""
    import keras_cl

    model = keras_cl.methods.Finetune(keras_cl.networks.resnet18(stream), augment=names)
    model.compile("sgd")
    model.begin_task(stream[0])
    data = model.batches(stream[0], batch)
    return lambda: model.fit(data, verbose=0)


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "rounds of which the fastest counts", lower_bound=1)
    app.run(main)
