"""What a run keeps: all checkpoints and models or the last, what was lost, and seeds that are added."""

import json
import shutil

import pytest
import tensorflow as tf
from helpers import saved_variables, silent
from processes import small

import keras_cl
from keras_cl import evaluate, train
from keras_cl.errors import InputError
from keras_cl.report.figures import draw
from keras_cl.runs import checkpoints, curvature
from keras_cl.runs import learn as loop
from keras_cl.runs.directory import RunDirectory
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config

pytestmark = pytest.mark.usefixtures("eagerly", "no_figures")


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(train.figures, "draw", lambda path: None)


def no_training(monkeypatch):
    def fails(*_):
        raise AssertionError("something was trained")

    monkeypatch.setattr("keras_cl.runs.learn._fit", fails)


def run(folder, **settings):
    config = small(folder, **{"tasks": 3, "batch_size": 500, **settings})
    train.run(config, display=silent())
    return config


def kept(config, part=""):
    return RunDirectory(config.directory / part).kept()


def models(config):
    folder = config.directory.parent / "models" / "run"
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else None


class Killed(Exception):
    pass


@pytest.fixture
def killed_at(monkeypatch):
    """Function that ends the process, as it were, at the given write of a checkpoint, from 0 on."""

    def patched(number):
        real, calls = checkpoints.Checkpoints.write, []

        def write(self, folder):
            calls.append(folder)
            if len(calls) == number + 1:
                raise Killed
            real(self, folder)

        monkeypatch.setattr(checkpoints.Checkpoints, "write", write)

    yield patched


# ---- the last alone --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The `Config` of a finished run that keeps everything."""
    tf.config.run_functions_eagerly(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.figures, "draw", lambda path: None)
        yield run(tmp_path_factory.mktemp("whole"))
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def copy(whole, tmp_path):
    """A copy of that run, to be spoiled: its folder."""
    shutil.copytree(whole.directory.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_everything_is_kept_unless_told(whole):
    assert kept(whole) == [0, 1, 2, 3] and models(whole) == ["1", "2", "3"]


def test_the_last_alone_is_kept_and_the_results_are_the_same(whole, tmp_path):
    config = run(tmp_path, keep="last", export="last")
    assert kept(config) == [3] and models(config) == ["3"]
    assert (config.directory / "matrix.csv").read_bytes() == (whole.directory / "matrix.csv").read_bytes()
    one, other = (saved_variables(c.directory / "checkpoints/task_003/variables") for c in (config, whole))
    assert all((one[name] == other[name]).all() for name in other)


def test_no_models_are_exported_where_none_are_wanted(tmp_path):
    config = run(tmp_path, tasks=1, export="none")
    assert models(config) is None and (config.directory / "DONE").exists()


@pytest.mark.parametrize("then", [{}, {"keep": "last", "export": "last"}])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_run_that_keeps_the_last_goes_on_where_it_was_killed(
    whole, tmp_path, killed_at, monkeypatch, number, then
):
    with pytest.raises(Killed):
        killed_at(number)
        run(tmp_path, keep="last", export="last")
    monkeypatch.undo()
    monkeypatch.setattr(train.figures, "draw", lambda path: None)
    config = small(tmp_path, tasks=3, batch_size=500, **then)
    assert kept(config) == [number - 1]
    if number == 3 and not then:  # a model of an earlier task is wanted now
        with pytest.raises(InputError, match="To export the model 1, which is missing or changed, the run"):
            train.run(config, display=silent())
        return
    train.run(config, display=silent())
    assert (config.directory / "matrix.csv").read_bytes() == (whole.directory / "matrix.csv").read_bytes()
    assert kept(config) == ([3] if then else [0, 1, 2, 3][number - 1 :])


def test_a_complete_run_loses_what_is_no_longer_to_be_kept(copy, monkeypatch):
    no_training(monkeypatch)
    config = run(copy, keep="last", export="last")
    assert kept(config) == [3] and models(config) == ["3"]


def test_models_are_added_from_the_checkpoints(tmp_path, whole, monkeypatch):
    config = run(tmp_path, export="none")
    no_training(monkeypatch)
    assert models(run(tmp_path, export="last")) == ["3"]
    assert models(run(tmp_path)) == ["1", "2", "3"]
    one, other = (
        saved_variables(f.directory.parent / "models/run/1/variables/variables") for f in (config, whole)
    )
    assert all((one[name] == other[name]).all() for name in other)


def test_what_needs_more_than_was_kept_is_one_sentence(copy):
    config = run(copy, keep="last", export="last")
    with pytest.raises(InputError) as error:
        keras_cl.load(config.directory, task=1)
    assert str(error.value) == (
        f"load needs the checkpoint after task 1, and {config.directory} has kept only that after task 3: "
        f"--keep=all keeps every one from the start."
    )
    assert keras_cl.load(config.directory).matrix.shape == (4, 3)
    with pytest.raises(InputError, match="--curvature needs the checkpoint after task 1"):
        run(copy, curvature=1)
    with pytest.raises(
        InputError, match="lacks the models of the tasks 1, 2 of 3; --export=all leaves one of"
    ):
        evaluate.accuracy_matrix(copy / "models" / "run")
    with pytest.raises(InputError, match="is measured from the checkpoints of all tasks; give --keep=all"):
        Config(curvature=1, keep="last")


def test_learn_has_both(tmp_path):
    stream = keras_cl.streams.permuted("digits", tasks=2, seed=1)
    made = small(tmp_path)
    keras_cl.learn(
        make_model(made, stream, 0),
        stream,
        epochs=1,
        batch_size=500,
        run_dir=made.directory,
        export_dir=tmp_path / "models" / "run",
        keep="last",
        export="last",
        display=silent(),
    )
    assert kept(made) == [2] and models(made) == ["2"]
    for name in ("keep", "export"):
        with pytest.raises(
            InputError, match=f"{name} 'lost' is not known; possible: all, last.* Did you mean last"
        ):
            keras_cl.learn(make_model(made, stream, 0), stream, **{name: "lost"})


# ---- lost or edited --------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["lost", "edited"])
@pytest.mark.parametrize("name", ["matrix.csv", "metrics.csv", "summary.json"])
def test_a_result_of_a_complete_run_is_written_again(copy, whole, monkeypatch, capsys, name, damage):
    no_training(monkeypatch)
    file = copy / "run" / name
    file.unlink() if damage == "lost" else file.write_text(file.read_text().replace("1", "2"))
    train.run(small(copy, tasks=3, batch_size=500))
    assert file.read_bytes() == (whole.directory / name).read_bytes()
    assert f"{name} of {copy / 'run'}: missing or changed, and written again." in capsys.readouterr().out
    train.run(small(copy, tasks=3, batch_size=500))
    assert f"{copy / 'run'} is complete" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["variables/variables.data-00000-of-00001", "DONE", "saved_model.pb"])
