"""The measures against a worked example, and the laws that hold for every accuracy matrix."""

import csv
import inspect
import io
import json

import numpy as np
import pytest

from keras_cl import metrics as m

pytestmark = pytest.mark.filterwarnings("error")

b = [0.10, 0.10, 0.10]
R = np.array([b, [0.95, 0.20, 0.10], [0.97, 0.90, 0.30], [0.70, 0.85, 0.92]])
JOINT = [0.96, 0.95, 0.94]
PARTS = [0.881667, 0.906667, 0.0, 0.20, 0.933333, 0.966667]  # A, REM, BWT+, FWT, MS, SSS


def near(value):
    return pytest.approx(value, abs=1e-6)


def random_matrices(n=200):
    rng = np.random.default_rng(0)
    for _ in range(n):
        T = rng.integers(2, 7)
        yield rng.integers(0, 1001, size=(T + 1, T)) / 1000


def without_future(matrix):
    """Class-incremental: tasks not yet learned cannot be measured."""
    matrix = np.array(matrix)
    matrix[1:][np.triu_indices(matrix.shape[1], 1)] = np.nan
    matrix[0] = np.nan
    return matrix


# The worked example.


@pytest.mark.parametrize("task, expected", [(1, 0.95), (2, 0.935), (3, 0.823333), (None, 0.823333)])
def test_average_accuracy(task, expected):
    assert m.average_accuracy(R, task) == near(expected)


@pytest.mark.parametrize("task, expected", [(2, -0.02), (3, 0.16), (None, 0.16)])
def test_forgetting(task, expected):
    assert m.forgetting(R, task) == near(expected)


def test_forgetting_and_peak_forgetting_differ_where_the_last_row_is_the_peak():
    assert m.peak_forgetting(R) == near(0.16)
    improved = R.copy()
    improved[3, 1] = 0.93
    assert m.forgetting(improved) == near(0.12)
    assert m.peak_forgetting(improved) == near(0.135)


@pytest.mark.parametrize(
    "measure, expected",
    [
        (m.average_incremental_accuracy, 0.902778),
        (m.backward_transfer, -0.15),
        (m.forward_transfer, 0.15),
        (m.learning_accuracy, 0.923333),
        (m.worst_accuracy, 0.70),
        (m.triangle_accuracy, 0.881667),
        (m.triangle_backward_transfer, -0.093333),
        (m.remembering, 0.906667),
        (m.positive_backward_transfer, 0.0),
        (m.triangle_forward_transfer, 0.20),
    ],
)
def test_measures_of_the_matrix_alone(measure, expected):
    assert measure(R) == near(expected)


def test_forward_transfer_baselines():
    other = R.copy()
    other[0] = [0.9, 0.05, 0.15]
    assert m.forward_transfer(other) == near(0.15)
    assert m.forward_transfer(other, baseline="none") == near(0.25)
    assert m.forward_transfer(other, baseline="chance", chance=0.2) == near(0.05)
    assert m.forward_transfer(other, baseline="chance", chance=[0.9, 0.1, 0.2]) == near(0.10)


def test_intransigence():
    assert m.intransigence(R, JOINT) == near(np.array([0.01, 0.05, 0.02]))
    assert m.mean_intransigence(R, JOINT) == near(0.026667)


def test_learning_curve_area():
    assert m.learning_curve_area([0.1, 0.4, 0.7], beta=2) == near(0.4)
    assert m.learning_curve_area([0.1, 0.4, 0.7, 1.0], beta=2) == near(0.4)
    assert m.learning_curve_area(np.linspace(0, 1, 11)) == near(0.5)
    assert m.learning_curve_area([0.1, np.nan], beta=1) is None


def test_forgetting_ratio():
    assert m.forgetting_ratio(R, R[3], 0.1) == near(0.0)
    assert m.forgetting_ratio(R, JOINT, R[3]) == near(-1.0)
    expected = (0.60 / 0.86 + 0.75 / 0.85 + 0.82 / 0.84) / 3 - 1
    assert m.forgetting_ratio(R, JOINT, b) == near(expected)
    assert m.forgetting_ratio(R, [0.96, 0.95, 0.1], b) is None


def test_efficiencies():
    assert m.model_size_efficiency([100e3, 100e3, 125e3]) == near(0.933333)
    assert m.sample_storage_efficiency([100, 200, 300], 6000) == near(0.966667)
    assert m.computational_efficiency([10, 10, 10], [50, 60, 80]) == near(0.163889)
    assert m.computational_efficiency(10, [50, 60, 80], eps=5) == near(0.819444)


