"""What is searched, and what a search refuses before any data is read."""

import os
import subprocess
import sys

import numpy as np
import pytest

from keras_cl import metrics
from keras_cl.errors import InputError
from keras_cl.settings import catalog, flags
from tuning import settings, space

SEARCHED = [
    (axis, name, option, values)
    for axis in ("method", "memory", "regime")
    for name in catalog.names(axis)
    for option, values in catalog.choice(axis, name).constants["search"].items()
]


def parsed(*given):
    """The `Search` of some flags; data would not be found."""
    return settings.parse(["search", "--dataset=mnist", "--data_dir=no/such/folder", *given])


# ---- what the files say ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "name", "searched", "values"), SEARCHED)
def test_a_search_constant_names_an_option_and_values_that_it_can_have(axis, name, searched, values):
    known = {option.name: option for option in (*flags.main_options(), *catalog.choice(axis, name).options)}
    for other in catalog.AXES:
        for choice in catalog.names(other):
            known |= {f"{other}.{option.name}": option for option in catalog.choice(other, choice).options}
    option = known[searched]
    if isinstance(values, tuple):
        low, high = values
        assert 0 < low < high and option.kind is float and not option.many
    else:
        assert len(set(values)) == len(values) >= 2
        assert all(isinstance(value, tuple if option.many else option.kind) for value in values)
    possible = catalog.choice(axis, name).constants.get("scenarios") or ("domain",)
    config = flags.parse(["", f"--{axis}={name}", "--stream=split", f"--scenario={possible[-1]}"])
    for value in values:
        flag = searched if searched in {o.name for o in flags.main_options()} else f"{axis}.{searched}"
        space.configured(config, {searched if "." in searched else flag: value})


def test_the_regimes_and_the_regularisers_have_something_to_search():
    assert {name for axis, name, *_ in SEARCHED if axis == "regime"} == set(catalog.names("regime"))
    assert {"ewc", "si", "lwf", "der"} <= {name for axis, name, *_ in SEARCHED if axis == "method"}


def test_every_memory_and_every_method_that_replays_has_something_to_search():
    assert {name for axis, name, *_ in SEARCHED if axis == "memory"} == set(catalog.names("memory"))
    usual = {name: catalog.choice("method", name).constants["usual"] for name in catalog.names("method")}
    replay = {name for name, choices in usual.items() if "memory" in choices} | {"rtf"}
    assert len(replay) == 14
    assert replay <= {name for axis, name, *_ in SEARCHED if axis == "method"}


# ---- the space -------------------------------------------------------------------------------------------


def test_the_space_is_that_of_the_regime_of_the_memory_and_of_the_method():
    assert list(parsed().space) == ["learning_rate", "batch_size", "method.strength"]
    stable = ["learning_rate", "regime.decay", "batch_size", "network.dropout"]
    found = parsed("--method=derpp", "--regime=stable").space
    assert list(found) == [*stable, "replay_batch_size", "method.alpha", "method.beta"]
    found = parsed("--method=gem", "--regime=stable").space  # draws nothing
    assert list(found) == [*stable, "memory.by", "method.margin"]


def test_what_is_given_or_not_there_is_not_searched():
    found = parsed("--learning_rate=0.01", "--method.strength=3", "--regime=stable").space
    assert list(found) == ["regime.decay", "batch_size", "network.dropout"]
    vaes = parsed("--method=generative_classifier", "--scenario=class", "--stream=split", "--regime=stable")
    assert "network.dropout" not in vaes.space  # a network of another kind


def test_of_a_name_that_both_have_the_methods_range_counts(monkeypatch):
    constants = catalog.choice("method", "ewc").constants
    monkeypatch.setitem(constants, "search", {"strength": (1.0, 2.0), "learning_rate": (0.5, 0.75)})
    assert parsed().space["learning_rate"] == (0.5, 0.75)


