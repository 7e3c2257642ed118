"""The building: imports go down the floors, nothing is loaded early, one Keras, and files stay small."""

import ast
import io
import pathlib
import subprocess
import sys
import tokenize

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY, PIPELINES = ROOT / "keras_cl", ROOT / "pipelines"

# From the ground up: a package imports only packages of the lines above its own, so that each can be read,
# tested and used without those below. Arrays know nothing of networks, networks nothing of methods, methods
# nothing of the program, and only the program knows flags, files and the screen.
LAYERS = [
    ["errors", "anytime", "_lazy"],
    ["metrics"],
    ["numerics", "devices", "sources"],
    ["streams", "learning"],
    ["regimes", "generators", "importance"],
    ["memories", "networks"],
    ["methods"],
    ["settings"],
    ["runs"],
    ["report"],
    ["task_loop", "serve"],
    ["train", "evaluate"],
    ["compare"],
    ["main", "check"],
]
# The same beside the library: examples, checks and lineage know nothing of components, components nothing of
# Kubeflow Pipelines, and only the programs know all.
PIPELINE_LAYERS = [
    ["artifacts", "settings", "guarded"],
    ["examples"],
    ["validation"],
    ["lineage"],
    ["components"],
    ["kubeflow"],
    ["run", "compile"],
]
EARLY = [
    "keras_cl",
    "keras_cl.compare.__main__",
    "keras_cl.evaluate",
    "keras_cl.main",
    "keras_cl.metrics",
    "keras_cl.report",
    "keras_cl.report.__main__",
    "keras_cl.serve.__main__",
    "keras_cl.settings.flags",
    "pipelines.compile",
    "pipelines.lineage.__main__",
    "pipelines.run",
]

MODULES = sorted(LIBRARY.rglob("*.py"))
STEPS = sorted(PIPELINES.rglob("*.py"))
SOURCES = sorted(
    file
    for folder in ("keras_cl", "tests", "benchmarks", "results", "pipelines", "tuning", "docs")
    for file in (ROOT / folder).rglob("*.py")
)


def named(files):
    return pytest.mark.parametrize("file", files, ids=[str(file.relative_to(ROOT)) for file in files])


def part_of(file, top=LIBRARY):
    """The package below `top` that a file belongs to, or the file's own name where it is in none."""
    return file.relative_to(top).parts[0].removesuffix(".py")


def layer_of(part, layers):
    return next(number for number, layer in enumerate(layers) if part in layer)