def test_efficiencies_stay_within_0_and_1():
    assert m.model_size_efficiency([100, 50]) == 1
    assert m.sample_storage_efficiency([0, 0], 10) == 1
    assert m.sample_storage_efficiency([50, 50], 10) == 0
    assert m.computational_efficiency(10, [50, 60, 80], eps=100) == 1


@pytest.mark.parametrize("ce, expected", [(0.163889, 0.578889), (0.819444, 0.672540)])
def test_cl_score(ce, expected):
    assert m.cl_score([*PARTS, ce]) == near(expected)


def test_cl_score_weights():
    assert m.cl_score([0.2, 0.6], weights=[0.75, 0.25]) == near(0.3)
    assert m.cl_score([0.2, None]) is None


def test_cl_stability_uses_the_population_std():
    assert m.cl_stability([[0.2, 0.5], [0.4, 0.5]]) == near(0.95)
    assert m.cl_stability([[0.2, 0.5], [0.4, 0.5]], weights=[1, 0]) == near(0.9)
    assert m.cl_stability([PARTS, PARTS]) == near(1.0)
    assert m.cl_stability([[0.2, None], [0.4, 0.5]]) is None


def test_weighted_average_accuracy_is_the_pooled_accuracy():
    assert m.average_accuracy(R, weights=[100, 100, 100]) == near(m.average_accuracy(R))
    assert m.average_accuracy(R, weights=[100, 200, 700]) == near((70 + 170 + 644) / 1000)
    assert m.average_accuracy(R, task=2, weights=[100, 300, 700]) == near((97 + 270) / 400)


# Laws.


def test_nothing_learned_and_nothing_forgotten():
    constant = np.tile([0.3, 0.5, 0.7], (4, 1))
    for measure in (
        m.forgetting,
        m.peak_forgetting,
        m.backward_transfer,
        m.forward_transfer,
        m.triangle_backward_transfer,
    ):
        assert measure(constant) == 0, measure.__name__
    assert m.remembering(constant) == 1


def test_a_single_task():
    summary = m.summary([[0.1], [0.9]])
    none = {name for name, value in summary.items() if value is None}
    assert none == {
        "forgetting",
        "peak_forgetting",
        "backward_transfer",
        "forward_transfer",
        "triangle_forward_transfer",
    }
    assert summary["average_accuracy"] == summary["learning_accuracy"] == 0.9
    assert summary["triangle_backward_transfer"] == summary["positive_backward_transfer"] == 0
    assert summary["remembering"] == 1
    assert m.forgetting(R, task=1) is None


def test_forgetting_is_minus_bwt_exactly_where_every_task_peaks_on_its_diagonal():
    seen = set()
    for matrix in random_matrices():
        T = matrix.shape[1]
        if T % 2:  # raise the diagonal, so that both cases occur
            matrix[1:][np.diag_indices(T)] = 1.0
        rows = matrix[1:T, : T - 1]
        peaks_on_diagonal = bool(np.all(rows.max(axis=0) == np.diagonal(rows)))
        equal = abs(m.forgetting(matrix) + m.backward_transfer(matrix)) < 1e-9
        assert equal == peaks_on_diagonal
        seen.add(equal)
    assert seen == {True, False}


def test_peak_forgetting_bounds_forgetting():
    for matrix in random_matrices():
        assert m.peak_forgetting(matrix) >= max(m.forgetting(matrix), 0) - 1e-12
    for drop in (-0.2, 0.2):  # one old task: M4 = max(M3, 0)
        matrix = [[0.1, 0.1], [0.5, 0.1], [0.5 - drop, 0.9]]
        assert m.forgetting(matrix) == near(drop)
        assert m.peak_forgetting(matrix) == near(max(drop, 0))


def test_ranges():
    signed = {"forgetting", "backward_transfer", "forward_transfer", "triangle_backward_transfer"}
    for matrix in random_matrices():
        for name, value in m.summary(matrix).items():
            assert (-1 if name in signed else 0) <= value <= 1, name
            assert type(value) is float, name


def test_cl_score_of_measured_parts_is_within_0_and_1():
    rng = np.random.default_rng(1)
    for matrix in random_matrices(50):
        T = matrix.shape[1]
        parts = [
            m.triangle_accuracy(matrix),
            m.remembering(matrix),
            m.positive_backward_transfer(matrix),
            m.triangle_forward_transfer(matrix),
            m.model_size_efficiency(rng.uniform(1, 9, T)),
            m.sample_storage_efficiency(rng.uniform(0, 9, T), rng.uniform(1, 9)),
            m.computational_efficiency(rng.uniform(1, 9, T), rng.uniform(1, 9, T)),
        ]
        assert all(0 <= part <= 1 for part in parts)
        assert 0 <= m.cl_score(parts) <= 1


