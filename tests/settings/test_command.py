"""How the programs end: help without docstrings, a reader that leaves, no memory, damaged command lines."""

import subprocess
import sys
import warnings

import pytest
from processes import ROOT, start

from keras_cl.errors import InputError, Notice
from keras_cl.settings import flags
from keras_cl.settings.command import plain
from keras_cl.settings.config import Config
from keras_cl.settings.options import document_of


def run(*command_line, **options):
    return subprocess.run(
        [sys.executable, *command_line], cwd=ROOT, capture_output=True, text=True, timeout=120, **options
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["keras_cl.main", "keras_cl.compare", "keras_cl.evaluate", "tuning.search", "keras_cl.check"]
)
def test_help_is_the_same_without_docstrings(module):
    whole, bare = run("-m", module, "--help"), run("-OO", "-m", module, "--help")
    assert bare.returncode == 0 and bare.stdout == whole.stdout and len(whole.stdout) > 400, bare.stderr


def test_documents_are_read_from_the_source_where_python_has_dropped_them(monkeypatch):
    whole = document_of(Config)
    monkeypatch.setattr(sys, "flags", type("Flags", (), {"optimize": 2}))
    monkeypatch.setattr(Config, "__doc__", "Config(method='ewc')")  # as a dataclass then has it
    assert document_of(Config).split() == whole.split() and "Args:" in whole


def test_a_reader_that_leaves_gets_no_traceback():
    with start("-c", PROGRAM) as process:
        assert process.stdout.readline() == "line 0\n"
        process.stdout.close()
        errors = process.stderr.read()
    assert errors == "" and process.returncode == 141


PROGRAM = r"""
from keras_cl.settings.command import end_with
end_with("\n".join(f"line {number}" for number in range(100_000)))
"""


def test_exhausted_memory_is_one_sentence(capsys):
    def main(config):
        raise MemoryError("Unable to allocate 3 PiB\nfor an array")

    with pytest.raises(SystemExit) as end:
        plain(main)(Config())
    assert end.value.code == 1
    assert capsys.readouterr().err == "Error: The memory is exhausted: Unable to allocate 3 PiB.\n"


def test_ctrl_c_is_one_sentence_and_ends_without_the_shutdown_of_tensorflow(capsys, monkeypatch):
    def main(config):
        raise KeyboardInterrupt

    left = []
    monkeypatch.setattr("os._exit", left.append)
    plain(main, "Stopped; the same command goes on.")(Config())
    assert left[0] == 130
    assert capsys.readouterr() == ("", "Stopped; the same command goes on.\n")


@pytest.mark.filterwarnings("default")
def test_notices_of_the_library_are_sentences_and_other_warnings_stay_as_they_are(capsys, monkeypatch):
    def main(config):
        warnings.warn("Growth has come to its limit.", Notice, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    monkeypatch.setattr(warnings, "showwarning", lambda *given, **_: print(given[1].__name__, given[0]))
    monkeypatch.setattr("os._exit", lambda code: None)
    plain(main)(Config())
    told = capsys.readouterr()
    assert told.err == "Warning: Growth has come to its limit.\n"
    assert told.out == "DeprecationWarning old\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--method.strength=inf", "--method.strength is inf; it must be a finite number."),
        ("--learning_rate=nan", "--learning_rate is nan; it must be a finite number."),
        ("--stream=rotated --stream.angles=1,nan", "--stream.angles is nan; it must be a finite number."),
        (
            "--iterations=99999999999999999999",
            "--iterations is too large; a whole number must be below 2**31.",
        ),
        ("--seeds=9223372036854775808", "--seeds is too large; a whole number must be below 2**63."),
        ("--run_dir=a\0b", "--run_dir is 'a\\x00b'; it must not contain a NUL character."),
        ("--iterations=1e20", "--iterations: '1e20' is not a whole number."),
    ],
)
def test_values_that_no_option_can_have_are_refused(given, said):
    with pytest.raises(InputError) as error:
        flags.parse(["main", *given.split(" ")])
    assert str(error.value) == said


def test_a_message_is_one_line_of_limited_length():
    said = str(InputError("first\n  second\0 " + 5000 * "9"))
    assert said == "first second\\x00 " + 40 * "9" + "..." + 10 * "9"


@pytest.mark.parametrize("program", ["tables", "run", "search", "figures"])
def test_the_programs_of_results_answer_a_call_for_help_alone(program, capsys, monkeypatch):
    from importlib import import_module

    from results import run

    monkeypatch.setattr(run, "measure", pytest.fail)
    module = import_module(f"results.{program}")
    parse = getattr(module, "parse_nothing", None) or module.parse
    with pytest.raises(SystemExit) as end:
        parse([program, "--help"])
    assert end.value.code == 0 and module.__doc__.strip() in capsys.readouterr().out
    with pytest.raises(InputError):
        parse([program, "no/such/row", "--values=1"])
    with pytest.raises(InputError):
        parse([program, "--halp"])
