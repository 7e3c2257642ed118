"""Seconds and memory of a whole job, compared with the time of its steps at the limit.

    TFDS_DATA_DIR=... python -m benchmarks.job [--rounds=2] [--save]

The job runs in its own process: imports, data, compilation, training, evaluation, figures and exports count.
"""

import resource
import subprocess
import sys
import tempfile
import time

from absl import app, flags

JOB = (
    "--method=finetune --stream=permuted --dataset=mnist --tasks=5 --network.hidden=1024,512,256 "
    "--epochs=2 --batch_size=128"
)
TASKS, EPOCHS = 5, 2


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    jobs = [run_job(JOB) for _ in range(flags.FLAGS.rounds)]  # before TensorFlow allocates memory here
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    from keras_cl.devices import device

    device.prepare("cpu")
    from benchmarks.steps import limit_epochs, random_stream
    from benchmarks.timing import interleaved, save

    limit = limit_epochs(random_stream(), (1024, 512, 256), 128, "adam", epochs=1)
    epoch = interleaved({"limit": limit}, 3)["limit"]
    content = {
        "job": JOB,
        "seconds": round(min(jobs), 2),
        "seconds_of_steps_at_the_limit": round(TASKS * EPOCHS * epoch, 2),
        "seconds_allowed": round(1.25 * TASKS * EPOCHS * epoch + 15, 2),
        "peak_memory_GB": round(peak, 3),
    }
    for name, value in content.items():
        print(f"{name:32s}{value}")
    if flags.FLAGS.save:
        save("job", content)


def run_job(job):
    """Seconds of a job in its own process, in a temporary directory."""
    with tempfile.TemporaryDirectory() as folder:
        places = [f"--run_dir={folder}/run", f"--export_dir={folder}/models"]
        started = time.perf_counter()
        command = [sys.executable, "-m", "keras_cl.main", *job.split(), *places]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 2, "jobs of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/job.json")
    app.run(main)