def test_positive_backward_transfer_when_old_tasks_improve():
    matrix = [[0.1, 0.1], [0.5, 0.1], [0.8, 0.9]]
    assert m.triangle_backward_transfer(matrix) == near(0.3)
    assert m.positive_backward_transfer(matrix) == near(0.3)
    assert m.remembering(matrix) == 1


def test_the_order_of_the_tasks_matters():
    order = [2, 0, 1]
    relabelled = np.vstack([R[:1, order], R[1:][np.ix_(order, order)]])
    for measure in (
        m.triangle_accuracy,
        m.triangle_backward_transfer,
        m.triangle_forward_transfer,
    ):
        assert measure(relabelled) != near(measure(R)), measure.__name__


def test_the_peak_may_come_before_the_task_was_learned_but_never_before_training():
    matrix = np.array([[1.0, 1.0, 1.0], [0.9, 0.9, 0.1], [0.9, 0.8, 0.1], [0.9, 0.7, 0.9]])
    assert m.forgetting(matrix) == near((0.0 + 0.2) / 2)
    assert m.forgetting(matrix, from_diagonal=True) == near((0.0 + 0.1) / 2)
    assert m.peak_forgetting(matrix) == near((0.0 + 0.2) / 2)


def test_the_matrix_is_left_as_it_was():
    before = R.copy()
    m.summary(R)
    m.forgetting_ratio(R, JOINT, b)
    assert np.array_equal(R, before)


@pytest.mark.parametrize("matrix", [R, without_future(R), *random_matrices(5)])
def test_a_matrix_saved_with_six_decimals_gives_the_same_summary(matrix):
    text = io.StringIO()
    csv.writer(text).writerows([[f"{value:.6f}" for value in row] for row in matrix])
    from_csv = list(csv.reader(io.StringIO(text.getvalue())))
    from_json = json.loads(json.dumps(np.round(matrix, 6).tolist()))
    for again in (m.summary(from_csv), m.summary(from_json)):
        for name, value in m.summary(matrix).items():
            assert again[name] == (None if value is None else near(value)), name


# Entries that could not be measured.


def test_unmeasured_future_tasks():
    summary, full = m.summary(without_future(R)), m.summary(R)
    needs_future = {"forward_transfer", "triangle_forward_transfer"}
    for name, value in summary.items():
        assert value == (None if name in needs_future else full[name]), name
    assert m.forward_transfer(without_future(R), baseline="none") is None


def test_only_an_unmeasured_row_before_the_diagonal_may_be_passed_over():
    hole = R.copy()
    hole[2, 0] = np.nan  # task 1 after task 2: the peak is unknown
    assert m.forgetting(hole) is None
    assert m.forgetting(hole, from_diagonal=True) is None
    assert m.peak_forgetting(hole) is None
    assert m.triangle_accuracy(hole) is None
    assert m.remembering(hole) is None
    assert m.positive_backward_transfer(hole) is None
    assert m.average_incremental_accuracy(hole) is None
    assert m.average_accuracy(hole) == near(0.823333)
    assert m.average_accuracy(hole, task=2) is None
    assert m.backward_transfer(hole) == near(-0.15)
    assert m.forward_transfer(hole) == near(0.15)


def test_every_measure_is_none_without_measurements():
    assert set(m.summary(np.full((4, 3), np.nan)).values()) == {None}


def test_what_is_not_needed_may_be_missing():
    untrained_unknown = R.copy()
    untrained_unknown[0] = np.nan
    assert m.forward_transfer(untrained_unknown) is None
    assert m.forward_transfer(untrained_unknown, "chance", 0.1) == near(0.15)
    unfinished = R.copy()
    unfinished[3] = np.nan
    assert m.worst_accuracy(unfinished) is None
    assert m.average_accuracy(unfinished) is None
    assert m.average_accuracy(unfinished, task=2) == near(0.935)
    assert m.forgetting(unfinished, task=2) == near(-0.02)


def test_intransigence_without_a_reference():
    joint = [0.96, np.nan, 0.94]
    assert np.isnan(m.intransigence(R, joint)).tolist() == [False, True, False]
    assert m.mean_intransigence(R, joint) is None
    assert m.forgetting_ratio(R, joint, b) is None


