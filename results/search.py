"""Finds the value of an option on validation data of the first tasks, and writes it into the flagfile.

    python -m results.search permuted_mnist/mas --values=0.01,0.1,1 [--seeds=0] [--jobs=2 --cores=1]
    python -m results.search i_blurry_cifar100/derpp --option=method.beta --values=0.5,1,2

The first tasks are learned with a part of their training rows kept for validation; test images are never
read. The accuracies go to results/<table>/<row>.search.json, together with those of earlier searches of the
same row and option, and the best value to <row>.flags.
"""

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
    option_of("option", str, "method.strength", "what is searched: a flag of keras_cl.main that is a number"),
    option_of("values", tuple[float, ...], (), "what to try, separated by commas"),
    option_of("seeds", tuple[int, ...], (), "of the model; by default those of the row"),
    option_of("jobs", int, 1, "values that are tried at a time"),
    option_of("cores", int, 0, "cores that each has for itself; 0 to let all share all cores"),
)


def parse(argv):
    """The flag values and the rows of a command line; prints help and exits if it has a help flag."""
    values, rows = flags.read_own(argv, __doc__ or "", OWN)
    require(rows, "Which rows? Give them as table/row.")
    for row in rows:
        require((HERE / f"{row}.flags").is_file(), f"There is no row {row}: no file results/{row}.flags.")
    require(values.values, "--values is missing: what to try, as in --values=0.01,0.1,1.")
    require(values.jobs >= 1, f"--jobs is {values.jobs}; it must be at least 1.")
    require(values.cores >= 0, f"--cores is {values.cores}; it must not be negative.")
    require(min(values.values) >= 0, f"--values has {min(values.values):g}; give none below 0.")
    for row in rows:
        for value in values.values:
            config_of(row, values.option, value)  # refuses what the row does not have, or not with this value
    return values, rows


def main(given):
    values, rows = given
    with Pool(values.jobs, values.cores) as pool:
        for row in rows:
            search(row, values.option, values.values, values.seeds, pool.run, "accuracy_in_worker")


def search(row, option, values, seeds, run=jobs.run, function="accuracy"):
    """Measures each value and keeps the best.

    Args:
      row: the row, as "table/row".
      option: name of the flag.
      values: what to try.
      seeds: seeds of the model; () for those of the row.
      run: function of jobs that yields `Outcome`s.
      function: function of this module that measures a value.
    """
    seeds = tuple(map(int, seeds)) or flags.parse(["", _flagfile(row)]).seeds
    path = HERE / f"{row}.search.json"
    found = {"option": option, "tasks": TASKS, "valid_fraction": VALID_FRACTION, "seeds": list(seeds)}
    earlier = json.loads(path.read_text()) if path.exists() else {}
    same = all(earlier.get(key) == value for key, value in found.items())
    accuracy = earlier["validation_accuracy"] if same else {}
    tried = {f"{value:.12g}": value for value in values}
    given = {"row": row, "option": option, "seeds": list(seeds)}
    todo = [
        jobs.Job(name, f"results.search:{function}", {**given, "value": value})
        for name, value in tried.items()
    ]
    failed = []
    for outcome in run(todo):
        what = f"{row}: {option} {outcome.job.name}"
        if outcome.state == "failed":
            failed.append(f"{what}: {outcome.error}")
            continue
        accuracy[outcome.job.name] = value = round(outcome.value, 5)
        print(f"{what}, validation accuracy {value:.4f}", flush=True)
        if any(accuracy.values()):  # kept at once, because the others can fail
            _keep(row, found, accuracy)
    require(not failed, " ".join(failed))
    if not any(accuracy.values()):
        sys.exit(f"Error: every {option} that was tried for {row} diverged.")


def _keep(row, found, accuracy):
    """Writes the accuracies, and the best value so far into the flagfile."""
    flagfile, chosen = HERE / f"{row}.flags", max(accuracy, key=accuracy.get)
    found = found | {"validation_accuracy": {key: accuracy[key] for key in sorted(accuracy, key=float)}}
    flagfile.with_suffix(".search.json").write_text(json.dumps(found | {"chosen": chosen}, indent=2) + "\n")
    line, text = f"--{found['option']}={chosen}\n", flagfile.read_text()
    replaced, count = re.subn(rf"--{re.escape(found['option'])}=.*\n", line, text)
    flagfile.write_text(replaced if count else text + line)


def _flagfile(row):
    return f"--flagfile={HERE / f'{row}.flags'}"


def config_of(row, option, value):
    """The `Config` of a row with a value of an option, which keeps rows for validation."""
    more = [f"--{option}={value:.12g}", f"--stream.valid_fraction={VALID_FRACTION}"]
    return flags.parse(["", _flagfile(row), *more])


def accuracy(row, option, value, seeds):
    """What `validated` returns for a row."""
    return validated(config_of(row, option, value), tuple(seeds))


def accuracy_in_worker(row, option, value, seeds):
    """The same in a process of its own."""
    device.prepare("cpu")
    return accuracy(row, option, value, seeds)


def validated(config, seeds):
    """Mean validation accuracy over the first tasks after the last of them, over the seeds; 0 if diverged."""
    from keras_cl.settings.build import make_stream, stream_of_seed
    from tuning.trial import validation_matrix

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
