"""Tables in every format: the same numbers, escaped for what reads them."""

import csv
import io
import re

import pytest
from rich.console import Console
from saved_runs import matrix, write_run

from keras_cl import metrics
from keras_cl.report import sheets
from keras_cl.report.groups import grouped
from keras_cl.report.tables import as_csv, as_markdown, as_rich, as_tex, comparison
from keras_cl.runs.saved_run import read

NAMES = ["average_accuracy", "forgetting", "forward_transfer", "seconds", "method_bytes", "parameters"]


@pytest.fixture
def found(tmp_path):
    """A comparison of three groups of two seeds; that of si is not finished."""
    for name, accuracies in {"finetune": (0.2, 0.21), "ewc": (0.80, 0.90), "er": (0.805, 0.825)}.items():
        write_run(tmp_path / name, dict(enumerate(map(matrix, accuracies))), method=name)
    write_run(tmp_path / "si", {0: matrix(0.5)[:2]}, method="si", planned=(0, 1))
    groups = grouped(read([tmp_path / name for name in ("finetune", "ewc", "er", "si")]))
    return comparison(groups, NAMES, baseline="finetune")


def printed(found, width=300):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="standard")
    console.print(as_rich(found))
    return console.file.getvalue()


def test_the_text_of_the_cells(found):
    first, second = sheets.of(found)
    assert first.header == [
        "",
        "seeds",
        "average accuracy, % ↑",
        "forgetting, % ↓",
        "forward transfer, % ↑",
        "seconds ↓",
        "method, MB ↓",
        "parameters ↓",
    ]
    texts = [[cell.text for cell in row] for row in first.rows]
    assert texts[0] == [
        "finetune", "2", "20.50 ± 0.71", "74.50 ± 0.71", "not defined", "6.0", "1.05", "1,000"
    ]  # fmt: skip
    assert texts[3] == ["si", "0 of 2", *["unfinished"] * 6]
    assert [row[2].mark for row in first.rows] == ["", "best", "near", ""]
    assert {cell.mark for row in first.rows for cell in row[4:]} == {""}
    assert first.notes == [
        "The best mean is bold; means within one standard error of the best are underlined.",
        "si: Unfinished: seed 0: 1 of 3 tasks; seed 1: not begun.",
        "si: Without seeds 0, 1 in its differences: only one of the two has finished them.",
    ]
    assert [row[0].text for row in second.rows] == ["ewc", "er", "si"]
    assert [cell.text for cell in second.rows[0]][3:] == [
        "not defined",
        "0.0 (all differences are equal)",
        "0.00 (all differences are equal)",
        "0 (all differences are equal)",
    ]
    assert (
        second.rows[1][1].text == "+61.00 [+54.65, +67.35], p = 0.010"
    )  # 61 ± 12.706 * 0.5, atan(1 / 122) / 90°
    assert second.rows[1][2].text.startswith("−61.00 [−67.35, −54.65], p = ")
    assert second.rows[2][1].text == "no seed in common"


def test_the_terminal_shows_marks_and_notes(found):
    text = printed(found)
    assert re.search(r"\x1b\[1m *85\.00±7\.07", text) and re.search(r"\x1b\[4m *81\.50±1\.41", text)
    assert "si: Unfinished" in text and "mean difference to finetune" in text


def test_a_narrow_terminal_shows_every_number_in_one_piece(found):
    text = printed(found, width=120)
    for part in ("85.00±7.07", "[+54.65,", "+67.35]", "p = 0.010", "+61.00"):
        assert part in text
    assert "…" not in text


def test_markdown_has_as_many_cells_in_each_row(found):
    text = as_markdown(found)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines[:6]} == {9} and {line.count("|") for line in lines[6:]} == {8}
    assert "| ewc | 2 | **85.00 ± 7.07** |" in text and "<u>81.50 ± 1.41</u>" in text


def test_markdown_escapes_what_it_would_read(tmp_path):
    for number, rate in enumerate((0.1, 0.2)):
        path = tmp_path / str(number)
        write_run(path, {0: matrix(0.5)}, learning_rate=rate, method__text=f"a|*b*<i>[x]{number}")
    text = as_markdown(comparison(grouped(read(f"{tmp_path}/*")), ["average_accuracy"]))
    assert r"| ewc, learning\_rate=0.1, text=a\|\*b\*\<i\>\[x\]0 | 1 | 50.00 |" in text


