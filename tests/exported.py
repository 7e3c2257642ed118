"""What the tests of serving share: runs that are trained in a moment and exported."""

import contextlib
import re

import numpy as np
import processes
import pytest
from helpers import blobs, silent

from keras_cl import train
from keras_cl.settings.config import Config

LABELS = (10, 20, 30, 40, 50, 60)
ORDER = "30,10,40,60,50,20"  # tasks of two: 30 and 10, 40 and 60, 50 and 20


def trained(folder, scenario="class", **settings):
    """The `Config` of a run of three tasks; its data and its exported models are under `folder`."""
    np.savez(folder / "data.npz", **blobs([20] * 6, labels=LABELS))
    given = {
        "method": "finetune",
        "stream": "split",
        "scenario": scenario,
        "dataset": str(folder / "data.npz"),
        "tasks": 3,
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.01,
        "jit": "off",
        "run_dir": str(folder / "a_run"),
        "export_dir": str(folder / "models"),
        "options": {"network.hidden": (8,), "stream.class_order": ORDER},
    }
    config = Config(**{**given, **settings})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.figures, "draw", lambda path: None)  # figures are not in question here
        train.run(config, display=silent())
    return config


@contextlib.contextmanager
def serving(folder, *flags, name="m"):
    """Yields the URLs, REST and gRPC, of `python -m keras_cl.serve` for a folder of versions."""
    given = f"--saved_model={folder}", f"--model_name={name}", "--port=0", "--grpc_port=0", *flags
    with processes.start("-m", "keras_cl.serve", *given) as server:
        try:
            said = iter(server.stdout.readline, "")
            line = next((line for line in said if line.startswith(f"serving {name} on ")), None)
            assert line, server.stderr.read()
            rest, grpc = re.findall(r"(\w+://\S+)", line)
            yield f"{rest}/v1/models/{name}", f"{grpc}/{name}"
        finally:
            server.kill()
