"""Results: what a run has measured so far, and the numbers made of it."""

import numpy as np
import pytest
import tf_keras as keras

from keras_cl import metrics
from keras_cl.memories import Reservoir
from keras_cl.methods import ER
from keras_cl.methods.finetune import Finetune
from keras_cl.networks import mlp
from keras_cl.runs.results import Results, mean_costs, measures_over_seeds, plain, size_in_bytes
from keras_cl.streams import split

NAN = float("nan")
MATRIX = np.array([[0.1, 0.2], [0.9, 0.3], [0.8, 0.7]])


def records(matrix=MATRIX, epochs=(), seconds=1.0, used=None):
    """One record for each row of a matrix, as a run leaves them: what is counted grows with the tasks."""
    return [
        {
            "accuracies": plain(row),
            "rows": 100 if number else 0,
            "seconds": seconds * number,
            "epochs": list(epochs) if number else [],
            "parameters": 12,
            "network_bytes": 48,
            "method_bytes": 10 * number,
            "memory_bytes": 300,
            "memory_rows": 20 * number,
            "report": {} if used is None else {"used": used * number},
        }
        for number, row in enumerate(np.asarray(matrix))
    ]


def epoch(number, accuracies=None):
    record = {"epoch": number, "loss": 1.0 / number, "accuracy": 0.5, "seconds": 0.25}
    return record if accuracies is None else {**record, "accuracies": accuracies}


def test_the_matrix_has_a_row_for_each_record():
    results = Results(records())
    np.testing.assert_array_equal(results.matrix, MATRIX)
    assert results.tasks == 2 and len(results) == 3


def test_what_was_not_measured_is_nan_in_the_matrix_and_null_in_a_record():
    assert plain(np.array([0.5, NAN])) == [0.5, None]
    assert type(plain(np.array([1], np.float32))[0]) is float
    matrix = [[NAN, NAN], [0.9, NAN], [0.8, 0.7]]
    np.testing.assert_array_equal(Results(records(matrix)).matrix, matrix)


def test_the_summary_holds_every_measure_and_what_the_run_cost():
    summary = Results(records()).summary()
    assert {name: summary[name] for name in metrics.DESCRIPTIONS} == metrics.summary(MATRIX)
    rest = {name: value for name, value in summary.items() if name not in metrics.DESCRIPTIONS}
    assert rest == {
        "seconds": [1.0, 2.0],
        "parameters": 12,
        "network_bytes": 48,
        "method_bytes": [10, 20],
        "memory_bytes": [300, 300],
        "memory_rows": [20, 40],
        "model_size_efficiency": pytest.approx((1 + 58 / 68) / 2),
        "sample_storage_efficiency": pytest.approx(1 - (20 / 200 + 40 / 200) / 2),
    }


def test_what_a_method_reports_is_in_the_summary_as_one_number_a_task():
    summary = Results(records(used=0.25)).summary()
    assert summary["used"] == [0.25, 0.5]
    assert "report" not in summary and "used" not in metrics.DESCRIPTIONS


def test_over_seeds_times_and_reports_are_means_and_sizes_are_those_of_any():
    runs = [Results(records(seconds=1.0, used=0.25)), Results(records(seconds=4.0, used=0.1))]
    one = runs[0].costs()
    assert mean_costs([run.summary() for run in runs]) == {
        **one,
        "seconds": [2.5, 5.0],
        "used": [0.175, 0.35],
    }
    assert (one["parameters"], one["memory_rows"]) == (12, [20, 40])
    assert mean_costs([Results(records()).summary()] * 2) == Results(records()).costs()


def test_up_to_gives_the_results_as_they_stood():
    results = Results(records())
    np.testing.assert_array_equal(results.up_to(1).matrix, MATRIX[:2])
    assert results.up_to(0).tasks == 0 and results.up_to(2).records == results.records
    assert results.tasks == 2