def test_a_model_that_was_changed_is_exported_again(copy, monkeypatch, name):
    no_training(monkeypatch)
    file = copy / "models/run/2" / name
    before = file.read_bytes()
    file.write_bytes(before[: len(before) // 2])
    with pytest.raises(InputError, match="damaged"):
        evaluate.accuracy_matrix(copy / "models" / "run")
    train.run(small(copy, tasks=3, batch_size=500), display=silent())
    evaluate.accuracy_matrix(copy / "models" / "run")


def test_a_changed_model_that_cannot_be_exported_again_is_one_sentence(copy):
    run(copy, keep="last")
    (copy / "models/run/1/saved_model.pb").unlink()
    with pytest.raises(
        InputError, match="To export the model 1, which is missing or changed, the run needs the"
    ):
        run(copy)
    run(copy, export="last")


def test_models_of_an_earlier_run_with_the_same_settings_are_not_mixed_with_new_ones(
    copy, killed_at, monkeypatch
):
    shutil.rmtree(copy / "run")
    killed_at(2)
    with pytest.raises(Killed):
        run(copy)
    assert models(small(copy)) == ["1", "2"]  # both of the new run


def spectrum_of_ones(network, stream, states, **_):
    """What `measure` yields, without its products."""
    for task in stream:
        record = {"task": task.number, "rows": min(2048, len(task.train)), "eigenvalue_1": 1.0}
        yield record | {"trace": 1.0, "distance": None}


def test_done_is_written_after_curvature_was_measured(copy, whole, monkeypatch):
    def killed(*_, **__):
        raise Killed

    no_training(monkeypatch)
    (copy / "run" / "DONE").unlink()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(curvature, "measure", killed)
        run(copy, curvature=1)
    assert not (copy / "run" / "DONE").exists()
    monkeypatch.setattr(curvature, "measure", spectrum_of_ones)
    run(copy, curvature=1)
    file = copy / "run" / "curvature.csv"
    before = file.read_bytes()
    assert "curvature.csv" in json.loads((copy / "run" / "DONE").read_text())["files"]

    # Edited, it is measured again where that is asked for, and otherwise named.
    file.write_text("task,rows,eigenvalue_1\n1,2048,0\n")
    said = []
    display = silent()
    display.say = lambda *content: said.append(content)
    for _ in range(2):
        train.run(small(copy, tasks=3, batch_size=500), display=display)
        assert "curvature.csv was lost or edited; --curvature measures it" in str(said)
        said.clear()
    run(copy, curvature=1)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", ["", "task,rows\n1,x\n", "\0\xff", "a\nb\n"])
def test_damaged_curvature_is_measured_again_and_otherwise_named(copy, whole, content):
    path = copy / "run" / "curvature.csv"
    path.write_text(content, encoding="latin-1")
    assert not curvature.measured(small(copy, curvature=1), make_stream(whole), copy / "run")
    with pytest.raises(InputError) as error:
        draw(copy / "run")
    assert str(error.value) == f"{path} is damaged; remove it, or give --curvature to measure it again."


# ---- seeds that are added --------------------------------------------------------------------------------


def test_seeds_are_added_to_a_run_that_ended(tmp_path, monkeypatch):
    settings = {"tasks": 1}
    config = run(tmp_path / "some", seeds=(0, 1), **settings)
    learned = []
    real = loop._fit
    monkeypatch.setattr(loop, "_fit", lambda model, *rest: learned.append(model.seed) or real(model, *rest))
    added = run(tmp_path / "some", seeds=(0, 1, 4), **settings)
    assert learned == [4]
    at_once = run(tmp_path / "all", seeds=(0, 1, 4), **settings)
    for name in ("matrix.csv", "matrix_std.csv"):
        assert (added.directory / name).read_bytes() == (at_once.directory / name).read_bytes()
    assert json.loads((added.directory / "summary.json").read_text())["seeds"] == [0, 1, 4]
    with pytest.raises(
        InputError, match="--seeds was 0,1,4, now 0,1 .to add some, give the earlier ones too"
    ):
        train.run(config, display=silent())


def test_runs_of_several_seeds_have_one_name_and_others_their_own():
    some, more = Config(seeds=(0, 1, 2)), Config(seeds=(0, 1, 2, 3))
    assert some.name == more.name and some.hash != more.hash
    assert len({some.name, Config(seeds=(0,)).name, Config(seeds=(1,)).name}) == 3


# ---- whose models they are -------------------------------------------------------------------------------


def refused(folder, **options):
    with pytest.raises(InputError) as error:
        evaluate.accuracy_matrix(folder, **options)
    return str(error.value)


def test_exchanged_versions_are_refused(copy):
    folder = copy / "models" / "run"
    (folder / "1").rename(folder / "aside")
    (folder / "2").rename(folder / "1")
    (folder / "aside").rename(folder / "2")
    assert refused(folder) == f"{folder / '1'} holds the model after task 2: the folders were exchanged."


def test_versions_of_different_runs_are_refused(copy, tmp_path_factory):
    other = run(tmp_path_factory.mktemp("other"), epochs=2)
    folder = copy / "models" / "run"
    shutil.rmtree(folder / "2")
    shutil.copytree(other.directory.parent / "models/run/2", folder / "2")
    assert refused(folder).startswith(
        f"{folder / '1'} and {folder / '2'} are models of different runs (settings "
    )


def test_models_of_exchanged_seeds_are_refused(tmp_path):
    run(tmp_path, seeds=(0, 1), tasks=1)
    folder = tmp_path / "models" / "run"
    (folder / "seed_0").rename(folder / "aside")
    (folder / "seed_1").rename(folder / "seed_0")
    (folder / "aside").rename(folder / "seed_1")
    with pytest.raises(InputError, match="seed_0 holds models of the seed 1: the folders were exchanged"):
        evaluate.require_seeds(sorted(folder.glob("seed_*")))


@pytest.mark.parametrize(
    "content", ["", "[]", "1", "{}", '{"settings": []}', '{"settings": {"tasks": "x"}}', "[" * 100_000]
)
def test_a_damaged_task_json_is_one_sentence(copy, content):
    folder = copy / "models" / "run"
    (folder / "1" / "task.json").write_text(content)
    assert f"{folder / '1'}" in refused(folder) and "damaged" in refused(folder)
    for about in folder.glob("*/task.json"):  # the last one says what the stream is
        about.write_text(content)
    assert "is missing, damaged or of another version of this program" in refused(folder)
    with pytest.raises(InputError, match=r"is no model of this program|holds the models of another run"):
        run(copy, overwrite=False)


def test_a_foreign_model_is_one_sentence(copy):
    folder, stream = copy / "models" / "run", keras_cl.streams.permuted("digits", tasks=3)

    class Foreign(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
        def serving_default(self, x):
            return {"y": x}

    shutil.rmtree(folder / "1")
    made = Foreign()
    tf.saved_model.save(made, str(folder / "1"), signatures=made.serving_default)
    assert "task.json is missing, damaged or of another version" in refused(folder)
    with pytest.raises(InputError, match="is no model of this program for permuted digits"):
        evaluate.signature_of(folder / "1", stream)


def test_models_for_other_images_than_those_of_the_stream_are_one_sentence(copy):
    padded = keras_cl.streams.permuted("digits", tasks=3, pad=2)
    said = refused(copy / "models" / "run", stream=padded)
    assert said == f"{copy / 'models/run/1'} is no model of this program for permuted digits."
