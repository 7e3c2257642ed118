"""The page at /: what is served, how well, and what each version says of an image that one draws or drops."""

import functools
import pathlib

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from keras_cl.serve.errors import ServingError
from keras_cl.serve.servable import DEFAULT

PAGE = pathlib.Path(__file__).with_name("page.html")
SHOWN = ("scenario", "task", "tasks", "class_means", "labels", "scale", "method", "run", "seed", "metrics")
# The page is one file, which loads nothing from elsewhere.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src blob:"
)


def routes(models):
    """The routes of the page: itself, and what it shows as JSON.

    Args:
      models: `Models`.
    """

    async def served(request):
        content = await run_in_threadpool(overview, models)
        return Response(orjson.dumps(content), media_type="application/json")

    async def page(request):
        return HTMLResponse(_page(), headers={"Content-Security-Policy": POLICY})

    return [Route("/", page), Route("/served.json", served)]


def overview(models):
    """What is served: a list of models, each with its versions, ascending.

    Args:
      models: `Models`.

    Returns:
      list of `{"name", "versions"}`; a version has its state, its error if it was refused, the shape of its
      images (null if it does not take images), and what its task.json says of it.
    """
    return [{"name": name, "versions": _versions(models, name)} for name in models.names()]


def _versions(models, name):
    try:
        statuses = models.statuses(name)
    except ServingError:  # none yet
        return []
    return [_version(models, name, status) for status in reversed(statuses)]


def _version(models, name, status):
    known = {"version": status.version, "state": status.state, "error": status.error_message}
    try:
        with models.leased(name, status.version) as servable:
            return {**known, "shape": _shape(servable), **_told(servable.description)}
    except ServingError:  # it is not available
        return {**known, "shape": None}


def _told(description):
    return {key: description[key] for key in SHOWN if key in description}


def _shape(servable):
    """Height, width and channels of the images that the default signature takes; None if it takes none."""
    signature = servable.signatures.get(DEFAULT)
    if signature is None or list(signature.inputs) != ["images"] or "probabilities" not in signature.outputs:
        return None
    shape = signature.inputs["images"].shape
    known = shape.rank == 4 and shape[1:].is_fully_defined() and shape[3] in (1, 3)
    return shape.as_list()[1:] if known else None


@functools.cache
def _page():
    return PAGE.read_text()
