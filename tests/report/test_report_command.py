"""python -m keras_cl.report: what it writes of runs that exist, and what it refuses."""

import contextlib
import io
import os
import sys
from unittest import mock

import pytest
from processes import PATIENCE, sentence, start
from saved_runs import matrix, write_run

from keras_cl.report import __main__ as program
from keras_cl.report import plots
from keras_cl.runs import seals
from keras_cl.settings import command


@pytest.fixture(autouse=True)
def few_plots(monkeypatch):
    """Two figures, of which one shows a single group: the others are not in question."""
    monkeypatch.setattr(plots, "names", lambda: ["matrix", "average"])


@pytest.fixture
def runs(tmp_path):
    """Folder with the runs ewc, si and er of a stream, and one of another stream."""
    folder = tmp_path / "runs"
    write_run(folder / "ewc", {0: matrix([0.5, 0.6, 0.9]), 1: matrix([0.6, 0.7, 0.8])})
    write_run(folder / "si", {0: matrix([0.2, 0.3, 0.9]), 1: matrix([0.3, 0.4, 0.8])}, method="si")
    write_run(folder / "er", {0: matrix([0.7, 0.7, 0.7])}, method="er")
    write_run(tmp_path / "other", {0: matrix([0.7, 0.7, 0.7])}, stream="permuted", scenario="domain")
    return folder


def said(*given):
    """Exit code, standard output and standard error of the command."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(os, "_exit", side_effect=sys.exit),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            command.plain(program.main)(command.parser(program.parse)(["report", *map(str, given)]))
        except SystemExit as end:
            code = end.code
    return code, output.getvalue(), errors.getvalue()


def refusal(*given):
    code, _, errors = said(*given)
    assert code == 1, errors
    return sentence(errors)


def names_in(folder):
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


# ---- what it writes --------------------------------------------------------------------------------------


def test_several_runs_are_compared_in_a_folder(runs, tmp_path):
    out = tmp_path / "out"
    given = runs / "ewc", f"--out={out}", runs / "si", "--format=html,png,svg,pdf", "--baseline=si"
    code, output, errors = said(*given)  # flags may stand between the runs
    assert (code, errors) == (0, "")
    figures = {f"figures/{name}" for name in ("matrix_ewc", "matrix_si", "average")}
    drawn = {f"{name}.{kind}" for name in figures for kind in ("png", "svg", "pdf")}
    assert names_in(out) == {"report.html", "table.md", "table.csv", "table.tex", *drawn}
    assert (out / "figures/average.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "figures/average.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (out / "figures/average.svg").read_text()
    assert "68.33" in output and str(out / "report.html") in output
    assert all("68.33" in (out / f"table.{kind}").read_text() for kind in ("md", "tex"))
    assert "to si" in (out / "report.html").read_text()


@pytest.mark.slow
def test_nothing_but_the_table_and_the_files_is_said(runs, tmp_path):
    given = f"{runs / 'ewc'}", f"{runs / 'si'}", f"--out={tmp_path / 'out'}", "--format=html,pdf"
    process = start("-m", "keras_cl.report", *given)
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert str(tmp_path / "out" / "report.html") in output
    assert "average.pdf" in output and "glyph" not in output


def test_one_run_has_its_page_in_its_own_directory(runs):
    before = names_in(runs / "ewc")
    code, output, _ = said(runs / "ewc")
    assert code == 0 and str(runs / "ewc" / "report.html") in output
    assert names_in(runs / "ewc") - before == {"report.html"}


def test_several_runs_go_to_report_unless_told_otherwise(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said("runs/ewc", "runs/si")[0] == 0
    assert names_in(tmp_path / "report") == {"report.html", "table.md", "table.csv", "table.tex"}


def test_a_pattern_names_all_runs_in_a_folder(runs, tmp_path):
    (runs / "notes.txt").write_text("no run")
    assert said(f"{runs}/*", f"--out={tmp_path / 'out'}")[0] == 0
    text = (tmp_path / "out" / "table.csv").read_text()
    assert all(label in text for label in ("ewc", "si", "er"))


def test_metrics_of_the_tables_can_be_chosen(runs, tmp_path):
    said(runs / "ewc", runs / "si", f"--out={tmp_path}", "--metrics=worst_accuracy,seconds")
    header = (tmp_path / "table.csv").read_text().splitlines()[0]
    assert "worst_accuracy_mean" in header and "seconds_mean" in header and "forgetting" not in header


def test_a_complete_run_stays_complete_with_a_report_that_was_written_again(runs):
    run = runs / "er"
    (run / "report.html").write_text("the first one")
    from keras_cl.runs.directory import RunDirectory

    RunDirectory(run).finish()
    assert said(run, "--style=ggplot")[0] == 0
    assert "<title>er on split digits</title>" in (run / "report.html").read_text()
    assert seals.changed(run) == []


def test_what_else_was_changed_in_a_complete_run_is_not_covered_up(runs):
    from keras_cl.runs.directory import RunDirectory

    run = runs / "er"
    for name in ("report.html", "summary.json"):
        (run / name).write_text("the first one")
    RunDirectory(run).finish()
    (run / "summary.json").write_text("changed")
    assert said(run)[0] == 0
    assert seals.changed(run) == ["report.html", "summary.json"]


# ---- what it refuses -------------------------------------------------------------------------------------


def test_what_it_does_not_know_it_says_with_the_nearest_name(runs, tmp_path):
    run, out = runs / "ewc", f"--out={tmp_path / 'out'}"
    assert "Did you mean ewc?" in refusal(runs / "ewk", out)
    assert "Did you mean pdf?" in refusal(run, out, "--format=html,pfd")
    assert "Did you mean forgetting?" in refusal(run, out, "--metrics=forgeting")
    assert "Did you mean si?" in refusal(run, runs / "si", out, "--baseline=sii")
    assert "Did you mean ggplot?" in refusal(run, out, "--style=ggplt")
    assert "Did you mean --baseline?" in refusal(run, out, "--base_line=si")
    assert not (tmp_path / "out").exists()


def test_no_run_and_an_empty_format_are_refused(runs):
    assert "python -m keras_cl.report" in refusal()
    assert "--format is empty" in refusal(runs / "ewc", "--format=")


def test_runs_of_different_streams_are_compared_only_when_asked_for(runs, tmp_path):
    given = runs / "ewc", tmp_path / "other", f"--out={tmp_path / 'out'}"
    assert "different streams" in refusal(*given) and "--across" in refusal(*given)
    assert not (tmp_path / "out").exists()
    assert said(*given, "--across")[0] == 0
    assert "Mean rank over 2 streams" in (tmp_path / "out" / "report.html").read_text()


def test_a_damaged_run_is_refused(runs, tmp_path):
    (runs / "ewc/seed_0/checkpoints/task_002/results.json").write_text("{")
    assert "damaged" in refusal(runs / "ewc")
    (runs / "si/config.json").write_text("{")
    assert "config.json cannot be read" in refusal(runs / "si")


def test_a_folder_that_cannot_be_written_is_refused(runs, tmp_path):
    (tmp_path / "file").touch()
    assert f"Writing to {tmp_path / 'file'} failed" in refusal(runs / "ewc", f"--out={tmp_path / 'file'}")
    assert "failed" in refusal(runs / "ewc", "--out=/proc/report")
