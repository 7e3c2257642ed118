"""docs/networks_keras3.md: its example runs, its command is understood."""

import re
import shlex

import keras as keras3
import numpy as np
from processes import ROOT

from keras_cl.settings import flags

PAGE = (ROOT / "docs/networks_keras3.md").read_text()
EXAMPLE, BACKBONE = re.findall(r"```python\n(.*?)```", PAGE, re.S)
(COMMAND,) = re.findall(r"^python -m keras_cl\.main (.*)$", PAGE, re.M)


def test_the_example_learns_and_what_it_saves_answers_in_keras_3(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(EXAMPLE, names)
    assert names["matrix"][-1].mean() > 0.5
    x, _ = names["stream"][0].test.open()
    saved = keras3.saving.load_model("learned.keras").predict(x, verbose=0)
    np.testing.assert_allclose(saved, names["model"].predict_logits(x), atol=1e-4)

    keras3.Sequential([keras3.Input((8, 8, 1)), keras3.layers.Conv2D(2, 3)]).save("backbone.keras")
    exec(BACKBONE, names)
    assert len(names["model"].network.trainable_variables) == 2


def test_the_command_is_understood():
    config = flags.parse(["main", *shlex.split(COMMAND)])
    assert config.options["network.model"] == "MobileNetV2" and config.options["network.frozen"]
