"""What the documentation says is run, or compared with the files that it comes from."""

import json
import pathlib
import re
import shlex

import numpy as np
import pytest

from keras_cl.settings import catalog, flags
from tuning import settings

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", README, re.S)
COMMANDS = re.findall(r"^(?:python|saved_model_cli) [^`]*?(?<!\\)$", README.replace("\\\n", " "), re.M)


def test_the_two_commands_stand_in_continuous_integration_as_they_stand_in_the_readme():
    (train,) = re.findall(r"^python3 -m venv .*keras_cl.main.*$", README, re.M)
    (tests,) = re.findall(r"^python3 -m venv .*pytest$", README, re.M)
    run = (ROOT / ".ci/run").read_text()
    assert tests in run.splitlines()
    assert train.split(" && ")[-1] in run


def test_the_tables_equal_the_result_files(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from results import tables

    for page in tables.PAGES:
        assert tables.filled(page) == page.read_text()


def test_every_result_has_the_flagfile_that_made_it():
    numbers = {file.with_suffix("") for file in ROOT.glob("results/*/*.json")}
    others = {file for file in numbers if file.suffix == ".search" or file.name == "published"}
    assert numbers - others == {file.with_suffix("") for file in ROOT.glob("results/*/*.flags")}


@pytest.mark.parametrize("table", sorted(file.parent.name for file in ROOT.glob("results/*/published.json")))
def test_a_miss_has_a_reason_and_nothing_else_has_one(table, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from results import tables

    for claim in json.loads((ROOT / f"results/{table}/published.json").read_text()):
        assert ("why" in claim) != tables.reproduced(table, claim), claim


@pytest.mark.parametrize("file", sorted(ROOT.glob("results/*/*.search.json")), ids=lambda file: file.name)
def test_a_searched_strength_is_the_best_on_validation_data_and_the_one_that_is_used(file):
    found = json.loads(file.read_text())
    best = max(found["validation_accuracy"], key=found["validation_accuracy"].get)
    flagfile = file.parent / f"{file.name.removesuffix('.search.json')}.flags"
    used = flags.parse(["main", f"--flagfile={flagfile}"])
    assert float(best) == float(found["chosen"]) == used.options["method.strength"]
    if file.parent.name == "digits":
        options = {option.name: option for option in catalog.choice("method", used.method).options}
        assert options["strength"].default == float(best)


@pytest.mark.parametrize("file", sorted(ROOT.glob("results/*/*.flags")), ids=lambda file: file.stem)
def test_every_flagfile_is_understood(file):
    assert flags.parse(["main", f"--flagfile={file}"]).seeds


def test_the_ten_line_loop_runs_as_printed():
    loop = next(block for block in CODE if "begin_task" in block).replace("epochs=10", "epochs=1")
    names = {}
    exec(loop, names)
    R = np.array(names["rows"])
    assert R.shape == (6, 5)
    assert R.diagonal(-1).mean() > 0.5


def test_the_example_of_a_method_is_the_file():
    assert (ROOT / "keras_cl/methods/l2.py").read_text() in CODE


@pytest.mark.parametrize("command", [c for c in COMMANDS if "keras_cl.main" in c and "--help" not in c])
def test_every_command_of_the_readme_is_understood(command):
    assert flags.parse(["main", *shlex.split(command)[3:]]).tasks


SEARCHES = re.findall(r"python -m tuning\.search ([^\n&`]*)", README.replace("\\\n", " "))


@pytest.mark.parametrize("given", SEARCHES)
def test_every_search_of_the_readme_is_understood(given):
    assert settings.parse(["search", *shlex.split(given)]).space


@pytest.mark.parametrize("axis", catalog.AXES)
def test_the_readme_names_everything_there_is_to_choose(axis):
    assert all(f"`{name}`" in README or f"networks.{name}(" in README for name in catalog.names(axis))


def test_every_option_has_help():
    for axis in catalog.AXES:
        for name in catalog.names(axis):
            assert all(option.help for option in catalog.choice(axis, name).options)
    assert all(option.help for option in flags.main_options())


def test_links_of_the_documentation_lead_somewhere():
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.S)):
            assert (page.parent / link).exists(), link
