"""A GAN as a memory: the laws of generative memories that a VAE does not show, tiny problems, collapse."""

import io

import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same, blobs, learn
from rich.console import Console

import keras_cl
from keras_cl import sources, streams
from keras_cl.errors import Diverged, InputError
from keras_cl.memories import GANMemory
from keras_cl.methods import DGR, EWC, Finetune
from keras_cl.networks import mlp
from keras_cl.runs.console import Display
from keras_cl.runs.samples import collapse, label_counts
from keras_cl.settings import catalog

SIDE, TASKS = 4, 4
OWN = {"hidden": (8,), "latent": 2, "critic_steps": 2}


def bars(rows, seed=0):
    """Images of a lit row or column, eight classes, with a tenth of the pixels flipped."""
    lit = np.zeros((8, SIDE, SIDE), bool)
    for place in range(4):
        lit[place, place], lit[4 + place, :, place] = True, True
    rng, arrays = np.random.default_rng(seed), {}
    for part, count in (("train", rows), ("test", 50)):
        y = np.repeat(np.arange(8), count)
        x = lit[y] ^ (rng.uniform(size=(len(y), SIDE, SIDE)) < 0.1)
        arrays |= {f"x_{part}": x[..., None].astype(np.float32), f"y_{part}": y}
    return sources.from_arrays(**arrays)


def stream_of(scenario="class", tasks=3, source=None):
    return streams.split(source or sources.from_arrays(**blobs([5] * 6)), tasks=tasks, scenario=scenario)


def replaying(stream, method=DGR, *, eagerly=True, seed=0, **memory):
    memory = GANMemory(stream, seed=seed, **OWN | memory)
    model = method(mlp(stream, hidden=(6,)), memory=memory, seed=seed)
    model.compile(jit=False, run_eagerly=eagerly)
    return model


def begun(stream, tasks=1, **memory):
    """A model that has learned some tasks."""
    model = replaying(stream, **memory)
    for _ in learn(model, stream[:tasks], batch_size=4):
        pass
    return model


def floats(model):
    return [v.numpy() for v in model.variables if v.dtype == tf.float32]


# ---- it is a memory like a VAE -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", catalog.names("method"))
def test_every_method_that_has_one_generator_has_the_other(method):
    needs_critic = catalog.choice("method", method).constants.get("protects") == "generator"
    assert catalog.can_have(method, "gan") == (catalog.can_have(method, "vae") or needs_critic)
    assert not (catalog.can_have("dgr", "ring") or catalog.can_have("dgr", "herding"))


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("method", [DGR, EWC])
@pytest.mark.parametrize(("scenario", "form"), [("task", "dense"), ("domain", "dense"), ("class", "conv")])
def test_methods_replay_from_it(method, scenario, form):
    stream = stream_of(scenario)
    hidden = {"hidden": (4, 4)} if form == "conv" else {}
    model = replaying(stream, method, form=form, **hidden)
    for _ in learn(model, stream[:2], batch_size=4):
        pass
    x, y, _ = model.memory.generated(100, 1, 2)
    assert x.shape == (100, SIDE, SIDE, 1) and (x >= 0).all() and (x <= 255).all()
    known = stream.class_mask[:2].any(axis=0)
    assert known[y].all() and np.isfinite(model.predict_logits(x)).all()


@pytest.mark.usefixtures("eagerly")
def test_the_first_task_is_that_of_fine_tuning_bit_for_bit():
    stream = stream_of()
    plain = Finetune(mlp(stream, hidden=(6,)), seed=0)
    plain.compile(jit=False, run_eagerly=True)
    for _ in learn(plain, stream[:1], batch_size=4):
        pass
    assert_same(begun(stream).network.get_weights(), plain.network.get_weights())


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("epochs", [0, 2])
def test_copies_do_not_change_while_a_task_is_learned(epochs):
    stream = stream_of()
    model = begun(stream, epochs=epochs, form="conv", hidden=(4, 4))
    memory, task = model.memory, stream[1]
    assert_same(floats(memory.pixels), floats(memory.generator.pixels))  # running means too
    copy = floats(memory.pixels)
    before = floats(memory.generator)
    model.begin_task(task)
    model.fit(model.batches(task, 4), verbose=0)
    assert_same(copy, floats(memory.pixels))
    moved = any(np.any(one != other) for one, other in zip(before, floats(memory.generator), strict=True))
    assert moved == (not epochs)
    model.end_task(task)
    assert_same(floats(memory.pixels), floats(memory.generator.pixels))
    assert any(np.any(one != other) for one, other in zip(copy, floats(memory.pixels), strict=True))


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("reset", [True, False])
def test_both_optimizers_begin_anew_if_those_of_a_task_do(reset):
    stream = stream_of()
    memory = begun(stream).memory
    optimizers = [optimizer for optimizer, _ in memory.generator.optimizers]
    assert [int(one.iterations) for one in optimizers] == [1, 3]
    memory.begin(stream[1], reset_optimizer=reset)
    assert [int(one.iterations) for one in optimizers] == ([0, 0] if reset else [1, 3])
    for one in optimizers:
        assert any(np.any(v) for v in one.variables[2:]) == (not reset)