def test_latex_is_a_table_of_booktabs(found):
    text = as_tex(found)
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 2
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 2
    for columns, body in re.findall(r"\\begin\{tabular\}\{(l+r+)\}\n(.*?)\\end\{tabular\}", text, re.S):
        rows = [line for line in body.splitlines() if line.endswith(r" \\")]
        assert len(rows) in (4, 5)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {len(columns) - 1}
    assert r"\textbf{85.00 $\pm$ 7.07}" in text and r"\underline{81.50 $\pm$ 1.41}" in text
    assert text.isascii() and text.count("{") == text.count("}") and text.count("$") % 2 == 0


def test_latex_escapes_what_it_would_read(tmp_path):
    for number in range(2):
        write_run(tmp_path / str(number), {0: matrix(0.5)}, method__text="~^#$\\{&_%<>" + str(number))
    text = as_tex(comparison(grouped(read(f"{tmp_path}/*")), ["average_accuracy"]))
    escaped = r"\textasciitilde{}\textasciicircum{}\#\$\textbackslash{}\{\&\_\%$<$$>$0"
    assert rf"ewc, text={escaped} & 1 & 50.00 \\" in text


def test_csv_has_all_numbers_in_full(found):
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(line["run"], line["seeds"], line["planned_seeds"]) for line in lines] == [
        ("finetune", "2", "2"),
        ("ewc", "2", "2"),
        ("er", "2", "2"),
        ("si", "0", "2"),
    ]
    for line, row in zip(lines, found.rows, strict=True):
        for name in NAMES:
            for part, value in row.summaries[name]._asdict().items():
                assert line[f"{name}_{part}"] == ("" if value is None else str(value))
    assert float(lines[2]["average_accuracy_difference"]) == pytest.approx(0.61)
    assert lines[0]["average_accuracy_difference"] == lines[3]["average_accuracy_difference"] == ""
    assert float(lines[2]["average_accuracy_p_holm"]) < 0.05 and lines[1]["forward_transfer_p"] == ""


def test_there_is_no_table_of_ranks_if_nothing_is_in_all_streams(tmp_path):
    write_run(tmp_path / "ewc", {0: matrix(0.5)}, scenario="class")
    write_run(tmp_path / "si", {0: matrix(0.5)}, method="si", scenario="task")
    found = comparison(grouped(read(f"{tmp_path}/*")), ["average_accuracy"], across=True)
    assert len(sheets.of(found)) == 2 and "rank" not in as_markdown(found)


def test_ranks_are_in_every_format(tmp_path):
    for scenario, accuracies in {"class": (0.2, 0.3), "task": (0.9, 0.95)}.items():
        for method, accuracy in zip(("ewc", "si"), accuracies, strict=True):
            path = tmp_path / (scenario + method)
            write_run(path, {0: matrix(accuracy)}, method=method, scenario=scenario)
    write_run(tmp_path / "hat", {0: matrix(0.99)}, method="hat", scenario="task")
    found = comparison(grouped(read(f"{tmp_path}/*")), ["average_accuracy"], across=True)
    sheet = sheets.of(found)[-1]
    assert [[cell.text for cell in row] for row in sheet.rows] == [
        ["ewc", "2.00"], ["si", "1.00"], ["hat", "not ranked"]
    ]  # fmt: skip
    assert [row[1].mark for row in sheet.rows] == ["", "best", ""]
    assert sheet.notes[1] == "Not ranked is what is not in all of them, or has no value in some."
    assert r"\textbf{1.00}" in as_tex(found) and "**1.00**" in as_markdown(found)
    assert "Mean rank over 2 streams" in printed(found)
    lines = csv.DictReader(io.StringIO(as_csv(found)))
    assert {line["run"]: line["average_accuracy_mean_rank"] for line in lines} == {
        "ewc": "2.0",
        "si": "1.0",
        "hat": "",
    }


@pytest.mark.parametrize("name", [*metrics.DESCRIPTIONS, *metrics.COSTS])
def test_every_metric_says_the_direction_that_its_definition_says(name):
    told = (metrics.DESCRIPTIONS | metrics.COSTS)[name]
    assert metrics.better(name) == ("lower" if "lower is better" in told or "0 is best" in told else "higher")


@pytest.mark.parametrize("name", metrics.GENERATOR)
def test_every_number_of_a_generator_says_the_direction_that_its_definition_says(name):
    told, way = metrics.GENERATOR[name], metrics.better(name)
    assert way == ("higher" if "1 is best" in told else "lower" if "0 is best" in told else None)


def test_a_number_that_only_a_method_reports_has_no_direction():
    assert metrics.better("generator_loss") is None and sheets.title_of("generator_loss") == "generator loss"
