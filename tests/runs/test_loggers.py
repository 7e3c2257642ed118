"""Loggers: what is logged under which names, once, also by a run that was stopped or is logged later."""

import json
import struct
import warnings

import numpy as np
import pytest
import tensorflow as tf
from helpers import silent
from processes import small

from keras_cl import InputError, runs, train
from keras_cl.runs.loggers import SERVICES, base, images, load, logged

METRICS = {"average_accuracy", "forgetting", "backward_transfer"}


class Recorder(base.Logger):
    """A logger that keeps what it is given."""

    service = "recorder"

    def __init__(self, stops_after=None):
        super().__init__()
        self.begun, self.logged, self.images, self.ended = [], [], [], []
        self.stops_after = stops_after

    def open(self, description, noted):
        noted.setdefault("run", "abc")
        self.begun.append((description["name"], noted["run"]))

    def scalars(self, axis, number, values):
        if self.stops_after == (axis, number):
            raise KeyboardInterrupt
        self.logged.append((axis, number, values))

    def image(self, name, number, png):
        assert png.startswith(b"\x89PNG")
        self.images.append((name, number))

    def close(self, results, error=None):
        self.ended.append(error)

    @property
    def numbers(self):
        return [(axis, number) for axis, number, _ in self.logged]


@pytest.fixture(autouse=True)
def fast(monkeypatch, eagerly):
    """Figures take time and are not in question."""
    monkeypatch.setattr(train.figures, "draw", lambda path: None)
    monkeypatch.setattr("keras_cl.task_loop.figures.draw", lambda path: None)


def tiny(folder, **settings):
    return small(folder, **{"batch_size": 600, "export": "none", **settings})


def trained(config, *loggers, monkeypatch):
    monkeypatch.setattr(train.loggers, "chosen", lambda config: list(loggers))
    return train.run(config, display=silent())


ALL = [("task", 0), ("epoch", 1), ("epoch", 2), ("task", 1), ("epoch", 3), ("epoch", 4), ("task", 2)]


def test_a_run_is_logged_by_epoch_and_by_task(tmp_path, monkeypatch):
    config = tiny(tmp_path, epochs=2, eval_every="epoch")
    logger = Recorder()
    summary = trained(config, logger, monkeypatch=monkeypatch)
    assert logger.begun == [("run", "abc")] and logger.ended == [None]
    assert logger.numbers == ALL and logger.images == [("matrix", 1), ("matrix", 2)]
    last = logger.logged[-1][2]
    for name in METRICS:
        assert last[f"metrics/{name}"] == summary[name]
    assert {"accuracy/task_1", "accuracy/task_2", "cost/seconds", "cost/memory_bytes"} <= set(last)
    epoch = logger.logged[-2][2]
    assert {"epoch/loss", "epoch/learning_rate", "epoch/accuracy_of_task_2"} <= set(epoch)
    assert epoch["epoch/accuracy_of_task_1"] == last["accuracy/task_1"]
    assert all(isinstance(value, float) for _, _, values in logger.logged for value in values.values())


@pytest.mark.parametrize("stop", [("epoch", 3), ("epoch", 4), ("task", 2)])
def test_a_resumed_run_goes_on_where_its_log_ended(stop, tmp_path, monkeypatch):
    config = tiny(tmp_path, epochs=2)
    first, second = Recorder(stops_after=stop), Recorder()
    with pytest.raises(KeyboardInterrupt):
        trained(config, first, monkeypatch=monkeypatch)
    assert isinstance(first.ended[0], KeyboardInterrupt)
    trained(config, second, monkeypatch=monkeypatch)
    assert first.begun == second.begun
    assert first.numbers + second.numbers == ALL
    third = Recorder()
    trained(config, third, monkeypatch=monkeypatch)
    assert not third.begun and not third.logged, "a run that was logged to its end is not logged again"


def test_a_finished_run_is_logged_later(tmp_path, monkeypatch):
    config, at_once, later = tiny(tmp_path, epochs=2), Recorder(), Recorder()
    trained(config, monkeypatch=monkeypatch)
    (tmp_path / "run/samples").mkdir()
    (tmp_path / "run/samples/task_002.png").write_bytes(images.matrix(np.eye(2)))
    trained(config, later, monkeypatch=monkeypatch)
    trained(tiny(tmp_path / "other", epochs=2), at_once, monkeypatch=monkeypatch)
    assert later.numbers == at_once.numbers == ALL
    assert set(later.images) - set(at_once.images) == {("generator", 2)}
    assert [v["epoch/loss"] for a, _, v in later.logged if a == "epoch"] == [
        v["epoch/loss"] for a, _, v in at_once.logged if a == "epoch"
    ]


