"""Logs a run to MLflow: settings as parameters, metrics by epoch and by task, files as artifacts."""

import os
import tempfile
import time
from pathlib import Path

from keras_cl.errors import InputError, require_installed
from keras_cl.runs.loggers.base import Logger, flat

FILES = ("config.json", "summary.json", "*.csv", "*.png")  # artifacts of a finished run
BATCH = 100  # parameters or metrics of one request, at most
LONGEST = 500  # characters of a parameter


class MLflow(Logger):
    """Keras callback for `keras_cl.learn`; a resumed run goes on in the same run of MLflow.

    Args:
      experiment: name of the experiment; by default MLFLOW_EXPERIMENT_NAME or "keras_cl".
      tracking_uri: address of the server; by default MLFLOW_TRACKING_URI or that of MLflow.

    Raises:
      InputError: if the package mlflow is missing, or the server does not take the run.
    """

    service = "mlflow"

    def __init__(self, experiment="", tracking_uri=""):
        super().__init__()
        require_installed("mlflow", "mlflow")
        from mlflow.exceptions import MlflowException

        self.errors = (MlflowException, OSError)  # the second where files go past the server
        self._experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "keras_cl"
        self._address = tracking_uri or None

    def open(self, description, noted):
        from mlflow import MlflowClient

        try:
            self._client = MlflowClient(self._address)
            if "run" in noted:
                self._client.update_run(noted["run"], status="RUNNING")
            else:
                noted["run"] = self._begun(description)
        except self.errors as error:
            raise InputError(f"MLflow does not take the run: {error}") from error
        self._run = noted["run"]

    def scalars(self, axis, number, values):
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        found = [Metric(name, value, now, number) for name, value in values.items()]
        for part in _batches(found):
            self._client.log_batch(self._run, metrics=part)

    def image(self, name, number, png):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"task_{number:03d}.png")
            file.write_bytes(png)
            self._client.log_artifact(self._run, str(file), name)

    def close(self, results, error=None):
        if error is None and self._path:
            for file in (file for pattern in FILES for file in sorted(self._path.glob(pattern))):
                self._client.log_artifact(self._run, str(file))
        stopped = "FAILED" if isinstance(error, Exception) else "KILLED"
        self._client.set_terminated(self._run, stopped if error else "FINISHED")

    def _begun(self, description):
        """The identifier of a new run of the experiment, which has the settings as parameters."""
        from mlflow.entities import Param

        client = self._client
        known = client.get_experiment_by_name(self._experiment)
        experiment = known.experiment_id if known else client.create_experiment(self._experiment)
        tags = {f"version.{name}": version for name, version in description["versions"].items()}
        run = client.create_run(experiment, run_name=description["name"], tags=tags).info.run_id
        params = [Param(k, str(v)[:LONGEST]) for k, v in flat(description["settings"]).items()]
        for part in _batches(params):
            client.log_batch(run, params=part)
        return run


def _batches(values):
    return [values[first : first + BATCH] for first in range(0, len(values), BATCH)]
