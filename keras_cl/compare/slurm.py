"""Runs jobs by Slurm: one array job, with one element for each run that is not done.

The program ends when the array is submitted. Started again, it submits what is neither done nor in the queue,
and says why runs failed. An element goes on after its last finished task if it is requeued or killed; with
`--overwrite` one that is requeued begins again.

    <out>/slurm/001/job.sh           the script of the array job
                    jobs.json        the runs, by the number of the element
                    submitted.json   the number of the array job
                    0.log 0.json     what the run said, and its outcome
"""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

from keras_cl.compare.jobs import Job, Outcome, perform
from keras_cl.errors import InputError, require
from keras_cl.runs.files import as_json, make_folder, read_json, replace

SCRIPT, JOBS, SUBMITTED = "job.sh", "jobs.json", "submitted.json"


def run(jobs, options, watch=None):
    """Submits jobs as an array job, and yields the `Outcome`s of those that failed since the last time.

    Args:
      jobs: `Job`s.
      options: `Settings` of a comparison, of which out, jobs, cpus, gpus and slurm_options count.
      watch: `Watch` that is told of failures.

    Raises:
      InputError: if there is no sbatch, or it refuses the script.
    """
    resources = _resources(options)
    require(shutil.which("sbatch"), "--on=slurm needs sbatch, and it is not here: start it on a login node.")
    todo = {_key(job): job for job in jobs}
    numbers = sorted(int(folder.name) for folder in _folder(options).glob("*") if folder.name.isdigit())
    submissions = [_submission(options, number) for number in numbers]
    for submission in submissions:
        for outcome in submission.failures():
            if job := todo.pop(_key(outcome.job), None):
                outcome = dataclasses.replace(outcome, job=job)
                watch and watch.ended(outcome)
                yield outcome
    queued = {key for submission in submissions for key in map(_key, submission.queued()) if key in todo}
    new = [job for key, job in todo.items() if key not in queued]
    if queued:
        print(f"{len(queued)} runs are in Slurm's queue or are trained.")
    if new:
        submission = _submission(options, max(numbers, default=0) + 1)
        number = submission.submit(new, resources, options.jobs)
        print(f"{len(new)} runs are submitted as the array job {number}: {submission.folder / SCRIPT}")
    if new or queued:
        print(
            "squeue shows it; the same command without --overwrite collects what is done, and submits again"
        )
        print("what was ended.")


class Submission:
    """An array job.

    Args:
      folder: folder of its files.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def submit(self, jobs, resources, most=0):
        """Writes the script and gives it to sbatch; returns the number of the array job.

        Args:
          jobs: list of `Job`s.
          resources: list of options of sbatch.
          most: number of elements at a time; 0 for no limit.
        """
        make_folder(self.folder)
        (self.folder / JOBS).write_text(as_json({"jobs": [dataclasses.asdict(job) for job in jobs]}))
        elements = f"0-{len(jobs) - 1}" + (f"%{most}" if most else "")
        file = (self.folder / SCRIPT).absolute()
        file.write_text(script(file.parent, elements, resources))
        done = subprocess.run(["sbatch", str(file)], capture_output=True, text=True)
        number = re.search(r"\d+", done.stdout)
        said = (done.stderr or done.stdout).strip().partition("\n")[0].rstrip(".")
        require(done.returncode == 0 and number, f"sbatch refuses {self.folder / SCRIPT}: {said}.")
        replace(self.folder / SUBMITTED, as_json({"number": number[0]}))
        return number[0]

    def jobs(self):
        """The `Job`s by the numbers of their elements; [] if it was not submitted."""
        try:
            read_json(self.folder / SUBMITTED)
            return [Job(**job) for job in read_json(self.folder / JOBS)["jobs"]]
        except FileNotFoundError:
            return []

    def queued(self):
        """The `Job`s that wait or are trained, as far as squeue knows."""
        if not (jobs := self.jobs()) or not shutil.which("squeue"):
            return []
        number = read_json(self.folder / SUBMITTED)["number"]
        command = ["squeue", "--noheader", "--array", f"--jobs={number}", "--format=%i"]
        found = subprocess.run(command, capture_output=True, text=True).stdout.split()
        elements = {name.rpartition("_")[2] for name in found}
        return [job for element, job in enumerate(jobs) if str(element) in elements]

    def failures(self):
        """Yields the `Outcome`s of failed elements, each once: the next time it is submitted again."""
        for element, job in enumerate(self.jobs()):
            file = self.folder / f"{element}.json"
            if file.is_file() and (found := read_json(file))["state"] == "failed":
                file.unlink()
                yield Outcome(job, "failed", error=found["error"], seconds=found["seconds"])


def script(folder, elements, resources):
    """The text of the script of an array job in `folder` for `elements`, such as "0-9"."""
    path = os.pathsep.join(str(pathlib.Path(place).resolve()) for place in sys.path if place)
    log = shlex.quote(f"{folder}/%a.log")
    options = ["--job-name=keras_cl", f"--array={elements}", *resources]
    options += [f"--output={log}", "--open-mode=append", "--requeue"]
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in options), ""]
    lines += [f"cd {shlex.quote(os.getcwd())} || exit", f"export PYTHONPATH={shlex.quote(path)}"]
    command = [sys.executable, "-m", "keras_cl.compare.slurm", str(folder)]
    return "\n".join([*lines, f'exec {shlex.join(command)} "$SLURM_ARRAY_TASK_ID"', ""])


def element(folder, number):
    """What an element of the array does: performs its job, and writes its outcome.

    Args:
      folder: folder of the `Submission`.
      number: number of the element.

    Returns:
      its `Outcome`.
    """
    folder = pathlib.Path(folder)
    job = Job(**read_json(folder / JOBS)["jobs"][int(number)])
    (folder / f"{number}.json").unlink(missing_ok=True)
    outcome = perform(job, lambda fraction, text: None)
    found = {"state": outcome.state, "error": outcome.error, "seconds": outcome.seconds}
    replace(folder / f"{number}.json", as_json(found))
    return outcome


def _resources(options):
    """The options of sbatch for the CPUs and GPUs of a run, and those of the user."""
    for name in ("cpus", "gpus"):
        value = getattr(options, name)
        require(value == int(value), f"--{name} is {value}; Slurm gives whole ones.")
    try:
        given = shlex.split(options.slurm_options)
    except ValueError as error:
        raise InputError(f"--slurm_options={options.slurm_options!r} cannot be read: {error}.") from None
    for option in given:
        require(
            re.fullmatch(r"--[a-z][a-z-]*(=.+)?", option),
            f"--slurm_options has {option!r}; give options of sbatch such as --time=02:00:00 --partition=a.",
        )
    gpus = [f"--gpus-per-task={options.gpus:g}"] if options.gpus else []
    return ["--ntasks=1", f"--cpus-per-task={options.cpus:g}", *gpus, *given]


def _folder(options):
    return pathlib.Path(options.out, "slurm")


def _submission(options, number):
    return Submission(_folder(options) / f"{number:03d}")


def _key(job):
    """Text that is equal for equal jobs. A run is known by its folder, because it may have been submitted
    with other flags, such as --overwrite."""
    places = [flag for flag in job.arguments.get("flags", ()) if flag.startswith("--run_dir=")]
    return json.dumps([job.function, places[-1:] or job.arguments], sort_keys=True)


if __name__ == "__main__":
    outcome = element(*sys.argv[1:])
    print(outcome.error or f"{outcome.job.name} is done.")
    sys.exit(outcome.state == "failed")
