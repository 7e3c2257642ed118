"""What the documentation says is run, or compared with the files that it comes from.

Every block of every page is Python that is run, commands that the parsers of their programs read, data that
are read, or text; a block that no test runs says why.
"""

import csv
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import yaml
from processes import free_ports, said
from understood import understood

from keras_cl.errors import InputError
from keras_cl.settings import catalog, flags
from keras_cl.settings.config import Config
from pipelines.components.example_gen import example_gen
from results import notebook, pages, tables

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
AXES = (ROOT / "docs/axes.md").read_text()
BLOCKS = [block for page in pages.WRITTEN for block in pages.blocks(page)]
# Pages whose Python is run by another test file.
ELSEWHERE = {
    "docs/extending.md": "test_extending.py",
    "docs/networks_keras3.md": "test_networks_keras3.py",
    "docs/package.md": "packaging/test_metadata.py",
    "docs/serving.md": "test_serving_page.py",
}
# Pages that are run as a whole, in the order of their commands.
WHOLE = {"docs/tutorial.md": "test_documentation.py", "docs/serving.md": "test_serving_page.py"}
# Blocks that say why no test runs them.
NOT_RUN = {"docs/pipelines.md": 3, "docs/serving.md": 1, "docs/tutorial.md": 1}


def test_the_two_commands_stand_in_continuous_integration_as_they_stand_in_the_readme():
    (train,) = re.findall(r"^python3 -m venv .*keras_cl.main.*$", README, re.M)
    (tests,) = re.findall(r"^python3 -m venv .*pytest$", README, re.M)
    run = (ROOT / ".ci/run").read_text()
    assert tests in run.splitlines()
    assert train.split(" && ")[-1] in run


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.stem)
def test_the_tables_and_numbers_equal_the_result_files(page):
    assert tables.filled(page) == page.read_text()


def test_a_number_that_is_not_in_a_result_file_is_refused(tmp_path):
    (tmp_path / "page.md").write_text("is <!-- result: digits/ewc accuracy -->99<!-- end --> percent")
    with pytest.raises(InputError, match="results/digits/ewc.json has no accuracy"):
        tables.filled(tmp_path / "page.md")


@pytest.mark.parametrize("page", pages.WRITTEN, ids=lambda page: page.stem)
def test_no_line_begins_with_the_mark_of_a_number(page):
    """Markdown takes such a line for HTML, and all of it for no text."""
    assert not re.search(r"^\s*<!-- result: ", page.read_text(), re.M)


def test_the_strengths_of_the_answers_are_those_that_were_found():
    found = [json.loads(file.read_text()) for file in ROOT.glob("results/*/*ewc*.search.json")]
    chosen = sorted(float(search["chosen"]) for search in found)
    assert f"goes from {chosen[0]:.0f} to {chosen[-1]:,.0f}" in (ROOT / "docs/questions.md").read_text()


def test_every_result_has_the_flagfile_that_made_it():
    numbers = {file.with_suffix("") for file in ROOT.glob("results/*/*.json")}
    others = {file for file in numbers if file.suffix == ".search" or file.name == "published"}
    assert numbers - others == {file.with_suffix("") for file in ROOT.glob("results/*/*.flags")}


@pytest.mark.parametrize("table", sorted(file.parent.name for file in ROOT.glob("results/*/published.json")))
def test_a_miss_has_a_reason_and_nothing_else_has_one(table):
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
    (loop,) = (block.text for block in BLOCKS if block.page == "README.md" and block.language == "python")
    names = {}
    exec(loop.replace("epochs=10", "epochs=1"), names)
    R = np.array(names["rows"])
    assert R.shape == (6, 5)
    assert R.diagonal(-1).mean() > 0.5


