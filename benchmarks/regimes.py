"""Cost of a learning-rate schedule per step, and of a long stream of small batches as a whole.

    TFDS_DATA_DIR=... python -m benchmarks.regimes [--rounds=5] [--save]

The job is twenty tasks of permuted MNIST, one epoch each with batch size 10, 120,000 steps, in its own
process: imports, data, compilation, evaluation, figures and exports count. Its accuracy matrix alone needs 21
x 20 passes over 10,000 test images, whose limit is measured next to that of the steps.
"""

from absl import app, flags

from benchmarks.job import run_job
from keras_cl.devices import device

HIDDEN, BATCH = (256, 256), 10
TASKS, STEPS, TESTED = 20, 120_000, 10_000
JOB = (
    f"--method=finetune --stream=permuted --dataset=mnist --tasks={TASKS} --network.hidden=256,256 "
    f"--epochs=1 --batch_size={BATCH} --optimizer=sgd --learning_rate=.01"
)
FORWARD = "forward"
SCHEDULES = {
    "cosine by the step": {"schedule": "cosine", "clock": "step", "length": 1000},
    "warm-up and restarts by the step": {
        "schedule": "restarts",
        "clock": "step",
        "length": 100,
        "times": 2,
        "warmup": 50,
    },
    "decay from task to task": {"decay": 0.8},
}


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    job = run_job(JOB)  # before TensorFlow allocates memory here
    device.prepare("cpu")
    from benchmarks.steps import ROWS, limit_epochs, method_epochs, random_stream
    from benchmarks.timing import interleaved, save
    from keras_cl.methods import Finetune
    from keras_cl.regimes import Plain

    stream = random_stream()
    measured = {
        "limit": limit_epochs(stream, HIDDEN, BATCH, "sgd", epochs=1),
        "constant": method_epochs(Finetune, stream, HIDDEN, BATCH, "sgd", epochs=1),
    }
    for name, options in SCHEDULES.items():
        regime = Plain(**options)
        measured[name] = method_epochs(Finetune, stream, HIDDEN, BATCH, "sgd", epochs=1, regime=regime)
    epochs = interleaved({**measured, FORWARD: forward(stream)}, flags.FLAGS.rounds)
    passes = (TASKS + 1) * TASKS * epochs.pop(FORWARD)
    times = {name: 1e6 * seconds / -(-ROWS // BATCH) for name, seconds in epochs.items()}
    content = {
        "rounds": flags.FLAGS.rounds,
        "microseconds_a_step": {name: round(value, 1) for name, value in times.items()},
        "job": JOB,
        "seconds": round(job, 1),
        "seconds_of_steps_at_the_limit": round(1e-6 * times["limit"] * STEPS, 1),
        "seconds_of_evaluation_at_the_limit": round(passes, 1),
    }
    for name, value in content.items():
        print(f"{name:32s}{value}")
    if flags.FLAGS.save:
        save("regimes", content)


def forward(stream):
    """One compiled pass of the network over test images that are already in memory as floats."""
    import tensorflow as tf

    import keras_cl

    network = keras_cl.networks.mlp(stream, hidden=HIDDEN)
    images = tf.constant(stream[0].train.open()[0][:TESTED], tf.float32)
    answer = tf.function(lambda images: tf.argmax(network(images), axis=1), jit_compile=True)
    return lambda: answer(images).numpy()


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/regimes.json")
    app.run(main)
