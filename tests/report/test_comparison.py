"""Groups compared: what counts, what is best, differences to a baseline, ranks over streams."""

import numpy as np
import pytest
from saved_runs import matrix, write_run
from scipy import stats

from keras_cl import metrics
from keras_cl.errors import InputError
from keras_cl.report import sheets
from keras_cl.report.comparison import comparison
from keras_cl.report.groups import grouped
from keras_cl.runs.saved_run import read


@pytest.fixture
def runs(tmp_path):
    """A function that writes a run with these accuracies of seeds, and returns all so far in groups."""

    def write(accuracies, **settings):
        number = len(list(tmp_path.iterdir()))
        last = {seed: matrix(accuracy) for seed, accuracy in enumerate(accuracies)}
        write_run(tmp_path / f"{number:02d}", last, **settings)
        return grouped(read(f"{tmp_path}/*"))

    return write


def rows_of(found):
    return {row.label: row for row in found.rows}


def refused(groups, *arguments, **options):
    with pytest.raises(InputError) as error:
        comparison(groups, *arguments, **options)
    return str(error.value)


def test_means_over_seeds_of_any_metric_and_cost(runs):
    groups = runs([0.2, 0.4, 0.9])
    names = [*metrics.DESCRIPTIONS, *metrics.COSTS]
    (row,) = comparison(groups, names).rows
    for name in names:
        values = [run.summary[name] for run in groups[0].runs]
        if None in values:
            assert row.summaries[name] == (None, None, None, 3)
        else:
            assert row.summaries[name].mean == pytest.approx(np.mean(values))
            assert row.summaries[name].std == pytest.approx(np.std(values, ddof=1))
    assert (row.seeds, row.planned, row.best, row.near) == (3, 3, set(), set())


def test_only_finished_seeds_count(tmp_path):
    path = write_run(tmp_path / "a", {0: matrix(0.5), 1: matrix(0.9)[:3]}, planned=(0, 1, 2))
    found = comparison(grouped(read(path)), ["average_accuracy"])
    (row,) = found.rows
    assert (row.seeds, row.planned, row.summaries["average_accuracy"]) == (1, 3, (0.5, None, None, 1))
    assert found.tables[0].notes == [
        "ewc: Unfinished, and not in the numbers: seed 1: 2 of 3 tasks; seed 2: not begun."
    ]


def test_best_and_within_one_standard_error_of_it(runs):
    runs([0.80, 0.90], method="a")  # 0.85, with a standard error of 0.05
    runs([0.80, 0.81], method="b")  # 0.805: within
    groups = runs([0.79, 0.80], method="c")  # 0.795: not
    rows = rows_of(comparison(groups, ["average_accuracy", "forgetting", "forward_transfer", "parameters"]))
    marks = {"average_accuracy", "forgetting"}  # what is not defined or the same for all has no best
    assert [(row.best, row.near) for row in rows.values()] == [(marks, set()), (set(), marks), (set(), set())]


def test_the_best_of_single_runs_has_no_standard_error_and_ties_are_all_best(runs):
    runs([0.8], method="a")
    runs([0.8], method="b")
    rows = rows_of(comparison(runs([0.79999], method="c"), ["average_accuracy"]))
    assert [(row.best, row.near) for row in rows.values()] == [
        ({"average_accuracy"}, set()),
        ({"average_accuracy"}, set()),
        (set(), set()),
    ]


def test_differences_to_a_baseline_are_paired_and_corrected_over_the_methods(runs):
    values = {"finetune": [0.50, 0.55, 0.52], "er": [0.61, 0.70, 0.62], "ewc": [0.51, 0.57, 0.52]}
    for name, own in values.items():
        groups = runs(own, method=name)
    found = comparison(groups, ["average_accuracy"], baseline="finetune")
    rows = rows_of(found)
    assert found.tables[0].baseline == "finetune" and rows["finetune"].differences == {}
    ps = {name: stats.ttest_rel(values[name], values["finetune"]).pvalue for name in ("er", "ewc")}
    differences = {name: rows[name].differences["average_accuracy"] for name in ps}
    assert {name: one.p for name, one in differences.items()} == pytest.approx(ps, rel=1e-6)
    assert ps["er"] < ps["ewc"]
    assert differences["er"].p_holm == pytest.approx(2 * ps["er"], rel=1e-6)
    assert differences["ewc"].p_holm == pytest.approx(max(2 * ps["er"], ps["ewc"]), rel=1e-6)