def imported(file):
    """Full names of all that a file imports, anywhere in it: `a.b` and `a.b.c` for `from a.b import c`."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} has a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


# ---- packages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("top", "layers"), [(LIBRARY, LAYERS), (PIPELINES, PIPELINE_LAYERS)])
def test_every_package_has_its_layer(top, layers):
    placed = [part for layer in layers for part in layer]
    assert len(placed) == len(set(placed))
    assert set(placed) == {part_of(file, top) for file in top.rglob("*.py")} - {"__init__"}


def test_the_folder_shows_the_architecture():
    packages = [folder for folder in LIBRARY.iterdir() if (folder / "__init__.py").exists()]
    assert len(packages) <= 17
    assert len(list(LIBRARY.glob("*.py"))) <= 12


@named([file for file in MODULES if file != LIBRARY / "__init__.py"])
def test_imports_go_down(file):
    assert_imports_go_down(file, LIBRARY, LAYERS)


@named([file for file in STEPS if file != PIPELINES / "__init__.py"])
def test_imports_of_pipelines_go_down(file):
    assert_imports_go_down(file, PIPELINES, PIPELINE_LAYERS)
    if not file.is_relative_to(PIPELINES / "kubeflow"):
        allowed = {"kfp", "kfp.compiler"} if file.name == "compile.py" else set()
        assert {name for name in imported(file) if name.split(".")[0] == "kfp"} <= allowed


def assert_imports_go_down(file, top, layers):
    own = part_of(file, top)
    parts = {name.split(".")[1] for name in imported(file) if name.startswith(f"{top.name}.")}
    for part in parts - {own}:
        assert layer_of(part, layers) < layer_of(own, layers), f"{own} imports {part}, which is not below it"


@pytest.mark.parametrize(("heading", "layers"), [("Packages", LAYERS), ("Pipelines", PIPELINE_LAYERS)])
def test_the_architecture_page_shows_the_same_layers(heading, layers):
    section = (ROOT / "docs/architecture.md").read_text().split(f"\n## {heading}\n")[1]
    picture = section.split("```")[1]
    shown = [set(line.split("  ")[0].split(", ")) for line in picture.strip().splitlines()]
    assert shown == [set(layer) for layer in layers[::-1]]


def test_the_ground_imports_nothing_of_the_library():
    assert not any(name.startswith("keras_cl") for name in imported(LIBRARY / "__init__.py"))


@named(MODULES)
def test_the_library_knows_nothing_of_what_stands_beside_it(file):
    beside = {"tuning", "results", "benchmarks", "pipelines", "tests"}
    assert not {name.split(".")[0] for name in imported(file)} & beside


@named([file for file in MODULES if file.stem != "flags"])
def test_only_flags_and_the_programs_know_absl(file):
    known = {name for name in imported(file) if name.split(".")[0] == "absl"}
    allowed = {
        "main": {"absl", "absl.app"},
        "evaluate": {"absl", "absl.app", "absl.flags"},
        "command": {"absl", "absl.flags"},
        "device": {"absl", "absl.logging"},
        "__main__": {"absl", "absl.app"},
    }
    assert known <= allowed.get(file.stem, set())


# ---- what is loaded --------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", EARLY)
def test_help_and_numbers_do_not_wait_for_tensorflow(module):
    program = (
        f"import os, sys; before = dict(os.environ), os.getcwd(); import {module}\n"
        "assert (dict(os.environ), os.getcwd()) == before\n"
        "print(*{'tensorflow', 'tf_keras', 'keras', 'matplotlib', 'sklearn', 'kfp'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_submodules_come_at_first_use():
    program = (
        "import keras_cl; keras_cl.metrics.forgetting; assert 'methods' in dir(keras_cl); keras_cl.nothing"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stderr.strip().endswith("AttributeError: module 'keras_cl' has no attribute 'nothing'")


# ---- one Keras -------------------------------------------------------------------------------------------


def other_keras(text):
    """Where a source uses another Keras than `import tf_keras as keras`; tests of Keras 3 networks say that
    they do: `import keras as keras3`."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.startswith(("keras.", "tensorflow.keras"))]
            found += [a.name for a in node.names if a.name == "keras" and a.asname != "keras3"]
            found += [a.name for a in node.names if a.name == "tf_keras" and a.asname != "keras"]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found += (
                [module] if module.split(".")[0] == "keras" or module.startswith("tensorflow.keras") else []
            )
            found += [f"{module}.keras" for a in node.names if (module, a.name) == ("tensorflow", "keras")]
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("tf.keras", "tensorflow.keras"):
            found.append(ast.unparse(node))
    return found


@named(SOURCES)
def test_there_is_one_keras(file):
    assert not other_keras(file.read_text())
    assert file.is_relative_to(ROOT / "tests") or "keras as keras3" not in file.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "import keras",
        "import keras.layers",
        "import tensorflow.keras as keras",
        "import tf_keras",
        "from keras import layers",
        "from keras.layers import Dense",
        "from tensorflow import keras",
        "from tensorflow.keras import layers",
        "def f():\n    return tf.keras.Model()",
    ],
)
def test_another_keras_would_be_seen(text):
    assert other_keras(text)


# ---- budgets ---------------------------------------------------------------------------------------------


def lines_of_code(text):
    """Number of lines that hold code: no blank lines, comments or docstrings."""
    tree, documents = ast.parse(text), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            documents |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    empty = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    code = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in empty:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - documents)


def test_lines_of_code_are_counted():
    document = '"""Says.\n\n    More."""'
    text = f"{document}\n\n# comment\nx = [\n    1,\n]\n\n\ndef f():\n    {document}\n    return x\n"
    assert lines_of_code(text) == 5


@named([*MODULES, *STEPS])
def test_files_stay_small(file):
    text, method = file.read_text(), file.parent == LIBRARY / "methods" and file.stem != "base"
    assert lines_of_code(text) <= (80 if method else 200)
    assert len(text.splitlines()) <= (120 if method else 320)


@named([*MODULES, *STEPS])
def test_functions_fit_on_a_screen(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} has more than 60 lines"


@named([*MODULES, *STEPS])
def test_every_module_says_first_what_it_is(file):
    first = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n")[0]
    assert first.endswith((".", ":")), "the first line is no sentence"
