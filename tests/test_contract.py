"""The contract of methods: every law of `keras_cl.check`, for every method file, without a test of its own.

Tracing takes the time, so here a method's steps are traced in its last scenario and learned eagerly in
the others; one law says that both are the same. The slow tests trace them in every scenario.
"""

import functools
import json

import pytest
import tf_keras as keras

from keras_cl.check.laws import LAWS, DoesNotApply, two_devices
from keras_cl.check.subject import Subject
from keras_cl.runs import figures, samples, saved_model
from keras_cl.settings import catalog
from keras_cl.settings.config import SCENARIOS

METHODS = catalog.names("method")
SOLITARY = [law for law in LAWS if law.check is not two_devices]  # for that one see test_strategy.py


def claimed(method):
    """The scenarios that a method claims to make sense in."""
    return catalog.choice("method", method).constants.get("scenarios", SCENARIOS)


class Quick(Subject):
    """A subject whose runs by the command draw no figures and write no SavedModels, which takes time."""

    def command(self, folder):
        with pytest.MonkeyPatch.context() as patch:
            for module in (figures, samples):
                patch.setattr(module, "draw", lambda *_: None)
            for name in ("export", "export_generator"):
                patch.setattr(saved_model, name, described)
            super().command(folder)


def described(model, task, folder, description):
    """In place of a SavedModel, what is written beside it."""
    (folder / saved_model.DESCRIPTION).write_text(json.dumps(description))


def subjects_of(kind, factory, eager):
    """Function of a method that gives its subject, made once."""
    return functools.cache(
        lambda method: kind(method, factory.mktemp(method), options=options(method), eager=eager(method))
    )


def options(method):
    """A generator that learns by itself needs two epochs to be seen to begin anew in each."""
    return {"memory.epochs": 2} if method == "generative_replay" else {}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return subjects_of(Quick, tmp_path_factory, lambda method: claimed(method)[:-1])


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    return subjects_of(Subject, tmp_path_factory, lambda method: ())


def put(law, subject, scenario):
    """Checks a law; skips the test where the law says nothing about the method."""
    try:
        law.check(subject, scenario) if law.everywhere else law.check(subject)
    except DoesNotApply as reason:
        pytest.skip(str(reason))


def cases(methods):
    return [
        pytest.param(law, method, scenario, id=f"{law.check.__name__}-{method}-{scenario}".rstrip("-"))
        for method in methods
        for law in SOLITARY
        for scenario in (claimed(method) if law.everywhere else [""])
    ]


@pytest.mark.parametrize(("law", "method", "scenario"), cases(METHODS))
def test_every_method_keeps_every_law(law, method, scenario, quick):
    put(law, quick(method), scenario)


@pytest.mark.slow
@pytest.mark.parametrize(("law", "method", "scenario"), [case for case in cases(METHODS) if case.values[2]])
def test_every_method_keeps_every_law_traced_in_every_scenario(law, method, scenario, traced):
    put(law, traced(method), scenario)


@pytest.mark.parametrize("method", METHODS)
def test_a_network_without_a_hessian_says_why(method, quick):
    """That is one which does not answer by the logits of the images alone."""
    network = quick(method).trained(claimed(method)[-1]).model.network
    plain = len(network.inputs) == 1 and isinstance(network.layers[-1], keras.layers.Dense)
    assert plain != bool(catalog.choice("method", method).constants.get("no_curvature"))
