"""Connections of the REST interface: how many, and how long one may take to send a request."""

import functools

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keras_cl.serve.json_writer import error_body

LONGEST_HEAD = 64 * 1024  # bytes of the first line and the headers of a request
REASONS = {408: b"Request Timeout", 429: b"Too Many Requests", 431: b"Request Header Fields Too Large"}


def protocol(limits):
    """The argument `http` of `uvicorn.Config`: connections that keep to `Limits`."""
    return functools.partial(Connection, limits)


class Connection(HttpToolsProtocol):
    """A connection with bounds: uvicorn waits for ever for the rest of a request, and keeps any headers.

    Args:
      limits: `Limits`.
    """

    def __init__(self, limits, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._limits, self._head, self._timer, self._reading_head = limits, 0, None, True
        self._unread = None  # the timer of an answer that the client has not read

    def connection_made(self, transport):
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._refuse(429, f"More than {self._limits.max_connections} connections are open")
        else:
            self._expect()

    def connection_lost(self, exc):
        self._stop()
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data):
        if self.transport.is_closing():
            return
        if self._reading_head:
            self._expect()
        self._head += len(data)
        super().data_received(data)
        if self._reading_head and self._head > LONGEST_HEAD:
            self._refuse(431, f"The headers of the request are longer than {LONGEST_HEAD} bytes")

    def on_message_begin(self):
        self._expect()  # it may have come together with the end of the one before
        super().on_message_begin()

    def on_headers_complete(self):
        self._reading_head = False
        super().on_headers_complete()

    def on_message_complete(self):
        self._stop()
        self._reading_head, self._head = True, 0
        super().on_message_complete()

    def on_response_complete(self):
        super().on_response_complete()
        self._stop_waiting()
        if self.transport.get_write_buffer_size():
            self._unread = self.loop.call_later(self._limits.request_timeout_seconds, self._not_read)

    def _not_read(self):
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _stop_waiting(self):
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _expect(self):
        """Begins the time within which a request must have arrived, unless it runs already."""
        if self._timer is None:
            self._timer = self.loop.call_later(self._limits.request_timeout_seconds, self._late)

    def _stop(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self):
        self._timer = None
        if self._answers_another():
            self._expect()
        elif not self._reading_head and self.cycle.response_started:
            self.transport.close()  # it was answered before its end
        else:
            seconds = self._limits.request_timeout_seconds
            self._refuse(408, f"The request did not arrive within {seconds:g} seconds")

    def _answers_another(self):
        """Whether a request before this one is unanswered: what follows it may not even be read yet."""
        if not self._reading_head:
            return bool(self.pipeline)
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status, message):
        body = error_body(message)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close"
        self.transport.write(head % (status, REASONS[status], len(body)) + b"\r\n\r\n" + body)
        self.transport.close()
