"""The wheel: what it holds, and that it works where nothing else of this project is.

It is installed into an empty virtual environment of the Python that runs the tests; before a release
(`-m release`) of every other Python that is found too, on the PATH and in pyenv.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
HERE = "{}.{}".format(*sys.version_info)
OTHERS = [version for version in ("3.10", "3.11", "3.12", "3.13") if version != HERE]
OUTSIDE = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def ran(*line, **popen):
    """What a command says on its standard output; it must succeed, and does not see this checkout."""
    line = [str(part) for part in line]
    done = subprocess.run(line, env=OUTSIDE, capture_output=True, text=True, timeout=1800, **popen)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def interpreter(version):
    """A Python of this version that starts, or None."""
    named = shutil.which(f"python{version}")
    pyenv = pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for python in filter(None, (sys.executable, named, *pyenv)):
        asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(asked, capture_output=True, text=True).stdout.strip() == version:
            return python
    return None


def left_by_work(folder, names):
    """Which of these builds, tests and runs leave in the checkout."""
    patterns = (".*", "build", "*.egg-info", "runs", "saved_models", "searches")
    return shutil.ignore_patterns(*patterns)(folder, names) if folder == str(ROOT) else ()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the checkout, so that nothing of an earlier build is in it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(ROOT, folder / "source", ignore=left_by_work)
    ran(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source)
    (file,) = folder.glob("*.whl")
    return file


@pytest.mark.slow
def test_it_holds_the_library_and_nothing_beside_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    files = {name for name in names if ".dist-info/" not in name}
    sources = [file for part in ("keras_cl", "pipelines", "tuning") for file in (ROOT / part).rglob("*.py")]
    page = {f"keras_cl/report/page/{name}" for name in ("script.js", "style.css", "template.html")}
    others = {"keras_cl/py.typed", "keras_cl/serve/page.html", *page}
    assert files == {str(file.relative_to(ROOT)) for file in sources} | others
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_its_description_is_the_package_page(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    assert archive.read(metadata).decode().endswith((ROOT / "docs/package.md").read_text())


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(HERE, marks=pytest.mark.slow),
        *(pytest.param(other, marks=pytest.mark.release) for other in OTHERS),
    ],
)
def test_it_works_in_an_empty_environment(version, wheel, tmp_path):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    programs, folder = tmp_path / "venv/bin", tmp_path / "empty"
    folder.mkdir()
    ran(python, "-m", "venv", tmp_path / "venv")
    ran(programs / "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
    for program in ("keras-cl", "keras-cl-evaluate", "keras-cl-search"):
        assert "--data_dir" in ran(programs / program, "--help", cwd=folder)
    ran(programs / "keras-cl", "--method=ewc", "--tasks=2", "--epochs=1", cwd=folder)
    (matrix,) = folder.glob("runs/*/matrix.csv")
    assert len(matrix.read_text().splitlines()) == 4  # a headline and three rows
    (models,) = folder.glob("saved_models/*")
    ran(programs / "keras-cl-evaluate", f"--saved_model={models}", cwd=folder)