# Input that cannot be meant.


@pytest.mark.parametrize("shape", [(3, 3), (3,), (1, 0), (3, 4), (2, 3, 2)])
def test_a_matrix_of_the_wrong_shape(shape):
    functions = [f for _, f in inspect.getmembers(m, inspect.isfunction) if f.__module__ == m.__name__]
    arguments = {"joint": 0.9, "baseline": 0.1}
    checked = 0
    for function in functions:
        names = list(inspect.signature(function).parameters)
        if function.__name__.startswith("_") or names[0] != "R":
            continue
        given = {n: v for n, v in arguments.items() if n in names[1:]}
        if function is m.forward_transfer:
            given = {}
        with pytest.raises(ValueError, match=r"needed is \[T \+ 1, T\]"):
            function(np.zeros(shape), **given)
        checked += 1
    assert checked == 17


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: m.average_accuracy(R, task=0), "possible are 1 to 3"),
        (lambda: m.forgetting(R, task=4), "possible are 1 to 3"),
        (lambda: m.average_accuracy(R, weights=[1, 2]), "needed is one number or 3"),
        (lambda: m.average_accuracy(R, weights=[1, 2, 0]), "above 0"),
        (lambda: m.forward_transfer(R, baseline="random"), "'init', 'none'"),
        (lambda: m.forward_transfer(R, baseline="chance"), "chance is None"),
        (lambda: m.forward_transfer(R, chance=0.1), "together with"),
        (lambda: m.intransigence(R, [0.9, 0.9]), "joint has shape"),
        (lambda: m.forgetting_ratio(R, JOINT, [0.1, 0.1]), "baseline has shape"),
        (lambda: m.learning_curve_area([0.1, 0.2]), "beta = 10"),
        (lambda: m.learning_curve_area([0.1, 0.2], beta=-1), "beta = -1"),
        (lambda: m.model_size_efficiency([10, 0]), "sizes is"),
        (lambda: m.model_size_efficiency([]), "sizes is"),
        (lambda: m.sample_storage_efficiency([-1], 10), "at least 0"),
        (lambda: m.sample_storage_efficiency([1], 0), "lifetime is"),
        (lambda: m.computational_efficiency([1, 1], [1, 1, 1]), "needed is one number or 3"),
        (lambda: m.computational_efficiency(1, [1, 0]), "ops is"),
        (lambda: m.cl_score([0.1, 0.2], weights=[0.5, 0.6]), "needed is 1"),
        (lambda: m.cl_score([0.1, 0.2], weights=[1.5, -0.5]), "at least 0"),
        (lambda: m.cl_stability([0.1, 0.2]), r"\[runs, parts\]"),
        (lambda: m.over_seeds([]), "at least one summary"),
        (lambda: m.over_seeds([{"a": 1.0}, {"b": 1.0}]), "the same names"),
    ],
)
def test_errors_say_what_was_given_and_what_is_needed(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Summaries.


def test_every_number_of_the_summary_is_described():
    summary = m.summary(R)
    assert summary.keys() == m.DESCRIPTIONS.keys()
    assert summary["average_accuracy"] == near(0.823333)
    assert summary["peak_forgetting"] == near(0.16)
    for name, sentence in m.DESCRIPTIONS.items():
        assert "0 to 1" in sentence or "-1 to 1" in sentence, name
        assert getattr(m, name).__doc__, name


def test_over_seeds():
    result = m.over_seeds([{"a": 0.1, "b": 0.5}, {"a": 0.2, "b": 0.5}, {"a": 0.6, "b": 0.5}])
    assert result["a"]["mean"] == near(0.3)
    assert result["a"]["std"] == near(np.sqrt(0.07))
    assert result["a"]["sem"] == near(np.sqrt(0.07 / 3))
    assert result["a"]["n"] == 3
    assert result["b"] == near({"mean": 0.5, "std": 0.0, "sem": 0.0, "n": 3})
    assert all(type(value) in (float, int) for value in result["a"].values())


def test_over_one_seed_there_is_no_spread():
    assert m.over_seeds([{"a": 0.1}]) == {"a": {"mean": 0.1, "std": None, "sem": None, "n": 1}}


def test_over_seeds_never_averages_a_subset():
    result = m.over_seeds([{"a": 0.1, "b": None, "c": 0.2}, {"a": None, "b": None, "c": 0.4}])
    assert result.keys() == {"a", "c"}
    assert result["a"] == {"mean": None, "std": None, "sem": None, "n": 2}
    assert result["c"]["mean"] == near(0.3)