def test_seeds_without_a_partner_are_said(tmp_path):
    write_run(tmp_path / "a", {seed: matrix(0.5 + seed / 100) for seed in (0, 1, 2)}, method="finetune")
    write_run(tmp_path / "b", {1: matrix(0.6), 2: matrix(0.7), 7: matrix(0.8)})
    found = comparison(grouped(read(f"{tmp_path}/*")), ["average_accuracy"], baseline="finetune")
    assert found.tables[0].notes == [
        "ewc: Without seeds 0, 7 in its differences: only one of the two has finished them."
    ]
    assert rows_of(found)["ewc"].differences["average_accuracy"].n == 2


def test_one_pair_and_equal_differences_have_no_p_in_any_format(runs):
    runs([0.5], method="finetune")
    found = comparison(runs([0.6]), ["average_accuracy"], baseline="finetune")
    assert rows_of(found)["ewc"].differences["average_accuracy"].p_holm is None
    assert sheets.of(found)[1].rows[0][1].text == "+10.00 (one pair)"


def test_the_baseline_is_a_label_or_a_method_that_is_there_once(runs):
    runs([0.5], method="finetune")
    runs([0.5])
    groups = runs([0.6], method__strength=1.0)
    assert comparison(groups, baseline="ewc, strength=1").tables[0].baseline == "ewc, strength=1"
    assert comparison(groups, baseline="finetune").tables[0].baseline == "finetune"
    assert "can be any of ewc, strength=100; ewc, strength=1" in refused(groups, baseline="ewc")
    assert refused(groups, baseline="finetun").endswith("Did you mean finetune?")


def test_unknown_metrics_are_refused(runs):
    groups = runs([0.5])
    assert refused(groups, ["forgeting"]).endswith("Did you mean forgetting?")
    assert refused([]) == "There is nothing to compare: no run is given."


def test_several_streams_have_a_table_each_and_ranks(runs):
    for scenario, (ewc, si) in {"class": (0.2, 0.3), "task": (0.9, 0.8), "domain": (0.5, 0.6)}.items():
        runs([ewc], scenario=scenario)
        groups = runs([si], method="si", scenario=scenario)
    assert "--across" in refused(groups)
    found = comparison(groups, ["average_accuracy", "forgetting", "seconds"], baseline="si", across=True)
    assert [table.label for table in found.tables] == [
        "split digits, class-incremental",
        "split digits, task-incremental",
        "split digits, domain-incremental",
    ]
    assert [[row.label for row in table.rows] for table in found.tables] == [["ewc", "si"]] * 3
    thirds = {"ewc": pytest.approx(5 / 3), "si": pytest.approx(4 / 3)}
    assert found.ranks == {
        "average_accuracy": thirds,
        "forgetting": thirds,
        "seconds": {"ewc": 1.5, "si": 1.5},
    }


def test_what_is_not_in_every_stream_is_not_ranked(runs):
    runs([0.9], method="hat", scenario="task")
    for scenario in ("task", "class"):
        runs([0.5], method="finetune", scenario=scenario)
        groups = runs([0.6], scenario=scenario)
    found = comparison(groups, ["average_accuracy"], baseline="hat", across=True)
    assert found.ranks == {"average_accuracy": {"hat": None, "finetune": 2.0, "ewc": 1.0}}
    assert found.tables[1].notes == ["There is no hat here, and so no difference to it."]
    assert not any(row.differences for row in found.tables[1].rows)