def test_a_grid_cuts_ranges_evenly_on_the_logarithmic_scale():
    found = parsed("--tuner=grid", "--grid_points=4").space
    assert found["method.strength"] == [10.0, 100.0, 1000.0, 10000.0]
    assert found["batch_size"] == [16, 32, 64, 128]


@pytest.mark.parametrize("tuner", ["random", "grid"])
def test_values_come_back_from_keras_tuner_also_over_the_wire(tuner):
    from keras_tuner import HyperParameters

    wanted = parsed(f"--tuner={tuner}", "--regime=stable").space
    declaration = space.declared(wanted)
    sent = HyperParameters.from_proto(declaration.to_proto())  # numbers of 32 bits
    for flag, hyperparameter in zip(wanted, declaration.space, strict=True):
        for probability in (0.01, 0.37, 0.99):
            value = declaration.values[flag] = hyperparameter.prob_to_value(probability)
            sent.values[flag] = float(np.float32(value)) if isinstance(value, float) else value
            tried = space.chosen(wanted, declaration)
            assert tried == space.chosen(wanted, sent)
            ends = wanted[flag]
            found = tried[flag]
            assert ends[0] <= found <= ends[1] if isinstance(ends, tuple) else found in ends


def test_a_configuration_has_the_values_that_are_tried():
    search = parsed("--method=ewc", "--network.hidden=5", "--valid_fraction=0.25")
    config, tasks = search.configured({"learning_rate": 0.5, "batch_size": 7, "method.strength": 3.0})
    assert (config.learning_rate, config.batch_size, tasks) == (0.5, 7, 3)
    expected = {"network.hidden": (5,), "stream.valid_fraction": 0.25, "method.strength": 3.0}
    assert config.options == expected


@pytest.mark.parametrize(
    ("given", "epochs", "tasks"),
    [("--budget=epochs", 2, 4), ("--budget=tasks", 9, 2)],
)
def test_the_budget_of_hyperband_is_of_epochs_or_of_tasks(given, epochs, tasks):
    search = parsed("--tuner=hyperband", "--epochs=9", "--tuning_tasks=4", given)
    config, learned = search.configured({}, budget=2)
    assert (config.epochs, learned) == (epochs, tasks)
    assert search.most == (9 if "epochs" in given else 4)


def test_every_objective_is_sought_where_it_is_best():
    for name, sentence in metrics.DESCRIPTIONS.items():
        lower = "lower is better" in sentence or sentence.endswith(" 0 is best")
        assert parsed(f"--objective={name}").direction == ("min" if lower else "max"), name


# ---- refusals --------------------------------------------------------------------------------------------

REFUSED = {
    "--tuner=bayes": "--tuner: 'bayes' is not known; possible: bayesian, random, hyperband, grid. Did you "
    "mean bayesian?",
    "--objective=forgeting": "--objective 'forgeting' is not known; possible: average_accuracy, average_inc",
    "--trials=0": "--trials is 0; it must be at least 1.",
    "--trails=3": "There is no flag --trails. Did you mean --trials?",
    "--tuning_tasks=6": "--tuning_tasks is 6; it must be at least 1 and at most --tasks=5.",
    "--tuning_tasks=0": "--tuning_tasks is 0; it must be at least 1 and at most --tasks=5.",
    "--valid_fraction=0": "--valid_fraction is 0; it must be above 0 and below 1.",
    "--valid_fraction=1": "--valid_fraction is 1; it must be above 0 and below 1.",
    "--grid_points=1": "--grid_points is 1; it must be at least 2 and at most 1000.",
    "--grid_points=1000000": "--grid_points is 1000000; it must be at least 2 and at most 1000.",
    "--patience=0": "--patience is 0; it must be above 0.",
    "--stream.valid_fraction=0.2": "--stream.valid_fraction is a flag of runs; use --valid_fraction",
    "--method.strenght=1": "The method ewc has no option --method.strenght. Did you mean --method.strength?",
    "--tuner=hyperband --iterations=3": "With --iterations there are no epochs for hyperband's",
    "--learning_rate=1 --batch_size=3 --method.strength=3": "Nothing is left to search: --learning_rate, "
    "--batch_size, --method.strength are given.",
}