def test_the_example_of_a_method_is_the_file():
    assert (ROOT / "keras_cl/methods/l2.py").read_text() in {block.text for block in BLOCKS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of the pages, those that their commands name, and two short runs."""
    made = tmp_path_factory.mktemp("pages")
    for block in BLOCKS:
        if block.file:
            (made / block.file).write_text(block.text)
    (made / "runs.csv").write_text(next(block.text for block in BLOCKS if block.language == "csv"))
    shutil.copy(ROOT / "constraints.txt", made)
    for name in ("results", "pipelines", "docs"):
        (made / name).symlink_to(ROOT / name)
    for name in ("serving/models.config", "searches/ewc/best.flags", "mobilenet_v2_no_top.h5"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).touch()
    return made


def named(block):
    return f"{block.page}:{block.line}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.commands], ids=named)
def test_every_command_is_understood(block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for words in pages.commands(block.text):
        assert understood(words) or block.reason or block.page in WHOLE, words


@pytest.mark.parametrize(
    "command",
    [
        "python -m keras_cl.main --nonsense=1",
        "python -m keras_cl.main --method=nothing",
        "python -m keras_cl.compare --methods=ewc,hat --scenario=class",
        "python -m tuning.search --method=ewc --nonsense",
        "python -m keras_cl.nothing",
        "python -m benchmarks.nothing",
        "python -c 'print('",
        "pip install '.[nothing]'",
        "keras-cl --nonsense",
    ],
)
def test_a_command_that_is_wrong_is_not_understood(command):
    with pytest.raises((InputError, AssertionError, ModuleNotFoundError, SyntaxError)):
        understood(*pages.commands(command))


@pytest.mark.parametrize("command", ["curl http://localhost", "wget file", "docker run image"])
def test_programs_of_others_are_not_known(command):
    assert not understood(*pages.commands(command))


def test_commands_are_the_words_that_the_shell_starts():
    text = """\
A=1 python -m a --b="c d" \\
    --e > out.txt 2>&1 &
pip install x && python -m f | head -1   # what is said
cat server.pid       what is said
"""
    assert pages.commands(text) == [
        ["python", "-m", "a", "--b=c d", "--e"],
        ["pip", "install", "x"],
        ["python", "-m", "f"],
        ["head", "-1"],
        ["cat", "server.pid"],
    ]


def inline():
    """Commands in sentences, as `(page, command)`; those with places to fill in are left out."""
    for page in pages.WRITTEN:
        text = pages.FENCE.sub("", page.read_text())
        for found in re.findall(r"`((?:python -m|pip install|keras-cl)\b[^`]* [^`]*)`", text):
            if not re.search(r"[<>]|\.\.\.", found):
                yield page.relative_to(ROOT).as_posix(), " ".join(found.split())


@pytest.mark.parametrize(("page", "command"), sorted(set(inline())))
def test_every_command_in_a_sentence_is_understood(page, command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for words in pages.commands(command):
        assert understood(words, named=True), words


def test_blocks_that_are_not_run_say_why():
    given = {}
    for block in BLOCKS:
        if block.reason:
            assert len(block.reason.split()) > 2, named(block)
            given[block.page] = given.get(block.page, 0) + 1
    assert given == NOT_RUN


SHORT = ("--tasks=2", "--epochs=1", "--jit=off", "--network.hidden=16")
BEFORE = {
    "docs/keras.md": """
import tf_keras as keras, keras_cl
stream = keras_cl.streams.split("digits", tasks=5, scenario="class", valid_fraction=0.1)
model = keras_cl.methods.EWC(keras_cl.networks.mlp(stream, hidden=(16,)))
model.compile(keras.optimizers.Adam(1e-3))
task = stream[0]
""",
}


@pytest.fixture(scope="module")
def trained(folder):
    """The folder, with short runs, models and examples of the names that pages use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for method in ("ewc", "er"):
            given = f"--method={method}", "--stream=split", "--scenario=class", f"--run_dir=runs/{method}"
            assert said(*given, *SHORT)[0] == 0
        settings = Config(method="finetune", stream="split", dataset="digits").settings
        example_gen(json.dumps({"settings": settings, "places": {}}), 1, "", "", "path/to/examples", "code")
    return folder


def runnable():
    """Pages with Python that is run here, as `(page, program)`: all blocks of a page are one program."""
    programs = {}
    for block in BLOCKS:
        if block.language == "python" and not (block.reason or block.file):
            programs[block.page] = programs.get(block.page, "") + block.text
    others = {"README.md", *ELSEWHERE, *WHOLE}
    return {page: program for page, program in programs.items() if page not in others}


@pytest.mark.parametrize("page", runnable())
def test_the_python_of_a_page_runs(page, trained, monkeypatch):
    monkeypatch.chdir(trained)
    program = BEFORE.get(page, "") + runnable()[page].replace("epochs=10", "epochs=1")
    exec(compile(program, page, "exec"), {"__name__": "__main__"})


def test_python_that_is_run_elsewhere_is_read_there():
    for page, file in (ELSEWHERE | WHOLE).items():
        assert pathlib.Path(page).name in (ROOT / "tests" / file).read_text(), page


READERS = {
    "csv": lambda text: list(csv.DictReader(text.splitlines(), strict=True)),
    "json": json.loads,
    "toml": lambda text: pytest.importorskip("tomllib").loads(text),  # of Python 3.11
    "yaml": yaml.safe_load,
}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in READERS], ids=named)
def test_data_are_read(block):
    assert READERS[block.language](block.text)


