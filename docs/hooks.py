"""What MkDocs calls while it builds the site: pages are made from the sources, and links are put right."""

import pathlib
import sys

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from docs.site import choices, generators, links, reference, rows  # noqa: E402
from docs.site.mathml import Formulas  # noqa: E402


@event_priority(100)  # before the plugin of the reference, which takes the extensions over
def on_config(config):
    config.markdown_extensions.append(Formulas())
    return config


def on_files(files, config):
    """Adds the pages that nobody writes, and shows what pages link to outside of docs/."""
    made = choices.pages() | generators.pages() | rows.pages() | reference.pages()
    made |= {page: (ROOT / path).read_text() for path, page in links.TOP.items()}
    written = {file.src_uri: file.content_string for file in files.documentation_pages()}
    shown = set()
    for page, text in made.items():
        shown |= _shown(text, _origin(page))
        files.append(File.generated(config, page, content=text))
    for text in written.values():
        shown |= _shown(text, "docs")
    for path in sorted(shown):
        files.append(File.generated(config, f"source/{path}.md", content=links.source_page(path)))
    _complete(config.nav, made)
    return files


def on_page_markdown(markdown, page, config, files):
    """Links of the repository become links of the site."""
    uri = page.file.src_uri
    if uri.startswith(("source/", "rows/", "generators/")):
        return markdown
    origin = _origin(uri) if page.file.generated_by else "docs"
    repository = f"{config.repo_url.rstrip('/')}/blob/main" if config.repo_url else ""
    return links.rewritten(markdown, origin, uri, repository)


def _origin(page):
    """Folder that the links of a made page start from: the top of the repository."""
    return f"docs/{page.rpartition('/')[0]}" if page.startswith("generators/") else ""


def _shown(text, origin):
    """Files of the repository that need a page, because a text links to them and none shows them."""
    paths = links.targets(text, origin)
    places = {path: links.place(path)[0] for path in paths}
    return {path for path, page in places.items() if page.startswith("source/") and (ROOT / path).exists()}


def _complete(nav, made):
    """Adds to every section that has one index page alone the pages beside it."""
    for entry in nav or ():
        for pages in entry.values() if isinstance(entry, dict) else ():
            if not isinstance(pages, list):
                continue
            _complete(pages, made)
            if len(pages) == 1 and str(pages[0]).endswith("/index.md"):
                folder = pages[0].removesuffix("index.md")
                beside = [page for page in made if page.startswith(folder) and page != pages[0]]
                pages += [{_short(folder, page): page} for page in sorted(beside)]


def _short(folder, page):
    name = page.removeprefix(folder).removesuffix(".md")
    return f"keras_cl.{name}" if folder == "api/" else name
