"""The laws that every method must keep; each one inspects the results of a `Subject`."""

import collections
import shutil
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_cl.check import measures, placement, programs, task_free
from keras_cl.check.compare import CLOSE, DoesNotApply, difference, hold, same, saved_variables
from keras_cl.check.devices import mirrored, on_devices
from keras_cl.check.heads import later_outputs_moved
from keras_cl.errors import InputError
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.runs.directory import MEASURES, RunDirectory
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model
from keras_cl.settings.config import SCENARIOS


class Law(NamedTuple):
    """A law.

    Attributes:
      name: the law in words.
      check: function of a `Subject`, and of a scenario if `everywhere`; raises `Broken` or `DoesNotApply`.
      everywhere: whether it is checked in every scenario that the method supports, or once.
    """

    name: str
    check: Callable
    everywhere: bool


LAWS = []


def law(name, everywhere=False):
    """Decorator that adds a function to `LAWS`."""

    def added(check):
        LAWS.append(Law(name, check, everywhere))
        return check

    return added


# ---- training --------------------------------------------------------------------------------------------


@law("every task is learned with a finite loss", everywhere=True)
def learns(subject, scenario):
    _learned(subject.trained(scenario))


def _learned(result):
    hold(len(result.losses) == 2, f"{len(result.losses)} of 2 tasks were trained")
    hold(np.isfinite(result.losses).all(), f"the losses are {result.losses}")
    hold(np.isfinite(np.concatenate([w.ravel() for w in result.weights[-1]])).all(), "weights are not finite")
    hold(not same(*result.weights), "the second task changed no weight")


@law("the step is traced once for tasks of any length", everywhere=True)
def one_trace(subject, scenario):
    result = subject.trained(scenario)
    model = result.model
    # A generator begins to replay in the second task, which needs another trace.
    replays = model.memory is not None and model.memory.generates and model.draws > 0
    kinds = len(set(result.chunks))
    hold(kinds == 1 + replays, f"the tasks give batches of {kinds} kinds, each of which is traced")
    if not model.run_eagerly:
        traces = model.train_function.steps.experimental_get_tracing_count()
        hold(traces == 1 + replays, f"it was traced {traces} times; is there a Python branch on the task?")


@law("the end of a task changes answers only if answers_at_end", everywhere=True)
def ends_quietly(subject, scenario):
    result = subject.trained(scenario)
    unchanged = same(result.before_end, result.after_end)
    promised = result.model.answers_at_end
    hold(unchanged or promised, "end_task changed the logits; set answers_at_end if that is meant")
    hold(not (unchanged and promised), "answers_at_end is set, and end_task changed no logits")


@law("evaluate gives the accuracy among the active classes, and a finite loss", everywhere=True)
def evaluates(subject, scenario):
    _evaluates(subject.trained(scenario))


def _evaluates(result):
    model, stream = result.model, result.stream
    before = [(v, v.numpy()) for metric in model.metrics for v in metric.variables]
    for task, expected in zip(stream, model.accuracies(stream), strict=True):
        loss, found, *_ = model.evaluate(task.test, verbose=0)
        right = np.isfinite(loss) and abs(found - expected) < CLOSE
        hold(right, f"evaluate says {found}, loss {loss}; {expected} is right")
    for variable, value in before:  # another law compares them
        variable.assign(value)


@law("it learns classes that come back, with one output for each")
def learns_returning_classes(subject):
    if "class" not in subject.scenarios:
        raise DoesNotApply("its classes do not accumulate")
    result = subject.trained("class", stream="repeating", **{"stream.returns": (1.0,)})
    classes = {label for task in result.stream for label in task.classes}
    hold(len(result.stream[1].classes) == len(classes), "the first task's classes are not in the second one")
    hold(result.model.network.output_shape[-1] == len(classes), f"there are not {len(classes)} outputs")
    _learned(result)
    _evaluates(result)


@law("steps compiled by XLA equal those of a graph")
def xla_is_graph(subject):
    _close(subject.trained(subject.scenarios[-1], jit="on"), subject)


