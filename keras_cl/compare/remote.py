"""What a worker on another machine does with a job, and how its run comes back."""

import dataclasses
import io
import os
import pathlib
import shutil
import tarfile
import tempfile

from keras_cl.compare import jobs
from keras_cl.runs.files import written_aside

SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # early versions of Python 3.10
FOLDERS = {"run_dir": "runs", "export_dir": "models"}  # flags of what a run writes, and names of their copies


@dataclasses.dataclass(frozen=True)
class Token:
    """How a worker knows whether it shares files with the machine where the comparison was started.

    Attributes:
      file: path of a file in the folder of the runs, that exists until the end.
      folder: working folder there.
    """

    file: str
    folder: str

    @property
    def shared(self):
        """Whether this machine has the file, and the working folder."""
        return os.path.isfile(self.file) and os.path.isdir(self.folder)

    @property
    def name(self):
        """A name that no other comparison has."""
        return pathlib.Path(self.file).name.removeprefix(".")


class Board:
    """Where workers write how far they are."""

    def __init__(self):
        self._lines = {}

    def write(self, name, fraction, text):
        """Keeps the newest line of a job."""
        self._lines[name] = fraction, text

    def taken(self):
        """The new lines `(name, fraction, text)`; the board is empty then."""
        lines, self._lines = self._lines, {}
        return [(name, *line) for name, line in lines.items()]


def perform(job, token, board):
    """Does a job on a worker.

    Args:
      job: `Job`.
      token: `Token`.
      board: actor of a `Board`.

    Returns:
      its `Outcome`, and `{folder: tar}` of what it has written if nobody else can read it.
    """
    report = jobs.seldom(lambda fraction, text: board.write.remote(job.name, fraction, text))
    report(0.0, "begins")
    if token.shared:
        os.chdir(token.folder)
        return jobs.perform(job, report), {}
    own, places = _moved(job, pathlib.Path(tempfile.gettempdir(), f"keras_cl-{token.name}"))
    outcome = dataclasses.replace(jobs.perform(own, report), job=job)
    parts = {place: _packed(copy) for place, copy in places.items() if copy.is_dir()}
    if outcome.state == "done" and parts:
        outcome = dataclasses.replace(outcome, value={**outcome.value, "run": next(iter(places))})
    for copy in places.values():
        shutil.rmtree(copy, ignore_errors=True)
    return outcome, parts


def brought_back(outcome, parts):
    """Writes the folders of a run that a worker has sent; returns the `Outcome`."""
    for place, packed in parts.items():
        with written_aside(place) as folder, tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(folder, **SAFELY)
    return outcome


def _moved(job, temporary):
    """The job of a run with folders of this machine, and `{folder there: folder here}`; the same ones if it
    is done again after a worker died, so that it goes on."""
    flags = job.arguments.get("flags", [])
    values = dict(flag.removeprefix("--").split("=", 1) for flag in flags if "=" in flag)
    if "run_dir" not in values:
        return job, {}
    name = pathlib.Path(values["run_dir"]).name
    models = pathlib.Path(values.get("export_dir", "saved_models"), name)
    here = {flag: temporary / folder / name for flag, folder in FOLDERS.items()}
    own = [f"--run_dir={here['run_dir']}", f"--export_dir={here['export_dir'].parent}"]
    others = [flag for flag in flags if not flag.startswith(("--run_dir=", "--export_dir="))]
    places = {values["run_dir"]: here["run_dir"], str(models): here["export_dir"]}
    return dataclasses.replace(job, arguments={**job.arguments, "flags": [*others, *own]}), places


def _packed(folder):
    """A folder as a tar, without locks."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        for entry in sorted(folder.iterdir()):
            if not entry.name.startswith("."):
                tar.add(entry, entry.name)
    return file.getvalue()
