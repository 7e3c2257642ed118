"""Bodies of requests: read up to a size, and unpacked."""

import zlib

from keras_cl.serve.errors import ServingError


async def body_of(request, limits, hold):
    """The bytes of a request as they were sent.

    Args:
      request: a Starlette `Request`.
      limits: `Limits`.
      hold: called with the number of further bytes, before they are kept.

    Raises:
      ServingError: if the body is too big: before it is read where its size is announced.
    """
    most = limits.max_request_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > most:
        raise too_big(most)
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise too_big(most)
        hold(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def unpacked_size(body, headers, most):
    """How many bytes a body may stand for, at most `most`: what is gzip says it in its last four bytes."""
    return min(int.from_bytes(body[-4:], "little"), most) if _is_gzip(headers) else len(body)


def unpacked(body, headers, size, most):
    """The bytes that a body stands for; none if it is said to be gzip and is not, as in TensorFlow Serving.

    Args:
      body: the bytes that were sent.
      headers: of the request.
      size: what `unpacked_size` says; no more is unpacked.
      most: bytes that a request may have.

    Raises:
      ServingError: if they are more than `most`.
    """
    if not _is_gzip(headers):
        return body
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = reader.decompress(body, size + 1)
    except zlib.error:
        return b""
    if len(found) > most:
        raise too_big(most)
    return found if reader.eof else b""


def _is_gzip(headers):
    return "gzip" in headers.get("content-encoding", "")


def too_big(most):
    """The error of a request that is too big."""
    return TooBig("RESOURCE_EXHAUSTED", f"The request is larger than the maximum of {most} bytes")


class TooBig(ServingError):
    """A request with too many bytes."""

    http_status = 413
