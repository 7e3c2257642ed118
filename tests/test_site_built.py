"""The whole site: it is built without a warning, loads nothing from elsewhere, and is read in a browser."""

import functools
import html.parser
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import urllib.parse

import browser
import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[1]
pytestmark = pytest.mark.slow
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "image": "href"}
PAGES = ["index.html", "methods/ewc.html", "api/methods.html"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the site; building it fails at the first warning."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stderr
    return folder


def build(settings, folder):
    """Builds the site in a process of its own."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(settings), "-d", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def address(site):
    """Where a server of this machine answers with the site."""
    handler = functools.partial(_Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class Loads(html.parser.HTMLParser):
    """Addresses of what a page loads."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag in LOADED:
            self.found.append(dict(attrs).get(LOADED[tag], ""))


def test_a_page_that_is_missing_stops_the_build(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Start\n\n[A page](nowhere.md)\n")
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    settings |= {"hooks": [], "plugins": ["search"], "watch": [], "nav": ["index.md", "elsewhere.md"]}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert "'elsewhere.md'" in done.stderr
    assert "'nowhere.md'" in done.stderr


def test_nothing_is_loaded_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 80
    for page in pages:
        for address in Loads(page.read_text()).found:
            assert not urllib.parse.urlsplit(address or "").netloc, f"{page.name} loads {address}"
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text().replace('"', "").replace("'", "")


def test_what_a_page_loads_is_seen():
    text = '<script src="https://a.b/c.js"></script><link href="d.css"><a href="https://e.f">g</a>'
    assert Loads(text).found == ["https://a.b/c.js", "d.css"]


def test_no_formula_is_left_as_text(site):
    for page in site.glob("methods/*.html"):
        text = page.read_text()
        assert page.stem == "index" or '<div class="formula"><math' in text
        assert "$$" not in text.split('id="source"')[0]


@pytest.mark.parametrize("width", [360, 1400])
def test_pages_are_shown_without_errors(address, width):
    with browser.chromium() as page:
        page.resize(width, 1200)
        for name in PAGES:
            page.open(f"{address}/{name}")
            page.wait("return document.readyState === 'complete' && !!document.querySelector('h1')")
            assert page.js("return innerWidth") == width
            assert page.js("return document.documentElement.scrollWidth") <= width
        page.open(f"{address}/methods/ewc.html")
        assert page.js("return document.querySelectorAll('.formula math').length") == 3
        shown = "return [...document.querySelectorAll('.formula math, figure.curves svg')].every("
        assert page.js(f"{shown} part => part.getBoundingClientRect().height > 15)")
        assert page.errors() == []


def test_every_formula_is_seen_whole_on_a_wide_screen(site, address):
    parts = "[...document.querySelectorAll('.formula')]"
    hidden = "part.scrollWidth > part.clientWidth || part.scrollHeight > part.clientHeight"
    with browser.chromium() as page:
        page.resize(1400, 1200)
        for file in site.glob("methods/*.html"):
            page.open(f"{address}/methods/{file.name}")
            assert not page.js(f"return {parts}.filter(part => {hidden}).length"), file.name


def test_search_reads_no_sources(site):
    found = [page["location"] for page in json.loads((site / "search/search_index.json").read_text())["docs"]]
    assert "methods/ewc.html#equation" in found
    assert not [place for place in found if place.endswith("#source")]


def test_search_finds_a_method_by_its_name(address):
    with browser.chromium() as page:
        page.open(f"{address}/index.html?q=elastic%20weight%20consolidation")
        first = page.wait("return document.querySelector('.md-search-result__item a')?.getAttribute('href')")
        assert "methods/ewc.html" in first
        assert page.errors() == []
