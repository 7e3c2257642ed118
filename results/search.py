"""Finds the strength of a row on validation data of its first tasks, and writes it into the flagfile.

    python -m results.search permuted_mnist/mas --strengths=0.01,0.1,1 [--seeds=0] [--jobs=2 --cores=1]

The first tasks are learned with a part of their training rows kept for validation; test images are never
read. The accuracies go to results/<table>/<row>.search.json, together with those of earlier searches of the
same row, and the best strength to <row>.flags.
"""

import dataclasses
import json
import pathlib
import re
import sys

import numpy as np
from absl import app

from keras_cl.compare import jobs
from keras_cl.compare.local import Pool
from keras_cl.devices import device
from keras_cl.errors import Diverged, require
from keras_cl.settings import command, flags
from keras_cl.settings.options import option_of

HERE = pathlib.Path(__file__).parent
TASKS, VALID_FRACTION = 3, 0.1


OWN = (
    option_of("strengths", tuple[float, ...], (), "what to try, separated by commas"),
    option_of("seeds", tuple[int, ...], (), "of the model; by default those of the row"),
    option_of("jobs", int, 1, "strengths that are tried at a time"),
    option_of("cores", int, 0, "cores that each has for itself; 0 to let all share all cores"),
)


def parse(argv):
    """The flag values and the rows of a command line; prints help and exits if it has a help flag."""
    values, rows = flags.read_own(argv, __doc__ or "", OWN)
    require(rows, "Which rows? Give them as table/row.")
    for row in rows:
        require((HERE / f"{row}.flags").is_file(), f"There is no row {row}: no file results/{row}.flags.")
    require(values.strengths, "--strengths is missing: what to try, as in --strengths=0.01,0.1,1.")
    require(values.jobs >= 1, f"--jobs is {values.jobs}; it must be at least 1.")
    require(values.cores >= 0, f"--cores is {values.cores}; it must not be negative.")
    require(min(values.strengths) >= 0, f"--strengths has {min(values.strengths):g}; give none below 0.")
    return values, rows


def main(given):
    values, rows = given
    with Pool(values.jobs, values.cores) as pool:
        for row in rows:
            search(row, values.strengths, values.seeds, pool.run, "accuracy_in_worker")


def search(row, strengths, seeds, run=jobs.run, function="accuracy"):
    """Measures each strength and keeps the best.

    Args:
      row: the row, as "table/row".
      strengths: what to try.
      seeds: seeds of the model; () for those of the row.
      run: function of jobs that yields `Outcome`s.
      function: function of this module that measures a strength.
    """
    seeds = tuple(map(int, seeds)) or config_of(row).seeds
    path = HERE / f"{row}.search.json"
    found = {"tasks": TASKS, "valid_fraction": VALID_FRACTION, "seeds": list(seeds)}
    earlier = json.loads(path.read_text()) if path.exists() else {}
    same = all(earlier.get(key) == value for key, value in found.items())
    accuracy = earlier["validation_accuracy"] if same else {}
    tried = {f"{strength:.12g}": strength for strength in strengths}
    given = {"row": row, "seeds": list(seeds)}
    todo = [
        jobs.Job(name, f"results.search:{function}", {**given, "strength": strength})
        for name, strength in tried.items()
    ]
    failed = []
    for outcome in run(todo):
        if outcome.state == "failed":
            failed.append(f"{row}: strength {outcome.job.name}: {outcome.error}")
            continue
        accuracy[outcome.job.name] = value = round(outcome.value, 5)
        print(f"{row}: strength {outcome.job.name}, validation accuracy {value:.4f}", flush=True)
        if any(accuracy.values()):  # kept at once, because the others can fail
            _keep(row, found, accuracy)
    require(not failed, " ".join(failed))
    if not any(accuracy.values()):
        sys.exit(f"Error: every strength that was tried for {row} diverged.")


def _keep(row, found, accuracy):
    """Writes the accuracies, and the best strength so far into the flagfile."""
    flagfile, chosen = HERE / f"{row}.flags", max(accuracy, key=accuracy.get)
    found = found | {"validation_accuracy": {key: accuracy[key] for key in sorted(accuracy, key=float)}}
    flagfile.with_suffix(".search.json").write_text(json.dumps(found | {"chosen": chosen}, indent=2) + "\n")
    line, text = f"--method.strength={chosen}\n", flagfile.read_text()
    replaced, count = re.subn(r"--method\.strength=.*\n", line, text)
    flagfile.write_text(replaced if count else text + line)


def config_of(row):
    """The `Config` of a row, which keeps rows for validation."""
    config = flags.parse(["", f"--flagfile={HERE / f'{row}.flags'}"])
    return dataclasses.replace(config, options=config.options | {"stream.valid_fraction": VALID_FRACTION})


def accuracy(row, strength, seeds):
    """What `validated` returns for a row."""
    return validated(config_of(row), strength, tuple(seeds))


def accuracy_in_worker(row, strength, seeds):
    """The same in a process of its own."""
    device.prepare("cpu")
    return accuracy(row, strength, seeds)


def validated(config, strength, seeds):
    """Mean validation accuracy over the first tasks after the last of them, over the seeds; 0 if diverged."""
    from keras_cl.settings.build import make_stream, stream_of_seed
    from tuning.trial import validation_matrix

    config = dataclasses.replace(config, options=config.options | {"method.strength": strength})
    stream, accuracy = make_stream(config), []
    for seed in seeds:
        try:
            own = stream_of_seed(config, stream, seed)
            accuracy.append(np.mean(validation_matrix(config, own, seed, TASKS)[-1]))
        except Diverged:
            accuracy.append(0.0)
    return float(np.mean(accuracy))


if __name__ == "__main__":
    app.run(main, flags_parser=command.parser(parse))
