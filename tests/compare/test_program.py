"""The program: what it trains, waits for, says and compares. The slow tests train in worker processes."""

import contextlib
import io
import json
import os
import pathlib
import signal
import time

import pytest
from processes import PATIENCE, start
from rich.console import Console

from keras_cl.compare import cells, cores, flags, jobs, program
from keras_cl.errors import InputError
from keras_cl.runs.files import try_lock
from keras_cl.runs.opening import InUse, in_use, open_run
from keras_cl.settings.flags import parse

TINY = ["--stream=split", "--tasks=2", "--epochs=1", "--network.hidden=8", "--jit=off"]


# ---- without processes -----------------------------------------------------------------------------------


class Here:
    """A pool whose jobs are done in this process."""

    def __init__(self, workers, cores):
        self.run = jobs.run

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def trained(monkeypatch):
    """List of the command lines that were trained, by a function that trains nothing."""
    seen = []

    def train(flags):
        config = parse(["", *flags])
        seen.append(config)
        if config.learning_rate == 0.5:
            raise InputError("The loss became nan.")
        with open_run(config.directory, config.settings, {"versions": {"keras_cl": "0"}}) as directory:
            directory.finish()
        return {"run": str(config.directory)}

    monkeypatch.setattr(program, "Pool", Here)
    monkeypatch.setattr(cells, "train", train)
    monkeypatch.setattr(cells, "check", lambda flags: None)
    return seen


@pytest.fixture
def compared(monkeypatch):
    """List of the directories that were compared, by a function that writes nothing."""
    seen = []
    monkeypatch.setattr(program, "_report", lambda comparison, paths, screen: seen.extend(map(str, paths)))
    return seen


def run(tmp_path, *given):
    """The runs that failed, and what is said."""
    screen = Console(file=io.StringIO(), soft_wrap=True)
    given = ["", *TINY, f"--runs_dir={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}", *given]
    failed = program.run(program.Comparison.of(flags.parse(given)), screen)
    return [outcome.job.name for outcome in failed], screen.file.getvalue()


def test_what_is_trained_is_not_trained_again(tmp_path, trained, compared):
    assert run(tmp_path, "--methods=finetune,ewc", "--seeds=0,1")[0] == []
    assert [(config.method, config.seeds) for config in trained] == [
        ("finetune", (0,)),
        ("finetune", (1,)),
        ("ewc", (0,)),
        ("ewc", (1,)),
    ]
    first = list(compared)
    assert len(set(first)) == 4
    _, said = run(tmp_path, "--methods=ewc,finetune,l2", "--seeds=1,0")
    assert [config.method for config in trained[4:]] == ["l2", "l2"]
    assert "2 runs to train, 4 runs done before" in said
    assert set(first) < set(compared[4:]) and len(compared[4:]) == 6
    run(tmp_path, "--methods=ewc", "--seeds=0,1")
    assert len(trained) == 6 and compared[10:] == first[2:]


def test_runs_that_fail_are_told_and_the_rest_is_compared(tmp_path, trained, compared):
    failed, said = run(tmp_path, "--methods=ewc,l2", "--sweep.learning_rate=0.5,0.1")
    assert failed == ["ewc learning_rate=0.5 seed 0", "l2 learning_rate=0.5 seed 0"]
    assert "ewc learning_rate=0.5 seed 0 failed: The loss became nan." in said
    assert "because they failed: 2 runs" in said and len(compared) == 2
    with pytest.raises(InputError, match="Every run failed; the last one: The loss became nan."):
        run(tmp_path, "--methods=l2", "--learning_rate=0.5")


@pytest.mark.parametrize(("trained", "left"), [(("ewc", "l2"), "ewc"), (("l2",), "")])
def test_a_baseline_of_which_runs_failed_is_found_by_its_settings(trained, left):
    """Labels say in what runs differ, and those that are trained may differ in less."""
    given = ["--methods=ewc,l2", "--sweep.learning_rate=0.5,0.1", "--baseline=ewc, learning_rate=0.1"]
    comparison = program.Comparison.of(flags.parse(["", *TINY, *given]))
    cells = [cell for cell in comparison.cells if cell.config.learning_rate == 0.1]
    groups = program._planned([cell for cell in cells if cell.config.method in trained])
    screen = Console(file=io.StringIO(), soft_wrap=True)
    assert program._baseline_left(comparison, groups, screen) == left
    assert ("no differences to ewc, learning_rate=0.1" in screen.file.getvalue()) == (not left)
    assert program._baseline_left(comparison, program._planned(comparison.cells), screen) == (
        "ewc, learning_rate=0.1"
    )


