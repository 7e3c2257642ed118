"""A client of TensorFlow Serving, or of `python -m keras_cl.serve`, over REST or gRPC."""

import re
import urllib.parse

from keras_cl.errors import InputError, require

AVAILABLE = "AVAILABLE"
SHOWN = 300  # characters of what a server said that a message quotes
FORMS = "http://host:port/v1/models/NAME (REST) or grpc://host:port/NAME (gRPC)"
TOO_LARGE = re.compile(
    r"(larger|greater|exceeds|too large|too big|more than).*(max|limit|bytes)", re.I | re.S
)


class EndpointError(InputError):
    """A request that a server refused, or that did not reach one.

    Args:
      message: one sentence.
      code: name of the canonical status code, for example "NOT_FOUND"; "UNAVAILABLE" if there was no answer.
      text: what the server said.
    """

    def __init__(self, message, code="", text=""):
        super().__init__(message)
        self.code, self.text = code, text

    @property
    def too_large(self):
        """Whether a request of fewer rows may be answered."""
        refused = self.code in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT")
        return self.code == "HTTP 413" or (refused and bool(TOO_LARGE.search(self.text)))

    @property
    def busy(self):
        """Whether the same request may be answered later."""
        return self.code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE") and not self.too_large


class Endpoint:
    """A model that a server answers for.

    Args:
      url: `http://host:port/v1/models/NAME` (REST; https too) or `grpc://host:port/NAME` (gRPC).
      timeout: seconds to wait for each answer.

    Raises:
      InputError: if the URL has another form, or if gRPC is not installed.
    """

    def __init__(self, url, timeout=60.0):
        kind, address, self.name = parts_of(url)
        self.url = url
        if kind == "rest":
            from keras_cl.serve.rest_client import Rest

            self._transport = Rest(address, self.name, timeout)
        else:
            try:
                from keras_cl.serve.grpc_client import Grpc
            except ImportError as error:
                raise InputError(
                    f"{url} needs gRPC, and {error.name or 'a package'} is not installed: "
                    f"pip install keras_cl[serve], or give the address of REST, http://..."
                ) from None
            self._transport = Grpc(address, self.name, timeout)
        self._signatures = {}

    def statuses(self):
        """`{version: state}`: the state, for example "AVAILABLE", of every version that the server knows.

        Raises:
          EndpointError: if no server answers, or if it has no such model.
        """
        return dict(sorted(self._transport.statuses().items()))

    def versions(self):
        """Numbers of the versions that can be asked, ascending.

        Raises:
          EndpointError: as `statuses`.
        """
        return [number for number, state in self.statuses().items() if state == AVAILABLE]

    def metadata(self, version=None):
        """`{name: SignatureDef}` of a version, by default the latest.

        Raises:
          EndpointError: if the server has no such version.
        """
        if version is None:
            return self._transport.metadata(None)
        if version not in self._signatures:  # a served version never changes
            self._signatures[version] = self._transport.metadata(version)
        return self._signatures[version]

    def predict(self, inputs, version=None, signature="", outputs=()):
        """Answers of a signature.

        Args:
          inputs: `{name: array}`. What is float32 arrives bit for bit, also by REST.
          version: number of the version; None for the latest.
          signature: name of the signature; "" for serving_default.
          outputs: names of the outputs to return; all if empty.

        Returns:
          `{name: array}`, of the types that the signature has.

        Raises:
          EndpointError: if the server does not answer, or refuses the request.
        """
        signatures = self.metadata(version)
        name = signature or "serving_default"
        require(
            name in signatures,
            f"{self._described(version)} has no signature {name}; possible: {', '.join(sorted(signatures))}.",
        )
        known = signatures[name]
        unknown = sorted({*outputs} - {*known.outputs})
        require(
            not unknown,
            f"The signature {name} of {self._described(version)} has no output {', '.join(unknown)}; "
            f"possible: {', '.join(sorted(known.outputs))}.",
        )
        wanted = list(outputs) or sorted(known.outputs)
        return self._transport.predict(inputs, version, name, known, wanted)

    def _described(self, version):
        return f"{self.url}{'' if version is None else f', version {version},'}"


def parts_of(url):
    """("rest" or "grpc", address of the server, name of the model) of the URL of an endpoint.

    Raises:
      InputError: if the URL has another form.
    """
    rest = re.fullmatch(r"(https?://[^/?#]+(?:/[^?#]*)?)/v1/models/([^/:?#]+)/?", url)
    grpc = re.fullmatch(r"grpc://([^/?#]+)/([^/:?#]+)/?", url)
    require((rest or grpc) and _has_host(url), f"The endpoint {url!r} is unusable; possible: {FORMS}.")
    address, name = (rest or grpc).groups()
    return "rest" if rest else "grpc", address, urllib.parse.unquote(name)


def _has_host(url):
    try:
        parts = urllib.parse.urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or above 65535
        return False


def shortened(text):
    """What a server said, in one line that a message can quote."""
    return " ".join(text.split())[:SHOWN].rstrip(".")


def is_loopback(address):
    """Whether a URL, or `host:port`, is of this machine, so that no proxy leads there."""
    host = urllib.parse.urlsplit(address if "//" in address else f"//{address}").hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")
