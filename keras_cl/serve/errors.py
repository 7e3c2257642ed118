"""Errors of requests: the canonical status codes of gRPC, with the texts of TensorFlow Serving."""

# HTTP status of each code, as TensorFlow Serving translates it (ToHTTPStatusCode in its http_server.cc).
HTTP = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}

NAMES = {"float16": "half", "float32": "float", "float64": "double"}  # of types, where TensorFlow's differ


class ServingError(Exception):
    """A request that cannot be answered.

    Args:
      code: name of a canonical status code, a key of `HTTP`.
      message: text for the client, as TensorFlow Serving words it.
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message

    @property
    def http_status(self):
        """The HTTP status of the answer."""
        return HTTP[self.code]
