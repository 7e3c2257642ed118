"""Microseconds per training step of every method that needs no memory, compared with fine-tuning.

    python -m benchmarks.methods [--rounds=3] [--save]

The network is that of the largest workload of `benchmarks.steps`; penalties and teachers are active.
`benchmarks.replay` measures the cost of a memory.
"""

from absl import app, flags

from keras_cl.devices import device

HIDDEN, BATCH = (1024, 512, 256), 128
BOUNDS = ("joint", "cumulative")  # same step as fine-tuning


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.steps import EPOCHS, ROWS
    from benchmarks.timing import interleaved, save

    best = interleaved(variants(), flags.FLAGS.rounds)
    times = {name: round(1e6 * s / (EPOCHS * -(-ROWS // BATCH)), 1) for name, s in best.items()}
    for name, value in times.items():
        print(f"{name:10s}{value:8.0f} us  {value / times['finetune']:6.2f} x finetune")
    if flags.FLAGS.save:
        save("methods", {"rounds": flags.FLAGS.rounds, "microseconds_a_step": times})


def variants():
    """`{method: function that trains some epochs}`, finetune first."""
    from benchmarks.steps import method_epochs, random_stream
    from keras_cl.settings import catalog

    needs = {name: catalog.choice("method", name).constants.get("usual") for name in catalog.names("method")}
    names = [name for name in needs if not needs[name] and name not in (*BOUNDS, "finetune")]
    made = {}
    for name in ("finetune", *names):
        method = catalog.load("method", name)
        stream = random_stream("task" if "domain" not in method.scenarios else "domain")
        anchors = int(any(option.name == "strength" for option in catalog.choice("method", name).options))
        made[name] = method_epochs(method, stream, HIDDEN, BATCH, "adam", anchors)
    return made


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 3, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/methods.json")
    app.run(main)
