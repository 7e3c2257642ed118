"""Bounds of what the server takes from its clients, over REST and over gRPC alike."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may weigh, and how many may be here at a time; more is refused: RESOURCE_EXHAUSTED.

    Args:
      max_request_bytes: bytes of the body of a request, and of the arrays that it describes.
      max_concurrent: requests that are answered at a time, by each of the two interfaces.
      max_queued: requests that wait for their turn, at each of the two interfaces.
      max_connections: open connections at the REST interface.
      request_timeout_seconds: seconds within which a request by REST must arrive, and its answer be read.
      drain_seconds: seconds that requests in progress are given when the server ends.
    """

    max_request_bytes: int = 64 * 1024 * 1024
    max_concurrent: int = 64
    max_queued: int = 256
    max_connections: int = 1000
    request_timeout_seconds: float = 30.0
    drain_seconds: float = 30.0
