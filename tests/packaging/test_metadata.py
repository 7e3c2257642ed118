"""What is said to those who install: scripts, the page of the package, versions and bounds that agree."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from processes import sentence

import keras_cl

ROOT = pathlib.Path(__file__).parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text()
PAGE = (ROOT / "docs/package.md").read_text()
SCRIPTS = re.findall(r'^(keras-cl[\w-]*) = "([\w.]+):(\w+)"$', PROJECT, re.M)
VERSIONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT)


# ---- scripts ---------------------------------------------------------------------------------------------


def test_every_program_has_a_script():
    assert [module for _, module, _ in SCRIPTS] == [
        "keras_cl.main",
        "keras_cl.check.__main__",
        "keras_cl.compare.__main__",
        "pipelines.compile",
        "keras_cl.evaluate",
        "pipelines.lineage.__main__",
        "pipelines.run",
        "keras_cl.report.__main__",
        "tuning.search",
        "keras_cl.serve.__main__",
    ]


@pytest.mark.parametrize(("script", "module", "function"), SCRIPTS)
def test_a_script_is_what_its_module_runs(script, module, function):
    assert function == "cli"
    last = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text()).body[-1]
    assert ast.unparse(last) == "if __name__ == '__main__':\n    cli()"


@pytest.mark.parametrize(("script", "module", "function"), SCRIPTS)
def test_a_script_refuses_a_bad_flag_in_one_sentence(script, module, function):
    program = f"import sys; from {module} import {function}; sys.exit({function}())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", program, "--nonsense"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence(done.stderr).startswith("There is no flag --nonsense.")


# ---- pages -----------------------------------------------------------------------------------------------


def test_the_page_of_the_package_is_its_description():
    assert 'readme = "docs/package.md"' in PROJECT


def test_the_page_of_the_package_has_no_link_into_the_repository():
    links = re.findall(r"\]\(([^)]*)\)|^\[[^]]+\]:\s*(\S+)|(?:href|src)=[\"']([^\"']*)", PAGE, re.M)
    assert all(re.match(r"https?://", "".join(link)) for link in links), links


def test_the_page_of_the_package_has_the_loop_of_the_readme():
    (loop,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert loop in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_the_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == keras_cl.__version__
    assert (
        re.search(r"^license: (.*)$", citation, re.M)[1] == re.search(r'^license = "(.*)"$', PROJECT, re.M)[1]
    )


def test_the_types_are_announced():
    assert (ROOT / "keras_cl/py.typed").exists()
    assert 'package-data.keras_cl = ["py.typed", "report/page/*", "serve/page.html"]' in PROJECT


# ---- bounds ----------------------------------------------------------------------------------------------


def requirements(text):
    return [Requirement(line) for line in text]


NEEDED = requirements(
    found for found in re.findall(r'^  "([^"]*)",', PROJECT, re.M) if re.search(r"[<>=]=?\d", found)
)
CONSTRAINTS = requirements(
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
)


def test_the_bounds_are_read():
    assert {"absl-py", "tensorflow", "tf_keras"} <= {needed.name for needed in NEEDED}


@pytest.mark.parametrize("version", VERSIONS)
def test_constraints_are_within_the_bounds(version):
    here = {"python_version": version, "python_full_version": f"{version}.0"}
    pinned = {
        canonicalize_name(pin.name): pin.specifier
        for pin in CONSTRAINTS
        if not pin.marker or pin.marker.evaluate(here)
    }
    for needed in NEEDED:
        if not needed.marker or needed.marker.evaluate(here):
            (exact,) = pinned[canonicalize_name(needed.name)]
            assert exact.operator == "=="
            assert needed.specifier.contains(exact.version), f"{needed}: {exact}"
