"""The page at /: what it is told, and what a browser makes of it."""

import base64
import contextlib
import io
import json
import shutil

import numpy as np
import pytest
from browser import chromium
from helpers import blobs
from PIL import Image
from served import SHAPE, answers, damage, images, push
from starlette.testclient import TestClient

from keras_cl import sources, streams
from keras_cl.networks import mlp
from keras_cl.runs import saved_model
from keras_cl.serve import rest, web
from keras_cl.serve.limits import Limits
from keras_cl.serve.model_config import ModelConfig, Policy
from keras_cl.serve.models import Models, Options

ROW = [0.9, 0.25, None]


@pytest.fixture(scope="module")
def folder(exported, tmp_path_factory):
    """Versions 1 and 2 with an accuracy each, and a damaged version 3."""
    found = tmp_path_factory.mktemp("page") / "tiny"
    shutil.copytree(exported, found)
    for version in (1, 2):
        file = found / str(version) / saved_model.DESCRIPTION
        file.write_text(json.dumps(json.loads(file.read_text()) | {"metrics": {"accuracies": ROW}}))
    damage(found / "3")
    return found


@pytest.fixture(scope="module")
def models(folder):
    found = Models([ModelConfig("tiny", folder, Policy("all"))])
    found.start()
    yield found
    found.stop(1)


def test_the_page_and_what_it_shows(models):
    client = TestClient(rest.application(models, Limits()))
    page, shown = client.get("/"), client.get("/served.json").json()
    assert page.status_code == 200 and "Served models" in page.text
    assert "http://" not in page.text and "https://" not in page.text  # it loads nothing from elsewhere
    assert [one["name"] for one in shown] == ["tiny"]
    first, second, third = shown[0]["versions"]
    assert [first["version"], second["version"], third["version"]] == [1, 2, 3]
    assert first["shape"] == list(SHAPE) and first["metrics"]["accuracies"] == ROW
    assert first["labels"] == [0, 1, 2, 3, 4, 5] and first["scale"] == pytest.approx(1 / 255)
    assert third["state"] == "END" and third["error"] and third["shape"] is None


def test_a_model_of_rows_is_shown_without_images(tmp_path):
    source = sources.from_arrays(**blobs([6] * 4, shape=(5,)))
    stream = streams.split(source, tasks=2, scenario="domain")
    saved_model.export(
        mlp(stream, hidden=(4,)), stream[0], tmp_path / "rows" / "1", saved_model.describe(stream[0])
    )
    models = Models([ModelConfig("rows", tmp_path / "rows")])
    models.start()
    shown = TestClient(rest.application(models, Limits())).get("/served.json").json()
    models.stop(1)
    assert shown[0]["versions"][0]["shape"] is None


@contextlib.contextmanager
def site(models):
    """Yields the address of a server in this process."""
    limits, place = Limits(), web.bound("127.0.0.1", 0)
    running = web.Site(rest.application(models, limits), place, limits)
    try:
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
    finally:
        running.stop()


SAID = """
return [...document.querySelectorAll('td.said')].sort((a, b) => a.cellIndex - b.cellIndex)
    .map((cell) => cell.parentNode.firstChild.textContent);
"""  # the headings of the rows, in the order of the versions
BOTH = "return document.querySelectorAll('td.said').length === 2"
FIRST = "return document.querySelector('table').rows[1].cells[1].textContent"
PIXELS = """
const canvas = document.querySelector('canvas');
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
return [...data].filter((_, i) => i % 4 === 0);
"""
DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
const file = new File([bytes], arguments[1]), canvas = document.querySelector('canvas');
const dropped = new Event('drop', { cancelable: true });
dropped.dataTransfer = { files: [file] };
canvas.dispatchEvent(dropped);
"""


def drawn(browser):
    """The image `[1, 8, 8, 1]` that the canvas shows: means over its squares of ten pixels."""
    values = np.array(browser.js(PIXELS), np.float32).reshape(8, 10, 8, 10)
    return values.mean(axis=(1, 3))[np.newaxis, ..., np.newaxis]


def expected(folder, image):
    """The headings of the classes that versions 1 and 2 find most probable."""
    return [f"class {answers(folder / v, image)['probabilities'].argmax()}" for v in ("1", "2")]


@pytest.mark.slow
def test_what_is_drawn_is_answered_by_every_version(models, folder):
    with chromium() as browser, site(models) as address:
        browser.open(address)
        browser.wait("return document.querySelector('canvas')")
        assert "Version 3: END" in browser.js("return document.body.textContent")
        assert browser.js(FIRST) == "90.0"
        browser.draw("canvas", [(0.2, 0.2), (0.8, 0.2), (0.5, 0.9)])
        browser.wait(BOTH)
        image = drawn(browser)
        assert image.max() > 200 and image.min() == 0
        assert browser.js(SAID) == expected(folder, image)
        browser.js("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Clear').click()")
        browser.wait("return !document.querySelector('td.said')")
        assert drawn(browser).max() == 0
        assert not browser.errors()


@pytest.mark.slow
def test_what_is_drawn_stays_while_versions_come_and_go(exported, tmp_path):
    served = tmp_path / "tiny"
    push(exported / "1", served)
    models = Models([ModelConfig("tiny", served, Policy("all"))], Options(poll_seconds=0.1))
    models.start()
    with chromium() as browser, site(models) as address:
        browser.open(address)
        browser.wait("return document.querySelector('canvas')")
        browser.draw("canvas", [(0.2, 0.2), (0.8, 0.2), (0.5, 0.9)])
        browser.wait("return document.querySelector('td.said')")
        image = drawn(browser)
        push(exported / "2", served)
        browser.wait(BOTH)
        np.testing.assert_array_equal(drawn(browser), image)
        assert browser.js(SAID) == expected(exported, image)
        shutil.rmtree(served / "1")
        browser.wait("return document.querySelectorAll('td.said').length === 1")
        assert "1 version has ended" in browser.js("return document.body.textContent")
        assert not browser.errors()
    models.stop(1)


CLASSES = """
const versions = [0, 1].map((v) => ({ version: v }));
const answers = [90, 7].map((best) => ({
  probabilities: Array.from({ length: 100 }, (_, c) => (c === best ? 0.5 : c / 1e4)),
}));
const shown = sideBySide(versions, answers);
const rows = [...shown.querySelectorAll('tr')];
return [shown.textContent.includes('of 100 classes'), rows.map((row) => row.cells[0].textContent)];
"""


@pytest.mark.slow
def test_of_many_classes_the_most_probable_are_shown(models):
    with chromium() as browser, site(models) as address:
        browser.open(address)
        said, headings = browser.js(CLASSES)
        assert said and headings == ["", "output 7", *(f"output {c}" for c in range(81, 100))]


@pytest.mark.slow
def test_what_is_dropped_is_shown_and_answered(models, folder):
    image = images(1)
    file = io.BytesIO()
    Image.fromarray(image[0, :, :, 0].astype(np.uint8)).save(file, "png")
    with chromium() as browser, site(models) as address:
        browser.open(address)
        browser.wait("return document.querySelector('canvas')")
        browser.js(DROP, base64.b64encode(file.getvalue()).decode(), "image.png")
        browser.wait(BOTH)
        np.testing.assert_allclose(drawn(browser), image, atol=0.5)
        assert browser.js(SAID) == expected(folder, image)
        browser.js(DROP, base64.b64encode(b"no image").decode(), "notes.txt")
        browser.wait("return document.body.textContent.includes('notes.txt is no image.')")
        assert not browser.errors()