@pytest.mark.usefixtures("eagerly")
def test_generator_critic_and_both_optimizers_come_back_from_a_checkpoint(tmp_path):
    stream, models = stream_of(), []
    for _ in range(2):
        memory = GANMemory(stream, form="conv", seed=0, **OWN | {"hidden": (4, 4)})
        models.append(DGR(mlp(stream, hidden=(6,)), memory=memory, seed=0, reset_optimizer=False))
        models[-1].compile(jit=False, run_eagerly=True)
    whole, resumed = models
    for _ in learn(whole, stream[:1], batch_size=4):
        pass
    path = tf.train.Checkpoint(model=whole).write(str(tmp_path / "after"))
    read = tf.train.Checkpoint(model=resumed).read
    resumed.restore(stream, 1, lambda: read(path).assert_consumed())
    for model in models:
        for _ in learn(model, stream[1:2], batch_size=4):
            pass
    assert_same(floats(whole), floats(resumed))
    pairs = [model.memory.generator.optimizers for model in models]
    for (one, _), (other, _) in zip(*pairs, strict=True):
        assert int(one.iterations) > 1
        assert_same([v.numpy() for v in one.variables], [v.numpy() for v in other.variables])


def test_generator_and_critic_are_kept_with_running_means():
    stream = stream_of()
    memory = GANMemory(stream, hidden=(7,), latent=3)
    memory.attach(mlp(stream, hidden=(6,)), jit=False)
    generator, critic = (3 + 6) * 7 + 7 + 7 * 16 + 16, 16 * 7 + 7 + 7 * (1 + 6) + 6
    assert sum(v.shape.num_elements() for v in memory.kept) == generator + critic
    memory = GANMemory(stream, form="conv", hidden=(4, 5), latent=3)
    memory.attach(mlp(stream, hidden=(6,)), jit=False)
    generator = 3 * 5 + 5 + 4 * 6 * 5 + 5 * 4 * 25 + 4 * 6 * 4 + 4 * 25 + 1
    critic = 25 * 4 + 4 + 25 * 4 * 5 + 5 + 5 * (1 + 6) + 6
    assert sum(v.shape.num_elements() for v in memory.kept) == generator + critic


def test_a_loop_with_convolutions_on_a_cpu_runs_without_xla():
    stream = stream_of()
    for form, jit in (("dense", True), ("conv", False)):
        model = DGR(mlp(stream, hidden=(6,)), memory=GANMemory(stream, form=form, hidden=(4,), latent=2))
        model.compile()
        assert model.jit == jit
    model.compile(jit=True)
    assert model.jit


# ---- tiny problems -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["hard", pytest.param("condition", marks=pytest.mark.slow)])
def test_old_bars_are_remembered(labels):
    stream, found = stream_of(tasks=TASKS, source=bars(500)), {}
    for name in ("finetune", "gan"):
        own = {"hidden": (64, 64), "latent": 8, "critic_steps": 2, "learning_rate": 2e-3, "labels": labels}
        memory = {} if name == "finetune" else {"memory": GANMemory(stream, **own)}
        model = (DGR if memory else Finetune)(mlp(stream, hidden=(32,)), seed=0, **memory)
        model.compile("adam")
        model.optimizer.learning_rate = 3e-3
        for task in stream:
            model.begin_task(task)
            model.fit(model.batches(task, 64, iterations=300), verbose=0)
            model.end_task(task)
        found[name] = np.mean(model.accuracies(stream))
    assert found["finetune"] < 0.35
    assert found["gan"] > 0.8


# ---- collapse, what is refused -----------------------------------------------------------------------------