def test_an_unusable_style_is_said_before_anything_runs(tmp_path, trained, compared):
    with pytest.raises(InputError, match="no file .ggplt.. Did you mean ggplot?"):
        run(tmp_path, "--methods=finetune", "--style=ggplt")
    assert not trained


@pytest.mark.parametrize("flag", ["out", "runs_dir"])
@pytest.mark.parametrize("place", ["file", "file/folder"])
def test_a_folder_that_cannot_be_written_is_said_before_anything_runs(
    flag, place, tmp_path, trained, compared
):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=f"Writing to .*{place} failed"):
        run(tmp_path, "--methods=ewc", f"--{flag}={tmp_path / place}")
    assert not trained


def test_what_no_model_can_be_made_of_is_said_before_anything_runs(tmp_path, trained, compared, monkeypatch):
    def check(flags):
        if parse(["", *flags]).options.get("method.strength") == -1:
            raise InputError("--method.strength is -1.")

    monkeypatch.setattr(cells, "check", check)
    given = ["--methods=ewc,finetune,l2", "--method.strength=-1", "--seeds=0,1"]
    with pytest.raises(InputError, match="4 runs are impossible.*ewc seed 0.*--method.strength is -1"):
        run(tmp_path, *given)
    assert not trained
    _, said = run(tmp_path, *given, "--skip_impossible")
    assert [config.method for config in trained] == ["finetune"] * 2 and len(compared) == 2
    assert "Left out as impossible: ewc seed 0, ewc seed 1, l2 seed 0 and 1 more: --method.strength" in said


def test_a_run_that_another_process_trains_is_waited_for(tmp_path, trained, compared, monkeypatch):
    real, looks = cells.train, []

    def train(flags):
        if len(looks) < 3 and "--seeds=0" in flags:
            return {"run": "somewhere", "in_use": True}
        return real(flags)

    monkeypatch.setattr(cells, "train", train)
    monkeypatch.setattr(program, "in_use", lambda path: looks.append(path) or len(looks) < 4)
    monkeypatch.setattr(program, "AGAIN", 0)
    failed, said = run(tmp_path, "--methods=ewc,l2", "--seeds=0,1")
    assert not failed and len(compared) == 4
    assert [config.seeds for config in trained] == [(1,), (1,), (0,), (0,)]
    assert "ewc seed 0: another process is training it" in said and "waiting" in said


def test_a_directory_is_in_use_while_a_process_has_it_open(tmp_path):
    settings, about = {"seeds": [0]}, {"versions": {"keras_cl": "0"}}
    assert not in_use(tmp_path / "none")
    with open_run(tmp_path / "run", settings, about):
        assert in_use(tmp_path / "run")
        with (
            pytest.raises(InUse, match="Another process is writing to"),
            open_run(tmp_path / "run", settings, about),
        ):
            pass
    assert not in_use(tmp_path / "run")
    with open(tmp_path / "run" / ".lock") as file:
        assert try_lock(file)


# ---- in processes ----------------------------------------------------------------------------------------


def compare(folder, *given, **popen):
    places = [f"--runs_dir={folder / 'runs'}", f"--out={folder / 'out'}"]
    return start("-m", "keras_cl.compare", *TINY, *places, *given, **popen)


def finished(process):
    output, errors = process.communicate(timeout=5 * PATIENCE)
    return process.returncode, output, errors


def variables(folder):
    """`{run: variables of all checkpoints}` of all runs below a folder."""
    found = {}
    for path in sorted(folder.glob("*/checkpoints/task_*/variables.data*")):
        found.setdefault(path.parents[2].name, []).append(path.read_bytes())
    return found


def wait_until(process, happened):
    began = time.monotonic()
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.02)


