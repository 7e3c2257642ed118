"""Logs a run to Weights & Biases: settings, metrics by epoch and by task, images, the final metrics."""

import io
import os
import uuid

from keras_cl.errors import InputError, require_installed
from keras_cl.runs.loggers.base import Logger, flat

AXES = {"epoch": ["epoch"], "task": ["accuracy", "loss", "metrics", "cost", "method"]}


class WandB(Logger):
    """Keras callback for `keras_cl.learn`; a resumed run goes on in the same run of Weights & Biases.

    The variables of Weights & Biases decide the rest, for example WANDB_MODE=offline and WANDB_ENTITY. Its
    own files go to wandb/ in the directory of the run.

    Args:
      project: name of the project; by default WANDB_PROJECT or "keras_cl".

    Raises:
      InputError: if the package wandb is missing, or the service does not take the run.
    """

    service = "wandb"

    def __init__(self, project=""):
        super().__init__()
        require_installed("wandb", "wandb")
        import wandb

        self.errors = (wandb.errors.Error, OSError)  # the second from its process
        self._project = project or os.environ.get("WANDB_PROJECT") or "keras_cl"

    def open(self, description, noted):
        import wandb

        noted.setdefault("run", uuid.uuid4().hex)
        try:
            self._run = wandb.init(
                project=self._project,
                id=noted["run"],
                name=description["name"],
                resume="allow",
                reinit="create_new",
                dir=description["path"],
                config=flat(description["settings"]),
                settings=wandb.Settings(console="off", silent=True),
            )
        except self.errors as error:
            raise InputError(f"Weights & Biases does not take the run: {error}") from error
        for axis, kinds in AXES.items():
            self._run.define_metric(axis, hidden=True)
            for kind in kinds:
                self._run.define_metric(f"{kind}/*", step_metric=axis)

    def scalars(self, axis, number, values):
        self._run.log({axis: number, **values})

    def image(self, name, number, png):
        import wandb
        from PIL import Image

        self._run.log({"task": number, name: wandb.Image(Image.open(io.BytesIO(png)))})

    def close(self, results, error=None):
        if error is None:
            final = results.metrics()
            self._run.summary.update({k: v for k, v in final.items() if v is not None})
        self._run.finish(exit_code=0 if error is None else 1)
