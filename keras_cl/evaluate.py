"""Command line: rebuilds the accuracy matrix of a run from its exported models alone, on disk or served.

python -m keras_cl.evaluate --saved_model=saved_models/<run>
python -m keras_cl.evaluate --endpoint=http://localhost:8501/v1/models/<name>
"""

import pathlib
import sys

import numpy as np
from absl import app

from keras_cl.errors import InputError, require
from keras_cl.serve.client import Endpoint, parts_of
from keras_cl.settings import command
from keras_cl.settings.flags import read_own
from keras_cl.settings.options import document_of, option_of

BLOCK = 2000  # images per call, as in the evaluation during training


def accuracy_matrix(folder, data_dir="", cache_dir="", stream=None, progress=None):
    """Accuracies of the exported models in `folder` on the test images of their stream.

    Args:
      folder: folder with one SavedModel per task, 1 to T, each with its task.json.
      data_dir, cache_dir: folders of the data, as in training.
      stream: the `Stream`, if the models were trained by `keras_cl.learn`; other models describe theirs.
      progress: a `keras_cl.learning.progress.Progress` that shows it.

    Returns:
      float array `[t + 1, T]` like the matrix of training, up to the latest model t; row 0 is NaN: the
      untrained model is not exported.

    Raises:
      InputError: if there are no such models, or some are missing or damaged.
    """
    from keras_cl.learning.progress import QUIET
    from keras_cl.runs import saved_model

    folder, progress = pathlib.Path(folder), progress or QUIET
    require(folder.is_dir(), f"There is no folder {folder}.")
    versions = saved_model.versions(folder)
    require(versions, f"{folder} holds no exported model: no folder 1, 2, ... is in it.")
    stream = stream or _stream(versions[-1], data_dir, cache_dir)
    learned = min(int(versions[-1].name), len(stream))  # later tasks may not have arrived
    expected = [str(number) for number in range(1, learned + 1)]
    missing = [name for name in expected if name not in {version.name for version in versions}]
    require(
        not missing,
        f"{folder} lacks the models of the tasks {', '.join(missing)} of {len(stream)}; --export=all leaves "
        f"one of each, and a line pushes no model that is not blessed.",
    )
    require_one_run([folder / name for name in expected])
    R = np.full((learned + 1, len(stream)), np.nan)
    with progress.phase("evaluation", learned * len(stream)) as advance:
        for after in range(1, learned + 1):
            signature = signature_of(folder / str(after), stream)
            for task in stream:
                if stream.answering(task.index, after) is not None:
                    R[after, task.index] = np.mean(correct(signature, task))
                advance()
    return R


def require_one_run(versions):
    """Raises `InputError` unless exported models are whole, of one run, and each of the task of its name."""
    from keras_cl.runs import seals

    owners = []
    for version in versions:
        about, done = _described(version), seals.read_seal(version)
        require(
            done is not None and not seals.changed(version),
            f"The model {version} is damaged or incomplete; the command that trained it exports it again.",
        )
        require(
            about.get("task") == int(version.name),
            f"{version} holds the model after task {about.get('task')}: the folders were exchanged.",
        )
        owners.append((about.get("settings_hash"), done.get("run")))
        require(
            owners[-1] == owners[0],
            f"{versions[0]} and {version} are models of different runs (settings {owners[0][0]} and "
            f"{owners[-1][0]}).",
        )


def _described(version):
    """The dict in the task.json of an exported model."""
    from keras_cl.runs import saved_model

    path = version / saved_model.DESCRIPTION
    try:
        about = saved_model.read_description(version)
    except (OSError, ValueError):
        about = {}
    right = isinstance(about.get("settings"), dict)
    require(right, f"{path} is missing, damaged or of another version of this program.")
    return about


def signature_of(version, stream):
    """The function of an exported model from images, and task indices if there are any, to labels.

    Raises:
      InputError: if it cannot be loaded, or is no model for the stream.
    """
    import tensorflow as tf

    from keras_cl.runs import saved_model

    name, inputs = "serving_default", {"images"}
    if saved_model.needs_task(stream):
        name, inputs = "with_task", {"images", "task"}
    try:
        signature = tf.saved_model.load(str(version)).signatures[name]
    except KeyError:
        raise InputError(f"{version} is no model of this program for {stream.name}.") from None
    except Exception as error:  # damaged files raise many kinds of errors
        reason = str(error).partition("\n")[0]
        raise InputError(f"The model {version} cannot be loaded: {reason}") from error
    known = signature.structured_input_signature[1]
    require(
        known.keys() == inputs
        and known["images"].shape.is_compatible_with([None, *stream.input_shape])
        and "class" in signature.structured_outputs,
        f"{version} is no model of this program for {stream.name}.",
    )
    return signature


def _stream(version, data_dir, cache_dir):
    """The stream of an exported model, from its task.json."""
    from keras_cl.runs import saved_model
    from keras_cl.settings.build import stream_of

    settings = _described(version)["settings"]
    saved_model.require_known_stream(
        settings, version, "keras_cl.evaluate.accuracy_matrix(folder, stream=stream)"
    )
    try:
        return stream_of(settings, data_dir, cache_dir)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        path = version / saved_model.DESCRIPTION
        raise InputError(f"{path} is missing, damaged or of another version of this program.") from None


