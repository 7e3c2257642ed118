"""Every training run ends with a report, of results that are complete, and the same command mends it."""

import re

import pytest
from helpers import blobs, silent
from processes import small as settings

import keras_cl
from keras_cl import methods, networks, sources, streams, train
from keras_cl.report import write
from keras_cl.runs import seals


class Killed(BaseException):
    """What ends a process, as Ctrl-C or a signal does."""


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(train.figures, "draw", lambda path: None)


@pytest.fixture
def killed_at_its_report(monkeypatch):
    """A function that trains a run that is killed when it writes its report."""

    def kill(path):
        raise Killed

    def run(config):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(write, "of_run", kill)
            train.run(config, display=silent())

    return run


def small(folder, **given):
    """A `Config` that is trained in a moment and exports nothing."""
    return settings(folder, export="none", **given)


def report_of(config):
    return config.directory / "report.html"


def no_training(monkeypatch):
    def fails(*_):
        raise AssertionError("something was trained")

    monkeypatch.setattr("keras_cl.runs.learn._fit", fails)


@pytest.mark.slow
@pytest.mark.usefixtures("whole_reports")
def test_a_run_of_several_seeds_has_one_report_and_says_where_it_is(tmp_path, capsys):
    config = small(tmp_path, seeds=(0, 3))
    train.run(config)
    text = report_of(config).read_text()
    assert "finetune on permuted digits" in text and "2 seeds" in text and "Unfinished" not in text
    assert "Confusion" in text and "Loss" in text  # of what is measured from now on
    assert [path.parent for path in tmp_path.rglob("report.html")] == [config.directory]
    assert f"report   {report_of(config)}\n" in capsys.readouterr().out
    assert seals.changed(config.directory) == []
    assert "report.html" in seals.read_seal(config.directory)["files"]


@pytest.mark.parametrize("seeds", [(0,), (0, 3)])
def test_a_run_that_was_killed_at_its_report_gets_it_by_the_same_command(
    tmp_path, killed_at_its_report, monkeypatch, seeds
):
    config = small(tmp_path, seeds=seeds)
    killed_at_its_report(config)
    assert not report_of(config).exists()
    assert seals.changed(config.directory) == []  # its results are complete
    no_training(monkeypatch)
    train.run(config, display=silent())
    assert report_of(config).read_text() == "<title>short</title>"
    assert "report.html" in seals.read_seal(config.directory)["files"]


@pytest.mark.parametrize("seeds", [(0,), (0, 3)])
def test_a_report_that_was_lost_or_edited_is_written_again_and_nothing_else_is(
    tmp_path, monkeypatch, capsys, seeds
):
    config = small(tmp_path, seeds=seeds)
    train.run(config, display=silent())
    no_training(monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in config.directory.rglob("*.csv")}
    for spoil in (lambda file: file.unlink(), lambda file: file.write_text("edited")):
        spoil(report_of(config))
        train.run(config)
        assert report_of(config).read_text() == "<title>short</title>"
        assert "report.html of" in (said := capsys.readouterr().out) and "written again" in said
        assert seals.changed(config.directory) == []
    if len(seeds) == 1:
        assert {path: path.stat().st_mtime_ns for path in config.directory.rglob("*.csv")} == before
    written = report_of(config).stat().st_mtime_ns
    train.run(config, display=silent())
    assert report_of(config).stat().st_mtime_ns == written  # it is as it should be


def test_a_report_of_fewer_seeds_is_written_again_when_some_are_added(tmp_path):
    train.run(small(tmp_path, seeds=(0, 3)), display=silent())
    config = small(tmp_path, seeds=(0, 3, 4))
    report_of(config).write_text("of two seeds")
    train.run(config, display=silent())
    assert report_of(config).read_text() == "<title>short</title>"


def test_overwrite_removes_it_and_the_figures_of_earlier_reports(tmp_path, killed_at_its_report):
    config = small(tmp_path)
    train.run(config, display=silent())
    (config.directory / "figures").mkdir()
    (config.directory / "figures" / "average.pdf").touch()
    killed_at_its_report(small(tmp_path, overwrite=True))
    assert not report_of(config).exists() and not (config.directory / "figures").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("whole_reports")
def test_a_loop_from_python_ends_with_a_report_too(tmp_path, capsys):
    stream = streams.permuted(sources.from_arrays(**blobs([8, 8])), tasks=2)

    def learn(**options):
        model = methods.Finetune(networks.mlp(stream, hidden=(4,)))
        model.compile("sgd", jit=False)
        keras_cl.learn(model, stream, epochs=1, batch_size=8, **options)
        return capsys.readouterr().out

    assert re.search(r"report   .*report\.html\n", learn(run_dir=tmp_path / "run"))
    text = (tmp_path / "run" / "report.html").read_text()
    assert "finetune on permuted" in text and "keras_cl.learn" in text
    assert "report   " not in learn()  # which stores nothing