def test_steps_are_counted_where_there_are_no_epochs(tmp_path, monkeypatch):
    logger = Recorder()
    trained(tiny(tmp_path, iterations=4), logger, monkeypatch=monkeypatch)
    steps = [number for axis, number in logger.numbers if axis == "epoch"]
    assert steps == sorted(set(steps)) and steps[-1] == 8 and 4 in steps


def test_each_seed_has_a_log_of_its_own(tmp_path, monkeypatch):
    logger = Recorder()
    trained(tiny(tmp_path, seeds=(0, 3)), logger, monkeypatch=monkeypatch)
    assert [name for name, _ in logger.begun] == ["run/seed_0", "run/seed_3"]
    assert len(logger.ended) == 2
    for seed in (0, 3):
        noted = json.loads((tmp_path / f"run/seed_{seed}/logged.json").read_text())
        assert noted["recorder"] == {"tasks": 2, "epochs": 2, "ended": True, "run": "abc"}


def test_a_service_that_fails_does_not_end_the_training_and_gets_all_later(tmp_path, monkeypatch):
    class Failing(Recorder):
        errors = (ConnectionError,)

        def scalars(self, axis, number, values):
            if len(self.begun) == 1 and (axis, number) == ("epoch", 3):
                self.begun.append("failed")
                raise ConnectionError("no way")
            super().scalars(axis, number, values)

    logger = Failing()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trained(tiny(tmp_path, epochs=2), logger, monkeypatch=monkeypatch)
    assert [str(w.message) for w in said if "log" in str(w.message)] == ["Failing could not log: no way"]
    assert logger.numbers == ALL


def test_a_service_that_fails_at_the_end_gets_the_rest_when_the_command_is_given_again(tmp_path, monkeypatch):
    class Failing(Recorder):
        errors = (OSError,)

        def scalars(self, axis, number, values):
            if (axis, number) == ("task", 2):
                raise OSError("no way")
            super().scalars(axis, number, values)

    config, first, second = tiny(tmp_path, epochs=2), Failing(), Recorder()
    with pytest.warns(UserWarning, match="Failing could not log: no way"):
        trained(config, first, monkeypatch=monkeypatch)
    trained(config, second, monkeypatch=monkeypatch)
    assert first.numbers == ALL[:-1] and second.numbers == ALL[-1:]
    assert not first.ended and second.ended == [None]


def test_a_service_that_takes_no_run_is_told_as_it_says_it(tmp_path, monkeypatch):
    class Refusing(Recorder):
        def open(self, description, noted):
            raise InputError("There is no server.")

        def close(self, results, error=None):
            raise AssertionError("it was not opened")

    with pytest.raises(InputError, match="There is no server."):
        trained(tiny(tmp_path), Refusing(), monkeypatch=monkeypatch)


def test_overwrite_begins_a_new_log(tmp_path, monkeypatch):
    trained(tiny(tmp_path), Recorder(), monkeypatch=monkeypatch)
    again = Recorder()
    trained(tiny(tmp_path, overwrite=True), again, monkeypatch=monkeypatch)
    assert ("task", 0) in again.numbers and ("task", 2) in again.numbers


def test_a_ledger_that_is_damaged_is_said(tmp_path, monkeypatch):
    trained(tiny(tmp_path), monkeypatch=monkeypatch)
    (tmp_path / "run/logged.json").write_text("{")
    with pytest.raises(InputError, match="logged.json is damaged; remove it"):
        trained(tiny(tmp_path), Recorder(), monkeypatch=monkeypatch)


@pytest.mark.parametrize(("noted", "whole"), [({"ended": True}, True), ({"ended": False}, False)])
def test_whether_a_run_is_logged_to_its_end(noted, whole, tmp_path):
    assert logged(tiny(tmp_path), tmp_path), "nothing is asked for"
    assert not logged(tiny(tmp_path, mlflow=True), tmp_path)
    (tmp_path / "logged.json").write_text(json.dumps({"mlflow": noted}))
    assert logged(tiny(tmp_path, mlflow=True), tmp_path) == whole
    assert not logged(tiny(tmp_path, mlflow=True, wandb=True), tmp_path)


# ---- the services ----------------------------------------------------------------------------------------


def stop(service, config, monkeypatch):
    """Trains until the last epoch is to be logged."""
    logger = load(service)
    scalars = logger.scalars

    def stopping(self, axis, number, values):
        if (axis, number) == ("epoch", 4):
            raise KeyboardInterrupt
        scalars(self, axis, number, values)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(logger, "scalars", stopping)
        train.run(config, display=silent())