def test_every_block_is_of_a_kind_that_is_tested():
    kinds = {block.language for block in BLOCKS}
    assert kinds <= {"", "sh", "text", "python", *READERS}, kinds


@pytest.mark.parametrize("axis", catalog.AXES)
def test_the_axes_name_everything_there_is_to_choose(axis):
    assert all(f"`{name}`" in AXES for name in catalog.names(axis))


def test_the_page_on_reports_has_every_flag():
    from keras_cl.report.__main__ import FLAGS

    page = (ROOT / "docs/report.md").read_text()
    assert not {flag.name for flag in FLAGS if f"| `--{flag.name}` |" not in page} - {"verbosity"}


def test_the_architecture_names_files_that_exist():
    page = (ROOT / "docs/architecture.md").read_text()
    named = set(re.findall(r"`((?:\w+/)*\w+\.py|(?:\w+/)+)`", page)) - {"trials/"}  # of a search
    assert len(named) > 80
    assert not {name for name in named if not any((top / name).exists() for top in (ROOT, ROOT / "keras_cl"))}


def test_the_readme_names_every_method_and_page():
    assert all(f"`{name}`" in README for name in catalog.names("method"))
    pages_of_users = {file.name for file in ROOT.glob("docs/*.md")} - {"package.md"}
    assert not {name for name in pages_of_users if f"(docs/{name})" not in README}
    assert len(README.splitlines()) < 110  # a screen and a half, beside its table


# ---- the tutorial ---------------------------------------------------------------------------------------


def test_the_notebook_is_the_tutorial():
    assert notebook.NOTEBOOK.read_text() == notebook.text()


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "agg")
    ports = free_ports(2)
    text = notebook.text().replace("8501", str(ports[0])).replace("8500", str(ports[1]))
    read = nbformat.reads(text, as_version=4)
    NotebookClient(read, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = {
        cell.source: "".join(out.get("text", "") for out in cell.outputs)
        for cell in read.cells
        if cell.cell_type == "code"
    }

    def output(words):
        (found,) = (out for source, out in outputs.items() if words in source)
        return found

    def accuracy(words):
        return float(re.search(r"^average accuracy +([\d.]+)", output(words), re.M)[1])

    assert accuracy("--method=ewc --stream=split") < 0.25 < 0.85 < accuracy("--method=er")
    assert '"state": "AVAILABLE"' in output("curl --silent --retry")
    assert len(json.loads(output(":predict"))["predictions"]) == 2
    assert accuracy("--endpoint") == accuracy("--method=er")
    for name in ("comparison/report.html", "comparison/table.tex", "runs/er/report.html", "average.png"):
        assert (tmp_path / name).exists(), name


def test_every_option_has_help():
    for axis in catalog.AXES:
        for name in catalog.names(axis):
            assert all(option.help for option in catalog.choice(axis, name).options)
    assert all(option.help for option in flags.main_options())


def sentences(page):
    """The sentences of a page that somebody wrote and that are long enough to be its own, as their words."""
    text = re.sub(
        r"<!-- results: .*?<!-- end -->|<!--.*?-->|^\|.*?$",
        "",
        pages.FENCE.sub("", page.read_text()),
        flags=re.S | re.M,
    )
    for paragraph in re.split(r"\n\n+|\n(?=- )", text):
        for found in re.split(r"(?<=[.:;])\s+", paragraph):
            words = " ".join(re.findall(r"\w+", found.lower()))
            if len(words) > 60:
                yield words


def test_no_sentence_stands_twice():
    places = {}
    for page in set(pages.WRITTEN) - {ROOT / "docs/package.md"}:  # read where there are no other pages
        for words in sentences(page):
            places.setdefault(words, []).append(page.name)
    assert not {words: names for words, names in places.items() if len(names) > 1}


@pytest.mark.parametrize("page", pages.WRITTEN, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", pages.FENCE.sub("", page.read_text())):
        if re.match(r"https?:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page):
    """The anchors of the headings of a page, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", pages.FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