@law("eager steps equal those of a graph")
def eager_is_graph(subject):
    _close(subject.trained(subject.scenarios[-1], eagerly=True), subject)


def _close(result, subject):
    apart = difference(result.weights, subject.trained(subject.scenarios[-1]).weights)
    hold(apart <= CLOSE, f"weights are up to {apart:.2g} apart")


# ---- repeating -------------------------------------------------------------------------------------------


@law("a run by the command repeats a loop of one's own, bit for bit")
def repeats(subject):
    folder, last = subject.commanded(), subject.scenarios[-1]
    by_hand = subject.trained(last, eagerly=True) if subject.runs_eagerly else subject.trained(last)
    directory, model = RunDirectory(folder / "run"), make_model(subject.config(last), by_hand.stream, seed=0)
    for number, weights in enumerate(by_hand.weights, 1):
        Checkpoints(model).read(directory.task_folder(number))
        hold(same(model.network.get_weights(), weights), f"weights after task {number} differ")
    records = directory.finished()
    losses = [epoch["loss"] for record in records for epoch in record["epochs"]]
    hold(losses == by_hand.losses, f"the losses are {losses} and {by_hand.losses}")
    saved = saved_variables(tf.train.Checkpoint(model=by_hand.model).write(str(folder / "by_hand")))
    _same_state(saved, _state(folder, 2))


@law("a run that was killed after its first task ends like one that was not, bit for bit")
def resumes(subject):
    whole, stopped = subject.commanded(), subject.folder / "stopped"
    shutil.rmtree(stopped, ignore_errors=True)
    shutil.copytree(whole, stopped)
    for later in ("run/checkpoints/task_002", "models/run/2"):
        shutil.rmtree(stopped / later)
    for later in ("DONE", "matrix.csv", "metrics.csv", "summary.json", *MEASURES):
        (stopped / "run" / later).unlink(missing_ok=later in MEASURES)
    subject.command(stopped)
    _same_state(_state(stopped, 2), _state(whole, 2))
    measured = [name for name in MEASURES if (whole / "run" / name).exists()]
    for name in ("checkpoints/task_001/DONE", "matrix.csv", *measured):
        one, other = ((folder / "run" / name).read_text() for folder in (stopped, whole))
        hold(one == other, f"{name} differs")
    hold((stopped / "run/DONE").exists(), "the run was not completed")


def _state(folder, number):
    """All variables after a task of the run in `folder`."""
    return saved_variables(folder / f"run/checkpoints/task_00{number}/variables")


def _same_state(saved, expected):
    hold(saved.keys() == expected.keys(), f"other variables: {sorted(saved.keys() ^ expected.keys())}")
    differing = [key for key in expected if not np.array_equal(saved[key], expected[key])]
    hold(not differing, f"different values: {', '.join(sorted(differing)[:5])}")


def _sorted(arrays):
    return sorted(map(np.asarray, arrays), key=lambda array: (array.shape, array.tobytes()))


# ---- what is exported ------------------------------------------------------------------------------------


@law("the exported model answers like the trained one", everywhere=True)
def exports(subject, scenario):
    model, stream = subject.trained(scenario).model, subject.trained(scenario).stream
    signatures = tf.saved_model.load(str(subject.exported(scenario))).signatures
    for task in stream:
        x, _ = task.test.open()
        answer = signatures["serving_default"](images=tf.constant(x, tf.float32))
        apart = difference(answer["logits"], model.predict_logits(x))
        hold(apart <= CLOSE, f"logits are up to {apart:.2g} apart")
        units = model.predict_units(x, stream.class_mask.any(axis=0))
        hold(same([answer["class"]], [stream.labels.max(axis=0)[units]]), "classes differ")
        if scenario == "task":
            own = signatures["with_task"](
                images=tf.constant(x, tf.float32), task=tf.fill([len(x)], task.index)
            )
            units = model.predict_units(x, stream.class_mask[task.index], task.index)
            hold(same([own["class"]], [stream.labels[task.index][units]]), "classes of a known task differ")


