"""Runs in groups, and the names that tell groups apart."""

import itertools

import numpy as np
import pytest
from saved_runs import SETTINGS, matrix, write_run

import keras_cl
from keras_cl.report.blocks import blocks, check_comparable
from keras_cl.report.groups import grouped
from keras_cl.report.labels import labels
from keras_cl.runs.saved_run import read


def labelled(*changes, places=None):
    """Labels of runs with these other settings than the usual ones."""
    settings = [SETTINGS | change for change in changes]
    return labels(settings, places or [f"runs/{number}" for number in range(len(settings))])


# ---- groups ----------------------------------------------------------------------------------------------


def test_runs_that_differ_in_the_seed_alone_are_one_group(tmp_path):
    write_run(tmp_path / "several", {3: matrix(0.5), 1: matrix(0.6)})
    write_run(tmp_path / "one", {2: matrix(0.7)})
    write_run(tmp_path / "other", {2: matrix(0.8)}, method__strength=1.0)
    groups = grouped(read(f"{tmp_path}/*"))
    assert [group.seeds for group in groups] == [[2], [1, 2, 3]] or [g.seeds for g in groups] == [
        [1, 2, 3],
        [2],
    ]
    group = max(groups, key=lambda group: len(group.seeds))
    np.testing.assert_array_equal([run.matrix for run in group.runs], [matrix(a) for a in (0.6, 0.7, 0.5)])
    assert group.values("average_accuracy") == {1: pytest.approx(0.6), 2: pytest.approx(0.7), 3: 0.5}
    assert "seeds" not in group.settings and not group.notes and not group.state


def test_unfinished_runs_do_not_count_and_are_said(tmp_path):
    path = write_run(tmp_path / "run", {0: matrix(0.5), 1: matrix(0.5)[:2]}, planned=(0, 1, 2, 3))
    (group,) = grouped(read(path))
    assert group.state == "seed 1: 1 of 3 tasks; seeds 2, 3: not begun"
    assert group.seeds == [0, 1] and [run.seed for run in group.finished] == [0]
    assert group.values("average_accuracy") == {0: 0.5}
    assert group.notes == [f"Unfinished, and not in the numbers: {group.state}."]


def test_a_seed_that_is_given_twice_counts_once(tmp_path):
    a = write_run(tmp_path / "a", {0: matrix(0.5)[:2], 1: matrix(0.5)})
    b = write_run(tmp_path / "b", {0: matrix(0.5)})
    c = write_run(tmp_path / "c", {1: matrix(0.5)})
    (group,) = grouped(read([a, b, c]))
    assert [run.path for run in group.runs] == [b, a / "seed_1"]
    assert group.notes == [
        f"Seed 0 is in {a}/seed_0, {b}, and their accuracies are not the same: {b} counts.",
        f"Seed 1 is in {a}/seed_1, {c}: {a}/seed_1 counts.",
    ]


def test_runs_of_another_version_are_said(tmp_path):
    path = write_run(tmp_path / "run", {0: matrix(0.5)}, about={"versions": {"keras_cl": "0.0.9"}})
    assert grouped(read(path))[0].notes == [f"Begun by keras_cl 0.0.9; this is {keras_cl.__version__}."]


# ---- labels ----------------------------------------------------------------------------------------------


def test_a_method_that_is_there_once_is_its_label():
    assert labelled({}, {"method": "si", "method.c": 0.1, "scenario": "task"}) == ["ewc", "si"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"memory": ""}, {"memory": "herding"}, ["ewc", "ewc with herding"]),
        ({"memory": "ring"}, {"memory": "a/own.py"}, ["ewc with ring", "ewc with own"]),
        ({}, {"scenario": "task"}, ["ewc, class-incremental", "ewc, task-incremental"]),
        ({}, {"stream": "permuted"}, ["ewc on split digits", "ewc on permuted digits"]),
        ({}, {"dataset": "folder/mine.npz"}, ["ewc on split digits", "ewc on split mine"]),
        ({}, {"tasks": 10}, ["ewc, 3 tasks", "ewc, 10 tasks"]),
        ({}, {"method.strength": 1e-5}, ["ewc, strength=100", "ewc, strength=1e-05"]),
        ({"method.online": True}, {"method.online": False}, ["ewc, online", "ewc, not online"]),
        ({}, {"network.hidden": [10]}, ["ewc, hidden=400,400", "ewc, hidden=10"]),
        ({}, {"stream.seed": 1}, ["ewc, seed=0", "ewc, seed=1"]),
        ({"method.seed": 1}, {"stream.seed": 1, "method.seed": 0}, None),
        ({"method": "a/cwr.py"}, {"method": "b/cwr.py"}, ["cwr, method=a/cwr.py", "cwr, method=b/cwr.py"]),
        ({}, {"eval_every": "epoch"}, ["ewc, eval_every=task", "ewc, eval_every=epoch"]),
    ],
)
def test_labels_say_what_differs(one, other, expected):
    expected = expected or ["ewc, method.seed=1, stream.seed=0", "ewc, method.seed=0, stream.seed=1"]
    assert labelled(one, other) == expected


def test_what_every_run_has_is_not_said_of_each():
    runs = [{"learning_rate": rate} for rate in (0.1, 0.01)] + [{"method": "si", "learning_rate": 0.01}]
    assert labelled(*runs) == ["ewc, learning_rate=0.1", "ewc, learning_rate=0.01", "si"]


