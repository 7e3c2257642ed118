"""Curvature of the loss where each task was learned, and the forgetting that it predicts.

Mirzadeh et al. 2020 (arXiv:2006.06958): near w_t, the weights after task t, the loss of task t rises by F =
L_t(w_t + dw) - L_t(w_t) ~ 1/2 dw'H_t dw <= 1/2 lambda_max ||dw||^2, with H_t the Hessian of L_t there. This
assumes that w_t is a minimum and dw is small. The norm of the gradient, the gradient term g.dw and the
measured forgetting show whether that holds.
"""

import contextlib
import csv
import functools

import numpy as np

from keras_cl.errors import require
from keras_cl.importance.hessian import MeanLoss, Rows
from keras_cl.importance.moments import drawn
from keras_cl.learning.progress import QUIET
from keras_cl.numerics import eigenvalues
from keras_cl.numerics.random import CURVATURE, seed_of
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model

FILE = "curvature.csv"
NOTHING = dict.fromkeys(("predicted", "gradient_term", "bound", "forgetting"))  # if there is no next task
PROBES = 16  # products per estimate of a trace


def check(config, network):
    """Raises `InputError` if the curvature of a `Config` cannot be measured, before data is read."""
    if not config.curvature:
        return
    reason = catalog.choice("method", config.method).constants.get("no_curvature", "")
    require(
        not reason,
        f"--curvature is for networks whose answers are logits; that of {config.name_of('method')} {reason}.",
    )
    require(
        not config.options_of("method").get("offline"),
        f"--curvature asks how each task was learned, and {config.name_of('method')} --method.offline learns "
        f"but once.",
    )
    require(
        config.precision == "float32",
        f"--curvature is measured in float32, and --precision is {config.precision}.",
    )
    size = sum(v.shape.num_elements() for v in network.trainable_variables)
    require(
        config.curvature <= size,
        f"--curvature is {config.curvature} and the network has {size} weights, and no more eigenvalues.",
    )


def write(config, stream, seed, directory, display, kept):
    """Measures curvature from the checkpoints of a finished run, and writes curvature.csv."""
    del kept  # of other seeds: there is nothing to share
    model, states, records = make_model(config, stream, seed), [], []
    checkpoints = Checkpoints(model)
    for task in stream:
        checkpoints.read(directory.kept_folder(task.number, "--curvature"))
        states.append(model.network.get_weights())
    options = {"eigenvalues": config.curvature, "rows": config.curvature_rows, "seed": seed}
    with display.working("curvature") as progress:
        for record in measure(model.network, stream, states, **options, progress=progress):
            records.append(record)
            display.say(f"curvature of task {record['task']}: {told(record)}")
    directory.write_table(FILE, records)


def measured(config, stream, path):
    """Whether the run directory `path` has the measurements that `config` asks for."""
    if not (path / FILE).exists():
        return False
    try:
        with open(path / FILE, newline="") as file:
            records = list(csv.DictReader(file))
        found = [(int(record["rows"]), sum("eigenvalue" in name for name in record)) for record in records]
    except (ValueError, TypeError, KeyError, csv.Error):  # damaged
        return False
    return found == [(min(config.curvature_rows, len(task.train)), config.curvature) for task in stream]


