"""Commands of the documentation, read by the parsers of the programs that they start."""

import contextlib
import importlib.util
import io
import re
import shlex

from processes import ROOT

PROJECT = (ROOT / "pyproject.toml").read_text()
SCRIPTS = dict(re.findall(r'^(keras-cl[\w-]*) = "([\w.]+):cli"$', PROJECT, re.M))
EXTRAS = set(re.findall(r"^(\w+) = \[", PROJECT.partition("[project.optional-dependencies]")[2], re.M))
# Where a program's parser is not the `parse` of its module.
PARSERS = {
    "keras_cl.main": "keras_cl.settings.flags:parse",
    "keras_cl.compare": "keras_cl.compare.flags:parse",
    "tuning.search": "tuning.settings:parse",
    "pipelines.run": "pipelines.settings:parse",
    "results.figures": "results.figures:parse_nothing",
}
# What else such a program looks at before anything runs, from what its parser returns.
THEN = {"keras_cl.compare": "keras_cl.compare.program:Comparison.of"}
TOOLS = ("venv", "pytest", "mkdocs")  # modules of others
SHELL = (".", "echo", "export", "cd", "mkdocs")


def understood(words, named=False):
    """Raises an error if a command cannot be understood, and returns whether its program is known at all.

    Args:
      words: of the command.
      named: whether a program of ours without flags is a name, as in a sentence, and not a command.
    """
    program, *given = words
    program = program.rpartition("/")[2] or program
    if program in ("python", "python3"):
        _python(given, named)
    elif program in SCRIPTS:
        _parsed(SCRIPTS[program].removesuffix(".__main__"), given)
    elif program == "pip":
        _installed(given)
    elif program == "ruff":
        assert f"{shlex.join(words)}\n" in (ROOT / ".ci/run").read_text(), words
    else:
        return program in SHELL
    return True


def _python(given, named):
    """Of `python`: a module of ours with its flags, one of others, or a program that compiles."""
    if given[0] == "-c":
        compile(given[1], "<command>", "exec")
        return
    option, module, *flags = given
    assert option == "-m", given
    if module.startswith("benchmarks."):
        file = ROOT / f"{module.replace('.', '/')}.py"
        assert file.exists(), f"there is no {module}"
        assert flags == ["--save"] or not flags, flags
    elif module.partition(".")[0] in ("keras_cl", "tuning", "pipelines", "results"):
        if flags or not named:
            _parsed(module, flags)
        else:
            assert importlib.util.find_spec(module), f"there is no {module}"
    else:
        assert module in TOOLS, f"there is no {module}"


def _parsed(module, given):
    """Reads flags as the module does when it is run; help is printed and ends it."""
    parse = _found(PARSERS.get(module, f"{_main(module)}:parse"))
    if parse is None:
        assert not given, f"{module} takes no arguments"
        return
    then = _found(THEN[module]) if module in THEN else lambda parsed: None
    ended = None
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            then(parse([module, *given]))
        except SystemExit as end:
            ended = end
    assert ended is None or (ended.code == 0 and "--help" in given and said.getvalue()), (module, given)


def _found(name):
    """The function "module:name", None if there is none."""
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _main(module):
    """The file that `python -m` runs: that of the module, or its __main__."""
    return f"{module}.__main__" if (ROOT / module.replace(".", "/")).is_dir() else module


def _installed(given):
    """Of `pip`: files and extras that exist."""
    assert given[0] == "install", given
    for word in given[1:]:
        extras = re.search(r"\[([\w,]+)\]$", word)
        assert not extras or set(extras[1].split(",")) <= EXTRAS, word
    files = [word for before, word in zip(given, given[1:], strict=False) if before == "-c"]
    assert all((ROOT / file).exists() for file in files), files