def test_options_of_another_choice_are_not_said():
    cnn = {"network": "cnn", "network.filters": 32, "network.hidden": [10]}
    found = labelled({}, cnn, cnn | {"network.filters": 64})
    assert [label.split(", ", 1)[1] for label in found] == [
        "network=mlp, hidden=400,400",
        "network=cnn, filters=32, hidden=10",
        "network=cnn, filters=64, hidden=10",
    ]


def test_a_label_stays_short_if_it_can():
    names = [f"method.{letter}" for letter in "abcdefgh"]
    one, other = dict.fromkeys(names, 1), dict.fromkeys(names, 2)
    assert labelled(one, other) == ["ewc, a=1, b=1, c=1, d=1", "ewc, a=2, b=2, c=2, d=2"]
    last = one | {"method.h": 3}
    assert len({*labelled(one, other, last)}) == 3


def test_settings_that_look_alike_are_told_apart_by_their_place():
    values = ["x" * 30 + end for end in "abc"]
    found = labelled(*({"method.text": value} for value in values), places=["p", "q", "q"])
    assert len({*found}) == 3 and all(
        f"({place})" in label for place, label in zip("pqq", found, strict=True)
    )


def test_labels_are_unique_and_do_not_depend_on_the_order():
    axes = {
        "method": ["ewc", "si"],
        "memory": ["", "ring"],
        "scenario": ["class", "task"],
        "method.strength": [1.0, 2.0],
        "eval_every": ["task", "epoch"],
    }
    changes = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    found = labelled(*changes)
    assert len({*found}) == len(found)
    assert "ewc with ring, class-incremental, strength=1, eval_every=task" in found
    assert labelled(*changes[::-1]) == found[::-1]


def from_python(**changes):
    """Settings of a run of `keras_cl.learn`, as config.json has them."""
    return {
        "program": "keras_cl.learn",
        "method": "ewc",
        "memory": None,
        "stream": "split digits",
        "regime": {"name": "Plain", "schedule": "constant"},
        "network": "Sequential",
        "network_weights": [[784, 10]],
        "optimizer": {"name": "Adam", "learning_rate": 0.001},
        "scenario": "class",
        "dataset": "",
        "task_classes": [[0, 1], [2, 3], [4, 5]],
        "input_shape": [8, 8, 1],
        "valid_fraction": 0.0,
        "stream_seed": 0,
    } | changes


def test_runs_from_python_are_told_apart_from_those_of_the_program():
    fast = from_python(optimizer={"name": "Adam", "learning_rate": 0.01})
    ring = from_python(memory={"name": "Ring", "capacity": 5}, method="er")
    settings = [SETTINGS, from_python(), fast, ring, ring | {"memory": None}]
    assert labels(settings, list("abcde")) == [
        "ewc",
        "ewc from Python, learning_rate=0.001",
        "ewc from Python, learning_rate=0.01",
        "er with Ring",
        "er",
    ]


# ---- streams ---------------------------------------------------------------------------------------------


def groups_of(tmp_path, *changes):
    for number, change in enumerate(changes):
        write_run(tmp_path / f"run_{number}", {0: matrix(0.5)}, **change)
    return grouped(read([tmp_path / f"run_{number}" for number in range(len(changes))]))


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "permuted"},
        {"dataset": "mnist"},
        {"scenario": "task"},
        {"tasks": 5},
        {"stream__seed": 1},
        {"stream_per_seed": True},
        {"stream__valid_fraction": 0.1},
        {"dataset_sha256": "1"},
    ],
)
def test_runs_of_several_streams_are_refused_unless_they_are_wanted(tmp_path, change):
    usual = {"dataset_sha256": "0", "stream__valid_fraction": 0.0}
    groups = groups_of(tmp_path, usual, usual | {"method": "si"} | change)
    with pytest.raises(
        keras_cl.InputError, match=r"different streams: ewc on split digits.*; si on .*--across"
    ):
        check_comparable(groups)
    check_comparable(groups, across=True)
    found = blocks(groups)
    assert [[group.label for group in block.groups] for block in found] == [["ewc"], ["si"]]
    assert found[0].label != found[1].label


def test_other_settings_are_no_other_stream(tmp_path):
    groups = groups_of(tmp_path, {}, {"method__strength": 1.0, "network": "cnn"}, {"method": "si"})
    check_comparable(groups)
    (block,) = blocks(groups)
    assert block.label == "split digits, class-incremental" and block.groups == groups


def test_runs_from_python_can_be_compared_with_those_of_the_program(tmp_path):
    write_run(tmp_path / "a", {0: matrix(0.5)})
    for name, changes in {"b": {}, "c": {"task_classes": [[0], [1]]}}.items():
        with keras_cl.runs.opening.open_run(
            tmp_path / name, from_python(**changes) | {"seeds": [0]}, {"versions": {"keras_cl": "0.1.0"}}
        ):
            pass
    check_comparable(grouped(read([tmp_path / "a", tmp_path / "b"])))
    with pytest.raises(keras_cl.InputError, match="3 tasks.*2 tasks"):
        check_comparable(grouped(read([tmp_path / "a", tmp_path / "c"])))


def test_a_group_has_the_label_that_it_needs_among_those_of_its_stream(tmp_path):
    groups = groups_of(
        tmp_path, {}, {"scenario": "task"}, {"method": "si"}, {"method": "si", "scenario": "task"}
    )
    assert [group.label for group in groups][:2] == ["ewc, class-incremental", "ewc, task-incremental"]
    assert [[group.label for group in block.groups] for block in blocks(groups)] == [["ewc", "si"]] * 2