def answering(stream, tasks, pre, **memory):
    """A model whose frozen generator answers with the outputs `pre`, whatever the code."""
    model = begun(stream, tasks, **memory)
    *below, bias = model.memory.pixels.get_weights()
    model.memory.pixels.set_weights([*(0 * weight for weight in below), 0 * bias + pre])
    return model


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("labels", ["hard", "soft", "condition"])
def test_a_generator_of_one_image_is_lived_with_and_its_collapse_is_said(labels):
    """Also where its images are learned with the classes that were requested, which are several."""
    stream = stream_of()
    model = answering(stream, 1, -200.0, labels=labels)
    counts = label_counts(stream[0], model.memory, 6)
    assert sorted(counts) == [0, 0, 0, 0, 0, 2000]
    assert collapse(stream[0], counts) == (
        "The generator has collapsed: the network takes 2,000 of 2,000 images generated after task 1 for "
        f"class {np.argmax(counts)}, one of 2."
    )
    for _ in learn(model, stream[1:2], batch_size=4):
        pass
    assert all(np.isfinite(weight).all() for weight in model.network.get_weights())


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("labels", ["hard", "condition"])
def test_a_run_says_that_its_generator_collapsed_and_goes_on(labels, monkeypatch):
    """Whose weights are zero after each task, so that every code and class is the same image."""
    real = GANMemory.update

    def collapsing(memory, task, features=None):
        real(memory, task, features)
        memory.pixels.set_weights([0 * weight for weight in memory.pixels.get_weights()])
        *below, bias = memory.solver.get_weights()
        memory.solver.set_weights([*(0 * weight for weight in below), np.eye(len(bias))[1]])

    monkeypatch.setattr(GANMemory, "update", collapsing)
    stream, out = stream_of(), io.StringIO()
    display = Display(Console(file=out, width=200))
    found = keras_cl.learn(replaying(stream, labels=labels), stream, batch_size=4, display=display)
    said = [line for line in out.getvalue().splitlines() if "collapsed:" in line]
    assert [line.split(" after task ")[1] for line in said] == [
        f"{number} for class 1, one of {2 * number}." for number in (1, 2, 3)
    ]
    assert found.summary["generated_labels"] == [[0, 2000, 0, 0, 0, 0]] * 3
    assert found.summary["generator_collapsed"] == [1, 1, 1]
    assert np.isfinite(found.matrix[-1]).all()


@pytest.mark.parametrize(
    ("scenario", "task", "counts", "told"),
    [
        (
            "class",
            1,
            [20, 1980, 0, 0, 0, 0],
            "1,980 of 2,000 images generated after task 1 for class 1, one of 2.",
        ),
        ("class", 1, [21, 1979, 0, 0, 0, 0], ""),
        ("class", 3, [0, 0, 0, 0, 0, 2000], "for class 5, one of 6."),
        ("class", 3, [0, 1000, 0, 0, 0, 1000], ""),
        (
            "task",
            2,
            [0, 1000, 995, 5, 0, 0],
            "1,995 of 2,000 images generated after task 2 for one class of each",
        ),
        ("task", 2, [0, 1000, 900, 100, 0, 0], ""),
        ("domain", 2, [0, 2000], "for class 1, one of 2."),
        ("domain", 2, [500, 1500], ""),
        ("class", 1, (), ""),
    ],
)
def test_a_collapse_is_one_class_of_several_that_could_be_predicted(scenario, task, counts, told):
    found = collapse(stream_of(scenario)[task - 1], counts)
    assert told in found and bool(found) == bool(told)


def test_where_there_is_one_class_there_is_no_collapse():
    alone = stream_of(tasks=6)
    assert not collapse(alone[0], [2000, 0, 0, 0, 0, 0])
    assert "for class 1, one of 2" in collapse(alone[1], [0, 2000, 0, 0, 0, 0])


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("part", ["pixels", "critic"])
def test_weights_that_are_no_numbers_end_the_task_with_a_sentence(part):
    stream = stream_of()
    model = begun(stream)
    model.begin_task(stream[1])
    weight = getattr(model.memory.generator, part).trainable_variables[-1]
    weight.assign(weight * np.nan)
    with pytest.raises(Diverged, match="generator's weights are no longer finite after task 2"):
        model.end_task(stream[1])


def test_images_that_are_no_pixels_are_refused_with_their_range():
    arrays = blobs([5] * 6, dtype=np.float32)
    arrays["x_train"][3, 0, 0], arrays["x_train"][5, 1, 1] = -1.5, 3.0
    stream = stream_of(source=sources.from_arrays(**arrays))
    with pytest.raises(InputError, match=r"pixels are in \[0, 1\].*go from -1.5 to 3; scale them first"):
        GANMemory(stream, **OWN).require_images(stream)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"labels": "condition", "conditional": False},
            "conditional generator was asked for; this one is none",
        ),
        ({"labels": "sotf"}, "labels 'sotf' is not known.*Did you mean soft"),
        ({"weighting": "shares"}, "weighting 'shares' is not known.*Did you mean share"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"critic_steps": 0}, "critic_steps is 0; it must be at least 1"),
        ({"form": "convolution"}, "form 'convolution' is not known"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        GANMemory(stream_of(), **options)


def test_in_the_domain_incremental_scenario_a_condition_is_no_label():
    with pytest.raises(InputError, match="in the domain-incremental scenario it generates by task"):
        GANMemory(stream_of("domain"), labels="condition")
