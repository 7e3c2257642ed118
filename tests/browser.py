"""A headless Chromium, driven through the WebDriver protocol, for tests of pages."""

import base64
import contextlib
import shutil
import socket
import subprocess
import time

import pytest
import requests

OPTIONS = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1600"]}


class Browser:
    """A page in a browser.

    Args:
      session: address of the WebDriver session.
    """

    def __init__(self, session):
        self._session = session

    def open(self, url):
        """Opens a page, and waits until all of it is there: the driver may return before."""
        self.js("window.before = true")
        self._post("url", {"url": url})
        self.wait("return !window.before && document.readyState === 'complete'")

    def resize(self, width, height):
        """Gives the page this width and height, in pixels, as a phone's screen or a wide one has them."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._post("goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def js(self, code, *arguments):
        """What a script returns."""
        return self._post("execute/sync", {"script": code, "args": arguments})

    def wait(self, code, seconds=30):
        """Waits until a script returns something true, and returns it."""
        deadline = time.monotonic() + seconds
        while not (found := self.js(code)):
            assert time.monotonic() < deadline, f"not in time: {code}"
            time.sleep(0.05)
        return found

    def size(self, width, height=900, dark=False, media="screen"):
        """Sets the size of the window in pixels, whether its reader prefers dark pages, and the medium."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._chromium("Emulation.setDeviceMetricsOverride", metrics)
        self._chromium("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})

    def move(self, x, y):
        """Moves the mouse to a place of the window."""
        moves = [{"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}]
        self._post("actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": moves}]})

    def keys(self, *keys):
        """Presses keys, one after the other."""
        presses = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": presses}]})

    def printed(self):
        """The page as a PDF."""
        return base64.b64decode(self._chromium("Page.printToPDF", {})["data"])

    def _chromium(self, command, parameters):
        return self._post("goog/cdp/execute", {"cmd": command, "params": parameters})

    def draw(self, selector, points):
        """Draws a line through points of an element, fractions of its width and height, with the mouse."""
        left, top, width, height = self.js(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [box.left, box.top, box.width, box.height];",
            selector,
        )
        moves = [
            {"type": "pointerMove", "duration": 5, "x": int(left + x * width), "y": int(top + y * height)}
            for x, y in points
        ]
        actions = [
            moves[0],
            {"type": "pointerDown", "button": 0},
            *moves[1:],
            {"type": "pointerUp", "button": 0},
        ]
        self._post("actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def errors(self):
        """What the page reported as wrong."""
        return self._post("se/log", {"type": "browser"})

    def _post(self, path, body):
        answer = requests.post(f"{self._session}/{path}", json=body, timeout=60)
        assert answer.ok, answer.json()["value"]["message"]
        return answer.json()["value"]


@contextlib.contextmanager
def chromium():
    """Yields a `Browser`; the test is skipped where there is none."""
    driver = shutil.which("chromedriver")
    if not driver:
        pytest.skip("needs a browser: install chromium and chromedriver")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([driver, f"--port={port}"], **quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        yield Browser(f"{address}/session/{_session(address)}")
    finally:
        requests.get(f"{address}/shutdown", timeout=60)
        process.wait(60)


def _session(address):
    wanted = {"goog:chromeOptions": OPTIONS, "goog:loggingPrefs": {"browser": "ALL"}}
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(requests.ConnectionError):
            made = requests.post(
                f"{address}/session", json={"capabilities": {"alwaysMatch": wanted}}, timeout=60
            )
            return made.json()["value"]["sessionId"]
        assert time.monotonic() < deadline, "the browser's driver does not answer"
        time.sleep(0.1)