@pytest.mark.parametrize("given", REFUSED)
def test_bad_input_is_refused_in_a_sentence(given):
    with pytest.raises(InputError) as error:
        parsed(*given.split())
    assert str(error.value).startswith(REFUSED[given])
    assert str(error.value)[-1] in ".?"


def test_tuning_learns_three_tasks_or_all_of_fewer():
    assert [parsed(f"--tasks={tasks}").tasks for tasks in (2, 3, 7)] == [2, 3, 3]


def test_the_directory_tells_configurations_apart_and_not_how_many_trials():
    assert parsed("--trials=3").directory == parsed("--trials=30").directory
    others = ["--epochs=3", "--tuner=grid", "--objective=forgetting", "--seeds=1", "--learning_rate=0.001"]
    assert len({parsed(other).directory for other in ["--trials=3", *others]}) == 6


def test_help_comes_without_tensorflow_and_lists_the_flags_of_both():
    program = (
        "import sys; from tuning import settings\n"
        "try: settings.parse(['', '--help'])\n"
        "finally: print(*{'tensorflow', 'tf_keras', 'keras_tuner'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program]
    root = os.path.dirname(os.path.dirname(settings.__file__))
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60).stdout
    assert said.endswith("one a line.\n\n")
    for flag in ("--tuner", "--budget", "--trials", "--dataset", "--method.strength"):
        assert f"\n  {flag}\n" in said


# ---- ranges of one's own ---------------------------------------------------------------------------------


def test_ranges_of_ones_own_count_more_than_those_of_the_files():
    found = parsed("--search.method.strength=1:1e4", "--search.network.dropout=0,0.25,0.5").space
    assert found["method.strength"] == (1.0, 1e4) and found["network.dropout"] == [0.0, 0.25, 0.5]
    assert list(found)[:2] == ["learning_rate", "batch_size"]
    assert parsed("--search.network.hidden=100,100;400").space["network.hidden"] == [(100, 100), (400,)]
    assert parsed("--search.method.online=true,false").space["method.online"] == [True, False]
    assert parsed("--search.optimizer=sgd,adam").space["optimizer"] == ["sgd", "adam"]
    grid = parsed("--search.method.strength=1:100", "--tuner=grid", "--grid_points=3").space
    assert grid["method.strength"] == [1.0, 10.0, 100.0]


def test_ranges_of_ones_own_decide_where_a_search_goes():
    assert (
        parsed("--search.method.strength=1:10").directory != parsed("--search.method.strength=1:9").directory
    )
    assert parsed("--search.method.strength=10:1e4").directory == parsed().directory  # that of the file


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--search.method.strength=5:2"], "--search.method.strength=5:2 is not a range on a log scale"),
        (["--search.method.strength=0:2"], "--search.method.strength=0:2 is not a range on a log scale"),
        (["--search.method.strength=1:nan"], "'nan' is not a finite number."),
        (["--search.method.strength=1,1.0"], "must have two different values or more."),
        (["--search.network.dropout=0,x"], "--search.network.dropout: 'x' is not a number."),
        (["--search.batch_size=1:8"], "takes no fractions; give the values"),
        (
            ["--search.method.fisher=exact,exat"],
            "--search.method.fisher: 'exat' is not known; possible:",
        ),
        (["--search.method.strenght=1:2"], "Did you mean --search.method.strength?"),
        (["--search.tasks=1,2"], "There is no flag --search.tasks."),
        (
            ["--search.method.strength=1:2", "--method.strength=3"],
            "--method.strength is given and --search.method.strength searches it",
        ),
    ],
)
def test_a_range_that_cannot_be_searched_is_one_sentence(given, said):
    with pytest.raises(InputError) as error:
        parsed(*given)
    assert said in str(error.value)
