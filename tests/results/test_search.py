"""The search for an option: the best value on validation rows of the first tasks, and where it is written."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import blobs

from keras_cl.errors import InputError
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.flags import parse
from keras_cl.streams.base import Stream
from results import search as searching

STRENGTH = "method.strength"
FLAGS = """--method=l2
--method.strength={strength}
--stream=permuted
--dataset={dataset}
--tasks=4
--network.hidden=6
--learning_rate=0.01
--iterations=3
--batch_size=8
--jit=off
--seeds=0,1
"""


@pytest.fixture
def row(tmp_path, monkeypatch):
    """Function that writes the flagfile of `table/row` over four tasks of a tiny data set; its name."""
    monkeypatch.setattr(searching, "HERE", tmp_path)
    (tmp_path / "table").mkdir()
    np.savez(tmp_path / "tiny.npz", **blobs([40] * 3, side=3))

    def write(strength="1", more=""):
        text = FLAGS.format(strength=strength, dataset=tmp_path / "tiny.npz") + more
        (tmp_path / "table" / "row.flags").write_text(text)
        return "table/row"

    return write


@pytest.fixture
def measured(monkeypatch):
    """Replaces training by a table of accuracies, by strength; returns it with the calls that were made."""
    table, calls = {}, []

    def validated(config, seeds):
        strength = config.options[STRENGTH]
        calls.append((strength, tuple(seeds)))
        return table[strength]

    monkeypatch.setattr(searching, "validated", validated)
    return table, calls


def flagfile():
    return (searching.HERE / "table" / "row.flags").read_text()


def found():
    return json.loads((searching.HERE / "table" / "row.search.json").read_text())


def strength_of(row):
    return parse(["", f"--flagfile={searching.HERE / row}.flags"]).options["method.strength"]


# ---- what is chosen and where it is written --------------------------------------------------------------


def test_the_best_strength_is_written_and_nothing_else_of_the_flagfile_changes(row, measured):
    table, _ = measured
    table.update({0.1: 0.5, 1.0: 0.75, 10.0: 0.625})
    name = row(strength="3")
    before = flagfile()
    searching.search(name, STRENGTH, [0.1, 1.0, 10.0], [])
    assert flagfile() == before.replace("--method.strength=3\n", "--method.strength=1\n")
    assert found() == {
        "option": STRENGTH,
        "tasks": 3,
        "valid_fraction": 0.1,
        "seeds": [0, 1],
        "validation_accuracy": {"0.1": 0.5, "1": 0.75, "10": 0.625},
        "chosen": "1",
    }


@pytest.mark.parametrize("before", ["1", "1e5", "2.5e-05", "300.0"])
@pytest.mark.parametrize("best", [0.0, 1e-05, 0.03, 300.0, 1e5, 1e6, 2.5e7])
def test_the_flagfile_gives_back_the_strength_that_was_chosen(row, measured, before, best):
    table, _ = measured
    table.update({best: 0.9, 0.5: 0.2})
    name = row(strength=before)
    searching.search(name, STRENGTH, [0.5, best], [])
    assert strength_of(name) == float(found()["chosen"]) == best
    assert flagfile().count("strength") == 1


def test_any_number_of_the_row_can_be_searched(row, measured, monkeypatch):
    monkeypatch.setattr(searching, "validated", lambda config, seeds: 0.5 - config.learning_rate)
    name = row()
    before = flagfile()
    searching.search(name, "learning_rate", [0.1, 0.001, 0.3], [])
    assert flagfile() == before.replace("--learning_rate=0.01\n", "--learning_rate=0.001\n")
    assert found()["option"] == "learning_rate" and found()["chosen"] == "0.001"


def test_an_accuracy_is_kept_to_five_digits(row, measured):
    measured[0][1.0] = 2 / 3
    searching.search(row(), STRENGTH, [1.0], [])
    assert found()["validation_accuracy"] == {"1": 0.66667}


@pytest.mark.parametrize(("given", "asked"), [([], (0, 1)), (["2"], (2,)), ([3, 4], (3, 4))])
def test_the_seeds_are_those_given_or_those_of_the_row(row, measured, given, asked):
    table, calls = measured
    table[1.0] = 0.5
    searching.search(row(), STRENGTH, [1.0], given)
    assert calls == [(1.0, asked)] and found()["seeds"] == list(asked)


def test_a_strength_that_fails_is_named_and_the_others_are_kept(row, measured):
    table, _ = measured
    table.update({1.0: 0.75, 100.0: 0.5})  # and none for 10
    name = row(strength="3")
    with pytest.raises(InputError, match="table/row: method.strength 10: KeyError: 10"):
        searching.search(name, STRENGTH, [1.0, 10.0, 100.0], [])
    assert found()["validation_accuracy"] == {"1": 0.75, "100": 0.5} and strength_of(name) == 1.0


@pytest.mark.parametrize("wrong", ["nan", "inf", "1,nan", "-1", "x", ""])
def test_values_that_cannot_be_are_refused(row, wrong):
    with pytest.raises(InputError, match="--values"):
        searching.parse(["search", row(), f"--values={wrong}"])


@pytest.mark.parametrize(("option", "said"), [("method.strenght", "strength"), ("method.head", "head")])
def test_an_option_that_the_row_does_not_have_is_refused(row, option, said):
    with pytest.raises(InputError, match=said):
        searching.parse(["search", row(), f"--option={option}", "--values=1"])


def test_each_value_is_tried_as_a_flag_before_anything_is_trained(row):
    with pytest.raises(InputError, match="batch_size"):
        searching.parse(["search", row(), "--option=batch_size", "--values=8,0.5"])


# ---- earlier searches ------------------------------------------------------------------------------------


def test_earlier_searches_of_the_same_seeds_are_kept_and_may_win(row, measured):
    table, _ = measured
    table.update({100.0: 0.9, 20.0: 0.3, 3.0: 0.5})
    name = row()
    searching.search(name, STRENGTH, [100.0, 20.0], [])
    searching.search(name, STRENGTH, [3.0], [])
    assert found()["validation_accuracy"] == {"3": 0.5, "20": 0.3, "100": 0.9}
    assert list(found()["validation_accuracy"]) == ["3", "20", "100"]  # by size, not as text
    assert strength_of(name) == 100.0


def test_a_strength_that_is_measured_again_replaces_the_earlier_number(row, measured):
    table, _ = measured
    name = row()
    for accuracy in (0.9, 0.4):
        table.update({100.0: accuracy, 20.0: 0.5})
        searching.search(name, STRENGTH, [20.0, 1e2], [])
    assert found()["validation_accuracy"] == {"20": 0.5, "100": 0.4}
    assert strength_of(name) == 20.0


def test_searches_of_two_options_are_not_mixed(row, measured):
    table, _ = measured
    table.update({100.0: 0.9})
    name = row(strength="100")
    searching.search(name, STRENGTH, [100.0], [])
    searching.search(name, "learning_rate", [0.02], [])
    assert found()["option"] == "learning_rate" and found()["validation_accuracy"] == {"0.02": 0.9}
    assert strength_of(name) == 100.0


@pytest.mark.parametrize("changed", ["seeds", "tasks", "valid_fraction"])
def test_searches_under_other_conditions_are_not_mixed(row, measured, monkeypatch, changed):
    table, _ = measured
    table.update({100.0: 0.9, 3.0: 0.5})
    name = row()
    searching.search(name, STRENGTH, [100.0], [])
    for constant, value in (("TASKS", 2), ("VALID_FRACTION", 0.2)):
        if constant.lower() == changed:
            monkeypatch.setattr(searching, constant, value)
    searching.search(name, STRENGTH, [3.0], [5] if changed == "seeds" else [])
    assert found()["validation_accuracy"] == {"3": 0.5}
    assert strength_of(name) == 3.0


# ---- what is measured ------------------------------------------------------------------------------------


def by_hand(config, seeds, tasks):
    """Mean validation accuracy over the first `tasks` tasks, as a user of the library would measure it."""
    stream, accuracies = make_stream(config), []
    for seed in seeds:
        model = make_model(config, stream, seed)
        for task in stream[:tasks]:
            model.begin_task(task)
            model.fit(model.batches(task, 8, iterations=3), verbose=0)
            model.end_task(task)
        for task in stream[:tasks]:
            x, y = task.valid.open()
            accuracies.append(np.mean(model.predict_units(x, stream.class_mask[task.index]) == y))
    return np.mean(accuracies)


@pytest.mark.slow
def test_what_counts_is_the_validation_accuracy_over_the_first_tasks_and_the_seeds(row):
    name, seeds = row(more="--learning_rate=0.05\n"), (0, 4)
    expected = by_hand(searching.config_of(name, STRENGTH, 1e3), seeds, tasks=3)
    assert searching.accuracy(name, STRENGTH, 1e3, seeds) == pytest.approx(expected, abs=1e-12)
    assert searching.accuracy(name, STRENGTH, 0.0, seeds) != pytest.approx(expected, abs=0.01)


@pytest.fixture
def opened(monkeypatch):
    """The set of `(task number, part)` whose images were read since."""
    seen, real = set(), Stream.split

    def split(stream, index, part):
        found = real(stream, index, part)

        def noted():
            seen.add((index + 1, part))
            return found.open()

        return dataclasses.replace(found, open=noted)

    monkeypatch.setattr(Stream, "split", split)
    return seen


def test_only_the_first_tasks_are_trained_and_test_images_are_never_read(row, opened):
    searching.search(row(), STRENGTH, [1.0], [0])
    assert opened == {(task, part) for task in (1, 2, 3) for part in ("train", "valid")}


def test_the_accuracy_does_not_depend_on_the_test_images(row, tmp_path):
    accuracies = []
    for seed in (1, 2):
        name, data = row(), dict(np.load(tmp_path / "tiny.npz"))
        data["x_test"] = np.random.default_rng(seed).integers(0, 255, data["x_test"].shape, np.uint8)
        np.savez(tmp_path / "tiny.npz", **data)
        accuracies.append(searching.accuracy(name, STRENGTH, 1.0, (0,)))
    assert accuracies[0] == accuracies[1]


@pytest.mark.parametrize(
    ("more", "steps"), [("", 3), ("--iterations=5\n", 5), ("--iterations=0\n--epochs=2\n", 2 * 14)]
)
def test_a_task_is_trained_as_long_as_the_row_says(row, monkeypatch, more, steps):
    """108 rows are left of 120 where a tenth is kept for validation: 14 batches of 8."""
    made = []

    def make(config, stream, seed):
        made.append(make_model(config, stream, seed))
        return made[-1]

    monkeypatch.setattr("tuning.trial.make_model", make)
    searching.accuracy(row(more=more), STRENGTH, 1.0, (0,))
    (model,) = made
    assert model.optimizer.iterations == steps
    assert model.task == 2


def test_a_strength_that_diverges_counts_as_zero_and_does_not_win(row, capsys):
    name = row(more="--optimizer=sgd\n--learning_rate=0.1\n")
    searching.search(name, STRENGTH, [1e30, 0.01], ["0"])
    accuracy = found()["validation_accuracy"]
    assert accuracy["1e+30"] == 0 < accuracy["0.01"]
    assert strength_of(name) == 0.01
    assert "table/row: method.strength 1e+30, validation accuracy 0.0000" in capsys.readouterr().out


@pytest.mark.slow
def test_a_seed_that_diverges_counts_as_zero_among_the_others(row, monkeypatch):
    name, real = row(), make_model

    def spoiled(config, stream, seed):
        model = real(config, stream, seed)
        if seed == 1:
            end = model.end_task

            def end_task(task):
                end(task)
                model.network.variables[0].assign(np.full(model.network.variables[0].shape, np.nan))

            model.end_task = end_task
        return model

    monkeypatch.setattr("tuning.trial.make_model", spoiled)
    both, first = (searching.accuracy(name, STRENGTH, 1.0, seeds) for seeds in ((0, 1), (0,)))
    assert both == pytest.approx(first / 2) and first > 0
