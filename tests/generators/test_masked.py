"""Masked layers of a generator: what earlier tasks keep, what masks cost, how the network grows."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_cl.generators.masked import MaskedNetwork, MaskedUnits, MaskedWeights, units_for
from keras_cl.generators.masked_products import FirstMap, Painting, Upsampling, upsampling
from keras_cl.learning.gates import WIDEST, attention, share_used, sharpness

LATENT, HIDDEN, PIXELS, TASKS, SHARPEST = 3, (4, 3), 5, 4, 400.0
CODES = LATENT + TASKS  # each task has one class
IMAGE = (5, 4, 2)  # of a convolutional generator: from 2x1 to 8x4, of which a border is cut off
every_kind = pytest.mark.parametrize("kind", [MaskedUnits, MaskedWeights])
every_form = pytest.mark.parametrize("form", ["dense", "conv"])


def network_of(kind, limit=100, hidden=HIDDEN, form="dense"):
    pixels, products = PIXELS, ()
    if form == "conv":
        pixels, products = int(np.prod(IMAGE)), upsampling(IMAGE, len(hidden))
    sizes = {"tasks": TASKS, "limit": limit, "kind": kind, "sharpest": SHARPEST, "seed": 1}
    network = MaskedNetwork(LATENT, TASKS, hidden, pixels, products=products, **sizes)
    network.home.assign(np.eye(TASKS))
    return network


def inputs_of(*tasks):
    z = np.random.default_rng(7).normal(size=[len(tasks), LATENT])
    return [tf.constant(z, tf.float32), tf.one_hot(tasks, TASKS)]


def learn(network, *tasks, steps=12, cost=0.0, blocked=True):
    """Fits the current output to random targets, with fresh Adams, as s rises to its maximum."""
    for task in tasks:
        rng, optimizer = np.random.default_rng(task), keras.optimizers.Adam(0.1)
        network.begin()
        for layer in network.masked_layers:  # some open, some closed
            layer.embedding.assign(rng.normal(0.5, 1, layer.shape_of_mask()))
        x, wanted = (
            inputs_of(*[task] * 8),
            tf.constant(rng.normal(size=[8, network.bias.shape[0]]), tf.float32),
        )
        for step in range(steps):
            s = sharpness(step / steps, SHARPEST)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((network.current(x, s) - wanted) ** 2) + cost * network.used(s)
            gradients = tape.gradient(loss, network.trainable_variables)
            gradients = network.blocked(gradients) if blocked else gradients
            optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
            network.hold()
        network.end(task)
    return network


def generated(network, task, rows=6):
    return network(inputs_of(*[task] * rows)).numpy()


def opened(network, *masks):
    """Sets the embeddings of the current task, by layer."""
    for layer, mask in zip(network.masked_layers, masks, strict=True):
        layer.embedding.assign(
            np.broadcast_to(2 * WIDEST * np.array(mask, np.float32) - WIDEST, layer.shape_of_mask())
        )


def first(network, *counts):
    """Masks that are open for the first units of each layer."""
    return [
        np.arange(layer.units) < count for layer, count in zip(network.masked_layers, counts, strict=True)
    ]


# ---- X1, X5: what earlier tasks keep -----------------------------------------------------------------------


@every_form
@every_kind
def test_later_tasks_change_no_bit_of_what_earlier_ones_generate(kind, form):
    network = learn(network_of(kind, form=form), 0)
    after = [generated(network, 0)]
    for task in (1, 2, 3):
        learn(network, task)
        after.append(generated(network, task))
        for earlier in range(task):
            np.testing.assert_array_equal(generated(network, earlier), after[earlier])
    assert min(np.abs(one).max() for one in after) > 0.01
    assert np.abs(after[1] - after[0]).max() > 0.1


@every_form
@every_kind
def test_without_blocked_gradients_they_would(kind, form):
    network = learn(network_of(kind, form=form), 0)
    before = generated(network, 0)
    learn(network, 1, blocked=False)
    assert np.abs(generated(network, 0) - before).max() > 1e-3


@every_form
@every_kind
def test_rows_of_several_tasks_are_those_of_each(kind, form):
    network = learn(network_of(kind, form=form), 0, 1, 2)
    mixed = network(inputs_of(0, 1, 2, 2, 1, 0)).numpy()
    for row, task in enumerate([0, 1, 2, 2, 1, 0]):
        np.testing.assert_allclose(mixed[row], generated(network, task)[row], rtol=1e-5, atol=1e-6)


@every_form
@every_kind
def test_the_images_of_a_finished_task_are_those_of_its_binary_masks(kind, form):
    network = network_of(kind, form=form)
    network.begin()
    opened(network, *first(network, 3, 2))
    x = inputs_of(*[0] * 6)
    current = network.current(x, SHARPEST)
    network.end(0)
    np.testing.assert_allclose(generated(network, 0), current, rtol=1e-5, atol=1e-6)
    assert network.masked_layers[0].masks().numpy()[0].any(axis=-1).any()


def test_gradients_of_units_in_use_are_exactly_zero():
    network = network_of(MaskedUnits)
    network.begin()
    opened(network, *first(network, 2, 1))
    network.end(0)
    passed = network.blocked([tf.ones(v.shape) for v in network.trainable_variables])
    by_name = {v.ref(): g.numpy() for v, g in zip(network.trainable_variables, passed, strict=True)}
    one, two = network.masked_layers
    assert (by_name[one.kernel.ref()] == ~first(network, 2, 1)[0]).all()  # of an input, all weights of a unit
    np.testing.assert_array_equal(by_name[one.bias.ref()], ~first(network, 2, 1)[0])
    both = np.outer(*first(network, 2, 1))
    np.testing.assert_array_equal(by_name[two.kernel.ref()], ~both)
    free = [one.embedding, two.embedding, network.kernel, network.bias]
    assert all((by_name[v.ref()] == 1).all() for v in free)


def test_gradients_of_weights_in_use_are_exactly_zero():
    network = network_of(MaskedWeights)
    network.begin()
    used = np.zeros(network.masked_layers[0].shape_of_mask(), bool)
    used[0, 1] = used[2, 0] = True
    opened(network, used, False)
    network.end(0)
    passed = network.blocked([tf.ones(v.shape) for v in network.trainable_variables])
    by_name = {v.ref(): g.numpy() for v, g in zip(network.trainable_variables, passed, strict=True)}
    one, two = network.masked_layers
    np.testing.assert_array_equal(by_name[one.kernel.ref()], ~used)
    assert by_name[two.kernel.ref()].all()


@every_kind
def test_a_task_begins_with_new_embeddings_and_a_new_output_layer(kind):
    network = network_of(kind)
    before = [network.kernel.numpy(), network.bias.numpy()]
    learn(network, 0)
    assert np.abs(network.kernel.numpy() - before[0]).max() > 1e-3
    network.begin()
    np.testing.assert_array_equal(network.kernel, before[0])
    np.testing.assert_array_equal(network.bias, before[1])
    assert not any(layer.embedding.numpy().any() for layer in network.masked_layers)


# ---- X4, X6 and golden values of masks ---------------------------------------------------------------------


def test_a_mask_and_its_compensated_gradient_have_the_known_values():
    s, e = sharpness(0.5, 400.0), tf.constant(0.01)
    assert s == pytest.approx(200.00125)
    with tf.GradientTape() as tape:
        tape.watch(e)
        m = attention(e, s, 400.0)
    assert float(m) == pytest.approx(0.8807984, abs=1e-6)
    found = float(tape.gradient(m, e))
    assert found == pytest.approx(99.9975, abs=1e-3)
    factor = (400 / s) * (np.cosh(s * 0.01) + 1) / (np.cosh(0.01) + 1)  # as the paper writes it
    assert factor == pytest.approx(4.7620922, abs=1e-6)
    assert found == pytest.approx(factor * s * float(m) * (1 - float(m)), rel=1e-4)


def test_the_compensated_gradient_does_not_depend_on_s():
    e, up = tf.constant([-4.0, -0.1, 0.0, 0.3, 6.0]), tf.constant([1.0, -2.0, 0.5, 3.0, 1.0])
    wanted = up * 400 * tf.sigmoid(e) * (1 - tf.sigmoid(e))
    for s in (1 / 400, 1.0, 40.0, 400.0):
        with tf.GradientTape() as tape:
            tape.watch(e)
            total = tf.reduce_sum(up * attention(e, s, 400.0))
        np.testing.assert_allclose(tape.gradient(total, e), wanted, rtol=1e-4)


@every_kind
def test_masks_become_binary_as_s_rises(kind):
    network = network_of(kind)
    rng, layer = np.random.default_rng(0), network.masked_layers[0]
    e = rng.choice([-1, 1], layer.shape_of_mask()) * rng.uniform(0.1, WIDEST, layer.shape_of_mask())
    layer.embedding.assign(e.astype(np.float32))
    there = layer.existing(tf.ones(CODES)).numpy()
    apart = [
        np.abs(network.gates(sharpness(p, SHARPEST))[0].numpy() - (e > 0) * there).max() for p in (0, 0.1, 1)
    ]
    assert apart[0] > 0.49 and apart[1] < 0.02 and apart[2] < 1e-6


def test_embeddings_stay_within_bounds():
    network = network_of(MaskedUnits)
    network.masked_layers[0].embedding.assign(np.linspace(-50, 50, network.masked_layers[0].units))
    network.hold()
    e = network.masked_layers[0].embedding.numpy()
    assert e.min() == -WIDEST and e.max() == WIDEST


# ---- X3, X8: what masks cost -----------------------------------------------------------------------------


def test_the_share_of_free_capacity_has_the_known_value():
    m, r = tf.constant([0.2, 0.6, 0.9, 0.4]), tf.constant([1.0, 0.0, 0.0, 1.0])
    assert float(share_used([m], [1 - r])) == pytest.approx(0.75)


@every_kind
def test_only_free_units_that_exist_cost_something(kind):
    network = network_of(kind)
    network.begin()
    assert float(network.used(1.0)) == pytest.approx(0.5)  # in the first task the mean of the masks
    opened(network, *first(network, 2, 1))
    network.end(0)
    same = [layer.reserved.numpy() for layer in network.masked_layers]
    opened(network, *same)
    assert float(network.used(SHARPEST)) == 0
    opened(network, True, True)
    assert float(network.used(SHARPEST)) == pytest.approx(1)
    same[0][..., 2] = 1
    opened(network, *same)
    more = 1 if kind is MaskedUnits else CODES  # one unit, or its weights, beyond those in use
    assert float(network.used(SHARPEST)) == pytest.approx(more / sum(network.free))


@every_form
@every_kind
def test_a_cost_makes_a_task_reserve_less(kind, form):
    free, costly = (learn(network_of(kind, form=form), 0, steps=20, cost=cost) for cost in (0.0, 10.0))
    used = [sum(float(tf.reduce_sum(layer.reserved)) for layer in n.masked_layers) for n in (free, costly)]
    assert used[0] > used[1]


# ---- X2, X7: growth ----------------------------------------------------------------------------------------


def test_as_many_units_are_free_after_every_task():
    network = network_of(MaskedUnits)
    for task in range(TASKS - 1):
        network.begin()
        opened(network, *first(network, 2 + 2 * task, 1 + task))
        network.end(task)
        assert network.free == list(HIDDEN)
    assert network.sizes == [4 + 6, 3 + 3]


def test_never_fewer_weights_are_free_than_at_first():
    network, rng = network_of(MaskedWeights), np.random.default_rng(0)
    initial = network.free
    assert initial == [CODES * 4, 4 * 3]
    for task in range(TASKS - 1):
        network.begin()
        opened(network, *(rng.uniform(size=layer.shape_of_mask()) < 0.4 for layer in network.masked_layers))
        network.end(task)
        for now, then, layer in zip(network.free, initial, network.masked_layers, strict=True):
            assert now >= then
            assert now < then + 20 or layer is network.masked_layers[1]  # a widened input may give more
    assert network.sizes > list(HIDDEN)


def test_units_for_reserved_weights_have_the_known_numbers():
    assert units_for(3000, 0, 128 * 4 * 4) == 2
    assert units_for(1000, 2 * 16 * 12, 26 * 16) == 2
    assert units_for(100, 384, 416) == 0


def test_weights_grow_by_what_widened_inputs_do_not_give():
    network = network_of(MaskedWeights)
    network.begin()
    one, two = (np.zeros(layer.shape_of_mask(), bool) for layer in network.masked_layers)
    one[:, :2] = True  # all weights of two units: two more units
    two[:4, :3] = True  # 12 weights, of which two more inputs of 3 units give 6: one more unit of 6 inputs
    opened(network, one, two)
    network.end(0)
    assert network.sizes == [4 + 2, 3 + 1]


@every_form
@every_kind
def test_growth_ends_at_the_limit(kind, form):
    network = network_of(kind, limit=5, form=form)
    for task in range(3):
        network.begin()
        opened(network, True, True)
        network.end(task)
    assert network.sizes == [5, 5]
    assert max(network.free) == 0
    learn(network, 3)
    assert np.isfinite(generated(network, 3)).all()


@every_form
@every_kind
def test_units_that_do_not_exist_take_no_part(kind, form):
    small, large = network_of(kind, limit=4, form=form), network_of(kind, form=form)
    for one, other in zip(small.masked_layers, large.masked_layers, strict=True):
        weights = zip(other.weights_of_task(), one.weights_of_task(), strict=True)
        for wide, narrow in weights:
            value = np.full(wide.shape, 3.0, np.float32)
            value[tuple(map(slice, narrow.shape))] = narrow.numpy()
            wide.assign(value)
    value = np.full(large.kernel.shape, 3.0, np.float32)
    value[..., : small.kernel.shape[-2], :] = small.kernel.numpy()
    large.kernel.assign(value)
    x = inputs_of(*[0] * 6)
    np.testing.assert_allclose(small.current(x, 1.0), large.current(x, 1.0), rtol=1e-5, atol=1e-6)
    assert float(small.used(1.0)) == pytest.approx(float(large.used(1.0)))


# ---- convolutions ------------------------------------------------------------------------------------------


def upsampled(x, kernel):
    """Every position adds its 4x4 to a map of twice the sides, from one row above and left of its 2x2."""
    rows, h, w, _ = x.shape
    y = np.zeros([rows, 2 * h + 2, 2 * w + 2, kernel.shape[-1]])
    for i in range(h):
        for j in range(w):
            y[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum("ri,abin->rabn", x[:, i, j], kernel)
    return y[:, 1:-1, 1:-1]


def test_products_of_a_convolutional_generator_are_their_sums():
    rng = np.random.default_rng(0)
    x, codes = rng.normal(size=[3, 2, 5, 4]), rng.normal(size=[3, 4])
    kernel, first = rng.normal(size=[4, 4, 4, 6]), rng.normal(size=[2, 3, 4, 6])
    x32, codes32, kernel32, first32 = (tf.constant(a, tf.float32) for a in (x, codes, kernel, first))
    np.testing.assert_allclose(Upsampling()(x32, kernel32), upsampled(x, kernel), atol=1e-5)
    maps = np.einsum("ri,hwin->rhwn", codes, first)
    np.testing.assert_allclose(FirstMap([2, 3])(codes32, first32), maps, atol=1e-5)
    cut = upsampled(x, kernel)[:, 1:-2, :-3].reshape(3, -1)
    np.testing.assert_allclose(Painting(6, ((1, 2), (0, 3)))(x32, kernel32), cut, atol=1e-5)


@pytest.mark.parametrize("product", [FirstMap([2, 3]), Upsampling(), Painting(6, ((1, 2), (0, 3)))])
def test_each_row_is_multiplied_by_the_kernel_of_its_task(product):
    rng, tasks = np.random.default_rng(0), [2, 0, 2]
    x = rng.normal(size=[3, 4] if isinstance(product, FirstMap) else [3, 2, 5, 4])
    x, kernels = (tf.constant(a, tf.float32) for a in (x, rng.normal(size=[TASKS, *product.window, 4, 6])))
    found = product.by_task(x, tf.one_hot(tasks, TASKS), kernels).numpy()
    for row, task in enumerate(tasks):
        np.testing.assert_allclose(found[row], product(x, kernels[task])[row], atol=1e-5)


@every_kind
def test_of_convolutions_masks_are_of_channels_or_of_whole_windows(kind):
    network = network_of(kind, form="conv")
    one, two = network.masked_layers
    assert one.kernel.shape == (2, 1, CODES, TASKS * 4) and two.kernel.shape == (4, 4, TASKS * 4, TASKS * 3)
    masks = (
        [(TASKS * 4,), (TASKS * 3,)] if kind is MaskedUnits else [one.kernel.shape[2:], two.kernel.shape[2:]]
    )
    assert [layer.embedding.shape for layer in (one, two)] == masks
    network.begin()
    opened(network, True, True)
    network.end(0)
    passed = network.blocked([tf.ones(v.shape) for v in network.trainable_variables])
    by_name = {v.ref(): g.numpy() for v, g in zip(network.trainable_variables, passed, strict=True)}
    blocked = by_name[two.kernel.ref()][:, :, :4, :3]
    assert not blocked.any() and by_name[two.kernel.ref()].sum() == two.kernel.numpy().size - blocked.size


@every_kind
def test_of_convolutions_the_windows_in_use_are_kept(kind):
    network = network_of(kind, form="conv")
    assert [spec.shape[0] for spec in network.kept if spec.dtype == tf.uint8] == [0, 0]
    kernels = [spec.shape for spec in network.kept if spec.shape.rank == 4]
    assert kernels == [(2, 1, CODES, 4), (4, 4, 4, 3)]
    learn(network, 0)
    used = int(network.masked_layers[1].masks().numpy()[0].reshape(-1, TASKS * 3).any(axis=0).sum())
    assert [spec.shape for spec in network.kept][-2:] == [(4, 4, used, 2), (5 * 4 * 2,)]
