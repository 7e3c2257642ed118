"""How many requests are answered at a time, and how many may wait."""

import asyncio
import collections
import contextlib

from keras_cl.serve.errors import ServingError


class Admission:
    """Lets requests in, in the order in which they came. All calls come from one event loop.

    Args:
      limits: `Limits`: requests at a time, requests that wait, and bytes of all that are answered at a
        time: one request of the largest size, or many of the usual one.
    """

    def __init__(self, limits):
        self._limits = limits
        self._running, self._bytes = 0, 0
        self._waiting = collections.deque()
        self._received = 0

    @property
    def waiting(self):
        """Number of requests that wait."""
        return len(self._waiting)

    @contextlib.asynccontextmanager
    async def place(self, size):
        """Waits until a request of `size` bytes may be answered, and keeps its place until the block ends.

        Raises:
          ServingError: if too many wait.
        """
        if self._waiting or not self._fits(size):
            await self._wait(size)
        else:
            self._enter(size)
        try:
            yield
        finally:
            self._running -= 1
            self._bytes -= size
            self._next()

    @contextlib.contextmanager
    def buffer(self):
        """Yields a function that takes the number of further bytes of a body, until the block ends.

        The function raises `ServingError` where the bodies of all requests together are too big.
        """
        held = 0

        def hold(size):
            nonlocal held
            held += size
            self._received += size
            if self._received > 4 * self._limits.max_request_bytes:
                raise ServingError("RESOURCE_EXHAUSTED", "Too many bytes of other requests are here")

        try:
            yield hold
        finally:
            self._received -= held

    def _fits(self, size):
        if self._running >= self._limits.max_concurrent:
            return False
        return not self._running or self._bytes + size <= self._limits.max_request_bytes

    def _enter(self, size):
        self._running += 1
        self._bytes += size

    async def _wait(self, size):
        if len(self._waiting) >= self._limits.max_queued:
            raise ServingError(
                "RESOURCE_EXHAUSTED", f"The queue of requests is full; currently {len(self._waiting)} wait"
            )
        called = asyncio.get_running_loop().create_future()
        self._waiting.append((called, size))
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():  # its place was kept already
                self._running -= 1
                self._bytes -= size
            self._next()
            raise

    def _next(self):
        while self._waiting:
            called, size = self._waiting[0]
            if called.cancelled():
                self._waiting.popleft()
                continue
            if not self._fits(size):
                return
            self._waiting.popleft()
            self._enter(size)
            called.set_result(None)
