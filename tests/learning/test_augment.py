"""Augmentation: against NumPy on the same numbers, which rows and labels it takes, and when it repeats."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs
from scipy import stats

from keras_cl import memories, methods, networks, sources, streams
from keras_cl.errors import InputError
from keras_cl.learning import augment, batches
from keras_cl.learning.augmenting import Augmenter
from keras_cl.learning.batches import Batch
from keras_cl.learning.mixing import permutation
from keras_cl.numerics.random import random_uniform

N = 24
KINDS = {  # images and their largest value
    "bytes": (np.uint8, (7, 6, 1), 255.0),
    "colour": (np.uint8, (8, 8, 3), 255.0),
    "digits": (np.float32, (8, 8, 1), 16.0),
    "floats": (np.float32, (6, 9, 3), 1.0),
    "halves": (np.float16, (5, 5, 3), 1.0),
}


def images(kind, seed=0):
    dtype, shape, top = KINDS[kind]
    x = np.random.default_rng(seed).uniform(0, top, (N, *shape))
    return (np.rint(x) if dtype == np.uint8 else x).astype(dtype), top


def numbers(*shape, seed=0):
    return random_uniform(seed, 1, [*shape]).numpy()


def cropped(x, u, top, padding=2):
    padded = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    corner = (u * (2 * padding + 1)).astype(int)
    H, W = x.shape[1:3]
    return np.stack([p[r : r + H, c : c + W] for p, (r, c) in zip(padded, corner, strict=True)])


def mirrored(x, u, top):
    return np.stack([one[:, ::-1] if v < 0.5 else one for one, (v,) in zip(x, u, strict=True)])


def jittered(x, u, top, changes=(0.4, 1.5, 0.3)):
    made = []
    for one, draws in zip(x.astype(float), u, strict=True):
        b, c, s = (max(1 - k, 0) + v * (1 + k - max(1 - k, 0)) for k, v in zip(changes, draws, strict=True))
        grey = (lambda z: z) if one.shape[-1] == 1 else lambda z: (z @ [0.2989, 0.587, 0.114])[..., None]
        one = np.clip(b * one, 0, top)
        one = np.clip(grey(one).mean() + c * (one - grey(one).mean()), 0, top)
        made.append(one if one.shape[-1] == 1 else np.clip(grey(one) + s * (one - grey(one)), 0, top))
    return np.stack(made)


def cut(x, u, top, size=3, fill=0.25):
    x = x.copy()
    H, W = x.shape[1:3]
    for one, (v, w) in zip(x, u, strict=True):
        r, c = int(v * H) - size // 2, int(w * W) - size // 2
        value = np.rint(fill * top) if x.dtype == np.uint8 else fill * top
        one[max(r, 0) : r + size, max(c, 0) : c + size] = value
    return x


REFERENCES = {
    "crop": (augment.Crop(padding=2), cropped),
    "mirror": (augment.Mirror(), mirrored),
    "jitter": (augment.Jitter(brightness=0.4, contrast=1.5, saturation=0.3), jittered),
    "cutout": (augment.Cutout(size=3, fill=0.25), cut),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFERENCES)
def test_an_augmentation_equals_numpy_on_the_same_numbers(name, kind):
    part, reference = REFERENCES[name]
    x, top = images(kind)
    u = numbers(N, part.numbers)
    found = part(tf.constant(x), tf.constant(u), top).numpy()
    expected = reference(x, u, top)
    assert (expected != x).any()
    if name == "jitter":
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * top)
    else:
        assert found.dtype == x.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_mixup_is_a_weighted_mean_of_two_images(kind):
    x, _ = images(kind)
    other, _ = images(kind, seed=1)
    mixed, lam = augment.Mixup(alpha=1.0)(tf.constant(x), tf.constant(other), tf.constant([0.3]))
    np.testing.assert_allclose(lam, 0.3, atol=1e-6)
    np.testing.assert_allclose(mixed, 0.3 * x.astype(float) + 0.7 * other.astype(float), rtol=1e-4)


@pytest.mark.parametrize("uniform", [(0.3, 0.5, 0.5), (0.75, 0.1, 0.9), (1e-7, 0.5, 0.5), (0.96, 0.99, 0.0)])
def test_cutmix_keeps_the_share_of_pixels_that_are_the_images_own(uniform):
    x = np.zeros((3, 10, 8, 2), np.float32) + np.arange(3)[:, np.newaxis, np.newaxis, np.newaxis]
    part = augment.CutMix(alpha=1.0, probability=0.5)
    mixed, lam = part(tf.constant(x), tf.constant(x[[1, 2, 0]]), tf.constant([0.4, *uniform]))
    np.testing.assert_allclose(np.mean(mixed.numpy() == x, axis=(1, 2, 3)), float(lam), atol=1e-6)
    assert set(np.unique(mixed[0])) <= {0.0, 1.0}
    side = np.sqrt(1 - uniform[0])
    whole = (int(10 * side) // 2 * 2) * (int(8 * side) // 2 * 2) / 80  # before it is cut at the edges
    assert 1 - float(lam) <= whole + 1e-6
    if uniform[1:] == (0.5, 0.5):
        np.testing.assert_allclose(1 - float(lam), whole, atol=1e-6)
    unmixed, one = part(tf.constant(x), tf.constant(x[[1, 2, 0]]), tf.constant([0.6, *uniform]))
    assert float(one) == 1
    np.testing.assert_array_equal(unmixed, x)


def test_numbers_have_the_distributions_that_the_papers_say():
    u = numbers(4000, 2)
    ramp = tf.reshape(tf.range(15.0), [1, 3, 5, 1]) + tf.zeros([4000, 1, 1, 1]) + 1
    flipped = augment.Mirror()(ramp, tf.constant(u[:, :1]), 15.0).numpy()[:, 0, 0, 0] != 1
    assert abs(flipped.mean() - 0.5) < 4 * np.sqrt(0.25 / 4000)
    corner = augment.Crop(padding=1)(ramp, tf.constant(u), 15.0).numpy()[:, 1, 2, 0]  # says what was shifted
    assert stats.chisquare(np.unique(corner, return_counts=True)[1]).pvalue > 1e-3
    assert len(np.unique(corner)) == 9
    for alpha in (0.2, 1.0, 5.0):
        part = augment.Mixup(alpha=alpha)
        lam = part.share(tf.constant(u[:, 0])).numpy()
        assert stats.kstest(lam, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_a_permutation_stays_within_its_groups_and_is_any_of_them():
    group = np.array([3, 0, 3, 3, 1, 0, 1, 3, 5])
    counts = np.zeros([9, 9], int)
    for seed in range(200):
        found = permutation(tf.constant(numbers(9, seed=seed)), tf.constant(group)).numpy()
        assert sorted(found) == list(range(9))
        counts[np.arange(9), found] += 1
    np.testing.assert_array_equal(counts > 0, group[:, np.newaxis] == group)
    assert stats.chisquare(counts[0, group == 3]).pvalue > 1e-3
    u = numbers(7)
    np.testing.assert_array_equal(permutation(tf.constant(u)), np.argsort(u))


# ---- which rows, with which numbers ----------------------------------------------------------------------


def batch(current=6, replayed=4, kind="colour", task=None):
    x, _ = images(kind)
    n = current + replayed
    drawn = tf.zeros(replayed, tf.int32) if replayed else None
    task = tf.zeros(n, tf.int32) if task is None else tf.constant(task)
    return Batch(tf.constant(x[:n]), tf.range(n), task, tf.ones(n), drawn=drawn)


def augmented(names, rows="both", seed=3, index=2, steps=1, by_task=False, given=None, compiled=None):
    """The batches of some steps of a task."""
    made = Augmenter(names, rows)
    made.reseed(seed, index)
    made._top = 255.0
    step = made if compiled is None else tf.function(made, jit_compile=compiled)
    return [step(given or batch(), by_task) for _ in range(steps)]


@pytest.mark.parametrize("names", [["crop", "mirror"], ["jitter"], ["mixup"], ["cutmix"]])
def test_only_the_rows_that_were_asked_for_are_augmented(names):
    names = [augment.CutMix(probability=1.0) if name == "cutmix" else name for name in names]
    plain = batch().x.numpy()

    def images(rows="both", given=None):
        return np.stack([made.x.numpy() for made in augmented(names, rows, steps=4, given=given)])

    both = images()
    assert (both[:, :6] != plain[:6]).any() and (both[:, 6:] != plain[6:]).any()
    for rows, own, others in (
        ("current", slice(0, 6), slice(6, 10)),
        ("replayed", slice(6, 10), slice(0, 6)),
    ):
        found = images(rows)
        np.testing.assert_array_equal(found[:, own], both[:, own])
        assert (found[:, others] == plain[others]).all()
    # Replayed rows change nothing of the others.
    np.testing.assert_array_equal(images(given=batch(replayed=0)), both[:, :6])
    assert (images("replayed", batch(replayed=0)) == plain[:6]).all()


def test_numbers_depend_on_seed_task_and_step_alone():
    names = ["crop", "mirror", "jitter", "mixup"]
    first = [made.x.numpy() for made in augmented(names, steps=4)]
    assert_same(first, [made.x.numpy() for made in augmented(names, steps=4)])
    others = [augmented(names, seed=4), augmented(names, index=1), augmented(names, steps=2)[1:]]
    assert all((other[0].x.numpy() != first[0]).any() for other in others)


def test_compiled_steps_have_the_images_of_eager_ones():
    names = ["jitter", "crop", augment.Cutout(size=3), "mirror", "mixup"]
    both = augmented(names, steps=3), augmented(names, steps=3, compiled=True)
    for one, other in zip(*both, strict=True):
        np.testing.assert_allclose(one.x, other.x, atol=1e-3)
        np.testing.assert_array_equal(one.mixed_y, other.mixed_y)


def test_the_order_of_the_list_is_the_order_of_the_changes():
    one, other = (augmented(names)[0].x.numpy() for names in (["cutout", "crop"], ["crop", "cutout"]))
    assert (one != other).any()


def test_rows_are_mixed_with_rows_of_their_kind_and_task_and_labels_say_so():
    task = np.array([0, 1, 0, 1, 0, 0, 2, 2, 3, 3], np.int32)
    seen = set()
    for made in augmented(["mixup"], steps=20, by_task=True, given=batch(task=task)):
        lam, partner, plain = made.lam.numpy(), made.mixed_y.numpy(), batch().x.numpy().astype(float)
        np.testing.assert_array_equal(task[partner], task)
        assert ((partner < 6) == (np.arange(10) < 6)).all()
        assert len({*lam[:6]}) == len({*lam[6:]}) == 1 and lam[0] != lam[6]
        share = lam[:, np.newaxis, np.newaxis, np.newaxis]
        np.testing.assert_allclose(made.x, share * plain + (1 - share) * plain[partner], rtol=1e-4)
        assert_same(made.current[1:4], [part[:6] for part in made[1:4]])
        np.testing.assert_array_equal(made.current.mixed_y, partner[:6])
        np.testing.assert_array_equal(made.replayed().lam, lam[6:])
        seen |= set(zip(range(10), partner.tolist(), strict=True))
    assert {(0, 0), (0, 2), (0, 4), (0, 5)} <= seen


def test_soft_labels_of_replayed_rows_are_mixed_too():
    target = np.random.default_rng(0).dirichlet(np.ones(5), 4).astype(np.float32)
    (made,) = augmented(["mixup"], given=batch()._replace(target=tf.constant(target)))
    lam, partner = float(made.lam[6]), made.mixed_y.numpy()[6:] - 6
    np.testing.assert_allclose(made.target, lam * target + (1 - lam) * target[partner], rtol=1e-5)


# ---- methods ---------------------------------------------------------------------------------------------

COLOUR = {"shape": (8, 8, 3)}
STREAM = streams.split(sources.from_arrays(**blobs((9, 9, 9, 9), **COLOUR)), tasks=2, scenario="class")
INITIAL = {"kernel_initializer": keras.initializers.GlorotUniform(1)}


def linear(stream=STREAM):
    layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(stream.num_classes, **INITIAL)])


def model_of(method, names=("crop", "mirror"), stream=STREAM, **options):
    if method in (methods.ER, methods.DER, methods.DERpp):
        options = {"memory": memories.Reservoir(stream, capacity=10), **options}
    model = method(linear(stream), augment=names, **options)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True, jit=False)
    return model


def learn(model, stream=STREAM, tasks=slice(None)):
    for task in stream[tasks]:
        model.begin_task(task)
        model.fit(model.batches(task, 6), verbose=0)
        model.end_task(task)
    return model.network.get_weights()


@pytest.mark.parametrize("chunk", [1, 2])
def test_weights_do_not_depend_on_how_many_steps_a_call_has(chunk, monkeypatch):
    whole = learn(model_of(methods.Finetune, ("crop", "jitter", "mixup")))
    monkeypatch.setattr(batches, "chunk_length", lambda *_: chunk)
    assert_same(learn(model_of(methods.Finetune, ("crop", "jitter", "mixup"))), whole)


def test_nothing_is_added_to_a_step_without_augmentation():
    model = model_of(methods.ER, ())
    given = batch()
    assert model.augmented(given) is given
    plain, made = (len(model_of(methods.ER, names).variables) for names in ((), ("crop",)))
    assert plain == made  # and nothing to a checkpoint


def test_a_memory_stores_rows_as_they_are():
    model = model_of(methods.ER, ("crop", "jitter"))
    learn(model)
    known = {image.tobytes() for task in STREAM for image in task.train.open()[0]}
    x, *_ = model.memory.rows()
    assert len(x) == 10 and all(image.tobytes() in known for image in x)


def test_a_generator_learns_rows_as_they_are():
    stream = streams.split(sources.from_arrays(**blobs((9, 9, 9, 9))), tasks=2, scenario="class")
    vae = memories.VAEMemory(stream, hidden=(4,), latent=2)
    network = networks.mlp(stream, hidden=(4,))
    model = methods.DGR(network, memory=vae, augment=[augment.Crop(padding=1), "jitter"])
    model.compile("sgd", run_eagerly=True, jit=False)
    seen = {"step": [], "generator": []}
    step, learned = model.train_step, vae.learn
    model.train_step = lambda batch: seen["step"].append(batch.x.numpy()) or step(batch)
    vae.learn = lambda batch: seen["generator"].append(batch.x.numpy()) or learned(batch)
    known = {image.astype(np.float32).tobytes() for task in stream for image in task.train.open()[0]}
    for task in stream:
        model.begin_task(task)
        model.fit(model.batches(task, 6), verbose=0)
        model.end_task(task)
    raw = [image for x in seen["generator"] for image in x[:6].astype(np.float32)]
    assert all(image.tobytes() in known for image in raw)
    changed = [image for x in seen["step"] for image in x.astype(np.float32)]
    assert sum(image.tobytes() in known for image in changed) < len(changed) / 4
    assert seen["step"][-1].shape == seen["generator"][-1].shape == (12, 4, 4, 1)


def test_dark_experience_keeps_the_logits_of_the_augmented_batch():
    model = model_of(methods.DER, ("jitter",), reduction="mean")
    seen = []
    step = model.train_step

    def watched(given):
        seen.append((given.stored.numpy(), model.network(given.current.x).numpy()))
        return step(given)

    model.train_step = watched
    learn(model, tasks=slice(1))
    slots, logits = seen[-1]
    np.testing.assert_allclose(model.z.numpy()[slots[slots >= 0]], logits[slots >= 0], rtol=1e-5)


def test_a_teacher_sees_the_images_of_the_student():
    model = model_of(methods.LwF, ("crop", "jitter"))
    learn(model, tasks=slice(1))
    seen = []
    teacher, network = model.teacher.call, model.network.call
    model.teacher.call = lambda x, *a, **k: seen.append(x) or teacher(x, *a, **k)
    model.network.call = lambda x, *a, **k: seen.append(x) or network(x, *a, **k)
    model.begin_task(STREAM[1])
    model.fit(model.batches(STREAM[1], 6), verbose=0)
    for one, other in zip(seen[::2], seen[1::2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(seen) == 6


def entropy(model, batch, y):
    """float64: the cross entropy of each row, among the classes of its task."""
    weights = model.network.get_weights()
    z = batch.x.numpy().reshape(len(batch.x), -1) / 255.0 @ weights[0].astype(float) + weights[1]
    z = np.where(model._class_mask.numpy()[batch.task.numpy()], z, -np.inf)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), y]


def test_the_loss_of_a_mixed_row_has_both_labels():
    stream = streams.split(sources.from_arrays(**blobs((9, 9, 9, 9), **COLOUR)), tasks=2, scenario="task")
    model = model_of(methods.Finetune, ("mixup",), stream)
    model.begin_task(stream[0])
    x, y = (np.concatenate(parts) for parts in zip(*(task.train.open() for task in stream), strict=True))
    task = np.repeat([0, 1], 18)[::4]
    parts = x[::4], y[::4].astype(np.int32), task.astype(np.int32), np.ones(9, np.float32)
    given = Batch(*map(tf.constant, parts))
    mixed = model.augmented(given)
    lam = mixed.lam.numpy()
    own, other = (entropy(model, mixed, part.numpy()) for part in (mixed.y, mixed.mixed_y))
    loss = model.task_loss(mixed, model.logits(mixed))
    np.testing.assert_allclose(float(loss), np.mean(lam * own + (1 - lam) * other), rtol=1e-5)
    shown = model.results(mixed, model.logits(mixed))
    np.testing.assert_allclose(float(shown["loss"]), float(loss), rtol=1e-5)


def test_targets_of_icarl_are_mixed_as_the_images_are():
    kept = memories.Balanced(STREAM, capacity=8)
    model = methods.ICaRL(linear(), memory=kept, augment=["mixup"], seed=1)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True, jit=False)
    model.begin_task(STREAM[0])
    x, y = (part[::3] for part in STREAM[0].train.open())
    given = Batch(tf.constant(x), tf.constant(y, tf.int32), tf.zeros(6, tf.int32), tf.ones(6))
    mixed = model.augmented(given)
    losses = []
    model.gradients = lambda tape, loss: (
        losses.append(float(loss)) or [tf.zeros_like(v) for v in model.trained]
    )
    model.train_step(mixed)
    for part in (mixed.y, mixed.mixed_y):
        model.train_step(mixed._replace(y=part, lam=None))
    lam = float(mixed.lam[0])
    assert losses[1] != losses[2]
    np.testing.assert_allclose(losses[0], lam * losses[1] + (1 - lam) * losses[2], rtol=1e-5)


def test_gem_augments_what_it_reads_of_its_memory():
    def seen(rows):
        kept = memories.Ring(STREAM, capacity=12)
        model = model_of(methods.GEM, ["jitter"], memory=kept, augment_rows=rows)
        images, gradient = [], model.memory_gradient
        model.memory_gradient = lambda given: images.append(given.x.numpy()) or gradient(given)
        learn(model)
        return images

    plain, changed = seen("current"), seen("both")
    assert len(plain) == len(changed) == 3  # steps of the second task
    assert (plain[0] == plain[1]).all() and plain[0].dtype == np.uint8
    assert (changed[0] != plain[0]).any() and (changed[0] != changed[1]).any()


# ---- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.Crop(padding=0), "padding is 0; it must be at least 1"),
        (lambda: augment.Jitter(contrast=-1.0), "contrast is -1.0; it must not be negative"),
        (lambda: augment.Cutout(size=0), "size is 0"),
        (lambda: augment.Cutout(fill=2.0), "fill is 2.0; it must be at least 0 and at most 1"),
        (lambda: augment.Mixup(alpha=0.0), "alpha is 0.0; it must be above 0"),
        (lambda: augment.CutMix(probability=0.0), "probability is 0.0"),
        (lambda: Augmenter("crop"), r"augment is a list, as in \['crop'\]"),
        (lambda: Augmenter(["crp"]), "augment 'crp' is not known; possible: crop, .* Did you mean crop"),
        (lambda: Augmenter([4]), "names augmentations or has them, and 4 is neither"),
        (lambda: Augmenter(["crop", augment.Crop()]), "augment names crop twice"),
        (lambda: Augmenter(["mixup", "cutmix"]), "augment has mixup and cutmix, .* give one of them"),
        (lambda: Augmenter(["crop"], "new"), "augment_rows 'new' is not known"),
        (lambda: model_of(methods.Finetune, augment_rows="replayed"), "the steps of finetune draw no rows"),
        (lambda: model_of(methods.DER, ("mixup",)), "der cannot have mixup: it keeps the logits"),
        (lambda: model_of(methods.Finetune, (augment.Cutout(size=8),)).begin_task(STREAM[0]), "covers 8 x 8"),
    ],
)
def test_what_cannot_be_augmented_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_rows_that_are_no_images_are_refused():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(InputError, match=r"for images \(height, width, channels\), .* have the shape \(3,\)"):
        methods.Finetune(network, augment=["crop"])


def test_jitter_takes_pixels_of_grey_and_colour_images():
    data = blobs((9, 9, 9, 9), shape=(8, 8, 2))
    two = streams.split(sources.from_arrays(**data), tasks=2, scenario="class")
    with pytest.raises(InputError, match="these images have 2 channels"):
        Augmenter(["jitter"]).bind(two)
    data = {k: v if k[0] == "y" else v - 0.5 for k, v in blobs((9, 9), dtype=np.float32).items()}
    centred = streams.split(sources.from_arrays(**data), tasks=1, scenario="class")
    with pytest.raises(InputError, match="jitter is for images with values from 0 to 1, .* scale them first"):
        Augmenter(["jitter"]).bind(centred)
    Augmenter(["crop", "mixup"]).bind(centred)
