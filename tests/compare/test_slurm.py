"""Comparisons by Slurm, with stand-ins of sbatch and squeue that keep to what the real ones do."""

import json
import os
import pathlib
import shutil
import sys

import pytest

from keras_cl.compare import slurm
from keras_cl.compare.jobs import Job, Watch
from keras_cl.compare.settings import Settings
from keras_cl.errors import InputError

# Runs each element of the array as Slurm does; a file "hold" in the folder keeps all of them in the queue.
SBATCH = """#!{python}
import os, pathlib, re, subprocess, sys
here, script = pathlib.Path(__file__).parent, sys.argv[1]
text = pathlib.Path(script).read_text()
assert text.startswith("#!/bin/bash\\n")
options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", text, re.M))
if "partition" in options and options["partition"] != "cpu":
    sys.exit("sbatch: error: invalid partition specified: " + options["partition"])
first, last = map(int, options["array"].partition("%")[0].split("-"))
number = 100 + len(list(here.glob("1*.queue")))
elements = [f"{{number}}_{{element}}" for element in range(first, last + 1)]
(here / f"{{number}}.queue").write_text("\\n".join(elements))
print("Submitted batch job", number)
if not (here / "hold").exists():
    for element in range(first, last + 1):
        with open(options["output"].replace("%a", str(element)), "a") as log:
            environment = {{**os.environ, "SLURM_ARRAY_TASK_ID": str(element)}}
            subprocess.run(["bash", script], cwd="/", env=environment, stdout=log, stderr=log)
    (here / f"{{number}}.queue").write_text("")
"""
SQUEUE = """#!{python}
import pathlib, re, sys
number = re.search(r"--jobs=(\\d+)", " ".join(sys.argv))[1]
print((pathlib.Path(__file__).parent / f"{{number}}.queue").read_text())
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The folder of the stand-ins."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE)):
        (folder / name).write_text(text.format(python=sys.executable))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "work_of_a_test.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return folder


WORK = """
import os, pathlib, signal
def count(name, fails=False, dies=False, flags=()):
    file = pathlib.Path(name)
    file.write_text(str(int(file.read_text()) + 1) if file.exists() else "1")
    if dies and file.read_text() == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    if fails:
        raise ValueError("no luck")