def measure(network, stream, states, *, eigenvalues, rows, seed, progress=QUIET):
    """Yields a dict per task: the rows of curvature.csv.

    L_t is the mean cross entropy of training rows of task t among the classes that were active when it was
    learned. A row compares the task with the next one, and gives the forgetting of task 1 so far.

    Args:
      network: raw images to logits; its weights are changed.
      stream: the stream of the tasks.
      states: `network.get_weights()` after each task.
      eigenvalues: number of largest eigenvalues.
      rows: number of rows drawn per task; all measurements of the task use the same rows.
      seed: seed of the rows, and of the initial vectors of eigenvalues and traces.
      progress: the `Progress` that shows it.
    """
    loss, w, first = MeanLoss(network), [], {}
    for state in states:
        network.set_weights(state)
        w.append(loss.weights)
    for task in stream:
        t, sample = task.index, _drawn(task, rows, seed)
        network.set_weights(states[t])
        L, g = loss.value(sample), loss.gradient(sample)
        product = functools.partial(loss.product, sample)
        phase = functools.partial(_phase, progress, task.number, product)
        spectrum = _spectrum(phase, loss.size, eigenvalues, seed_of(seed, t, CURVATURE))
        largest = spectrum["eigenvalue_1"]
        later = {s: w[s] - w[t] for s in range(t + 1, len(w)) if t == 0 or s == t + 1}
        changes = {s: expected(product, g, largest, dw) for s, dw in later.items()}
        for s, change in changes.items():
            network.set_weights(states[s])
            change["forgetting"] = loss.value(sample) - L
        first = first or changes
        record = {"task": task.number, "rows": sample.count, "loss": L, "gradient_norm": _norm(g)}
        record |= spectrum | _distance(w[t], later.get(t + 1)) | changes.get(t + 1, NOTHING)
        record |= {f"task_1_{name}": value for name, value in first.get(t, NOTHING).items()}
        yield {name: _rounded(value) for name, value in record.items()}


def expected(product, g, largest, dw):
    """Predicted effect of a weight change dw on a loss with gradient g and Hessian H.

    `largest` is the largest eigenvalue of H.

    Returns:
      dict of predicted, 1/2 dw'H dw; gradient_term, g.dw; bound, 1/2 lambda_max ||dw||^2.
    """
    return {
        "predicted": dw @ product(dw) / 2,
        "gradient_term": g @ dw,
        "bound": largest * (dw @ dw) / 2,
    }


def told(record):
    """One line about the measurements of a task."""
    said = f"largest eigenvalue {record['eigenvalue_1']:.3g}, trace {record['trace']:.3g}"
    if record["distance"] is None:
        return said
    return (
        f"{said}; the next task moved the weights by {record['distance']:.3g} and its loss by "
        f"{record['forgetting']:.3g} (predicted {record['predicted']:.3g}, bound {record['bound']:.3g})"
    )


def _drawn(task, rows, seed):
    x, y = task.train.open()
    chosen = drawn(np.random.default_rng(seed_of(seed, task.index, CURVATURE)), len(x), rows)
    return Rows.of(x[chosen], y[chosen], task.stream.class_mask[task.index], task.index)


@contextlib.contextmanager
def _phase(progress, number, product, name, products):
    """Inside the `with` block, a number of products, at most, is under way; gives their function."""
    with progress.phase(f"{name} of task {number}", products) as advance:

        def told(v):
            Hv = product(v)
            advance()
            return Hv

        yield told


def _spectrum(phase, size, k, seed):
    """The k largest eigenvalues and a bound of their error; the trace with its standard error."""
    with phase("eigenvalues", k + min(max(eigenvalues.STEPS, k), size)) as product:
        values, vectors = eigenvalues.lanczos(product, size, k, seed=seed)
        pairs = zip(values, vectors, strict=True)
        residual = max(_norm(product(v) - value * v) for value, v in pairs)  # bounds the error
    with phase("trace", PROBES) as product:
        mean, error = eigenvalues.trace(product, size, seed=seed, probes=PROBES)
    found = {f"eigenvalue_{i}": value for i, value in enumerate(values, start=1)}
    return {**found, "residual": residual, "trace": mean, "trace_error": error}


def _distance(w, dw):
    """Norm of the weights and, if there is a next task, of their change, also relative to the weights."""
    length, way = _norm(w), None if dw is None else _norm(dw)
    return {"weight_norm": length, "distance": way, "relative_distance": way and way / length}


def _norm(v):
    return np.linalg.norm(v)


def _rounded(value):
    """Floats rounded to six digits, more than float32 leaves; counts and None unchanged."""
    return value if value is None or isinstance(value, int) else float(f"{value:.6g}")
