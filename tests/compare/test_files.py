"""Runs from a folder of flagfiles, a TOML file and a CSV file."""

import sys

import pytest

from keras_cl.compare import flags, grid, program
from keras_cl.errors import InputError
from keras_cl.settings.flags import parse

needs_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML needs Python 3.11")


@pytest.fixture
def write(tmp_path):
    """Function that writes a file and returns the flag --runs for it."""

    def put(name, text):
        (tmp_path / name).write_text(text)
        return f"--runs={tmp_path / name}"

    return put


def cells(*given):
    found, impossible = grid.cells(flags.parse(["keras_cl.compare", *given]))
    assert not impossible
    return [(cell.label, cell.config) for cell in found]


def refusal(*given):
    with pytest.raises(InputError) as refused:
        program.Comparison.of(flags.parse(["keras_cl.compare", *given]))
    return str(refused.value)


CSV = 'method,--epochs,method.strength,seeds\newc,3,10,"0,1"\n\nfinetune,4,,\n'


def test_each_row_of_a_csv_is_a_run_and_an_empty_cell_gives_no_flag(write):
    found = cells(write("runs.csv", CSV), "--tasks=3", "--seeds=5")
    assert [label for label, _ in found] == [
        "runs.csv line 2 seed 0",
        "runs.csv line 2 seed 1",
        "runs.csv line 4 seed 5",
    ]
    (_, first), _, (_, last) = found
    assert (first.method, first.epochs, first.tasks, first.options) == (
        "ewc",
        3,
        3,
        {"method.strength": 10.0},
    )
    assert (last.method, last.epochs, last.tasks, last.options) == ("finetune", 4, 3, {})


TOML = """
[[run]]
method = "ewc"
"method.strength" = 10
seeds = [0, 1]

[[run]]
method = "finetune"
reset_optimizer = false
network.hidden = [8, 4]
"""


@needs_toml
def test_each_table_of_a_toml_file_is_a_run(write):
    found = cells(write("runs.toml", TOML), "--epochs=2")
    assert [label for label, _ in found][1:] == ["runs.toml line 2 seed 1", "runs.toml line 7 seed 0"]
    (_, first), _, (_, last) = found
    assert (first.method, first.epochs, first.options) == ("ewc", 2, {"method.strength": 10.0})
    assert (last.reset_optimizer, last.options) == (False, {"network.hidden": (8, 4)})


def test_each_flagfile_of_a_folder_is_a_run(write, tmp_path):
    write("b.flags", "--method=er\n--seeds=0,1\n")
    write("a.flags", "# a comment\n--method=finetune\n--epochs=3\n")
    write("notes.txt", "no run")
    found = cells(f"--runs={tmp_path}", "--epochs=2", "--memory.capacity=9")
    assert [(label, c.method, c.epochs) for label, c in found] == [
        ("a seed 0", "finetune", 3),
        ("b seed 0", "er", 2),
        ("b seed 1", "er", 2),
    ]
    assert [c.options.get("memory.capacity") for _, c in found] == [None, 9, 9]


@pytest.mark.parametrize("given", [(), ("--seeds=5,6", "--export=all")])
def test_the_command_of_a_flagfile_has_one_seed_and_the_models_that_are_asked_for(write, tmp_path, given):
    write("a.flags", "--method=ewc\n--seeds=0,1,2\n--export=last\n--run_dir=\n")
    write("b.flags", "--method=er\n")
    found, _ = grid.cells(flags.parse(["keras_cl.compare", f"--runs={tmp_path}", *given]))
    others = [("b", (5,), "all"), ("b", (6,), "all")] if given else [("b", (0,), "none")]
    expected = [("a", (seed,), "last") for seed in (0, 1, 2)] + others
    assert [(cell.label[0], cell.config.seeds, cell.config.export) for cell in found] == expected
    assert [parse(["", *cell.flags]) for cell in found] == [cell.config for cell in found]


@pytest.mark.parametrize("name", ["runs.csv", "ewc.flags"])
def test_a_run_of_a_file_keeps_its_own_options(name, write, tmp_path):
    text = "method,epochs,method.strength\newc,3,7\n"
    file = write(name, text if name == "runs.csv" else "--method=ewc\n--epochs=3\n--method.strength=7\n")
    place = file if name == "runs.csv" else f"--runs={tmp_path}"
    ((_, config),) = cells(place, "--epochs=2", "--method.strength=5")
    assert (config.epochs, config.options) == (3, {"method.strength": 7.0})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method,epoch\newc,3\n", "runs.csv line 1: there is no flag --epoch. Did you mean --epochs?"),
        ("method,epochs\newc,3\newc,x\n", "runs.csv line 3: --epochs: 'x' is not a whole number."),
        ("method,epochs\newc\n", "runs.csv line 2 has 1 cells, and line 1 2 names."),
        ("method,method.strenth\newc,1\n", "runs.csv line 2: The method ewc has no option --method.strenth."),
        ("method,method\newc,er\n", "runs.csv line 1 names --method twice."),
        ("method\newcc\n", "runs.csv line 2: method 'ewcc' is not known"),
        ("method,run_dir\newc,here\n", "runs.csv line 2: --run_dir"),
        ("method\n", "names no run"),
        ("", "is empty"),
        (f"method,epochs\newc,{'1' * 200_000}\n", "runs.csv line 2: field larger than field limit"),
    ],
)
def test_bad_cells_are_named_with_file_and_line(write, text, said):
    assert said in refusal(write("runs.csv", text))


def test_all_bad_rows_are_named_in_one_message(write):
    said = refusal(write("runs.csv", "method,epochs\newcc,1\nfinetune,0\newc,1\n"))
    assert "runs.csv line 2: method 'ewcc'" in said and "runs.csv line 3: --epochs is 0" in said
    assert "line 4" not in said


@needs_toml
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[run]]\nmethod = "ewc"\nmethod.strength = 3\n', '"method.strength" = 1.0'),
        ('[[runs]]\nmethod = "ewc"\n', "has 'runs' outside of [[run]]"),
        ('[run]\nmethod = "ewc"\n', "each run begins with [[run]]"),
        ("[[run]]\nlearnin_rate = 1\n", "runs.toml line 1: there is no flag --learnin_rate. Did you mean"),
        ("[[run]]\nepochs = 2024-01-01\n", "runs.toml line 1: --epochs is"),
        ("[[run]]\nepochs = 0\n", "runs.toml line 1: --epochs is 0"),
        ("", "names no run"),
    ],
)
def test_a_bad_toml_file_is_refused_in_one_sentence(write, text, said):
    assert said in refusal(write("runs.toml", text))


def test_what_is_no_file_of_runs_is_refused(write, tmp_path):
    assert "there is no such file" in refusal(f"--runs={tmp_path / 'none.csv'}")
    assert "there is no flagfile" in refusal(f"--runs={tmp_path}")
    assert "must be a folder of flagfiles" in refusal(write("runs.txt", "x"))
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert "it is no text" in refusal(f"--runs={tmp_path / 'bytes.csv'}")


def test_a_file_of_runs_and_a_list_are_not_both_given(write):
    file = write("runs.csv", CSV)
    assert "--runs=" in refusal(file, "--methods=ewc")
    assert "--runs=" in refusal(file, "--sweep.epochs=1,2")
