"""Each plot draws the numbers of the runs: its marks are compared with them."""

import csv
import dataclasses
import pathlib
import subprocess
import sys

import made_groups
import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_cl import metrics
from keras_cl.errors import InputError
from keras_cl.report import figures, plots
from keras_cl.report.plots.looks import LINES, MARKERS, look
from keras_cl.report.plots.seeds import matrices
from keras_cl.runs.results import Results

pytestmark = pytest.mark.filterwarnings("error")
HELPERS = {"cells", "epochs", "lines", "looks", "marks", "points", "seeds"}


def drawn(name, *groups, **options):
    """Axes and marks of a plot, drawn as in a notebook."""
    plot = plots.plot(name)
    assert plot.applies(groups)
    axes = Figure().subplots(1, plot.PANELS)
    return axes, plot.draw(axes, groups, **options)


def of(marks, label):
    """Points of the series of a label: `{x: y}`; its band has none."""
    (mark,) = [mark for mark in marks if mark.label == label and len(mark.x)]
    assert len(mark.x) == len(mark.y) == len(mark.texts)
    return dict(zip(mark.x.tolist(), mark.y.tolist(), strict=True))


def near(values):
    return pytest.approx(values, abs=1e-9)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A group with something for every plot."""
    path = tmp_path_factory.mktemp("run")
    made_groups.write_curvature(path)
    made_groups.write_samples(path)
    made_groups.write_generator_quality(path)
    return made_groups.group(path=path)


# ---- the package -----------------------------------------------------------------------------------------


def test_every_file_is_a_plot_or_what_plots_share():
    files = {file.stem for file in pathlib.Path(plots.__file__).parent.glob("*.py")}
    assert files - HELPERS - {"__init__"} == set(plots.names())
    assert set(plots.names()) <= set(dir(plots)) and plots.average is plots.plot("average")


def test_a_plot_that_there_is_not_is_one_sentence():
    with pytest.raises(InputError, match="plot 'averag' is not known.* Did you mean average?"):
        plots.plot("averag")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = plots.nothing


@pytest.mark.parametrize("name", plots.names())
def test_every_plot_says_what_it_shows(name):
    plot = plots.plot(name)
    assert plots.title(name) and not plots.title(name).endswith(".")
    assert plots.description(name).endswith(".")
    assert plot.PANELS >= 1 and {plot.WIDE, plot.SINGLE} <= {True, False}


@pytest.mark.parametrize("name", plots.names())
def test_every_plot_applies_to_runs_that_have_everything_and_says_its_points(name, whole):
    axes, marks = drawn(name, whole)
    assert any(len(mark.x) for mark in marks)
    for mark in marks:
        assert len(mark.x) == len(mark.y) == len(mark.texts)
        assert np.isfinite(np.array(mark.x, float)).all() and np.isfinite(np.array(mark.y, float)).all()
        assert all(text and "nan" not in text for text in mark.texts)
    assert all(panel.get_xlabel() for panel in np.ravel(axes))


@pytest.mark.parametrize("name", plots.names())
def test_no_plot_applies_to_runs_that_have_nothing(name, whole):
    empty = made_groups.group(done=0, epochs=0)
    records = [{"accuracies": [None] * 5, "epochs": []}]
    runs = [dataclasses.replace(run, results=Results(records)) for run in empty.runs]
    assert not plots.plot(name).applies([dataclasses.replace(empty, runs=runs)])


def test_runs_of_an_earlier_version_have_no_losses_and_classes(whole):
    new = ("losses", "class_accuracies", "confusion")
    runs = []
    for run in whole.runs:
        records = [
            {name: v for name, v in record.items() if name not in new} for record in run.results.records
        ]
        runs.append(dataclasses.replace(run, results=Results(records)))
    old = dataclasses.replace(whole, runs=runs)
    left_out = [name for name in plots.names() if not plots.plot(name).applies([old])]
    assert left_out == ["loss_matrix", "confusion", "class_accuracy"]


@pytest.mark.parametrize("name", plots.names())
def test_one_task_of_one_seed_can_be_drawn(name, whole):
    group = made_groups.group(tasks=1, seeds=1, path=whole.runs[0].path)
    if plots.plot(name).applies([group]):
        figures.figure(name, [group])
    else:
        assert name in ("forgetting", "stability_plasticity")  # nothing can be forgotten


def test_plots_load_no_matplotlib():
    program = (
        "import sys; from keras_cl.report import figures, plots\n"
        "for name in plots.names(): plots.plot(name)\n"
        "print(*{'matplotlib', 'tensorflow', 'pandas', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


# ---- matrices --------------------------------------------------------------------------------------------


def test_the_matrix_is_the_mean_over_seeds(whole):
    _, (mark,) = drawn("matrix", whole)
    mean, std = matrices(whole).mean(axis=0), matrices(whole).std(axis=0, ddof=1)
    image = np.asarray(mark.artist.get_array())
    for x, y, text in zip(mark.x, mark.y, mark.texts, strict=True):
        value = f"{100 * mean[y, x]:.1f} ± {100 * std[y, x]:.1f} %, 3 seeds"
        after = "untrained" if y == 0 else "after 1 task" if y == 1 else f"after {y} tasks"
        assert text == f"ewc, task {x + 1} {after}: {value}"
        assert image[8 * y + 3, 8 * x + 3] == near(100 * mean[y, x])
    assert len(mark.texts) == 30


def test_cells_that_were_not_measured_are_empty_and_a_row_of_them_is_left_out():
    group = made_groups.group(tasks=3, seeds=1)
    records = [dict(record) for record in group.runs[0].results.records]
    for after, record in enumerate(records):
        record["accuracies"] = [a if task < after else None for task, a in enumerate(record["accuracies"])]
    run = dataclasses.replace(group.runs[0], results=Results(records))
    axes, (mark,) = drawn("matrix", dataclasses.replace(group, runs=[run]))
    places = set(zip(mark.x.tolist(), mark.y.tolist(), strict=True))
    assert places == {(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2", "3"]
    assert len(axes.texts) == 6 and np.ma.getmaskarray(mark.artist.get_array())[0, 9]


def test_losses_are_means_in_nats(whole):
    _, (mark,) = drawn("loss_matrix", whole)
    mean = np.mean([run.results.losses for run in whole.runs], axis=0)
    image = np.asarray(mark.artist.get_array())
    np.testing.assert_allclose(image[3::8, 3::8], mean)
    assert mark.texts[-1].startswith(f"ewc, task 5 after 5 tasks: {mean[5, 4]:.3f} ± ")
    assert mark.texts[-1].endswith(" nats, 3 seeds")


@pytest.mark.parametrize(("high", "expected"), [(0.4, set()), (40.0, {"40"})])
def test_small_losses_are_not_written_as_0(high, expected):
    group = made_groups.group(tasks=40, seeds=1, epochs=0)
    for record in group.runs[0].results.records:
        record["losses"] = [high] * 40
    figure, _ = figures.figure("loss_matrix", [group])
    assert {text.get_text() for text in figure.axes[0].texts} == expected


def test_the_confusion_matrix_is_the_sum_over_seeds_in_percent_of_the_true_class(whole):
    axes, (mark,) = drawn("confusion", whole)
    counts = sum(run.results.confusion[1] for run in whole.runs)
    image = np.asarray(mark.artist.get_array())[3::8, 3::8]
    np.testing.assert_allclose(image, 100 * counts / counts.sum(axis=1, keepdims=True))
    own = f"ewc, class 0 taken for 0: {counts[0, 0]} of {counts[0].sum()} images"
    assert mark.texts[0].startswith(own) and mark.texts[0].endswith("3 seeds")
    assert len(mark.texts) == np.count_nonzero(counts)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_losses_of_tasks_to_come_are_left_out_where_they_were_not_measured():
    group = made_groups.group(tasks=3)
    for run in group.runs:
        for after, record in enumerate(run.results.records):
            record["losses"] = [2.0 if task < after else None for task in range(3)]
    _, (mark,) = drawn("loss_matrix", group)
    assert len(mark.texts) == 6 and mark.artist.get_clim() == (0, 2)


def test_a_thousand_classes_are_one_image_of_their_size():
    group = made_groups.group(tasks=2, seeds=1)
    group.runs[0].results.records[-1]["confusion"] = {
        "labels": list(range(1000)),
        "counts": (np.eye(1000, dtype=int) * 9 + 1).tolist(),
    }
    axes, (mark,) = drawn("confusion", group)
    assert mark.artist.get_array().shape == (1000, 1000) and not axes.texts
    assert len(mark.texts) == 10_000 and "class 999 taken for 999: 10 of 1,009 images" in mark.texts[-1]
    group.runs[0].results.records[-1]["confusion"]["counts"] = np.eye(1000, dtype=int).tolist()
    assert len(drawn("confusion", group)[1][0].texts) == 1000


def test_the_accuracy_of_a_class_is_the_mean_over_tasks_learned_that_have_it():
    group = made_groups.group(tasks=2, seeds=1)
    records = group.runs[0].results.records
    records[0]["class_accuracies"] = {}
    records[1]["class_accuracies"] = {"0": {"3": 0.9, "7": 0.5}, "1": {"3": 0.1}}
    records[2]["class_accuracies"] = {"0": {"3": 0.8, "7": 0.4}, "1": {"3": 0.2, "8": 1.0}}
    axes, (mark,) = drawn("class_accuracy", group)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3", "7", "8"]
    assert dict(zip(zip(mark.x.tolist(), mark.y.tolist(), strict=True), mark.texts, strict=True)) == {
        (0, 0): "ewc, class 3 after 1 task: 90.0 %, 1 seed",
        (1, 0): "ewc, class 7 after 1 task: 50.0 %, 1 seed",
        (0, 1): "ewc, class 3 after 2 tasks: 50.0 %, 1 seed",
        (1, 1): "ewc, class 7 after 2 tasks: 40.0 %, 1 seed",
        (2, 1): "ewc, class 8 after 2 tasks: 100.0 %, 1 seed",
    }


# ---- lines -----------------------------------------------------------------------------------------------


def test_tasks_by_epoch_begin_where_they_are_learned(whole):
    axes, marks = drawn("tasks", whole)
    for task in range(5):
        epochs = np.arange(2 * task + 1, 11)
        means = [
            np.mean(
                [
                    run.results.records[(e + 1) // 2]["epochs"][(e + 1) % 2]["accuracies"]
                    for run in whole.runs
                ],
                0,
            )
            for e in epochs
        ]
        assert of(marks, f"task {task + 1}") == near(
            {e: 100 * m[task] for e, m in zip(epochs.tolist(), means, strict=True)}
        )
    assert axes.get_xlabel() == "epochs over all tasks"
    boundaries = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert boundaries == [2.5, 4.5, 6.5, 8.5]


def test_tasks_by_task_are_columns_of_the_matrix_and_their_mean_is_the_average_accuracy(whole):
    _, marks = drawn("tasks", whole, by="task")
    mean = 100 * matrices(whole).mean(axis=0)
    for task in range(5):
        assert of(marks, f"task {task + 1}") == near({t: mean[t, task] for t in range(task + 1, 6)})
    seen = of(marks, "mean of tasks seen")
    assert seen == near({t: mean[t, :t].mean() for t in range(1, 6)})
    _, average = drawn("average", whole)
    assert of(average, "ewc") == near(seen)


def test_what_was_measured_after_the_last_task_alone_is_seen_among_all_tasks():
    group = made_groups.group(tasks=5, seeds=2, epochs=0)
    for run in group.runs:
        for record in run.results.records[:-1]:  # as joint training, which waits for the last task
            record["accuracies"] = [None] * 5
    axes, marks = drawn("tasks", group)
    assert [label.get_text() for label in axes.get_xticklabels()] == list("12345")
    assert axes.get_xlim()[0] <= 1 and axes.get_xlim()[1] >= 5
    lines = [mark.artist for mark in marks if len(mark.x)]
    assert len(lines) == 6 and all(line.get_marker() not in ("None", "") for line in lines)


def test_seeds_whose_epochs_differ_are_not_averaged():
    group = made_groups.group(tasks=2, seeds=2)
    del group.runs[1].results.records[1]["epochs"][0]  # it stopped early
    axes, marks = drawn("tasks", group)
    assert axes.get_xlabel() == "epochs over all tasks (seed 0)"
    own = group.runs[0].results.records[1]["epochs"][0]["accuracies"][0]
    assert of(marks, "task 1")[1] == near(100 * own)
    assert marks[0].texts[0].startswith("task 1, epoch 1 of task 1: ") and marks[0].texts[0].endswith(
        "1 seed"
    )


@pytest.mark.parametrize(
    ("name", "metric"), [("average", metrics.average_accuracy), ("forgetting", metrics.forgetting)]
)
def test_a_metric_has_a_line_per_group_in_a_band_of_a_standard_deviation(name, metric):
    groups = made_groups.group("ewc"), made_groups.group("er", seeds=4)
    axes, marks = drawn(name, *groups)
    for group in groups:
        values = {
            t: [100 * metric(R, t) for R in matrices(group)]
            for t in range(1, 6)
            if metric(matrices(group)[0], t) is not None
        }
        assert of(marks, group.label) == near({t: np.mean(v) for t, v in values.items()})
        (band,) = [mark.artist for mark in marks if mark.label == group.label and not len(mark.x)]
        t, v = list(values.items())[-1]
        heights = [y for x, y in band.get_paths()[0].vertices if x == t]
        assert (min(heights), max(heights)) == near(
            (np.mean(v) - np.std(v, ddof=1), np.mean(v) + np.std(v, ddof=1))
        )
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["ewc, 3 seeds", "er, 4 seeds"]


def test_forgetting_is_on_an_axis_that_has_0(monkeypatch):
    monkeypatch.setattr(plots.forgetting, "measured", lambda group: np.array([[np.nan, 91.3, 91.4]]))
    axes, _ = drawn("forgetting", made_groups.group(tasks=3, seeds=1))
    low, high = axes.get_ylim()
    assert low < 0 < 91.4 < high


def test_unfinished_seeds_are_in_no_figure_beside_finished_ones():
    group = made_groups.group(seeds=2)
    part = dataclasses.replace(group.runs[1], results=group.runs[1].results.up_to(2))
    both = dataclasses.replace(group, runs=[group.runs[0], part])
    _, marks = drawn("average", both)
    assert of(marks, "ewc") == near(
        {t: 100 * metrics.average_accuracy(group.runs[0].matrix, t) for t in range(1, 6)}
    )
    assert all(text.endswith("1 seed") for text in marks[0].texts)


def test_unfinished_runs_are_shown_as_such_up_to_where_they_are():
    groups = made_groups.group("ewc"), made_groups.group("er", done=2)
    axes, marks = drawn("average", *groups)
    assert list(of(marks, "er")) == [1, 2]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ewc", "er (unfinished)"]


@pytest.mark.parametrize("name", [name for name in plots.names() if not plots.plot(name).SINGLE])
@pytest.mark.parametrize("order", [1, -1])
def test_an_unfinished_group_can_be_among_others(name, order):
    groups = [made_groups.group("ewc"), made_groups.group("er", done=2), made_groups.group("si", done=0)]
    assert plots.plot(name).applies(groups)
    _, marks = figures.figure(name, groups[::order])
    assert any(len(mark.x) for mark in marks if mark.label == "ewc")


def test_learning_rates_are_one_line_unless_seeds_differ():
    group = made_groups.group(tasks=2, seeds=3)
    _, (mark,) = drawn("learning_rate", group)
    assert of([mark], "ewc") == near({1: 0.1, 2: 0.05, 3: 0.1, 4: 0.05})
    assert mark.texts[0] == "ewc, epoch 1 of task 1: 0.1, 3 seeds"
    group.runs[2].results.records[1]["epochs"][1]["learning_rate"] = 0.02
    _, marks = drawn("learning_rate", group)
    assert [mark.texts[1] for mark in marks] == [
        "ewc, epoch 2 of task 1: 0.05, seeds 0, 1",
        "ewc, epoch 2 of task 1: 0.02, seed 2",
    ]


def test_training_and_validation_are_the_records_of_the_epochs(whole):
    (loss, accuracy), marks = drawn("validation", whole)
    records = [[e for r in run.results.records for e in r["epochs"]] for run in whole.runs]
    for panel, names, scale in (
        (loss, ("loss", "val_loss"), 1),
        (accuracy, ("accuracy", "val_accuracy"), 100),
    ):
        for label, name in zip(("training rows", "validation rows"), names, strict=True):
            own = [mark for mark in marks if mark.artist.axes is panel]
            means = np.mean([[scale * epoch[name] for epoch in run] for run in records], axis=0)
            assert list(of(own, label).values()) == near(means.tolist())


def test_curvature_is_the_file(whole):
    _, marks = drawn("curvature", whole)
    lines = (whole.runs[0].path / "curvature.csv").read_text().splitlines()
    names, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    for label, name in (("eigenvalue 2", "eigenvalue_2"), ("measured", "task_1_forgetting")):
        column = names.index(name)
        expected = {int(row[0]): float(row[column]) for row in rows if row[column]}
        assert of(marks, label) == near(expected)


def test_the_quality_of_a_generator_is_the_file(whole):
    axes, marks = drawn("generator_quality", whole)
    assert [axis.get_xlabel() for axis in axes] == ["tasks learned"] * 3
    with open(whole.runs[0].path / "generator_quality.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for label, name, factor in (
        ("oracle on fake", "oracle_on_fake", 100),
        ("fake to real", "fake_to_real", 100),
        ("generated", "generated_frechet_distance", 1),
        ("nearest image, generated", "nearest_image_ratio", 1),
    ):
        assert of(marks, label) == near({int(row["task"]): factor * float(row[name]) for row in rows})


def test_neighbours_are_those_after_the_last_task_with_their_distances(whole):
    axes, (mark,) = drawn("nearest", whole)
    assert list(zip(mark.x, mark.y, strict=True)) == [(k, i) for i in range(3) for k in (1, 2)]
    assert mark.texts[3] == (
        "ewc, after 5 tasks: generated as 20, training image of class 22 at distance 5.20"
    )
    assert [text.get_text() for text in axes.texts] == ["5.1", "5.2"] * 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["10", "20", "30"]


# ---- points and images -----------------------------------------------------------------------------------


def test_learned_and_final_accuracies_of_one_group_and_of_several(whole):
    mean = 100 * matrices(whole).mean(axis=0)
    learned, final = [mean[t, t - 1] for t in range(1, 6)], mean[5].tolist()
    _, marks = drawn("learned_and_final", whole)
    assert of(marks, "learned") == near(dict(zip(range(1, 6), learned, strict=True)))
    assert of(marks, "final") == near(dict(zip(range(1, 6), final, strict=True)))
    _, marks = drawn("learned_and_final", whole, made_groups.group("er"))
    assert [*of(marks, "ewc").items()] == [near(point) for point in zip(learned, final, strict=True)]


def test_stability_is_one_minus_forgetting_and_plasticity_learning_accuracy(whole):
    _, (mark,) = drawn("stability_plasticity", whole)
    expected = [
        (100 * metrics.learning_accuracy(R), 100 * (1 - metrics.forgetting(R))) for R in matrices(whole)
    ]
    assert list(zip(mark.x, mark.y, strict=True)) == [near(point) for point in expected]
    assert mark.texts[1].startswith("ewc, seed 1: plasticity")


def test_cost_is_seconds_parameters_and_bytes_of_every_run(whole):
    axes, marks = drawn("cost", whole, made_groups.group("er", seeds=1))
    for panel, expected in zip(
        axes,
        (
            [sum(record["seconds"] for record in run.results.records[1:]) for run in whole.runs],
            [1000] * 3,
            [1000 + run.results.records[-1]["memory_bytes"] for run in whole.runs],
        ),
        strict=True,
    ):
        (mark,) = [mark for mark in marks if mark.artist.axes is panel and mark.label == "ewc"]
        assert mark.x.tolist() == near(expected)
        assert mark.y.tolist() == near([100 * metrics.average_accuracy(R) for R in matrices(whole)])


def test_runs_that_keep_nothing_are_whole_points():
    group = made_groups.group(seeds=2)
    for run in group.runs:
        run.results.records[-1].update(method_bytes=0, memory_bytes=0)
    axes, marks = drawn("cost", group)
    assert marks[-1].x.tolist() == [0, 0] and axes[2].get_xlim()[0] < -0.01


def test_a_cost_that_an_earlier_version_did_not_record_is_left_out():
    group = made_groups.group(seeds=1)
    for record in group.runs[0].results.records:
        del record["method_bytes"]
    axes, marks = drawn("cost", group)
    assert {mark.artist.axes for mark in marks} == {*axes[:2]}


def test_generated_images_are_one_of_each_row_of_a_grid(whole):
    _, (mark,) = drawn("samples", whole)
    image = np.asarray(mark.artist.get_array())
    height, width = image.shape[0] // 5, image.shape[1] // 10
    tiles = image[height // 2 :: height, width // 2 :: width]
    diagonal = np.arange(10) * 11  # image i of row i, sorted as they are
    np.testing.assert_allclose(255 * tiles, [diagonal + task for task in range(1, 6)], atol=0.01)
    assert mark.texts[1] == "ewc, generated after 2 tasks, seed 0"


# ---- looks -----------------------------------------------------------------------------------------------


def test_lines_differ_without_their_colours():
    looks = [look(number, 20) for number in range(len(LINES) * len(MARKERS))]
    assert len({(str(one["linestyle"]), one["marker"]) for one in looks}) == len(looks)
    assert len({one["color"] for one in looks[:7]}) == 7


def test_colours_are_those_of_the_style_in_use():
    import matplotlib

    with matplotlib.rc_context({"axes.prop_cycle": matplotlib.cycler(color=["#123456"])}):
        assert look(3)["color"] == "#123456"
    assert look(0)["color"] == "#0072B2"
