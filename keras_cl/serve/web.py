"""The web server of the REST interface, in a thread of its own."""

import socket
import threading

import uvicorn

from keras_cl.errors import InputError
from keras_cl.serve.connections import protocol

BACKLOG = 2048  # connections that wait until they are accepted
CUT_OFF = 1.0  # seconds in which clients are told that their requests are not answered any more


def bound(host, port):
    """A socket that is bound to an address; `InputError` if the port is in use or not allowed.

    Args:
      host: name or number of an interface of this machine.
      port: port; 0 stands for any that is free.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        raise InputError(f"The server cannot listen at {host}:{port}: {error.strerror}.") from error
    return found


class Site:
    """A web application that is served until `stop`.

    Args:
      application: an ASGI application.
      place: socket of `bound`.
      limits: `Limits`.
    """

    def __init__(self, application, place, limits):
        place.listen(BACKLOG)  # from here on clients are heard
        config = uvicorn.Config(
            application,
            log_level="critical",
            access_log=False,
            http=protocol(limits),
            ws="none",
            timeout_graceful_shutdown=limits.drain_seconds,
            lifespan="off",
            server_header=False,
        )
        self._seconds = limits.drain_seconds
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [place]}, name="rest", daemon=True
        )
        self._thread.start()

    def stop(self):
        """Takes no more requests, and returns when those in progress have been answered, or cut off."""
        self._server.should_exit = True
        self._thread.join(self._seconds + CUT_OFF)
