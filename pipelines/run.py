"""Command line: takes the tasks that have arrived through the line, on this machine.

python -m pipelines.run --method=ewc --stream=split --dataset=digits --tasks=5 --until=3
"""

import dataclasses
import os
import pathlib
import signal
import sys

from absl import app

from keras_cl.errors import InputError, require, require_installed
from keras_cl.settings import command
from pipelines import settings

INTERRUPTED = "Interrupted; the same command goes on after the last component that is done."


def main(line):
    """Runs the line and shows what came of it."""
    from keras_cl.runs.files import plain_file_errors

    for name in ("pipeline_root", "serving_dir"):
        given = getattr(line, name)
        require(
            "://" not in given,
            f"--{name} is {given}; on this machine it is a folder. A cluster runs what pipelines.compile "
            f"writes.",
        )
    require_installed("pipeline", *settings.PACKAGES)
    line = dataclasses.replace(
        line,
        pipeline_root=settings.absolute(line.pipeline_root or "pipeline"),
        serving_dir=settings.absolute(line.serving_dir),
    )
    try:
        with plain_file_errors(line.pipeline_root):
            _run(line, pathlib.Path(line.pipeline_root))
    except InputError as error:
        if isinstance(error.__cause__, BrokenPipeError):  # of `| head`, not of a disk
            raise error.__cause__ from None
        raise


def _run(line, root):
    from rich.console import Console

    from pipelines import artifacts
    from pipelines.kubeflow import local, raw_data
    from pipelines.kubeflow.line import pipeline
    from pipelines.kubeflow.outcome import show
    from pipelines.kubeflow.progress import Progress
    from pipelines.lineage import store

    screen = Console(file=sys.stdout, soft_wrap=True)  # the file: what follows redirects sys.stdout
    _check(line)
    local.require_own(root)
    with local.alone(root), open(root / local.LOG, "w") as log:
        code = artifacts.code_version()
        local.require_unedited(root, code)
        local.clear(root)
        local.forget(root)
        todo = pipeline(line, raw_data.digests(line), code)
        progress = Progress(screen, log, verbose=line.verbosity)
        try:
            outputs = local.run(todo, root, progress)
        finally:
            store.refresh(root)
        if progress.unheard:
            raise BrokenPipeError
        show(outputs, line, screen)


def _check(line):
    """Raises `InputError` for what a component would refuse, before the first one runs."""
    from keras_cl.runs.files import make_folder, plain_file_errors
    from pipelines.components.usable import require_usable

    require_usable(line)
    folder = pathlib.Path(line.serving_dir, line.model_name)
    with plain_file_errors(folder):
        make_folder(folder)
    require(os.access(folder, os.W_OK), f"--serving_dir is {line.serving_dir}; {folder} cannot be written.")


def cli():
    """What `keras-cl-pipeline` and `python -m pipelines.run` run."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    app.run(command.plain(main, INTERRUPTED), flags_parser=command.parser(settings.parse))


if __name__ == "__main__":
    cli()
