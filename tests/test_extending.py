"""docs/extending.md: every file in it is written into an empty folder, and every command run there."""

import re
import shlex

import numpy as np
import pytest
from processes import ROOT, said, start

import keras_cl
from keras_cl.check.laws import LAWS
from keras_cl.check.subject import Subject
from keras_cl.settings import flags
from tuning import settings

PAGE = (ROOT / "docs/extending.md").read_text()
FILES = dict(re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, re.S))
COMMANDS = re.findall(r"^python -m keras_cl\.main (.*)$", PAGE, re.M)
SEARCHES = re.findall(r"^python -m tuning\.search (.*)$", PAGE, re.M)
QUICK = ["--tasks=2", "--epochs=1", "--jit=off", "--run_dir=run", "--export_dir=models"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder outside of the project, with the files of the page, as the working directory."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_has_a_file_of_each_kind():
    assert set(FILES) == {"cwr.py", "first_come.py", "tiny.py", "dimmed.py", "bars.py", "gentle.py"}
    assert len(COMMANDS) == len(FILES)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_trains(command, folder):
    code, output, errors = said(*shlex.split(command), *QUICK)
    assert (code, errors) == (0, ""), errors
    assert "average accuracy" in output
    assert (folder / "run/DONE").exists() and (folder / "models/run/2/saved_model.pb").exists()


def test_a_file_has_help_of_its_own(folder, capsys):
    with pytest.raises(SystemExit):
        flags.parse(["main", "--method=cwr.py", "--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    assert "Options of the method cwr. CWR: the output weights of every task are kept" in help_text
    assert "--method.features whether the other layers are frozen" in help_text
    assert "(one of freeze, train; default freeze)" in help_text


@pytest.mark.parametrize("command", SEARCHES)
def test_every_search_is_understood(command, folder):
    assert settings.parse(["search", *shlex.split(command)]).space


def test_the_python_of_the_page_runs(folder):
    block = next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "keras_cl.learn" in code)
    names = {}
    exec(block.replace("epochs=5", "epochs=1"), names)
    assert names["matrix"].shape == (4, 5) and (folder / "saved_models/mine/5").exists()
    np.testing.assert_array_equal(names["model"].accuracies(names["stream"])[:3], names["matrix"][3, :3])


def test_the_groups_of_the_page_are_those_that_are_read():
    from keras_cl.settings.external import GROUPS

    assert all(f"`{group}`" in PAGE for group in GROUPS.values())
    assert keras_cl.Stream is keras_cl.streams.Stream


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "broken"),
    [
        (["--method=cwr.py"], False),
        (["--method=er", "--memory=first_come.py", "--method.offers=task"], False),
        (["--method=finetune", "--network=tiny.py"], False),
        (["--method=finetune", "--network=noisy.py"], False),
        (["--method=forgetful.py"], True),
    ],
)
def test_the_check_tells_lawful_files_from_others(given, broken, folder):
    (folder / "forgetful.py").write_text(FORGETFUL)
    (folder / "noisy.py").write_text(NOISY)
    done = start("-m", "keras_cl.check", *given, cwd=folder)
    output, errors = done.communicate(timeout=600)
    assert done.returncode == int(broken), output + errors
    lines = output.splitlines()
    assert len({line.split(":")[0][16:] for line in lines[:-1]} & {law.name for law in LAWS}) == len(LAWS)
    if broken:
        found = {line.split(":")[0][16:] for line in lines if line.startswith("BROKEN")}
        assert found == {
            "a run that was killed after its first task ends like one that was not, bit for bit",
            "strength 0 is fine-tuning, bit for bit",
            "no state is int32, which TensorFlow keeps off a GPU",
            "XLA can compile the step for a GPU",
            "a step compiled for another device than the first one finds its variables there",
        }, output


NETWORK = '''
"""A network of shape and layers that are filled in."""

import tf_keras as keras


def network(stream):
    """Returns a network.

    Args:
      stream: gives the shape of the images and the number of outputs.
    """
    pools = [keras.layers.MaxPooling2D() for _ in range({pools})]
    ends = [keras.layers.Flatten(), keras.layers.Dense(stream.num_classes)]
    return keras.Sequential([keras.Input({shape}), *pools, *ends])
'''


@pytest.mark.parametrize(
    ("shape", "pools", "expected"),
    [("(6, 7, 1)", 0, (6, 7, 1)), ("stream.input_shape", 4, (16, 16, 1)), ("(40,)", 0, (40,))],
)
@pytest.mark.usefixtures("eagerly")
def test_the_laws_have_images_that_the_network_takes(shape, pools, expected, tmp_path):
    file = tmp_path / "network.py"
    file.write_text(NETWORK.format(shape=shape, pools=pools))
    subject = Subject("finetune", tmp_path / "subject", network=str(file))
    assert subject.trained("class", eagerly=True).model.network.input_shape[1:] == expected


NOISY = '''
"""Noisy: a model with a call of its own, and with random layers of Keras without a seed."""

import tf_keras as keras


class Noisy(keras.Model):
    """Dense layers with noise."""

    def __init__(self, classes, seed):
        super().__init__(name="noisy")
        initial = [keras.initializers.GlorotUniform(2 * seed + place) for place in range(2)]
        self.flatten, self.noise = keras.layers.Flatten(), keras.layers.GaussianNoise(0.1)
        self.hidden = keras.layers.Dense(8, "relu", kernel_initializer=initial[0])
        self.dropout = keras.layers.Dropout(0.25)
        self.head = keras.layers.Dense(classes, kernel_initializer=initial[1])

    def call(self, x, training=False):
        h = self.hidden(self.noise(self.flatten(x) / 255, training=training))
        return self.head(self.dropout(h, training=training))


def noisy(stream, *, seed: int = 0):
    """Returns the network.

    Args:
      stream: gives the shape of the images and the number of outputs.
      seed: of the initial weights.
    """
    network = Noisy(stream.num_classes, seed)
    network.build((None, *stream.input_shape))
    return network
'''

FORGETFUL = '''
"""Forgetful: what it remembers is no variable, and its step looks at the task in Python."""

import tensorflow as tf

import keras_cl


class Forgetful(keras_cl.ContinualModel):
    """Holds the weights near those of the task before.

    Args:
      network: raw images to logits.
      strength: of the penalty.
    """

    def __init__(self, network, *, strength: float = 0.1, **base):
        super().__init__(network, **base)
        self.strength, self.anchor = strength + 0.01, None
        self.steps = tf.Variable(0, trainable=False)  # int32, which stays on the host

    def begin_task(self, task):
        super().begin_task(task)
        self.train_function = None  # made anew, as what follows is a Python branch

    def train_step(self, batch):
        self.steps.assign_add(1)
        logits, gradients = self.task_gradients(batch)
        if self.anchor is not None:
            pairs = zip(gradients, self.trained, self.anchor, strict=True)
            gradients = [g + self.strength * (v - a) for g, v, a in pairs]
        self.apply(gradients)
        return self.results(batch, logits)

    def end_task(self, task):
        super().end_task(task)
        self.anchor = [v.numpy() for v in self.trained]
'''
