"""Keras Tuner's search with trials that are whole task sequences."""

import time
import warnings

import tensorflow as tf
from keras_tuner import Objective, oracles
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FailedTrialError
from threadpoolctl import threadpool_limits

from keras_cl.errors import InputError, require
from tuning import space
from tuning.journal import Journal
from tuning.trial import numbers


class Bayesian(oracles.BayesianOptimizationOracle):
    """Keras Tuner's oracle on one thread: its matrices are so small that several threads are much slower."""

    def populate_space(self, trial_id):
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from scikit-learn, about length scales of few points
            return super().populate_space(trial_id)


ORACLES = {
    "bayesian": Bayesian,
    "random": oracles.RandomSearchOracle,
    "hyperband": oracles.HyperbandOracle,
    "grid": oracles.GridSearchOracle,
}
BUDGET = "tuner/epochs"  # Keras Tuner's name for the budget of a trial in hyperband, whatever its unit
PAUSE = 0.05  # seconds before a trial; avoids a busy loop while the oracle waits for other workers


class Tuner(BaseTuner):
    """Runs the trials of a search, or looks them up.

    Args:
      search: the `Search`.
      stream: the task stream, with validation rows.
      folder: directory of the search.
      worker: name of this process among those that share the folder.
      display: a `keras_cl.runs.console.Display`.

    Keras Tuner requires build functions to return a Keras 3 model, so trials run here, in `run_trial`.
    """

    def __init__(self, search, stream, folder, worker, display):
        self._search, self._stream, self._display = search, stream, display
        self._journal = Journal(folder / "trials")
        self._journal.check(search.objective)
        # Keras Tuner would resume from its own records; each process gets its own records, created anew.
        own = {"directory": str(folder / "keras_tuner"), "project_name": worker, "overwrite": True}
        super().__init__(_oracle(search), **own)

    def pre_create_trial(self):
        time.sleep(PAUSE)

    def run_trial(self, trial):
        """The objective of a trial as `{name: number}`."""
        record, known = self.record(trial), True
        if record is None:
            record, known = self._tried(trial), False
            self._journal.keep(record)
        told = _told(record, self._search, known)
        self._display.say(f"trial {number(trial)}/{self._search.trials}: {told}")
        if record["status"] == "failed":
            raise FailedTrialError(record["message"])
        return {self._search.objective: record["numbers"][self._search.objective]}

    def _try_run_and_update_trial(self, trial):
        """Overrides Keras Tuner's method, which takes every error for a failed trial, including bugs."""
        try:
            self._run_and_update_trial(trial)
            trial.status = TrialStatus.COMPLETED
        except FailedTrialError as error:
            trial.status, trial.message = TrialStatus.FAILED, str(error)

    def record(self, trial):
        """The record of a trial; None if it was not tried."""
        return self._journal.find(*self.asked(trial))

    def asked(self, trial):
        """The values `{flag: value}` and the budget of a trial."""
        values = trial.hyperparameters.values
        return space.chosen(self._search.space, trial.hyperparameters), values.get(BUDGET)

    def _tried(self, trial):
        values, budget = self.asked(trial)
        record = {"values": values, "budget": budget, "status": "completed", "numbers": {}, "message": ""}
        started = time.monotonic()
        try:
            record["numbers"] = self._measured(values, budget)
        except (InputError, tf.errors.ResourceExhaustedError) as error:
            record |= {"status": "failed", "message": str(error).partition("\n")[0]}
        return record | {"seconds": round(time.monotonic() - started, 3)}

    def _measured(self, values, budget):
        config, tasks = self._search.configured(values, budget)
        found, name = numbers(config, self._stream, tasks), self._search.objective
        require(name in found, f"The {name} is not defined in the {config.scenario}-incremental scenario.")
        return found


def number(trial):
    """Number of the trial, from 1."""
    return int(trial.trial_id) + 1


def _oracle(search):
    """Keras Tuner's algorithm that chooses configurations."""
    options = {
        "objective": Objective(search.objective, search.direction),
        "hyperparameters": space.declared(search.space),
        "seed": search.config.seeds[0] + 1,  # Keras Tuner takes 0 for no seed
        "max_consecutive_failed_trials": search.trials + 1,
    }
    if search.tuner == "hyperband":  # repeats until there are enough trials
        options |= {"max_epochs": search.most, "hyperband_iterations": None}
    oracle = ORACLES[search.tuner](**options)
    oracle.max_trials = search.trials
    oracle.verbose = 0
    return oracle


def _told(record, search, known):
    """A trial as one line."""
    said = [f"{flag} {value}" for flag, value in record["values"].items()]
    said += [f"{record['budget']} {search.budget}"] if record["budget"] else []
    if record["status"] == "failed":
        came = f"failed: {record['message']}"
    else:
        came = f"{search.objective} {record['numbers'][search.objective]:.4f}"
    took = "from an earlier run" if known else f"{record['seconds']:.1f} s"
    return f"{', '.join(said)}; {came} ({took})"
