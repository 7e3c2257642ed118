"""The line on this machine: what runs, what comes from the cache, and what is said when something fails.

Small components stand for the real ones, see stand_ins.py.
"""

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

import faults
import processes
import pytest
import stand_ins

from keras_cl.errors import InputError
from pipelines import artifacts, run, settings
from pipelines.kubeflow import local

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def line(tmp_path, monkeypatch, capsys):
    return Line(tmp_path / "a folder of python3", monkeypatch, capsys)


class Line:
    """A line of small components in a folder."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder, self._capsys = folder, capsys
        monkeypatch.setenv("PYTHONPATH", stand_ins.write(folder))
        monkeypatch.chdir(folder)  # python -m looks for modules there before it looks on PYTHONPATH
        monkeypatch.setattr(artifacts, "code_version", lambda: self.code)
        self.code = "one"
        self.root, self.serving = folder / "root", folder / "serving"

    def flags(self, *given):
        return [
            f"--pipeline_root={self.root}",
            f"--serving_dir={self.serving}",
            "--model_name=digits",
            "--stream=split",
            *given,
        ]

    def run(self, *given):
        """Runs the line; returns the calls of components and the lines on the screen."""
        run.main(settings.parse(["run", *self.flags(*given)]))
        return stand_ins.calls(self.folder), self._capsys.readouterr().out.splitlines()

    def refused(self, *given):
        """Runs a line that fails; returns the calls of components and the sentence."""
        with pytest.raises(InputError) as error:
            run.main(settings.parse(["run", *self.flags(*given)]))
        self._capsys.readouterr()
        return stand_ins.calls(self.folder), str(error.value)

    def fail(self, **faults):
        stand_ins.fail(self.folder, **faults)

    def arrived(self, content):
        """A folder of examples that arrived."""
        folder = self.folder / "arrived"
        folder.mkdir(exist_ok=True)
        (folder / "rows.tfrecord").write_text(content)
        return folder

    def artifact(self, name):
        return max(self.root.glob(f"line-*/{name}"))


COMPONENTS = [name for name in stand_ins.NAMES if name != "tuner"]


def of_task(number):
    return [(name, number) for name in COMPONENTS]


def test_one_line_a_component_then_the_cache(line):
    called, said = line.run("--until=1")
    assert sorted(called) == sorted(of_task(1))
    assert sum(" done in " in text for text in said) == len(COMPONENTS)
    assert said[0].startswith("task 1  ExampleGen       done in")
    assert f"task 1  is served from {line.serving}/digits/1" in said
    called, said = line.run("--until=1")
    assert not called
    assert sum(text.endswith("from the cache") for text in said) == len(COMPONENTS)


@pytest.mark.slow
def test_a_task_that_arrives_later_is_the_only_one_that_runs(line):
    called, _ = line.run("--until=2")
    assert [task for _, task in called] == [1] * 9 + [2] * 9
    called, said = line.run("--until=3")
    assert sorted(called) == sorted(of_task(3))
    called, _ = line.run("--until=3", f"--examples={line.arrived('more')}")
    assert sorted(called) == sorted(of_task(4))


@pytest.mark.slow
def test_changes_are_never_served_from_the_cache(line):
    everything = sorted(of_task(1))
    assert sorted(line.run("--until=1")[0]) == everything
    assert sorted(line.run("--until=1", "--epochs=3")[0]) == everything
    line.code = "two"
    assert sorted(line.run("--until=1")[0]) == everything
    assert not line.run("--until=1")[0]
    given = "--until=0", f"--examples={line.arrived('one')}"
    assert sorted(line.run(*given)[0]) == everything
    assert not line.run(*given)[0]
    line.arrived("two")
    assert sorted(line.run(*given)[0]) == everything


@pytest.mark.slow
@pytest.mark.parametrize(
    ("component", "given", "after"),
    [
        ("ExampleValidator", {"duplicates": 0.5}, {"example_validator"}),
        ("ModelValidator", {"min_accuracy": 0.5}, {"model_validator", "pusher"}),
    ],
)
def test_a_threshold_runs_what_it_decides_alone(line, component, given, after):
    line.run("--until=1")
    thresholds = line.folder / "thresholds.json"
    thresholds.write_text(json.dumps({component: given}))
    called, _ = line.run("--until=1", f"--thresholds={thresholds}")
    assert {name for name, _ in called} == after


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("fault", ["error", "kill"])
def test_the_next_run_goes_on_where_a_component_failed(line, component, fault):
    line.run("--until=1")
    line.fail(**{component: (2, fault)})
    called, said = line.refused("--until=2")
    name = "".join(part.title() for part in component.split("_"))
    why = "The images are upside down." if fault == "error" else "it ended without a word"
    assert said.startswith(f"{name} of task 2 failed: {why}")
    assert called[-1] == (component, 2)
    assert (line.serving / "digits/1/model.txt").read_text() == "model 1"
    left = [place for place in line.root.glob("line-*/*/*/") if not (place / "DONE").exists()]
    assert len(left) == 1
    line.fail()
    rest, _ = line.run("--until=2")
    assert sorted(called[:-1] + rest) == sorted(of_task(2))
    assert not left[0].exists()


@pytest.mark.slow
def test_an_error_nobody_thought_of_is_one_sentence_and_its_traceback_is_kept(line):
    line.fail(trainer=(1, "bug"))
    _, said = line.refused("--until=1")
    assert said.startswith("Trainer of task 1 failed: ValueError: nobody thought of this.")
    assert "Traceback" in (line.root / local.LOG).read_text()


@pytest.mark.slow
def test_a_model_that_is_not_blessed_is_named_and_the_next_task_goes_on(line):
    line.fail(model_validator=(1, "unblessed"))
    _, said = line.run("--until=2")
    assert "task 1  was not pushed: Task 1 was forgotten." in said
    assert f"task 2  is served from {line.serving}/digits/2" in said


@pytest.mark.slow
def test_a_served_model_that_is_gone_is_pushed_again(line):
    line.run("--until=2")
    for file in (line.serving / "digits/1").iterdir():
        file.unlink()
    (line.serving / "digits/1").rmdir()
    assert line.run("--until=2")[0] == [("pusher", 1)]
    assert not line.run("--until=2")[0]


@pytest.mark.slow
def test_a_model_that_could_not_be_served_is_validated_again(line):
    line.fail(infra_validator=(1, "unblessed"))
    _, said = line.run("--until=1")
    assert "task 1  was not pushed: There was no memory." in said
    line.fail()
    assert line.run("--until=1")[0] == [("infra_validator", 1), ("pusher", 1)]


@pytest.mark.slow
def test_an_artifact_edited_by_hand_is_named_and_made_again_when_it_is_removed(line):
    line.run("--until=1")
    model = line.artifact("trainer/model")
    (model / "task.json").write_text('{"task": 2}')
    called, said = line.refused("--until=1")
    assert not called
    assert f"{model} was edited" in said
    assert said.endswith(f"rm -r '{model}'")
    for file in model.iterdir():
        file.unlink()
    model.rmdir()
    names = {name for name, _ in line.run("--until=1")[0]}
    assert names == {"trainer", "evaluator", "model_validator", "infra_validator", "pusher"}


@pytest.mark.slow
def test_the_tuner_comes_before_the_trainer(line):
    names = [name for name, _ in line.run("--until=1", "--trials=2", "--stream.valid_fraction=0.1")[0]]
    assert names.index("example_validator") < names.index("tuner") < names.index("trainer")
    assert json.loads((line.artifact("tuner/hyperparameters") / "best.json").read_text())["trials"] == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--serving_dir={}/file",), "Writing to {}/file/digits failed: Not a directory ("),
        (("--serving_dir=gs://bucket/served",), "--serving_dir is gs://bucket/served; on this machine it is"),
        (("--pipeline_root=s3://bucket/line",), "--pipeline_root is s3://bucket/line; on this machine it is"),
        (("--pipeline_root={}/file",), "Writing to {}/file failed: File exists ("),
        (
            ("--pipeline_root={}/full",),
            "--pipeline_root is {}/full, which holds other things (line-1); give a ",
        ),
        (("--examples={}/none",), "--examples names {}/none, and there is no such file or folder."),
        (("--examples={}/full",), "{}/full has no examples; it must be, or hold, TFRecord files"),
        (("--thresholds={}/t.json",), "The threshold of ModelValidator 'min_acuracy' is not known; "),
        (
            ("--classes=0,1/x", "--scenario=task", "--examples={}/full"),
            "--classes is '0,1/x'; give the labels ",
        ),
        (
            ("--trials=1", "--stream.valid_fraction=0.1", "--tune={}/tune.json"),
            "The setting 'learning_rat' is not known; possible: ",
        ),
        (
            ("--trials=1", "--stream.valid_fraction=0.1", "--tune={}/forgetting.json"),
            "--objective is forgetting, which one task alone does not have;",
        ),
    ],
)
def test_what_cannot_run_is_refused_before_anything_runs(line, given, said):
    (line.folder / "file").touch()
    kept = line.folder / "full/line-1/of/mine"
    kept.mkdir(parents=True)
    (line.folder / "t.json").write_text('{"ModelValidator": {"min_acuracy": 0.5}}')
    (line.folder / "tune.json").write_text('{"given": ["learning_rat"]}')
    (line.folder / "forgetting.json").write_text('{"objective": "forgetting"}')
    flags = [flag for flag in line.flags() if not (given[0].startswith("--classes") and "stream" in flag)]
    with pytest.raises(InputError) as error:
        run.main(settings.parse(["run", *flags, *(flag.format(line.folder) for flag in given)]))
    assert str(error.value).startswith(said.format(line.folder))
    assert not stand_ins.calls(line.folder)
    assert kept.is_dir()


@pytest.mark.slow
def test_one_run_at_a_time(line):
    with local.alone(line.root):
        called, said = line.refused("--until=1")
    assert not called
    assert said.startswith(f"Another run is at work on {line.root};")
    assert line.run("--until=1")[0]


@pytest.mark.slow
def test_nothing_of_the_process_is_changed_and_nothing_is_left(line, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = dict(os.environ), sys.executable
    line.run("--until=1")
    assert (dict(os.environ), sys.executable) == before
    assert not list(tmp_path.glob("pipelines-*"))


@pytest.mark.slow
def test_the_command_line_from_another_folder(line):
    line.fail(example_validator=(1, "error"))
    given = [flag.replace(f"{line.folder}/", "") for flag in line.flags("--until=1")]
    done = program(line, *given)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ExampleValidator of task 1 failed: The images are upside down.")
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("task 1  ExampleValidator failed after")


def program(line, *given, **more):
    """The program as a process of its own, in the folder of a line, until it ends."""
    process = started(line, *given, **more)
    said = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def started(line, *given, **more):
    """The program as a process of its own, in the folder of a line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])}
    code = "import sys; from pipelines import run; run._check = lambda line: None; run.cli()"
    return processes.start("-c", code, *given, cwd=line.folder, env=environment, **more)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, f"{run.INTERRUPTED}\n"),
        (signal.SIGTERM, 130, f"{run.INTERRUPTED}\n"),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_a_component_ends_with_the_program(line, number, code, said):
    line.fail(trainer=(1, "hang"))
    process = started(line, *line.flags("--until=1"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    hanging = line.folder / "hanging"
    wait_until(lambda: hanging.exists() and hanging.read_text())
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (code, said)
    wait_until(lambda: not runs(int(hanging.read_text())))
    line.fail()
    assert line.run("--until=1")[0][-1] == ("pusher", 1)


def test_a_program_without_a_standard_input_holds_its_components_too():
    def held():
        os.close(0)
        with local._held():
            assert stat.S_ISFIFO(os.fstat(0).st_mode)
        with pytest.raises(OSError):
            os.fstat(0)

    assert faults.in_a_fork(held) == 0


def wait_until(holds, seconds=15):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def runs(number):
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return " Z " not in pathlib.Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_nobody_who_reads_is_no_error(line):
    reader, writer = os.pipe()
    os.close(reader)
    done = program(line, *line.flags("--until=1"), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
    assert line.run("--until=1")[0]