def correct(signature, task):
    """bool array `[n]`: whether the class of each test image of a task is predicted correctly.

    Args:
      signature: a function of `signature_of`.
      task: the `Task`.
    """
    from keras_cl.runs import saved_model

    x, unit = task.test.open()
    unit_labels = task.stream.labels[task.index]
    index = task.index if saved_model.needs_task(task.stream) else None
    said = [_classes(signature, images, index) for images in _blocks(x)]
    return np.concatenate(said) == unit_labels[unit]


def _blocks(x):
    return (x[start : start + BLOCK].astype(np.float32) for start in range(0, len(x), BLOCK))


def _classes(signature, images, index=None):
    import tensorflow as tf

    inputs = {"images": tf.constant(images)}
    if index is not None:
        inputs["task"] = tf.fill([len(images)], index)
    return signature(**inputs)["class"].numpy()


def require_seeds(parts):
    """Raises `InputError` unless the folders `seed_<n>` have models of these seeds and of equal settings."""
    from keras_cl.runs import saved_model

    found = [(part, _described(version)) for part in parts for version in saved_model.versions(part)]
    for part, about in found:
        seed, first = about.get("seed"), found[0][1]
        exchanged = f"{part} holds models of the seed {seed}: the folders were exchanged."
        require(part.name == f"seed_{seed}", exchanged)
        settings = [{**one["settings"], "seeds": None} for one in (first, about)]
        require(settings[0] == settings[1], f"{found[0][0]} and {part} are models of different settings.")


ENDPOINT = (
    "served model whose versions are the tasks, http://host:port/v1/models/NAME or grpc://host:port/NAME; "
    "give --saved_model too if the models do not say what stream they learned"
)
FLAGS = (
    option_of("saved_model", str, "", "folder with one exported model per task, as training leaves it"),
    option_of("endpoint", str, "", ENDPOINT),
    option_of("output", str, "", "file to write the matrix to, as CSV"),
    option_of("data_dir", str, "", "folder of prepared tensorflow-datasets"),
    option_of("cache_dir", str, "", "folder for decoded data"),
    option_of("verbosity", int, 0, "1 shows tracebacks and TensorFlow's messages"),
)


def parse(argv):
    """The flag values of a command line; prints help and exits if the command line has a help flag."""
    values, rest = read_own(argv, document_of(sys.modules[__name__]), FLAGS)
    require(not rest, f"{rest[:1]} is not a flag; flags look like --saved_model=saved_models/run.")
    require(
        values.saved_model or values.endpoint,
        "--saved_model is missing: the folder that holds the models 1, 2, ...; or --endpoint, where they are "
        "served.",
    )
    if values.endpoint:
        parts_of(values.endpoint)
    return values


def served_matrix(values, progress=None):
    """The matrix of the models at `values.endpoint`, on the stream of `values.saved_model` if it is given."""
    from keras_cl.learning.progress import QUIET
    from keras_cl.runs import saved_model
    from keras_cl.serve import evaluation

    endpoint, places = Endpoint(values.endpoint), (values.data_dir, values.cache_dir)
    progress = progress or QUIET
    if not values.saved_model:
        return evaluation.accuracy_matrix(endpoint, *places, progress=progress)
    folder = _parts(pathlib.Path(values.saved_model))[0]
    require(folder.is_dir(), f"There is no folder {folder}.")
    versions = saved_model.versions(folder)
    require(versions, f"{folder} holds no exported model: no folder 1, 2, ... is in it.")
    run = _described(versions[0]).get("settings_hash")
    stream = _stream(versions[-1], *places)
    return evaluation.accuracy_matrix(endpoint, stream=stream, run=run, progress=progress)


def _parts(folder):
    """The folders of the models of each seed of a run."""
    seeds = sorted(filter(pathlib.Path.is_dir, folder.glob("seed_*")))
    require_seeds(seeds)
    return seeds or [folder]


def main(values):
    """Rebuilds and shows the matrix of each seed; writes their mean if there is an output file."""
    from keras_cl.devices import device

    device.prepare("auto", quiet=not values.verbosity)
    from keras_cl import metrics
    from keras_cl.runs.console import Display
    from keras_cl.runs.directory import matrix_csv
    from keras_cl.runs.files import plain_file_errors

    display = Display()
    places = values.data_dir, values.cache_dir
    with display.working() as progress:
        if values.endpoint:
            parts, matrices = [values.endpoint], [served_matrix(values, progress)]
        else:
            parts = _parts(pathlib.Path(values.saved_model))
            matrices = [accuracy_matrix(part, *places, progress=progress) for part in parts]
    for part, R in zip(parts, matrices, strict=True):
        display.matrix(R, f"Accuracy (percent) of the models in {part}")
    learned = min(len(R) - 1 for R in matrices)
    if learned < matrices[0].shape[1]:
        display.say(f"There is no model of a later task than {learned}: the metrics are of the tasks so far.")
    matrices = [R[: learned + 1] for R in matrices]
    summaries = [metrics.summary(R[:, :learned]) for R in matrices]
    display.summary(summaries[0] if len(parts) == 1 else metrics.over_seeds(summaries))
    if values.output:
        with plain_file_errors(values.output):
            pathlib.Path(values.output).write_text(matrix_csv(np.mean(matrices, axis=0)))


def cli():
    """What `keras-cl-evaluate` and `python -m keras_cl.evaluate` run."""
    app.run(command.plain(main), flags_parser=command.parser(parse))


if __name__ == "__main__":
    cli()
