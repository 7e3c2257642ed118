"""Finds the strength of a row on validation data of its first tasks, and writes it into the flagfile.

    python -m results.search permuted_mnist/mas --strengths=0.01,0.1,1 [--seeds=0]

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

from keras_cl.devices import device
from keras_cl.errors import Diverged, require
from keras_cl.settings import command, flags
from keras_cl.settings.options import option_of

HERE = pathlib.Path(__file__).parent
TASKS, VALID_FRACTION = 3, 0.1


OWN = (
    option_of("strengths", tuple[float, ...], (), "what to try, separated by commas"),
    option_of("seeds", tuple[int, ...], (), "of the model; by default those of the row"),
)


def parse(argv):
    """The flag values and the rows of a command line; prints help and exits if it has a help flag."""
    values, rows = flags.read_own(argv, __doc__ or "", OWN)
    require(rows, "Which rows? Give them as table/row.")
    for row in rows:
        require((HERE / f"{row}.flags").is_file(), f"There is no row {row}: no file results/{row}.flags.")
    require(values.strengths, "--strengths is missing: what to try, as in --strengths=0.01,0.1,1.")
    require(min(values.strengths) >= 0, f"--strengths has {min(values.strengths):g}; give none below 0.")
    return values, rows


def main(given):
    values, rows = given
    device.prepare("cpu")
    for row in rows:
        search(row, values.strengths, values.seeds)


def search(row, strengths, seeds):
    """Measures each strength and keeps the best."""
    flagfile = HERE / f"{row}.flags"
    config = flags.parse(["", f"--flagfile={flagfile}"])
    config = dataclasses.replace(config, options=config.options | {"stream.valid_fraction": VALID_FRACTION})
    seeds = tuple(map(int, seeds)) or config.seeds
    path = flagfile.with_suffix(".search.json")
    found = {"tasks": TASKS, "valid_fraction": VALID_FRACTION, "seeds": list(seeds)}
    earlier = json.loads(path.read_text()) if path.exists() else {}
    same = all(earlier.get(key) == value for key, value in found.items())
    accuracy = earlier["validation_accuracy"] if same else {}
    for strength in strengths:
        accuracy[f"{strength:.12g}"] = value = round(validated(config, strength, seeds), 5)
        print(f"{row}: strength {strength:.12g}, validation accuracy {value:.4f}", flush=True)
    found["validation_accuracy"] = {key: accuracy[key] for key in sorted(accuracy, key=float)}
    found["chosen"] = max(accuracy, key=accuracy.get)
    if not accuracy[found["chosen"]]:
        sys.exit(f"Error: every strength that was tried for {row} diverged.")
    path.write_text(json.dumps(found, indent=2) + "\n")
    line, flags_text = f"--method.strength={found['chosen']}\n", flagfile.read_text()
    replaced, count = re.subn(r"--method\.strength=.*\n", line, flags_text)
    flagfile.write_text(replaced if count else flags_text + line)


def validated(config, strength, seeds):
    """Mean validation accuracy over the first tasks after the last of them, over the seeds; 0 if diverged."""
    from keras_cl.settings.build import make_stream
    from tuning.trial import validation_matrix

    config = dataclasses.replace(config, options=config.options | {"method.strength": strength})
    stream, accuracy = make_stream(config), []
    for seed in seeds:
        try:
            accuracy.append(np.mean(validation_matrix(config, stream, seed, TASKS)[-1]))
        except Diverged:
            accuracy.append(0.0)
    return float(np.mean(accuracy))


if __name__ == "__main__":
    app.run(main, flags_parser=command.parser(parse))
