"""Microseconds per training step of wide networks: float32 compared with `--precision=mixed_bfloat16`.

    python -m benchmarks.wide [--rounds=5] [--save]

The network is that of the largest workload of `benchmarks.steps`; penalties are active. On a CPU with AMX,
steps in bfloat16 leave their matrix products to oneDNN (docs/devices.md); what is printed says whether there
is AMX.
"""

from absl import app, flags

from benchmarks.methods import BATCH, HIDDEN
from keras_cl.devices import device

METHODS = {"finetune": "Finetune", "ewc": "EWC", "si": "SI"}
PRECISIONS = ("float32", "mixed_bfloat16")


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.steps import EPOCHS, ROWS
    from benchmarks.timing import interleaved, save
    from keras_cl.devices import amx

    best = interleaved(variants(), flags.FLAGS.rounds)
    steps = EPOCHS * -(-ROWS // BATCH)
    measured = {
        name: {kind: round(1e6 * best[name, kind] / steps, 1) for kind in PRECISIONS} for name in METHODS
    }
    has_amx = amx.multiplies_bfloat16()
    print(f"AMX: {'yes' if has_amx else 'no'}")
    for name, times in measured.items():
        wide, narrow = times.values()
        print(f"{name:10s}{wide:8.0f} us{narrow:8.0f} us in bfloat16, {wide / narrow:5.2f} times as fast")
    if flags.FLAGS.save:
        save("wide", {"amx": has_amx, "rounds": flags.FLAGS.rounds, "microseconds_a_step": measured})


def variants():
    """`{(method, precision): function that trains some epochs}`."""
    from benchmarks.steps import method_epochs, random_stream
    from keras_cl import methods

    stream = random_stream()
    return {
        (name, precision): method_epochs(
            getattr(methods, kind), stream, HIDDEN, BATCH, "adam", anchors=1, precision=precision
        )
        for name, kind in METHODS.items()
        for precision in PRECISIONS
    }


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/wide.json")
    app.run(main)