@law("the exported model holds the network's variables and nothing else", everywhere=True)
def exports_the_network(subject, scenario):
    saved = saved_variables(subject.exported(scenario) / "variables" / "variables")
    result = subject.trained(scenario)
    model, config = result.model, subject.config(scenario)
    hold(same(_sorted(saved.values()), _sorted(model.network.variables)), "it holds other variables")
    bare = catalog.load("network", config.network)(result.stream, **config.options_of("network"))
    expected = collections.Counter(tuple(v.shape) for v in bare.variables)
    added = collections.Counter(value.shape for value in saved.values()) - expected
    # Only a network with a task input, or one whose predictions `end_task` determines, may have more.
    allowed = "task" in getattr(model.network, "input_names", ()) or model.answers_at_end
    hold(not added or allowed, f"the method added variables of the shapes {list(added)} to the network")


# ---- ties to fine-tuning ---------------------------------------------------------------------------------


@law("strength 0 is fine-tuning, bit for bit")
def strength_0_is_finetune(subject):
    _needs_strength(subject)
    off = subject.trained(subject.scenarios[-1], strength=0.0, **subject.how)
    for number, pair in enumerate(zip(off.weights, _finetuned(subject).weights, strict=True), 1):
        hold(same(*pair), f"weights after task {number} are up to {difference(*pair):.2g} apart")


@law("the first task is fine-tuning, bit for bit, and the second is not")
def first_task_is_finetune(subject):
    _needs_strength(subject)
    result, plain = subject.trained(subject.scenarios[-1], **subject.how), _finetuned(subject)
    hold(same(result.weights[0], plain.weights[0]), "the first task already differs")
    hold(not same(result.weights[1], plain.weights[1]), "the second task does not differ")


def _needs_strength(subject):
    if not subject.has_strength:
        raise DoesNotApply("it has no option strength")


def _finetuned(subject):
    return subject.finetuned.trained(subject.scenarios[-1], **subject.how)


# ---- heads -----------------------------------------------------------------------------------------------


@law("the optimizer moves no output of a task to come")
def holds_heads(subject):
    if "task" not in subject.scenarios:
        raise DoesNotApply("its tasks have no heads of their own")
    if later_outputs_moved(subject, "adamw"):
        if later_outputs_moved(subject, "sgd"):
            raise DoesNotApply("its gradient reaches them")
        hold(False, "the first task moved them; does train_step apply its gradients by self.apply?")


# ---- scenarios and devices -------------------------------------------------------------------------------


@law("a scenario that is not claimed is refused before data are read")
def refuses_scenarios(subject):
    for scenario in SCENARIOS:
        try:
            subject.config(scenario, dataset="no/such/file.npz")
            refused = False
        except InputError as error:
            refused = "does not support the" in str(error)
        hold(
            refused != (scenario in subject.scenarios), f"the {scenario}-incremental scenario was not refused"
        )


@law("two devices come to the weights of one")
def two_devices(subject):
    """Needs a process with two devices; see `keras_cl.check.__main__`."""
    strategy = mirrored()
    if strategy is None:
        raise DoesNotApply("this process has one device")
    one, two = on_devices(subject, None, None), on_devices(subject, strategy, strategy)
    moved, apart = difference(*one[0]), difference(one, two)
    hold(moved > 1e-2, f"the second task moved the weights by {moved:.2g} only: too little to tell")
    hold(apart <= CLOSE, f"weights or metrics are up to {apart:.2g} apart")


law("accuracies, losses and the confusion matrix are those of the predictions", everywhere=True)(
    measures.agree
)
law("it learns a stream without tasks, or is refused before it trains")(task_free.without_tasks)
law("no state is int32, which TensorFlow keeps off a GPU", everywhere=True)(placement.state_goes_to_a_gpu)
law("XLA compiles the step once for all tasks", everywhere=True)(programs.one_program)
law("XLA can compile the step for a GPU")(placement.compiles_for_a_gpu)
law("a step compiled for another device than the first one finds its variables there")(placement.other_device)
