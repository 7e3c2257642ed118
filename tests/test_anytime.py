"""Metrics of what is measured at any time of a pass, with numbers worked out by hand."""

import numpy as np
import pytest

from keras_cl import anytime, metrics

NAN = float("nan")
# Two phases of 30 rows each, measured after 20, 40 and 60 rows; the first class of phase 2 comes after 30.
ROWS = [20, 40, 60]
SEEN = [0.9, 0.4, 0.6]
PHASES = [[0.9, NAN], [0.3, 0.5], [0.5, 0.8]]
CURRENT = [1, 2, 2]


def records():
    rows = zip(ROWS, SEEN, PHASES, CURRENT, strict=True)
    return [
        {
            "rows": n,
            "seen_accuracy": a,
            "phase": p,
            "phase_1": one,
            "phase_2": None if np.isnan(two) else two,
        }
        for n, a, (one, two), p in rows
    ]


def test_the_area_is_a_mean_over_rows():
    assert anytime.anytime_area(ROWS, SEEN) == pytest.approx((0.9 + 0.4 + 0.6) / 3)
    # 20 rows at .9, 20 at .4, 5 at .6
    assert anytime.anytime_area([20, 40, 45], SEEN) == pytest.approx((18 + 8 + 3) / 45)


def test_the_average_is_over_measurements_of_means_over_phases_seen():
    assert anytime.average_anytime(PHASES) == pytest.approx((0.9 + (0.3 + 0.5) / 2 + (0.5 + 0.8) / 2) / 3)
    assert anytime.average_anytime([[NAN, NAN], [0.5, 0.8]]) is None


def test_the_lowest_and_the_final_accuracy():
    assert anytime.lowest_anytime(SEEN) == 0.4
    assert anytime.final_anytime(SEEN) == 0.6


def test_the_worst_case_trades_the_last_phase_off_with_the_minimum_of_the_others():
    assert anytime.min_acc(PHASES, CURRENT) == 0.3
    assert anytime.worst_case(PHASES, CURRENT) == pytest.approx(0.8 / 2 + 0.3 / 2)


def test_the_minimum_of_a_phase_begins_after_its_end_and_is_a_mean_over_phases():
    # Phase 1 ends before the second measurement, phase 2 before the fourth: .2 and .1 before do not count.
    phases = [[0.2, NAN, NAN], [0.7, 0.1, NAN], [0.6, 0.9, NAN], [0.8, 0.4, 0.3]]
    assert anytime.min_acc(phases, [1, 2, 2, 3]) == pytest.approx((0.6 + 0.4) / 2)
    assert anytime.worst_case(phases, [1, 2, 2, 3]) == pytest.approx(0.3 / 3 + 2 / 3 * 0.5)


def test_what_was_not_measured_is_none():
    assert anytime.min_acc([[0.5], [0.6]], [1, 1]) is None  # there is no earlier phase
    assert anytime.worst_case([[0.5], [0.6]], [1, 1]) == 0.6
    assert anytime.min_acc(PHASES, [1, 1, 1]) is None  # phase 1 never ended
    assert anytime.worst_case(PHASES, [1, 1, 1]) is None
    assert anytime.lowest_anytime([0.5, NAN]) is None


def test_what_makes_no_curve_is_refused():
    for rows, accuracies in (([10, 10], [0.1, 0.2]), ([0, 10], [0.1, 0.2]), ([10], [0.1, 0.2])):
        with pytest.raises(ValueError, match="needed are 2 numbers, ascending"):
            anytime.anytime_area(rows, accuracies)
    with pytest.raises(ValueError, match="at least one measurement"):
        anytime.lowest_anytime([])
    with pytest.raises(ValueError, match="measurements by phases"):
        anytime.average_anytime([0.5, 0.6])


def test_the_summary_of_records_has_every_number_that_is_described():
    summary = anytime.summary(records())
    assert summary.keys() == anytime.DESCRIPTIONS.keys()
    assert summary == {
        "anytime_area": anytime.anytime_area(ROWS, SEEN),
        "average_anytime": anytime.average_anytime(PHASES),
        "lowest_anytime": 0.4,
        "final_anytime": 0.6,
        "min_acc": 0.3,
        "worst_case": anytime.worst_case(PHASES, CURRENT),
    }
    assert {metrics.better(name) for name in summary} == {"higher"}


def test_records_of_a_run_with_tasks_have_no_such_numbers():
    assert anytime.summary([]) == anytime.summary([{"epoch": 1, "loss": 0.5}]) == {}


def test_ten_phases_are_in_the_order_of_their_numbers():
    record = {f"phase_{number}": number / 10 for number in (10, 2, 1, 3, 4, 5, 6, 7, 8, 9)}
    np.testing.assert_allclose(anytime.of_phases(record), np.arange(1, 11) / 10)
