"""Choices from outside the library: how they are found, what is refused, and that they count as settings."""

import dataclasses
import json
import sys

import pytest
from helpers import silent
from processes import refusal

from keras_cl import train
from keras_cl.errors import InputError
from keras_cl.settings import catalog, external, flags, library
from keras_cl.settings.build import make_stream
from keras_cl.settings.config import Config

METHOD = '''
"""Mine: fine-tuning under another name."""

from typing import Literal

from keras_cl.methods.finetune import Finetune


class Mine(Finetune):
    """Trains.

    Args:
      network: raw images to logits.
      rate: of something, which
        takes a second line to say.
      kind: of something else.
      widths: several numbers.
    """

    scenarios = ("domain",)
    search = {"rate": (0.1, 1.0)}

    def __init__(
        self,
        network,
        *,
        rate: float = 0.5,
        kind: Literal["a", "b"] = "a",
        widths: tuple[int, ...] = (1, 2),
        hidden=None,
        **base,
    ):
        super().__init__(network, **base)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with a file mine.py; whatever was read of an earlier one is forgotten."""
    external.read.cache_clear()
    external.entry_points.cache_clear()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(METHOD)
    yield tmp_path
    external.entry_points.cache_clear()
    sys.modules.pop("mine", None)


def refused(*given):
    with pytest.raises(InputError) as error:
        flags.parse(["main", *given])
    return str(error.value)


# ---- found -----------------------------------------------------------------------------------------------


def every_choice():
    return [(axis, name) for axis in library.AXES for name in library.names(axis)]


@pytest.mark.parametrize(("axis", "name"), every_choice())
def test_importing_a_choice_reads_what_its_source_says(axis, name):
    """Both ways of reading come to the same options, so that a file of ours is an example for others."""
    source = library.read(axis, name)
    imported = external.read(axis, f"{source.module}:{source.symbol}")
    assert imported.title == source.title
    assert imported.options == source.options
    assert imported.symbol == source.symbol
    names = ("scenarios", "forgets_in", "search", "usual", "memories", "generated", "draws", "generates")
    for constant in (*names, "stored", "no_curvature", "plain_sgd"):
        assert imported.constants.get(constant) == source.constants.get(constant), constant


def test_a_file_gives_options_help_and_constants(folder):
    found = catalog.choice("method", "mine.py")
    assert (found.name, found.symbol, found.title) == (
        "mine",
        "Mine",
        "Mine: fine-tuning under another name.",
    )
    assert [option.name for option in found.options] == ["rate", "kind", "widths"]
    assert found.options[0].help == "of something, which takes a second line to say."
    assert found.options[1].choices == ("a", "b") and found.options[2].many
    assert found.constants["scenarios"] == ("domain",)
    assert found.origin["file"] == str(folder / "mine.py") and len(found.origin["sha256"]) == 64


def test_a_class_of_several_is_given_by_its_name(folder):
    with open(folder / "mine.py", "a") as file:
        file.write("\n\nclass Other(Mine):\n    'Other.'\n")
    assert catalog.choice("method", "mine.py").symbol == "Other"
    assert catalog.choice("method", "mine.py:Mine").symbol == "Mine"
    assert catalog.choice("method", str(folder / "mine.py:Other")).name == "Other"
    assert "it has Mine, Other. Did you mean Mine?" in refused("--method=mine.py:Mime")


def test_a_module_is_found_from_the_working_directory(folder):
    (folder / "my_package").mkdir()
    (folder / "my_package/helper.py").write_text("from keras_cl.methods.finetune import Finetune as Base\n")
    (folder / "my_package/second.py").write_text(
        "from my_package.helper import Base\n\n\nclass Second(Base):\n    'Second.'\n"
    )
    config = flags.parse(["main", "--method=my_package.second"])
    assert config.name.startswith("second-permuted-digits-domain-")
    assert "No module named 'my_package.third'" in refused("--method=my_package.third")


def test_an_entry_point_is_a_name_like_any_other(folder, capsys):
    info = folder / "mine-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 2.0\n")
    points = "[keras_cl.methods]\nmy_tune = mine:Mine\newc = mine:Mine\n"
    (info / "entry_points.txt").write_text(points)
    sys.path.append(str(folder))
    assert "my_tune" in catalog.names("method") and catalog.names("method").count("ewc") == 1
    config = flags.parse(["main", "--method=my_tune", "--method.rate=2"])
    assert config.options_of("method") == {"rate": 2.0, "kind": "a", "widths": (1, 2)}
    assert config.origins["method"]["package"] == "mine 2.0"
    assert "is a choice of this library and an entry point" in refused("--method=ewc")
    (info / "entry_points.txt").write_text("[keras_cl.sources]\nmy_data = data\n")
    external.entry_points.cache_clear()
    with pytest.raises(SystemExit):
        flags.parse(["main", "--help"])
    assert "Installed: my_data." in " ".join(capsys.readouterr().out.split())


def test_options_of_a_file_are_flags(folder):
    config = flags.parse(["main", "--method=mine.py", "--method.kind=b", "--method.widths=3,4,5"])
    assert config.options_of("method") == {"rate": 0.5, "kind": "b", "widths": (3, 4, 5)}
    said = refused("--method=mine.py", "--method.rat=1")
    assert said.startswith("The method mine.py has no option --method.rat. Did you mean --method.rate?")
    assert "mine.py does not support the class-incr" in refused("--method=mine.py", "--scenario=class")


def test_a_stream_that_draws_nothing_has_none_per_seed(folder):
    (folder / "fixed.py").write_text(
        "def fixed(data, *, tasks: int = 2, scenario: str = 'task'):\n    return []\n"
    )
    said = refused("--stream=fixed.py", "--stream_per_seed")
    assert said == "--stream_per_seed draws streams with --stream.seed, which fixed.py does not have."


def test_a_data_set_of_ones_own_has_options(folder):
    (folder / "data.py").write_text(
        "import numpy as np\nfrom keras_cl.sources import from_arrays\n\n\ndef data(*, size: int = 4):\n"
        "    x, y = np.zeros((20, size, size), np.uint8), np.arange(20) % 2\n"
        "    return from_arrays(x, y, x, y)\n"
    )
    config = flags.parse(["main", "--dataset=data.py", "--dataset.size=3"])
    assert make_stream(config).input_shape == (3, 3, 1)
    assert config.settings["dataset.size"] == 3 and "dataset_sha256" in config.settings
    assert config.name.startswith("ewc-permuted-data-domain-")


# ---- refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Mine", "own.py cannot be imported: SyntaxError in line 1: expected ':'."),
        ("import nothing_at_all", "own.py cannot be imported: ModuleNotFoundError: No module named"),
        ("1 / 0", "own.py cannot be imported: ZeroDivisionError: division by zero."),
        ("x = 1", "own.py defines no subclass of ContinualModel, which a method has to be."),
        (
            METHOD.replace("rate: float", "rate: dict"),
            "own.py: The option rate has the type <class 'dict'>; possible:",
        ),
        (
            METHOD.replace("rate: float = 0.5", "rate: float"),
            "own.py: The option rate of Mine needs a default.",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(text, said, folder):
    (folder / "own.py").write_text(text)
    assert refusal("--method=own.py").startswith(said)


def test_a_missing_file_is_named_with_the_nearest(folder):
    assert refused("--method=min.py") == "There is no file min.py. Did you mean mine.py?"
    assert refused("--network=no/such/file.py") == "There is no file no/such/file.py."


def test_a_function_is_the_one_named_like_the_file_or_the_only_one(folder):
    (folder / "nets.py").write_text("def one(stream): ...\n\n\ndef two(stream): ...\n")
    said = refused("--network=nets.py")
    assert "several functions (one, two) and none called nets; give --network=nets.py:one" in said
    assert catalog.choice("network", "nets.py:two").symbol == "two"
    (folder / "alone.py").write_text("def something(stream): ...\n")
    assert catalog.choice("network", "alone.py").symbol == "something"


@pytest.mark.parametrize(
    ("axis", "text", "said"),
    [
        (
            "network",
            "def own(stream):\n    return 3\n",
            "own of --network=own.py returns 3; it has to return a Model",
        ),
        (
            "network",
            "def own():\n    return 3\n",
            "own of --network=own.py cannot be called: too many positional",
        ),
        (
            "stream",
            "def own(data, *, tasks: int = 2, scenario: str = 'task'):\n    return []\n",
            "return a Stream.",
        ),
        (
            "dataset",
            "def own():\n    return {}\n",
            "own of --dataset=own.py returns {}; it has to return a Source.",
        ),
        (
            "method",
            METHOD.replace("        **base,\n", "").replace(", **base)", ")"),
            "Mine of --method=own.py cannot be called: got an unexpected keyword argument",
        ),
    ],
)
def test_what_a_file_makes_is_checked(axis, text, said, folder):
    (folder / "own.py").write_text(text)
    assert said in refusal(f"--{axis}=own.py", "--run_dir=run")


# ---- a file is a setting ---------------------------------------------------------------------------------


@pytest.fixture
def finished(folder):
    config = Config(
        method="mine.py",
        tasks=2,
        epochs=1,
        jit="off",
        run_dir="run",
        export_dir="models",
        options={"network.hidden": (8,)},
    )
    train.run(config, display=silent())
    return config


def test_a_run_records_where_its_choices_came_from_and_refuses_a_file_that_changed(finished, folder):
    content = json.loads((folder / "run/config.json").read_text())
    assert content["origins"]["method"]["file"] == str(folder / "mine.py")
    assert content["settings"]["method_sha256"] == content["origins"]["method"]["sha256"]
    (folder / "run/DONE").unlink()
    external.read.cache_clear()
    train.run(dataclasses.replace(finished), display=silent())  # nothing changed
    (folder / "mine.py").write_text(METHOD + "\n# changed\n")
    external.read.cache_clear()
    said = refusal(
        "--method=mine.py", "--tasks=2", "--epochs=1", "--jit=off", "--run_dir=run", "--export_dir=models",
        "--network.hidden=8",
    )  # fmt: skip
    assert said.startswith("run holds a run with other settings: mine.py has changed since")
    assert said.count(".") == 3


def test_a_changed_file_keeps_the_name_of_its_run_so_that_it_is_found_and_refused(folder):
    config = Config(method="mine.py")
    before = config.name, config.hash
    (folder / "mine.py").write_text(METHOD + "\n# changed\n")
    external.read.cache_clear()
    changed = Config(method="mine.py")
    assert changed.name == before[0] and changed.hash != before[1]


def test_exported_models_are_evaluated_without_the_file(finished, folder):
    from keras_cl.evaluate import accuracy_matrix

    (folder / "mine.py").unlink()
    external.read.cache_clear()
    assert accuracy_matrix(folder / "models/run").shape == (3, 2)