def children(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@contextlib.contextmanager
def on_core(core):
    """What is started inside runs on that core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [core])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.slow
@pytest.mark.skipif(len(cores.available()) < 2, reason="needs two cores")
def test_a_run_of_a_grid_has_the_same_bits_as_alone(tmp_path):
    """Also the second and later runs of a worker, and runs side by side."""
    given = ["--methods=ewc,er", "--scenarios=task,class", "--seeds=0,1"]
    for count in (1, 2):
        code, _, errors = finished(compare(tmp_path / str(count), *given, f"--jobs={count}"))
        assert code == 0, errors
    one, two = (variables(tmp_path / str(count) / "runs") for count in (1, 2))
    assert one == two and len(one) == 8 and all(len(states) == 3 for states in one.values())
    assert len({states[-1] for states in one.values()}) == 8
    core = cores.available()[0]
    for name in list(one)[1::3]:
        settings = json.loads((tmp_path / "1" / "runs" / name / "config.json").read_text())["settings"]
        alone = [f"--{flag}={settings[flag]}" for flag in ("method", "scenario")]
        alone += [
            f"--seeds={settings['seeds'][0]}",
            f"--run_dir={tmp_path / 'alone' / name}",
            "--export=none",
        ]
        with on_core(core):
            process = start("-m", "keras_cl.main", *TINY, *alone)
        assert finished(process)[0] == 0
        assert variables(tmp_path / "alone")[name] == one[name]


@pytest.mark.slow
def test_failures_are_told_and_the_page_shows_the_rest(tmp_path):
    given = ["--methods=finetune,ewc", "--sweep.learning_rate=0.01,1e30", "--optimizer=sgd", "--jobs=1"]
    code, output, errors = finished(compare(tmp_path, *given))
    assert code == 1 and not errors.strip()
    assert "ewc learning_rate=1e30 seed 0 failed: The loss became" in output
    assert "because they failed: 2 runs" in output and "Traceback" not in output
    for name in ("report.html", "table.md", "table.csv", "table.tex"):
        assert (tmp_path / "out" / name).stat().st_size
    assert "1e+30" not in (tmp_path / "out" / "table.csv").read_text()


@pytest.mark.slow
def test_interrupted_and_started_again_it_goes_on(tmp_path):
    given = ["--methods=finetune", "--tasks=5", "--epochs=20", "--seeds=0,1", "--jobs=1"]
    with compare(tmp_path, *given) as process:
        wait_until(process, lambda: list(tmp_path.glob("runs/*/checkpoints/task_001/DONE")))
        (worker,) = children(process.pid)
        process.send_signal(signal.SIGINT)
        code, output, errors = finished(process)
    assert code == 130 and "the same command without --overwrite goes on" in errors
    assert "Traceback" not in output + errors and not alive(worker)
    (stopped,) = tmp_path.glob("runs/*")
    assert not (stopped / "DONE").exists()
    code, output, errors = finished(compare(tmp_path, *given))
    assert code == 0, errors
    assert "Resuming after task" in (stopped / "log.txt").read_text()
    assert len(list(tmp_path.glob("runs/*/DONE"))) == 2


@pytest.mark.slow
def test_a_run_whose_process_is_killed_goes_on_in_another(tmp_path):
    given = ["--methods=finetune", "--tasks=5", "--epochs=20", "--jobs=1"]
    with compare(tmp_path, *given) as process:
        wait_until(process, lambda: list(tmp_path.glob("runs/*/checkpoints/task_001/DONE")))
        os.kill(children(process.pid)[0], signal.SIGKILL)
        code, output, errors = finished(process)
    assert code == 0 and "failed" not in output, errors
    (run,) = tmp_path.glob("runs/*")
    assert "Resuming after task" in (run / "log.txt").read_text() and (run / "DONE").exists()


@pytest.mark.slow
def test_two_comparisons_at_the_same_time_share_the_runs(tmp_path):
    given = ["--methods=finetune,l2", "--seeds=0,1", "--jobs=1", "--epochs=20"]
    both = [compare(tmp_path, *given, f"--out={tmp_path / name}") for name in ("a", "b")]
    for process in both:
        code, _, errors = finished(process)
        assert code == 0, errors
    tables = [(tmp_path / name / "table.csv").read_text() for name in ("a", "b")]
    assert tables[0] == tables[1]
    logs = [path.read_text() for path in tmp_path.glob("runs/*/log.txt")]
    assert len(logs) == 4 and all(log.count("learned in") == 2 for log in logs)


@pytest.mark.slow
def test_a_full_disk_is_said_of_each_run(tmp_path):
    """Files in the place of the directories of the runs stand for a disk that cannot be written."""
    (tmp_path / "runs").mkdir()
    given = ["", *TINY, "--methods=finetune,l2", f"--runs_dir={tmp_path / 'runs'}"]
    for cell in program.Comparison.of(flags.parse(given)).cells:
        cell.config.directory.write_text("")
    code, output, errors = finished(compare(tmp_path, "--methods=finetune,l2", "--jobs=1"))
    assert code == 1 and "Traceback" not in output + errors
    assert "finetune seed 0 failed: Writing to" in output and "Every run failed" in errors