def test_tensorboard_shows_scalars_images_and_hparams(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    config = tiny(tmp_path, tensorboard=True, epochs=2)
    stop("tensorboard", config, monkeypatch)
    summary = train.run(config, display=silent())
    assert len(list((tmp_path / "run/tensorboard").iterdir())) == 2
    events = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    assert [event.step for event in events.Tensors("epoch/loss")] == [1, 2, 3, 4]
    assert [event.step for event in events.Tensors("accuracy/task_1")] == [0, 1, 2]
    average = tf.make_ndarray(events.Tensors("metrics/average_accuracy")[-1].tensor_proto)
    assert average == np.float32(summary["average_accuracy"])
    width, height, image = events.Tensors("matrix")[-1].tensor_proto.string_val
    shown = tf.io.decode_png(image).numpy()
    assert shown.shape[:2] == (int(height), int(width)) and np.ptp(shown) > 200
    tags = events.summary_metadata
    begun = HParamsPluginData.FromString(tags["_hparams_/session_start_info"].plugin_data.content)
    found = begun.session_start_info.hparams
    assert found["method"].string_value == "finetune" and found["epochs"].number_value == 2
    assert "_hparams_/session_end_info" in tags


def test_mlflow_has_parameters_metrics_and_files_of_one_run(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the package with a data base is larger
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlflow"))
    config = tiny(tmp_path, mlflow=True, epochs=2)
    stop("mlflow", config, monkeypatch)
    client = MlflowClient(str(tmp_path / "mlflow"))
    (experiment,) = [e for e in client.search_experiments() if e.name == "keras_cl"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "KILLED"
    summary = train.run(config, display=silent())
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED" and found.info.run_name == "run"
    assert found.data.params["method"] == "finetune" and found.data.params["epochs"] == "2"
    assert found.data.metrics["metrics/forgetting"] == summary["forgetting"]
    history = client.get_metric_history(found.info.run_id, "epoch/loss")
    assert [metric.step for metric in history] == [1, 2, 3, 4]
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert {"config.json", "summary.json", "matrix.csv", "matrix"} <= files


def test_mlflow_that_takes_no_run_is_said_in_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(InputError, match="^MLflow does not take the run: "):
        logger = runs.MLflow(tracking_uri=str(tmp_path / "no\0where"))
        logger.on_run_begin({"path": None, "results": None, "name": "run", "settings": {}, "versions": {}})


def test_wandb_has_history_summary_and_settings_of_one_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = tiny(tmp_path, wandb=True, epochs=2)
    stop("wandb", config, monkeypatch)
    summary = train.run(config, display=silent())
    file, again = sorted((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))
    records = [record for part in (file, again) for record in of_wandb(part)]
    assert file.name == again.name, "both are of the same run"
    run = next(record.run for record in records if record.HasField("run"))
    assert run.display_name == "run" and run.project == "keras_cl"
    assert file.name == f"run-{json.loads((tmp_path / 'run/logged.json').read_text())['wandb']['run']}.wandb"
    settings = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert settings["method"] == "finetune" and settings["epochs"] == 2
    history = [
        {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    assert [row["epoch"] for row in history if "epoch/loss" in row] == [1, 2, 3, 4]
    assert [row["task"] for row in history if "accuracy/task_1" in row] == [0, 1, 2]
    assert [row["task"] for row in history if any("matrix" in k for k in row)] == [1, 2]
    final = {}
    for record in records:
        for item in record.summary.update:
            final["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
    assert final["forgetting"] == summary["forgetting"]


def of_wandb(file):
    """The records in a file of Weights & Biases."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, record = file.read_bytes(), 7, b""  # blocks of 32 KiB, as in a log of LevelDB
    while place + 7 <= len(content):
        if 2**15 - place % 2**15 < 7:  # the rest of a block is empty
            place += 2**15 - place % 2**15
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + 7])
        record += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(record)
            record = b""


@pytest.mark.parametrize("service", ["mlflow", "wandb"])
def test_a_connection_that_breaks_is_a_warning(service):
    pytest.importorskip(service)

    def broken():
        raise ConnectionResetError("it is gone")

    with pytest.warns(UserWarning, match=f"{SERVICES[service]} could not log: it is gone"):
        load(service)()._attempt(broken)


@pytest.mark.parametrize("service", ["mlflow", "wandb"])
def test_a_package_that_is_missing_is_named_before_anything_is_read(service, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
        train.run(tiny(tmp_path, **{service: True}), display=silent())
    assert str(error.value) == f"This needs {service}: pip install 'keras_cl[{service}]'."
    assert not (tmp_path / "run").exists()


def test_the_classes_are_public():
    assert [getattr(runs, name) for name in SERVICES.values()] == [load(name) for name in SERVICES]
    assert set(SERVICES.values()) <= set(dir(runs))


def test_tensorboard_without_a_folder_is_said():
    with pytest.raises(InputError, match="needs a folder"):
        runs.TensorBoard().on_run_begin({"path": None, "results": None, "settings": {}, "name": "run"})
