"""Runs in a minute: many runs at a time, each on a core of its own, compared with one after the other.

    TFDS_DATA_DIR=... python -m benchmarks.compare [--seeds=5] [--save]

The starts of the processes and their imports count; the report at the end of a comparison does not.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags

RUN = (
    "--stream=split --dataset=mnist --scenario=task --tasks=5 --network.hidden=400,400 --epochs=1 "
    "--batch_size=128 --export=none"
)
METHODS = ("finetune", "si", "er", "derpp")


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    from benchmarks.timing import save
    from keras_cl.compare import cores

    there = len(cores.available())
    runs = [(method, seed) for seed in range(flags.FLAGS.seeds) for method in METHODS]
    seconds = {
        "a command each, on all cores": commands(runs),
        "one at a time, on all cores": workers(runs, 1, 0),
        "one at a time, on one core": workers(runs, 1, 1),
        f"{there} at a time, on a core each": workers(runs, there, 1),
    }
    *others, together = seconds
    content = {
        "run": RUN,
        "methods": METHODS,
        "runs": len(runs),
        "runs_a_minute": {name: round(60 * len(runs) / value, 2) for name, value in seconds.items()},
        "together_to": {name: round(seconds[name] / seconds[together], 2) for name in others},
    }
    for name, value in content.items():
        print(f"{name:44s}{value}")
    if flags.FLAGS.save:
        save("compare", content)


def given(method, seed, folder):
    """The command line of a run."""
    return [*RUN.split(), f"--method={method}", f"--seeds={seed}", f"--run_dir={folder}/{method}-{seed}"]


def commands(runs):
    """Seconds of runs as commands, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for run in runs:
            command = [sys.executable, "-m", "keras_cl.main", *given(*run, folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def workers(runs, count, own):
    """Seconds of runs in `count` worker processes with `own` cores each."""
    from keras_cl.compare import local
    from keras_cl.compare.jobs import Job

    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            Job(f"{method} {seed}", "keras_cl.compare.cells:train", {"flags": given(method, seed, folder)})
            for method, seed in runs
        ]
        started = time.perf_counter()
        for outcome in local.run(jobs, count, own):
            assert outcome.state == "done", outcome.error
        seconds = time.perf_counter() - started
        assert len(list(pathlib.Path(folder).glob("*/DONE"))) == len(runs)
        return seconds


if __name__ == "__main__":
    flags.DEFINE_integer("seeds", 5, "seeds of each method", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/compare.json")
    app.run(main)
