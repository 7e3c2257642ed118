"""The line with its real components: three tasks, a kill in the fourth, the same command again.

The results are compared with those of `keras_cl.main`.
"""

import os
import pathlib
import shutil
import signal
import time

import numpy as np
import pytest
from processes import PATIENCE, start

from keras_cl.runs import seals
from keras_cl.runs.directory import read_matrix
from pipelines.artifacts import verified

pytestmark = pytest.mark.slow

TRAINED = (
    "--method=ewc",
    "--method.strength=10",
    "--stream=split",
    "--tasks=5",
    "--epochs=4",
    "--network.hidden=64",
    "--device=cpu",
)


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A folder with a line of four tasks, and what was said and served: first, after a kill, at last."""
    folder = tmp_path_factory.mktemp("a line")
    first = finished(begun(folder, "--until=3"))
    killed(folder)
    served = {version: seals.changed(folder / f"served/digits/{version}") for version in (1, 2, 3)}
    return folder, first, served, finished(begun(folder, "--until=4"))


def begun(folder, *given):
    """Starts the program in a folder, with paths relative to it."""
    places = "--pipeline_root=root", "--serving_dir=served", "--model_name=digits"
    return start("-m", "pipelines.run", *TRAINED, *places, *given, cwd=folder)


def finished(process):
    said, errors = process.communicate(timeout=10 * PATIENCE)
    assert process.returncode == 0, errors
    return said.splitlines()


def killed(folder):
    """Kills a run and its Trainer with SIGKILL in the middle of task 4."""
    process, until = begun(folder, "--until=4"), time.monotonic() + 10 * PATIENCE
    while not list(folder.glob("root/line-*/trainer-4/model")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    process.kill()
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            said = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if b"--function_to_execute\0trainer" in said and bytes(folder) in said:
            os.kill(int(place.name), signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The folder of a run of `keras_cl.main` with the same flags."""
    folder = tmp_path_factory.mktemp("library")
    places = f"--run_dir={folder / 'run'}", f"--export_dir={folder / 'models'}"
    finished(start("-m", "keras_cl.main", *TRAINED, *places))
    return folder


def outcomes(said, number):
    """What each component of a task came to."""
    lines = [text.split(maxsplit=3) for text in said if text.startswith(f"task {number}  ")]
    return {component: what for _, _, component, what in lines if component[0].isupper()}


def artifact(folder, name):
    return max(folder.glob(f"root/line-*/{name}"))


def test_every_component_runs_and_every_good_model_is_served(line):
    folder, first, served, _ = line
    for number in (1, 2, 3):
        assert len(outcomes(first, number)) == 9
        assert all(what.startswith("done in") for what in outcomes(first, number).values())
        assert f"task {number}  is served from {folder / 'served/digits' / str(number)}" in first
    assert served == {1: [], 2: [], 3: []}


def test_a_run_that_was_killed_goes_on(line):
    folder, _, _, last = line
    for number in (1, 2, 3):
        assert set(outcomes(last, number).values()) == {"from the cache"}
    fourth = outcomes(last, 4)
    assert all(fourth[name] == "from the cache" for name in ("ExampleGen", "StatisticsGen", "SchemaGen"))
    assert all(fourth[name].startswith("done in") for name in ("Trainer", "Evaluator", "Pusher"))
    assert seals.changed(folder / "served/digits/4") == []
    assert verified(artifact(folder, "trainer-4/model"))


def test_the_matrix_is_that_of_the_library(line, library):
    measured = read_matrix(artifact(line[0], "evaluator-4/evaluation") / "matrix.csv")
    expected = read_matrix(library / "run/matrix.csv")
    np.testing.assert_array_equal(measured[1:5, :4], expected[1:5, :4])
    assert np.isnan(measured[[0, 5]]).all() and np.isnan(measured[:, 4]).all()
    assert not np.isnan(expected).any()


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_the_served_weights_are_those_of_the_library_bit_for_bit(line, library, version):
    import tensorflow as tf

    (models,) = (library / "models").iterdir()
    places = line[0] / "served/digits" / str(version), models / str(version)
    ours, theirs = (tf.train.load_checkpoint(str(place / "variables/variables")) for place in places)
    names = [name for name in ours.get_variable_to_shape_map() if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    assert names
    for name in names:
        assert np.array_equal(ours.get_tensor(name), theirs.get_tensor(name)), name


def test_a_model_that_is_trained_again_is_the_one_that_is_served(line):
    folder = line[0]
    served = folder / "served/digits/4/DONE"
    before = served.stat().st_mtime_ns, served.read_text()
    shutil.rmtree(artifact(folder, "trainer-4/model"))
    fourth = outcomes(finished(begun(folder, "--until=4")), 4)
    assert fourth["Trainer"].startswith("done in") and fourth["Pusher"].startswith("done in")
    assert (served.stat().st_mtime_ns, served.read_text()) == before
