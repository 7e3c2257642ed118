"""Interleaved timing: every variant runs once per round; the smallest time of all rounds counts."""

import json
import os
import pathlib
import platform
import time

import numpy as np


def interleaved(variants, rounds, clock=time.perf_counter):
    """Smallest seconds of each variant.

    Args:
      variants: `{name: function}`; each is called once before the first round, to compile.
      rounds: number of rounds.
      clock: function that returns seconds; an array of them by several clocks.
    """
    for run in variants.values():
        run()
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(rounds):
        for name, run in variants.items():
            started = clock()
            run()
            best[name] = np.minimum(best[name], clock() - started)
    return best


def machine():
    """The machine that the numbers were measured on."""
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}


def save(name, content):
    """Writes `results/<name>.json`."""
    path = pathlib.Path(__file__).parents[1] / "results" / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **content}, indent=2) + "\n")
    print(f"wrote {path}")