"""


def job_of(name, **arguments):
    return Job(name, "work_of_a_test:count", {"name": f"{name}.txt", **arguments})


def outcomes(jobs, watch=None, **settings):
    return list(slurm.run(jobs, Settings(on="slurm", **settings), watch))


class Heard(Watch):
    def __init__(self):
        self.failed = []

    def ended(self, outcome):
        self.failed.append(outcome.error)


def test_one_element_for_each_run_and_failures_are_told_once(cluster, tmp_path, capsys):
    jobs, watch = [job_of("one"), job_of("two", fails=True), job_of("three")], Heard()
    assert outcomes(jobs, watch) == []
    assert [(tmp_path / f"{job.name}.txt").read_text() for job in jobs] == ["1", "1", "1"]
    assert "3 runs are submitted as the array job 100: comparison/slurm/001/" in capsys.readouterr().out
    (failed,) = outcomes(jobs[1:2], watch)
    assert (failed.job, failed.state) == (jobs[1], "failed")
    assert failed.error == "ValueError: no luck (work_of_a_test.py, line 9)" == watch.failed[0]
    assert (tmp_path / "comparison/slurm/001/1.log").read_text().strip() == failed.error
    assert (tmp_path / "two.txt").read_text() == "1", "what failed is not submitted with its reason"
    assert outcomes(jobs[1:2], watch) == []
    assert (tmp_path / "two.txt").read_text() == "2"


def test_what_waits_in_the_queue_is_not_submitted_again(cluster, tmp_path, capsys):
    (cluster / "hold").touch()
    outcomes([job_of("one"), job_of("two")])
    (cluster / "hold").unlink()
    assert outcomes([job_of("one"), job_of("two")]) == []
    assert "2 runs are in Slurm's queue" in capsys.readouterr().out and not (tmp_path / "one.txt").exists()
    (cluster / "100.queue").write_text("100_1")  # the first one was ended
    outcomes([job_of("one"), job_of("two")])
    assert (tmp_path / "one.txt").read_text() == "1" and not (tmp_path / "two.txt").exists()
    assert json.loads((tmp_path / "comparison/slurm/002/submitted.json").read_text()) == {"number": "101"}


def test_a_run_that_was_submitted_with_overwrite_is_known_without_it(cluster, tmp_path, capsys):
    run = ["--run_dir=runs/one", "--epochs=1"]
    first, again = (job_of("one", fails=True, flags=[*own, *run]) for own in (["--overwrite=true"], []))
    (cluster / "hold").touch()
    assert outcomes([first]) == outcomes([again]) == []
    assert "1 runs are in Slurm's queue" in capsys.readouterr().out
    assert not (tmp_path / "comparison/slurm/002").exists()
    (cluster / "hold").unlink()
    (cluster / "100.queue").write_text("")
    slurm.element(tmp_path / "comparison/slurm/001", 0)
    (failed,) = outcomes([again])
    assert (failed.job, failed.state) == (again, "failed")
    assert not (tmp_path / "comparison/slurm/002").exists()


def test_an_element_that_was_killed_is_submitted_again(cluster, tmp_path):
    job = job_of("one", dies=True)
    for times in ("1", "2"):
        assert outcomes([job]) == []
        assert (tmp_path / "one.txt").read_text() == times
    assert json.loads((tmp_path / "comparison/slurm/002/0.json").read_text())["state"] == "done"


def test_a_submission_never_takes_the_folder_of_another(cluster, tmp_path):
    for name in ("one", "two"):
        assert outcomes([job_of(name)]) == []
    shutil.rmtree(tmp_path / "comparison/slurm/001")
    assert outcomes([job_of("three")]) == []
    assert [file.name for file in sorted((tmp_path / "comparison/slurm").iterdir())] == ["002", "003"]


def test_the_script_asks_for_what_is_given(cluster, tmp_path):
    more = "--time=01:00:00 --partition=cpu"
    settings = Settings(on="slurm", cpus=4.0, gpus=1.0, jobs=2, slurm_options=more)
    assert list(slurm.run([job_of("one"), job_of("two")], settings)) == []
    lines = (tmp_path / "comparison/slurm/001/job.sh").read_text().splitlines()
    asked = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")}
    assert asked >= {
        "--array=0-1%2",
        "--cpus-per-task=4",
        "--gpus-per-task=1",
        "--time=01:00:00",
        "--partition=cpu",
        "--requeue",
        f"--output={tmp_path}/comparison/slurm/001/%a.log",
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"slurm_options": "--partition=gpu"},
            "sbatch refuses comparison/slurm/001/job.sh: sbatch: error: ",
        ),
        ({"slurm_options": "gpu"}, "--slurm_options has 'gpu'; give options of sbatch such as"),
        (
            {"slurm_options": "--time='1"},
            '--slurm_options="--time=\'1" cannot be read: ',
        ),
        ({"gpus": 0.5}, "--gpus is 0.5; Slurm gives whole ones."),
    ],
)
def test_what_slurm_refuses_is_said_in_one_sentence(cluster, settings, said):
    with pytest.raises(InputError) as error:
        outcomes([job_of("one")], **settings)
    assert str(error.value).startswith(said)
    with pytest.raises(InputError):  # a script that was refused is no submission
        outcomes([job_of("one")], **settings)


def test_without_sbatch_it_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="^--on=slurm needs sbatch, and it is not here"):
        outcomes([job_of("one")])


@pytest.mark.slow
def test_a_comparison_is_submitted_and_collected_by_the_same_command(cluster, tmp_path, capsys):
    from keras_cl.compare import flags, program

    command = ["compare", "--on=slurm", "--methods=finetune,ewc", "--tasks=2", "--epochs=1", "--jit=off"]
    command += ["--network.hidden=16", "--seeds=0", "--out=comparison", "--runs_dir=runs"]
    assert program.run(program.Comparison.of(flags.parse(command))) == []
    assert not (tmp_path / "comparison/report.html").exists()
    assert program.run(program.Comparison.of(flags.parse(command))) == []
    assert (tmp_path / "comparison/report.html").exists() and (tmp_path / "comparison/table.csv").exists()
    assert len(list(pathlib.Path("runs").iterdir())) == 2
