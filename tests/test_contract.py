"""The contract of methods: every law of `keras_cl.check`, for every method file, without a test of its own.

Tracing takes time, so here a few methods are traced, in their last scenario, and all others learn eagerly;
one law says that both are the same. The slow tests trace every method in every scenario.
"""

import functools
import json

import pytest
import tf_keras as keras

from keras_cl import train
from keras_cl.check import laws, placement, programs
from keras_cl.check.laws import LAWS
from keras_cl.check.subject import Subject, has_strength
from keras_cl.report import figures
from keras_cl.runs import samples, saved_model
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model
from keras_cl.settings.config import SCENARIOS

METHODS = catalog.names("method")
# For the others see test_strategy.py and test_placement.py.
SOLITARY = [law for law in LAWS if law.check not in (laws.two_devices, placement.other_device)]
# What is compiled or exported takes time, and is quick for a few methods: the plain step, a penalty, draws
# from a memory, a projection, a generator, gates. The slow tests do it for all methods, in every scenario.
EXPENSIVE = (
    laws.xla_is_graph,
    laws.eager_is_graph,
    placement.compiles_for_a_gpu,
    programs.one_program,
    laws.exports,
    laws.exports_the_network,
    laws.holds_heads,
)
FEW = ("finetune", "ewc", "er", "gem", "rtf", "hat", "icarl")


def claimed(method):
    """The scenarios that a method claims to make sense in."""
    return catalog.choice("method", method).constants.get("scenarios", SCENARIOS)


class Quick(Subject):
    """A subject that takes less time: runs by the command are not traced and leave no figures or SavedModels,
    and nothing is compiled to be compared with fine-tuning."""

    runs_eagerly = True
    how = {"eagerly": True}

    def command(self, folder):
        with pytest.MonkeyPatch.context() as patch:
            for module in (figures, samples):
                patch.setattr(module, "draw", lambda *_: None)
            for name in ("export", "export_generator"):
                patch.setattr(saved_model, name, described)
            patch.setattr(train, "make_model", eager_model)
            super().command(folder)


def described(model, task, folder, description):
    """In place of a SavedModel, what is written beside it."""
    (folder / saved_model.DESCRIPTION).write_text(json.dumps(description))


def eager_model(*given):
    model = make_model(*given)
    model.run_eagerly = True
    return model


def subjects_of(kind, factory, eager):
    """Function of a method that gives its subject, made once."""

    @functools.cache
    def subject(method):
        finetuned = None if method == "finetune" else subject("finetune")
        options = OPTIONS.get(method, {})
        given = {"options": options, "eager": eager(method), "finetuned": finetuned}
        return kind(method, factory.mktemp(method), **given, **SETTINGS.get(method, {}))

    return subject


# A generator that learns by itself needs two epochs to be seen to begin anew in each.
OPTIONS = {"generative_replay": {"memory.epochs": 2}}
SETTINGS = {"dgr_distill": {"memory": "gan"}}  # `dgr` has the other generator


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return subjects_of(
        Quick,
        tmp_path_factory,
        lambda method: claimed(method)[: -1 if method in FEW else None],
    )


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    return subjects_of(Subject, tmp_path_factory, lambda method: ())


def put(law, subject, scenario):
    """Checks a law; skips the test where the law says nothing about the method."""
    try:
        law.check(subject, scenario) if law.everywhere else law.check(subject)
    except laws.DoesNotApply as reason:
        pytest.skip(str(reason))


def cases(wanted):
    """Parameters of all laws, methods and scenarios for which `wanted(law, method, scenario)` is true."""
    return [
        pytest.param(law, method, scenario, id=f"{law.check.__name__}-{method}-{scenario}".rstrip("-"))
        for method in METHODS
        for law in SOLITARY
        for scenario in (claimed(method) if law.everywhere else [""])
        if applies(law, method) and wanted(law, method, scenario)
    ]


def applies(law, method):
    """Whether a law says something about a method: some are about the option strength."""
    about_strength = law.check in (laws.strength_0_is_finetune, laws.first_task_is_finetune)
    return not about_strength or has_strength(method)


def is_quick(law, method, scenario):
    last = scenario in ("", claimed(method)[-1])
    return law.check not in EXPENSIVE or (last and method in FEW)


@pytest.mark.parametrize(("law", "method", "scenario"), cases(is_quick))
def test_every_method_keeps_every_law(law, method, scenario, quick):
    put(law, quick(method), scenario)


@pytest.mark.slow
@pytest.mark.parametrize(("law", "method", "scenario"), cases(lambda *_: True))
def test_every_method_keeps_every_law_traced_in_every_scenario(law, method, scenario, traced):
    put(law, traced(method), scenario)


AUGMENTED = {"augment": ("crop", "jitter", "mixup"), "options": {"augment.crop.padding": 1}}


@pytest.fixture(scope="module")
def augmented(tmp_path_factory):
    return Quick("er", tmp_path_factory.mktemp("augmented"), eager=SCENARIOS, **AUGMENTED)


@pytest.mark.parametrize("law", [laws.learns, laws.repeats, laws.resumes])
def test_an_augmented_run_repeats_and_resumes(law, augmented):
    (found,) = (one for one in LAWS if one.check is law)
    assert augmented.trained("task").model.augment.parts
    put(found, augmented, "task")


@pytest.mark.slow
@pytest.mark.parametrize("law", [laws.one_trace, laws.xla_is_graph, placement.compiles_for_a_gpu])
def test_an_augmented_step_is_compiled_as_any_other(law, tmp_path):
    (found,) = (one for one in LAWS if one.check is law)
    put(found, Subject("er", tmp_path, **AUGMENTED), "class")


@pytest.mark.parametrize("method", METHODS)
def test_a_network_without_a_hessian_says_why(method, quick):
    """That is one which does not answer by the logits of the images alone."""
    network = quick(method).trained(claimed(method)[-1]).model.network
    plain = len(network.inputs) == 1 and isinstance(network.layers[-1], keras.layers.Dense)
    assert plain != bool(catalog.choice("method", method).constants.get("no_curvature"))