def test_epochs_are_numbered_by_task_and_leave_out_what_was_not_measured():
    rows = list(Results(records(epochs=[epoch(1), epoch(2, [0.8, None])])).epochs())
    assert [(row["task"], row["epoch"]) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [(row["task_1"], row["task_2"]) for row in rows[:2]] == [(None, None), (0.8, None)]
    assert rows[1] == {
        "task": 1, "epoch": 2, "loss": 0.5, "accuracy": 0.5, "seconds": 0.25, "task_1": 0.8, "task_2": None,
    }  # fmt: skip


def test_before_the_first_task_there_are_no_epochs():
    assert list(Results(records()[:1]).epochs()) == []


def test_adding_measures_the_size_of_network_and_method():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model = Finetune(network)
    model.compile("sgd")
    results = Results()
    record = results.add(model, np.array([0.25, NAN]), 7, 1.5, [epoch(1)])
    assert results.records == [record] and results.tasks == 0
    assert (record["accuracies"], record["seconds"], record["epochs"]) == ([0.25, None], 1.5, [epoch(1)])
    assert (record["parameters"], record["network_bytes"]) == (3 * 2 + 2, 4 * (3 * 2 + 2))
    assert record["method_bytes"] == size_in_bytes(model.method_variables)
    assert record["report"] == {}


def test_adding_counts_the_memory_apart_from_the_method():
    stream = split("digits", tasks=5, scenario="class")
    model = ER(mlp(stream, hidden=(4,)), memory=Reservoir(stream, capacity=20))
    model.memory.update(stream[0])
    record = Results().add(model, np.zeros(5), rows=9)
    assert (record["rows"], record["memory_rows"]) == (9, 20)
    assert record["memory_bytes"] == 20 * (64 + 3 * 4) + 2 * 4  # bytes; unit, task and number; two counters
    assert record["method_bytes"] + record["memory_bytes"] == size_in_bytes(model.method_variables)


def test_adding_keeps_what_the_method_reports():
    model = Finetune(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    model.report = lambda: {"used": 0.5}
    assert Results().add(model, np.zeros(2))["report"] == {"used": 0.5}


def test_results_of_one_run_do_not_leak_into_another():
    first, second = Results(), Results()
    first.records.append(records()[0])
    assert len(second) == 0


def test_size_in_bytes_counts_elements_times_width():
    import tensorflow as tf

    variables = [tf.Variable(tf.zeros((3, 5))), tf.Variable(tf.zeros((), tf.int64))]
    assert size_in_bytes(variables) == 3 * 5 * 4 + 8
    assert size_in_bytes([]) == 0


# ---- what is measured besides the accuracies -------------------------------------------------------------


def measured(loss=0.5, accuracy=1.0, counts=((4, 0), (2, 2))):
    """Results after the last of two tasks with what a run measures, none of it before the first."""
    found = records([[NAN, NAN], [0.9, NAN], [0.8, 0.7]])
    found[1] |= {
        "losses": [loss, None],
        "class_accuracies": {"0": {"7": accuracy}},
        "class_rows": {"0": {"7": 4}},
    }
    found[2] |= {
        "losses": [loss, 2.0],
        "confusion": {"labels": [5, 7], "counts": [list(row) for row in counts]},
    }
    return Results(found)


def test_losses_are_a_matrix_as_the_accuracies():
    expected = [[NAN, NAN], [0.5, NAN], [0.5, 2.0]]
    np.testing.assert_array_equal(measured().losses, expected)


def test_accuracies_of_classes_have_their_place():
    assert measured().class_accuracies == [{}, {0: {7: 1.0}}, {}]
    row = {"after_tasks": 1, "task": 1, "label": 7, "rows": 4, "accuracy": 1.0}
    assert list(measured().by_class()) == [row]


def test_the_confusion_is_that_after_the_last_task():
    labels, counts = measured().confusion
    assert labels == [5, 7] and counts.tolist() == [[4, 0], [2, 2]]
    assert measured().up_to(1).confusion is None


def test_records_of_an_earlier_version_have_no_measures():
    earlier = Results(records())
    np.testing.assert_array_equal(earlier.losses, np.full([3, 2], NAN))
    assert earlier.confusion is None and earlier.class_accuracies == [{}] * 3
    assert list(earlier.by_class()) == []
    resumed = Results([*earlier.records[:2], measured().records[2]])
    np.testing.assert_array_equal(resumed.losses, [[NAN, NAN], [NAN, NAN], [0.5, 2.0]])


def test_seeds_have_mean_losses_and_accuracies_and_the_sum_of_their_confusions():
    losses, by_class, (labels, counts) = measures_over_seeds(
        [measured(), measured(1.5, 0.5, ((3, 1), (0, 4)))]
    )
    np.testing.assert_array_equal(losses, [[NAN, NAN], [1.0, NAN], [1.0, 2.0]])
    assert by_class == [{"after_tasks": 1, "task": 1, "label": 7, "rows": 4, "accuracy": 0.75}]
    assert labels == [5, 7] and counts.tolist() == [[7, 1], [2, 6]]


def test_what_a_seed_of_an_earlier_version_lacks_is_no_mean_of_the_others():
    losses, by_class, confusion = measures_over_seeds([measured(), Results(records())])
    assert np.isnan(losses).all() and by_class == [] and confusion is None
