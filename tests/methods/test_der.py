"""DER and DER++: whole steps against float64, the logits that are kept, and what is refused."""

import numpy as np
import pytest
from replays import CAPACITY, B, R, assert_close, at_task, batch_of, entropies, gradient, logits, step

from keras_cl.errors import InputError
from keras_cl.memories import Herding
from keras_cl.methods import DER, DERpp, Finetune


def kept(model, seed=5):
    """Gives the model random old logits, and returns them."""
    z = np.random.default_rng(seed).normal(size=model.z.shape).astype(np.float32)
    model.z.assign(z)
    return z.astype(float)


def expected_step(model, batch, z, alpha, beta=0.0, reduction="mean"):
    """Gradient of eqs. 5 and 6, by hand."""
    weights = model.network.get_weights()
    weight = batch.weight.numpy().astype(float)
    h, (_, delta) = logits(batch, weights), entropies(model, batch, weights)
    total = np.zeros_like(delta)
    total[:B] += delta[:B] * (weight[:B] / weight[:B].sum())[:, np.newaxis]
    first = slice(B, B + R)
    difference = 2 * (h[first] - z[batch.drawn.numpy()[:R]])
    difference /= difference.shape[1] if reduction == "mean" else 1
    total[first] += alpha * difference * (weight[first] / max(1, weight[first].sum()))[:, np.newaxis]
    if beta:
        second = slice(B + R, B + 2 * R)
        share = weight[second] / max(1, weight[second].sum())
        total[second] += beta * delta[second] * share[:, np.newaxis]
    return gradient(batch, total)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("held", [R, 1, 0])
@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_a_step_of_der_is_that_of_its_equation(scenario, held, reduction):
    model = at_task(3, DER, scenario, alpha=0.7, reduction=reduction, head="seen")
    batch = batch_of(3, held=held, scenario=scenario)
    expected = expected_step(model, batch, kept(model), 0.7, reduction=reduction)
    assert_close(step(model, batch), expected, atol=5e-6)


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.3), (0.0, 0.4), (0.9, 0.0)])
@pytest.mark.parametrize("held", [R, 1, 0])
def test_a_step_of_derpp_is_that_of_its_equation(alpha, beta, held):
    model, batch = at_task(3, DERpp, alpha=alpha, beta=beta, head="seen"), batch_of(3, draws=2, held=held)
    expected = expected_step(model, batch, kept(model), alpha, beta)
    assert_close(step(model, batch), expected, atol=5e-6)


@pytest.mark.parametrize(("method", "draws"), [(DER, 1), (DERpp, 2)])
def test_without_its_terms_a_step_is_that_of_fine_tuning(method, draws):
    off = {"alpha": 0.0} if method is DER else {"alpha": 0.0, "beta": 0.0}
    batch = batch_of(3, draws=draws)
    assert_close(
        step(at_task(3, method, head="seen", **off), batch),
        step(at_task(3, Finetune, memory=None), batch.current),
    )


@pytest.mark.parametrize(("method", "draws"), [(DER, 1), (DERpp, 2)])
def test_in_the_class_incremental_scenario_classes_to_come_are_held_down(method, draws):
    off = {"alpha": 0.0} if method is DER else {"alpha": 0.0, "beta": 0.0}
    bias = {
        head: step(at_task(2, method, head=head, **off), batch_of(2, draws))[1] for head in ("all", "seen")
    }
    assert (bias["all"][4:] > 0).all()  # what a step takes off the logits of the third task's classes
    assert not bias["seen"][4:].any()


def test_rows_whose_answers_have_not_changed_do_not_matter():
    model, batch = at_task(3, DER, alpha=1000.0, head="seen"), batch_of(3)
    h = logits(batch, model.network.get_weights())
    z = model.z.numpy()
    z[batch.drawn.numpy()] = h[B:]
    model.z.assign(z)
    plain = step(at_task(3, Finetune, memory=None), batch.current)
    assert_close(step(model, batch), plain, atol=1e-3)  # 1000 times what float32 leaves of zero


@pytest.mark.parametrize("head", ["all", "seen"])
@pytest.mark.parametrize(("method", "draws"), [(DER, 1), (DERpp, 2)])
def test_the_logits_kept_are_those_before_the_update_and_no_others_change(method, draws, head):
    model, batch = at_task(2, method, head=head), batch_of(2, draws=draws)
    z = kept(model)
    h = logits(batch, model.network.get_weights())
    step(model, batch)
    found = model.z.numpy()
    np.testing.assert_allclose(found[[0, 2]], h[[0, 2]], rtol=0, atol=1e-6)  # see `stored` of the batch
    others = [1, 3, 4, 5]
    np.testing.assert_array_equal(found[others], z[others].astype(np.float32))
    assert not found[CAPACITY].any()


def test_a_row_is_compared_with_what_was_kept_when_it_was_stored():
    """Through the whole pipeline, with weights that do not change: every replayed row has its own logits."""
    model = at_task(1, DER, alpha=1.0, rate=1e-12)
    from replays import stream_of

    task = stream_of()[0]
    before = model.network.get_weights()
    model.fit(model.batches(task, 4, replay_batch_size=3), epochs=3, verbose=0)
    x, _, _ = model.memory.rows()
    np.testing.assert_allclose(model.z.numpy()[: len(x)], x @ before[0] + before[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (DER, {"alpha": -1.0}, "alpha is -1.0; it must not be negative"),
        (DER, {"reduction": "men"}, "reduction 'men' is not known.*Did you mean mean"),
        (DER, {"memory": None}, "replays from a memory; give it one"),
        (DER, {"memory": Herding}, "offers them as they come"),
        (DERpp, {"beta": -0.5}, "beta is -0.5; it must not be negative"),
        (DERpp, {"memory": None}, "replays from a memory; give it one"),
    ],
)
def test_what_cannot_be_used_is_refused(method, options, message):
    with pytest.raises(InputError, match=message):
        at_task(1, method, **options)
